//! One cell through its phases: prepare → connect → warm-up until steady → measure → drain → audit → balance → judge.
//!
//! The schedule never restarts between warm-up and window. A broker that dies, or the user's Ctrl-C, ends the load
//! early and keeps what there is.

use super::collect::{Collector, seconds};
use super::consume::ConsumerReport;
use super::control::{Control, next_second};
use super::fanout::FanOut;
use super::ordeal::{Endured, Ordeal};
use super::order::Order;
use super::probe::PROBER;
use super::publish::ProducerReport;
use super::watch::Watch;
use crate::clock::Clock;
use crate::driver::{Audit, Driver, DriverError};
use crate::environment::EnvironmentError;
use crate::fault::inject::Shared;
use crate::payload::{BodyError, Reading, read};
use crate::record::{AuditBook, Consumed, SECOND_NS, Timer};
use crate::result::CellOutput;
use crate::scenario::{Cell, Heal, Model};
use crate::stats::{level, settled};
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

/// Watches nothing.
pub struct Unobserved;
impl Observer for Unobserved {
    fn progress(&mut self, _: &Progress) {}
}

/// Everything that one cell needs besides its driver.
pub struct Trial<'a, 'b> {
    pub cell: &'a Cell,
    pub block: u32,
    /// Names this cell in every envelope.
    pub run: u64,
    pub clock: Clock,
    pub broker_pids: Vec<u32>,
    /// An error once the broker is gone. Asked a few times a second.
    pub broker_alive: &'a mut dyn FnMut() -> Result<(), String>,
    /// The broker itself, for the faults of the cell: without it none is injected.
    pub broker: Option<&'a Shared<'b>>,
    /// Set by the first Ctrl-C.
    pub interrupted: &'a AtomicBool,
    pub observer: &'a mut dyn Observer,
    /// For the self-check only: (ns after the start of the load, for how long) the pacer sleeps once.
    pub disturb: Option<(u64, u64)>,
}

/// How often the coordinator looks around.
const LOOK: Duration = Duration::from_millis(50);
/// Every n-th look samples CPU and memory and asks whether the broker lives.
const SAMPLE_EVERY: u32 = 4;
/// After the last expected message, how long to listen for one too many.
const LISTEN_ON: Duration = Duration::from_millis(100);
/// Where some messages were never answered: for how long nothing must have arrived.
const QUIET_NS: u64 = SECOND_NS / 2;
const AUDIT_WITHIN_NS: u64 = 120 * SECOND_NS;
/// From one try of the audit to the next.
const AUDIT_AGAIN: Duration = Duration::from_millis(500);

impl Trial<'_, '_> {
    /// Runs the cell to its end. An error means that no load was offered; whatever happens later is in the output.
    pub fn run(mut self, driver: &dyn Driver) -> Result<CellOutput, TrialError> {
        driver.prepare()?;
        let description = driver.describe()?;
        let load = &self.cell.load;
        let control = Control::new(load.subscriptions);
        let fan_out = FanOut::new(load.subscriptions, load.producers, self.cell.lanes());
        let order = Order::new(load.subscriptions, load.consumers, load.producers, self.cell.lanes());
        let (harvest_to, harvests) = channel();
        let mut watch = Watch::new(Collector::new(harvests), self.clock);
        watch.event("phase", "connect");
        let outcome = thread::scope(|scope| -> Result<Outcome, TrialError> {
            let consumers = self.start_consumers(scope, driver, &control, &fan_out, &order, &harvest_to)?;
            // Whatever goes wrong from here on must release the consumers, or the scope would wait for ever.
            let release = Release(&control);
            let (producers, start_ns) = self.start_producers(scope, driver, &control, &harvest_to)?;
            drop(harvest_to);
            let (news_to, news) = channel();
            let ordeal = self.start_ordeal(scope, driver, &control, news_to);
            let error = self.watch_load(&control, &producers, start_ns, &news, &mut watch);
            // A load that ended before its time takes its faults along.
            let now = self.clock.now_ns();
            if control.window().is_none_or(|(_, end)| now < end) {
                control.abandon(now);
            }
            let produced = join_all(producers)?;
            // Everything is healed, and as whole as it gets, before anybody waits for messages or reads them back.
            let endured = ordeal.map_or_else(|| Ok(Endured::default()), |thread| thread.join());
            let endured = endured.map_err(|_| TrialError::Thread)?;
            news.try_iter().for_each(|text| self.observer.happened(&text));
            self.await_consumers(&control, driver.acknowledges(), &produced, &mut watch);
            drop(release);
            let consumed = join_all(consumers)?;
            Ok(Outcome { start_ns, error, produced, consumed, endured })
        })?;
        watch.collector.absorb();
        let audit = if load.audit && !self.interrupted.load(Relaxed) && outcome.error.is_none() {
            self.audit(driver, &mut watch)
        } else {
            None
        };
        Ok(self.output(driver, description, &control, outcome, audit, watch))
    }

