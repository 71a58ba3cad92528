//! What the proxy counts while it carries: read by anyone at any time, written by its one thread.

use super::LinkEnd;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Bytes that the proxy holds back now, both directions.
    pub held: u64,
    /// Times that the bytes delayed in one direction of a connection reached the limit; the sender was slowed then.
    pub full: u64,
    /// Connections that a condition reset. Those reset by one of their ends are passed on and not counted.
    pub resets: u64,
    /// Connections closed because the upstream could not be reached.
    pub unreachable: u64,
    /// Bits flipped.
    pub flipped: u64,
}

/// A number that is added to and taken from.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU64);

impl Gauge {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    pub fn take(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The live counts behind [`Counters`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub connections: Gauge,
    pub open: Gauge,
    to_upstream: Gauge,
    to_client: Gauge,
    pub held: Gauge,
    pub full: Gauge,
    pub resets: Gauge,
    pub unreachable: Gauge,
    pub flipped: Gauge,
}

impl Tally {
    /// The bytes carried to `side`.
    pub fn carried(&self, side: LinkEnd) -> &Gauge {
        match side {
            LinkEnd::Upstream => &self.to_upstream,
            LinkEnd::Client => &self.to_client,
        }
    }

    pub fn read(&self) -> Counters {
        Counters {
            connections: self.connections.get(),
            open: self.open.get(),
            to_upstream: self.to_upstream.get(),
            to_client: self.to_client.get(),
            held: self.held.get(),
            full: self.full.get(),
            resets: self.resets.get(),
            unreachable: self.unreachable.get(),
            flipped: self.flipped.get(),
        }
    }
}
