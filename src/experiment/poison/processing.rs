//! The consuming side: works on what a worker hands out and books how it ended. One log may outlive
//! its worker.
//!
//! Poison is told by its number, which both sides know: it fails at every try. Everything else
//! succeeds at once.

use crate::driver::work::{WorkEvent, Worker};
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::payload::{Envelope, Reading, read};
use crate::record::{SeqSet, Timings};
use std::collections::{HashMap, HashSet};

#[derive(Clone, Copy, Debug)]
pub struct Task {
    id: u64,
    attempt: u32,
    pub envelope: Envelope,
    at_ns: u64,
}

/// How every message ended.
#[derive(Default)]
pub struct ProcessingLog {
    pub run: u64,
    pub message_bytes: usize,
    /// Every n-th message is poison; `None`: there is none.
    pub every: Option<u64>,
    /// Tries until a message is set aside; `None`: a message that fails is gone.
    pub tries: Option<u32>,
    /// Messages planned in here are timed, those received in here are counted, ns.
    pub window: (u64, u64),
    /// Healthy messages that were processed.
    pub processed: SeqSet,
    pub again: u64,
    /// Healthy messages received inside the window.
    pub in_window: u64,
    /// Planned → received, of healthy messages planned inside the window, ns.
    pub latency: Timings,
    /// Poison that failed for good where nothing can be set aside.
    pub gone: SeqSet,
    /// Poison that the worker reported dead_lettered.
    pub dead_lettered: SeqSet,
    /// First delivery → dead_lettered, ns.
    pub dead_letter_times: Timings,
    /// Damaged, or not ours.
    pub unreadable: u64,
    /// When the first message came; cleared to see when the next worker gets its first.
    pub first_ns: Option<u64>,
    /// Messages that a dead worker had in hand and that nobody has processed since.
    pub unacked: HashSet<u64>,
    /// When the last of them was processed.
    pub redelivered_ns: Option<u64>,
    pub first_tries: HashMap<u64, u64>,
    /// Sequences of what is being dead_lettered, by the worker's numbers.
    pub dead_lettering: HashMap<u64, u64>,
}

impl ProcessingLog {
    pub fn is_poison(&self, sequence: u64) -> bool {
        self.every.is_some_and(|every| sequence % every == every - 1)
    }

    /// Messages that have come to their end.
    pub fn settled(&self) -> u64 {
        self.processed.len() + self.gone.len() + self.dead_lettered.len()
    }

    /// Takes one batch, without working on it yet.
    pub fn fetch(
        &mut self,
        worker: &mut dyn Worker,
        max: u32,
        until_ns: u64,
    ) -> Result<Vec<Task>, DriverError> {
        let mut tasks = Vec::new();
        let mut unreadable = Vec::new();
        worker.take(max, until_ns, &mut |event| match event {
            WorkEvent::Task { id, attempt, payload, at_ns } => {
                match read(payload, self.run, self.message_bytes) {
                    Reading::Ours(envelope) => tasks.push(Task { id, attempt, envelope, at_ns }),
                    Reading::Corrupt | Reading::Foreign => unreadable.push(id),
                }
            }
            WorkEvent::DeadLettered { id, at_ns } => {
                let Some(sequence) = self.dead_lettering.remove(&id) else { return };
                if self.dead_lettered.insert(sequence)
                    && let Some(first_ns) = self.first_tries.get(&sequence)
                {
                    self.dead_letter_times.saturating_record(at_ns.saturating_sub(*first_ns));
                }
            }
        })?;
        self.unreadable += unreadable.len() as u64;
        unreadable.into_iter().for_each(|id| worker.done(id));
        self.first_ns = self.first_ns.or_else(|| tasks.first().map(|task| task.at_ns));
        Ok(tasks)
    }

    pub fn work(&mut self, worker: &mut dyn Worker, tasks: &[Task]) {
        for Task { id, attempt, envelope: Envelope { sequence, planned_ns, .. }, at_ns } in
            tasks.iter().copied()
        {
            if self.is_poison(sequence) {
                self.first_tries.entry(sequence).or_insert(at_ns);
                match self.tries {
                    None => {
                        self.gone.insert(sequence);
                        worker.done(id);
                    }
                    Some(tries) if attempt < tries => worker.retry(id),
                    Some(_) => {
                        self.dead_lettering.insert(id, sequence);
                        worker.dead_letter(id);
                    }
                }
                continue;
            }
            if self.unacked.remove(&sequence) && self.unacked.is_empty() {
                self.redelivered_ns = Some(at_ns);
            }
            if self.processed.insert(sequence) {
                let window = self.window.0..self.window.1;
                self.in_window += u64::from(window.contains(&at_ns));
                if window.contains(&planned_ns) {
                    self.latency.saturating_record(at_ns.saturating_sub(planned_ns));
                }
            } else {
                self.again += 1;
            }
            worker.done(id);
        }
    }
}

