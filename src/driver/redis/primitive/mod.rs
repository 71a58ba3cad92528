//! What a primitive of Redis does in its own way: one trait, and one file for each primitive.
//!
//! A driver asks [`of`] once, when it opens. What a primitive has no way to do, it answers with
//! `cannot`; whatever all of them do alike is the driver's.

mod lists;
mod pubsub;
mod streams;

use super::capability::audit::AuditReader;
use super::capability::stall::Holder;
use super::driver::RedisDriver;
use super::load::connection::Connection;
use crate::driver::capability::ReplayFrom;
use crate::driver::work::{Responsibilities, Worker};
use crate::driver::{Audit, DriverError, Subscriber};
use crate::model::System;
use crate::scenario::{Cell, ListMode, SystemConfig};
use crate::units::Span;

pub type Connected = Result<Box<dyn Subscriber>, DriverError>;
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]);

/// `None` of what is no system on Redis.
pub fn of(config: &SystemConfig) -> Option<&'static dyn Primitive> {
    match config.system {
        System::RedisPubsub => Some(&pubsub::PubSub),
        System::RedisStreams => Some(&streams::Streams),
        System::RedisLists => Some(match config.consume.mode {
            ListMode::Pop => &lists::Lists { reliable: false },
            ListMode::Reliable => &lists::Lists { reliable: true },
        }),
        System::Kafka | System::Fake => None,
    }
}

/// How one large value is fetched.
#[derive(Default)]
pub struct LargeCommands {
    /// Sent once and answered before the value is published: a subscription.
    pub subscribe: Vec<u8>,
    /// How it is asked for; nothing where it is pushed.
    pub ask: Vec<u8>,
    /// Clears away what was read; nothing where reading does.
    pub clear: Vec<u8>,
}

/// Everything that one worker on a shared queue needs.
pub struct WorkerParts {
    pub connection: Connection,
    pub clock: crate::clock::Clock,
    pub key: String,
    pub dead: String,
    pub consumer: u16,
    pub processing: String,
    pub pause: Span,
}

pub trait Primitive: Send + Sync {
    /// Why a cell with these settings cannot be opened.
    fn refuses(&self, _: &Cell) -> Option<&'static str> {
        None
    }
    /// The publishing command in words, up to its last argument, the payload.
    fn publish(&self, key: &str, maxlen: Option<u64>) -> Vec<String>;
    /// How messages are published and consumed, in words.
    fn describe(&self, config: &SystemConfig) -> (String, String);
    /// How a consumer acknowledges, in words; the error is why nothing survives at all.
    fn acknowledgement(&self) -> Result<&'static str, &'static str>;
    /// What a publisher tries again, in words.
    fn retried(&self) -> &'static str {
        "every message without an answer, which may so be stored twice"
    }

    fn subscriber(&self, driver: &RedisDriver, subscription: u16, consumer: u16) -> Connected;
    /// The same through redis-rs.
    fn library_subscriber(&self, driver: &RedisDriver, subscription: u16, consumer: u16) -> Connected;
    /// The same over as many connections as it takes.
    fn resilient_subscriber(&self, driver: &RedisDriver, subscription: u16, consumer: u16, deadline: Span)
    -> Connected;
    /// One that has asked and does not read, and what the server holds for it meanwhile.
    fn stalled(
        &self,
        driver: &RedisDriver,
        subscription: u16,
        until_ns: u64,
    ) -> Result<(Box<dyn Subscriber>, Holder), DriverError>;
    /// Whether consumers move what they are working on into lists of their own.
    fn has_processing_lists(&self) -> bool {
        false
    }

    fn audit(&self, _: &RedisDriver, _: &mut AuditReader, _: Sink<'_>) -> Result<Audit, DriverError> {
        Ok(Audit::Nothing)
    }
    /// How one value of any size is fetched.
    fn large(&self, key: &str) -> LargeCommands;

    /// Before a subscriber that comes late connects: what makes it begin at the oldest message.
    fn join_late(&self, driver: &RedisDriver, _subscription: u16) -> Result<(), DriverError> {
        Err(driver.cannot("begin before its subscription", self.keeps_nothing()))
    }
    fn rewind(&self, driver: &RedisDriver, _subscription: u16) -> Result<(), DriverError> {
        Err(driver.cannot("go back", self.keeps_nothing()))
    }
    fn read_from(
        &self,
        driver: &RedisDriver,
        _from: ReplayFrom,
        _deadline_ns: u64,
        _sink: Sink<'_>,
    ) -> Result<(), DriverError> {
        Err(driver.cannot("read what was published", self.keeps_nothing()))
    }
    /// Why what was published cannot be read again.
    fn keeps_nothing(&self) -> &'static str {
        "it keeps nothing that was published"
    }

    /// Who does what with work that fails; the error is why there can be no such work.
    fn responsibilities(&self) -> Result<Responsibilities, &'static str>;
    /// The command that makes what work on `key` needs.
    fn prepare_work<'a>(&self, _key: &'a str, _group: &'a str) -> Option<Vec<&'a [u8]>> {
        None
    }
    fn worker(&self, _: WorkerParts) -> Option<Box<dyn Worker>> {
        None
    }
    fn dead_letters(&self, reader: &mut AuditReader, key: &str, sink: Sink<'_>) -> Result<(), DriverError> {
        reader.list(key, sink)
    }
}
