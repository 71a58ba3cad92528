//! The in-process broker of the self-check: its truth is known, because it is computed and not measured.
//!
//! It is one serial server. A message that arrives at `a` is done at `max(a, done before) + service`, later if a stall
//! is in the way; that computed time is its `acked` and its `received` stamp. It lies on a schedule: whatever harm is in
//! [`Behaviour`] it does, and no other, so that what the books find can be held against what was done. Its numbers never
//! reach a table: no environment provides it and no scenario can name it.

use super::{Audit, Completion, Driver, DriverError, Incoming, Outcome, Outgoing, Publisher, Submitted, Subscriber};
use crate::clock::Clock;
use crate::model::System;
use crate::result::{Description, Fault, Survives};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the fake broker does to messages. Times in ns; message numbers count arrivals from 0.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Time to serve one message, one after the other.
    pub service_ns: u64,
    /// Added to every answer, for all messages at once.
    pub delay_ns: u64,
    /// (from, for how long) after the first arrival, nothing is served.
    pub stall: Option<(u64, u64)>,
    /// Acknowledged and forgotten: neither delivered nor kept.
    pub ack_then_lose: Vec<u64>,
    /// Acknowledged and kept, but not delivered.
    pub withhold: Vec<u64>,
    pub duplicate: Vec<u64>,
    /// Delivered after its successor.
    pub swap: Vec<u64>,
    pub corrupt: Vec<u64>,
    /// Refused.
    pub refuse: Vec<u64>,
    /// Refused, and delivered all the same.
    pub refuse_yet_deliver: Vec<u64>,
    /// Stored twice, as a broker does that does not know a repeated write, and so delivered twice.
    pub store_twice: Vec<u64>,
    /// Damaged before it was stored, and so delivered damaged.
    pub store_corrupt: Vec<u64>,
    /// Never answered, and never stored.
    pub drop_unanswered: Vec<u64>,
    /// Stored and delivered, and never answered.
    pub keep_unanswered: Vec<u64>,
    pub outages: Vec<Outage>,
    /// Whether what was acknowledged is kept for the audit. Costs memory.
    pub keep: bool,
}

/// A time in which nothing is served. What arrives in it is answered at its end, or its connection is lost.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    /// After the first arrival.
    pub from_ns: u64,
    pub length_ns: u64,
    /// Only of this stream; `None` for all.
    pub stream: Option<u16>,
    /// The connection is lost: what arrives is never answered; every second message had been stored all the same, and
    /// is delivered once the outage is over.
    pub cuts: bool,
    /// How many of the last acknowledged messages are gone afterwards, delivered though they may be.
    pub forgets: usize,
}

/// One fake broker.
pub struct Fake {
    shared: Arc<Mutex<FakeServer>>,
    clock: Clock,
    keep: bool,
}

struct FakeServer {
    behaviour: Behaviour,
    arrivals: u64,
    first_arrival_ns: u64,
    free_at_ns: u64,
    /// (visible from, message), by subscription.
    queues: Vec<VecDeque<(u64, Vec<u8>)>>,
    held_back: Option<(u64, Vec<u8>)>,
    kept: Vec<Vec<u8>>,
    /// Outages that have begun and taken what they take.
    struck: usize,
}

impl Fake {
    pub fn new(behaviour: Behaviour, subscriptions: u16, clock: Clock) -> Self {
        let keep = behaviour.keep;
        let server = FakeServer {
            behaviour,
            arrivals: 0,
            first_arrival_ns: 0,
            free_at_ns: 0,
            queues: vec![VecDeque::new(); usize::from(subscriptions)],
            held_back: None,
            kept: Vec::new(),
            struck: 0,
        };
        Self { shared: Arc::new(Mutex::new(server)), clock, keep }
    }
}

