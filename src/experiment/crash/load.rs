//! The load that a kill interrupts: one publisher at a fixed rate, which knows of each message how it ended.
//!
//! The engine's own load ends a cell when its broker dies. Here that is what happens: a lost connection ends this load,
//! and what has no answer by then is unanswered, neither lost nor stored.

use crate::clock::Clock;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use crate::payload::{Bodies, Envelope};
use crate::record::SeqSet;
use crate::schedule::Schedule;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Longest sleep, so that the stop is seen.
const NAP_NS: u64 = 10_000_000;
/// Answers that were on their way when the broker died are taken in for so long.
const LAST_ANSWERS_NS: u64 = 100_000_000;

/// How each message ended at the publisher, by sequence.
#[derive(Debug, Default)]
pub struct Book {
    /// When it was acknowledged, ns; 0 where it was not.
    acked_ns: Vec<u64>,
    refused: u64,
    /// What ended the load before it was told to stop.
    pub error: Option<DriverError>,
}

/// What became of the messages of a [`Book`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub sent: u64,
    pub acked: u64,
    /// Acknowledged and gone.
    pub lost: u64,
    /// When the first of the lost ones was acknowledged, ns.
    pub first_lost_ns: Option<u64>,
    /// Without an answer; whether the broker holds them or not, nothing was promised.
    pub unanswered: u64,
    pub unanswered_kept: u64,
}

impl Book {
    fn note(&mut self, sequence: u64, completion: Completion) {
        match completion.outcome {
            Outcome::Acked => self.acked_ns[sequence as usize] = completion.at_ns.max(1),
            Outcome::Failed => self.refused += 1,
            Outcome::Indeterminate => {}
        }
    }

    pub fn sent(&self) -> u64 {
        self.acked_ns.len() as u64
    }

    /// Against what the broker still holds.
    pub fn against(&self, kept: &SeqSet) -> Loss {
        let mut loss = Loss { sent: self.sent(), ..Loss::default() };
        for (sequence, &acked_ns) in (0..).zip(&self.acked_ns) {
            match (acked_ns > 0, kept.contains(sequence)) {
                (true, true) => loss.acked += 1,
                (true, false) => {
                    loss.acked += 1;
                    loss.lost += 1;
                    loss.first_lost_ns = Some(loss.first_lost_ns.map_or(acked_ns, |first| first.min(acked_ns)));
                }
                (false, kept) => {
                    loss.unanswered += 1;
                    loss.unanswered_kept += u64::from(kept);
                }
            }
        }
        loss.unanswered = loss.unanswered.saturating_sub(self.refused);
        loss
    }
}

/// One publisher's load. Connection and stream are taken in turn.
pub struct Load {
    pub publisher: Box<dyn Publisher>,
    pub bodies: Bodies,
    pub run: u64,
    pub start_ns: u64,
    pub schedule: Schedule,
    pub in_flight: u32,
    pub connections: u16,
    pub streams: u16,
    pub clock: Clock,
}

impl Load {
    /// Sends until `stop`, or until the broker is gone; then takes in what is still answered.
    pub fn run(mut self, stop: &AtomicBool) -> Book {
        let mut book = Book::default();
        // Sequence on its way in each slot, and the slots without one.
        let mut slots = vec![0; self.in_flight.max(1) as usize];
        let mut free: Vec<u32> = (0..self.in_flight.max(1)).rev().collect();
        while !stop.load(Relaxed) {
            let step = self.send_due(&mut book, &mut slots, &mut free);
            let until = (self.start_ns + self.schedule.due_ns()).min(self.clock.now_ns() + NAP_NS);
            // A full publisher is asked again after its next answer, not at once.
            let until = if free.is_empty() { self.clock.now_ns() + NAP_NS } else { until };
            if let Err(error) = step.and_then(|()| self.answers(until, &mut book, &slots, &mut free)) {
                book.error = Some(error);
                break;
            }
        }
        let last_ns = self.clock.now_ns() + LAST_ANSWERS_NS;
        while free.len() < slots.len() && self.clock.now_ns() < last_ns {
            if self.answers(last_ns, &mut book, &slots, &mut free).is_err() {
                break;
            }
        }
        book
    }

