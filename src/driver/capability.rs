//! What a driver may offer beside the load, for experiments and fault injection: replay, counted
//! requests, stalled consumers, values by key, the cluster seen from outside, boards, reflectors.
//!
//! Whoever lacks one answers [`Driver`](super::Driver) with [`DriverError::Cannot`]. Large messages
//! and work have files of their own.

use super::{DriverError, Subscriber};
use crate::units::Span;
use std::ops::Sub;
use std::time::Duration;

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// The oldest message there is.
    Beginning,
    /// The first message stored at or after this moment, in ms since 1970.
    Time(u64),
}

/// A system that can be asked for what was published before, whether or not it still has it.
pub trait Replay {
    /// A consumer of a new subscription, which begins at the oldest message there is.
    fn join_late(&self, subscription: u16) -> Result<Box<dyn Subscriber>, DriverError>;
    /// Moves a subscription back to the oldest message there is. All its consumers must have left.
    fn rewind(&self, subscription: u16) -> Result<(), DriverError>;
    /// Reads to the end that there is at the beginning of the call, without any subscription and
    /// without a trace.
    fn read_from(
        &self,
        from: ReplayFrom,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError>;
}

/// Requests by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// For messages.
    pub fetch: u64,
    /// To say what was processed.
    pub acknowledge: u64,
    /// To say that the consumer lives.
    pub keep_alive: u64,
    /// Where the topic is, who leads it, and the like.
    pub other: u64,
}

impl Requests {
    pub fn all(&self) -> u64 {
        self.fetch + self.acknowledge + self.keep_alive + self.other
    }
}

impl Sub for Requests {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            fetch: self.fetch.saturating_sub(before.fetch),
            acknowledge: self.acknowledge.saturating_sub(before.acknowledge),
            keep_alive: self.keep_alive.saturating_sub(before.keep_alive),
            other: self.other.saturating_sub(before.other),
        }
    }
}

/// A consumer, and a question about it that the broker or the client library answers within
/// a few seconds.
pub struct WatchedSubscriber<T> {
    pub subscriber: Box<dyn Subscriber>,
    pub ask: Box<dyn FnMut() -> Result<T, DriverError>>,
}

/// What a broker holds for one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldForConsumer {
    pub bytes: u64,
    /// Where: such as the output buffer of its connection, or the log.
    pub place: &'static str,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub enum CacheRequest<'a> {
    Set { key: &'a str, value: &'a [u8], ttl: Span },
    Get { key: &'a str },
}

/// What one request brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheAnswer<'a> {
    Stored,
    Found(&'a [u8]),
    Missing,
    /// The server's words.
    Refused(&'a str),
}

/// One client of a store of keys. Used by exactly one thread.
pub trait CacheClient: Send {
    /// Collects one request, whose `id` comes back with its answer. False when the socket is full:
    /// submit it again after `wait`.
    fn submit(&mut self, id: u64, request: CacheRequest<'_>) -> Result<bool, DriverError>;
    /// Writes out what `submit` has collected.
    fn flush(&mut self) -> Result<(), DriverError>;
    /// Hands over every answer that is there, with the `id` of its request and the time it was
    /// read, waiting until `until_ns` for the first. Those of one server come in their order.
    fn wait(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(u64, CacheAnswer<'_>, u64),
    ) -> Result<(), DriverError>;
}

/// A running system seen from outside. Every call is bounded by a few seconds.
pub trait ClusterView: Send {
    /// `host:port` of the node that takes the writes of `stream` (a partition, a stream on a Redis
    /// Cluster; any stream of other Redis), as clients are told.
    fn leader(&mut self, stream: u16) -> Result<String, DriverError>;
    /// `host:port` of Kafka's active controller, as far as it is also a broker.
    fn controller(&mut self) -> Result<String, DriverError>;
    /// (copies in sync, copies wanted), summed over the cell's streams: full redundancy is restored
    /// once they are equal.
    fn redundancy(&mut self) -> Result<(u32, u32), DriverError>;
    /// Moves the slot of `stream` to another shard, with all that it holds, and returns once every
    /// shard says so: what was moved, in words. Takes as long as the data does.
    fn reshard(&mut self, _stream: u16) -> Result<String, DriverError>;
    /// Sets a broker setting at run time (`maxmemory`), on the leader; returns the value that stood
    /// there before.
    fn set(&mut self, name: &str, value: &str) -> Result<String, DriverError>;
}

/// A log on the broker where the shards of one run leave words for each other, in one order for
/// all. It stands beside the cell's own topic, stream or list.
pub trait Board: Send {
    /// Adds a line.
    fn post(&mut self, line: &str) -> Result<(), DriverError>;
    /// Every line that came since the last call, at first since the log's beginning; waits up to
    /// `limit` for the first.
    fn read(&mut self, limit: Duration) -> Result<Vec<String>, DriverError>;
    /// Deletes the log; one that is gone is no error.
    fn remove(self: Box<Self>) -> Result<(), DriverError>;
}

/// A stand-in for a broker on loopback that answers at once: shows what the driver's own path costs
/// (instrument floor). Stops when dropped.
pub trait Reflector: Send {
    fn addresses(&self) -> Vec<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_go_by_kind() {
        let before = Requests { fetch: 2, acknowledge: 1, keep_alive: 0, other: 5 };
        let after = Requests { fetch: 12, acknowledge: 3, keep_alive: 1, other: 5 };
        let between = after - before;
        assert_eq!(between, Requests { fetch: 10, acknowledge: 2, keep_alive: 1, other: 0 });
        assert_eq!(between.all(), 13);
    }
}
