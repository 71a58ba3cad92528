//! A worker on a list. Reliable: each element is moved to a processing list of this worker's own and removed from there
//! when it is done or dead_lettered. Popped: it is gone from the broker once taken.
//!
//! Redis neither counts tries nor knows how long an element has been worked on: both live in this worker's memory and
//! die with it. An element is removed by its value, so two equal ones would be taken for one another; the envelope
//! makes each message unique.

use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::redis::limits::{CLOSE, GRACE_NS};
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::lists::{hand_out, seconds};
use crate::driver::work::{RetryQueue, WorkEvent, Worker};
use crate::units::Span;
use crate::wire::redis::{self as resp, Malformed, ReplyReader, Token};
use std::collections::VecDeque;

/// Moves an element from a processing list to the dead letters in one step; nothing if it is not there any more.
const BURY: &[u8] = b"local removed = redis.call('LREM', KEYS[1], -1, ARGV[1])
if removed == 1 then redis.call('LPUSH', KEYS[2], ARGV[1]) end
return removed";

/// An answer that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListWorkReply {
    /// One element, by LMOVE or BLMOVE.
    Move,
    /// A batch, by LMPOP or BLMPOP.
    Batch,
    Removal,
    Burial(u64),
}

pub struct ListWorker {
    connection: Connection,
    clock: Clock,
    key: String,
    /// `None`: elements are popped.
    processing: Option<String>,
    dead: String,
    pause: Span,
    desk: RetryQueue,
    due: VecDeque<ListWorkReply>,
    numbers: u64,
    /// Moves to ask for at once: follows what was there last time, since each vain one costs the server a command.
    moves: u32,
}

impl ListWorker {
    pub fn new(
        connection: Connection,
        clock: Clock,
        key: String,
        dead: String,
        processing: Option<String>,
        pause: Span,
    ) -> Self {
        let (desk, due) = (RetryQueue::default(), VecDeque::new());
        Self { connection, clock, key, processing, dead, pause, desk, due, numbers: 0, moves: 1 }
    }

    /// Asks for at most `max` elements; blocks in the server until `until_ns` for the first, if it is given.
    fn ask(&mut self, max: u32, until_ns: Option<u64>) {
        let Self { connection, clock, key, processing, due, .. } = self;
        let (out, key) = (&mut connection.output.bytes, key.as_bytes());
        let timeout = until_ns.map(|until_ns| seconds(clock.until(until_ns)));
        let count = max.to_string();
        match (processing, &timeout) {
            (Some(processing), Some(timeout)) => {
                let (to, timeout) = (processing.as_bytes(), timeout.as_bytes());
                resp::command(out, &[b"BLMOVE", key, to, b"RIGHT", b"LEFT", timeout]);
                due.push_back(ListWorkReply::Move);
            }
            (Some(processing), None) => {
                for _ in 0..self.moves.min(max) {
                    resp::command(out, &[b"LMOVE", key, processing.as_bytes(), b"RIGHT", b"LEFT"]);
                    due.push_back(ListWorkReply::Move);
                }
            }
            (None, Some(timeout)) => {
                let (timeout, count) = (timeout.as_bytes(), count.as_bytes());
                resp::command(out, &[b"BLMPOP", timeout, b"1", key, b"RIGHT", b"COUNT", count]);
                due.push_back(ListWorkReply::Batch);
            }
            (None, None) => {
                resp::command(out, &[b"LMPOP", b"1", key, b"RIGHT", b"COUNT", count.as_bytes()]);
                due.push_back(ListWorkReply::Batch);
            }
        }
    }

    fn taking(&self) -> bool {
        self.due.iter().any(|due| matches!(due, ListWorkReply::Move | ListWorkReply::Batch))
    }

