//! The pacing thread of one producer: sends what is due through a [`Sender`]
//! and books how it ended.
//!
//! Open loop: every message has its own planned time by arithmetic, and on each wake everything
//! that is due goes out, however late; nothing here ever moves the plan. Closed loop: a message
//! goes out whenever a slot is free. One thread owns all of it, so there is no lock and no queue
//! between a stamp and its histogram.

use super::control::{AHEAD_NS, Context, Control};
use super::sender::{Pending, SendBook, Sender, TICK_NS, sharpen_timer};
use super::thread_cpu::ThreadCpu;
use super::totals::Totals;
use crate::driver::{Completion, DriverError, Outcome};
use crate::model::Latency;
use crate::record::{AckTrace, LatencyRecorder, PerTenth, Produced, SECOND_NS, Timings};
use crate::scenario::{Arrivals, Cell, Model};
use crate::schedule::Schedule;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

#[derive(Default)]
pub struct ProducerReport {
    pub lanes: Vec<Produced>,
    pub totals: Totals,
    /// sent − planned of those messages that no back-pressure delayed: the generator's own
    /// lateness, in the window, by part of the load.
    pub own_lag: Vec<Timings>,
    pub failures: BTreeMap<String, u64>,
    pub retries: BTreeMap<String, u64>,
    pub cpu: ThreadCpu,
    /// By lane, and over all of them; empty unless recovery from faults is to be judged.
    pub traces: Vec<AckTrace>,
    pub tenths: PerTenth,
    /// When it sent its last message, and until when it waited for answers.
    pub waited: Option<(u64, u64)>,
    pub error: Option<DriverError>,
}

/// Messages in a row to the same partition in the closed model: what batching clients do.
const CLOSED_RUN: u64 = 1000;
/// Of what may wait for consumers, a run is at most this part of each partition's share: else a
/// small `load.backlog` would lie in one partition, and the consumers of the others would have
/// nothing to do.
const RUNS_WAITING: u64 = 4;
/// How often a publisher that waits for consumers looks again.
const BACKLOG_POLL_NS: u64 = 100_000;
/// Consumers hold a producer back while less than this part of the backlog is free, and more than
/// this part of the slots: those wait for nobody but the broker.
const NEARLY: u64 = 10;

struct Producer<'a> {
    of: Context<'a>,
    sender: Sender<false>,
    notes: Notes<'a>,
    start_ns: u64,
    /// Exactly this many, then stop.
    messages: Option<u64>,
    /// Closed model: most messages that may be published and not yet consumed, over all producers.
    backlog: u64,
    /// For the self-check only: the pacer sleeps once, (at, for how long), ns.
    disturb: Option<(u64, u64)>,
    total_sent: u64,
}

/// What is booked of the messages of one producer.
struct Notes<'a> {
    control: &'a Control,
    recorder: LatencyRecorder,
    report: ProducerReport,
    /// Acknowledged since the last look; likewise refused, aborted, or given up without an answer.
    answered: u64,
    failed: u64,
    /// Messages planned up to here were held up by back-pressure.
    blocked_until_ns: u64,
}

/// Most messages that may be published and not yet consumed in the closed model.
fn backlog(cell: &Cell) -> u64 {
    match cell.load.subscriptions {
        // Nobody could ever catch up.
        0 => u64::MAX,
        _ => {
            let waiting = (cell.load.backlog.0 as f64 / cell.message.mean_bytes()) as u64;
            waiting.max(u64::from(cell.load.in_flight))
        }
    }
}

/// Messages in a row to the same partition. Open model: as many as fall into a millisecond, so that
/// slow partitions are served evenly.
pub fn run_length(cell: &Cell) -> u32 {
    match (cell.load.model, cell.load.rate) {
        (Model::Open, Some(rate)) => (rate.per_s() / 1000.0).clamp(1.0, CLOSED_RUN as f64) as u32,
        _ => (backlog(cell) / (RUNS_WAITING * u64::from(cell.config.partitions())))
            .clamp(1, CLOSED_RUN) as u32,
    }
}

