//! The sender of experiments: messages on a topic of their own, numbered from 0 on, at a fixed rate
//! or as fast as it goes.
//!
//! It is the engine's [`Sender`]; what is acknowledged is noted by number. Nothing here judges.

use super::findings::reasons;
use crate::clock::Clock;
use crate::driver::{Completion, Driver, DriverError, Outcome};
use crate::engine::{CellRunError, OnDrop, Pending, SendBook, SendPlan, Sender};
use crate::record::{SECOND_NS, SeqSet};
use crate::scenario::Cell;
use crate::schedule::Schedule;
use crate::units::Rate;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// How long it may take to send what is to be sent, after its last message was due.
const SEND_WITHIN: u64 = 120 * SECOND_NS;
/// How long it waits for the last answers.
const ANSWER_WITHIN: u64 = 30 * SECOND_NS;

/// One producer on its own topic.
pub struct ExperimentSender {
    sender: Sender<true>,
    /// Numbers of the messages that were answered well so far.
    pub acked: SeqSet,
    clock: Clock,
}

/// Seen by the consumer's side while messages are sent, and the way to end that early.
#[derive(Default)]
pub struct SendProgress {
    pub sent: AtomicU64,
    pub acked: AtomicU64,
    pub ended: AtomicBool,
    /// Set by either side: nothing more is sent.
    pub stop: AtomicBool,
}

impl SendProgress {
    /// Whether every message that will ever be acknowledged has been, and `settled` of them have
    /// come to their end.
    pub fn all_settled(&self, settled: u64) -> bool {
        self.ended.load(Ordering::Acquire) && settled >= self.acked.load(Ordering::Relaxed)
    }
}

struct Note<'a> {
    acked: &'a mut SeqSet,
    progress: &'a SendProgress,
}

