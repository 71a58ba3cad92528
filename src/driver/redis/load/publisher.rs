//! The producer of all three primitives:
//! they differ in the bytes before the payload and in nothing else.
//!
//! One thread, many sockets, no copy but the one into the socket's buffer. Redis answers each
//! connection in order, so a queue of slots per connection is all the book-keeping there is.
//! Nothing is retried and nothing reconnects here: a lost connection ends its messages as
//! indeterminate, and every later call says so, so that whoever sends takes another publisher.
//!
//! Where copies are waited for ([`CopiesWait`]), a message that was answered is done with the
//! answer to the WAIT behind it.
//!
//! Under `CLIENT REPLY OFF` nothing comes back: a message is done once its last byte is with the
//! kernel. The server says nothing of what it refuses, so the books of the consumers alone tell;
//! that a connection ended shows as ever.

use super::Lanes;
use super::command::PublishCommand;
use super::connection::Connection;
use super::copies::{Confirmed, CopiesWait};
use super::epoll::{Epoll, Ready, wait_for_one};
use crate::clock::Clock;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use crate::scenario::Reply;
use crate::wire::redis::{self as resp, Malformed, Token};
use redis::Value;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Unsent bytes of one connection from which on the producer is told to wait, for small messages.
const UNSENT: usize = 1 << 20;

/// One connection with what is on its way on it.
struct PipelinedConnection {
    connection: Connection,
    /// Slots in the order in which their commands went into the buffer, each with the end of its
    /// command there, counted from the first byte of the connection.
    slots: VecDeque<(u32, u64)>,
    /// Slots that were answered well, and whose copies are still to be confirmed.
    confirming: Vec<u32>,
    copies: Option<CopiesWait>,
    /// Bytes that went into the buffer so far.
    collected_bytes: u64,
    /// Commands collected since the last write.
    collected: u32,
    lost: bool,
}

pub struct RedisPublisher {
    connections: Vec<PipelinedConnection>,
    /// Connections that have collected something since the last flush.
    dirty: Vec<u16>,
    /// For each stream.
    commands: Vec<PublishCommand>,
    /// Most commands in one write.
    batch: u32,
    epoll: Epoll,
    ready: Vec<Ready>,
    failures: BTreeMap<String, u64>,
    lost: Option<DriverError>,
    reply: Reply,
    lanes: Lanes,
    clock: Clock,
}

impl RedisPublisher {
    /// Over at least one socket, connected, and silenced under `CLIENT REPLY OFF`; which message
    /// takes which is said by `lanes`.
    pub fn over(
        opened: Vec<Connection>,
        lanes: Lanes,
        clock: Clock,
        batch: u32,
        commands: Vec<PublishCommand>,
        reply: Reply,
        copies: Option<&CopiesWait>,
    ) -> Result<Self, DriverError> {
        let epoll = Epoll::watching(&opened[0].endpoint, &opened)?;
        let pipelined = |connection| PipelinedConnection {
            connection,
            slots: VecDeque::new(),
            confirming: Vec::new(),
            copies: copies.cloned(),
            collected_bytes: 0,
            collected: 0,
            lost: false,
        };
        let connections = opened.into_iter().map(pipelined).collect();
        let (dirty, ready, failures) = (vec![], vec![], BTreeMap::new());
        Ok(Self {
            connections,
            dirty,
            commands,
            batch: batch.max(1),
            epoll,
            ready,
            failures,
            lost: None,
            reply,
            lanes,
            clock,
        })
    }

    fn check(&self) -> Result<(), DriverError> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    /// Deals with what the last wait reported.
    fn serve(&mut self, completions: &mut Vec<Completion>) {
        let silent = self.reply == Reply::Off;
        for ready in &self.ready {
            let Some(pipelined) =
                self.connections.get_mut(ready.token as usize).filter(|pipelined| !pipelined.lost)
            else {
                continue;
            };
            let unsent = ready.writable && pipelined.connection.output.unsent() > 0;
            let written = if unsent { pipelined.connection.write().map(|_| ()) } else { Ok(()) };
            let served = match ready.readable {
                // Also after a failed write: the server may have said why before it closed.
                true => pipelined
                    .read(silent, ready.ended, &self.clock, &mut self.failures, completions)
                    .and_then(|()| pipelined.cover())
                    .and(written),
                false => written,
            };
            if let Err(error) = served {
                pipelined.lose(&error, self.clock.now_ns(), &mut self.failures, completions);
                self.lost.get_or_insert(error);
            }
        }
        if silent {
            let at_ns = self.clock.now_ns();
            self.connections
                .iter_mut()
                .for_each(|pipelined| pipelined.complete_written(at_ns, completions));
        }
    }

