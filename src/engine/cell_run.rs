//! One cell through its phases: prepare → connect → warm-up until steady → measure → drain → audit → balance → judge.
//!
//! The schedule never restarts between warm-up and window. A broker that dies, or the user's Ctrl-C, ends the load
//! early and keeps what there is.

use super::audit::read_back;
use super::collect::{Collector, seconds};
use super::consume::ConsumerReport;
use super::control::{Control, next_second};
use super::deliveries::Deliveries;
use super::fault_timeline::{FaultLog, FaultTimeline};
use super::output::{FinishedCell, output};
use super::publish::ProducerReport;
use super::spawn::{Context, start_consumers, start_producers};
use super::telemetry::Telemetry;
use crate::clock::Clock;
use crate::driver::{Driver, DriverError};
use crate::environment::EnvironmentError;
use crate::inject::Shared;
use crate::model::Latency;
use crate::payload::BodyError;
use crate::record::SECOND_NS;
use crate::result::CellOutput;
use crate::scenario::{Cell, Model};
use crate::stats::{level, settled};
use std::sync::TryLockError;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// A cell that could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Payload(#[from] BodyError),
    #[error(transparent)]
    Broker(#[from] EnvironmentError),
    #[error("a worker thread ended unexpectedly")]
    Thread,
}

/// Where a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    WarmUp,
    Measure,
    Drain,
}

/// A look at a running cell, for display only.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub phase: Phase,
    /// Since the start of the load, ns.
    pub elapsed_ns: u64,
    pub sent: u64,
    pub answered: u64,
    pub consumed: u64,
    /// Publish latency (closed model: service time) of the last whole second, ns.
    pub p50_ns: Option<u64>,
    pub p99_ns: Option<u64>,
}

/// Watches a cell run.
pub trait Observer {
    fn progress(&mut self, progress: &Progress);

    /// Something that a user who watches wants to know at once: a fault took effect, or was taken back.
    fn happened(&mut self, text: &str) {
        let _ = text;
    }
}

/// One run of a cell: everything that it needs besides its driver.
pub struct CellRun<'a, 'b> {
    cell: &'a Cell,
    block: u32,
    run: u64,
    clock: Clock,
    broker: Option<&'a Shared<'b>>,
    /// The broker's processes when it was asked last.
    pids: Vec<u32>,
    interrupted: &'a AtomicBool,
    observer: Option<&'a mut dyn Observer>,
    disturb: Option<(u64, u64)>,
}

/// For who is never interrupted.
static NEVER: AtomicBool = AtomicBool::new(false);

/// How often the coordinator looks around.
const LOOK: Duration = Duration::from_millis(50);
/// Every n-th look samples CPU and memory and asks whether the broker lives.
const SAMPLE_EVERY: u32 = 4;
/// After the last expected message, how long to listen for one too many.
const LISTEN_ON: Duration = Duration::from_millis(100);
/// Where some messages were never answered: for how long nothing must have arrived.
const QUIET_NS: u64 = SECOND_NS / 2;

impl<'a, 'b> CellRun<'a, 'b> {
    /// On a broker that is not ours to look after, watched and interrupted by nobody.
    pub fn new(cell: &'a Cell, clock: Clock) -> Self {
        let (broker, observer, disturb) = (None, None, None);
        Self { cell, block: 1, run: 0, clock, broker, pids: Vec::new(), interrupted: &NEVER, observer, disturb }
    }

    /// Its block, and the number that names it in every envelope.
    #[must_use]
    pub fn named(self, block: u32, run: u64) -> Self {
        Self { block, run, ..self }
    }

    /// The broker that is measured, and into which the faults of the cell are injected: without it none is.
    #[must_use]
    pub fn on(self, broker: &'a Shared<'b>) -> Self {
        Self { broker: Some(broker), ..self }
    }

    /// Set by the first Ctrl-C.
    #[must_use]
    pub fn until(self, interrupted: &'a AtomicBool) -> Self {
        Self { interrupted, ..self }
    }