impl SendBook for Note<'_> {
    fn sent(&mut self, _: &Pending) {
        self.progress.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn answered(&mut self, message: &Pending, completion: Completion) {
        if completion.outcome == Outcome::Acked {
            self.acked.insert(message.sequence);
            self.progress.acked.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn stop(&mut self, _: u64) -> bool {
        self.progress.stop.load(Ordering::Relaxed)
    }
}

impl ExperimentSender {
    /// The sender of a cell, as it says how: all messages are one series.
    pub fn new(
        driver: &dyn Driver,
        cell: &Cell,
        run: u64,
        clock: Clock,
    ) -> Result<Self, CellRunError> {
        let sender = Sender::new(driver, cell, run, 0, 1, clock)?;
        Ok(Self { sender, acked: SeqSet::new(), clock })
    }

    pub fn sent(&self) -> u64 {
        self.sender.sent.iter().sum()
    }

    /// Why others were not, and how many; empty if all were.
    pub fn failures(&self) -> String {
        reasons(&self.sender.publisher.failures())
    }

    /// `count` messages from now on, at `rate` or as fast as the in-flight limit lets it. At a rate
    /// of 1/s for two seconds that is two messages, neither at an edge.
    pub fn plan(&self, count: u64, rate: Option<Rate>) -> SendPlan {
        let start_ns = self.clock.now_ns();
        let length_ns = rate.map_or(0.0, |rate| count as f64 * 1e9 / rate.per_s()) as u64;
        SendPlan {
            schedule: rate.map(Schedule::centred),
            start_ns,
            messages: count,
            send_until_ns: start_ns.saturating_add(length_ns).saturating_add(SEND_WITHIN),
            answers_ns: ANSWER_WITHIN,
        }
    }

    pub fn publish(&mut self, count: u64, rate: Option<Rate>) -> Result<(), DriverError> {
        self.run(self.plan(count, rate), &SendProgress::default())
    }

    /// Ends early when told to stop.
    pub fn run(&mut self, plan: SendPlan, progress: &SendProgress) -> Result<(), DriverError> {
        // However it ends.
        let _ended = OnDrop(|| progress.ended.store(true, Ordering::Release));
        self.sender.run(plan, &mut Note { acked: &mut self.acked, progress })
    }

    /// Sends while `receive` is at work, which sees how far that is and may end it. An interruption
    /// ends it too.
    pub fn run_beside<T>(
        &mut self,
        plan: SendPlan,
        interrupted: &AtomicBool,
        receive: impl FnOnce(&SendProgress) -> Result<T, DriverError>,
    ) -> Result<T, CellRunError> {
        let progress = SendProgress::default();
        thread::scope(|scope| {
            let sending = scope.spawn(|| self.run(plan, &progress));
            let received = receive(&progress);
            if received.is_err() || interrupted.load(Ordering::Relaxed) {
                progress.stop.store(true, Ordering::Relaxed);
            }
            sending.join().map_err(|_| CellRunError::Thread)??;
            Ok(received?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::fake::{Behaviour, Fake, Harm};
    use crate::experiment::receiver::Received;
    use crate::scenario::{self, Overrides};

    fn cell() -> Cell {
        scenario::load("latency", &Overrides::default()).unwrap().cells().remove(0)
    }

    #[test]
    fn everything_is_sent_at_its_rate_and_received_once() {
        let (clock, cell) = (Clock::start(), cell());
        let harms = [(3, Harm::DuplicateDelivery)].into();
        let fake = Fake::new(Behaviour { harms, ..Behaviour::default() }, 1, clock);
        let mut sender = ExperimentSender::new(&fake, &cell, 9, clock).unwrap();
        let mut subscriber = fake.subscriber(0, 0).unwrap();
        let begun = clock.now_ns();
        sender.publish(50, Some(Rate::per_second(500))).unwrap();
        let took = clock.now_ns() - begun;
        assert!(took >= 98_000_000, "{took}");
        sender.publish(100, None).unwrap();
        assert_eq!((sender.sent(), sender.acked.len()), (150, 150));
        let mut received = Received::new(&cell, 9);
        let deadline = clock.now_ns() + SECOND_NS;
        received
            .receive_while(subscriber.as_mut(), clock, SECOND_NS, deadline, |all| {
                all.seen.len() == 150
            })
            .unwrap();
        assert_eq!((received.seen.len(), received.repeated, received.strange), (150, 1, 0));
        assert_eq!(received.wake_ups.len(), 150);
        let mut other = Received::new(&cell, 8);
        other.note(b"not one of ours");
        assert_eq!((other.seen.len(), other.strange), (0, 1));
    }

    /// A sender that begins late is late: its messages say when they were due.
    #[test]
    fn what_goes_out_late_carries_its_plan() {
        let (clock, cell) = (Clock::start(), cell());
        let fake = Fake::new(Behaviour::default(), 1, clock);
        let mut sender = ExperimentSender::new(&fake, &cell, 9, clock).unwrap();
        let mut subscriber = fake.subscriber(0, 0).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let plan = SendPlan {
            schedule: Some(Schedule::centred(Rate::per_second(1000))),
            start_ns: 0,
            messages: 10,
            send_until_ns: u64::MAX,
            answers_ns: SECOND_NS,
        };
        sender.run(plan, &SendProgress::default()).unwrap();
        let mut received = Received::new(&cell, 9);
        let deadline = clock.now_ns() + SECOND_NS;
        received
            .receive_while(subscriber.as_mut(), clock, SECOND_NS, deadline, |all| {
                all.seen.len() == 10
            })
            .unwrap();
        assert!(
            received.wake_ups.iter().all(|(_, ns)| *ns >= 40_000_000),
            "{:?}",
            received.wake_ups
        );
    }

    #[test]
    fn who_is_told_to_stop_stops() {
        let (clock, cell) = (Clock::start(), cell());
        let fake = Fake::new(Behaviour::default(), 1, clock);
        let mut sender = ExperimentSender::new(&fake, &cell, 9, clock).unwrap();
        let progress = SendProgress::default();
        progress.stop.store(true, Ordering::Relaxed);
        sender.run(sender.plan(u64::MAX, Some(Rate::per_second(1))), &progress).unwrap();
        assert_eq!(sender.sent(), 0);
        assert!(progress.all_settled(0));
    }
}
