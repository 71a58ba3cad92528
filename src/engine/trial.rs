//! One cell through its phases: prepare → connect → warm-up until steady → measure → drain → audit → balance → judge.
//!
//! The schedule never restarts between warm-up and window. A broker that dies, or the user's Ctrl-C, ends the load
//! early and keeps what there is.

use super::collect::{Collector, seconds};
use super::consume::{ConsumerReport, Expectation, consume};
use super::control::{Control, next_second};
use super::gates::{Evidence, judge};
use super::health::Health;
use super::publish::{Assignment, ProducerReport, produce};
use crate::clock::Clock;
use crate::driver::{Audit, Driver, DriverError};
use crate::payload::{Bodies, BodyError, BodyKind, Reading, read};
use crate::record::{AuditBook, Books, Consumed, Counted, LatencyRecorder, SECOND_NS, Tally, Timer, new_histogram};
use crate::result::{CellOutput, CellRecord, Counts, Event, Resources, SCHEMA, WindowRow};
use crate::scenario::{Arrivals, Cell, Model, PayloadKind};
use crate::schedule::Schedule;
use crate::stats::settled;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// A cell that could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Payload(#[from] BodyError),
    #[error("a worker thread ended unexpectedly")]
    Thread,
    #[error("interrupted before the load began")]
    Interrupted,
}

/// Where a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Connect,
    WarmUp,
    Measure,
    Drain,
    Audit,
}

/// A look at a running cell, for display only.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub phase: Phase,
    /// Since the start of the load, and the planned length of this phase where known, ns.
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
}

/// Watches nothing.
pub struct Unobserved;
impl Observer for Unobserved {
    fn progress(&mut self, _: &Progress) {}
}

/// Everything that one cell needs besides its driver.
pub struct Trial<'a> {
    pub cell: &'a Cell,
    pub block: u32,
    /// Names this cell in every envelope.
    pub run: u64,
    pub clock: Clock,
    pub broker_pids: Vec<u32>,
    /// An error once the broker is gone. Asked a few times a second.
    pub broker_alive: &'a mut dyn FnMut() -> Result<(), String>,
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
/// Connecting all clients must be done by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// After the last expected message, how long to listen for one too many.
const LISTEN_ON: Duration = Duration::from_millis(100);
const AUDIT_WITHIN_NS: u64 = 120 * SECOND_NS;
/// Messages in a row to the same partition in the closed model: what batching clients do.
const CLOSED_RUN: u32 = 1000;

