//! Messages in and out, for experiments that need less than the engine's plain load and more control over it.
//!
//! A producer at a fixed rate or as fast as it may, and a tally of what a consumer received. Nothing here judges, and
//! every wait ends at the time it was given.

use crate::clock::Clock;
use crate::driver::{Completion, Driver, DriverError, Incoming, Outcome, Outgoing, Publisher, Submitted, Subscriber};
use crate::engine::TrialError;
use crate::payload::{Bodies, BodyKind, Envelope, Reading, read};
use crate::record::{SECOND_NS, SeqSet};
use crate::scenario::{Cell, PayloadKind};
use crate::units::Rate;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How long a producer may take to send what it was told to, as fast as it can.
const SEND_WITHIN: u64 = 120 * SECOND_NS;
/// How long it waits for the last answers.
const ANSWER_WITHIN: u64 = 30 * SECOND_NS;
/// Longest sleep, so that the signal to stop is seen.
const NAP: u64 = SECOND_NS / 50;

/// One producer on its own topic. Messages are numbered from 0 on, over all its calls.
pub struct Producer {
    publisher: Box<dyn Publisher>,
    bodies: Bodies,
    free: Vec<u32>,
    in_flight: usize,
    completions: Vec<Completion>,
    streams: u16,
    connections: u16,
    run: u64,
    next: u64,
    acked: u64,
    clock: Clock,
}

/// Seen by the consumer's side while the producer works.
#[derive(Default)]
pub struct Progress {
    pub sent: AtomicU64,
    /// Set by either side: nothing more is sent.
    pub stop: AtomicBool,
}

impl Producer {
    pub fn new(driver: &dyn Driver, cell: &Cell, run: u64, clock: Clock) -> Result<Self, TrialError> {
        let kind = match cell.message.payload {
            PayloadKind::Text => BodyKind::Text,
            PayloadKind::Random => BodyKind::Random,
            PayloadKind::Mixed => BodyKind::Mixed { ratio: cell.message.compressibility.unwrap_or(1.0) },
        };
        let bodies = Bodies::generate(kind, cell.message.size.0 as usize, cell.seed)?;
        let (in_flight, connections) = (cell.load.in_flight.max(1), cell.load.connections.max(1));
        Ok(Self {
            publisher: driver.publisher(0)?,
            bodies,
            free: (0..in_flight).rev().collect(),
            in_flight: in_flight as usize,
            completions: Vec::new(),
            streams: cell.config.streams().max(1),
            connections,
            run,
            next: 0,
            acked: 0,
            clock,
        })
    }

    /// Messages handed over so far.
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// Messages answered well so far.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Sends `count` messages, at `rate` or as fast as the in-flight limit lets it, and waits for their answers. Each
    /// carries the time at which it was handed over. Ends early when told to stop.
    pub fn publish(&mut self, count: u64, rate: Option<Rate>, progress: &Progress) -> Result<(), DriverError> {
        let start = self.clock.now_ns();
        let due = |n: u64| rate.map_or(start, |rate| start + due_after(n, rate));
        let deadline = due(count).saturating_add(SEND_WITHIN);
        let mut n = 0;
        while n < count && !progress.stop.load(Relaxed) {
            let mut now = self.clock.now_ns();
            if now > deadline {
                break;
            }
            while n < count && due(n) <= now && self.send(now)? {
                progress.sent.store(self.next, Relaxed);
                n += 1;
                now = self.clock.now_ns();
            }
            self.publisher.flush()?;
            let until = if n < count { due(n).clamp(now, now + NAP) } else { now };
            // With nothing free, wait for an answer and not for the next message.
            self.collect(if self.free.is_empty() || until <= now { now + NAP / 20 } else { until })?;
        }
        let patience = self.clock.now_ns() + ANSWER_WITHIN;
        while self.free.len() < self.in_flight && self.clock.now_ns() < patience {
            self.collect((self.clock.now_ns() + NAP).min(patience))?;
        }
        Ok(())
    }

    /// False when the in-flight limit or the client's queue does not let it.
    fn send(&mut self, now_ns: u64) -> Result<bool, DriverError> {
        let Some(slot) = self.free.pop() else { return Ok(false) };
        let envelope = Envelope { run: self.run, producer: 0, lane: 0, sequence: self.next, planned_ns: now_ns };
        let stream = (self.next % u64::from(self.streams)) as u16;
        let connection = (self.next / u64::from(self.streams) % u64::from(self.connections)) as u16;
        let payload = self.bodies.stamped(&envelope);
        match self.publisher.submit(Outgoing { slot, connection, stream, payload })? {
            Submitted::Taken => {
                self.next += 1;
                Ok(true)
            }
            Submitted::Full => {
                self.free.push(slot);
                Ok(false)
            }
        }
    }

    fn collect(&mut self, until_ns: u64) -> Result<(), DriverError> {
        self.publisher.wait(until_ns, &mut self.completions)?;
        for completion in self.completions.drain(..) {
            self.acked += u64::from(completion.outcome == Outcome::Acked);
            self.free.push(completion.slot);
        }
        Ok(())
    }
}

/// When message `n` is due, ns after the start: in the middle of its share of time, so that a rate of 1/s for two seconds
/// is two messages, neither at an edge.
fn due_after(n: u64, rate: Rate) -> u64 {
    let after = (2 * u128::from(n) + 1) * 500_000_000_000_000 / u128::from(rate.micro_per_s().max(1));
    u64::try_from(after).unwrap_or(u64::MAX).min(u64::MAX / 4)
}

