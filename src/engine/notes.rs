//! What is booked of the messages of one producer: how each ended, and how long it took. The
//! producer's own thread writes it, so there is no lock and no queue between a stamp and its
//! histogram.

use super::comeback::{Comeback, Reasons, add};
use super::control::{Context, Control};
use super::sender::{Pending, SendBook, Sender};
use super::thread_cpu::ThreadCpu;
use super::totals::Totals;
use crate::driver::{Completion, DriverError, Outcome};
use crate::model::Latency;
use crate::record::{AckTrace, LatencyRecorder, PerTenth, Produced, SECOND_NS, Timings};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Default)]
pub struct ProducerReport {
    pub lanes: Vec<Produced>,
    pub totals: Totals,
    /// sent − planned of those messages that no back-pressure delayed: the generator's own
    /// lateness, in the window.
    pub own_lag: Timings,
    pub failures: Reasons,
    pub comeback: Comeback,
    pub cpu: ThreadCpu,
    /// By lane, and over all of them; empty unless recovery from outages is to be judged.
    pub traces: Vec<AckTrace>,
    pub tenths: PerTenth,
    /// When it sent its last message, and until when it waited for answers.
    pub waited: Option<(u64, u64)>,
}

pub struct Notes<'a> {
    control: &'a Control,
    recorder: LatencyRecorder,
    pub report: ProducerReport,
    /// Since the last look: handed over, acknowledged, and refused or given up without an answer.
    sent: u64,
    answered: u64,
    failed: u64,
    /// Messages planned up to here were held up by back-pressure.
    pub blocked_until_ns: u64,
}

impl<'a> Notes<'a> {
    pub fn new(of: Context<'a>, open: bool, start_ns: u64, recorder: LatencyRecorder) -> Self {
        let lanes = usize::from(of.cell.lanes());
        let watched = of.cell.watches_recovery();
        let report = ProducerReport {
            lanes: vec![Produced::default(); lanes],
            totals: Totals { planned: open.then_some(0), ..Totals::default() },
            traces: (0..lanes).filter(|_| watched).map(|_| AckTrace::new(start_ns)).collect(),
            tenths: if watched { PerTenth::new(start_ns) } else { PerTenth::default() },
            ..ProducerReport::default()
        };
        let (sent, answered, failed, blocked_until_ns) = (0, 0, 0, 0);
        Self { control: of.control, recorder, report, sent, answered, failed, blocked_until_ns }
    }

    /// Records how long an answer took.
    #[inline]
    fn time(&mut self, pending: &Pending, at_ns: u64) {
        let warm_up = self.control.is_warm_up(pending.planned_ns);
        self.recorder.record(Latency::Service, warm_up, at_ns.saturating_sub(pending.sent_ns));
        if self.report.totals.planned.is_some() {
            self.recorder.record(
                Latency::Publish,
                warm_up,
                at_ns.saturating_sub(pending.planned_ns),
            );
        }
    }

    /// Tells the other threads how many were sent, and how many answers came.
    pub fn tell(&mut self) {
        let tell = |to: &AtomicU64, count: &mut u64| {
            if *count > 0 {
                to.fetch_add(std::mem::take(count), Relaxed);
            }
        };
        tell(&self.control.sent, &mut self.sent);
        tell(&self.control.answered, &mut self.answered);
        tell(&self.control.failed, &mut self.failed);
    }

    /// Once a second: hands over histograms and notes the CPU time spent.
    #[inline]
    pub fn tick(&mut self, now_ns: u64) {
        if self.recorder.tick(now_ns) {
            self.report.cpu.note(now_ns);
            self.report.comeback.settled();
        }
    }

    /// Of a client that was cut off or refused: what it has not answered is in doubt.
    pub fn cut_off(&mut self, error: &DriverError, sender: &mut Sender<false>, now_ns: u64) {
        self.report.comeback.note(error);
        // Others of its connections may have answered.
        let _ = sender.collect(0, self);
        let given_up = sender.give_up(now_ns, self);
        if given_up > 0 {
            *self.report.failures.entry(error.to_string()).or_default() += given_up;
        }
        self.tell();
    }

    /// Everything, once all is answered or overdue.
    pub fn close(mut self, sender: &Sender<false>, sent_ns: u64, now_ns: u64) -> ProducerReport {
        self.tell();
        self.report.totals.unanswered += sender.in_flight.busy() as u64;
        self.report.waited = Some((sent_ns, now_ns));
        self.tick(now_ns + SECOND_NS);
        self.recorder.harvest();
        for (lane, sent) in self.report.lanes.iter_mut().zip(&sender.sent) {
            lane.sent = *sent;
        }
        add(&mut self.report.failures, sender.publisher.failures());
        add(&mut self.report.comeback.retries, sender.publisher.retries());
        self.report
    }
}

impl SendBook for Notes<'_> {
    #[inline]
    fn sent(&mut self, message: &Pending) {
        let Pending { planned_ns, sent_ns, .. } = *message;
        self.sent += 1;
        let totals = &mut self.report.totals;
        totals.sent.add(sent_ns, 1);
        let in_window = self.control.in_window(planned_ns);
        totals.window_sent += u64::from(in_window);
        if totals.planned.is_some() {
            totals.offered.add(planned_ns, 1);
            totals.window_planned += u64::from(in_window);
            let lag = sent_ns.saturating_sub(planned_ns);
            self.recorder.record(Latency::ScheduleLag, self.control.is_warm_up(planned_ns), lag);
            if planned_ns <= self.blocked_until_ns {
                totals.backpressured += 1;
            } else if in_window {
                self.report.own_lag.saturating_record(lag);
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