impl Trial<'_> {
    /// Runs the cell to its end. An error means that no load was offered; whatever happens later is in the output.
    pub fn run(mut self, driver: &dyn Driver) -> Result<CellOutput, TrialError> {
        driver.prepare()?;
        let description = driver.describe()?;
        let load = &self.cell.load;
        let control = Control::new(load.subscriptions);
        let (harvest_to, harvests) = channel();
        let mut watch = Watch::new(Collector::new(harvests), self.clock);
        watch.event("phase", "connect");
        let outcome = thread::scope(|scope| -> Result<Outcome, TrialError> {
            let consumers = self.start_consumers(scope, driver, &control, &harvest_to)?;
            // Whatever goes wrong from here on must release the consumers, or the scope would wait for ever.
            let release = Release(&control);
            let (producers, start_ns) = self.start_producers(scope, driver, &control, &harvest_to)?;
            drop(harvest_to);
            let error = self.watch_load(&control, &producers, start_ns, &mut watch);
            let produced = join_all(producers)?;
            self.await_consumers(&control, driver.acknowledges(), &produced, &mut watch);
            drop(release);
            let consumed = join_all(consumers)?;
            Ok(Outcome { start_ns, error, produced, consumed })
        })?;
        watch.collector.absorb();
        let audit = if load.audit && !self.interrupted.load(Relaxed) && outcome.error.is_none() {
            self.audit(driver, &mut watch)
        } else {
            None
        };
        Ok(self.output(driver, description, &control, outcome, audit, watch))
    }

    /// Connects every consumer in its own thread, since consumers of one group need each other to get started.
    fn start_consumers<'scope>(
        &self,
        scope: &'scope thread::Scope<'scope, '_>,
        driver: &'scope dyn Driver,
        control: &'scope Control,
        harvest_to: &Sender<crate::record::Harvest>,
    ) -> Result<Vec<ScopedJoinHandle<'scope, ConsumerReport>>, TrialError> {
        let load = &self.cell.load;
        let (ready_to, ready) = channel::<Result<(), DriverError>>();
        let mut handles = Vec::new();
        let clock = self.clock;
        for subscription in 0..load.subscriptions {
            let expect = Expectation {
                subscription,
                run: self.run,
                message_bytes: self.cell.message.size.0 as usize,
                open: load.model == Model::Open,
            };
            for consumer in 0..load.consumers {
                let (ready_to, recorder) = (ready_to.clone(), LatencyRecorder::new(harvest_to.clone()));
                handles.push(scope.spawn(move || match driver.subscriber(subscription, consumer) {
                    Ok(subscriber) => {
                        let _ = ready_to.send(Ok(()));
                        drop(ready_to);
                        consume(expect, clock, control, subscriber, recorder)
                    }
                    Err(error) => {
                        let _ = ready_to.send(Err(error));
                        ConsumerReport::default()
                    }
                }));
            }
        }
        drop(ready_to);
        let all = await_ready(&ready, handles.len());
        if all.is_err() {
            control.stop_consuming();
        }
        all.map(|()| handles)
    }

    /// Connects every producer and starts the load at one time for all of them, which is returned.
    fn start_producers<'scope>(
        &self,
        scope: &'scope thread::Scope<'scope, '_>,
        driver: &'scope dyn Driver,
        control: &'scope Control,
        harvest_to: &Sender<crate::record::Harvest>,
    ) -> Result<(Vec<ScopedJoinHandle<'scope, ProducerReport>>, u64), TrialError> {
        let load = &self.cell.load;
        let size = self.cell.message.size.0 as usize;
        let mut crew = Vec::new();
        for producer in 0..load.producers {
            let seed = self.cell.seed.wrapping_add(u64::from(producer));
            let bodies = Bodies::generate(body_kind(self.cell), size, seed)?;
            crew.push((producer, driver.publisher(producer)?, bodies));
        }
        let start_ns = self.clock.now_ns() + SECOND_NS / 20;
        let clock = self.clock;
        let handles = crew
            .into_iter()
            .map(|(producer, publisher, bodies)| {
                let (job, recorder) = (self.assignment(producer, start_ns), LatencyRecorder::new(harvest_to.clone()));
                scope.spawn(move || produce(job, clock, control, publisher, bodies, recorder))
            })
            .collect();
        Ok((handles, start_ns))
    }

    fn assignment(&self, producer: u16, start_ns: u64) -> Assignment {
        let load = &self.cell.load;
        let schedule = match (load.model, load.rate) {
            (Model::Open, Some(rate)) => Some(match load.arrivals {
                Arrivals::Constant => Schedule::constant(rate, producer, load.producers),
                Arrivals::Poisson => Schedule::poisson(rate, producer, load.producers, self.cell.seed),
            }),
            _ => None,
        };
        // Open model: as many in a row as fall into a millisecond, so that slow streams are served evenly.
        let run_length = match load.rate {
            Some(rate) if schedule.is_some() => (rate.per_s() / 1000.0).clamp(1.0, f64::from(CLOSED_RUN)) as u32,
            _ => CLOSED_RUN,
        };
        let share = |total: u64| {
            let (each, rest) = (total / u64::from(load.producers), total % u64::from(load.producers));
            each + u64::from(u64::from(producer) < rest)
        };
        Assignment {
            producer,
            run: self.run,
            schedule,
            start_ns,
            messages: load.messages.map(share),
            in_flight: load.in_flight,
            connections: load.connections,
            streams: self.cell.config.streams(),
            run_length,
            batch: load.batch,
            backlog: (load.backlog.0 / self.cell.message.size.0.max(1)).max(u64::from(load.in_flight)),
            drain_ns: load.drain.nanos(),
            disturb: self.disturb.map(|(after, length)| (start_ns + after, length)),
        }
    }

    /// From the first message to the last answer: opens the window once steady, watches broker and user.
    /// Returns why the load ended early, if it did.
    fn watch_load(
        &mut self,
        control: &Control,
        producers: &[ScopedJoinHandle<'_, ProducerReport>],
        start_ns: u64,
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
            if looks % SAMPLE_EVERY == 0 {
                watch.health.sample(now, &self.broker_pids);
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
        watch.health.sample(self.clock.now_ns(), &self.broker_pids);
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
        watch.settled = settled(&seconds(&watch.collector, timer, from, to));
        if watch.settled || warmed >= load.warm_up_limit.nanos() {
            let start = next_second(now, SECOND_NS / 5);
            control.open_window(start, start + load.duration.nanos());
            watch.event("steady", if watch.settled { "settled" } else { "not settled within the warm-up limit" });
            watch.event_at(start, "phase", "measure");
            watch.event_at(start + load.duration.nanos(), "phase", "drain");
        }
    }

    /// The latency that says whether the system has settled.
    fn timer(&self) -> Timer {
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
        let lanes = produced.iter().flat_map(|report| report.lanes.values());
        let expected: u64 = lanes.map(|lane| if acknowledges { lane.acked.len() } else { lane.sent }).sum();
        let deadline = self.clock.now_ns() + self.cell.load.drain.nanos();
        let mut done = false;
        while self.clock.now_ns() < deadline && !self.interrupted.load(Relaxed) {
            done = control.consumed.iter().all(|consumed| consumed.load(Relaxed) >= expected);
            if done || (self.broker_alive)().is_err() {
                break;
            }
            watch.collector.absorb();
            thread::sleep(LOOK / 5);
        }
        if done {
            thread::sleep(LISTEN_ON);
        }
        watch.health.sample(self.clock.now_ns(), &self.broker_pids);
    }

    fn audit(&mut self, driver: &dyn Driver, watch: &mut Watch) -> Option<AuditBook> {
        watch.event("phase", "audit");
        let size = self.cell.message.size.0 as usize;
        let mut seen = Consumed::default();
        let deadline = self.clock.now_ns() + AUDIT_WITHIN_NS;
        let kind = driver.audit(deadline, &mut |message| match read(message, self.run, size) {
            Reading::Ours(envelope) => {
                seen.note((envelope.producer, envelope.lane), envelope.sequence);
            }
            Reading::Corrupt => seen.corrupt += 1,
            Reading::Foreign => seen.foreign += 1,
        });
        match kind {
            Ok(Audit::Retains { trimmed }) => Some(AuditBook { seen, retains: true, trimmed }),
            Ok(Audit::Remainder) => Some(AuditBook { seen, retains: false, trimmed: false }),
            Ok(Audit::Nothing) => None,
            Err(error) => {
                watch.event("warning", &format!("no audit: {error}"));
                None
            }
        }
    }

    fn output(
        self,
        driver: &dyn Driver,
        description: crate::result::Description,
        control: &Control,
        outcome: Outcome,
        audit: Option<AuditBook>,
        watch: Watch,
    ) -> CellOutput {
        let load = &self.cell.load;
        let Outcome { start_ns, error, produced, consumed } = outcome;
        let mut error = error;
        let mut totals = Totals::default();
        let mut books = Books { audit, acknowledges: driver.acknowledges(), ..Books::default() };
        let mut failures = BTreeMap::new();
        for report in produced {
            totals.add_producer(&report);
            for (reason, count) in &report.failures {
                *failures.entry(reason.clone()).or_default() += count;
            }
            error = error.or_else(|| report.error.as_ref().map(ToString::to_string));
            books.produced.extend(report.lanes);
        }
        let per_subscription = usize::from(load.consumers).max(1);
        let mut consumed = consumed.into_iter();
        for _ in 0..load.subscriptions {
            let mut all = Consumed::default();
            for report in consumed.by_ref().take(per_subscription) {
                totals.add_consumer(&report);
                error = error.or_else(|| report.error.as_ref().map(ToString::to_string));
                all.merge(report.seen);
            }
            books.consumed.push(all);
        }
        let interrupted = self.interrupted.load(Relaxed);
        let now = self.clock.now_ns();
        // A counted run has no end set beforehand: its window is from the first message to the last delivery.
        let window = control.window().map(|(start, end)| match load.messages {
            Some(_) => (start, totals.last_ns.max(start + 1)),
            None => (start, end.min(now)),
        });
        let counted = books.total();
        let open = load.model == Model::Open;
        let spent = window.and_then(|(from, to)| watch.health.between(from, to));
        let (first, last) = window.map_or((0, 0), |(from, to)| (from / SECOND_NS, to / SECOND_NS));
        let measured = seconds(&watch.collector, self.timer(), first, last);
        let reported = watch.collector.measured(self.timer());
        let quantile = crate::stats::highest_quantile(&self.cell.primary, totals.own_lag.len());
        let lag = (open && !reported.is_empty()).then(|| {
            (quantile.name(), totals.own_lag.value_at_quantile(quantile.0), reported.value_at_quantile(quantile.0))
        });
        let in_window = |tally: &Tally| (first..last).map(|second| tally.get(second as usize)).sum::<u64>();
        let rows = totals.rows(&watch, start_ns, window, open, self.cell.message.size.0, u64::from(load.subscriptions));
        let backlog_at = |second: u64| {
            rows.iter().rfind(|row| row.start_ns / SECOND_NS < second).map_or(0, |row| row.backlog_messages)
        };
        let evidence = Evidence {
            open,
            counted,
            sent_by_counter: totals.sent.total(),
            window_planned: totals.window_planned,
            acked_in_time: in_window(&totals.acked),
            subscriptions: u64::from(load.subscriptions),
            backlog: (backlog_at(first), backlog_at(last)),
            lag,
            pacer_busy_share: (last > first).then(|| totals.busiest(first, last)),
            steal_share: spent.map(|spent| spent.steal_share),
            seconds: &measured,
            settled: watch.settled || window.is_none(),
            acknowledges: books.acknowledges,
            unanswered: totals.unanswered,
        };
        let (gates, outcome, outcome_because) = judge(&evidence);
        let messages = totals.window_sent.max(1) as f64;
        let saturated = spent.and_then(|spent| {
            let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
            let share = |cpu: u64| cpu as f64 / spent.length_ns as f64;
            let busy = totals.busiest(first, last);
            if busy > 0.9 {
                Some("generator-cpu".to_owned())
            } else if spent.machine_busy_share > 0.95 {
                Some("machine-cpu".to_owned())
            } else if share(spent.broker_cpu_ns) > 0.95 * cores {
                Some("broker-cpu".to_owned())
            } else {
                None
            }
        });
        let record = CellRecord {
            schema: SCHEMA,
            label: self.cell.label.clone(),
            system: self.cell.config.system.name().into(),
            variant: (self.cell.label != self.cell.config.system.name()).then(|| self.cell.label.clone()),
            nodes: self.cell.config.nodes,
            cell: self.cell.point.clone(),
            block: self.block,
            open_loop: open,
            subscriptions: load.subscriptions,
            message_bytes: self.cell.message.size.0,
            window_start_ns: window.map(|(start, _)| start),
            window_end_ns: window.map(|(_, end)| end),
            warm_up_ns: window.map_or(now, |(start, _)| start).saturating_sub(start_ns),
            outcome,
            outcome_because,
            survives: driver.survives(),
            counts: counts(&counted, &totals, books.acknowledges),
            subscriptions_counts: (0..books.consumed.len())
                .map(|index| counts(&books.balance(index), &totals, books.acknowledges))
                .collect(),
            failures,
            resources: Resources {
                client_cpu_ns_per_message: spent.map(|spent| spent.client_cpu_ns as f64 / messages),
                client_peak_rss_bytes: spent.map(|spent| spent.client_peak_rss_bytes),
                broker_cpu_ns_per_message: spent
                    .filter(|_| !self.broker_pids.is_empty())
                    .map(|s| s.broker_cpu_ns as f64 / messages),
                broker_peak_rss_bytes: spent.map(|spent| spent.broker_peak_rss_bytes).filter(|bytes| *bytes > 0),
                saturated,
            },
            gates,
            floor: BTreeMap::new(),
            saturated_samples: watch.collector.saturated(),
            censored: totals.unanswered,
            window_acked: totals.window_acked,
            window_consumed: totals.window_consumed,
            window_sent: totals.window_sent,
            window_planned: open.then_some(totals.window_planned),
            description,
            interrupted,
            error,
        };
        let Watch { collector, events, .. } = watch;
        CellOutput { record, windows: rows, events, intervals: collector.into_intervals(), broker_log: String::new() }
    }
}

/// What the load left behind.
struct Outcome {
    start_ns: u64,
    error: Option<String>,
    produced: Vec<ProducerReport>,
    consumed: Vec<ConsumerReport>,
}

/// What the coordinator gathers while the load runs.
struct Watch {
    collector: Collector,
    health: Health,
    events: Vec<Event>,
    settled: bool,
    clock: Clock,
}

impl Watch {
    fn new(collector: Collector, clock: Clock) -> Self {
        Self { collector, health: Health::default(), events: Vec::new(), settled: false, clock }
    }

    fn event(&mut self, kind: &str, text: &str) {
        self.event_at(self.clock.now_ns(), kind, text);
    }

    fn event_at(&mut self, at_ns: u64, kind: &str, text: &str) {
        self.events.push(Event { at_ns, kind: kind.into(), text: text.into() });
    }
}

/// Releases the consumers however the scope is left.
struct Release<'a>(&'a Control);
impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.stop_consuming();
    }
}

