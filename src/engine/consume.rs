//! The thread of one consumer: reads envelopes, times them, works on them, notes them in the books.
//!
//! Work is done inside the call that hands messages out, so that a driver acknowledges a message only after it: with the
//! next call. A message counts as consumed when its work is over; its latency ends when it was received.

use super::control::Control;
use super::deliveries::Deliveries;
use super::probe::RECOVERY_PROBE;
use crate::clock::Clock;
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::model::Latency;
use crate::payload::{FULL, Reading, read};
use crate::record::{Consumed, LatencyRecorder, PerSecond, Silences};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one consumer is to expect.
#[derive(Clone, Copy)]
pub struct Expectation {
    pub subscription: u16,
    /// Within the subscription.
    pub consumer: u16,
    pub run: u64,
    pub message_bytes: usize,
    /// Open model: latencies count from the planned time. In the closed model there is no plan to count from.
    pub open: bool,
    /// Time that each message takes the application, slept.
    pub work_ns: u64,
    /// Streams on which silences are noted, to judge the recovery from faults; 0 notes none.
    pub watched_streams: u16,
}

/// What one consumer saw.
#[derive(Default)]
pub struct ConsumerReport {
    pub seen: Consumed,
    pub consumed: PerSecond,
    /// First deliveries. Open: of messages planned inside the window. Closed: made inside the window.
    pub window_consumed: u64,
    /// When the last message was received and worked on.
    pub last_received_ns: u64,
    /// First deliveries that were done after a later message of their lane, by whichever consumer of the subscription.
    pub overtaken: u64,
    pub retries: BTreeMap<String, u64>,
    /// When each stream brought nothing new; empty unless watched.
    pub gaps: Vec<Silences>,
    pub error: Option<DriverError>,
}

/// How long one call may wait for a message: the signal to stop is seen within this.
const WAIT_NS: u64 = 50_000_000;

/// What the application does with messages, as sleep: n messages in a row take n times as long as one, however late the
/// kernel is with each wake.
struct Work {
    each_ns: u64,
    /// When the message before was done; `None` at the first one of a batch.
    done_ns: Option<u64>,
}

impl Work {
    /// Works on one message that came at `received_ns`; returns when it was done.
    #[inline]
    fn on_one(&mut self, received_ns: u64, clock: &Clock, control: &Control) -> u64 {
        let pace_ns = control.consumers.pace_ns();
        let each_ns = self.each_ns.max(pace_ns);
        // Nobody counts any more what comes after the end.
        if each_ns == 0 || control.consuming_stopped() {
            return received_ns;
        }
        let done_ns = self.done_ns.unwrap_or_else(|| clock.now_ns()) + each_ns;
        std::thread::sleep(clock.until(done_ns));
        if pace_ns > 0 {
            control.consumers.note_felt();
        }
        self.done_ns = Some(done_ns);
        clock.now_ns()
    }
}

/// Makes another connection for the same consumer.
pub type Reconnect<'a> = &'a dyn Fn() -> Result<Box<dyn Subscriber>, DriverError>;

/// The connection of a consumer is closed by a fault, with messages unacknowledged: it comes back with a new one, as an
/// application that was started again would. `None` when it is told to stop before.
fn die_and_come_back(
    subscriber: Box<dyn Subscriber>,
    reconnect: Reconnect<'_>,
    clock: &Clock,
    control: &Control,
) -> Option<Box<dyn Subscriber>> {
    // From here on it takes nothing; how long its library needs to end is no part of what it does to the messages.
    let lost_ns = clock.now_ns();
    subscriber.abandon();
    control.consumers.note_lost(lost_ns);
    while !control.consuming_stopped() {
        if let Ok(subscriber) = reconnect() {
            control.consumers.note_back(clock.now_ns());
            return Some(subscriber);
        }
        std::thread::sleep(std::time::Duration::from_nanos(WAIT_NS));
    }
    None
}

/// One consumer while it runs.
struct Consumer<'a> {
    expect: Expectation,
    clock: Clock,
    control: &'a Control,
    deliveries: &'a Deliveries,
    /// How many messages its subscription has consumed.
    progress: Option<&'a AtomicU64>,
    /// Latencies are taken: not of messages too small for a full envelope, which have no planned time to count from.
    timed: bool,
    work: Work,
    /// First deliveries of this batch that are not in `progress` yet.
    first: u64,
    recorder: LatencyRecorder,
    report: ConsumerReport,
}