    #[must_use]
    pub fn watched_by(self, observer: &'a mut dyn Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// For the self-check only: (ns after the start of the load, for how long) the pacer sleeps once.
    #[must_use]
    pub fn disturbed(self, disturb: Option<(u64, u64)>) -> Self {
        Self { disturb, ..self }
    }

    /// Runs the cell to its end. An error means that no load was offered; whatever happens later is in the output.
    pub fn run(mut self, driver: &dyn Driver) -> Result<CellOutput, TrialError> {
        driver.prepare()?;
        let description = driver.describe()?;
        let load = &self.cell.load;
        let control = Control::new(load.subscriptions);
        let deliveries = Deliveries::new(load.subscriptions, load.consumers, load.producers, self.cell.lanes());
        let context = Context { cell: self.cell, run: self.run, clock: self.clock, driver, control: &control };
        let (harvest_to, harvests) = channel();
        let mut telemetry = Telemetry::new(Collector::new(harvests), self.clock);
        telemetry.event("phase", "connect");
        let reports = thread::scope(|scope| -> Result<Reports, TrialError> {
            let consumers = start_consumers(scope, context, &deliveries, &harvest_to)?;
            // Whatever goes wrong from here on must release the consumers, or the scope would wait for ever.
            let release = Release(&control);
            let (producers, start_ns) = start_producers(scope, context, self.disturb, &harvest_to)?;
            drop(harvest_to);
            let (news_to, news) = channel();
            let fault_timeline = self.start_fault_timeline(scope, driver, &control, news_to);
            let error = self.watch_load(&control, &producers, start_ns, &news, &mut telemetry);
            // A load that ended before its time takes its faults along.
            let now = self.clock.now_ns();
            if control.window().is_none_or(|(_, end)| now < end) {
                control.abandon(now);
            }
            let produced = join_all(producers)?;
            // Everything is healed, and as whole as it gets, before anybody waits for messages or reads them back.
            let log = fault_timeline.map_or_else(|| Ok(FaultLog::default()), |thread| thread.join());
            let log = log.map_err(|_| TrialError::Thread)?;
            self.tell(&news);
            self.await_consumers(&control, driver.acknowledges(), &produced, &mut telemetry);
            drop(release);
            let consumed = join_all(consumers)?;
            Ok(Reports { start_ns, error, produced, consumed, log })
        })?;
        telemetry.collector.absorb();
        let interrupted = self.interrupted.load(Relaxed);
        let audit = if load.audit && !interrupted && reports.error.is_none() {
            read_back(context, self.interrupted, &mut telemetry)
        } else {
            None
        };
        let (cell, block, now_ns) = (self.cell, self.block, self.clock.now_ns());
        let interrupted = self.interrupted.load(Relaxed);
        let control = &control;
        Ok(output(FinishedCell {
            cell,
            block,
            now_ns,
            interrupted,
            driver,
            description,
            control,
            reports,
            audit,
            telemetry,
        }))
    }

    /// Begins the faults of the cell, which wait for its window.
    fn start_fault_timeline<'scope>(
        &self,
        scope: &'scope thread::Scope<'scope, '_>,
        driver: &'scope dyn Driver,
        control: &'scope Control,
        news: Sender<String>,
    ) -> Option<ScopedJoinHandle<'scope, FaultLog>>
    where
        Self: 'scope,
    {
        let broker = self.broker.filter(|_| !self.cell.faults.is_empty())?;
        let Self { cell, block, run, clock, interrupted, .. } = *self;
        let fault_timeline = FaultTimeline { cell, block, run, clock, control, driver, broker, interrupted, news };
        Some(scope.spawn(move || fault_timeline.run()))
    }

    /// The broker's processes now: faults end some and start others.
    fn pids(&mut self) -> &[u32] {
        // Whoever injects may have it for seconds; nobody waits for a look.
        if let Some(Ok(broker)) = self.broker.map(|shared| shared.try_lock()) {
            self.pids = broker.pids();
        }
        &self.pids
    }

    /// An error once the broker is gone. Asked a few times a second.
    fn alive(&self) -> Result<(), String> {
        match self.broker.map(|shared| shared.try_lock()) {
            Some(Ok(mut broker)) => broker.check().map_err(|error| error.to_string()),
            // Somebody does something to it on purpose.
            None | Some(Err(TryLockError::WouldBlock)) => Ok(()),
            Some(Err(TryLockError::Poisoned(_))) => Err("whoever injected a fault ended unexpectedly".into()),
        }
    }

    /// Passes on what the faults have to say.
    fn tell(&mut self, news: &Receiver<String>) {
        for text in news.try_iter() {
            if let Some(observer) = &mut self.observer {
                observer.happened(&text);
            }
        }
    }

