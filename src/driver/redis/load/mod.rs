//! The way of the load through Redis: sockets, publishers and consumers, with nothing in between.

pub mod command;
pub mod connection;
pub mod copies;
pub mod crowd;
pub mod epoll;
pub mod lists;
pub mod merged;
pub mod publisher;
pub mod pubsub;
pub mod reconnect;
pub mod resilient;
pub mod session;
pub mod streams;
pub mod switches;
pub mod watch;

use super::{GRACE_NS, ON_TIME_NS};
use crate::clock::Clock;
use crate::driver::{DriverError, Incoming, Outgoing, Subscriber};
use connection::Connection;

/// Which consumer one is, and how it takes messages.
#[derive(Clone)]
pub struct ConsumerPlace {
    pub clock: Clock,
    /// Names of the channels, streams or lists.
    pub keys: Vec<String>,
    pub group: String,
    pub consumer: String,
    /// The list into which it moves what it is working on, where it does.
    pub processing: String,
    /// The most messages that one request may bring.
    pub batch: u32,
    /// Whether it outlives its connection. Then it comes back on time, whatever the server does
    /// (the next call takes a late answer up), and begins with what whoever had its place before
    /// left unacknowledged.
    pub outlives: bool,
    /// Whether its thread serves others too: then nothing that it does may wait.
    pub crowded: bool,
    /// Whether the server knows LMPOP and BLMPOP.
    pub pops_many: bool,
}

/// For how long one in a crowd asks the server to wait for messages.
const CROWDED_NS: u64 = 1_000_000_000;

impl ConsumerPlace {
    /// Until when the server is to wait for messages.
    pub fn ask_until(&self, until_ns: u64) -> u64 {
        if self.crowded { self.clock.now_ns() + CROWDED_NS } else { until_ns }
    }

    /// How long to wait for an answer that the server should give by `until_ns`.
    pub fn patience(&self, until_ns: u64) -> u64 {
        if self.crowded {
            return self.clock.now_ns();
        }
        let grace_ns = if self.outlives { ON_TIME_NS } else { GRACE_NS };
        until_ns.max(self.clock.now_ns()).saturating_add(grace_ns)
    }
}

/// Which socket of a publisher a message takes: there is one for each connection of the load, and
/// on a Redis Cluster one for each way of each connection, as the streams need them.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// The way of each stream, from 0; those that are not named go the first.
    ways: Vec<u16>,
    /// Sockets of each connection.
    sockets: usize,
}

impl Lanes {
    /// All streams go one way.
    pub fn together() -> Self {
        Self::along(Vec::new())
    }

    /// Each stream goes its own of these ways, none of which is left out.
    pub fn along(ways: Vec<u16>) -> Self {
        let sockets = ways.iter().max().map_or(1, |last| usize::from(*last) + 1);
        Self { ways, sockets }
    }

    #[inline]
    pub fn index(&self, message: &Outgoing<'_>) -> usize {
        let way = self.ways.get(usize::from(message.partition)).copied().unwrap_or(0);
        usize::from(message.connection) * self.sockets + usize::from(way)
    }
}

/// A consumer over one connection, which can go on over another.
pub trait RedisConsumer: Subscriber {
    /// Acknowledges what was handed out, sends the next request and does not look for its answer,
    /// which the next [`Subscriber::receive`] takes up; nothing where a request is not what the
    /// server waits for.
    fn request(&mut self, _until_ns: u64) -> Result<(), DriverError> {
        Ok(())
    }
    /// Hands out what has come of what was asked for, without asking or waiting.
    fn take_up(&mut self, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError>;
    /// What to watch; `None` while there is no connection.
    fn watched(&self) -> Option<&Connection>;
    /// Looks after what only the clock tells, where it outlives its connection.
    fn look(&mut self) {}
    /// Goes on with what the old connection left unfinished.
    fn resume(&mut self, connection: Connection);
    /// Whether the server owes an answer, after [`Subscriber::receive`] has come back.
    fn is_owed(&self) -> bool;
    /// Asks for a sign of life, where nothing is asked otherwise.
    fn nudge(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_server_share_a_socket_of_each_connection() {
        let index = |lanes: &Lanes, connection, partition| {
            lanes.index(&Outgoing { connection, partition, ..Outgoing::default() })
        };
        let together = Lanes::together();
        assert_eq!([index(&together, 0, 5), index(&together, 2, 5)], [0, 2]);
        let shards = Lanes::along(vec![0, 1, 0, 1]);
        let of = |connection| [0, 1, 2, 3].map(|partition| index(&shards, connection, partition));
        assert_eq!((of(0), of(1)), ([0, 1, 0, 1], [2, 3, 2, 3]));
    }
}
