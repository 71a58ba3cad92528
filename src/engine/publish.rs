//! The pacing thread of one producer: sends what is due, stamps it, books how it ended.
//!
//! Open model: every message has its own planned time by arithmetic, and on each wake everything that is due goes out,
//! however late; nothing here ever moves the plan. Closed model: a message goes out whenever a slot is free.
//! One thread owns all of it, so there is no lock and no queue between a stamp and its histogram.

use super::control::Control;
use super::inflight::{InFlight, Pending};
use crate::clock::Clock;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use crate::payload::{Bodies, Envelope};
use crate::record::{LaneKey, LatencyRecorder, Produced, SECOND_NS, Tally, Tenths, Timer, Trace, new_histogram};
use crate::schedule::Schedule;
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering::Relaxed;

/// What one producer is to do.
pub struct Assignment {
    pub producer: u16,
    pub run: u64,
    /// `None` in the closed model.
    pub schedule: Option<Schedule>,
    /// Start of the load, ns since the run's epoch; due times count from here.
    pub start_ns: u64,
    /// Exactly this many, then stop.
    pub messages: Option<u64>,
    pub in_flight: u32,
    pub connections: u16,
    pub streams: u16,
    /// Messages in a row to the same stream of a connection.
    pub run_length: u32,
    /// Most messages between two flushes.
    pub batch: u32,
    /// Closed model: most messages that may be published and not yet consumed, over all producers.
    pub backlog: u64,
    pub drain_ns: u64,
    /// Whether recovery from faults is to be judged: then every acknowledgement is noted in time.
    pub watched: bool,
    /// For the self-check only: the pacer sleeps once, (at, for how long), ns.
    pub disturb: Option<(u64, u64)>,
}

/// What one producer did.
pub struct ProducerReport {
    pub lanes: BTreeMap<LaneKey, Produced>,
    /// Due by the schedule; `None` in the closed model.
    pub planned: Option<u64>,
    pub offered: Tally,
    pub sent: Tally,
    pub acked: Tally,
    pub backpressured: u64,
    /// sent − planned of those messages that no back-pressure delayed: the generator's own lateness, in the window.
    pub own_lag: Histogram<u64>,
    /// Planned (closed: sent) inside the window.
    pub window_planned: u64,
    pub window_sent: u64,
    /// Open: planned inside the window and acked. Closed: acked inside the window.
    pub window_acked: u64,
    /// No answer by the end of the drain.
    pub unanswered: u64,
    pub failures: BTreeMap<String, u64>,
    pub retries: BTreeMap<String, u64>,
    /// CPU time of this thread by second, ns.
    pub cpu: Tally,
    pub first_sent_ns: Option<u64>,
    pub last_acked_ns: u64,
    /// By lane, and over all of them; empty unless watched.
    pub traces: Vec<Trace>,
    pub tenths: Tenths,
    pub error: Option<DriverError>,
}

/// How long a wait may last when nothing is due: signals to stop are seen within this.
const TICK_NS: u64 = 20_000_000;
/// How often a publisher that waits for consumers looks again.
const BACKLOG_POLL_NS: u64 = 100_000;

struct Producer<'a> {
    job: Assignment,
    clock: Clock,
    control: &'a Control,
    publisher: Box<dyn Publisher>,
    bodies: Bodies,
    recorder: LatencyRecorder,
    in_flight: InFlight,
    lanes: Vec<Produced>,
    /// Per connection: current stream and messages left in its run.
    turns: Vec<(u16, u32)>,
    report: ProducerReport,
    completions: Vec<Completion>,
    /// Messages planned up to here were held up by back-pressure.
    blocked_until_ns: u64,
    cpu_seen_ns: u64,
    total_sent: u64,
}

