//! The sender of one producer: writes a message's envelope, hands it to the client library, and
//! finds for every answer the message that it answers. The engine's pacing thread and all
//! experiments send through it.
//!
//! `planned_ns` is always the plan's, however late a message goes out; without a plan it is the
//! moment of sending. One thread owns all of it: no lock, and no allocation per message. What is
//! noted of a message is the [`SendBook`]'s.

use super::cell_run::CellRunError;
use super::spawn::bodies;
use crate::clock::Clock;
use crate::driver::{Completion, Driver, DriverError, Outcome, Outgoing, Publisher, Submitted};
use crate::payload::{Bodies, Envelope};
use crate::scenario::{Cell, Pacer};
use crate::schedule::Schedule;
use std::collections::VecDeque;
use std::num::NonZeroU64;

/// How long a wait may last when nothing is due: signals to stop are seen within this.
pub const TICK_NS: u64 = 20_000_000;

/// What must be remembered of a message until its answer comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pending {
    pub planned_ns: u64,
    pub sent_ns: u64,
    pub sequence: u64,
    pub lane: u16,
    pub busy: bool,
}

/// The messages of one producer that have no answer yet. Its size is the in-flight limit.
///
/// A slot belongs to one connection for ever, so a connection never has more in flight than its
/// share, and the connection whose answer came in is the one that sends next.
pub struct InFlight {
    slots: Vec<Pending>,
    free: VecDeque<u32>,
    connections: u32,
}

impl InFlight {
    pub fn new(limit: u32, connections: u16) -> Self {
        Self {
            slots: vec![Pending::default(); limit as usize],
            free: (0..limit).collect(),
            connections: u32::from(connections.max(1)),
        }
    }

    /// A free slot, longest free first.
    #[inline]
    pub fn take(&mut self) -> Option<u32> {
        self.free.pop_front()
    }

    /// Gives back a slot that [`InFlight::take`] gave and that was not used.
    pub fn untake(&mut self, slot: u32) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.busy = false;
        }
        self.free.push_front(slot);
    }

    #[inline]
    pub fn fill(&mut self, slot: u32, pending: Pending) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Pending { busy: true, ..pending };
        }
    }

    /// The message in a slot, which becomes free.
    /// `None` for a slot that holds nothing: a driver's mistake.
    #[inline]
    pub fn finish(&mut self, slot: u32) -> Option<Pending> {
        let place = self.slots.get_mut(slot as usize)?;
        if !place.busy {
            return None;
        }
        place.busy = false;
        self.free.push_back(slot);
        Some(*place)
    }

    #[inline]
    pub fn connection(&self, slot: u32) -> u16 {
        (slot % self.connections) as u16
    }

    pub fn busy(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn limit(&self) -> u32 {
        self.slots.len() as u32
    }
}

/// Notes what became of messages. Implementations are known at compile time:
/// a call costs what it does.
pub trait SendBook {
    /// It has gone out; its answer may come already before this.
    fn sent(&mut self, message: &Pending);
    fn answered(&mut self, message: &Pending, completion: Completion);
    /// Asked between two waits; true ends what is under way.
    fn stop(&mut self, now_ns: u64) -> bool;
}

/// `ONE_SERIES`: all messages are numbered through, on lane 0;
/// else every lane has numbers of its own.
pub struct Sender<const ONE_SERIES: bool> {
    clock: Clock,
    run: u64,
    producer: u16,
    partitions: u16,
    /// Messages in a row to the same partition of a connection.
    run_length: u32,
    /// Waits without sleeping.
    spins: bool,
    pub publisher: Box<dyn Publisher>,
    bodies: Bodies,
    pub in_flight: InFlight,
    /// Per connection: current partition and messages left in its run.
    turns: Vec<(u16, u32)>,
    /// Messages sent, by lane.
    pub sent: Vec<u64>,
    completions: Vec<Completion>,
}

impl<const ONE_SERIES: bool> Sender<ONE_SERIES> {
    pub fn new(
        driver: &dyn Driver,
        cell: &Cell,
        run: u64,
        producer: u16,
        run_length: u32,
        clock: Clock,
    ) -> Result<Self, CellRunError> {
        let (connections, in_flight) = (cell.load.connections.max(1), cell.load.in_flight.max(1));
        let partitions = cell.config.partitions().max(1);
        Ok(Self {
            bodies: bodies(cell, cell.seed.wrapping_add(u64::from(producer)))?,
            in_flight: InFlight::new(in_flight, connections),
            turns: vec![(0, run_length); usize::from(connections)],
            sent: vec![0; usize::from(connections) * usize::from(partitions)],
            completions: Vec::with_capacity(in_flight as usize),
            publisher: driver.publisher(producer)?,
            clock,
            run,
            producer,
            partitions,
            run_length,
            spins: cell.load.pacer == Pacer::Spin,
        })
    }