/// What one consumer received of one producer's messages.
pub struct Tally {
    run: u64,
    message_bytes: usize,
    /// Distinct messages.
    pub seen: SeqSet,
    pub repeated: u64,
    /// Not ours, or damaged.
    pub strange: u64,
    /// Calls that brought messages.
    pub batches: u64,
    /// Received − sent of each message, ns.
    pub wake_ups: Vec<u64>,
    pub first_ns: u64,
    pub last_ns: u64,
}

impl Tally {
    pub fn new(cell: &Cell, run: u64) -> Self {
        Self {
            run,
            message_bytes: cell.message.size.0 as usize,
            seen: SeqSet::new(),
            repeated: 0,
            strange: 0,
            batches: 0,
            wake_ups: Vec::new(),
            first_ns: 0,
            last_ns: 0,
        }
    }

    pub fn note(&mut self, payload: &[u8]) -> Option<Envelope> {
        match read(payload, self.run, self.message_bytes) {
            Reading::Ours(envelope) => {
                let new = self.seen.insert(envelope.sequence);
                self.repeated += u64::from(!new);
                new.then_some(envelope)
            }
            Reading::Corrupt | Reading::Foreign => {
                self.strange += 1;
                None
            }
        }
    }

    fn receive(&mut self, subscriber: &mut dyn Subscriber, until_ns: u64) -> Result<(), DriverError> {
        let mut any = false;
        let received = subscriber.receive(until_ns, &mut |incoming: Incoming<'_>| {
            any = true;
            if let Some(envelope) = self.note(incoming.payload) {
                self.wake_ups.push(incoming.received_ns.saturating_sub(envelope.planned_ns));
            }
            self.last_ns = incoming.received_ns;
            if self.first_ns == 0 {
                self.first_ns = incoming.received_ns;
            }
        });
        self.batches += u64::from(any);
        received
    }

    /// Receives until `end_ns` or until told to stop, each call waiting at most `wait_ns`.
    pub fn receive_until(
        &mut self,
        subscriber: &mut dyn Subscriber,
        clock: Clock,
        wait_ns: u64,
        end_ns: u64,
        stop: &AtomicBool,
    ) -> Result<(), DriverError> {
        loop {
            let now = clock.now_ns();
            if now >= end_ns || stop.load(Relaxed) {
                return Ok(());
            }
            self.receive(subscriber, end_ns.min(now + wait_ns))?;
        }
    }

    /// Receives until `enough` says so or nothing has come for `quiet_ns`; `deadline_ns` ends it in any case.
    pub fn receive_while(
        &mut self,
        subscriber: &mut dyn Subscriber,
        clock: Clock,
        quiet_ns: u64,
        deadline_ns: u64,
        mut enough: impl FnMut(&Self) -> bool,
    ) -> Result<(), DriverError> {
        let mut since = clock.now_ns();
        loop {
            let (now, before) = (clock.now_ns(), self.batches);
            if enough(self) || now >= deadline_ns || now >= since + quiet_ns {
                return Ok(());
            }
            self.receive(subscriber, deadline_ns.min(since + quiet_ns).min(now + SECOND_NS / 10))?;
            if self.batches > before {
                since = clock.now_ns();
            }
        }
    }

    /// Messages a second between the first and the last one received.
    pub fn rate(&self) -> Option<f64> {
        let span = self.last_ns.saturating_sub(self.first_ns);
        (span > 0 && self.seen.len() > 1).then(|| (self.seen.len() - 1) as f64 / (span as f64 / 1e9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::fake::{Behaviour, Fake};
    use crate::scenario::{self, Overrides};

    fn cell() -> Cell {
        scenario::load("latency", &Overrides::default()).unwrap().cells().remove(0)
    }

    #[test]
    fn messages_are_due_in_the_middle_of_their_share_of_time() {
        assert_eq!([0, 1].map(|n| due_after(n, Rate::per_second(1))), [500_000_000, 1_500_000_000]);
        assert_eq!(due_after(9_999, Rate::per_second(10_000)), 999_950_000);
        assert_eq!(due_after(u64::MAX, Rate::per_second(1)), u64::MAX / 4);
    }

    #[test]
    fn everything_is_sent_at_its_rate_and_tallied_once() {
        let (clock, cell) = (Clock::start(), cell());
        let fake = Fake::new(Behaviour { duplicate: vec![3], ..Behaviour::default() }, 1, clock);
        let mut producer = Producer::new(&fake, &cell, 9, clock).unwrap();
        let mut subscriber = fake.subscriber(0, 0).unwrap();
        let begun = clock.now_ns();
        producer.publish(50, Some(Rate::per_second(500)), &Progress::default()).unwrap();
        let took = clock.now_ns() - begun;
        assert!(took >= 98_000_000, "{took}");
        producer.publish(100, None, &Progress::default()).unwrap();
        assert_eq!((producer.sent(), producer.acked()), (150, 150));
        let mut tally = Tally::new(&cell, 9);
        let deadline = clock.now_ns() + SECOND_NS;
        tally.receive_while(subscriber.as_mut(), clock, SECOND_NS, deadline, |t| t.seen.len() == 150).unwrap();
        assert_eq!((tally.seen.len(), tally.repeated, tally.strange, tally.wake_ups.len()), (150, 1, 0, 150));
        let mut other = Tally::new(&cell, 8);
        other.note(b"not one of ours");
        assert_eq!((other.seen.len(), other.strange), (0, 1));
    }

    #[test]
    fn a_producer_that_is_told_to_stop_stops() {
        let (clock, cell) = (Clock::start(), cell());
        let fake = Fake::new(Behaviour::default(), 1, clock);
        let mut producer = Producer::new(&fake, &cell, 9, clock).unwrap();
        let progress = Progress::default();
        progress.stop.store(true, Relaxed);
        producer.publish(u64::MAX, Some(Rate::per_second(1)), &progress).unwrap();
        assert_eq!(producer.sent(), 0);
    }
}