/// Runs a producer to its end. Blocks its thread until the load has ended and everything is
/// answered or overdue.
pub fn produce(
    of: Context<'_>,
    producer: u16,
    sender: Sender<false>,
    start_ns: u64,
    disturb: Option<(u64, u64)>,
    recorder: LatencyRecorder,
) -> ProducerReport {
    sharpen_timer();
    let (cell, load) = (of.cell, &of.cell.load);
    // Other arrivals in each block: else all blocks repeat one realisation.
    let seed = cell.seed.wrapping_add(u64::from(of.block.saturating_sub(1)));
    let schedule = match (load.model, load.rate) {
        (Model::Open, Some(rate)) => Some(match load.arrivals {
            arrivals if !load.stages.is_empty() => {
                let seed = (arrivals == Arrivals::Poisson).then_some(seed);
                Schedule::staged(rate, &load.stages, producer, load.producers, seed)
            }
            Arrivals::Constant => Schedule::constant(rate, producer, load.producers),
            Arrivals::Poisson => Schedule::poisson(rate, producer, load.producers, seed),
        }),
        _ => None,
    };
    let share = |total: u64| {
        let (each, rest) = (total / u64::from(load.producers), total % u64::from(load.producers));
        each + u64::from(u64::from(producer) < rest)
    };
    let mut producer = Producer {
        of,
        sender,
        notes: Notes::new(of, schedule.is_some(), start_ns, recorder),
        start_ns,
        messages: load.messages.map(share),
        backlog: backlog(cell),
        disturb,
        total_sent: 0,
    };
    let loaded = match schedule {
        Some(schedule) => producer.pace_open_loop(schedule),
        None => producer.pace_closed_loop(),
    };
    producer.finish(loaded)
}

