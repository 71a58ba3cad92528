//! The sender of experiments: messages on a topic of their own, numbered from 0 on, at a fixed rate or as fast as it goes.
//!
//! It is the engine's [`Sender`]; what is acknowledged is noted by number. Nothing here judges.

use crate::clock::Clock;
use crate::driver::{Completion, Driver, DriverError, Outcome};
use crate::engine::{Identity, Pending, SendBook, SendPlan, Sender, TrialError, body_kind};
use crate::payload::Bodies;
use crate::record::{SECOND_NS, SeqSet};
use crate::scenario::Cell;
use crate::schedule::Schedule;
use crate::units::Rate;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How long it may take to send what is to be sent, after its last message was due.
const SEND_WITHIN: u64 = 120 * SECOND_NS;
/// How long it waits for the last answers.
const ANSWER_WITHIN: u64 = 30 * SECOND_NS;

/// The sender of a cell, as it says how: all messages are one series.
pub fn numbered(driver: &dyn Driver, cell: &Cell, run: u64, clock: Clock) -> Result<Sender<true>, TrialError> {
    let identity = Identity {
        run,
        producer: 0,
        connections: cell.load.connections.max(1),
        streams: cell.config.streams().max(1),
        run_length: 1,
        in_flight: cell.load.in_flight.max(1),
    };
    let bodies = Bodies::generate(body_kind(cell), cell.message.size.0 as usize, cell.seed)?;
    Ok(Sender::new(identity, clock, driver.publisher(0)?, bodies))
}

/// One producer on its own topic.
pub struct ExperimentSender {
    sender: Sender<true>,
    /// By number.
    acked: SeqSet,
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
    /// Whether every message that will ever be acknowledged has been, and `settled` of them have come to their end.
    pub fn all_settled(&self, settled: u64) -> bool {
        self.ended.load(Ordering::Acquire) && settled >= self.acked.load(Ordering::Relaxed)
    }
}

/// Says that sending has ended, however it ends.
struct Ending<'a>(&'a SendProgress);
impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
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
    pub fn new(driver: &dyn Driver, cell: &Cell, run: u64, clock: Clock) -> Result<Self, TrialError> {
        Ok(Self { sender: numbered(driver, cell, run, clock)?, acked: SeqSet::new(), clock })
    }

    /// Messages handed over so far.
    pub fn sent(&self) -> u64 {
        self.sender.sent().iter().sum()
    }

    /// Messages answered well so far.
    pub fn acked(&self) -> &SeqSet {
        &self.acked
    }

    /// Why others were not, and how many; empty if all were.
    pub fn failures(&self) -> String {
        let failures = self.sender.failures();
        failures.iter().map(|(why, count)| format!("{count} × {why}")).collect::<Vec<_>>().join("; ")
    }

    /// Sends `count` messages, at `rate` or as fast as the in-flight limit lets it, and waits for their answers. At a
    /// rate of 1/s for two seconds that is two messages, neither at an edge. Ends early when told to stop.
    pub fn publish(&mut self, count: u64, rate: Option<Rate>, progress: &SendProgress) -> Result<(), DriverError> {
        let start_ns = self.clock.now_ns();
        let length_ns = rate.map_or(0.0, |rate| count as f64 * 1e9 / rate.per_s()) as u64;
        self.run(
            SendPlan {
                schedule: rate.map(Schedule::centred),
                start_ns,
                messages: count,
                send_until_ns: start_ns.saturating_add(length_ns).saturating_add(SEND_WITHIN),
                answers_ns: ANSWER_WITHIN,
            },
            progress,
        )
    }

    pub fn run(&mut self, plan: SendPlan, progress: &SendProgress) -> Result<(), DriverError> {
        let _ending = Ending(progress);
        self.sender.run(plan, &mut Note { acked: &mut self.acked, progress })
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
        sender.publish(50, Some(Rate::per_second(500)), &SendProgress::default()).unwrap();
        let took = clock.now_ns() - begun;
        assert!(took >= 98_000_000, "{took}");
        sender.publish(100, None, &SendProgress::default()).unwrap();
        assert_eq!((sender.sent(), sender.acked().len()), (150, 150));
        let mut received = Received::new(&cell, 9);
        let deadline = clock.now_ns() + SECOND_NS;
        received.receive_while(subscriber.as_mut(), clock, SECOND_NS, deadline, |all| all.seen.len() == 150).unwrap();
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
        received.receive_while(subscriber.as_mut(), clock, SECOND_NS, deadline, |all| all.seen.len() == 10).unwrap();
        assert!(received.wake_ups.iter().all(|ns| *ns >= 40_000_000), "{:?}", received.wake_ups);
    }

    #[test]
    fn who_is_told_to_stop_stops() {
        let (clock, cell) = (Clock::start(), cell());
        let fake = Fake::new(Behaviour::default(), 1, clock);
        let mut sender = ExperimentSender::new(&fake, &cell, 9, clock).unwrap();
        let progress = SendProgress::default();
        progress.stop.store(true, Ordering::Relaxed);
        sender.publish(u64::MAX, Some(Rate::per_second(1)), &progress).unwrap();
        assert_eq!(sender.sent(), 0);
        assert!(progress.all_settled(0));
    }
}
