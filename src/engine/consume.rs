//! The thread of one consumer, or of many subscriptions that only receive: reads envelopes, times
//! them, works on them, notes them in the books.
//!
//! Work is done inside the call that hands messages out, so that a driver acknowledges a message
//! only after it: with the next call. A message counts as consumed when its work is over; its
//! latency ends when it was received.

use super::comeback::{Comeback, add};
use super::control::{Context, Control};
use super::deliveries::Deliveries;
use super::probe::RECOVERY_PROBE;
use super::sender::sharpen_timer;
use super::thread_cpu::ThreadCpu;
use super::totals::Totals;
use crate::clock::Clock;
use crate::driver::{Crowd, DriverError, Incoming, Subscriber};
use crate::model::Latency;
use crate::payload::{Envelope, FULL, Reading, read};
use crate::record::{Consumed, Recorder, Silences};
use crate::scenario::Model;
use crate::schedule::Share;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Default)]
pub struct ConsumerReport {
    pub seen: Consumed,
    pub totals: Totals,
    pub comeback: Comeback,
    /// When each partition brought nothing new; empty unless recovery from outages is to be judged.
    pub gaps: Vec<Silences>,
    /// CPU time of the thread.
    pub cpu: ThreadCpu,
}

/// How long one call may wait for a message: the signal to stop is seen within this.
const WAIT_NS: u64 = 50_000_000;

/// What the application does with messages, as sleep: n messages in a row take n times as long as
/// one, however late the kernel is with each wake.
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

/// The connection of a consumer is closed by a fault, with messages unacknowledged: it comes back
/// with a new one, as an application that was started again would.
/// `None` when it is told to stop before.
fn die_and_come_back(
    of: Context<'_>,
    who: (u16, u16),
    subscriber: Box<dyn Subscriber>,
    comeback: &mut Comeback,
) -> Option<Box<dyn Subscriber>> {
    let Context { clock, control, .. } = of;
    // From here on it takes nothing; how long its library needs to end is no part of what it does
    // to the messages.
    let lost_ns = clock.now_ns();
    subscriber.abandon();
    control.consumers.note_lost(lost_ns);
    let back = come_back(of, who, comeback);
    if back.is_some() {
        control.consumers.note_back(clock.now_ns());
    }
    back
}

/// Another in the place of a consumer that is gone.
fn come_back(
    of: Context<'_>,
    (subscription, consumer): (u16, u16),
    comeback: &mut Comeback,
) -> Option<Box<dyn Subscriber>> {
    let connect = || of.driver.rejoin(subscription, consumer);
    comeback.connect(connect, || of.control.consuming_stopped())
}

/// The envelope of a message of the load; what else comes is counted.
#[inline]
pub fn ours(
    payload: &[u8],
    run: u64,
    message_bytes: usize,
    seen: &mut Consumed,
) -> Option<Envelope> {
    match read(payload, run, message_bytes) {
        // The recovery probe's was sent to see whether it gets through.
        Reading::Ours(envelope) => {
            return Some(envelope).filter(|envelope| envelope.producer != RECOVERY_PROBE);
        }
        Reading::Corrupt => seen.corrupt += 1,
        Reading::Foreign => seen.foreign += 1,
    }
    None
}

struct Consumer<'a> {
    share: Share,
    subscription: u16,
    run: u64,
    message_bytes: usize,
    clock: Clock,
    control: &'a Control,
    deliveries: &'a Deliveries,
    /// How many messages its subscription has consumed.
    progress: Option<&'a AtomicU64>,
    /// Latencies count from the planned time. In the closed model there is no plan to count from,
    /// and messages that are too small for a full envelope do not say it.
    timed: bool,
    /// Nobody of ours publishes: whatever comes is what is to be read.
    anything: bool,
    work: Work,
    /// First deliveries that are not in `progress` yet.
    first: u64,
    report: ConsumerReport,
}

/// Runs a consumer, by its subscription and its number within, until it is told to stop.
pub fn consume(
    of: Context<'_>,
    deliveries: &Deliveries,
    who: (u16, u16),
    subscriber: Box<dyn Subscriber>,
    mut recorder: Recorder,
) -> ConsumerReport {
    let mut consumer = Consumer::new(of, deliveries, who.0);
    if consumer.work.each_ns > 0 {
        sharpen_timer();
    }
    let mut here = Some(subscriber);
    while !of.control.consuming_stopped()
        && let Some(mut subscriber) = here.take()
    {
        let comeback = &mut consumer.report.comeback;
        if who == (0, 0) && of.control.consumers.must_go() {
            here = die_and_come_back(of, who, subscriber, comeback);
        } else if let Err(error) = consumer.batch(subscriber.as_mut(), &mut recorder) {
            let comeback = &mut consumer.report.comeback;
            comeback.note(&error);
            add(&mut comeback.retries, subscriber.retries());
            drop(subscriber);
            here = come_back(of, who, comeback);
        } else {
            here = Some(subscriber);
        }
    }
    if let Some(mut subscriber) = here {
        // Leaving politely matters to the broker, not to the books: an error changes no count.
        let _ = subscriber.close();
        add(&mut consumer.report.comeback.retries, subscriber.retries());
    }
    recorder.harvest();
    consumer.report
}

