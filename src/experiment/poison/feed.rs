//! The publishing side: numbered messages at a fixed rate, and which of them were acknowledged.
//!
//! Message i is due at i ÷ rate, whatever happened to those before it. Nothing is sent twice.

use crate::clock::Clock;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use crate::payload::{Bodies, Envelope};
use crate::record::SeqSet;
use crate::schedule::Schedule;
use crate::units::Rate;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is to be sent.
pub struct Plan {
    pub run: u64,
    pub rate: Rate,
    pub messages: u64,
    pub streams: u16,
    pub in_flight: u32,
    /// Messages are due from here on.
    pub start_ns: u64,
    /// The latest end, answered or not.
    pub deadline_ns: u64,
}

/// A look at a feed under way, and the way to end it early.
#[derive(Default)]
pub struct Gauge {
    /// Acknowledged so far.
    pub acked: AtomicU64,
    pub ended: AtomicBool,
    pub stop: AtomicBool,
}

impl Gauge {
    /// Whether every message that will ever be acknowledged has been, and `settled` of them have come to their end.
    pub fn all_settled(&self, settled: u64) -> bool {
        self.ended.load(Ordering::Acquire) && settled >= self.acked.load(Ordering::Relaxed)
    }
}

/// Says that the feed has ended, however it ends.
struct Ending<'a>(&'a Gauge);
impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
    }
}

/// What was sent.
#[derive(Default)]
pub struct Fed {
    pub sent: u64,
    pub acked: SeqSet,
    /// Why others were not, and how many; empty if all were.
    pub failures: String,
}

/// How often a wait looks whether it is to end, ns.
const TICK_NS: u64 = 20_000_000;

/// Sends what `plan` says; ends early when the gauge says stop.
pub fn feed(
    plan: &Plan,
    clock: Clock,
    publisher: &mut dyn Publisher,
    bodies: &mut Bodies,
    gauge: &Gauge,
) -> Result<Fed, DriverError> {
    // The kernel may otherwise delay each wake by 50 µs. Where it refuses, latencies are longer by that.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let _ending = Ending(gauge);
    let mut schedule = Schedule::constant(plan.rate, 0, 1);
    let mut free: Vec<u32> = (0..plan.in_flight.max(1)).collect();
    let mut sequences = vec![0; free.len()];
    let (mut fed, mut completions) = (Fed::default(), Vec::new());
    loop {
        let now_ns = clock.now_ns();
        let all_sent = fed.sent == plan.messages || gauge.stop.load(Ordering::Relaxed);
        if (all_sent && free.len() == sequences.len()) || now_ns > plan.deadline_ns {
            break;
        }
        let mut full = false;
        let mut due_ns = plan.start_ns + schedule.due_ns();
        while !all_sent && !full && due_ns <= now_ns && fed.sent < plan.messages {
            let Some(slot) = free.pop() else { break };
            let (sequence, stream) = (fed.sent, (fed.sent % u64::from(plan.streams.max(1))) as u16);
            let envelope = Envelope { run: plan.run, producer: 0, lane: stream, sequence, planned_ns: due_ns };
            let payload = bodies.stamped(&envelope);
            if publisher.submit(Outgoing { slot, connection: 0, stream, payload })? == Submitted::Full {
                free.push(slot);
                full = true;
                continue;
            }
            sequences[slot as usize] = sequence;
            fed.sent += 1;
            schedule.advance();
            due_ns = plan.start_ns + schedule.due_ns();
        }
        publisher.flush()?;
        let waits_for_answers = all_sent || full || free.is_empty();
        let until_ns = if waits_for_answers { now_ns + TICK_NS } else { due_ns.min(now_ns + TICK_NS) };
        publisher.wait(until_ns, &mut completions)?;
        for Completion { slot, outcome, .. } in completions.drain(..) {
            if outcome == Outcome::Acked {
                fed.acked.insert(sequences[slot as usize]);
                gauge.acked.fetch_add(1, Ordering::Relaxed);
            }
            free.push(slot);
        }
    }
    let failures = publisher.failures();
    fed.failures = failures.iter().map(|(why, count)| format!("{count} × {why}")).collect::<Vec<_>>().join("; ");
    Ok(fed)
}