/// Runs a producer to its end. Blocks its thread until the load has ended and everything is answered or overdue.
pub fn produce(
    job: Assignment,
    clock: Clock,
    control: &Control,
    publisher: Box<dyn Publisher>,
    bodies: Bodies,
    recorder: LatencyRecorder,
) -> ProducerReport {
    // The kernel may otherwise delay each wake by 50 µs. Where it refuses, the schedule lag shows it.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut producer = Producer::new(job, clock, control, publisher, bodies, recorder);
    let result = if producer.job.schedule.is_some() { producer.open() } else { producer.closed() };
    let result = result.and_then(|()| producer.drain());
    producer.finish(result.err())
}

/// Whether a message went out.
#[derive(PartialEq)]
enum Sent {
    Yes,
    /// No slot, or a full queue.
    Blocked,
}

impl<'a> Producer<'a> {
    fn new(
        job: Assignment,
        clock: Clock,
        control: &'a Control,
        publisher: Box<dyn Publisher>,
        bodies: Bodies,
        recorder: LatencyRecorder,
    ) -> Self {
        let lanes = usize::from(job.connections) * usize::from(job.streams);
        let report = ProducerReport {
            lanes: BTreeMap::new(),
            planned: job.schedule.as_ref().map(|_| 0),
            offered: Tally::default(),
            sent: Tally::default(),
            acked: Tally::default(),
            backpressured: 0,
            own_lag: new_histogram(),
            window_planned: 0,
            window_sent: 0,
            window_acked: 0,
            unanswered: 0,
            failures: BTreeMap::new(),
            retries: BTreeMap::new(),
            cpu: Tally::default(),
            first_sent_ns: None,
            last_acked_ns: 0,
            traces: (0..lanes).filter(|_| job.watched).map(|_| Trace::new(job.start_ns)).collect(),
            tenths: if job.watched { Tenths::new(job.start_ns) } else { Tenths::default() },
            error: None,
        };
        Self {
            in_flight: InFlight::new(job.in_flight, job.connections),
            lanes: vec![Produced::default(); lanes],
            turns: vec![(0, job.run_length); usize::from(job.connections)],
            completions: Vec::with_capacity(job.in_flight as usize),
            blocked_until_ns: 0,
            cpu_seen_ns: thread_cpu_ns(),
            total_sent: 0,
            report,
            job,
            clock,
            control,
            publisher,
            bodies,
            recorder,
        }
    }

    /// Open model: the schedule decides.
    fn open(&mut self) -> Result<(), DriverError> {
        let Some(mut schedule) = self.job.schedule.take() else { return Ok(()) };
        let mut due = self.job.start_ns + schedule.due_ns();
        let mut planned = 0;
        let mut given_up = false;
        loop {
            let stop_at = self.control.stop_sending_at();
            let mut now = self.clock.now_ns();
            self.tick(now);
            let mut burst = 0;
            while due <= now && due < stop_at && !self.complete(planned) && burst < self.job.batch {
                if self.send(due)? == Sent::Blocked {
                    self.blocked_until_ns = self.clock.now_ns();
                    break;
                }
                planned += 1;
                schedule.advance();
                due = self.job.start_ns + schedule.due_ns();
                burst += 1;
                now = self.clock.now_ns();
            }
            self.control.sent.fetch_add(u64::from(burst), Relaxed);
            self.publisher.flush()?;
            given_up |= self.control.abandoned() || now > stop_at.saturating_add(self.job.drain_ns);
            if given_up || due >= stop_at || self.complete(planned) {
                break;
            }
            // Everything due has gone out, or back-pressure holds it: wait for the next due time or for answers.
            let blocked = due <= now && burst < self.job.batch;
            let until = if blocked { now + TICK_NS } else { due.min(now + TICK_NS).min(stop_at) };
            self.collect(until)?;
        }
        // What the schedule still owed is planned too, sent or not.
        if given_up && !self.control.abandoned() {
            let stop_at = self.control.stop_sending_at();
            while due < stop_at && !self.complete(planned) {
                self.report.offered.add(due, 1);
                self.report.window_planned += u64::from(self.control.in_window(due));
                planned += 1;
                schedule.advance();
                due = self.job.start_ns + schedule.due_ns();
            }
        }
        self.report.planned = Some(planned);
        Ok(())
    }