    /// Takes up every answer that is due, as far as they come until `patience_ns`; how many elements they brought.
    fn settle(&mut self, patience_ns: u64, sink: &mut dyn FnMut(WorkEvent<'_>)) -> Result<u32, DriverError> {
        let mut found = 0;
        while let Some(&due) = self.due.front() {
            let Some(reply) = self.connection.next_reply()? else {
                if self.connection.read_until(&self.clock, patience_ns)? {
                    continue;
                }
                break;
            };
            self.due.pop_front();
            let Self { connection, clock, desk, numbers, .. } = self;
            let mut hold = |payload: &[u8], at_ns| {
                (*numbers, found) = (*numbers + 1, found + 1);
                desk.hold(*numbers, payload);
                sink(WorkEvent::Task { id: *numbers, attempt: 1, payload, at_ns });
            };
            let bytes = &connection.input.filled()[reply.clone()];
            let taken: Result<(), Malformed> = match due {
                ListWorkReply::Move => match ReplyReader::new(bytes).next() {
                    Ok(Token::Bulk(payload)) => {
                        hold(payload, clock.now_ns());
                        Ok(())
                    }
                    Ok(Token::Null) => Ok(()),
                    Ok(other) => Err(resp::unexpected("an element", other)),
                    Err(cause) => Err(cause),
                },
                ListWorkReply::Batch => {
                    hand_out(bytes, clock, &mut |incoming| hold(incoming.payload, incoming.received_ns))
                }
                ListWorkReply::Removal => ReplyReader::new(bytes).integer().map(|_| ()),
                ListWorkReply::Burial(id) => ReplyReader::new(bytes).integer().map(|_| {
                    desk.clear(id);
                    sink(WorkEvent::DeadLettered { id, at_ns: clock.now_ns() });
                }),
            };
            taken.map_err(|cause| connection.endpoint.malformed(cause))?;
            connection.input.consume(reply.len());
        }
        Ok(found)
    }
}

impl Worker for ListWorker {
    fn take(&mut self, max: u32, until_ns: u64, sink: &mut dyn FnMut(WorkEvent<'_>)) -> Result<(), DriverError> {
        let patience_ns = until_ns.max(self.clock.now_ns()).saturating_add(GRACE_NS);
        let again = self.desk.hand_out(self.clock.now_ns(), sink);
        if !self.taking() {
            self.ask(max, None);
        }
        let found = self.settle(patience_ns, sink)?;
        let all_found = found >= self.moves;
        self.moves = if all_found { self.moves.saturating_mul(2).min(max) } else { found.max(1) };
        if again || found > 0 || self.taking() {
            return Ok(());
        }
        let until_ns = self.desk.next_due_ns().map_or(until_ns, |due_ns| due_ns.min(until_ns));
        if self.clock.now_ns() < until_ns {
            self.ask(max, Some(until_ns));
            self.settle(patience_ns, sink)?;
        }
        Ok(())
    }

    fn done(&mut self, id: u64) {
        if let (Some(payload), Some(processing)) = (self.desk.clear(id), &self.processing) {
            // From the end where the oldest lie: a finished element is among those.
            let words: [&[u8]; 4] = [b"LREM", processing.as_bytes(), b"-1", &payload];
            resp::command(&mut self.connection.output.bytes, &words);
            self.due.push_back(ListWorkReply::Removal);
        }
    }

    fn retry(&mut self, id: u64) {
        self.desk.retry(id, self.clock.now_ns() + self.pause.nanos());
    }

    fn dead_letter(&mut self, id: u64) {
        let Some(payload) = self.desk.payload(id) else { return };
        let (out, dead) = (&mut self.connection.output.bytes, self.dead.as_bytes());
        match &self.processing {
            Some(processing) => resp::command(out, &[b"EVAL", BURY, b"2", processing.as_bytes(), dead, payload]),
            None => resp::command(out, &[b"LPUSH", dead, payload]),
        }
        self.due.push_back(ListWorkReply::Burial(id));
    }

    /// What was not done stays in the processing list.
    fn close(mut self: Box<Self>) -> Result<(), DriverError> {
        self.settle(self.clock.now_ns() + CLOSE.as_nanos() as u64, &mut |_| ())?;
        if self.due.is_empty() { Ok(()) } else { Err(self.connection.endpoint.timed_out("LREM", CLOSE)) }
    }

    fn kill(self: Box<Self>) {}
}