    /// Sends one message; `due` is its planned time, or 0 for "now". False if there is no free
    /// slot, or the client's queue is full.
    #[inline]
    pub fn send(&mut self, due: u64, book: &mut impl SendBook) -> Result<bool, DriverError> {
        let open = due != 0;
        let Some(slot) = self.in_flight.take() else { return Ok(false) };
        let connection = self.in_flight.connection(slot);
        let (partition, left) = self.turns[usize::from(connection)];
        let lane = if ONE_SERIES { 0 } else { connection * self.partitions + partition };
        let sequence = self.sent[usize::from(lane)];
        let planned_ns = if open { due } else { self.clock.now_ns() };
        let (run, producer) = (self.run, self.producer);
        let payload = self.bodies.stamped(&Envelope { run, producer, lane, sequence, planned_ns });
        let sent_ns = if open { self.clock.now_ns() } else { planned_ns };
        let pending = Pending { planned_ns, sent_ns, sequence, lane, busy: true };
        // Booked before the hand-over: the answer may come before the call returns.
        self.in_flight.fill(slot, pending);
        let submitted = self.publisher.submit(Outgoing { slot, connection, partition, payload });
        if !matches!(submitted, Ok(Submitted::Taken)) {
            self.in_flight.untake(slot);
            return submitted.map(|_| false);
        }
        self.sent[usize::from(lane)] += 1;
        self.turns[usize::from(connection)] = if left > 1 {
            (partition, left - 1)
        } else {
            ((partition + 1) % self.partitions, self.run_length)
        };
        book.sent(&pending);
        Ok(true)
    }

    #[inline]
    fn wait(&mut self, until_ns: u64) -> Result<(), DriverError> {
        if !self.spins {
            return self.publisher.wait(until_ns, &mut self.completions);
        }
        loop {
            self.publisher.wait(0, &mut self.completions)?;
            if !self.completions.is_empty() || self.clock.now_ns() >= until_ns {
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }

    /// Waits for answers until `until_ns` and books them.
    #[inline]
    pub fn collect(&mut self, until_ns: u64, book: &mut impl SendBook) -> Result<(), DriverError> {
        let result = self.wait(until_ns);
        for completion in self.completions.drain(..) {
            if let Some(pending) = self.in_flight.finish(completion.slot) {
                book.answered(&pending, completion);
            }
        }
        result
    }

    /// Books whatever has no answer as in doubt, since its client is gone; how much that is.
    pub fn give_up(&mut self, at_ns: u64, book: &mut impl SendBook) -> u64 {
        let mut given_up = 0;
        for slot in 0..self.in_flight.limit() {
            if let Some(pending) = self.in_flight.finish(slot) {
                let outcome = Outcome::Indeterminate;
                book.answered(&pending, Completion { slot, outcome, at_ns });
                given_up += 1;
            }
        }
        given_up
    }

    /// Collects until everything is answered, until `deadline_ns` or until the book says stop.
    pub fn drain(&mut self, deadline_ns: u64, book: &mut impl SendBook) -> Result<(), DriverError> {
        while self.in_flight.busy() > 0 {
            let now_ns = self.clock.now_ns();
            if book.stop(now_ns) || now_ns >= deadline_ns {
                break;
            }
            self.collect((now_ns + TICK_NS).min(deadline_ns), book)?;
        }
        Ok(())
    }
}

/// What to send in an open loop.
pub struct SendPlan {
    /// `None`: as fast as it goes.
    pub schedule: Option<Schedule>,
    /// Due times count from here.
    pub start_ns: u64,
    pub messages: u64,
    /// Nothing is sent after it.
    pub send_until_ns: u64,
    /// How long to wait for answers after the last message.
    pub answers_ns: u64,
}

impl<const ONE_SERIES: bool> Sender<ONE_SERIES> {
    /// Sends what the plan says, however late, and waits for the answers.
    pub fn run(&mut self, plan: SendPlan, book: &mut impl SendBook) -> Result<(), DriverError> {
        sharpen_timer();
        let SendPlan { mut schedule, start_ns, messages, send_until_ns, answers_ns } = plan;
        let mut sent = 0;
        loop {
            let now_ns = self.clock.now_ns();
            if sent == messages || now_ns > send_until_ns || book.stop(now_ns) {
                break;
            }
            let due = |schedule: &Option<Schedule>| {
                schedule.as_ref().map_or(0, |plan| start_ns + plan.due_ns())
            };
            let mut blocked = false;
            while !blocked && sent < messages && due(&schedule) <= now_ns {
                blocked = !self.send(due(&schedule), book)?;
                if !blocked {
                    sent += 1;
                    if let Some(plan) = &mut schedule {
                        plan.advance();
                    }
                }
            }
            self.publisher.flush()?;
            // Everything due has gone out, or back-pressure holds it: wait for the next due time or
            // for answers.
            let until_ns = if blocked { u64::MAX } else { due(&schedule) };
            self.collect(if sent == messages { 0 } else { until_ns.min(now_ns + TICK_NS) }, book)?;
        }
        let deadline_ns = self.clock.now_ns().saturating_add(answers_ns);
        self.drain(deadline_ns, book)
    }
}

/// The kernel may otherwise delay each wake of this thread by 50 µs. Where it refuses, the schedule
/// lag shows it.
pub fn sharpen_timer() {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_an_answer_counts_once() {
        let mut table = InFlight::new(2, 1);
        let (a, b) = (table.take().unwrap(), table.take().unwrap());
        assert_eq!(table.take(), None);
        table.fill(a, Pending { sequence: 7, ..Pending::default() });
        table.fill(b, Pending::default());
        assert_eq!(table.finish(a).map(|p| p.sequence), Some(7));
        assert!(table.finish(a).is_none() && table.finish(99).is_none());
        assert_eq!(table.busy(), 1);
    }

    #[test]
    fn connections_share_the_slots_evenly() {
        let table = InFlight::new(9, 3);
        let of_first = (0..9).filter(|slot| table.connection(*slot) == 0).count();
        assert_eq!(of_first, 3);
    }
}