/// Sums over all producers and consumers.
struct Totals {
    planned: Option<u64>,
    offered: Tally,
    sent: Tally,
    acked: Tally,
    consumed: Tally,
    backpressured: u64,
    unanswered: u64,
    window_planned: u64,
    window_sent: u64,
    window_acked: u64,
    window_consumed: u64,
    last_ns: u64,
    own_lag: hdrhistogram::Histogram<u64>,
    cpu: Vec<Tally>,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            planned: None,
            offered: Tally::default(),
            sent: Tally::default(),
            acked: Tally::default(),
            consumed: Tally::default(),
            backpressured: 0,
            unanswered: 0,
            window_planned: 0,
            window_sent: 0,
            window_acked: 0,
            window_consumed: 0,
            last_ns: 0,
            own_lag: new_histogram(),
            cpu: Vec::new(),
        }
    }
}

impl Totals {
    fn add_producer(&mut self, report: &ProducerReport) {
        if let Some(planned) = report.planned {
            *self.planned.get_or_insert(0) += planned;
        }
        self.offered.merge(&report.offered);
        self.sent.merge(&report.sent);
        self.acked.merge(&report.acked);
        self.backpressured += report.backpressured;
        self.unanswered += report.unanswered;
        self.window_planned += report.window_planned;
        self.window_sent += report.window_sent;
        self.window_acked += report.window_acked;
        self.last_ns = self.last_ns.max(report.last_acked_ns);
        // Equal bounds: adding cannot fail.
        let _ = self.own_lag.add(&report.own_lag);
        self.cpu.push(report.cpu.clone());
    }

