//! The in-process broker of the self-check: its truth is known,
//! because it is computed and not measured.
//!
//! It is one serial server. A message that arrives at `a` is done at `max(a, done before) +
//! service`, later if a stall is in the way; that computed time is its `acked` and its `received`
//! stamp. It lies on a schedule: whatever harm is in [`Behaviour`] it does, and no other, so that
//! what the books find can be held against what was done. Its numbers never reach a table: no
//! environment provides it and no scenario can name it.

mod board;

use super::capability::Board;
use super::{
    Audit, Completion, Driver, DriverError, Incoming, Outcome, Outgoing, Publisher, Submitted,
    Subscriber,
};
use crate::clock::Clock;
use crate::model::System;
use crate::result::{Description, Fault, Survives};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the fake broker does. Times in ns; message numbers count arrivals from 0.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Time to serve one message, one after the other.
    pub service_ns: u64,
    /// Added to every answer, for all messages at once.
    pub delay_ns: u64,
    /// (from, for how long) after the first arrival, nothing is served.
    pub stall: Option<(u64, u64)>,
    pub harms: BTreeMap<u64, Harm>,
    pub outages: Vec<Outage>,
    /// Whether what was acknowledged is kept for the audit. Costs memory.
    pub keep: bool,
}

/// What is done to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Acknowledged and forgotten: neither delivered nor kept.
    AckThenLose,
    /// Acknowledged and kept, but not delivered.
    Withhold,
    DuplicateDelivery,
    /// Delivered after its successor.
    Swap,
    CorruptDelivery,
    Refuse,
    /// Refused, and delivered all the same.
    RefuseYetDeliver,
    /// Stored twice, as a broker does that does not know a repeated write, and so delivered twice.
    StoreTwice,
    /// Damaged before it was stored, and so delivered damaged.
    StoreCorrupt,
    /// Never answered, and never stored.
    DropUnanswered,
    /// Stored and delivered, and never answered.
    KeepUnanswered,
    /// Of an aborted transaction, and so gone.
    Abort,
    /// Of an aborted transaction, and delivered and kept all the same.
    AbortYetDeliver,
}

/// A time in which nothing is served. What arrives in it is answered at its end, or its connection
/// is lost.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    /// After the first arrival.
    pub from_ns: u64,
    pub length_ns: u64,
    /// Only of this partition; `None` for all.
    pub partition: Option<u16>,
    /// The connection is lost: what arrives is never answered; every second message had been stored
    /// all the same, and is delivered once the outage is over.
    pub cuts: bool,
    /// How many of the last acknowledged messages are gone afterwards,
    /// delivered though they may be.
    pub forgets: usize,
}

/// One fake broker; all clones are the same.
#[derive(Clone)]
pub struct Fake {
    shared: Arc<Mutex<FakeServer>>,
    clock: Clock,
}

#[derive(Default)]
struct FakeServer {
    behaviour: Behaviour,
    arrivals: u64,
    first_arrival_ns: u64,
    free_at_ns: u64,
    /// (visible from, message), by subscription.
    queues: Vec<VecDeque<(u64, Vec<u8>)>>,
    /// Until its successor has been delivered.
    held_back: Option<Vec<u8>>,
    kept: Vec<Vec<u8>>,
    boards: BTreeMap<String, Vec<String>>,
    /// Outages that have begun and taken what they take.
    struck: usize,
}

impl Fake {
    pub fn new(behaviour: Behaviour, subscriptions: u16, clock: Clock) -> Self {
        let queues = vec![VecDeque::new(); usize::from(subscriptions)];
        let server = FakeServer { behaviour, queues, ..FakeServer::default() };
        Self { shared: Arc::new(Mutex::new(server)), clock }
    }

