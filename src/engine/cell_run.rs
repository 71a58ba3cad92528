//! One cell through its phases: prepare → connect → warm-up until steady → measure → drain → audit
//! → balance → judge.
//!
//! The schedule never restarts between warm-up and window. A broker that dies, or the user's
//! Ctrl-C, ends the load early and keeps what there is.

use super::audit::read_back;
use super::barrier::{Barrier, BarrierError};
use super::collect::Telemetry;
use super::comeback::Reasons;
use super::consume::ConsumerReport;
use super::control::{Context, Control, OnDrop};
use super::deliveries::Deliveries;
use super::fault_timeline::{FaultLog, FaultNews, FaultTimeline};
use super::notes::ProducerReport;
use super::output::output;
use super::progress::{LiveSecond, Observer, Phase, Progress};
use super::rows::RowTerms;
use super::spawn::{start_consumers, start_producers};
use super::thread_cpu::thread_cpu_ns;
use crate::clock::Clock;
use crate::driver::{Driver, DriverError};
use crate::environment::NodeOutage;
use crate::inject::Shared;
use crate::model::{FaultTarget, Latency};
use crate::payload::BodyError;
use crate::record::SECOND_NS;
use crate::result::shard::ShardClock;
use crate::result::{CellJournal, CellOutput, CellRecord, Counts, Description, Fault, ResultError};
use crate::scenario::{Cell, Model};
use crate::stats::ENOUGH_PER_S;
use crate::units::Rate;
use std::sync::TryLockError;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// A cell that could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum CellRunError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Payload(#[from] BodyError),
    #[error("a worker thread ended unexpectedly")]
    Thread,
    /// What was measured could not be kept.
    #[error(transparent)]
    Result(#[from] ResultError),
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

/// One run of a cell: everything that it needs besides its driver.
pub struct CellRun<'a, 'b> {
    pub cell: &'a Cell,
    pub block: u32,
    /// Names the cell in every envelope.
    pub run: u64,
    pub clock: Clock,
    /// The broker that is measured, and into which the faults of the cell are injected: without it
    /// none is.
    pub broker: Option<&'a Shared<'b>>,
    /// Set by the first Ctrl-C.
    pub interrupted: &'a AtomicBool,
    pub observer: Option<&'a mut dyn Observer>,
    /// Where its seconds go as they come; into memory without it.
    pub journal: Option<CellJournal>,
    /// For the self-check only: (ns after the start of the load, for how long) the pacer sleeps
    /// once.
    pub disturb: Option<(u64, u64)>,
    /// Where several shards run the cell together: where they meet.
    pub barrier: Option<&'a mut Barrier>,
}

static NEVER: AtomicBool = AtomicBool::new(false);

/// How often the coordinator looks around.
pub const LOOK: Duration = Duration::from_millis(50);
/// So long after the end of a second every thread that does not hang has handed it over.
const HANDED_OVER_NS: u64 = SECOND_NS / 4;
/// Every n-th look samples CPU and memory and asks whether the broker lives.
const SAMPLE_EVERY: u32 = 4;
/// After the last expected message, how long to listen for one too many.
pub const LISTEN_ON: Duration = Duration::from_millis(100);
/// Where nobody publishes: after so long without a message there is none left.
const DRAINED_NS: u64 = 5 * SECOND_NS;
/// Where some messages were never answered: for how long nothing must have arrived.
const QUIET_NS: u64 = SECOND_NS / 2;

impl<'a> CellRun<'a, '_> {
    /// On a broker that is not ours to look after, watched and interrupted by nobody.
    pub fn new(cell: &'a Cell, clock: Clock) -> Self {
        let (broker, observer, journal, disturb, barrier) = (None, None, None, None, None);
        let (block, run, interrupted) = (1, 0, &NEVER);
        Self { cell, block, run, clock, broker, interrupted, observer, journal, disturb, barrier }
    }

    /// Runs the cell to its end. An error means that no load was offered; whatever happens later is
    /// in the output.
    pub fn run(mut self, driver: &dyn Driver) -> Result<CellOutput, CellRunError> {
        self.prepare(driver)?;
        let description = driver.describe()?;
        let toll = driver.toll();
        if let Some(Ok(mut broker)) = self.broker.map(|shared| shared.lock()) {
            broker.outlive(self.cell.load.deadline);
        }
        let share = self.share();
        let Self { cell, block, run, clock, interrupted, .. } = self;
        let load = &cell.load;
        let control = &Control::new(load.subscriptions).staged(load);
        let deliveries = Deliveries::within(share, cell.lanes());
        let of = Context { cell, share, block, run, clock, driver, control, interrupted };
        let (harvest_to, harvests) = channel();
        let mut journal = self.journal.take();
        if let Some(journal) = &mut journal {
            journal.begin(&self.started(driver, &description))?;
        }
        let mut telemetry = Telemetry::new(harvests, clock, settling_timer(cell), journal);
        telemetry.health.begin(&self.broker_pids().unwrap_or_default());
        telemetry.event("phase", "connect");
        let mut reports = thread::scope(|scope| -> Result<Reports, CellRunError> {
            // Whatever goes wrong must release the consumers, or the scope would wait for ever.
            let release = OnDrop(|| control.stop_consuming());
            let consumers = start_consumers(scope, of, &deliveries, &harvest_to)?;
            let (disturb, begin) = (self.disturb, || self.begin(control));
            let (producers, start_ns) = start_producers(scope, of, disturb, &harvest_to, begin)?;
            drop(harvest_to);
            telemetry.begin(RowTerms::of(cell, start_ns));
            let (news_to, news) = channel();
            // The faults of the cell wait for its window.
            let broker = self.broker.filter(|_| !cell.faults.is_empty());
            let fault_timeline = broker.map(|broker| FaultTimeline { of, broker, news: news_to });
            let fault_timeline = fault_timeline.map(|timeline| scope.spawn(move || timeline.run()));
            let mut error = self.watch_load(control, &producers, start_ns, &news, &mut telemetry);
            // A load that ended before its time takes its faults along.
            let now = clock.now_ns();
            if control.window().is_none_or(|(_, end)| now < end) {
                control.abandon(now);
            }
            let produced = join_all(producers)?;
            // Everything is healed, and as whole as it gets, before anybody waits for messages or
            // reads them back.
            let log = join_all(fault_timeline)?.pop().unwrap_or_default();
            self.tell(&news, &mut telemetry);
            let mut known = None;
            if share.is_whole() {
                self.await_consumers(control, driver.acknowledges(), &produced, &mut telemetry);
            } else if error.is_none() {
                let owed = owed(&produced, driver.acknowledges()).1;
                match self.await_all(control, owed, &mut telemetry) {
                    Ok(clock) => known = Some(clock),
                    Err(why) => error = Some(why),
                }
            }
            let collected_ns = clock.now_ns();
            drop(release);
            let consumed = join_all(consumers)?.into_iter().flatten().collect();
            let toll = meanwhile(&toll, driver.toll());
            let clock = known;
            Ok(Reports { start_ns, collected_ns, error, produced, consumed, log, toll, clock })
        })?;
        telemetry.close_all(control.window());
        reports.log.faults.extend(self.outages());
        // Where nobody publishes there is nothing to be held against what is kept.
        let asked = load.audit && load.producers > 0 && share.shard.leads();
        let audited = asked && !interrupted.load(Relaxed) && reports.error.is_none();
        let audit = if audited { read_back(of, &mut telemetry) } else { None };
        Ok(output(of, description, reports, audit, telemetry)?)
    }

    /// The record of the cell as long as nothing of it is measured.
    fn started(&self, driver: &dyn Driver, description: &Description) -> CellRecord {
        CellRecord {
            open_loop: self.cell.load.model == Model::Open,
            survives: driver.survives(),
            counts: Counts { acked: driver.acknowledges().then_some(0), ..Counts::default() },
            description: description.clone(),
            ..self.cell.record(self.block)
        }
    }

    /// What somebody else did to the broker meanwhile, where that was to be outlived: told as the
    /// faults are that we inject.
    fn outages(&self) -> Vec<Fault> {
        let shared = self.broker.filter(|_| self.cell.load.deadline.is_some());
        let Some(Ok(broker)) = shared.map(|shared| shared.lock()) else { return Vec::new() };
        let fault = |seen: NodeOutage| Fault {
            kind: Fault::OUTAGE.to_owned(),
            target: FaultTarget::Node.name().to_owned(),
            node: seen.node,
            took_effect_at_ns: Some(self.clock.at(seen.from)),
            healed_at_ns: seen.to.map(|at| self.clock.at(at)),
            text: "not injected: seen from here, counted from when it last answered".to_owned(),
            ..Fault::default()
        };
        broker.outages().into_iter().map(fault).collect()
    }

    /// `None` while somebody does something to the broker: whoever injects may have it for seconds,
    /// and nobody waits for a look.
    fn broker_pids(&self) -> Option<Vec<u32>> {
        Some(self.broker?.try_lock().ok()?.pids())
    }

    /// Samples CPU and memory; faults end some of the broker's processes and start others.
    pub(super) fn sample(&self, telemetry: &mut Telemetry) {
        if let Some(pids) = self.broker_pids() {
            telemetry.pids = pids;
        }
        telemetry.health.sample(self.clock.now_ns(), &telemetry.pids);
    }

    /// An error once the broker is gone. Asked a few times a second.
    pub(super) fn alive(&self) -> Result<(), String> {
        match self.broker.map(|shared| shared.try_lock()) {
            Some(Ok(mut broker)) => broker.check().map_err(|error| error.to_string()),
            // Somebody does something to it on purpose.
            None | Some(Err(TryLockError::WouldBlock)) => Ok(()),
            Some(Err(TryLockError::Poisoned(_))) => {
                Err("whoever injected a fault ended unexpectedly".into())
            }
        }
    }

    /// Passes on what the faults have to say.
    fn tell(&mut self, news: &Receiver<FaultNews>, telemetry: &mut Telemetry) {
        for FaultNews { text, number, in_force } in news.try_iter() {
            match in_force {
                Some(words) => telemetry.faults.insert(number, words),
                None => telemetry.faults.remove(&number),
            };
            if let Some(observer) = &mut self.observer {
                observer.happened(&text);
            }
        }
    }

    /// Tells the last whole second, once, when every thread has handed it over; to who wants it.
    fn tell_second(&mut self, control: &Control, now: u64, told: &mut u64, telemetry: &Telemetry) {
        let (second, since) = ((now / SECOND_NS).saturating_sub(1), now % SECOND_NS);
        let watched = self.observer.as_ref().is_some_and(|observer| observer.wants_seconds());
        if !watched || since < HANDED_OVER_NS || *told >= second {
            return;
        }
        *told = second;
        let begun_ns = thread_cpu_ns();
        let Some((row, tails)) = telemetry.live(control.window(), second) else { return };
        let live = LiveSecond {
            phase: Phase::of(control.window(), now, now + 1),
            elapsed_ns: (u64::from(row.second) + 1) * SECOND_NS,
            window_ns: self.in_window(control, now),
            row,
            tails,
            subscriptions: self.cell.load.subscriptions,
            sent: telemetry.flow.sent.total(),
            acked: telemetry.flow.acked.total(),
            failed: control.failed.load(Relaxed),
            consumed: telemetry.flow.consumed.total(),
            faults: telemetry.faults.values().cloned().collect(),
            cost_ns: thread_cpu_ns().saturating_sub(begun_ns),
        };
        if let Some(observer) = &mut self.observer {
            observer.second(&live);
        }
    }

    /// How far the measured window is, and how long it lasts.
    fn in_window(&self, control: &Control, now: u64) -> Option<(u64, u64)> {
        let measuring = Phase::of(control.window(), now, now + 1) == Phase::Measure;
        let ends = measuring && self.cell.load.messages.is_none();
        let window = control.window().filter(|_| ends);
        window.map(|(start, end)| (now.saturating_sub(start), end.saturating_sub(start)))
    }

    /// From the first message to the last answer: opens the window once steady, watches broker and
    /// user. Returns why the load ended early, if it did.
    fn watch_load(
        &mut self,
        control: &Control,
        producers: &[ScopedJoinHandle<'_, ProducerReport>],
        start_ns: u64,
        news: &Receiver<FaultNews>,
        telemetry: &mut Telemetry,
    ) -> Option<String> {
        let load = &self.cell.load;
        if load.messages.is_some() {
            control.open_window(start_ns, u64::MAX);
        } else if load.producers == 0 {
            // What is there already is read from the first moment on.
            control.open_window(start_ns, start_ns + load.duration.nanos());
        }
        telemetry.event("phase", "warm-up");
        let (mut looks, mut told) = (0, 0);
        let mut error = None;
        let mut read = (0, start_ns);
        while !self.is_over(control, producers, &mut read) {
            thread::sleep(LOOK);
            let now = self.clock.now_ns();
            telemetry.absorb(control.window());
            self.tell(news, telemetry);
            self.tell_second(control, now, &mut told, telemetry);
            error = error.or_else(|| telemetry.broken());
            if looks % SAMPLE_EVERY == 0 {
                self.sample(telemetry);
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
            let beat = self.beat(control, start_ns, now, telemetry);
            if let Some(why) = self.touch(control, beat).filter(|_| error.is_none()) {
                telemetry.event("barrier", &why);
                error = Some(why);
            }
            if (error.is_some() || self.interrupted.load(Relaxed)) && !control.abandoned() {
                let why = match (&error, telemetry.broken()) {
                    (_, Some(_)) => "nothing is kept any more: load ended",
                    (Some(_), None) => "broker gone: load ended",
                    (None, None) => "load ended by the user",
                };
                telemetry.event("interrupt", why);
                self.abort(error.as_deref().unwrap_or(why));
                control.abandon(now);
            }
            if control.window().is_none() {
                self.open_window_when_steady(control, start_ns, now, telemetry);
            }
        }
        self.sample(telemetry);
        error
    }

    /// Whether all was sent; where nobody sends, whether all was read that is there (`read`: how
    /// much it was, and since when), or the time is up.
    fn is_over(
        &self,
        control: &Control,
        producers: &[ScopedJoinHandle<'_, ProducerReport>],
        read: &mut (u64, u64),
    ) -> bool {
        if self.cell.load.producers > 0 {
            return producers.iter().all(ScopedJoinHandle::is_finished) && !self.stays(control);
        }
        let now = self.clock.now_ns();
        let consumed: u64 = control.consumed.iter().map(|count| count.load(Relaxed)).sum();
        if consumed != read.0 {
            *read = (consumed, now);
        }
        let drained = now.saturating_sub(read.1) >= DRAINED_NS;
        control.abandoned() || drained || now >= control.stop_sending_at()
    }

    fn look(&self, control: &Control, start_ns: u64, telemetry: &Telemetry) -> Progress {
        let now = self.clock.now_ns();
        let last = telemetry.second((now / SECOND_NS).saturating_sub(1));
        let load = &self.cell.load;
        Progress {
            phase: Phase::of(control.window(), now, now + 1),
            elapsed_ns: now.saturating_sub(start_ns),
            window_ns: self.in_window(control, now),
            rate: self.rate_now(control, now),
            sent: control.sent.load(Relaxed),
            answered: control.answered.load(Relaxed),
            consumed: (load.subscriptions > 0).then(|| control.least_consumed()),
            p50_ns: last.map(|second| second.p50_ns),
            p99_ns: last.map(|second| second.p99_ns),
        }
    }

    /// What is offered by now; `None` where it is as much as goes.
    fn rate_now(&self, control: &Control, now: u64) -> Option<Rate> {
        let load = &self.cell.load;
        // Parts 0 and 1 are no stages.
        let stage = control.part(now).checked_sub(2).and_then(|number| load.stages.get(number));
        let rate = stage.map(|stage| Rate::from_f64(stage.mean_per_s())).or(load.rate);
        rate.filter(|_| load.model == Model::Open)
    }

    /// Waits until every subscription has everything, or the drain's deadline; then a little longer
    /// for duplicates.
    fn await_consumers(
        &self,
        control: &Control,
        acknowledges: bool,
        produced: &[ProducerReport],
        telemetry: &mut Telemetry,
    ) {
        let (sent, expected) = owed(produced, acknowledges);
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
            telemetry.absorb(control.window());
            thread::sleep(LOOK / 5);
        }
        if done {
            thread::sleep(LISTEN_ON);
        }
        self.sample(telemetry);
    }
}

/// How many messages were sent, and how many of them consumers must get.
fn owed(produced: &[ProducerReport], acknowledges: bool) -> (u64, u64) {
    let lanes = || produced.iter().flat_map(|report| &report.lanes);
    let sent: u64 = lanes().map(|lane| lane.sent).sum();
    let acked = || lanes().map(|lane| lane.acked.len()).sum();
    (sent, if acknowledges { acked() } else { sent })
}

/// The latency that says whether the system has settled.
pub fn settling_timer(cell: &Cell) -> Latency {
    if cell.load.model == Model::Open { Latency::Publish } else { Latency::Service }
}

/// What was counted between two looks.
fn meanwhile(before: &Reasons, after: Reasons) -> Reasons {
    let since = |(what, count): (String, u64)| {
        let before = before.get(&what).copied().unwrap_or(0);
        Some((what, count.checked_sub(before).filter(|count| *count > 0)?))
    };
    after.into_iter().filter_map(since).collect()
}

/// Whether its seconds hold too few messages to be held against each other.
pub fn too_few_to_settle(cell: &Cell) -> bool {
    let rate = cell.load.rate.filter(|_| cell.load.model == Model::Open);
    rate.is_some_and(|rate| rate.per_s() < ENOUGH_PER_S)
}

pub struct Reports {
    pub start_ns: u64,
    /// Until when consumers were waited for.
    pub collected_ns: u64,
    pub error: Option<String>,
    pub produced: Vec<ProducerReport>,
    pub consumed: Vec<ConsumerReport>,
    pub log: FaultLog,
    /// What the broker did to clients and messages by itself.
    pub toll: Reasons,
    /// Of a shard, how well its clock is known.
    pub clock: Option<ShardClock>,
}

fn join_all<'scope, T>(
    handles: impl IntoIterator<Item = ScopedJoinHandle<'scope, T>>,
) -> Result<Vec<T>, CellRunError> {
    handles.into_iter().map(|handle| handle.join().map_err(|_| CellRunError::Thread)).collect()
}
