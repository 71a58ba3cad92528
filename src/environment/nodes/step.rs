//! A step before a broker's start.

use super::LOG_LINES;
use super::files::tail;
use crate::environment::{EnvironmentError, Janitor, Launch};
use std::time::{Duration, Instant};

/// Runs a step before a broker's start: a program that is to end by itself, and successfully.
pub fn run(janitor: &Janitor, launch: Launch, what: &str, step: &str, limit: Duration) -> Result<(), EnvironmentError> {
    let log = launch.log.clone();
    let pid = janitor.spawn(launch)?;
    let ended = janitor.wait(pid, Instant::now() + limit)?;
    let cause = match ended {
        Some(end) if end.success => return Ok(()),
        Some(end) => end.how,
        None => {
            janitor.kill(pid)?;
            format!("not done within {} s", limit.as_secs())
        }
    };
    Err(EnvironmentError::DidNotStart {
        what: what.into(),
        cause: format!("{step}: {cause}"),
        log_tail: tail(&log, LOG_LINES),
    })
}
