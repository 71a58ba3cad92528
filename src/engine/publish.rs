//! The pacing thread of one producer: sends what is due through a [`Sender`] and books how it ended.
//!
//! Open loop: every message has its own planned time by arithmetic, and on each wake everything that is due goes out,
//! however late; nothing here ever moves the plan. Closed loop: a message goes out whenever a slot is free.
//! One thread owns all of it, so there is no lock and no queue between a stamp and its histogram.

use super::control::Control;
use super::inflight::Pending;
use super::sender::{Identity, SendBook, Sender, TICK_NS, sharpen_timer};
use crate::clock::Clock;
use crate::driver::{Completion, DriverError, Outcome, Publisher};
use crate::model::Latency;
use crate::payload::Bodies;
use crate::record::{AckTrace, LatencyRecorder, PerSecond, PerTenth, Produced, SECOND_NS, SequenceKey, new_histogram};
use crate::schedule::Schedule;
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

/// What one producer is to do.
pub struct Assignment {
    pub identity: Identity,
    /// `None` in the closed model.
    pub schedule: Option<Schedule>,
    /// Start of the load, ns since the run's epoch; due times count from here.
    pub start_ns: u64,
    /// Exactly this many, then stop.
    pub messages: Option<u64>,
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
    pub lanes: BTreeMap<SequenceKey, Produced>,
    /// Due by the schedule; `None` in the closed model.
    pub planned: Option<u64>,
    pub offered: PerSecond,
    pub sent: PerSecond,
    pub acked: PerSecond,
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
    pub cpu: PerSecond,
    pub first_sent_ns: Option<u64>,
    pub last_acked_ns: u64,
    /// By lane, and over all of them; empty unless watched.
    pub traces: Vec<AckTrace>,
    pub tenths: PerTenth,
    pub error: Option<DriverError>,
}

/// How often a publisher that waits for consumers looks again.
const BACKLOG_POLL_NS: u64 = 100_000;

struct Producer<'a> {
    job: Assignment,
    clock: Clock,
    control: &'a Control,
    sender: Sender<false>,
    notes: Notes<'a>,
    total_sent: u64,
}

/// What is booked of the messages of one producer.
struct Notes<'a> {
    control: &'a Control,
    recorder: LatencyRecorder,
    lanes: Vec<Produced>,
    report: ProducerReport,
    /// Acknowledged since the last look.
    answered: u64,
    /// Messages planned up to here were held up by back-pressure.
    blocked_until_ns: u64,
    cpu_seen_ns: u64,
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
    sharpen_timer();
    let sender = Sender::new(job.identity, clock, publisher, bodies);
    let notes = Notes::new(&job, control, recorder);
    let mut producer = Producer { job, clock, control, sender, notes, total_sent: 0 };
    let result = if producer.job.schedule.is_some() { producer.pace_open_loop() } else { producer.pace_closed_loop() };
    let result = result.and_then(|()| {
        let deadline_ns = clock.now_ns() + producer.job.drain_ns;
        producer.collect_all(deadline_ns)
    });
    producer.finish(result.err())
}

