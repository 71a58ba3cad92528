//! What the proxy counts while it carries: read by anyone at any time, written by its one thread.

use super::LinkEnd;
use std::sync::{Mutex, PoisonError};

/// Counts of one proxy since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Of these, still open.
    pub open: u64,
    /// Bytes handed to the kernel for the upstream.
    pub to_upstream: u64,
    /// Bytes handed to the kernel for the client.
    pub to_client: u64,
    /// Bytes that the proxy itself holds back now, both directions together.
    pub held: u64,
    /// Connections that a condition reset. Those reset by one of their ends are passed on and not counted.
    pub resets: u64,
    /// Bits flipped.
    pub flipped: u64,
}

impl Counters {
    pub(super) fn carried(&mut self, toward: LinkEnd, bytes: usize) {
        match toward {
            LinkEnd::Upstream => self.to_upstream += bytes as u64,
            LinkEnd::Client => self.to_client += bytes as u64,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counters>);

impl Tally {
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn read(&self) -> Counters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
