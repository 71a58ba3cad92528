//! Consumers of Redis Lists. `pop`: BLMPOP (RPOP and BRPOP before Redis 7), taken and gone.
//! `reliable`: LMOVE to a processing list of this consumer's own, which is deleted once the caller
//! has processed what lay in it.
//!
//! Elements enter on the left (LPUSH) and leave on the right, so order is kept. As with Streams, a
//! blocking command is never abandoned: an answer that is late is taken up by the next call.

use super::connection::Connection;
use super::{ConsumerPlace, RedisConsumer};
use crate::clock::Clock;
use crate::driver::redis::CLOSE;
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::wire::redis::{self as resp, Malformed, ReplyReader, Token, bulks};
use redis::{Cmd, cmd};
use std::collections::VecDeque;
use std::time::Duration;

/// Redis takes the time-outs of blocking list commands in seconds, where 0 means for ever.
fn seconds(left: Duration) -> String {
    format!("{:.3}", left.as_secs_f64().max(0.001))
}

/// Takes at most so many elements, blocking in the server for `left`; not at all when nothing is
/// left. The first list that has anything is served, and the one at `turn` is named first.
pub fn pop(keys: &[String], turn: usize, most: u32, left: Duration) -> Cmd {
    let mut command = Cmd::new();
    if left.is_zero() {
        command.arg("LMPOP");
    } else {
        command.arg("BLMPOP").arg(seconds(left));
    }
    let (later, first) = keys.split_at(turn);
    command.arg(keys.len()).arg(first).arg(later).arg("RIGHT").arg("COUNT").arg(most);
    command
}

/// Moves one element, blocking in the server for `left`; not at all when nothing is left.
pub fn move_one(from: &str, to: &str, left: Duration) -> Cmd {
    let mut command = cmd(if left.is_zero() { "LMOVE" } else { "BLMOVE" });
    command.arg(from).arg(to).arg("RIGHT").arg("LEFT");
    if !left.is_zero() {
        command.arg(seconds(left));
    }
    command
}

/// How many moves to ask for at once: follows what was there last time, since each vain one costs
/// the server a command.
pub fn next_moves(moves: u32, found: u32, most: u32) -> u32 {
    if found >= moves { moves.saturating_mul(2).min(most) } else { found.max(1) }
}

/// What an answer will look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// A list, and elements or one element of it.
    Named,
    /// Elements of the list that was named.
    Bare,
}

/// Takes elements away in batches. From a server without LMPOP it takes what one list after the
/// other has, and waits for one element once all of them were empty.
pub struct PopSubscriber {
    connection: Connection,
    place: ConsumerPlace,
    /// The list that the next request names first.
    turn: usize,
    /// Answers in a row that brought nothing.
    vain: usize,
    asked: Option<Asked>,
}

impl PopSubscriber {
    pub fn new(connection: Connection, place: ConsumerPlace) -> Self {
        Self { connection, place, turn: 0, vain: 0, asked: None }
    }

    fn ask(&mut self, until_ns: u64) {
        self.connection.stay_signed_in();
        let ConsumerPlace { clock, keys, batch, pops_many, .. } = &self.place;
        let left = clock.until(until_ns);
        let (command, asked) = if *pops_many {
            (pop(keys, self.turn, *batch, left), Asked::Named)
        } else if self.vain < keys.len() || left.is_zero() {
            (cmd("RPOP").arg(&keys[self.turn]).arg(*batch).take(), Asked::Bare)
        } else {
            (cmd("BRPOP").arg(keys).arg(seconds(left)).take(), Asked::Named)
        };
        self.connection.collect(&command);
        self.turn = (self.turn + 1) % keys.len();
        self.asked = Some(asked);
    }

    /// Takes up the answer that is due, if it comes until `patience_ns`.
    fn answer(
        &mut self,
        patience_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let clock = &self.place.clock;
        let bare = self.asked == Some(Asked::Bare);
        let walk = |reply: &[u8]| {
            if bare { hand_out_bare(reply, clock, sink) } else { hand_out(reply, clock, sink) }
        };
        if let Some(found) = self.connection.next(clock, patience_ns, walk)? {
            self.asked = None;
            self.vain = if found > 0 { 0 } else { self.vain + 1 };
        }
        Ok(())
    }
}

