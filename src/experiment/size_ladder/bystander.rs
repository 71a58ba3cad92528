//! A stream of small messages beside the large one: what everyone else feels of it.
//!
//! Open loop: each message is planned, and late is late, whoever is to blame. A message that never arrives counts as
//! having taken until the end.

use super::super::Stage;
use crate::clock::Clock;
use crate::driver::{Driver, DriverError, Outgoing, Publisher, Submitted, Subscriber};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

/// 200 messages a second.
const GAP_NS: u64 = 5_000_000;
const SIZE: usize = 1024;
/// How long a receiver waits before it looks whether it is to stop.
const LOOK_NS: u64 = 50_000_000;
/// How long after the last message was sent one may still arrive.
const DRAIN_NS: u64 = 2_000_000_000;
/// Slots are numbers that come back; far more than can be unanswered.
const SLOTS: u64 = 1 << 20;

/// One message: when it was due, and how long it took from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
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
    pub fn start(stage: &Stage<'_>) -> Result<Self, DriverError> {
        let driver = stage.driver(stage.cell, "beside")?;
        driver.prepare()?;
        let subscriber = driver.subscriber(0, 0)?;
        let publisher = driver.publisher(0)?;
        let (clock, stop) = (stage.clock(), Arc::new(AtomicBool::new(false)));
        let (sender, receiver) = (Arc::clone(&stop), Arc::clone(&stop));
        let sending = thread::spawn(move || send(publisher, clock, &sender));
        let receiving = thread::spawn(move || receive(subscriber, clock, &receiver));
        Ok(Self { driver, clock, stop, sending, receiving })
    }

    /// Every message that was due since the start. A stream that broke off left its last ones missing.
    pub fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Relaxed);
        let planned = self.sending.join().unwrap_or_default();
        let received = self.receiving.join().unwrap_or_default();
        let samples = match_up(&planned, &received, self.clock.now_ns());
        // What is left of it is the broker's, which is about to be stopped.
        let _ = self.driver.clean_up();
        samples
    }
}

fn match_up(planned: &[u64], received: &[(u64, u64)], now_ns: u64) -> Vec<Sample> {
    let mut arrivals = vec![None; planned.len()];
    for &(number, at_ns) in received {
        if let Some(arrival) = arrivals.get_mut(number as usize) {
            arrival.get_or_insert(at_ns);
        }
    }
    let sample = |(&planned_ns, arrival): (&u64, Option<u64>)| Sample {
        planned_ns,
        latency_ns: arrival.unwrap_or(now_ns).saturating_sub(planned_ns),
        missing: arrival.is_none(),
    };
    planned.iter().zip(arrivals).map(sample).collect()
}

/// Sends by the clock until told to stop; returns when each message was due.
fn send(mut publisher: Box<dyn Publisher>, clock: Clock, stop: &AtomicBool) -> Vec<u64> {
    let (mut planned, mut completions) = (Vec::new(), Vec::new());
    let mut payload = vec![b'.'; SIZE];
    let mut due = clock.now_ns() + GAP_NS;
    let mut unsent = 0u64;
    while !stop.load(Relaxed) {
        while due <= clock.now_ns() {
            planned.push(due);
            due += GAP_NS;
        }
        // What the client does not take now stays due.
        while unsent < planned.len() as u64 {
            payload[..8].copy_from_slice(&unsent.to_le_bytes());
            let slot = (unsent % SLOTS) as u32;
            match publisher.submit(Outgoing { slot, connection: 0, stream: 0, payload: &payload }) {
                Ok(Submitted::Taken) => unsent += 1,
                Ok(Submitted::Full) => break,
                Err(_) => return planned,
            }
        }
        completions.clear();
        if publisher.flush().is_err() || publisher.wait(due, &mut completions).is_err() {
            return planned;
        }
    }
    // What was not even handed over is not on its way.
    planned.truncate(unsent as usize);
    let until = clock.now_ns() + DRAIN_NS / 10;
    while clock.now_ns() < until && publisher.wait(until, &mut completions).is_ok() {}
    planned
}

/// Receives until told to stop, and a little longer; returns which message came when.
fn receive(mut subscriber: Box<dyn Subscriber>, clock: Clock, stop: &AtomicBool) -> Vec<(u64, u64)> {
    let mut received = Vec::new();
    let mut quiet_since = None;
    loop {
        let (now, before) = (clock.now_ns(), received.len());
        let mut sink = |message: crate::driver::Incoming<'_>| {
            if let Some(number) = message.payload.first_chunk::<8>() {
                received.push((u64::from_le_bytes(*number), message.received_ns));
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
        let sample = |planned_ns, latency_ns, missing| Sample { planned_ns, latency_ns, missing };
        assert_eq!(samples, [sample(100, 10, false), sample(200, 800, true), sample(300, 50, false)]);
    }
}