/// Runs the only consumers of many subscriptions; a report for each of these.
pub fn consume_many(
    of: Context<'_>,
    deliveries: &Deliveries,
    subscriptions: Range<u16>,
    crowd: Box<dyn Crowd>,
    mut recorder: Recorder,
) -> Vec<ConsumerReport> {
    let Context { clock, control, .. } = of;
    let new = |subscription| Consumer::new(of, deliveries, subscription);
    let mut consumers: Vec<Consumer<'_>> = subscriptions.clone().map(new).collect();
    let mut all = ConsumerReport::default();
    let mut here = Some(crowd);
    while !control.consuming_stopped()
        && let Some(mut crowd) = here.take()
    {
        let now = clock.now_ns();
        if recorder.tick(now) {
            all.cpu.note(now, control);
            all.comeback.settled();
        }
        let received = crowd.receive(now + WAIT_NS, &mut |whose, message| {
            if let Some(consumer) = consumers.get_mut(whose) {
                consumer.note(&message, &mut recorder);
                consumer.tell();
            }
        });
        here = match received {
            Ok(()) => Some(crowd),
            Err(error) => {
                all.comeback.note(&error);
                drop(crowd);
                let connect = || of.driver.crowd(subscriptions.clone(), true);
                all.comeback.connect(connect, || control.consuming_stopped())
            }
        };
    }
    if let Some(mut crowd) = here {
        let _ = crowd.close();
    }
    recorder.harvest();
    let mut reports: Vec<ConsumerReport> =
        consumers.into_iter().map(|consumer| consumer.report).collect();
    // What is of the thread stands with the first.
    if let Some(first) = reports.first_mut() {
        (first.cpu, first.comeback) = (all.cpu, all.comeback);
    }
    reports
}

impl<'a> Consumer<'a> {
    fn new(of: Context<'a>, deliveries: &'a Deliveries, subscription: u16) -> Self {
        let Context { cell, run, clock, control, .. } = of;
        let message_bytes = cell.message.size.0 as usize;
        let watched_partitions = if cell.watches_recovery() { cell.config.partitions() } else { 0 };
        let mut report = ConsumerReport::default();
        report.gaps.resize_with(usize::from(watched_partitions), || Silences::new(clock.now_ns()));
        Self {
            share: of.share,
            subscription,
            run,
            message_bytes,
            clock,
            control,
            deliveries,
            progress: control.consumed.get(usize::from(subscription)),
            timed: cell.load.model == Model::Open && message_bytes >= FULL,
            anything: cell.load.producers == 0,
            work: Work { each_ns: cell.load.work.nanos(), done_ns: None },
            first: 0,
            report,
        }
    }

    fn batch(
        &mut self,
        subscriber: &mut dyn Subscriber,
        recorder: &mut Recorder,
    ) -> Result<(), DriverError> {
        let now = self.clock.now_ns();
        if recorder.tick(now) {
            self.report.cpu.note(now, self.control);
            self.report.comeback.settled();
        }
        self.work.done_ns = None;
        let received =
            subscriber.receive(now + WAIT_NS, &mut |message| self.note(&message, recorder));
        self.tell();
        received
    }

    /// Tells the other threads what has come.
    #[inline]
    fn tell(&mut self) {
        let first = std::mem::take(&mut self.first);
        if let Some(progress) = self.progress {
            progress.fetch_add(first, Relaxed);
        }
    }

    #[inline]
    fn note(&mut self, message: &Incoming<'_>, recorder: &mut Recorder) {
        if self.anything { self.read(message, recorder) } else { self.take(message, recorder) }
    }

    /// What others published has no number and no time.
    #[inline]
    fn read(&mut self, message: &Incoming<'_>, recorder: &mut Recorder) {
        let done_ns = self.work.on_one(message.received_ns, &self.clock, self.control);
        let totals = &mut self.report.totals;
        self.first += 1;
        recorder.flow.consumed.add(done_ns, 1);
        totals.last_ns = totals.last_ns.max(done_ns);
        if self.control.in_window(done_ns) {
            totals.window_consumed += 1;
            totals.window_bytes += message.payload.len() as u64;
        }
    }