/// Runs a consumer until it is told to stop.
pub fn consume(
    expect: Expectation,
    clock: Clock,
    control: &Control,
    deliveries: &Deliveries,
    mut subscriber: Box<dyn Subscriber>,
    reconnect: Reconnect<'_>,
    recorder: LatencyRecorder,
) -> ConsumerReport {
    let mut report = ConsumerReport::default();
    report.gaps.resize_with(usize::from(expect.watched_streams), || Silences::new(clock.now_ns()));
    let mut consumer = Consumer {
        expect,
        clock,
        control,
        deliveries,
        progress: control.consumed.get(usize::from(expect.subscription)),
        timed: expect.open && expect.message_bytes >= FULL,
        work: Work { each_ns: expect.work_ns, done_ns: None },
        first: 0,
        recorder,
        report,
    };
    if expect.work_ns > 0 {
        // As for the producers: the kernel may otherwise add 50 µs to each sleep.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    }
    while !control.consuming_stopped() {
        if (expect.subscription, expect.consumer) == (0, 0) && control.consumers.must_go() {
            match die_and_come_back(subscriber, reconnect, &clock, control) {
                Some(back) => subscriber = back,
                None => {
                    consumer.recorder.harvest();
                    return consumer.report;
                }
            }
        }
        if let Err(error) = consumer.batch(subscriber.as_mut()) {
            consumer.report.error = Some(error);
            break;
        }
    }
    // Leaving politely matters to the broker, not to the books: an error here changes no count.
    let _ = subscriber.close();
    consumer.report.retries = subscriber.retries();
    consumer.recorder.harvest();
    consumer.report
}

impl Consumer<'_> {
    /// Takes what one call to the driver brings.
    fn batch(&mut self, subscriber: &mut dyn Subscriber) -> Result<(), DriverError> {
        let now = self.clock.now_ns();
        self.recorder.tick(now);
        self.first = 0;
        self.work.done_ns = None;
        let received = subscriber.receive(now + WAIT_NS, &mut |message| self.take(&message));
        if let Some(progress) = self.progress {
            progress.fetch_add(self.first, Relaxed);
        }
        received
    }

    /// Works on one message and books it.
    #[inline]
    fn take(&mut self, message: &Incoming<'_>) {
        let (expect, control, report) = (&self.expect, self.control, &mut self.report);
        let envelope = match read(message.payload, expect.run, expect.message_bytes) {
            // The recovery probe's, sent to see whether it gets through.
            Reading::Ours(envelope) if envelope.producer == RECOVERY_PROBE => return,
            Reading::Ours(envelope) => envelope,
            Reading::Corrupt => {
                report.seen.corrupt += 1;
                return;
            }
            Reading::Foreign => {
                report.seen.foreign += 1;
                return;
            }
        };
        // Also on a duplicate: an application does not know it for one.
        let done_ns = self.work.on_one(message.received_ns, &self.clock, control);
        let (producer, lane, sequence) = (envelope.producer, envelope.lane, envelope.sequence);
        if !report.seen.note((producer, lane), sequence) {
            return;
        }
        report.overtaken += u64::from(self.deliveries.order.overtaken(expect.subscription, producer, lane, sequence));
        self.first += 1;
        if expect.watched_streams > 0
            && let Some(gaps) = report.gaps.get_mut(usize::from(lane % expect.watched_streams))
        {
            gaps.note(message.received_ns);
        }
        if let Some(progress) = self.progress.filter(|_| expect.work_ns > 0) {
            progress.fetch_add(std::mem::take(&mut self.first), Relaxed);
        }
        report.consumed.add(done_ns, 1);
        report.last_received_ns = report.last_received_ns.max(done_ns);
        if self.timed {
            let warm_up = control.is_warm_up(envelope.planned_ns);
            // With several subscriptions a message has arrived once the last of them has it.
            if self.deliveries.fan_out.is_last(producer, lane, sequence) {
                let latency = message.received_ns.saturating_sub(envelope.planned_ns);
                self.recorder.record(Latency::EndToEnd, warm_up, latency);
            }
            report.window_consumed += u64::from(control.in_window(envelope.planned_ns));
        } else {
            report.window_consumed += u64::from(control.in_window(done_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Driver;
    use crate::driver::fake::{Behaviour, Fake};
    use crate::payload::{Bodies, BodyKind, Envelope};
    use std::sync::mpsc::channel;

    const MS: u64 = 1_000_000;

    /// Consumes 20 messages of one producer that all wait already, told to stop `stop_after_ns` later.
    fn worked(work_ns: u64, stop_after_ns: u64) -> (ConsumerReport, u64) {
        let (clock, control, deliveries) = (Clock::start(), Control::new(1), Deliveries::new(1, 1, 1, 1));
        let began = clock.now_ns();
        let fake = Fake::new(Behaviour::default(), 1, clock);
        let mut publisher = fake.publisher(0).unwrap();
        let mut bodies = Bodies::generate(BodyKind::Random, 100, 1).unwrap();
        for sequence in 0..20 {
            let envelope = Envelope { run: 7, producer: 0, lane: 0, sequence, planned_ns: 1 };
            let payload = bodies.stamped(&envelope);
            let outgoing = crate::driver::Outgoing { slot: sequence as u32, connection: 0, stream: 0, payload };
            publisher.submit(outgoing).unwrap();
        }
        control.open_window(0, u64::MAX);
        let expect = Expectation {
            subscription: 0,
            consumer: 0,
            run: 7,
            message_bytes: 100,
            open: false,
            work_ns,
            watched_streams: 0,
        };
        let report = std::thread::scope(|scope| {
            let fake = &fake;
            let subscriber = fake.subscriber(0, 0).unwrap();
            let recorder = LatencyRecorder::new(channel().0);
            let (control, deliveries) = (&control, &deliveries);
            let again = || fake.subscriber(0, 0);
            let consumer =
                scope.spawn(move || consume(expect, clock, control, deliveries, subscriber, &again, recorder));
            let deadline = clock.now_ns() + stop_after_ns;
            while control.least_consumed() < 20 && clock.now_ns() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            control.stop_consuming();
            consumer.join().unwrap()
        });
        let took = report.last_received_ns - began;
        (report, took)
    }

    #[test]
    fn a_batch_takes_its_number_times_the_work() {
        let (report, took) = worked(5 * MS, 10_000 * MS);
        assert_eq!((report.seen.distinct(), report.window_consumed), (20, 20));
        assert!(took >= 100 * MS, "{took}");
    }

    #[test]
    fn nobody_works_on_after_the_end() {
        let (report, took) = worked(100 * MS, 150 * MS);
        assert_eq!(report.seen.distinct(), 20, "what was handed out is booked");
        assert!(took < 20 * 100 * MS, "not all of the work: {took}");
    }
}
