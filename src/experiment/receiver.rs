//! What a consumer of an experiment received of one sender's messages.
//!
//! Nothing here judges, and every wait ends at the time it was given.

use crate::clock::Clock;
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::payload::{Envelope, Reading, read};
use crate::record::{SECOND_NS, SeqSet};
use crate::scenario::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[derive(Default)]
pub struct Received {
    run: u64,
    message_bytes: usize,
    pub seen: SeqSet,
    pub repeated: u64,
    /// Not ours, or damaged.
    pub strange: u64,
    /// Calls that brought messages.
    pub batches: u64,
    /// Number of each message, and received − planned, ns.
    pub wake_ups: Vec<(u64, u64)>,
    pub first_ns: u64,
    pub last_ns: u64,
}

impl Received {
    pub fn new(cell: &Cell, run: u64) -> Self {
        Self { run, message_bytes: cell.message.size.0 as usize, ..Self::default() }
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

    fn receive(
        &mut self,
        subscriber: &mut dyn Subscriber,
        until_ns: u64,
    ) -> Result<(), DriverError> {
        let mut any = false;
        let received = subscriber.receive(until_ns, &mut |incoming: Incoming<'_>| {
            any = true;
            if let Some(envelope) = self.note(incoming.payload) {
                let took_ns = incoming.received_ns.saturating_sub(envelope.planned_ns);
                self.wake_ups.push((envelope.sequence, took_ns));
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

    /// Receives until `enough` says so or nothing has come for `quiet_ns`; `deadline_ns` ends it in
    /// any case.
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
        (span > 0 && self.seen.len() > 1)
            .then(|| (self.seen.len() - 1) as f64 / (span as f64 / 1e9))
    }
}