    /// A write that fails outside `wait`: its messages are ended by the next `wait`, which will
    /// read the end of stream.
    fn write_out(pipelined: &mut PipelinedConnection) {
        pipelined.collected = 0;
        pipelined.ask_for_copies();
        pipelined.collected_bytes += pipelined.connection.stay_signed_in();
        // The error is not lost: the socket stays readable with it, and reading it ends the
        // connection properly.
        let _ = pipelined.connection.write();
    }
}

/// Proves that the server answers, then asks it not to.
/// What follows has no answer, this request included.
pub fn silence(connection: &mut Connection) -> Result<(), DriverError> {
    connection.query::<Value>("PING", &redis::cmd("PING"))?;
    connection.collect(redis::cmd("CLIENT").arg("REPLY").arg("OFF"));
    connection.write().map(drop)
}

/// A reply to a publish: what the server refuses with, if it does, and the reply's length.
type PublishReply<'a> = (Option<&'a [u8]>, usize);

/// The reply to a publish at the start of `input`; `None` while it is not complete.
#[inline]
pub fn publish_reply(input: &[u8]) -> Result<Option<PublishReply<'_>>, Malformed> {
    match resp::token(input)? {
        None => Ok(None),
        Some((Token::Integer(_) | Token::Bulk(_) | Token::Simple(_), length)) => {
            Ok(Some((None, length)))
        }
        Some((Token::Error(text), length)) => Ok(Some((Some(text), length))),
        Some((other, _)) => Err(resp::unexpected("a reply to a publish", other)),
    }
}

/// Ends messages as what their copies say: acknowledged, or in doubt for a reason.
fn confirm(
    slots: &mut Vec<u32>,
    found: Confirmed,
    at_ns: u64,
    failures: &mut BTreeMap<String, u64>,
    completions: &mut Vec<Completion>,
) {
    let outcome = match found {
        Confirmed::Enough => Outcome::Acked,
        Confirmed::TooFew(why) | Confirmed::Refused(why) => {
            if !slots.is_empty() {
                *failures.entry(why).or_default() += slots.len() as u64;
            }
            Outcome::Indeterminate
        }
    };
    completions.extend(slots.drain(..).map(|slot| Completion { slot, outcome, at_ns }));
}

impl PipelinedConnection {
    /// Reads until the socket is empty (`to_the_end`: until it says that it has ended) and turns
    /// each reply into a completion.
    ///
    /// One stamp serves all replies of one read: they were all there when it returned. A stamp for
    /// each would be later, not truer, and is dearer: 0.8 against 1.1 million messages/s against
    /// the reflector, 16 replies a read.
    fn read(
        &mut self,
        silent: bool,
        to_the_end: bool,
        clock: &Clock,
        failures: &mut BTreeMap<String, u64>,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        let Connection { endpoint, stream, input, session, .. } = &mut self.connection;
        loop {
            let read = input.read_from(stream).map_err(|cause| endpoint.broken(&cause))?;
            let Some((_, more)) = read else { return Ok(()) };
            let at_ns = clock.now_ns();
            let mut used = 0;
            let parsed = loop {
                let rest = &input.filled()[used..];
                match session.as_mut().map_or(Ok(0), |session| session.answered(rest)) {
                    Ok(0) => {}
                    Ok(passed) => {
                        used += passed;
                        continue;
                    }
                    Err(why) => break Err(endpoint.refused("signing in again", why)),
                }
                if let Some(copies) = self.copies.as_mut().filter(|copies| copies.is_next()) {
                    match copies.reply(rest) {
                        Ok(Some((found, length))) => {
                            used += length;
                            confirm(&mut self.confirming, found, at_ns, failures, completions);
                            continue;
                        }
                        Ok(None) => break Ok(()),
                        Err(cause) => break Err(endpoint.malformed(cause)),
                    }
                }
                let (refusal, length) = match publish_reply(rest) {
                    Ok(Some(found)) => found,
                    Ok(None) => break Ok(()),
                    Err(cause) => break Err(endpoint.malformed(cause)),
                };
                used += length;
                if let Some(text) = refusal {
                    *failures.entry(resp::error_text(text)).or_default() += 1;
                }
                let outcome = if refusal.is_some() { Outcome::Failed } else { Outcome::Acked };
                // An error with nothing in flight is the server's farewell; the end of the stream
                // follows it.
                if !silent && let Some((slot, _)) = self.slots.pop_front() {
                    let copies = self.copies.as_mut().map(CopiesWait::pass);
                    if copies.is_some() && outcome == Outcome::Acked {
                        self.confirming.push(slot);
                    } else {
                        completions.push(Completion { slot, outcome, at_ns });
                    }
                }
            };
            input.consume(used);
            parsed?;
            if !more && !to_the_end {
                return Ok(());
            }
        }
    }