    /// Of its stamps.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    fn server(&self) -> MutexGuard<'_, FakeServer> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeServer {
    /// Takes one message in; returns when its answer is visible and what it is.
    fn serve(&mut self, arrival_ns: u64, partition: u16, payload: &[u8]) -> (u64, Outcome) {
        let number = self.arrivals;
        self.arrivals += 1;
        if number == 0 {
            self.first_arrival_ns = arrival_ns;
        }
        self.strike(arrival_ns);
        let since = arrival_ns.saturating_sub(self.first_arrival_ns);
        let outage = self.behaviour.outages.iter().find(|outage| {
            (outage.from_ns..outage.from_ns + outage.length_ns).contains(&since)
                && outage.partition.is_none_or(|only| only == partition)
        });
        if let Some(outage) = outage {
            let over =
                self.first_arrival_ns + outage.from_ns + outage.length_ns + self.behaviour.delay_ns;
            let (cuts, stored) = (outage.cuts, number.is_multiple_of(2));
            if !cuts || stored {
                self.store(payload.to_vec());
                self.deliver(over, payload);
            }
            return if cuts {
                (arrival_ns, Outcome::Indeterminate)
            } else {
                (over, Outcome::Acked)
            };
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
        let harm = b.harms.get(&number).copied();
        let (stored, delivered) = match harm {
            Some(Harm::AckThenLose | Harm::Refuse | Harm::DropUnanswered | Harm::Abort) => (0, 0),
            Some(Harm::Withhold | Harm::Swap) => (1, 0),
            Some(Harm::DuplicateDelivery) => (1, 2),
            Some(Harm::StoreTwice) => (2, 2),
            _ => (1, 1),
        };
        let mut message = payload.to_vec();
        if harm == Some(Harm::StoreCorrupt) {
            damage(&mut message);
        }
        (0..stored).for_each(|_| self.store(message.clone()));
        if harm == Some(Harm::CorruptDelivery) {
            damage(&mut message);
        }
        (0..delivered).for_each(|_| self.deliver(visible, &message));
        if harm == Some(Harm::Swap) {
            self.held_back = Some(message);
        } else if delivered > 0
            && let Some(late) = self.held_back.take()
        {
            self.deliver(visible, &late);
        }
        let outcome = match harm {
            Some(Harm::Refuse | Harm::RefuseYetDeliver) => Outcome::Failed,
            Some(Harm::DropUnanswered | Harm::KeepUnanswered) => Outcome::Indeterminate,
            Some(Harm::Abort | Harm::AbortYetDeliver) => Outcome::Aborted,
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

/// It stands for no system.
pub fn refused(action: &str, cause: &str) -> DriverError {
    DriverError::Refused { system: System::Fake, action: action.into(), cause: cause.into() }
}

fn damage(message: &mut [u8]) {
    if let Some(last) = message.last_mut() {
        *last ^= 1;
    }
}

/// Puts `item` behind everything that is not later. Nearly always that is the end.
fn insert<T>(queue: &mut VecDeque<T>, item: T, at_ns: impl Fn(&T) -> u64) {
    let place = match queue.back() {
        Some(last) if at_ns(last) > at_ns(&item) => {
            queue.partition_point(|queued| at_ns(queued) <= at_ns(&item))
        }
        _ => queue.len(),
    };
    queue.insert(place, item);
}

impl Driver for Fake {
    fn system(&self) -> System {
        System::Fake
    }

    fn prepare(&self) -> Result<(), DriverError> {
        Ok(())
    }

    fn publisher(&self, _: u16) -> Result<Box<dyn Publisher>, DriverError> {
        Ok(Box::new(FakePublisher { broker: self.clone(), answers: VecDeque::new(), refused: 0 }))
    }

    fn subscriber(&self, subscription: u16, _: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        Ok(Box::new(FakeSubscriber { broker: self.clone(), queue: subscription.into() }))
    }

    fn audit(&self, _: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        let server = self.server();
        if !server.behaviour.keep {
            return Ok(Audit::Nothing);
        }
        server.kept.iter().for_each(|message| sink(message));
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
        Ok(Description {
            broker_version: "fake".into(),
            client_version: "fake".into(),
            ..Description::default()
        })
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        Ok(())
    }

    fn board(&self, name: &str) -> Result<Box<dyn Board>, DriverError> {
        Ok(Box::new(board::FakeBoard::new(self.clone(), name)))
    }

    fn played(&self) -> Vec<Fault> {
        let server = self.server();
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
    broker: Fake,
    /// In order of their time.
    answers: VecDeque<Completion>,
    refused: u64,
}

impl Publisher for FakePublisher {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let (at_ns, outcome) = self.broker.server().serve(
            self.broker.clock.now_ns(),
            message.partition,
            message.payload,
        );
        self.refused += u64::from(outcome == Outcome::Failed);
        insert(&mut self.answers, Completion { slot: message.slot, outcome, at_ns }, |answer| {
            answer.at_ns
        });
        Ok(Submitted::Taken)
    }

    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        let next = self.answers.front().map_or(u64::MAX, |answer| answer.at_ns);
        std::thread::sleep(self.broker.clock.until(until_ns.min(next)));
        let now = self.broker.clock.now_ns();
        while let Some(answer) = self.answers.pop_front_if(|answer| answer.at_ns <= now) {
            completions.push(answer);
        }
        Ok(())
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        (self.refused > 0)
            .then(|| ("refused by the fake broker".to_owned(), self.refused))
            .into_iter()
            .collect()
    }
}

struct FakeSubscriber {
    broker: Fake,
    queue: usize,
}

impl Subscriber for FakeSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        loop {
            let now = self.broker.clock.now_ns();
            let due: Vec<(u64, Vec<u8>)> = {
                let mut server = self.broker.server();
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
