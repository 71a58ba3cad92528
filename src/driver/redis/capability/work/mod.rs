//! WorkQueue that may fail, on Redis: Streams count tries and keep what is pending, Lists leave
//! that to the application, Pub/Sub has nothing of the kind.

pub mod lists;
pub mod streams;

use crate::clock::Clock;
use crate::driver::redis::SET_UP;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::load::ConsumerPlace;
use crate::driver::redis::load::connection::{Connection, LARGEST_INPUT};
use crate::driver::redis::primitive::WorkerParts;
use crate::driver::work::{Responsibilities, WorkEvent, WorkQueue, WorkTerms, Worker};
use crate::driver::{Driver, DriverError};
use redis::{Cmd, FromRedisValue, Value, cmd};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The group that shares the work on a stream.
const GROUP: &str = "work";

/// Moves a dead consumer's elements back to where the next consumer takes first, the oldest last,
/// so that they come in order.
const TAKE_OVER: &str = "local moved = 0
while redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') do moved = moved + 1 end
return moved";

pub struct RedisWork<'a> {
    driver: &'a RedisDriver,
    responsibilities: Responsibilities,
    key: &'a str,
    dead: String,
    terms: WorkTerms,
    /// Numbers of consumers so far: each has a processing list.
    consumers: Cell<u16>,
}

impl<'a> RedisWork<'a> {
    pub fn new(driver: &'a RedisDriver, terms: WorkTerms) -> Result<Self, DriverError> {
        let cannot = |because| driver.primary.endpoint.cannot("try a message again", because);
        let responsibilities = driver.primitive.responsibilities().map_err(cannot)?;
        let [key] = driver.keys.as_slice() else {
            return Err(driver
                .primary
                .endpoint
                .refused("handing out work", "it comes from one stream or list; set keys: 1"));
        };
        // Named after the stream, beside which it lies on a Redis Cluster too.
        let dead = format!("{key}-dead");
        let work = Self { driver, responsibilities, key, dead, terms, consumers: Cell::new(0) };
        if let Some(command) = driver.primitive.prepare_work(key, GROUP) {
            work.ask("making the group", &command)?;
        }
        Ok(work)
    }

    fn processing(&self, consumer: u16) -> String {
        format!("{}-work-{consumer}", self.key)
    }

    /// To whoever has the stream or list.
    fn open(&self) -> Result<Connection, DriverError> {
        Connection::open(&self.driver.primary.find()?)
    }

    fn ask(&self, action: &str, command: &Cmd) -> Result<(), DriverError> {
        self.open()?.query::<Value>(action, command).map(drop)
    }
}

impl WorkQueue for RedisWork<'_> {
    fn worker(&self, consumer: u16) -> Result<Box<dyn Worker>, DriverError> {
        self.consumers.set(self.consumers.get().max(consumer + 1));
        let (group, processing) = (GROUP.to_owned(), self.processing(consumer));
        let parts = WorkerParts {
            connection: self.open()?,
            place: ConsumerPlace { group, processing, ..self.driver.place(0, consumer) },
            dead: self.dead.clone(),
            terms: self.terms,
        };
        self.driver.primitive.worker(parts).ok_or_else(|| self.driver.without("hand out work"))
    }

    fn take_over(&self, dead: u16) -> Result<(), DriverError> {
        if !self.driver.reliable() {
            return Ok(());
        }
        let command =
            cmd("EVAL").arg(TAKE_OVER).arg(2).arg(self.processing(dead)).arg(self.key).take();
        self.ask("taking over", &command)
    }

    fn dead_letters(
        &self,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError> {
        let mut reader = self.driver.reader(deadline_ns)?;
        self.driver.primitive.dead_letters(&mut reader, &self.dead, sink)
    }

    fn responsibilities(&self) -> Responsibilities {
        self.responsibilities
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        let mut keys: Vec<String> =
            (0..self.consumers.get()).map(|consumer| self.processing(consumer)).collect();
        keys.push(self.dead.clone());
        self.open()?.delete(&self.driver.target.name, &keys)
    }
}

/// A worker's connection, and what the worker has decided and the server does not know yet.
struct WorkConnection {
    connection: Connection,
    clock: Clock,
    /// Commands, each with the number of the message that lies among
    /// the dead letters once it is done.
    decided: Vec<(Cmd, Option<u64>)>,
}

impl WorkConnection {
    /// Tells the server what was decided and asks for more, all in one write. What is asked for may
    /// block in the server for `left`.
    fn ask<T: FromRedisValue>(
        &mut self,
        commands: &[Cmd],
        left: Duration,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<Vec<T>, DriverError> {
        let decided = self.decided.iter().map(|(command, _)| command);
        decided.chain(commands).for_each(|command| self.connection.collect(command));
        let deadline = Instant::now() + left + SET_UP;
        for (_, buried) in self.decided.drain(..) {
            self.connection.answer::<Value>(LARGEST_INPUT, deadline, "ending work")?;
            if let Some(id) = buried {
                sink(WorkEvent::DeadLettered { id, at_ns: self.clock.now_ns() });
            }
        }
        let mut answer = || self.connection.answer(LARGEST_INPUT, deadline, "taking work");
        commands.iter().map(|_| answer()).collect()
    }

    /// Tells the server what was decided last.
    fn settle(&mut self) -> Result<(), DriverError> {
        self.ask::<Value>(&[], Duration::ZERO, &mut |_| ()).map(drop)
    }
}

#[cfg(test)]
mod tests;