    fn add_consumer(&mut self, report: &ConsumerReport) {
        self.consumed.merge(&report.consumed);
        self.window_consumed += report.window_consumed;
        self.last_ns = self.last_ns.max(report.last_received_ns);
    }

    /// Share of the seconds `first..last` that the busiest pacing thread ran.
    fn busiest(&self, first: u64, last: u64) -> f64 {
        let window_ns = (last.saturating_sub(first) * SECOND_NS).max(1) as f64;
        let cpu = |tally: &Tally| (first..last).map(|second| tally.get(second as usize)).sum::<u64>() as f64;
        self.cpu.iter().map(cpu).fold(0.0, f64::max) / window_ns
    }

    fn rows(
        &self,
        watch: &Watch,
        start_ns: u64,
        window: Option<(u64, u64)>,
        open: bool,
        bytes: u64,
        subscriptions: u64,
    ) -> Vec<WindowRow> {
        let first = (start_ns / SECOND_NS) as usize;
        let last = [&self.offered, &self.sent, &self.acked, &self.consumed].iter().map(|t| t.len()).max().unwrap_or(0);
        let (mut answered, mut consumed) = (0, 0);
        (first..last)
            .map(|second| {
                let at = second as u64 * SECOND_NS;
                answered += self.acked.get(second);
                consumed += self.consumed.get(second);
                let spent = watch.health.between(at, at + SECOND_NS);
                let cpu = |pick: fn(&super::health::Spent) -> u64| {
                    spent.as_ref().map(|spent| pick(spent) as f64 * 100.0 / spent.length_ns as f64)
                };
                let publish = watch.collector.second(Timer::Publish, second as u64);
                let end_to_end = watch.collector.second(Timer::EndToEnd, second as u64);
                WindowRow {
                    second: (second - first) as u32,
                    phase: phase(at, window).into(),
                    start_ns: at,
                    offered_messages: open.then(|| self.offered.get(second)),
                    sent_messages: self.sent.get(second),
                    acked_messages: self.acked.get(second),
                    consumed_messages: self.consumed.get(second),
                    offered_bytes: open.then(|| self.offered.get(second) * bytes),
                    sent_bytes: self.sent.get(second) * bytes,
                    acked_bytes: self.acked.get(second) * bytes,
                    consumed_bytes: self.consumed.get(second) * bytes,
                    backlog_messages: (answered * subscriptions).saturating_sub(consumed),
                    publish_p50_ns: publish.map(|s| s.p50_ns),
                    publish_p99_ns: publish.map(|s| s.p99_ns),
                    end_to_end_p50_ns: end_to_end.map(|s| s.p50_ns),
                    end_to_end_p99_ns: end_to_end.map(|s| s.p99_ns),
                    schedule_lag_p99_ns: watch.collector.second(Timer::ScheduleLag, second as u64).map(|s| s.p99_ns),
                    client_cpu_percent: cpu(|spent| spent.client_cpu_ns),
                    broker_cpu_percent: cpu(|spent| spent.broker_cpu_ns),
                    broker_rss_bytes: watch.health.broker_rss_at(at),
                }
            })
            .collect()
    }
}