impl FakeServer {
    /// Takes one message in; returns when its answer is visible and what it is.
    fn serve(&mut self, arrival_ns: u64, stream: u16, payload: &[u8]) -> (u64, Outcome) {
        let number = self.arrivals;
        self.arrivals += 1;
        if number == 0 {
            self.first_arrival_ns = arrival_ns;
        }
        self.strike(arrival_ns);
        let is = |list: &[u64]| list.contains(&number);
        let since = arrival_ns.saturating_sub(self.first_arrival_ns);
        let outage = self.behaviour.outages.iter().find(|outage| {
            (outage.from_ns..outage.from_ns + outage.length_ns).contains(&since)
                && outage.stream.is_none_or(|only| only == stream)
        });
        if let Some(outage) = outage {
            let over = self.first_arrival_ns + outage.from_ns + outage.length_ns + self.behaviour.delay_ns;
            let (cuts, stored) = (outage.cuts, number.is_multiple_of(2));
            if !cuts || stored {
                self.store(payload.to_vec());
                self.deliver(over, payload);
            }
            return if cuts { (arrival_ns, Outcome::Indeterminate) } else { (over, Outcome::Acked) };
        }
        let b = &self.behaviour;
        let mut start = arrival_ns.max(self.free_at_ns);
        if let Some((from, length)) = b.stall {
            let (from, to) = (self.first_arrival_ns + from, self.first_arrival_ns + from + length);
            if start >= from && start < to {
                start = to;
            }
        }
        self.free_at_ns = start + b.service_ns;
        let visible = self.free_at_ns + b.delay_ns;
        let refused = is(&b.refuse) || is(&b.refuse_yet_deliver);
        let silent = is(&b.drop_unanswered) || is(&b.keep_unanswered);
        let forgotten = is(&b.ack_then_lose) || is(&b.refuse) || is(&b.drop_unanswered);
        let withheld = is(&b.withhold);
        let (stored_twice, stored_corrupt) = (is(&b.store_twice), is(&b.store_corrupt));
        let (swap, twice, corrupt) = (is(&b.swap), is(&b.duplicate) || stored_twice, is(&b.corrupt) || stored_corrupt);
        let mut message = payload.to_vec();
        if stored_corrupt {
            damage(&mut message);
        }
        if !forgotten {
            self.store(message.clone());
        }
        if stored_twice {
            self.store(message.clone());
        }
        if !forgotten && !withheld {
            if corrupt && !stored_corrupt {
                damage(&mut message);
            }
            if swap {
                self.held_back = Some((visible, message));
            } else {
                self.deliver(visible, &message);
                if twice {
                    self.deliver(visible, &message);
                }
                if let Some((_, late)) = self.held_back.take() {
                    self.deliver(visible, &late);
                }
            }
        }
        let outcome = match (refused, silent) {
            (true, _) => Outcome::Failed,
            (_, true) => Outcome::Indeterminate,
            _ => Outcome::Acked,
        };
        (visible, outcome)
    }

    /// Lets each outage that has begun take what it takes, once.
    fn strike(&mut self, arrival_ns: u64) {
        while let Some(outage) = self.behaviour.outages.get(self.struck)
            && arrival_ns >= self.first_arrival_ns + outage.from_ns
        {
            let left = self.kept.len().saturating_sub(outage.forgets);
            self.kept.truncate(left);
            self.struck += 1;
        }
    }

    fn store(&mut self, message: Vec<u8>) {
        if self.behaviour.keep {
            self.kept.push(message);
        }
    }

    fn deliver(&mut self, visible_ns: u64, message: &[u8]) {
        for queue in &mut self.queues {
            insert(queue, (visible_ns, message.to_vec()), |(visible, _)| *visible);
        }
    }
}

fn damage(message: &mut [u8]) {
    if let Some(last) = message.last_mut() {
        *last ^= 1;
    }
}

/// Puts `item` behind everything that is not later. Nearly always that is the end.
fn insert<T>(queue: &mut VecDeque<T>, item: T, at_ns: impl Fn(&T) -> u64) {
    let place = match queue.back() {
        Some(last) if at_ns(last) > at_ns(&item) => queue.partition_point(|queued| at_ns(queued) <= at_ns(&item)),
        _ => queue.len(),
    };
    queue.insert(place, item);
}