impl Producer<'_> {
    /// Open model: the schedule decides.
    fn pace_open_loop(&mut self, mut schedule: Schedule) -> Result<(), DriverError> {
        let Context { cell, clock, control, .. } = self.of;
        let batch = cell.load.batch;
        let mut due = self.start_ns + schedule.due_ns();
        let mut planned = 0;
        let mut given_up = false;
        let mut awaits_window = !cell.load.stages.is_empty();
        loop {
            if awaits_window && let Some((window_ns, _)) = control.window() {
                schedule.begin_stages(window_ns.saturating_sub(self.start_ns));
                due = self.start_ns + schedule.due_ns();
                awaits_window = false;
            }
            let stop_at = control.stop_sending_at();
            let mut now = clock.now_ns();
            // What the window may still move must not go out before it is known.
            let known = if awaits_window { stop_at.min(now + AHEAD_NS / 2) } else { stop_at };
            self.notes.tick(now);
            let mut burst = 0;
            let mut blocked = false;
            while due <= now && due < known && !self.complete(planned) && burst < batch {
                if !self.sender.send(due, &mut self.notes)? {
                    self.notes.blocked_until_ns = clock.now_ns();
                    blocked = true;
                    break;
                }
                planned += 1;
                schedule.advance();
                due = self.start_ns + schedule.due_ns();
                burst += 1;
                now = clock.now_ns();
            }
            control.sent.fetch_add(u64::from(burst), Relaxed);
            self.sender.publisher.flush()?;
            given_up |=
                control.abandoned() || now > stop_at.saturating_add(cell.load.drain.nanos());
            if given_up || (due >= stop_at && !awaits_window) || self.complete(planned) {
                break;
            }
            // Everything due has gone out, or back-pressure holds it: wait for the next due time or
            // for answers.
            let until = if blocked { now + TICK_NS } else { due.min(now + TICK_NS).min(stop_at) };
            self.collect(until)?;
            if blocked {
                // What fell due meanwhile was held up, too. What the wait took beyond its end is
                // our own lateness.
                let held_ns = clock.now_ns().min(until);
                self.notes.blocked_until_ns = self.notes.blocked_until_ns.max(held_ns);
            }
        }
        // What the schedule still owed is planned too, sent or not.
        if given_up && !control.abandoned() {
            let stop_at = control.stop_sending_at();
            while due < stop_at && !self.complete(planned) {
                self.notes.report.totals.offered.add(due, 1);
                self.notes.report.totals.window_planned += u64::from(control.in_window(due));
                planned += 1;
                schedule.advance();
                due = self.start_ns + schedule.due_ns();
            }
        }
        self.notes.report.totals.planned = Some(planned);
        Ok(())
    }

    /// Closed model: free slots decide.
    fn pace_closed_loop(&mut self) -> Result<(), DriverError> {
        let Context { cell, clock, control, .. } = self.of;
        // All producers begin together, and a counted run's window begins with them: nothing may go
        // out before it.
        std::thread::sleep(clock.until(self.start_ns));
        let (mut looked_ns, mut held) = (self.start_ns, false);
        loop {
            let now = clock.now_ns();
            self.notes.tick(now);
            if held && control.in_window(now) {
                self.notes.report.totals.held_ns += now.saturating_sub(looked_ns);
            }
            looked_ns = now;
            if control.abandoned()
                || now >= control.stop_sending_at()
                || self.complete(self.total_sent)
            {
                return Ok(());
            }
            // So many messages may go out before the next look at the consumers.
            let left = self.backlog.saturating_sub(control.waiting());
            held = self.held_by_consumers(left);
            let room = left.min(u64::from(cell.load.batch));
            let mut burst = 0;
            let mut blocked = false;
            while burst < room && !self.complete(self.total_sent) {
                if !self.sender.send(0, &mut self.notes)? {
                    blocked = true;
                    break;
                }
                self.total_sent += 1;
                burst += 1;
            }
            control.sent.fetch_add(burst, Relaxed);
            self.sender.publisher.flush()?;
            let until = if blocked || burst > 0 { now + TICK_NS } else { now + BACKLOG_POLL_NS };
            // With slots left over there is more to send at once: only look what has come in.
            self.collect(if blocked || room == 0 { until } else { 0 })?;
        }
    }

    /// With so much of the backlog `left` to fill.
    fn held_by_consumers(&self, left: u64) -> bool {
        let slots = u64::from(self.of.cell.load.in_flight);
        let free = slots.saturating_sub(self.sender.in_flight.busy() as u64);
        left <= self.backlog / NEARLY && free > slots / NEARLY
    }

    fn complete(&self, done: u64) -> bool {
        self.messages.is_some_and(|messages| done >= messages)
    }

    fn collect(&mut self, until_ns: u64) -> Result<(), DriverError> {
        if let Some((at, length)) = self.disturb
            && self.of.clock.now_ns() >= at
        {
            self.disturb = None;
            std::thread::sleep(std::time::Duration::from_nanos(length));
        }
        let result = self.sender.collect(until_ns, &mut self.notes);
        self.notes.tell();
        result
    }

    /// After the last send: waits for what is unanswered, until the drain's deadline.
    fn finish(self, loaded: Result<(), DriverError>) -> ProducerReport {
        let Self { of, mut sender, mut notes, .. } = self;
        let sent_ns = of.clock.now_ns();
        let deadline_ns = sent_ns + of.cell.load.drain.nanos();
        let error = loaded.and_then(|()| sender.drain(deadline_ns, &mut notes)).err();
        notes.tell();
        let now = of.clock.now_ns();
        notes.report.totals.unanswered += sender.in_flight.busy() as u64;
        notes.report.waited = Some((sent_ns, now));
        notes.tick(now + SECOND_NS);
        notes.recorder.harvest();
        for (lane, sent) in notes.report.lanes.iter_mut().zip(&sender.sent) {
            lane.sent = *sent;
        }
        let (failures, retries) = (sender.publisher.failures(), sender.publisher.retries());
        ProducerReport { failures, retries, error, ..notes.report }
    }
}

