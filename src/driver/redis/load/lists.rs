//! Consumers of Redis Lists. `pop`: BLMPOP, taken and gone. `reliable`: LMOVE to a processing list of this consumer's
//! own, which is deleted once the caller has processed what lay in it.
//!
//! Elements enter on the left (LPUSH) and leave on the right, so order is kept. As with Streams, a blocking command is
//! never abandoned: an answer that is late is taken up by the next call.

use super::connection::Connection;
use super::resilient::Resume;
use crate::clock::Clock;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::limits::{CLOSE, GRACE_NS, ON_TIME_NS};
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::wire::redis::{self as resp, Malformed, ReplyReader, Token};
use std::collections::VecDeque;
use std::time::Duration;

/// Redis takes the time-outs of blocking list commands in seconds, where 0 means for ever.
pub fn seconds(left: Duration) -> String {
    format!("{:.3}", left.as_secs_f64().max(0.001))
}

/// Takes elements away in batches.
pub struct PopSubscriber {
    connection: Connection,
    clock: Clock,
    keys: Vec<String>,
    batch: u32,
    /// The list that the next request names first: BLMPOP serves the first list that has anything.
    turn: usize,
    asked: bool,
    grace_ns: u64,
}

impl PopSubscriber {
    pub fn connect(endpoint: &Endpoint, clock: Clock, keys: Vec<String>, batch: u32) -> Result<Self, DriverError> {
        Ok(Self::new(Connection::open(endpoint)?, clock, keys, batch))
    }

    pub fn new(connection: Connection, clock: Clock, keys: Vec<String>, batch: u32) -> Self {
        Self { connection, clock, keys, batch, turn: 0, asked: false, grace_ns: GRACE_NS }
    }

    /// Comes back on time, whatever the server does; a late answer is taken up by the next call.
    pub fn on_time(self) -> Self {
        Self { grace_ns: ON_TIME_NS, ..self }
    }

    fn ask(&mut self, until_ns: u64) {
        let left = self.clock.until(until_ns);
        let (timeout, keys, batch) = (seconds(left), self.keys.len().to_string(), self.batch.to_string());
        let mut words: Vec<&[u8]> = vec![];
        if left.is_zero() {
            words.push(b"LMPOP");
        } else {
            words.extend([&b"BLMPOP"[..], timeout.as_bytes()]);
        }
        words.push(keys.as_bytes());
        let (later, first) = self.keys.split_at(self.turn);
        words.extend(first.iter().chain(later).map(|key| key.as_bytes()));
        words.extend([&b"RIGHT"[..], b"COUNT", batch.as_bytes()]);
        resp::command(&mut self.connection.output.bytes, &words);
        self.turn = (self.turn + 1) % self.keys.len();
        self.asked = true;
    }

    /// Sends the next request and does not look for its answer, which the next [`Subscriber::receive`] takes up.
    pub fn request(&mut self, until_ns: u64) -> Result<(), DriverError> {
        self.ask(until_ns);
        self.connection.write().map(drop)
    }
}

/// Walks `[key, [payload…]]`.
pub fn hand_out(reply: &[u8], clock: &Clock, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), Malformed> {
    let mut reader = ReplyReader::new(reply);
    match reader.next()? {
        Token::Null => return Ok(()),
        Token::Array(2) => {}
        other => return Err(resp::unexpected("a list and its elements", other)),
    }
    reader.bulk()?;
    for _ in 0..reader.array()? {
        let payload = reader.bulk()?;
        sink(Incoming { payload, received_ns: clock.now_ns() });
    }
    Ok(())
}

impl Subscriber for PopSubscriber {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if !self.asked {
            self.ask(until_ns);
        }
        let patience = until_ns.max(self.clock.now_ns()).saturating_add(self.grace_ns);
        loop {
            if let Some(reply) = self.connection.next_reply()? {
                self.asked = false;
                let handed = hand_out(&self.connection.input.filled()[reply.clone()], &self.clock, sink);
                handed.map_err(|cause| self.connection.endpoint.malformed(cause))?;
                self.connection.input.consume(reply.len());
                return Ok(());
            }
            if !self.connection.read_until(&self.clock, patience)? {
                return Ok(());
            }
        }
    }

    /// Nothing to acknowledge. What a late answer still brings is lost, as it is when any consumer of this mode leaves.
    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}

