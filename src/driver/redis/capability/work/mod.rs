//! WorkQueue that may fail, on Redis: Streams count tries and keep what is pending, Lists leave that to the application,
//! Pub/Sub has nothing of the kind.

pub mod lists;
pub mod streams;

#[cfg(any(test, fuzzing))]
pub use streams::fuzz;

use crate::driver::redis::control::ControlConnection;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::limits::SET_UP;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::primitive::WorkerParts;
use crate::driver::work::{Responsibilities, WorkQueue, Worker};
use crate::driver::{Driver, DriverError};
use crate::units::Span;
use crate::wire::redis as resp;
use std::cell::Cell;
use std::time::Instant;

/// The group that shares the work on a stream.
const GROUP: &str = "work";

/// Moves a dead consumer's elements back to where the next consumer takes first, the oldest last, so that they come in
/// order.
const TAKE_OVER: &[u8] = b"local moved = 0
while redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') do moved = moved + 1 end
return moved";

pub struct RedisWork<'a> {
    driver: &'a RedisDriver,
    responsibilities: Responsibilities,
    key: &'a str,
    dead: String,
    pause: Span,
    /// Numbers of consumers so far: each has a processing list.
    consumers: Cell<u16>,
}

impl<'a> RedisWork<'a> {
    pub fn new(driver: &'a RedisDriver, pause: Span) -> Result<Self, DriverError> {
        let responsibilities = match driver.primitive.responsibilities() {
            Ok(responsibilities) => responsibilities,
            Err(because) => return Err(driver.cannot("try a message again", because)),
        };
        let [key] = driver.keys.as_slice() else {
            return Err(driver.endpoint.refused("handing out work", "it comes from one stream or list; set keys: 1"));
        };
        let dead = format!("{}-dead", driver.target.name);
        let work = Self { driver, responsibilities, key, dead, pause, consumers: Cell::new(0) };
        if let Some(words) = driver.primitive.prepare_work(key, GROUP) {
            work.command(&words)?;
        }
        Ok(work)
    }

    fn processing(&self, consumer: u16) -> String {
        format!("{}-work-{consumer}", self.key)
    }

    fn command(&self, words: &[&[u8]]) -> Result<(), DriverError> {
        let mut connection = Connection::open(&self.driver.endpoint)?;
        resp::command(&mut connection.output.bytes, words);
        let name = String::from_utf8_lossy(words[0]);
        connection.reply(Instant::now() + SET_UP, &name).map(|_| ())
    }
}

impl WorkQueue for RedisWork<'_> {
    fn worker(&self, consumer: u16) -> Result<Box<dyn Worker>, DriverError> {
        self.consumers.set(self.consumers.get().max(consumer + 1));
        let parts = WorkerParts {
            connection: Connection::open(&self.driver.endpoint)?,
            clock: self.driver.target.clock,
            key: self.key.to_owned(),
            dead: self.dead.clone(),
            consumer,
            processing: self.processing(consumer),
            pause: self.pause,
        };
        self.driver.primitive.worker(parts).ok_or_else(|| self.driver.without("hand out work"))
    }

    fn take_over(&self, dead: u16) -> Result<(), DriverError> {
        if !self.driver.reliable() {
            return Ok(());
        }
        self.command(&[b"EVAL", TAKE_OVER, b"2", self.processing(dead).as_bytes(), self.key.as_bytes()])
    }

    fn dead_letters(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError> {
        let mut reader = self.driver.reader(deadline_ns)?;
        self.driver.primitive.dead_letters(&mut reader, &self.dead, sink)
    }

    fn responsibilities(&self) -> Responsibilities {
        self.responsibilities
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        let mut keys: Vec<String> = (0..self.consumers.get()).map(|consumer| self.processing(consumer)).collect();
        keys.push(self.dead.clone());
        ControlConnection::connect(&self.driver.endpoint)?.delete(&self.driver.target.name, &keys)
    }
}
