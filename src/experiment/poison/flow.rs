//! One flow: messages at a fixed rate into a place of their own, and the consumers that work on them.

use super::processing::{PoisonRules, ProcessingLog, Task, UnacknowledgedWorker};
use crate::clock::Clock;
use crate::driver::work::{WorkQueue, Worker};
use crate::driver::{Driver, DriverError};
use crate::engine::{SendPlan, TrialError};
use crate::experiment::ExperimentContext;
use crate::experiment::sender::{ExperimentSender, SendProgress};
use crate::payload::{Reading, read};
use crate::scenario::{Cell, Poison};
use crate::schedule::Schedule;
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
pub type Place<'a> = Result<Box<dyn WorkQueue + 'a>, String>;

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
        context: &'a ExperimentContext<'_>,
        keys: &'a Poison,
        part: &str,
        number: u64,
        every: Option<u64>,
    ) -> Result<Self, TrialError> {
        let (driver, cell, interrupted) = (context.driver(context.cell, part)?, context.cell, context.interrupted);
        driver.prepare()?;
        let run = context.run.wrapping_add(number);
        Ok(Self { driver, clock: context.clock(), every, cell, keys, run, interrupted })
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
            Err(_) => Ok(Box::new(UnacknowledgedWorker { subscriber: self.driver.subscriber(0, consumer)? })),
        }
    }

    /// Deletes what the flow made. What cannot be deleted goes with the broker.
    pub fn clean_up(&self, place: &Place<'_>) {
        let _ = place.as_ref().map(|work| work.clean_up());
        let _ = self.driver.clean_up();
    }

    /// Sends for `length` at the fixed rate while `consume` runs; it is given a new log and the start of the load.
    pub fn under_load(
        &self,
        length: Span,
        place: &Place<'_>,
        consume: impl FnOnce(&mut ProcessingLog, &SendProgress, u64) -> Result<(), DriverError>,
    ) -> Result<(ExperimentSender, ProcessingLog), TrialError> {
        let keys = self.keys;
        let mut sender = ExperimentSender::new(self.driver.as_ref(), self.cell, self.run, self.clock)?;
        let start_ns = self.clock.now_ns() + LEAD_NS;
        let end_ns = start_ns + length.nanos();
        let plan = SendPlan {
            schedule: Some(Schedule::constant(keys.rate, 0, 1)),
            start_ns,
            messages: (keys.rate.per_s() * length.secs_f64()).ceil() as u64,
            send_until_ns: end_ns + keys.drain.nanos(),
            answers_ns: keys.drain.nanos(),
        };
        let mut log = ProcessingLog::new(PoisonRules {
            run: self.run,
            message_bytes: self.cell.message.size.0 as usize,
            every: self.every,
            tries: place.is_ok().then_some(keys.retries),
            window: (start_ns + keys.warm_up.nanos(), end_ns),
        });
        let progress = SendProgress::default();
        thread::scope(|scope| -> Result<(), TrialError> {
            let sending = scope.spawn(|| sender.run(plan, &progress));
            let consumed = consume(&mut log, &progress, start_ns);
            if consumed.is_err() {
                progress.stop.store(true, Relaxed);
            }
            sending.join().map_err(|_| TrialError::Thread)??;
            Ok(consumed?)
        })?;
        Ok((sender, log))
    }

    fn fetch(
        &self,
        log: &mut ProcessingLog,
        worker: &mut dyn Worker,
        progress: &SendProgress,
    ) -> Result<Vec<Task>, DriverError> {
        if self.interrupted() {
            progress.stop.store(true, Relaxed);
        }
        log.fetch(worker, self.cell.config.consume.batch, self.clock.now_ns() + WAIT_NS)
    }

    /// Works until every message has come to its end, or none has for the drain time.
    pub fn work_off(
        &self,
        log: &mut ProcessingLog,
        worker: &mut dyn Worker,
        progress: &SendProgress,
    ) -> Result<(), DriverError> {
        let (mut settled, mut moved_ns) = (log.settled(), self.clock.now_ns());
        while !progress.all_settled(settled) {
            let tasks = self.fetch(log, worker, progress)?;
            log.work(worker, &tasks);
            let now_ns = self.clock.now_ns();
            if log.settled() > settled {
                (settled, moved_ns) = (log.settled(), now_ns);
            } else if now_ns > moved_ns + self.keys.drain.nanos() {
                break;
            }
        }
        Ok(())
    }

    /// Works until `until_ns`.
    pub fn work_until(
        &self,
        log: &mut ProcessingLog,
        worker: &mut dyn Worker,
        progress: &SendProgress,
        until_ns: u64,
    ) -> Result<(), DriverError> {
        while self.clock.now_ns() < until_ns && !progress.all_settled(log.settled()) {
            let tasks = self.fetch(log, worker, progress)?;
            log.work(worker, &tasks);
        }
        Ok(())
    }

    /// Takes messages without working on them until there are `many`, or no more come in time.
    pub fn fill_hands(
        &self,
        log: &mut ProcessingLog,
        worker: &mut dyn Worker,
        progress: &SendProgress,
        many: usize,
    ) -> Result<Vec<Task>, DriverError> {
        let (mut tasks, deadline_ns) = (Vec::new(), self.clock.now_ns() + FILL_NS);
        while tasks.len() < many && self.clock.now_ns() < deadline_ns {
            tasks.extend(self.fetch(log, worker, progress)?);
        }
        Ok(tasks)
    }
}