    #[inline]
    fn take(&mut self, message: &Incoming<'_>, recorder: &mut Recorder) {
        let (control, report) = (self.control, &mut self.report);
        let envelope = ours(message.payload, self.run, self.message_bytes, &mut report.seen);
        let Some(envelope) = envelope else { return };
        // Also on a duplicate: an application does not know it for one.
        let done_ns = self.work.on_one(message.received_ns, &self.clock, control);
        let (producer, lane, sequence) = (envelope.producer, envelope.lane, envelope.sequence);
        if !report.seen.note((producer, lane), sequence) {
            return;
        }
        let totals = &mut report.totals;
        totals.overtaken +=
            u64::from(self.deliveries.overtaken(self.subscription, producer, lane, sequence));
        if let Some(partition) = usize::from(lane).checked_rem(report.gaps.len()) {
            report.gaps[partition].note(message.received_ns);
        }
        recorder.flow.consumed.add(done_ns, 1);
        totals.last_ns = totals.last_ns.max(done_ns);
        totals.window_consumed += u64::from(control.in_window(done_ns));
        if !self.share.is_whole() {
            totals.window_delivered += u64::from(control.in_window(envelope.planned_ns));
            // What another clock stamped, or who of several machines was last, is not known here.
            let known = self.share.clients.subscriptions == 1
                && control.is_comparable(self.share.sender(producer));
            if !known {
                return;
            }
        }
        // With several subscriptions a message has arrived once the last of them has it.
        if self.timed && self.deliveries.is_last(producer, lane, sequence) {
            let latency = message.received_ns.saturating_sub(envelope.planned_ns);
            recorder.record(Latency::EndToEnd, control.part(envelope.planned_ns), latency);
        }
        self.first += 1;
        if self.work.each_ns > 0 {
            self.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Driver;
    use crate::driver::fake::{Behaviour, Fake};
    use crate::model::System;
    use crate::payload::{Bodies, BodyKind};
    use crate::scenario::{Cell, Load, Message};
    use crate::units::Span;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::channel;

    const MS: u64 = 1_000_000;

    /// Consumes 20 messages of one producer that all wait already,
    /// told to stop `stop_after_ns` later.
    fn worked(work_ns: u64, stop_after_ns: u64) -> (ConsumerReport, u64) {
        let (clock, control, deliveries) =
            (Clock::start(), Control::new(1), Deliveries::new(1, 1, 1, 1));
        let began = clock.now_ns();
        let fake = Fake::new(Behaviour::default(), 1, clock);
        let mut publisher = fake.publisher(0).unwrap();
        let mut bodies = Bodies::generate(BodyKind::Random, 100, 1).unwrap();
        for sequence in 0..20 {
            let envelope = Envelope { run: 7, producer: 0, lane: 0, sequence, planned_ns: 1 };
            let payload = bodies.stamped(&envelope);
            let outgoing =
                crate::driver::Outgoing { slot: sequence as u32, payload, ..Default::default() };
            publisher.submit(outgoing).unwrap();
        }
        control.open_window(0, u64::MAX);
        let load = Load { work: Span(work_ns), ..Load::closed(100) };
        let cell = Cell { message: Message::random(100), ..Cell::plain(System::Fake, load) };
        let (driver, interrupted) = (&fake, &AtomicBool::new(false));
        let of = Context {
            cell: &cell,
            share: Share::whole(cell.load.clients()),
            block: 1,
            run: 7,
            clock,
            driver,
            control: &control,
            interrupted,
        };
        let report = std::thread::scope(|scope| {
            let subscriber = fake.subscriber(0, 0).unwrap();
            let (recorder, deliveries) = (Recorder::new(channel().0), &deliveries);
            let consumer =
                scope.spawn(move || consume(of, deliveries, (0, 0), subscriber, recorder));
            let deadline = clock.now_ns() + stop_after_ns;
            while control.least_consumed() < 20 && clock.now_ns() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            control.stop_consuming();
            consumer.join().unwrap()
        });
        let took = report.totals.last_ns - began;
        (report, took)
    }

    #[test]
    fn a_batch_takes_its_number_times_the_work() {
        let (report, took) = worked(5 * MS, 10_000 * MS);
        assert_eq!((report.seen.distinct(), report.totals.window_consumed), (20, 20));
        assert!(took >= 100 * MS, "{took}");
    }

    #[test]
    fn nobody_works_on_after_the_end() {
        let (report, took) = worked(100 * MS, 150 * MS);
        assert_eq!(report.seen.distinct(), 20, "what was handed out is booked");
        assert!(took < 20 * 100 * MS, "not all of the work: {took}");
    }
}