fn lock(server: &Mutex<FakeServer>) -> MutexGuard<'_, FakeServer> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver for Fake {
    fn system(&self) -> System {
        System::Fake
    }

    fn prepare(&self) -> Result<(), DriverError> {
        Ok(())
    }

    fn publisher(&self, _: u16) -> Result<Box<dyn Publisher>, DriverError> {
        Ok(Box::new(FakePublisher {
            shared: Arc::clone(&self.shared),
            clock: self.clock,
            answers: VecDeque::new(),
            refused: 0,
        }))
    }

    fn subscriber(&self, subscription: u16, _: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        let queue = usize::from(subscription);
        Ok(Box::new(FakeSubscriber { shared: Arc::clone(&self.shared), clock: self.clock, queue }))
    }

    fn audit(&self, _: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        if !self.keep {
            return Ok(Audit::Nothing);
        }
        lock(&self.shared).kept.iter().for_each(|message| sink(message));
        Ok(Audit::Retains { trimmed: false, unreadable: Vec::new() })
    }

    fn survives(&self) -> Survives {
        let because = "fake broker of the self-check".into();
        Survives { process_kill: true, power_loss: true, copies: 1, because, ..Survives::default() }
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn describe(&self) -> Result<Description, DriverError> {
        Ok(Description { broker_version: "fake".into(), client_version: "fake".into(), ..Description::default() })
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        Ok(())
    }

    fn played(&self) -> Vec<Fault> {
        let server = lock(&self.shared);
        let fault = |outage: &Outage| {
            let effect = server.first_arrival_ns + outage.from_ns;
            Fault {
                kind: if outage.cuts { "kill" } else { "pause" }.into(),
                target: "node".into(),
                node: "fake".into(),
                took_effect_at_ns: Some(effect),
                healed_at_ns: Some(effect + outage.length_ns),
                scripted_ns: Some(outage.length_ns),
                ..Fault::default()
            }
        };
        server.behaviour.outages.iter().map(fault).collect()
    }
}

struct FakePublisher {
    shared: Arc<Mutex<FakeServer>>,
    clock: Clock,
    /// In order of their time.
    answers: VecDeque<Completion>,
    refused: u64,
}

impl Publisher for FakePublisher {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let (at_ns, outcome) = lock(&self.shared).serve(self.clock.now_ns(), message.stream, message.payload);
        self.refused += u64::from(outcome == Outcome::Failed);
        insert(&mut self.answers, Completion { slot: message.slot, outcome, at_ns }, |answer| answer.at_ns);
        Ok(Submitted::Taken)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    fn wait(&mut self, until_ns: u64, completions: &mut Vec<Completion>) -> Result<(), DriverError> {
        let next = self.answers.front().map_or(u64::MAX, |answer| answer.at_ns);
        std::thread::sleep(self.clock.until(until_ns.min(next)));
        let now = self.clock.now_ns();
        while let Some(answer) = self.answers.pop_front_if(|answer| answer.at_ns <= now) {
            completions.push(answer);
        }
        Ok(())
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        (self.refused > 0).then(|| ("refused by the fake broker".to_owned(), self.refused)).into_iter().collect()
    }
}

struct FakeSubscriber {
    shared: Arc<Mutex<FakeServer>>,
    clock: Clock,
    queue: usize,
}

impl Subscriber for FakeSubscriber {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        loop {
            let now = self.clock.now_ns();
            let due: Vec<(u64, Vec<u8>)> = {
                let mut server = lock(&self.shared);
                let Some(queue) = server.queues.get_mut(self.queue) else { return Ok(()) };
                std::iter::from_fn(|| queue.pop_front_if(|(visible, _)| *visible <= now)).collect()
            };
            for (received_ns, payload) in &due {
                sink(Incoming { payload, received_ns: *received_ns });
            }
            if !due.is_empty() || now >= until_ns {
                return Ok(());
            }
            // The stamps are computed, so how late this wakes does not show in them.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}