/// What was taken and not received is gone, as the mode has it.
impl Resume for PopSubscriber {
    fn resume(&mut self, connection: Connection) {
        (self.connection, self.asked) = (connection, false);
    }

    fn is_owed(&self) -> bool {
        self.asked
    }
}

/// An answer that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListReply {
    Deletion,
    Move,
    /// The whole processing list.
    List,
}

/// Moves elements to a processing list, which only this consumer touches, and deletes it when they are processed.
pub struct ReliableSubscriber {
    connection: Connection,
    clock: Clock,
    key: String,
    processing: String,
    batch: u32,
    /// Moves to ask for at once: follows what was there last time, since each vain one costs the server a command.
    moves: u32,
    /// Whether the processing list holds elements that were handed out.
    unacknowledged: bool,
    /// How many were, since the last deletion that was answered; `None` while one is under way, which may or may not be
    /// done when the connection breaks.
    handed_out: Option<u64>,
    /// After a lost connection: how many elements of the processing list, from its old end, are known already.
    known: Option<u64>,
    due: VecDeque<ListReply>,
    grace_ns: u64,
}

impl ReliableSubscriber {
    pub fn connect(
        endpoint: &Endpoint,
        clock: Clock,
        key: String,
        processing: String,
        batch: u32,
    ) -> Result<Self, DriverError> {
        Ok(Self::new(Connection::open(endpoint)?, clock, key, processing, batch))
    }

    pub fn new(connection: Connection, clock: Clock, key: String, processing: String, batch: u32) -> Self {
        Self {
            connection,
            clock,
            key,
            processing,
            batch,
            moves: 1,
            unacknowledged: false,
            handed_out: Some(0),
            known: None,
            due: VecDeque::new(),
            grace_ns: GRACE_NS,
        }
    }

    /// Comes back on time, whatever the server does; a late answer is taken up by the next call.
    pub fn on_time(self) -> Self {
        Self { grace_ns: ON_TIME_NS, ..self }
    }

    /// First takes up what whoever had its place before left unacknowledged.
    pub fn taking_over(self) -> Self {
        Self { known: Some(0), ..self }
    }

    fn delete_processed(&mut self) {
        if std::mem::take(&mut self.unacknowledged) {
            resp::command(&mut self.connection.output.bytes, &[b"DEL", self.processing.as_bytes()]);
            self.due.push_back(ListReply::Deletion);
            self.handed_out = None;
        }
    }

    fn ask_for_what_is_there(&mut self) {
        let words: [&[u8]; 5] = [b"LMOVE", self.key.as_bytes(), self.processing.as_bytes(), b"RIGHT", b"LEFT"];
        for _ in 0..self.moves {
            resp::command(&mut self.connection.output.bytes, &words);
            self.due.push_back(ListReply::Move);
        }
    }

    fn ask_and_block(&mut self, left: Duration) {
        let timeout = seconds(left);
        let (key, processing) = (self.key.as_bytes(), self.processing.as_bytes());
        let words: [&[u8]; 6] = [b"BLMOVE", key, processing, b"RIGHT", b"LEFT", timeout.as_bytes()];
        resp::command(&mut self.connection.output.bytes, &words);
        self.due.push_back(ListReply::Move);
    }

