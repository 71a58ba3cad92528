//! What becomes of a client that gives out while its load goes on: another takes its place, as an
//! application would have it, and why is counted in the words that were heard.
//!
//! Where `load.deadline` is set, clients outlive their connections by themselves and hardly any of
//! this happens. A broker that is really gone ends the load from outside: nobody here gives up.

use crate::driver::{Backoff, DriverError};
use std::collections::BTreeMap;
use std::time::Duration;

/// Why something happened, and how often.
pub type Reasons = BTreeMap<String, u64>;

/// Adds what another one counted.
pub fn add(reasons: &mut Reasons, more: Reasons) {
    for (reason, count) in more {
        *reasons.entry(reason).or_default() += count;
    }
}

/// Of one producer or consumer, over all the clients that it needed.
#[derive(Debug, Default)]
pub struct Comeback {
    /// Why they were cut off or refused.
    pub cut_off: Reasons,
    /// What was tried again, by them and to have another.
    pub retries: Reasons,
    backoff: Backoff,
}

impl Comeback {
    pub fn note(&mut self, error: &DriverError) {
        *self.cut_off.entry(error.reason()).or_default() += 1;
    }

    /// The client of now has proved itself.
    pub fn settled(&mut self) {
        self.backoff.reset();
    }

    /// Tries until another client is there; `None` once it is `over` and nobody is needed.
    pub fn connect<T>(
        &mut self,
        connect: impl Fn() -> Result<T, DriverError>,
        mut over: impl FnMut() -> bool,
    ) -> Option<T> {
        while !over() {
            std::thread::sleep(Duration::from_nanos(self.backoff.pause_ns()));
            let (client, what) = match connect() {
                Ok(client) => (Some(client), "connection made again".to_owned()),
                Err(error) => (None, format!("connecting: {}", error.reason())),
            };
            *self.retries.entry(what).or_default() += 1;
            if client.is_some() {
                return client;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
