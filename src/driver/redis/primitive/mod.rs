//! What a primitive of Redis does in its own way: one trait, and one file for each primitive.
//!
//! A driver asks [`of`] once, when it opens. What a primitive has no way to do, it answers with
//! `cannot`; whatever all of them do alike is the driver's.

mod lists;
mod pubsub;
mod streams;

use super::capability::audit::AuditReader;
use super::driver::RedisDriver;
use super::endpoint::Endpoint;
use super::load::connection::Connection;
use super::load::{ConsumerPlace, RedisConsumer};
use crate::driver::capability::ReplayFrom;
use crate::driver::work::{Responsibilities, WorkTerms, Worker};
use crate::driver::{Audit, DriverError, Subscriber};
use crate::model::System;
use crate::scenario::{Cell, ConsumeMode, SystemConfig};
use redis::Cmd;

pub type Connected = Result<Box<dyn Subscriber>, DriverError>;
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]);

/// `None` of what is no system on Redis.
pub fn of(config: &SystemConfig) -> Option<&'static dyn Primitive> {
    match config.system.base() {
        System::RedisPubsub => Some(match config.sharded {
            true => &pubsub::PubSub { sharded: true },
            false => &pubsub::PubSub { sharded: false },
        }),
        System::RedisStreams => Some(&streams::Streams),
        System::RedisLists => Some(match config.consume.mode {
            ConsumeMode::Reliable => &lists::Lists { reliable: true },
            _ => &lists::Lists { reliable: false },
        }),
        _ => None,
    }
}

/// How one large value is fetched.
#[derive(Default)]
pub struct LargeCommands {
    /// Sent once and answered before the value is published: a subscription.
    pub subscribe: Option<Cmd>,
    /// How it is asked for; nothing where it is pushed.
    pub ask: Option<Cmd>,
    /// Clears away what was read; nothing where reading does.
    pub clear: Option<Cmd>,
}

/// How much of a Redis Cluster one connection of a consumer takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerReach {
    /// Any node hands out what was published at any other.
    Cluster,
    /// Whatever the server has.
    Server,
    /// A command waits on keys of one slot.
    Slot,
}

/// Everything that one worker on a shared queue needs.
pub struct WorkerParts {
    pub connection: Connection,
    pub place: ConsumerPlace,
    /// Where the dead letters go.
    pub dead: String,
    pub terms: WorkTerms,
}

pub trait Primitive: Send + Sync {
    /// Why a cell with these settings cannot be opened.
    fn refuses(&self, _: &Cell) -> Option<&'static str> {
        None
    }
    /// The publishing command, up to its last argument, the payload; up to the envelope, where that
    /// has a field of its own.
    fn publish(&self, key: &str, cell: &Cell) -> Cmd;
    /// Whether a message is an entry of fields.
    fn has_fields(&self) -> bool {
        false
    }
    /// How messages are published and consumed, in words.
    fn describe(&self, config: &SystemConfig) -> (String, String);
    /// How a consumer acknowledges, in words; the error is why nothing survives at all.
    fn acknowledgement(&self) -> Result<&'static str, &'static str>;
    /// Whether a message that may have been received must not be sent again.
    fn at_most_once(&self) -> bool {
        false
    }
    /// How much of a Redis Cluster one connection of a consumer takes from.
    fn reach(&self) -> ConsumerReach {
        ConsumerReach::Slot
    }

    /// Makes a connection ready to consume what is published from then on. A group that is new
    /// begins at the entry `from`.
    fn join(&self, _: &mut Connection, _: &ConsumerPlace, _from: &str) -> Result<(), DriverError> {
        Ok(())
    }
    /// A consumer over a connection that has joined.
    fn consumer(&self, connection: Connection, place: ConsumerPlace) -> Box<dyn RedisConsumer>;
    /// The same through redis-rs.
    fn library_consumer(&self, endpoint: &Endpoint, place: ConsumerPlace) -> Connected;
    /// What counts the elements that the server keeps under a key;
    /// `None`: it keeps them for each connection.
    fn length(&self) -> Option<&'static str> {
        None
    }
    /// Whether consumers move what they are working on into lists of their own.
    fn has_processing_lists(&self) -> bool {
        false
    }

    fn audit(
        &self,
        _: &RedisDriver,
        _: &mut AuditReader,
        _: Sink<'_>,
    ) -> Result<Audit, DriverError> {
        Ok(Audit::Nothing)
    }
    /// How one value of any size is fetched.
    fn large(&self, key: &str) -> LargeCommands;

    /// Makes a subscription begin at the oldest message: one that has `joined` goes back there, any
    /// other will begin there.
    fn rewind(
        &self,
        driver: &RedisDriver,
        _subscription: u16,
        joined: bool,
    ) -> Result<(), DriverError> {
        let action = if joined { "go back" } else { "begin before its subscription" };
        Err(driver.primary.endpoint.cannot(action, self.keeps_nothing()))
    }
    /// Reads what is kept.
    fn read(
        &self,
        driver: &RedisDriver,
        _: &mut AuditReader,
        _: ReplayFrom,
        _: Sink<'_>,
    ) -> Result<(), DriverError> {
        Err(driver.primary.endpoint.cannot("read what was published", self.keeps_nothing()))
    }
    /// Why what was published cannot be read again.
    fn keeps_nothing(&self) -> &'static str {
        "it keeps nothing that was published"
    }

    /// Who does what with work that fails; the error is why there can be no such work.
    fn responsibilities(&self) -> Result<Responsibilities, &'static str>;
    /// The command that makes what work on `key` needs.
    fn prepare_work(&self, _key: &str, _group: &str) -> Option<Cmd> {
        None
    }
    fn worker(&self, _: WorkerParts) -> Option<Box<dyn Worker>> {
        None
    }
    fn dead_letters(
        &self,
        reader: &mut AuditReader,
        key: &str,
        sink: Sink<'_>,
    ) -> Result<(), DriverError> {
        reader.list(key, sink)
    }
}
