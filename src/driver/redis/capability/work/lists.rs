//! A worker on a list. Reliable: each element is moved to a processing list of this worker's own
//! and removed from there when it is done or set aside.
//! Popped: it is gone from the broker once taken.
//!
//! Redis neither counts tries nor knows how long an element has been worked on: both live in this
//! worker's memory and die with it. An element is removed by its value, so two equal ones would be
//! taken for one another; the envelope makes each message unique.

use super::WorkConnection;
use crate::driver::DriverError;
use crate::driver::redis::load::ConsumerPlace;
use crate::driver::redis::load::lists::{move_one, next_moves, pop};
use crate::driver::redis::primitive::WorkerParts;
use crate::driver::work::{AcknowledgeTimer, RetryQueue, WorkEvent, Worker};
use crate::units::Span;
use redis::{Cmd, cmd};
use std::time::Duration;

/// Moves an element from a processing list to the dead letters in one step; nothing if it is not
/// there any more.
const BURY: &str = "local removed = redis.call('LREM', KEYS[1], -1, ARGV[1])
if removed == 1 then redis.call('LPUSH', KEYS[2], ARGV[1]) end
return removed";

pub struct ListWorker {
    link: WorkConnection,
    place: ConsumerPlace,
    dead: String,
    pause: Span,
    /// Elements are moved, not popped.
    reliable: bool,
    desk: RetryQueue,
    /// Removals that the server does not know yet.
    done: Vec<Cmd>,
    acknowledge: AcknowledgeTimer,
    numbers: u64,
    /// Moves to ask for at once.
    moves: u32,
}

impl ListWorker {
    pub fn new(parts: WorkerParts, reliable: bool) -> Self {
        let WorkerParts { connection, place, dead, terms } = parts;
        let (link, desk) = (
            WorkConnection { connection, clock: place.clock, decided: vec![] },
            RetryQueue::default(),
        );
        Self {
            link,
            place,
            dead,
            pause: terms.pause,
            reliable,
            desk,
            done: vec![],
            acknowledge: AcknowledgeTimer::new(terms.acknowledge),
            numbers: 0,
            moves: 1,
        }
    }

    fn tell_done(&mut self) {
        self.link.decided.extend(self.done.drain(..).map(|removal| (removal, None)));
    }

    /// Takes at most `max` elements, blocking in the server for `left` until there is one; how many
    /// there were.
    fn fetch(
        &mut self,
        max: u32,
        left: Duration,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<u32, DriverError> {
        let ConsumerPlace { clock, keys, processing, .. } = &self.place;
        let elements: Vec<Vec<u8>> = if self.reliable {
            let moves = if left.is_zero() { self.moves.min(max) } else { 1 };
            let commands = vec![move_one(&keys[0], processing, left); moves as usize];
            let moved: Vec<Option<Vec<u8>>> = self.link.ask(&commands, left, sink)?;
            moved.into_iter().flatten().collect()
        } else {
            let command = pop(keys, 0, max, left);
            let popped: Vec<Option<(String, Vec<Vec<u8>>)>> =
                self.link.ask(&[command], left, sink)?;
            popped.into_iter().flatten().flat_map(|(_, elements)| elements).collect()
        };
        let at_ns = clock.now_ns();
        for payload in &elements {
            self.numbers += 1;
            self.desk.hold(self.numbers, payload);
            sink(WorkEvent::Task { id: self.numbers, attempt: 1, payload, at_ns });
        }
        Ok(elements.len() as u32)
    }
}

impl Worker for ListWorker {
    fn take(
        &mut self,
        max: u32,
        until_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<(), DriverError> {
        let now_ns = self.place.clock.now_ns();
        if self.acknowledge.due(now_ns) {
            self.tell_done();
        }
        let again = self.desk.hand_out(now_ns, sink);
        let found = self.fetch(max, Duration::ZERO, sink)?;
        self.moves = next_moves(self.moves, found, max);
        if again || found > 0 {
            return Ok(());
        }
        let until_ns = self.desk.next_due_ns().map_or(until_ns, |due_ns| due_ns.min(until_ns));
        let left = self.place.clock.until(until_ns);
        if !left.is_zero() {
            self.fetch(max, left, sink)?;
        }
        Ok(())
    }

    fn done(&mut self, id: u64) {
        if let Some(payload) = self.desk.clear(id)
            && self.reliable
        {
            // From the end where the oldest lie: a finished element is among those.
            let removal = cmd("LREM").arg(&self.place.processing).arg(-1).arg(payload).take();
            self.done.push(removal);
        }
    }

    fn retry(&mut self, id: u64) {
        self.desk.retry(id, self.place.clock.now_ns() + self.pause.nanos());
    }

    fn dead_letter(&mut self, id: u64) {
        let Some(payload) = self.desk.clear(id) else { return };
        let burial = if self.reliable {
            cmd("EVAL")
                .arg(BURY)
                .arg(2)
                .arg(&self.place.processing)
                .arg(&self.dead)
                .arg(payload)
                .take()
        } else {
            cmd("LPUSH").arg(&self.dead).arg(payload).take()
        };
        self.link.decided.push((burial, Some(id)));
    }

    /// What was not done stays in the processing list.
    fn close(mut self: Box<Self>) -> Result<(), DriverError> {
        self.tell_done();
        self.link.settle()
    }
}