    /// Begins the faults of the cell, which wait for its window.
    fn start_ordeal<'scope>(
        &self,
        scope: &'scope thread::Scope<'scope, '_>,
        driver: &'scope dyn Driver,
        control: &'scope Control,
        news: Sender<String>,
    ) -> Option<ScopedJoinHandle<'scope, Endured>>
    where
        Self: 'scope,
    {
        let broker = self.broker.filter(|_| !self.cell.faults.is_empty())?;
        let Self { cell, block, run, clock, interrupted, .. } = *self;
        let ordeal = Ordeal { cell, block, run, clock, control, driver, broker, interrupted, news };
        Some(scope.spawn(move || ordeal.run()))
    }

    /// The broker's processes now: faults end some and start others.
    fn pids(&mut self) -> &[u32] {
        // Whoever injects may have it for seconds; nobody waits for a look.
        if let Some(Ok(broker)) = self.broker.map(|shared| shared.try_lock()) {
            self.broker_pids = broker.pids();
        }
        &self.broker_pids
    }

    /// From the first message to the last answer: opens the window once steady, watches broker and user.
    /// Returns why the load ended early, if it did.
    fn watch_load(
        &mut self,
        control: &Control,
        producers: &[ScopedJoinHandle<'_, ProducerReport>],
        start_ns: u64,
        news: &Receiver<String>,
        watch: &mut Watch,
    ) -> Option<String> {
        let load = &self.cell.load;
        if load.messages.is_some() {
            control.open_window(start_ns, u64::MAX);
            watch.settled = true;
        }
        watch.event("phase", "warm-up");
        let mut looks = 0;
        let mut error = None;
        while !producers.iter().all(ScopedJoinHandle::is_finished) {
            thread::sleep(LOOK);
            let now = self.clock.now_ns();
            watch.collector.absorb();
            news.try_iter().for_each(|text| self.observer.happened(&text));
            if looks % SAMPLE_EVERY == 0 {
                watch.health.sample(now, self.pids());
                if let Err(why) = (self.broker_alive)() {
                    watch.event("broker", &why);
                    error = Some(why);
                }
                self.observer.progress(&self.look(control, start_ns, watch));
            }
            looks += 1;
            if (error.is_some() || self.interrupted.load(Relaxed)) && !control.abandoned() {
                watch.event(
                    "interrupt",
                    if error.is_some() { "broker gone: load ended" } else { "load ended by the user" },
                );
                control.abandon(now);
            }
            if control.window().is_none() {
                self.open_window_when_steady(control, start_ns, now, watch);
            }
        }
        watch.health.sample(self.clock.now_ns(), self.pids());
        error
    }

    fn open_window_when_steady(&self, control: &Control, start_ns: u64, now: u64, watch: &mut Watch) {
        let load = &self.cell.load;
        let warmed = now.saturating_sub(start_ns);
        if warmed < load.warm_up.nanos() {
            return;
        }
        let timer = self.timer();
        // The last second may not be complete yet, and the first began in the middle.
        let (from, to) = (start_ns / SECOND_NS + 1, (now.saturating_sub(SECOND_NS / 5)) / SECOND_NS);
        watch.settled =
            settled(&seconds(&watch.collector, timer, from, to)) && level(&watch.health.broker_cpu(from, to));
        if watch.settled || warmed >= load.warm_up_limit.nanos() {
            let start = next_second(now, SECOND_NS / 5);
            control.open_window(start, start + load.duration.nanos());
            watch.event("steady", if watch.settled { "settled" } else { "not settled within the warm-up limit" });
            watch.event_at(start, "phase", "measure");
            watch.event_at(start + load.duration.nanos(), "phase", "drain");
        }
    }

    /// The latency that says whether the system has settled.
    pub(super) fn timer(&self) -> Timer {
        if self.cell.load.model == Model::Open { Timer::Publish } else { Timer::Service }
    }

    fn look(&self, control: &Control, start_ns: u64, watch: &Watch) -> Progress {
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
        let last = watch.collector.second(self.timer(), (now / SECOND_NS).saturating_sub(1));
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
        watch: &mut Watch,
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
            if done || (self.broker_alive)().is_err() {
                break;
            }
            watch.collector.absorb();
            thread::sleep(LOOK / 5);
        }
        if done {
            thread::sleep(LISTEN_ON);
        }
        watch.health.sample(self.clock.now_ns(), self.pids());
    }

    /// Reads back what the broker holds. After faults a first try may come too early: then it begins anew.
    fn audit(&mut self, driver: &dyn Driver, watch: &mut Watch) -> Option<AuditBook> {
        watch.event("phase", "audit");
        let deadline = self.clock.now_ns() + AUDIT_WITHIN_NS;
        let patient = !self.cell.faults.is_empty();
        let (mut kind, mut seen) = self.read_back(driver, deadline);
        while kind.is_err() && patient && self.clock.now_ns() < deadline && !self.interrupted.load(Relaxed) {
            thread::sleep(AUDIT_AGAIN);
            (kind, seen) = self.read_back(driver, deadline);
        }
        let unreadable = driver.unreadable();
        for words in &unreadable {
            watch.event("warning", &format!("not read back: {words}"));
        }
        // What cannot be read is gone where its node is gone for good. Elsewhere nobody knows.
        let for_good = self.cell.faults.iter().any(|plan| plan.heal() == Heal::Never);
        match kind {
            Ok(_) if !unreadable.is_empty() && !for_good => None,
            Ok(Audit::Retains { trimmed }) => Some(AuditBook { seen, retains: true, trimmed }),
            Ok(Audit::Remainder) => Some(AuditBook { seen, retains: false, trimmed: false }),
            Ok(Audit::Nothing) => None,
            Err(error) => {
                watch.event("warning", &format!("no audit: {error}"));
                None
            }
        }
    }

    fn read_back(&self, driver: &dyn Driver, deadline: u64) -> (Result<Audit, DriverError>, Consumed) {
        let size = self.cell.message.size.0 as usize;
        let mut seen = Consumed::default();
        let kind = driver.audit(deadline, &mut |message| match read(message, self.run, size) {
            Reading::Ours(envelope) if envelope.producer == PROBER => {}
            Reading::Ours(envelope) => {
                seen.note((envelope.producer, envelope.lane), envelope.sequence);
            }
            Reading::Corrupt => seen.corrupt += 1,
            Reading::Foreign => seen.foreign += 1,
        });
        (kind, seen)
    }
}

/// What the load left behind.
pub(super) struct Outcome {
    pub start_ns: u64,
    pub error: Option<String>,
    pub produced: Vec<ProducerReport>,
    pub consumed: Vec<ConsumerReport>,
    pub endured: Endured,
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
