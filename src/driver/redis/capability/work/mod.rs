//! WorkQueue that may fail, on Redis: Streams count tries and keep what is pending, Lists leave that to the application,
//! Pub/Sub has nothing of the kind.

mod lists;
mod streams;

#[cfg(any(test, fuzzing))]
pub use streams::fuzz;

use super::audit::AuditReader;
use crate::driver::redis::control::ControlConnection;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::limits::SET_UP;
use crate::driver::redis::load::connection::Connection;
use crate::driver::work::{Responsibilities, WorkQueue, Worker};
use crate::driver::{Driver, DriverError};
use crate::model::System;
use crate::units::Span;
use crate::wire::redis as resp;
use std::cell::Cell;
use std::time::Instant;

const STREAMS: Responsibilities = Responsibilities {
    counts_tries: "the broker (delivery count of XPENDING)",
    repeats: "the application, from what the broker keeps pending (XAUTOCLAIM)",
    sets_aside: "the application (one EVAL: XADD to the dead letter stream, XACK)",
    takes_over: "the application, asking for what is idle (XAUTOCLAIM)",
    comes_again: "what was not yet acknowledged (XACK)",
};
const RELIABLE_LISTS: Responsibilities = Responsibilities {
    counts_tries: "the application, in its memory",
    repeats: "the application, from its memory",
    sets_aside: "the application (one EVAL: LREM from its processing list, LPUSH to the dead letter list)",
    takes_over: "the application, once it knows who died (LMOVE back from that processing list)",
    comes_again: "what was not yet removed from the processing list (LREM)",
};
const POPPED_LISTS: Responsibilities = Responsibilities {
    counts_tries: "the application, in its memory",
    repeats: "the application, from its memory",
    sets_aside: "the application (LPUSH to the dead letter list)",
    takes_over: "nobody: what was popped died with it",
    comes_again: "nothing",
};

/// The group that shares the work on a stream.
const GROUP: &str = "work";

/// Moves a dead consumer's elements back to where the next consumer takes first, the oldest last, so that they come in
/// order.
const TAKE_OVER: &[u8] = b"local moved = 0
while redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') do moved = moved + 1 end
return moved";

pub struct RedisWork<'a> {
    driver: &'a RedisDriver,
    key: &'a str,
    dead: String,
    pause: Span,
    /// Numbers of consumers so far: each has a processing list.
    consumers: Cell<u16>,
}

impl<'a> RedisWork<'a> {
    pub fn new(driver: &'a RedisDriver, pause: Span) -> Result<Self, DriverError> {
        if driver.system() == System::RedisPubsub {
            let (action, because) = ("try a message again", "Pub/Sub keeps no message that could be set aside either");
            return Err(DriverError::Cannot {
                system: System::RedisPubsub,
                action: action.into(),
                because: because.into(),
            });
        }
        let [key] = driver.keys.as_slice() else {
            return Err(driver.endpoint.refused("handing out work", "it comes from one stream or list; set keys: 1"));
        };
        let dead = format!("{}-dead", driver.target.name);
        let work = Self { driver, key, dead, pause, consumers: Cell::new(0) };
        if driver.system() == System::RedisStreams {
            work.command(&[b"XGROUP", b"CREATE", key.as_bytes(), GROUP.as_bytes(), b"0", b"MKSTREAM"])?;
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
        let (connection, clock) = (Connection::open(&self.driver.endpoint)?, self.driver.target.clock);
        let (key, dead) = (self.key.to_owned(), self.dead.clone());
        Ok(match self.driver.system() {
            System::RedisStreams => {
                Box::new(streams::StreamWorker::new(connection, clock, key, dead, consumer, self.pause))
            }
            _ => {
                let processing = self.driver.reliable().then(|| self.processing(consumer));
                Box::new(lists::ListWorker::new(connection, clock, key, dead, processing, self.pause))
            }
        })
    }

    fn take_over(&self, dead: u16) -> Result<(), DriverError> {
        if !self.driver.reliable() {
            return Ok(());
        }
        self.command(&[b"EVAL", TAKE_OVER, b"2", self.processing(dead).as_bytes(), self.key.as_bytes()])
    }

    fn dead_letters(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError> {
        let RedisDriver { endpoint, target, cell, .. } = self.driver;
        let mut reader = AuditReader::connect(endpoint, target.clock, deadline_ns, cell.message.size)?;
        if self.driver.system() == System::RedisStreams {
            reader.stream(&self.dead, "-", sink)
        } else {
            reader.list(&self.dead, sink)
        }
    }

    fn responsibilities(&self) -> Responsibilities {
        match self.driver.system() {
            System::RedisStreams => STREAMS,
            _ if self.driver.reliable() => RELIABLE_LISTS,
            _ => POPPED_LISTS,
        }
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        let mut keys: Vec<String> = (0..self.consumers.get()).map(|consumer| self.processing(consumer)).collect();
        keys.push(self.dead.clone());
        ControlConnection::connect(&self.driver.endpoint)?.delete(&self.driver.target.name, &keys)
    }
}