impl Producer<'_> {
    /// Open model: the schedule decides.
    fn pace_open_loop(&mut self) -> Result<(), DriverError> {
        let Some(mut schedule) = self.job.schedule.take() else { return Ok(()) };
        let mut due = self.job.start_ns + schedule.due_ns();
        let mut planned = 0;
        let mut given_up = false;
        loop {
            let stop_at = self.control.stop_sending_at();
            let mut now = self.clock.now_ns();
            self.notes.tick(now);
            let mut burst = 0;
            while due <= now && due < stop_at && !self.complete(planned) && burst < self.job.batch {
                if !self.sender.send(due, &mut self.notes)? {
                    self.notes.blocked_until_ns = self.clock.now_ns();
                    break;
                }
                planned += 1;
                schedule.advance();
                due = self.job.start_ns + schedule.due_ns();
                burst += 1;
                now = self.clock.now_ns();
            }
            self.control.sent.fetch_add(u64::from(burst), Relaxed);
            self.sender.flush()?;
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
                self.notes.report.offered.add(due, 1);
                self.notes.report.window_planned += u64::from(self.control.in_window(due));
                planned += 1;
                schedule.advance();
                due = self.job.start_ns + schedule.due_ns();
            }
        }
        self.notes.report.planned = Some(planned);
        Ok(())
    }

    /// Closed model: free slots decide.
    fn pace_closed_loop(&mut self) -> Result<(), DriverError> {
        // All producers begin together, and a counted run's window begins with them: nothing may go out before it.
        std::thread::sleep(self.clock.until(self.job.start_ns));
        loop {
            let now = self.clock.now_ns();
            self.notes.tick(now);
            if self.control.abandoned() || now >= self.control.stop_sending_at() || self.complete(self.total_sent) {
                return Ok(());
            }
            let room = self.room();
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
            self.control.sent.fetch_add(burst, Relaxed);
            self.sender.flush()?;
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

    /// Waits for answers until `until_ns` and books them.
    fn collect(&mut self, until_ns: u64) -> Result<(), DriverError> {
        if let Some((at, length)) = self.job.disturb
            && self.clock.now_ns() >= at
        {
            self.job.disturb = None;
            std::thread::sleep(std::time::Duration::from_nanos(length));
        }
        let result = self.sender.collect(until_ns, &mut self.notes);
        self.notes.tell();
        result
    }

    /// After the last send: waits for what is unanswered, until the drain's deadline.
    fn collect_all(&mut self, deadline_ns: u64) -> Result<(), DriverError> {
        let result = self.sender.drain(deadline_ns, &mut self.notes);
        self.notes.tell();
        result
    }

    fn finish(self, error: Option<DriverError>) -> ProducerReport {
        let Self { job, clock, sender, mut notes, .. } = self;
        let now = clock.now_ns();
        for pending in sender.unanswered() {
            notes.time(pending, now);
            notes.report.unanswered += 1;
        }
        notes.tick(now + SECOND_NS);
        notes.recorder.harvest();
        let mut report = notes.report;
        report.failures = sender.failures();
        report.retries = sender.retries();
        report.error = error;
        let lanes = notes.lanes.into_iter().zip(sender.sent()).zip(0..);
        let key = |lane: u16| (job.identity.producer, lane);
        report.lanes = lanes.map(|((produced, &sent), lane)| (key(lane), Produced { sent, ..produced })).collect();
        report
    }
}

impl<'a> Notes<'a> {
    fn new(job: &Assignment, control: &'a Control, recorder: LatencyRecorder) -> Self {
        let lanes = usize::from(job.identity.connections) * usize::from(job.identity.streams);
        let report = ProducerReport {
            lanes: BTreeMap::new(),
            planned: job.schedule.as_ref().map(|_| 0),
            offered: PerSecond::default(),
            sent: PerSecond::default(),
            acked: PerSecond::default(),
            backpressured: 0,
            own_lag: new_histogram(),
            window_planned: 0,
            window_sent: 0,
            window_acked: 0,
            unanswered: 0,
            failures: BTreeMap::new(),
            retries: BTreeMap::new(),
            cpu: PerSecond::default(),
            first_sent_ns: None,
            last_acked_ns: 0,
            traces: (0..lanes).filter(|_| job.watched).map(|_| AckTrace::new(job.start_ns)).collect(),
            tenths: if job.watched { PerTenth::new(job.start_ns) } else { PerTenth::default() },
            error: None,
        };
        Self {
            control,
            recorder,
            lanes: vec![Produced::default(); lanes],
            report,
            answered: 0,
            blocked_until_ns: 0,
            cpu_seen_ns: thread_cpu_ns(),
        }
    }

    /// Records how long an answer took, or how long one has been missing "at least".
    #[inline]
    fn time(&mut self, pending: &Pending, at_ns: u64) {
        let warm_up = self.control.is_warm_up(pending.planned_ns);
        self.recorder.record(Latency::Service, warm_up, at_ns.saturating_sub(pending.sent_ns));
        if self.report.planned.is_some() {
            self.recorder.record(Latency::Publish, warm_up, at_ns.saturating_sub(pending.planned_ns));
        }
    }

    /// Tells the other threads how many answers came.
    fn tell(&mut self) {
        self.control.answered.fetch_add(std::mem::take(&mut self.answered), Relaxed);
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

impl SendBook for Notes<'_> {
    #[inline]
    fn sent(&mut self, message: &Pending) {
        let Pending { planned_ns, sent_ns, .. } = *message;
        self.report.first_sent_ns.get_or_insert(sent_ns);
        self.report.sent.add(sent_ns, 1);
        let in_window = self.control.in_window(planned_ns);
        self.report.window_sent += u64::from(in_window);
        if self.report.planned.is_some() {
            self.report.offered.add(planned_ns, 1);
            self.report.window_planned += u64::from(in_window);
            let lag = sent_ns.saturating_sub(planned_ns);
            self.recorder.record(Latency::ScheduleLag, self.control.is_warm_up(planned_ns), lag);
            if planned_ns <= self.blocked_until_ns {
                self.report.backpressured += 1;
                self.control.backpressured.fetch_add(1, Relaxed);
            } else if in_window {
                self.report.own_lag.saturating_record(lag);
            }
        }
    }

    #[inline]
    fn answered(&mut self, message: &Pending, completion: Completion) {
        let Some(lane) = self.lanes.get_mut(usize::from(message.lane)) else { return };
        match completion.outcome {
            Outcome::Acked => {
                lane.acked.insert(message.sequence);
                self.answered += 1;
                self.report.acked.add(completion.at_ns, 1);
                self.report.last_acked_ns = self.report.last_acked_ns.max(completion.at_ns);
                if let Some(trace) = self.report.traces.get_mut(usize::from(message.lane)) {
                    trace.acked(message.sequence, completion.at_ns);
                    self.report.tenths.add(completion.at_ns);
                }
                self.time(message, completion.at_ns);
                let open = self.report.planned.is_some();
                let counted = if open { message.planned_ns } else { completion.at_ns };
                self.report.window_acked += u64::from(self.control.in_window(counted));
            }
            Outcome::Failed => {
                lane.failed.insert(message.sequence);
            }
            Outcome::Indeterminate => self.report.unanswered += 1,
        }
    }

    fn stop(&mut self, now_ns: u64) -> bool {
        self.tick(now_ns);
        self.tell();
        self.control.abandoned()
    }
}

/// CPU time of the calling thread, ns.
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