    /// Closed model: free slots decide.
    fn closed(&mut self) -> Result<(), DriverError> {
        // All producers begin together, and a counted run's window begins with them: nothing may go out before it.
        std::thread::sleep(self.clock.until(self.job.start_ns));
        loop {
            let now = self.clock.now_ns();
            self.tick(now);
            if self.control.abandoned() || now >= self.control.stop_sending_at() || self.complete(self.total_sent) {
                return Ok(());
            }
            let room = self.room();
            let mut burst = 0;
            let mut blocked = false;
            while burst < room && !self.complete(self.total_sent) {
                if self.send(0)? == Sent::Blocked {
                    blocked = true;
                    break;
                }
                burst += 1;
            }
            self.control.sent.fetch_add(burst, Relaxed);
            self.publisher.flush()?;
            let until = if blocked || burst > 0 { now + TICK_NS } else { now + BACKLOG_POLL_NS };
            // With slots left over there is more to send at once: only look what has come in.
            self.collect(if blocked || room == 0 { until } else { 0 })?;
        }
    }

    /// How many messages may go out before the next look at the consumers.
    fn room(&self) -> u64 {
        let ahead = self.control.sent.load(Relaxed).saturating_sub(self.control.least_consumed());
        self.job.backlog.saturating_sub(ahead).min(u64::from(self.job.batch))
    }

    fn complete(&self, done: u64) -> bool {
        self.job.messages.is_some_and(|messages| done >= messages)
    }

    /// Sends one message; `due` is its planned time, or 0 for "now" in the closed model.
    #[inline]
    fn send(&mut self, due: u64) -> Result<Sent, DriverError> {
        let open = due != 0;
        let Some(slot) = self.in_flight.take() else { return Ok(Sent::Blocked) };
        let connection = self.in_flight.connection(slot);
        let (stream, left) = self.turns[usize::from(connection)];
        let lane = connection * self.job.streams + stream;
        let sequence = self.lanes[usize::from(lane)].sent;
        let planned_ns = if open { due } else { self.clock.now_ns() };
        let envelope = Envelope { run: self.job.run, producer: self.job.producer, lane, sequence, planned_ns };
        let payload = self.bodies.stamped(&envelope);
        let sent_ns = if open { self.clock.now_ns() } else { planned_ns };
        // Booked before the hand-over: the answer may come before the call returns.
        self.in_flight.fill(slot, Pending { planned_ns, sent_ns, sequence, lane, busy: true });
        if self.publisher.submit(Outgoing { slot, connection, stream, payload })? == Submitted::Full {
            self.in_flight.untake(slot);
            return Ok(Sent::Blocked);
        }
        self.lanes[usize::from(lane)].sent += 1;
        self.turns[usize::from(connection)] =
            if left > 1 { (stream, left - 1) } else { ((stream + 1) % self.job.streams, self.job.run_length) };
        self.total_sent += 1;
        self.report.first_sent_ns.get_or_insert(sent_ns);
        self.report.sent.add(sent_ns, 1);
        let in_window = self.control.in_window(planned_ns);
        self.report.window_sent += u64::from(in_window);
        if open {
            self.report.offered.add(due, 1);
            self.report.window_planned += u64::from(in_window);
            let lag = sent_ns.saturating_sub(due);
            self.recorder.record(Timer::ScheduleLag, self.control.is_warm_up(due), lag);
            if due <= self.blocked_until_ns {
                self.report.backpressured += 1;
                self.control.backpressured.fetch_add(1, Relaxed);
            } else if in_window {
                self.report.own_lag.saturating_record(lag);
            }
        }
        Ok(Sent::Yes)
    }

