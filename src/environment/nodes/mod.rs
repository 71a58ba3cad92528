//! Brokers that are started here, whatever runs them: which nodes there are, where each listens and
//! how it is configured ([`kafka`], [`redis`]), and a broker made of running nodes
//! ([`NodesBroker`]).
//!
//! Invariant: processes and containers are laid out and configured by the same lines, so that what
//! differs between the two environments is only what runs the nodes.

pub mod age;
mod broker;
pub mod files;
pub mod kafka;
mod node;
pub mod port;
pub mod redis;
mod redis_cluster;
mod restart;
#[cfg(test)]
pub mod testing;

pub use broker::{LaunchSpec, NodeHost, NodesBroker};
pub use node::{LOG_LINES, Node, Plan, Runner};

use super::{EnvironmentError, Janitor, Launch};
use crate::model::{Software, System};
use crate::scenario::{SystemConfig, wrong_for_broker};
use std::time::{Duration, Instant};

/// Of a broker that is not alone: a quorum of three.
const MOST_NODES: usize = 3;

/// Why nobody can start it here.
pub fn run_by_others(system: System) -> Option<EnvironmentError> {
    let service = system.service()?;
    let what = format!("{system}: nobody can start {}", service.title());
    let block = service.name();
    let remedy = format!("describe one that runs as `{block}` in a file for --targets");
    Some(EnvironmentError::refused(what, remedy))
}

/// Refuses what a scenario may not set on a broker, whoever made the configuration: what would
/// reach beyond loopback or the run folder, or load code.
pub fn check(config: &SystemConfig) -> Result<(), EnvironmentError> {
    let software = config.system.software();
    if software == Software::Fake {
        return Err(EnvironmentError::Refused("the fake broker serves the self-check only".into()));
    }
    if let Some(error) = run_by_others(config.system) {
        return Err(error);
    }
    let mut settings = config.broker.iter().chain(&config.sentinel);
    match settings.find_map(|(key, value)| Some((key, wrong_for_broker(software, key, value)?))) {
        Some((key, (what, remedy))) => {
            let (key, system) = (key.escape_debug(), config.system);
            Err(EnvironmentError::refused(format!("broker: `{key}` of {system}: {what}"), remedy))
        }
        None => Ok(()),
    }
}

/// Runs a step before a broker's start: a program that is to end by itself, and successfully.
pub fn run_step(
    janitor: &Janitor,
    launch: Launch,
    what: &str,
    step: &str,
    limit: Duration,
) -> Result<(), EnvironmentError> {
    let log = launch.log.clone();
    let pid = janitor.spawn(launch)?;
    let cause = match janitor.wait(pid, Instant::now() + limit)? {
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
        log_tail: files::tail(&log, LOG_LINES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

    #[test]
    fn what_no_scenario_may_set_is_refused_whoever_made_the_configuration() {
        let with = |system: System, key: &str, value: &str| {
            let mut config = SystemConfig { nodes: 3, ..SystemConfig::defaults(system) };
            let settings = if key == "quorum" { &mut config.sentinel } else { &mut config.broker };
            settings.insert(key.into(), value.into());
            check(&config)
        };
        with(System::RedisStreams, "client-output-buffer-limit", "pubsub 0 0 0").unwrap();
        for (system, key, value) in [
            (System::Kafka, "num.io.threads", "8\nlisteners=PLAINTEXT://0.0.0.0:9092"),
            (System::Kafka, "a=b", "c"),
            (System::Kafka, "listeners", "PLAINTEXT://0.0.0.0:9092"),
            (System::RedisLists, "dir", "/"),
            (System::RedisLists, "quorum", "2\nport 1"),
        ] {
            let error = with(system, key, value).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains('\n'), "{error}");
        }
    }
}