/// Walks `[key, [payload…]]` or `[key, payload]`; how many there were.
pub fn hand_out(
    reply: &[u8],
    clock: &Clock,
    sink: &mut dyn FnMut(Incoming<'_>),
) -> Result<usize, Malformed> {
    let received_ns = clock.now_ns();
    let mut reader = ReplyReader::new(reply);
    match reader.next()? {
        Token::Null => return Ok(0),
        Token::Array(2) => {}
        other => return Err(resp::unexpected("a list and its elements", other)),
    }
    reader.bulk()?;
    match reader.next()? {
        Token::Array(count) => elements(&mut reader, count, received_ns, sink),
        Token::Bulk(payload) => {
            sink(Incoming { payload, received_ns });
            Ok(1)
        }
        other => Err(resp::unexpected("elements of a list", other)),
    }
}

fn elements(
    reader: &mut ReplyReader<'_>,
    count: usize,
    received_ns: u64,
    sink: &mut dyn FnMut(Incoming<'_>),
) -> Result<usize, Malformed> {
    for _ in 0..count {
        let payload = reader.bulk()?;
        sink(Incoming { payload, received_ns });
    }
    Ok(count)
}

/// Walks `[payload…]`; how many there were.
fn hand_out_bare(
    reply: &[u8],
    clock: &Clock,
    sink: &mut dyn FnMut(Incoming<'_>),
) -> Result<usize, Malformed> {
    let received_ns = clock.now_ns();
    let mut reader = ReplyReader::new(reply);
    match reader.next()? {
        Token::Null => Ok(0),
        Token::Array(count) => elements(&mut reader, count, received_ns, sink),
        other => Err(resp::unexpected("elements of a list", other)),
    }
}

impl Subscriber for PopSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        if self.asked.is_none() {
            self.ask(until_ns);
        }
        self.answer(self.place.patience(until_ns), sink)
    }

    /// Nothing to acknowledge. What a late answer still brings is lost, as it is when any consumer
    /// of this mode leaves.
    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}

/// What was taken and not received is gone, as the mode has it.
impl RedisConsumer for PopSubscriber {
    fn request(&mut self, until_ns: u64) -> Result<(), DriverError> {
        self.ask(until_ns);
        self.connection.write().map(drop)
    }

    fn take_up(&mut self, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if self.asked.is_some() { self.answer(0, sink) } else { Ok(()) }
    }

    fn watched(&self) -> Option<&Connection> {
        Some(&self.connection)
    }

    fn resume(&mut self, connection: Connection) {
        (self.connection, self.asked) = (connection, None);
    }

    fn is_owed(&self) -> bool {
        self.asked.is_some()
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

/// Moves elements to a processing list, which only this consumer touches, and deletes it when they
/// are processed.
pub struct ReliableSubscriber {
    connection: Connection,
    place: ConsumerPlace,
    /// Moves to ask for at once.
    moves: u32,
    /// Whether the processing list holds elements that were handed out.
    unacknowledged: bool,
    /// How many were, since the last deletion that was answered; `None` while one is under way,
    /// which may or may not be done when the connection breaks.
    handed_out: Option<u64>,
    /// After a lost connection: how many elements of the processing list, from its old end, are
    /// known already.
    known: Option<u64>,
    due: VecDeque<ListReply>,
}

impl ReliableSubscriber {
    pub fn new(connection: Connection, place: ConsumerPlace) -> Self {
        let (handed_out, known, due) = (Some(0), place.outlives.then_some(0), VecDeque::new());
        Self { connection, place, moves: 1, unacknowledged: false, handed_out, known, due }
    }

    fn delete_processed(&mut self) {
        if std::mem::take(&mut self.unacknowledged) {
            self.connection.collect(cmd("DEL").arg(&self.place.processing));
            self.due.push_back(ListReply::Deletion);
            self.handed_out = None;
        }
    }

    fn ask(&mut self, moves: u32, left: Duration) {
        self.connection.stay_signed_in();
        let command = move_one(&self.place.keys[0], &self.place.processing, left);
        for _ in 0..moves {
            self.connection.collect(&command);
            self.due.push_back(ListReply::Move);
        }
    }

    /// Takes up every answer that is due, as far as they come until `patience_ns`; how many
    /// elements they brought.
    fn take(
        &mut self,
        patience_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<u32, DriverError> {
        let (mut found, mut received_ns) = (0, self.place.clock.now_ns());
        while let Some(&due) = self.due.front() {
            self.connection.pass_logins()?;
            let input = self.connection.input.filled();
            let token =
                resp::token(input).map_err(|cause| self.connection.endpoint.malformed(cause))?;
            let Some((token, length)) = token else {
                if !self.connection.read_until(&self.place.clock, patience_ns)? {
                    break;
                }
                received_ns = self.place.clock.now_ns();
                continue;
            };
            match (due, token) {
                (ListReply::Move, Token::Bulk(payload)) => {
                    sink(Incoming { payload, received_ns });
                    (found, self.unacknowledged) = (found + 1, true);
                    self.handed_out = self.handed_out.map(|count| count + 1);
                }
                (ListReply::Move, Token::Null) => {}
                (ListReply::Deletion, Token::Integer(_)) => self.handed_out = Some(0),
                (_, Token::Error(text)) => {
                    let words = resp::error_text(text);
                    return Err(self.connection.endpoint.refused("consuming", words));
                }
                (due, other) => {
                    let cause =
                        resp::unexpected(&format!("the answer to a {due:?}").to_lowercase(), other);
                    return Err(self.connection.endpoint.malformed(cause));
                }
            }
            self.connection.input.consume(length);
            self.due.pop_front();
        }
        Ok(found)
    }

    /// Hands out what was moved to the processing list and never arrived: its newest end, to the
    /// left. The rest was handed out before, unless nobody knows;
    /// then all of it is, a second time perhaps.
    fn take_up_again(
        &mut self,
        patience_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        if self.due.is_empty() {
            self.connection.collect(cmd("LRANGE").arg(&self.place.processing).arg(0).arg(-1));
            self.due.push_back(ListReply::List);
        }
        let (clock, known) = (&self.place.clock, self.known.unwrap_or(0) as usize);
        let found = self.connection.next(clock, patience_ns, |reply| {
            let received_ns = clock.now_ns();
            let elements = bulks(reply)?;
            for payload in elements.iter().rev().skip(known) {
                sink(Incoming { payload, received_ns });
            }
            Ok(elements.len() as u64)
        })?;
        if let Some(found) = found {
            (self.known, self.unacknowledged, self.handed_out) = (None, found > 0, Some(found));
            self.due.clear();
        }
        Ok(())
    }
}

impl RedisConsumer for ReliableSubscriber {
    fn take_up(&mut self, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        self.take(0, sink).map(drop)
    }

    fn watched(&self) -> Option<&Connection> {
        Some(&self.connection)
    }

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
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let patience = self.place.patience(until_ns);
        if self.known.is_some() {
            return self.take_up_again(patience, sink);
        }
        if self.due.is_empty() {
            self.delete_processed();
            self.ask(self.moves, Duration::ZERO);
        }
        let found = self.take(patience, sink)?;
        if found > 0 || !self.due.is_empty() {
            self.moves = next_moves(self.moves, found, self.place.batch);
            return Ok(());
        }
        self.moves = 1;
        let left = self.place.clock.until(until_ns);
        if !left.is_zero() {
            self.ask(1, left);
            self.take(patience, sink)?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), DriverError> {
        let deadline = self.place.clock.now_ns() + CLOSE.as_nanos() as u64;
        // What late answers still bring was handed to nobody and must not be deleted: it stays in
        // the processing list.
        let mut unseen = 0;
        let handed_out = self.unacknowledged;
        self.take(deadline, &mut |_| unseen += 1)?;
        self.unacknowledged = handed_out && unseen == 0;
        self.delete_processed();
        self.take(deadline, &mut |_| ())?;
        if self.due.is_empty() {
            Ok(())
        } else {
            Err(self.connection.endpoint.timed_out("DEL", CLOSE))
        }
    }
}

#[cfg(test)]
mod tests;