    /// Waits for answers until `until_ns` and books them.
    fn collect(&mut self, until_ns: u64) -> Result<(), DriverError> {
        if let Some((at, length)) = self.job.disturb
            && self.clock.now_ns() >= at
        {
            self.job.disturb = None;
            std::thread::sleep(std::time::Duration::from_nanos(length));
        }
        let result = self.publisher.wait(until_ns, &mut self.completions);
        let mut answered = 0;
        let mut completions = std::mem::take(&mut self.completions);
        for completion in completions.drain(..) {
            answered += u64::from(self.book(completion));
        }
        self.completions = completions;
        self.control.answered.fetch_add(answered, Relaxed);
        result
    }

    /// Books one answer; true if it is an acknowledgement.
    #[inline]
    fn book(&mut self, completion: Completion) -> bool {
        let Some(pending) = self.in_flight.finish(completion.slot) else { return false };
        let lane = &mut self.lanes[usize::from(pending.lane)];
        match completion.outcome {
            Outcome::Acked => {
                lane.acked.insert(pending.sequence);
                self.report.acked.add(completion.at_ns, 1);
                self.report.last_acked_ns = self.report.last_acked_ns.max(completion.at_ns);
                if let Some(trace) = self.report.traces.get_mut(usize::from(pending.lane)) {
                    trace.acked(pending.sequence, completion.at_ns);
                    self.report.tenths.add(completion.at_ns);
                }
                self.time(&pending, completion.at_ns);
                let open = self.report.planned.is_some();
                let counted = if open { pending.planned_ns } else { completion.at_ns };
                self.report.window_acked += u64::from(self.control.in_window(counted));
                true
            }
            Outcome::Failed => {
                lane.failed.insert(pending.sequence);
                false
            }
            Outcome::Indeterminate => {
                self.report.unanswered += 1;
                false
            }
        }
    }

    /// Records how long an answer took, or how long one has been missing "at least".
    #[inline]
    fn time(&mut self, pending: &Pending, at_ns: u64) {
        let warm_up = self.control.is_warm_up(pending.planned_ns);
        self.recorder.record(Timer::Service, warm_up, at_ns.saturating_sub(pending.sent_ns));
        if self.report.planned.is_some() {
            self.recorder.record(Timer::Publish, warm_up, at_ns.saturating_sub(pending.planned_ns));
        }
    }

    /// After the last send: waits for what is unanswered, until the drain's deadline.
    fn drain(&mut self) -> Result<(), DriverError> {
        let deadline = self.clock.now_ns() + self.job.drain_ns;
        while self.in_flight.busy() > 0 {
            let now = self.clock.now_ns();
            self.tick(now);
            if now >= deadline || self.control.abandoned() {
                break;
            }
            self.collect((now + TICK_NS).min(deadline))?;
        }
        Ok(())
    }

    fn finish(mut self, error: Option<DriverError>) -> ProducerReport {
        let now = self.clock.now_ns();
        let unanswered: Vec<Pending> = self.in_flight.unanswered().copied().collect();
        for pending in &unanswered {
            self.time(pending, now);
        }
        self.report.unanswered += unanswered.len() as u64;
        self.tick(now + SECOND_NS);
        self.recorder.harvest();
        self.report.failures = self.publisher.failures();
        self.report.retries = self.publisher.retries();
        self.report.error = error;
        let producer = self.job.producer;
        self.report.lanes =
            self.lanes.into_iter().enumerate().map(|(lane, produced)| ((producer, lane as u16), produced)).collect();
        self.report
    }

    /// Once a second: hands over histograms and notes the CPU time spent.
    #[inline]
    fn tick(&mut self, now_ns: u64) {
        if self.recorder.tick(now_ns) {
            let cpu = thread_cpu_ns();
            self.report.cpu.add(now_ns.saturating_sub(SECOND_NS), cpu - self.cpu_seen_ns);
            self.cpu_seen_ns = cpu;
        }
    }
}

/// CPU time of the calling thread, ns.
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
