//! Clients that outlive their connections, for runs that break them: only where the scenario sets `load.deadline`.
//!
//! [`ResilientPublisher`] tries again to have each message taken until `load.deadline` after its sending, over lost
//! connections and fail-overs, as librdkafka does by itself. What was in doubt is sent again and may so be stored twice:
//! at least once, which the books show as duplicates. [`ResilientSubscriber`] goes on over a new connection. Nothing here
//! blocks the pacing thread: connecting is [`super::redial`]'s, on threads of its own.
//!
//! Plain load does not come this way; it keeps the path without a copy ([`super::publisher`]).

mod connect;
#[cfg(test)]
mod consumer_tests;
mod lane;
mod subscriber;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use subscriber::{ResilientSubscriber, Resume};

use super::connection::Connection;
use super::endpoint::SET_UP;
use super::primary::Primary;
use super::publisher::silence;
use super::readiness::{Readiness, Ready};
use super::redial::Redial;
use super::resp;
use crate::clock::Clock;
use crate::driver::patience::{Backoff, longest_silence};
use crate::driver::{Completion, DriverError, Outgoing, Publisher, Submitted};
use crate::model::System;
use crate::scenario::Reply;
use crate::units::Span;
use lane::{Books, Lane, Rules};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often lanes are looked at for what only the clock tells.
const LOOK_NS: u64 = 1_000_000;
/// Longest sleep while a lane has no connection or rests, and otherwise: deadlines are seconds.
const NAP_TROUBLED: Duration = Duration::from_millis(2);
const NAP: Duration = Duration::from_millis(20);

pub struct ResilientPublisher {
    lanes: Vec<Lane>,
    /// Lanes that have collected something since the last flush.
    dirty: Vec<u16>,
    /// For each stream, the command up to its last argument, the payload.
    commands: Vec<Vec<u8>>,
    deadline_ns: u64,
    books: Books,
    readiness: Readiness,
    ready: Vec<Ready>,
    /// When the lanes are to be looked at again.
    look_ns: u64,
    primary: Primary,
    clock: Clock,
}

impl ResilientPublisher {
    /// Connects `connections` sockets, which must succeed now. `commands` are encoded up to the header of their last
    /// argument.
    pub fn connect(
        primary: &Primary,
        clock: Clock,
        connections: u16,
        batch: u32,
        commands: Vec<Vec<u8>>,
        reply: Reply,
        deadline: Span,
    ) -> Result<Self, DriverError> {
        let endpoint = primary.endpoint();
        let unavailable = |cause: std::io::Error| endpoint.refused("waiting on sockets (epoll)", cause.to_string());
        let rules = Rules {
            again: endpoint.system != System::RedisPubsub,
            answers: reply == Reply::On,
            batch: batch.max(1),
            patience_ns: longest_silence(deadline).nanos(),
        };
        let readiness = Readiness::new().map_err(unavailable)?;
        let mut lanes = Vec::with_capacity(connections.into());
        for token in 0..connections.max(1) {
            let whom = primary.clone();
            let attempt = move || dial(&whom, reply);
            let connection = patiently(SET_UP, &attempt)?;
            readiness.add(&connection.stream, token.into()).map_err(unavailable)?;
            lanes.push(Lane::new(rules, clock, connection, Redial::new(attempt)));
        }
        let (dirty, ready, books, primary) = (vec![], vec![], Books::default(), primary.clone());
        let deadline_ns = deadline.nanos();
        Ok(Self { lanes, dirty, commands, deadline_ns, books, readiness, ready, look_ns: 0, primary, clock })
    }

    /// Looks after what only the clock tells; whether that is to be done again soon.
    fn look(&mut self) -> Result<bool, DriverError> {
        let now_ns = self.clock.now_ns();
        if now_ns >= self.look_ns {
            self.look_ns = now_ns + LOOK_NS;
            for (token, lane) in (0u64..).zip(&mut self.lanes) {
                if let Some(connection) = lane.look(&mut self.books) {
                    let watched = self.readiness.add(&connection.stream, token);
                    watched.map_err(|cause| self.primary.endpoint().lost(cause.to_string()))?;
                    lane.write(&mut self.books);
                }
            }
        }
        Ok(self.lanes.iter().any(Lane::troubled))
    }

    /// Deals with what the last wait reported. A report of a socket that was replaced meanwhile finds nothing to read.
    fn serve(&mut self) {
        for ready in &self.ready {
            let Some(lane) = self.lanes.get_mut(ready.token as usize) else { continue };
            if ready.readable {
                lane.read(ready.ended, &mut self.books);
            }
            if ready.writable {
                lane.write(&mut self.books);
            }
        }
    }
}

fn dial(primary: &Primary, reply: Reply) -> Result<Connection, DriverError> {
    let mut connection = primary.connect()?;
    if reply == Reply::Off {
        silence(&mut connection)?;
    }
    Ok(connection)
}

/// Tries until `limit` is over: a fail-over may be under way. The last error is the answer.
pub fn patiently<T>(limit: Duration, attempt: impl Fn() -> Result<T, DriverError>) -> Result<T, DriverError> {
    let deadline = Instant::now() + limit;
    let mut backoff = Backoff::default();
    loop {
        match attempt() {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_nanos(backoff.next())),
            ended => return ended,
        }
    }
}

impl Publisher for ResilientPublisher {
    /// Takes every message, with or without a connection: how many are on their way is the caller's to limit.
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let (index, stream) = (message.connection as usize, message.stream as usize);
        let (Some(lane), Some(head)) = (self.lanes.get_mut(index), self.commands.get(stream)) else {
            let cause = format!("no connection {index} or no stream {stream}");
            return Err(self.primary.endpoint().refused("submit", cause));
        };
        let mut command = self.books.spare.pop().unwrap_or_default();
        command.clear();
        command.extend_from_slice(head);
        resp::bulk_string(&mut command, message.payload);
        if lane.take(message.slot, command, self.clock.now_ns() + self.deadline_ns) {
            lane.write(&mut self.books);
        } else if !self.dirty.contains(&message.connection) {
            self.dirty.push(message.connection);
        }
        Ok(Submitted::Taken)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        for index in self.dirty.drain(..) {
            self.lanes[index as usize].write(&mut self.books);
        }
        Ok(())
    }

    fn wait(&mut self, until_ns: u64, completions: &mut Vec<Completion>) -> Result<(), DriverError> {
        let before = completions.len();
        loop {
            let nap = if self.look()? { NAP_TROUBLED } else { NAP };
            completions.append(&mut self.books.ended);
            let left = if completions.len() > before { Duration::ZERO } else { self.clock.until(until_ns).min(nap) };
            let waited = self.readiness.wait(Some(left), &mut self.ready);
            waited.map_err(|cause| self.primary.endpoint().lost(cause.to_string()))?;
            self.serve();
            completions.append(&mut self.books.ended);
            if completions.len() > before || self.clock.now_ns() >= until_ns {
                return Ok(());
            }
        }
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        self.books.failures.clone()
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        self.books.retries.clone()
    }
}
