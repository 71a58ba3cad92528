//! One flow: messages at a fixed rate into a place of their own,
//! and the consumers that work on them.

use super::processing::{ProcessingLog, Task, UnacknowledgedWorker};
use crate::clock::Clock;
use crate::driver::work::{AcknowledgePolicy, WorkQueue, WorkTerms, Worker};
use crate::driver::{Driver, DriverError};
use crate::engine::{CellRunError, SendPlan};
use crate::experiment::ExperimentContext;
use crate::experiment::sender::{ExperimentSender, SendProgress};
use crate::payload::{Reading, read};
use crate::scenario::{Cell, Poison};
use crate::schedule::Schedule;
use crate::units::Span;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
    pub every: Option<u64>,
    cell: &'a Cell,
    keys: &'a Poison,
    run: u64,
    interrupted: &'a AtomicBool,
}

impl<'a> Flow<'a> {
    pub fn open(
        context: &'a ExperimentContext<'_>,
        keys: &'a Poison,
        part: &str,
        number: u64,
        every: Option<u64>,
    ) -> Result<Self, CellRunError> {
        let (cell, clock, interrupted) = (context.cell, context.clock(), context.interrupted);
        let (driver, run) = (context.prepared(cell, part)?, context.run.wrapping_add(number));
        Ok(Self { driver, clock, every, cell, keys, run, interrupted })
    }

    /// The sequence of a message of this flow.
    pub fn sequence(&self, payload: &[u8]) -> Option<u64> {
        match read(payload, self.run, self.cell.message.size.0 as usize) {
            Reading::Ours(envelope) => Some(envelope.sequence),
            Reading::Corrupt | Reading::Foreign => None,
        }
    }

    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    pub fn acknowledge(&self) -> AcknowledgePolicy {
        match self.keys.acknowledge {
            Span(0) => AcknowledgePolicy::EveryBatch,
            span => AcknowledgePolicy::Every(span),
        }
    }

    pub fn place(&self) -> Result<Place<'_>, DriverError> {
        let terms = WorkTerms {
            pause: self.keys.pause,
            tries: self.keys.retries,
            acknowledge: self.acknowledge(),
        };
        match self.driver.work(terms) {
            Ok(work) => Ok(Ok(work)),
            Err(cannot @ DriverError::Cannot { .. }) => Ok(Err(cannot.to_string())),
            Err(error) => Err(error),
        }
    }

    pub fn worker(&self, place: &Place<'_>, consumer: u16) -> Result<Box<dyn Worker>, DriverError> {
        match place {
            Ok(work) => work.worker(consumer),
            Err(_) => Ok(Box::new(UnacknowledgedWorker(self.driver.subscriber(0, consumer)?))),
        }
    }

    /// Deletes what the flow made. What cannot be deleted goes with the broker.
    pub fn clean_up(&self, place: &Place<'_>) {
        let _ = place.as_ref().map(|work| work.clean_up());
        let _ = self.driver.clean_up();
    }

    /// Sends for `length` at the fixed rate while `consume` runs;
    /// it is given the start of the load.
    pub fn under_load(
        &self,
        length: Span,
        place: &Place<'_>,
        consume: impl FnOnce(&mut FlowConsumer<'_>, u64) -> Result<(), DriverError>,
    ) -> Result<(ExperimentSender, ProcessingLog), CellRunError> {
        let keys = self.keys;
        let mut sender =
            ExperimentSender::new(self.driver.as_ref(), self.cell, self.run, self.clock)?;
        let start_ns = self.clock.now_ns() + LEAD_NS;
        let end_ns = start_ns + length.nanos();
        let plan = SendPlan {
            schedule: Some(Schedule::constant(keys.rate, 0, 1)),
            start_ns,
            messages: (keys.rate.per_s() * length.secs_f64()).ceil() as u64,
            send_until_ns: end_ns + keys.drain.nanos(),
            answers_ns: keys.drain.nanos(),
        };
        let log = ProcessingLog {
            run: self.run,
            message_bytes: self.cell.message.size.0 as usize,
            every: self.every,
            tries: place.is_ok().then_some(keys.retries),
            window: (start_ns + keys.warm_up.nanos(), end_ns),
            ..ProcessingLog::default()
        };
        let log = sender.run_beside(plan, self.interrupted, |progress| {
            let mut consumer = FlowConsumer { flow: self, progress, log };
            consume(&mut consumer, start_ns)?;
            Ok(consumer.log)
        })?;
        Ok((sender, log))
    }
}

/// The consuming side of a flow, whichever worker it has.
pub struct FlowConsumer<'a> {
    flow: &'a Flow<'a>,
    progress: &'a SendProgress,
    pub log: ProcessingLog,
}

impl FlowConsumer<'_> {
    fn now_ns(&self) -> u64 {
        self.flow.clock.now_ns()
    }

    fn fetch(&mut self, worker: &mut dyn Worker) -> Result<Vec<Task>, DriverError> {
        if self.flow.interrupted() {
            self.progress.stop.store(true, Relaxed);
        }
        self.log.fetch(
            worker,
            self.flow.cell.config.consume.batch,
            self.flow.clock.now_ns() + WAIT_NS,
        )
    }

    fn step(&mut self, worker: &mut dyn Worker) -> Result<(), DriverError> {
        let tasks = self.fetch(worker)?;
        self.log.work(worker, &tasks);
        Ok(())
    }

    /// Works until every message has come to its end, or none has for the drain time.
    pub fn work_off(&mut self, worker: &mut dyn Worker) -> Result<(), DriverError> {
        let (mut settled, mut moved_ns) = (self.log.settled(), self.now_ns());
        while !self.progress.all_settled(settled)
            && self.now_ns() <= moved_ns + self.flow.keys.drain.nanos()
        {
            self.step(worker)?;
            if self.log.settled() > settled {
                (settled, moved_ns) = (self.log.settled(), self.now_ns());
            }
        }
        Ok(())
    }

    pub fn work_until(
        &mut self,
        worker: &mut dyn Worker,
        until_ns: u64,
    ) -> Result<(), DriverError> {
        while self.now_ns() < until_ns && !self.progress.all_settled(self.log.settled()) {
            self.step(worker)?;
        }
        Ok(())
    }

    /// Takes messages without working on them until there are `many`, or no more come in time.
    pub fn fill_hands(
        &mut self,
        worker: &mut dyn Worker,
        many: usize,
    ) -> Result<Vec<Task>, DriverError> {
        let (mut tasks, deadline_ns) = (Vec::new(), self.now_ns() + FILL_NS);
        while tasks.len() < many && self.now_ns() < deadline_ns {
            tasks.extend(self.fetch(worker)?);
        }
        Ok(tasks)
    }
}