    /// Takes up every answer that is due, as far as they come until `patience_ns`; how many elements they brought.
    fn take(&mut self, patience_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<u32, DriverError> {
        let mut found = 0;
        while let Some(&due) = self.due.front() {
            let input = self.connection.input.filled();
            let token = resp::token(input).map_err(|cause| self.connection.endpoint.malformed(cause))?;
            let Some((token, length)) = token else {
                if self.connection.read_until(&self.clock, patience_ns)? {
                    continue;
                }
                break;
            };
            match (due, token) {
                (ListReply::Move, Token::Bulk(payload)) => {
                    sink(Incoming { payload, received_ns: self.clock.now_ns() });
                    (found, self.unacknowledged) = (found + 1, true);
                    self.handed_out = self.handed_out.map(|count| count + 1);
                }
                (ListReply::Move, Token::Null) => {}
                (ListReply::Deletion, Token::Integer(_)) => self.handed_out = Some(0),
                (due, other) => {
                    let cause = resp::unexpected(&format!("the answer to a {due:?}").to_lowercase(), other);
                    return Err(self.connection.endpoint.malformed(cause));
                }
            }
            self.connection.input.consume(length);
            self.due.pop_front();
        }
        Ok(found)
    }
}

impl ReliableSubscriber {
    /// Hands out what was moved to the processing list and never arrived: its newest end, to the left. The rest was
    /// handed out before, unless nobody knows; then all of it is, a second time perhaps.
    fn take_up_again(&mut self, patience_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if self.due.is_empty() {
            resp::command(&mut self.connection.output.bytes, &[b"LRANGE", self.processing.as_bytes(), b"0", b"-1"]);
            self.due.push_back(ListReply::List);
        }
        let reply = loop {
            match self.connection.next_reply()? {
                Some(reply) => break reply,
                None if self.connection.read_until(&self.clock, patience_ns)? => {}
                None => return Ok(()),
            }
        };
        let known = self.known.take().unwrap_or(0) as usize;
        let elements = elements(&self.connection.input.filled()[reply.clone()]);
        let elements = elements.map_err(|cause| self.connection.endpoint.malformed(cause))?;
        for payload in elements.iter().rev().skip(known) {
            sink(Incoming { payload, received_ns: self.clock.now_ns() });
        }
        self.unacknowledged = !elements.is_empty();
        self.handed_out = Some(elements.len() as u64);
        self.connection.input.consume(reply.len());
        self.due.clear();
        Ok(())
    }
}

/// The elements of a list, from the left.
fn elements(reply: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = ReplyReader::new(reply);
    (0..reader.array()?).map(|_| reader.bulk()).collect()
}

impl Resume for ReliableSubscriber {
    fn resume(&mut self, connection: Connection) {
        self.connection = connection;
        self.due.clear();
        // A re-read that was itself cut off is begun again, with what it knew.
        self.known = Some(self.known.unwrap_or(self.handed_out.unwrap_or(0)));
    }

    fn is_owed(&self) -> bool {
        !self.due.is_empty()
    }
}

impl Subscriber for ReliableSubscriber {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        let patience = until_ns.max(self.clock.now_ns()).saturating_add(self.grace_ns);
        if self.known.is_some() {
            return self.take_up_again(patience, sink);
        }
        if self.due.is_empty() {
            self.delete_processed();
            self.ask_for_what_is_there();
        }
        let found = self.take(patience, sink)?;
        if found > 0 || !self.due.is_empty() {
            let all_found = found >= self.moves;
            self.moves = if all_found { self.moves.saturating_mul(2).min(self.batch) } else { found.max(1) };
            return Ok(());
        }
        self.moves = 1;
        let left = self.clock.until(until_ns);
        if !left.is_zero() {
            self.ask_and_block(left);
            self.take(patience, sink)?;
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        let deadline = self.clock.now_ns() + CLOSE.as_nanos() as u64;
        // What late answers still bring was handed to nobody and must not be deleted: it stays in the processing list.
        let mut unseen = 0;
        let handed_out = self.unacknowledged;
        self.take(deadline, &mut |_| unseen += 1)?;
        self.unacknowledged = handed_out && unseen == 0;
        self.delete_processed();
        self.take(deadline, &mut |_| ())?;
        if self.due.is_empty() { Ok(()) } else { Err(self.connection.endpoint.timed_out("DEL", CLOSE)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_is_never_for_ever() {
        assert_eq!(seconds(Duration::ZERO), "0.001");
        assert_eq!(seconds(Duration::from_nanos(1)), "0.001");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.500");
    }

    #[test]
    fn elements_are_handed_out_in_order() {
        let mut seen = vec![];
        let reply = b"*2\r\n$1\r\nk\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
        hand_out(reply, &Clock::start(), &mut |incoming| seen.push(incoming.payload.to_vec())).unwrap();
        assert_eq!(seen, [b"a".to_vec(), b"b".to_vec()]);
        assert!(hand_out(b"*-1\r\n", &Clock::start(), &mut |_| ()).is_ok());
        assert!(hand_out(b"-ERR no\r\n", &Clock::start(), &mut |_| ()).is_err());
    }
}
