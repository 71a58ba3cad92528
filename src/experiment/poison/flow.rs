//! One flow: messages at a fixed rate into a place of their own, and the consumers that work on them.

use super::feed::{Fed, Gauge, Plan, feed};
use super::shift::{Book, Fleeting, Rules, Task};
use crate::clock::Clock;
use crate::driver::work::{Work, Worker};
use crate::driver::{Driver, DriverError};
use crate::engine::{TrialError, body_kind};
use crate::experiment::Stage;
use crate::payload::{Bodies, Reading, read};
use crate::scenario::{Cell, Poison};
use crate::units::Span;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// How long one call may wait for a message, ns.
const WAIT_NS: u64 = 20_000_000;
/// Time between connecting and the first message, ns.
const LEAD_NS: u64 = 50_000_000;
/// How long a consumer may take to get its hands full, ns.
const FILL_NS: u64 = 1_000_000_000;

/// The system's way to hand out work, or why it has none.
pub type Place<'a> = Result<Box<dyn Work + 'a>, String>;

pub struct Flow<'a> {
    pub driver: Box<dyn Driver>,
    pub clock: Clock,
    /// Every n-th message is poison.
    pub every: Option<u64>,
    cell: &'a Cell,
    keys: &'a Poison,
    run: u64,
    interrupted: &'a AtomicBool,
}

/// The sequence of a message of this flow.
pub fn sequences(flow: &Flow<'_>, payload: &[u8]) -> Option<u64> {
    match read(payload, flow.run, flow.cell.message.size.0 as usize) {
        Reading::Ours(envelope) => Some(envelope.sequence),
        Reading::Corrupt | Reading::Foreign => None,
    }
}

impl<'a> Flow<'a> {
    pub fn open(
        stage: &'a Stage<'_>,
        keys: &'a Poison,
        part: &str,
        number: u64,
        every: Option<u64>,
    ) -> Result<Self, TrialError> {
        let (driver, cell, interrupted) = (stage.driver(stage.cell, part)?, stage.cell, stage.interrupted);
        driver.prepare()?;
        let run = stage.run.wrapping_add(number);
        Ok(Self { driver, clock: stage.clock(), every, cell, keys, run, interrupted })
    }

    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    pub fn place(&self) -> Result<Place<'_>, DriverError> {
        match self.driver.work(self.keys.pause) {
            Ok(work) => Ok(Ok(work)),
            Err(cannot @ DriverError::Cannot { .. }) => Ok(Err(cannot.to_string())),
            Err(error) => Err(error),
        }
    }

    pub fn worker(&self, place: &Place<'_>, consumer: u16) -> Result<Box<dyn Worker>, DriverError> {
        match place {
            Ok(work) => work.worker(consumer),
            Err(_) => Ok(Box::new(Fleeting { subscriber: self.driver.subscriber(0, consumer)? })),
        }
    }

    /// Deletes what the flow made. What cannot be deleted goes with the broker.
    pub fn clean_up(&self, place: &Place<'_>) {
        let _ = place.as_ref().map(|work| work.clean_up());
        let _ = self.driver.clean_up();
    }

    /// Sends for `length` at the fixed rate while `consume` runs; it is given a new book and the start of the load.
    pub fn under_load(
        &self,
        length: Span,
        place: &Place<'_>,
        consume: impl FnOnce(&mut Book, &Gauge, u64) -> Result<(), DriverError>,
    ) -> Result<(Fed, Book), TrialError> {
        let (cell, keys, message_bytes) = (self.cell, self.keys, self.cell.message.size.0 as usize);
        let mut bodies = Bodies::generate(body_kind(cell), message_bytes, cell.seed)?;
        let mut publisher = self.driver.publisher(0)?;
        let start_ns = self.clock.now_ns() + LEAD_NS;
        let end_ns = start_ns + length.nanos();
        let plan = Plan {
            run: self.run,
            rate: keys.rate,
            messages: (keys.rate.per_s() * length.secs_f64()).ceil() as u64,
            streams: cell.config.streams(),
            in_flight: cell.load.in_flight,
            start_ns,
            deadline_ns: end_ns + keys.drain.nanos(),
        };
        let mut book = Book::new(Rules {
            run: self.run,
            message_bytes,
            every: self.every,
            tries: place.is_ok().then_some(keys.retries),
            window: (start_ns + keys.warm_up.nanos(), end_ns),
        });
        let gauge = Gauge::default();
        let fed = thread::scope(|scope| {
            let feeding = scope.spawn(|| feed(&plan, self.clock, publisher.as_mut(), &mut bodies, &gauge));
            let consumed = consume(&mut book, &gauge, start_ns);
            if consumed.is_err() {
                gauge.stop.store(true, Relaxed);
            }
            let fed = feeding.join().map_err(|_| TrialError::Thread)??;
            consumed.map(|()| fed).map_err(TrialError::from)
        })?;
        Ok((fed, book))
    }

    fn fetch(&self, book: &mut Book, worker: &mut dyn Worker, gauge: &Gauge) -> Result<Vec<Task>, DriverError> {
        if self.interrupted() {
            gauge.stop.store(true, Relaxed);
        }
        book.fetch(worker, self.cell.config.consume.batch, self.clock.now_ns() + WAIT_NS)
    }

    /// Works until every message has come to its end, or none has for the drain time.
    pub fn work_off(&self, book: &mut Book, worker: &mut dyn Worker, gauge: &Gauge) -> Result<(), DriverError> {
        let (mut settled, mut moved_ns) = (book.settled(), self.clock.now_ns());
        while !gauge.all_settled(settled) {
            let tasks = self.fetch(book, worker, gauge)?;
            book.work(worker, &tasks);
            let now_ns = self.clock.now_ns();
            if book.settled() > settled {
                (settled, moved_ns) = (book.settled(), now_ns);
            } else if now_ns > moved_ns + self.keys.drain.nanos() {
                break;
            }
        }
        Ok(())
    }

    /// Works until `until_ns`.
    pub fn work_until(
        &self,
        book: &mut Book,
        worker: &mut dyn Worker,
        gauge: &Gauge,
        until_ns: u64,
    ) -> Result<(), DriverError> {
        while self.clock.now_ns() < until_ns && !gauge.all_settled(book.settled()) {
            let tasks = self.fetch(book, worker, gauge)?;
            book.work(worker, &tasks);
        }
        Ok(())
    }

    /// Takes messages without working on them until there are `many`, or no more come in time.
    pub fn fill_hands(
        &self,
        book: &mut Book,
        worker: &mut dyn Worker,
        gauge: &Gauge,
        many: usize,
    ) -> Result<Vec<Task>, DriverError> {
        let (mut tasks, deadline_ns) = (Vec::new(), self.clock.now_ns() + FILL_NS);
        while tasks.len() < many && self.clock.now_ns() < deadline_ns {
            tasks.extend(self.fetch(book, worker, gauge)?);
        }
        Ok(tasks)
    }
}