fn phase(at_ns: u64, window: Option<(u64, u64)>) -> &'static str {
    match window {
        Some((start, end)) if at_ns + SECOND_NS > start => {
            if at_ns < end {
                "measure"
            } else {
                "drain"
            }
        }
        _ => "warm-up",
    }
}

fn counts(counted: &Counted, totals: &Totals, acknowledges: bool) -> Counts {
    Counts {
        planned: totals.planned,
        sent: Some(counted.sent),
        acked: acknowledges.then_some(counted.acked),
        failed: Some(counted.failed),
        indeterminate: Some(counted.indeterminate),
        delivered: Some(counted.delivered),
        undelivered: Some(counted.undelivered),
        lost: Some(counted.lost),
        broker_lost: counted.broker_lost,
        duplicate: Some(counted.duplicate),
        phantom: Some(counted.phantom),
        corrupt: Some(counted.corrupt),
        reordered: Some(counted.reordered),
        foreign: Some(counted.foreign),
        backpressured: Some(totals.backpressured),
    }
}

fn body_kind(cell: &Cell) -> BodyKind {
    match (cell.message.payload, cell.message.compressibility) {
        (PayloadKind::Text, _) => BodyKind::Text,
        (PayloadKind::Random, _) => BodyKind::Random,
        (PayloadKind::Mixed, ratio) => BodyKind::Mixed { ratio: ratio.unwrap_or(1.0) },
    }
}

fn await_ready(ready: &std::sync::mpsc::Receiver<Result<(), DriverError>>, count: usize) -> Result<(), TrialError> {
    for _ in 0..count {
        ready.recv_timeout(CONNECT_WITHIN).map_err(|_| TrialError::Thread)??;
    }
    Ok(())
}

fn join_all<T>(handles: Vec<ScopedJoinHandle<'_, T>>) -> Result<Vec<T>, TrialError> {
    handles.into_iter().map(|handle| handle.join().map_err(|_| TrialError::Thread)).collect()
}