    /// From the first message to the last answer: opens the window once steady, watches broker and user.
    /// Returns why the load ended early, if it did.
    fn watch_load(
        &mut self,
        control: &Control,
        producers: &[ScopedJoinHandle<'_, ProducerReport>],
        start_ns: u64,
        news: &Receiver<String>,
        telemetry: &mut Telemetry,
    ) -> Option<String> {
        let load = &self.cell.load;
        if load.messages.is_some() {
            control.open_window(start_ns, u64::MAX);
            telemetry.settled = true;
        }
        telemetry.event("phase", "warm-up");
        let mut looks = 0;
        let mut error = None;
        while !producers.iter().all(ScopedJoinHandle::is_finished) {
            thread::sleep(LOOK);
            let now = self.clock.now_ns();
            telemetry.collector.absorb();
            self.tell(news);
            if looks % SAMPLE_EVERY == 0 {
                telemetry.health.sample(now, self.pids());
                if let Err(why) = self.alive() {
                    telemetry.event("broker", &why);
                    error = Some(why);
                }
                let progress = self.look(control, start_ns, telemetry);
                if let Some(observer) = &mut self.observer {
                    observer.progress(&progress);
                }
            }
            looks += 1;
            if (error.is_some() || self.interrupted.load(Relaxed)) && !control.abandoned() {
                telemetry.event(
                    "interrupt",
                    if error.is_some() { "broker gone: load ended" } else { "load ended by the user" },
                );
                control.abandon(now);
            }
            if control.window().is_none() {
                self.open_window_when_steady(control, start_ns, now, telemetry);
            }
        }
        telemetry.health.sample(self.clock.now_ns(), self.pids());
        error
    }

    fn open_window_when_steady(&self, control: &Control, start_ns: u64, now: u64, telemetry: &mut Telemetry) {
        let load = &self.cell.load;
        let warmed = now.saturating_sub(start_ns);
        if warmed < load.warm_up.nanos() {
            return;
        }
        let timer = settling_timer(self.cell);
        // The last second may not be complete yet, and the first began in the middle.
        let (from, to) = (start_ns / SECOND_NS + 1, (now.saturating_sub(SECOND_NS / 5)) / SECOND_NS);
        telemetry.settled =
            settled(&seconds(&telemetry.collector, timer, from, to)) && level(&telemetry.health.broker_cpu(from, to));
        if telemetry.settled || warmed >= load.warm_up_limit.nanos() {
            let start = next_second(now, SECOND_NS / 5);
            control.open_window(start, start + load.duration.nanos());
            telemetry
                .event("steady", if telemetry.settled { "settled" } else { "not settled within the warm-up limit" });
            telemetry.event_at(start, "phase", "measure");
            telemetry.event_at(start + load.duration.nanos(), "phase", "drain");
        }
    }

    fn look(&self, control: &Control, start_ns: u64, telemetry: &Telemetry) -> Progress {
        let now = self.clock.now_ns();
        let phase = match control.window() {
            Some((start, end)) if now >= start => {
                if now < end {
                    Phase::Measure
                } else {
                    Phase::Drain
                }
            }
            _ => Phase::WarmUp,
        };
        let last = telemetry.collector.second(settling_timer(self.cell), (now / SECOND_NS).saturating_sub(1));
        Progress {
            phase,
            elapsed_ns: now.saturating_sub(start_ns),
            sent: control.sent.load(Relaxed),
            answered: control.answered.load(Relaxed),
            consumed: control.least_consumed(),
            p50_ns: last.map(|second| second.p50_ns),
            p99_ns: last.map(|second| second.p99_ns),
        }
    }

    /// Waits until every subscription has everything, or the drain's deadline; then a little longer for duplicates.
    fn await_consumers(
        &mut self,
        control: &Control,
        acknowledges: bool,
        produced: &[ProducerReport],
        telemetry: &mut Telemetry,
    ) {
        let lanes = || produced.iter().flat_map(|report| report.lanes.values());
        let sent: u64 = lanes().map(|lane| lane.sent).sum();
        let expected: u64 = lanes().map(|lane| if acknowledges { lane.acked.len() } else { lane.sent }).sum();
        // What was never answered may arrive as well, and must not stand for what is still missing.
        let mut last = (0, self.clock.now_ns());
        let deadline = self.clock.now_ns() + self.cell.load.drain.nanos();
        let mut done = false;
        while self.clock.now_ns() < deadline && !self.interrupted.load(Relaxed) {
            let consumed = || control.consumed.iter().map(|consumed| consumed.load(Relaxed));
            if consumed().sum::<u64>() != last.0 {
                last = (consumed().sum(), self.clock.now_ns());
            }
            let quiet = self.clock.now_ns() - last.1 >= QUIET_NS;
            done = consumed().all(|count| count >= sent || (count >= expected && quiet));
            if done || self.alive().is_err() {
                break;
            }
            telemetry.collector.absorb();
            thread::sleep(LOOK / 5);
        }
        if done {
            thread::sleep(LISTEN_ON);
        }
        telemetry.health.sample(self.clock.now_ns(), self.pids());
    }
}

/// The latency that says whether the system has settled.
pub(super) fn settling_timer(cell: &Cell) -> Latency {
    if cell.load.model == Model::Open { Latency::Publish } else { Latency::Service }
}

/// What the threads of the load reported.
pub(super) struct Reports {
    pub start_ns: u64,
    pub error: Option<String>,
    pub produced: Vec<ProducerReport>,
    pub consumed: Vec<ConsumerReport>,
    pub log: FaultLog,
}

/// Releases the consumers however the scope is left.
struct Release<'a>(&'a Control);
impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.stop_consuming();
    }
}

fn join_all<T>(handles: Vec<ScopedJoinHandle<'_, T>>) -> Result<Vec<T>, TrialError> {
    handles.into_iter().map(|handle| handle.join().map_err(|_| TrialError::Thread)).collect()
}
