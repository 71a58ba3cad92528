//! Capability: messages taken as work that can fail, be tried again,
//! and be set aside as dead letters.
//!
//! What a system does by itself and what is left to the application differs most here, so every
//! implementation says it in its [`Responsibilities`]. A worker never decides that a message has
//! failed often enough: it counts tries, its user decides. A dead letter is stored before, or in
//! one step with, the end of the original: a worker may be killed at any moment without a message
//! vanishing between the two.

use super::DriverError;
use crate::units::Span;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::RangeBounds;

/// What every worker on a queue keeps to, whatever the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkTerms {
    /// How long a failed message waits for its next try.
    pub pause: Span,
    /// How often a message is tried before it is set aside.
    pub tries: u32,
    pub acknowledge: AcknowledgePolicy,
}

/// When the broker is told what is done. What a crash repeats follows from it, so it is the same on
/// all sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcknowledgePolicy {
    /// Before the next batch is taken: Kafka commits, Redis gets XACK or LREM.
    EveryBatch,
    Every(Span),
}

impl fmt::Display for AcknowledgePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EveryBatch => f.write_str("acknowledged with every batch"),
            Self::Every(span) => write!(f, "acknowledged every {span}"),
        }
    }
}

/// Tells a worker when it has to acknowledge.
#[derive(Debug)]
pub struct AcknowledgeTimer {
    policy: AcknowledgePolicy,
    due_ns: u64,
}

impl AcknowledgeTimer {
    pub const fn new(policy: AcknowledgePolicy) -> Self {
        Self { policy, due_ns: 0 }
    }

    /// Whether it is time, and then it is not for a while.
    pub fn due(&mut self, now_ns: u64) -> bool {
        let due = now_ns >= self.due_ns;
        if let (true, AcknowledgePolicy::Every(span)) = (due, self.policy) {
            self.due_ns = now_ns + span.nanos();
        }
        due
    }
}

/// What happened to work.
#[derive(Clone, Copy, Debug)]
pub enum WorkEvent<'a> {
    /// A message to be worked on, for the `attempt`-th time, counted from 1. `id` is the worker's
    /// own number for it, good until `done`, `retry` or `dead_letter`.
    Task { id: u64, attempt: u32, payload: &'a [u8], at_ns: u64 },
    /// A message given to `dead_letter` now lies among the dead letters, and its original is no
    /// longer pending.
    DeadLettered { id: u64, at_ns: u64 },
}

/// One consumer of work. Used by exactly one thread.
pub trait Worker: Send {
    /// Hands out what is due: failed messages whose time has come again, and at most `max` new
    /// ones. Waits until `until_ns` for the first. Acknowledges meanwhile what was done before.
    fn take(
        &mut self,
        max: u32,
        until_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<(), DriverError>;
    /// The message is processed.
    fn done(&mut self, id: u64);
    /// Processing failed: the message is to come again, not earlier than the pause given
    /// in [`WorkTerms`].
    fn retry(&mut self, id: u64);
    /// The message is to be set aside for good.
    fn dead_letter(&mut self, id: u64);
    /// Acknowledges what is done and leaves. Bounded by a few seconds.
    fn close(self: Box<Self>) -> Result<(), DriverError>;
    /// Vanishes as a killed process does: connections cut,
    /// nothing acknowledged any more, no good-bye.
    fn kill(self: Box<Self>) {}
}

/// How one system hands out work.
pub trait WorkQueue {
    /// Connects consumer `consumer`; all of them share the work.
    fn worker(&self, consumer: u16) -> Result<Box<dyn Worker>, DriverError>;
    /// What the application must do before the messages that died with consumer `dead` come to
    /// another one. Nothing where the system does that by itself.
    fn take_over(&self, _dead: u16) -> Result<(), DriverError> {
        Ok(())
    }
    /// Reads every dead letter back.
    fn dead_letters(
        &self,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError>;
    fn responsibilities(&self) -> Responsibilities;
    /// Deletes what this made. Bounded by a few seconds.
    fn clean_up(&self) -> Result<(), DriverError>;
}

/// Who does what: the broker, the client library or the application, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responsibilities {
    pub counts_tries: &'static str,
    pub repeats: &'static str,
    pub sets_aside: &'static str,
    /// Hands the messages of a dead consumer to another one.
    pub takes_over: &'static str,
    /// What a dead consumer had processed and another one gets again.
    pub comes_again: &'static str,
}

impl fmt::Display for Responsibilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts_tries, repeats, sets_aside, takes_over, .. } = self;
        write!(
            f,
            "tries counted by {counts_tries}; repeated by {repeats}; set aside by {sets_aside}; "
        )?;
        write!(f, "a dead consumer's messages handed on by {takes_over}")
    }
}

