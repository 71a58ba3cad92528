//! The way of the load through Redis: sockets, publishers and consumers, with nothing in between.

pub mod connection;
pub mod copies;
pub mod epoll;
pub mod lists;
pub mod publisher;
pub mod pubsub;
pub mod reconnect;
pub mod resilient;
pub mod streams;
pub mod switches;

use super::{GRACE_NS, ON_TIME_NS};
use crate::clock::Clock;
use crate::driver::{DriverError, Subscriber};
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
}

impl ConsumerPlace {
    /// How long to wait for an answer that the server should give by `until_ns`.
    pub fn patience(&self, until_ns: u64) -> u64 {
        let grace_ns = if self.outlives { ON_TIME_NS } else { GRACE_NS };
        until_ns.max(self.clock.now_ns()).saturating_add(grace_ns)
    }
}

/// A consumer over one connection, which can go on over another.
pub trait RedisConsumer: Subscriber {
    /// Sends the next request and does not look for its answer, which the next
    /// [`Subscriber::receive`] takes up; nothing where a request is not what the server waits for.
    fn request(&mut self, _until_ns: u64) -> Result<(), DriverError> {
        Ok(())
    }
    /// Goes on with what the old connection left unfinished.
    fn resume(&mut self, connection: Connection);
    /// Whether the server owes an answer, after [`Subscriber::receive`] has come back.
    fn is_owed(&self) -> bool;
    /// Asks for a sign of life, where nothing is asked otherwise.
    fn nudge(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}