impl<'a> Notes<'a> {
    fn new(of: Context<'a>, open: bool, start_ns: u64, recorder: LatencyRecorder) -> Self {
        let lanes = usize::from(of.cell.lanes());
        let watched = !of.cell.faults.is_empty();
        let report = ProducerReport {
            lanes: vec![Produced::default(); lanes],
            own_lag: vec![Timings::default(); of.control.parts()],
            totals: Totals { planned: open.then_some(0), ..Totals::default() },
            traces: (0..lanes).filter(|_| watched).map(|_| AckTrace::new(start_ns)).collect(),
            tenths: if watched { PerTenth::new(start_ns) } else { PerTenth::default() },
            ..ProducerReport::default()
        };
        Self { control: of.control, recorder, report, answered: 0, failed: 0, blocked_until_ns: 0 }
    }

    /// Records how long an answer took.
    #[inline]
    fn time(&mut self, pending: &Pending, at_ns: u64) {
        let part = self.control.part(pending.planned_ns);
        self.recorder.record(Latency::Service, part, at_ns.saturating_sub(pending.sent_ns));
        if self.report.totals.planned.is_some() {
            self.recorder.record(Latency::Publish, part, at_ns.saturating_sub(pending.planned_ns));
        }
    }

    /// Tells the other threads how many answers came.
    fn tell(&mut self) {
        self.control.answered.fetch_add(std::mem::take(&mut self.answered), Relaxed);
        self.control.failed.fetch_add(std::mem::take(&mut self.failed), Relaxed);
    }

    /// Once a second: hands over histograms and notes the CPU time spent.
    #[inline]
    fn tick(&mut self, now_ns: u64) {
        if self.recorder.tick(now_ns) {
            self.report.cpu.note(now_ns);
        }
    }
}

impl SendBook for Notes<'_> {
    #[inline]
    fn sent(&mut self, message: &Pending) {
        let Pending { planned_ns, sent_ns, .. } = *message;
        let totals = &mut self.report.totals;
        totals.sent.add(sent_ns, 1);
        let in_window = self.control.in_window(planned_ns);
        totals.window_sent += u64::from(in_window);
        if totals.planned.is_some() {
            totals.offered.add(planned_ns, 1);
            totals.window_planned += u64::from(in_window);
            let lag = sent_ns.saturating_sub(planned_ns);
            let part = self.control.part(planned_ns);
            self.recorder.record(Latency::ScheduleLag, part, lag);
            if planned_ns <= self.blocked_until_ns {
                totals.backpressured += 1;
            } else if in_window && let Some(own) = self.report.own_lag.get_mut(part) {
                own.saturating_record(lag);
            }
        }
    }

    #[inline]
    fn answered(&mut self, message: &Pending, completion: Completion) {
        let Some(lane) = self.report.lanes.get_mut(usize::from(message.lane)) else { return };
        match completion.outcome {
            Outcome::Acked => {
                lane.acked.insert(message.sequence);
                self.answered += 1;
                self.report.totals.acked.add(completion.at_ns, 1);
                self.report.totals.last_ns = self.report.totals.last_ns.max(completion.at_ns);
                if let Some(trace) = self.report.traces.get_mut(usize::from(message.lane)) {
                    trace.acked(message.sequence, completion.at_ns);
                    self.report.tenths.add(completion.at_ns);
                }
                self.time(message, completion.at_ns);
                let in_time = self.control.in_window(completion.at_ns);
                self.report.totals.window_acked += u64::from(in_time);
            }
            Outcome::Failed => {
                lane.failed.insert(message.sequence);
                self.failed += 1;
            }
            Outcome::Aborted => {
                lane.aborted.insert(message.sequence);
                self.failed += 1;
                let totals = &mut self.report.totals;
                totals.aborted.add(message.planned_ns, 1);
                totals.window_aborted += u64::from(self.control.in_window(message.planned_ns));
            }
            Outcome::Indeterminate => {
                self.report.totals.unanswered += 1;
                self.failed += 1;
            }
        }
    }

    fn stop(&mut self, now_ns: u64) -> bool {
        self.tick(now_ns);
        self.tell();
        self.control.abandoned()
    }
}