/// A plain subscriber in a worker's place, for a system that cannot hand a message out again: what
/// fails is gone.
pub struct UnacknowledgedWorker(pub Box<dyn Subscriber>);

impl Worker for UnacknowledgedWorker {
    fn take(
        &mut self,
        _: u32,
        until_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<(), DriverError> {
        self.0.receive(until_ns, &mut |incoming: Incoming<'_>| {
            sink(WorkEvent::Task {
                id: 0,
                attempt: 1,
                payload: incoming.payload,
                at_ns: incoming.received_ns,
            });
        })
    }
    fn done(&mut self, _: u64) {}
    fn retry(&mut self, _: u64) {}
    fn dead_letter(&mut self, _: u64) {}
    fn close(mut self: Box<Self>) -> Result<(), DriverError> {
        self.0.close()
    }
    fn kill(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::work::RetryQueue;

    /// A system with one message of each number, that retries at once and buries at once.
    #[derive(Default)]
    struct Table {
        desk: RetryQueue,
        new: Vec<u64>,
        dead_lettered: Vec<u64>,
    }

    impl Worker for Table {
        fn take(
            &mut self,
            _: u32,
            _: u64,
            sink: &mut dyn FnMut(WorkEvent<'_>),
        ) -> Result<(), DriverError> {
            self.desk.hand_out(u64::MAX, sink);
            for sequence in std::mem::take(&mut self.new) {
                let mut message = [0; 100];
                Envelope { run: 7, producer: 0, lane: 0, sequence, planned_ns: 1000 * sequence }
                    .write(&mut message);
                self.desk.hold(sequence, &message);
                sink(WorkEvent::Task {
                    id: sequence,
                    attempt: 1,
                    payload: &message,
                    at_ns: 1000 * sequence + 5,
                });
            }
            for id in &self.dead_lettered {
                sink(WorkEvent::DeadLettered { id: *id, at_ns: 1000 * id + 305 });
            }
            Ok(())
        }
        fn done(&mut self, id: u64) {
            self.desk.clear(id);
        }
        fn retry(&mut self, id: u64) {
            self.desk.retry(id, 0);
        }
        fn dead_letter(&mut self, id: u64) {
            self.dead_lettered.push(id);
        }
        fn close(self: Box<Self>) -> Result<(), DriverError> {
            Ok(())
        }
        fn kill(self: Box<Self>) {}
    }

    fn log() -> ProcessingLog {
        let (every, tries, window) = (Some(10), Some(3), (0, 20_000));
        ProcessingLog {
            run: 7,
            message_bytes: 100,
            every,
            tries,
            window,
            ..ProcessingLog::default()
        }
    }

    #[test]
    fn poison_is_tried_as_often_as_told_and_then_buried_once() {
        let (mut table, mut log) = (Table { new: (0..30).collect(), ..Table::default() }, log());
        for round in 1..=5 {
            let tasks = log.fetch(&mut table, 100, 0).unwrap();
            assert_eq!(tasks.len(), [30, 3, 3, 0, 0][round - 1], "round {round}");
            log.work(&mut table, &tasks);
        }
        assert_eq!(table.dead_lettered, [9, 19, 29]);
        assert_eq!(
            (log.processed.len(), log.dead_lettered.len(), log.again, log.settled()),
            (27, 3, 0, 30)
        );
        assert_eq!((log.dead_letter_times.len(), log.dead_letter_times.max()), (3, 300));
        // Received in the first 20 µs, of which two were poison; all of those are timed.
        assert_eq!((log.in_window, log.latency.len(), log.latency.max()), (18, 18, 5));
    }

    #[test]
    fn what_comes_twice_is_counted_and_what_cannot_be_retried_is_gone() {
        let for_good = || ProcessingLog { tries: None, ..log() };
        let (mut table, mut log) = (Table { new: vec![8, 9, 8], ..Table::default() }, for_good());
        let tasks = log.fetch(&mut table, 100, 0).unwrap();
        log.work(&mut table, &tasks);
        assert_eq!(
            (log.processed.len(), log.again, log.gone.len(), table.dead_lettered.len()),
            (1, 1, 1, 0)
        );
        let strange = ProcessingLog { run: 8, ..for_good() };
        let (mut table, mut log) = (Table { new: vec![1], ..Table::default() }, strange);
        assert!(log.fetch(&mut table, 100, 0).unwrap().is_empty());
        assert_eq!((log.unreadable, table.desk.count()), (1, 0));
    }
}
