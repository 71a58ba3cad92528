//! A stream of small messages beside the large one: what everyone else feels of it.
//!
//! Open loop: each message is planned, and late is late, whoever is to blame. A message that never arrives counts as
//! having taken until the end.

use crate::clock::Clock;
use crate::driver::{Completion, Driver, Subscriber};
use crate::engine::{Pending, SendBook, SendPlan, Sender, TrialError};
use crate::experiment::ExperimentContext;
use crate::experiment::sender::numbered;
use crate::payload::{Reading, read};
use crate::schedule::Schedule;
use crate::units::{Bytes, Rate};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

const RATE: Rate = Rate::per_second(200);
const SIZE: Bytes = Bytes(1024);
/// How long a receiver waits before it looks whether it is to stop.
const LOOK_NS: u64 = 50_000_000;
/// How long after the last message was sent one may still arrive.
const DRAIN_NS: u64 = 2_000_000_000;
/// Far more than can be unanswered: late is late, and never held back.
const IN_FLIGHT: u32 = 1 << 16;

/// One message: when it was due, and how long it took from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BystanderSample {
    pub planned_ns: u64,
    pub latency_ns: u64,
    /// It did not arrive: the latency is "at least".
    pub missing: bool,
}

pub struct Bystander {
    driver: Box<dyn Driver>,
    clock: Clock,
    stop: Arc<AtomicBool>,
    sending: JoinHandle<Vec<u64>>,
    receiving: JoinHandle<Vec<(u64, u64)>>,
}

impl Bystander {
    pub fn start(context: &ExperimentContext<'_>) -> Result<Self, TrialError> {
        let driver = context.driver(context.cell, "beside")?;
        driver.prepare()?;
        let subscriber = driver.subscriber(0, 0)?;
        let mut cell = context.cell.clone();
        (cell.message.size, cell.load.in_flight) = (SIZE, IN_FLIGHT);
        let (clock, stop) = (context.clock(), Arc::new(AtomicBool::new(false)));
        let sender = numbered(driver.as_ref(), &cell, context.run, clock)?;
        let (of_sender, of_receiver) = (Arc::clone(&stop), Arc::clone(&stop));
        let sending = thread::spawn(move || send(sender, clock, of_sender));
        let run = context.run;
        let receiving = thread::spawn(move || receive(subscriber, run, clock, &of_receiver));
        Ok(Self { driver, clock, stop, sending, receiving })
    }

    /// Every message that was due since the start. A stream that broke off left its last ones missing.
    pub fn stop(self) -> Vec<BystanderSample> {
        self.stop.store(true, Relaxed);
        let planned = self.sending.join().unwrap_or_default();
        let received = self.receiving.join().unwrap_or_default();
        let samples = match_up(&planned, &received, self.clock.now_ns());
        // What is left of it is the broker's, which is about to be stopped.
        let _ = self.driver.clean_up();
        samples
    }
}

fn match_up(planned: &[u64], received: &[(u64, u64)], now_ns: u64) -> Vec<BystanderSample> {
    let mut arrivals = vec![None; planned.len()];
    for &(number, at_ns) in received {
        if let Some(arrival) = arrivals.get_mut(number as usize) {
            arrival.get_or_insert(at_ns);
        }
    }
    let sample = |(&planned_ns, arrival): (&u64, Option<u64>)| BystanderSample {
        planned_ns,
        latency_ns: arrival.unwrap_or(now_ns).saturating_sub(planned_ns),
        missing: arrival.is_none(),
    };
    planned.iter().zip(arrivals).map(sample).collect()
}

/// When each message was due, by number, and whether to end.
struct PlannedTimes {
    planned: Vec<u64>,
    stop: Arc<AtomicBool>,
}

impl SendBook for PlannedTimes {
    fn sent(&mut self, message: &Pending) {
        self.planned.push(message.planned_ns);
    }
    fn answered(&mut self, _: &Pending, _: Completion) {}
    fn stop(&mut self, _: u64) -> bool {
        self.stop.load(Relaxed)
    }
}

/// Sends by the clock until told to stop; returns when each message was due. Where the connection broke off, that is
/// everything that was due until then.
fn send(mut sender: Sender<true>, clock: Clock, stop: Arc<AtomicBool>) -> Vec<u64> {
    let mut book = PlannedTimes { planned: Vec::new(), stop };
    let (start_ns, mut schedule) = (clock.now_ns(), Schedule::centred(RATE));
    let plan = SendPlan {
        schedule: Some(schedule.clone()),
        start_ns,
        messages: u64::MAX,
        send_until_ns: u64::MAX,
        answers_ns: DRAIN_NS / 10,
    };
    if sender.run(plan, &mut book).is_err() && !book.stop.load(Relaxed) {
        let now_ns = clock.now_ns();
        (0..book.planned.len()).for_each(|_| schedule.advance());
        while start_ns + schedule.due_ns() <= now_ns {
            book.planned.push(start_ns + schedule.due_ns());
            schedule.advance();
        }
    }
    book.planned
}

/// Receives until told to stop, and a little longer; returns which message came when.
fn receive(mut subscriber: Box<dyn Subscriber>, run: u64, clock: Clock, stop: &AtomicBool) -> Vec<(u64, u64)> {
    let mut received = Vec::new();
    let mut quiet_since = None;
    loop {
        let (now, before) = (clock.now_ns(), received.len());
        let mut sink = |message: crate::driver::Incoming<'_>| {
            if let Reading::Ours(envelope) = read(message.payload, run, SIZE.0 as usize) {
                received.push((envelope.sequence, message.received_ns));
            }
        };
        if subscriber.receive(now + LOOK_NS, &mut sink).is_err() {
            return received;
        }
        if stop.load(Relaxed) {
            let stopped = *quiet_since.get_or_insert(now);
            // Two empty looks in a row, or the end of patience.
            if received.len() == before && now > stopped + 5 * LOOK_NS || now > stopped + DRAIN_NS {
                let _ = subscriber.close();
                return received;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_arrival_counts_and_what_never_came_took_until_now() {
        let samples = match_up(&[100, 200, 300], &[(2, 350), (0, 110), (0, 190), (9, 1)], 1000);
        let sample = |planned_ns, latency_ns, missing| BystanderSample { planned_ns, latency_ns, missing };
        assert_eq!(samples, [sample(100, 10, false), sample(200, 800, true), sample(300, 50, false)]);
    }
}