    fn send_due(&mut self, book: &mut Book, slots: &mut [u64], free: &mut Vec<u32>) -> Result<(), DriverError> {
        let now_ns = self.clock.now_ns();
        while self.start_ns + self.schedule.due_ns() <= now_ns {
            let Some(&slot) = free.last() else { break };
            let sequence = book.sent();
            let turn = |count: u16| (sequence % u64::from(count.max(1))) as u16;
            let (connection, stream) = (turn(self.connections), turn(self.streams));
            let planned_ns = self.start_ns + self.schedule.due_ns();
            let envelope = Envelope { run: self.run, producer: 0, lane: stream, sequence, planned_ns };
            let payload = self.bodies.stamped(&envelope);
            if self.publisher.submit(Outgoing { slot, connection, stream, payload })? == Submitted::Full {
                break;
            }
            free.pop();
            slots[slot as usize] = sequence;
            book.acked_ns.push(0);
            self.schedule.advance();
        }
        self.publisher.flush()
    }

    fn answers(
        &mut self,
        until_ns: u64,
        book: &mut Book,
        slots: &[u64],
        free: &mut Vec<u32>,
    ) -> Result<(), DriverError> {
        let mut completions = Vec::new();
        let waited = self.publisher.wait(until_ns, &mut completions);
        for completion in completions {
            book.note(slots[completion.slot as usize], completion);
            free.push(completion.slot);
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Driver;
    use crate::driver::fake::{Behaviour, Fake};
    use crate::payload::{BodyKind, Reading, read};
    use crate::units::Rate;
    use std::time::Duration;

    const SIZE: usize = 100;

    #[test]
    fn what_was_acknowledged_and_is_gone_is_counted_and_nothing_else() {
        let clock = Clock::start();
        let behaviour = Behaviour {
            ack_then_lose: vec![7, 30, 31],
            refuse: vec![12],
            keep: true,
            delay_ns: 1_000_000,
            ..Behaviour::default()
        };
        let fake = Fake::new(behaviour, 0, clock);
        let load = Load {
            publisher: fake.publisher(0).unwrap(),
            bodies: Bodies::generate(BodyKind::Text, SIZE, 1).unwrap(),
            run: 9,
            start_ns: clock.now_ns(),
            schedule: Schedule::constant(Rate::per_second(1000), 0, 1),
            in_flight: 64,
            connections: 1,
            streams: 1,
            clock,
        };
        let stop = AtomicBool::new(false);
        let book = std::thread::scope(|scope| {
            let loading = scope.spawn(|| load.run(&stop));
            std::thread::sleep(Duration::from_millis(200));
            stop.store(true, Relaxed);
            loading.join().unwrap()
        });
        let mut kept = SeqSet::new();
        let mut sink = |message: &[u8]| match read(message, 9, SIZE) {
            Reading::Ours(envelope) => assert!(kept.insert(envelope.sequence)),
            other => panic!("{other:?}"),
        };
        fake.audit(0, &mut sink).unwrap();
        let loss = book.against(&kept);
        assert!(loss.sent > 50 && loss.sent < 400, "{loss:?}");
        assert_eq!((loss.lost, loss.unanswered, loss.acked), (3, 0, loss.sent - 1), "{loss:?}");
        assert_eq!(loss.first_lost_ns, Some(book.acked_ns[7]));
        assert!(book.error.is_none());
    }

    #[test]
    fn what_has_no_answer_is_neither_lost_nor_kept() {
        let book = Book { acked_ns: vec![10, 20, 0, 0, 30], ..Book::default() };
        let mut kept = SeqSet::new();
        assert!(kept.insert(0) && kept.insert(2));
        let loss = book.against(&kept);
        let expected = Loss { sent: 5, acked: 3, lost: 2, first_lost_ns: Some(20), unanswered: 2, unanswered_kept: 1 };
        assert_eq!(loss, expected);
    }
}