    /// Asks whether the copies have what was collected, or the next time does.
    fn ask_for_copies(&mut self) {
        if let Some(copies) = &mut self.copies {
            let output = &mut self.connection.output.bytes;
            copies.ask(output, self.slots.len(), self.confirming.len());
        }
    }

    /// Asks again for what came while the last question was under way.
    fn cover(&mut self) -> Result<(), DriverError> {
        if self.copies.is_none() {
            return Ok(());
        }
        self.ask_for_copies();
        self.connection.write().map(drop)
    }

    /// Ends the messages whose last byte the kernel has taken.
    fn complete_written(&mut self, at_ns: u64, completions: &mut Vec<Completion>) {
        let written = self.collected_bytes - self.connection.output.unsent() as u64;
        while let Some((slot, _)) = self.slots.pop_front_if(|(_, end)| *end <= written) {
            completions.push(Completion { slot, outcome: Outcome::Acked, at_ns });
        }
    }

    fn lose(
        &mut self,
        error: &DriverError,
        at_ns: u64,
        failures: &mut BTreeMap<String, u64>,
        completions: &mut Vec<Completion>,
    ) {
        self.lost = true;
        self.confirming.extend(self.slots.drain(..).map(|(slot, _)| slot));
        let found = Confirmed::Refused(error.to_string());
        confirm(&mut self.confirming, found, at_ns, failures, completions);
    }
}

impl Publisher for RedisPublisher {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        self.check()?;
        let index = self.lanes.index(&message);
        let (Some(pipelined), Some(command)) =
            (self.connections.get_mut(index), self.commands.get(message.partition as usize))
        else {
            return Err(self.connections[0].connection.endpoint.no_lane(&message));
        };
        let output = &mut pipelined.connection.output;
        if output.unsent() > UNSENT.max(4 * message.payload.len()) {
            return Ok(Submitted::Full);
        }
        let before = output.unsent();
        command.write(&mut output.bytes, message.payload);
        pipelined.collected_bytes += (output.unsent() - before) as u64;
        pipelined.slots.push_back((message.slot, pipelined.collected_bytes));
        if pipelined.collected == 0 {
            self.dirty.push(index as u16);
        }
        pipelined.collected += 1;
        if pipelined.collected >= self.batch {
            Self::write_out(pipelined);
        }
        Ok(Submitted::Taken)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        self.check()?;
        for index in self.dirty.drain(..) {
            let pipelined = &mut self.connections[index as usize];
            if pipelined.collected > 0 {
                Self::write_out(pipelined);
            }
        }
        Ok(())
    }

    /// Loses nothing that has come: completions are handed over first, the error comes with the
    /// next call.
    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        let before = completions.len();
        if self.reply == Reply::Off {
            // What `flush` has written is done; nothing will come to wake us for it.
            let at_ns = self.clock.now_ns();
            self.connections
                .iter_mut()
                .for_each(|pipelined| pipelined.complete_written(at_ns, completions));
        }
        loop {
            let left = if completions.len() > before {
                Duration::ZERO
            } else {
                self.clock.until(until_ns)
            };
            let waited = match &self.connections[..] {
                [one] => {
                    let Connection { stream, output, .. } = &one.connection;
                    wait_for_one(stream, output.unsent() > 0, left, &mut self.ready)
                }
                _ => self.epoll.wait(left, &mut self.ready),
            };
            waited.map_err(|cause| self.connections[0].connection.endpoint.broken(&cause))?;
            self.serve(completions);
            if completions.len() > before {
                return Ok(());
            }
            self.check()?;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.clone()
    }
}