/// The memory of an application that has to count tries and to wait for the next one itself.
#[derive(Debug, Default)]
pub struct RetryQueue {
    /// The messages on its desk, each with its tries.
    held: BTreeMap<u64, (Vec<u8>, u32)>,
    /// (due, id), in order of both: every pause has the same length.
    failing: VecDeque<(u64, u64)>,
}

impl RetryQueue {
    /// Puts a new message on the desk.
    pub fn hold(&mut self, id: u64, payload: &[u8]) {
        self.held.insert(id, (payload.to_vec(), 1));
    }

    pub fn payload(&self, id: u64) -> Option<&[u8]> {
        self.held.get(&id).map(|(payload, _)| payload.as_slice())
    }

    /// Takes a message off the desk.
    pub fn clear(&mut self, id: u64) -> Option<Vec<u8>> {
        self.held.remove(&id).map(|(payload, _)| payload)
    }

    pub fn retry(&mut self, id: u64, due_ns: u64) {
        self.failing.push_back((due_ns, id));
    }

    pub fn next_due_ns(&self) -> Option<u64> {
        self.failing.front().map(|(due_ns, _)| *due_ns)
    }

    /// Hands out every failed message whose time has come; true if there was one.
    pub fn hand_out(&mut self, now_ns: u64, sink: &mut dyn FnMut(WorkEvent<'_>)) -> bool {
        let mut any = false;
        while let Some((_, id)) = self.failing.pop_front_if(|(due_ns, _)| *due_ns <= now_ns) {
            if let Some((payload, tries)) = self.held.get_mut(&id) {
                *tries += 1;
                sink(WorkEvent::Task { id, attempt: *tries, payload, at_ns: now_ns });
                any = true;
            }
        }
        any
    }

    /// The lowest number on the desk within `range`.
    pub fn lowest(&self, range: impl RangeBounds<u64>) -> Option<u64> {
        self.held.range(range).next().map(|(id, _)| *id)
    }

    /// How many messages lie on the desk.
    pub fn count(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(desk: &mut RetryQueue, now_ns: u64) -> Vec<(u64, u32)> {
        let mut out = vec![];
        desk.hand_out(now_ns, &mut |event| match event {
            WorkEvent::Task { id, attempt, payload, .. } => {
                assert_eq!(payload, [id as u8]);
                out.push((id, attempt));
            }
            WorkEvent::DeadLettered { .. } => panic!("nothing was dead_lettered"),
        });
        out
    }

    #[test]
    fn acknowledged_is_as_often_as_the_policy_says() {
        let due = |policy, times: &[u64]| {
            let mut timer = AcknowledgeTimer::new(policy);
            times.iter().map(|now_ns| timer.due(*now_ns)).collect::<Vec<_>>()
        };
        assert_eq!(due(AcknowledgePolicy::EveryBatch, &[1, 2, 3]), [true; 3]);
        let every = AcknowledgePolicy::Every(Span::from_millis(1));
        assert_eq!(due(every, &[5, 6, 1_000_004, 1_000_005]), [true, false, false, true]);
        assert_eq!(every.to_string(), "acknowledged every 1ms");
    }

    #[test]
    fn a_failed_message_comes_again_when_its_time_has_come_and_counts_its_tries() {
        let mut desk = RetryQueue::default();
        (1..=3).for_each(|id| desk.hold(id, &[id as u8]));
        desk.retry(2, 100);
        desk.retry(1, 150);
        assert_eq!((desk.next_due_ns(), due(&mut desk, 99)), (Some(100), vec![]));
        assert_eq!(due(&mut desk, 150), [(2, 2), (1, 2)]);
        desk.retry(2, 250);
        assert_eq!(due(&mut desk, 250), [(2, 3)]);
        assert_eq!(due(&mut desk, u64::MAX), []);
    }

    #[test]
    fn what_is_cleared_does_not_come_again_and_holds_nothing_back() {
        let mut desk = RetryQueue::default();
        (4..=6).for_each(|id| desk.hold(id, &[id as u8]));
        desk.retry(4, 1);
        assert_eq!(desk.lowest(..), Some(4));
        assert_eq!(desk.clear(4), Some(vec![4]));
        assert_eq!(
            (due(&mut desk, 10), desk.lowest(..), desk.lowest(6..), desk.count()),
            (vec![], Some(5), Some(6), 2)
        );
    }
}
