//! Clients that outlive their connections, for runs that break them:
//! only where the scenario sets `load.deadline`.
//!
//! [`ResilientPublisher`] tries again to have each message taken until `load.deadline` after its
//! sending, over lost connections and fail-overs, as librdkafka does by itself. What was in doubt
//! is sent again and may so be stored twice: at least once, which the books show as duplicates.
//! Where too few copies confirmed it, they are asked again, and it is sent again only where another
//! server is the primary by now.
//! [`ResilientSubscriber`] goes on over a new connection. Nothing here blocks the pacing thread:
//! connecting is [`super::reconnect`]'s, on threads of its own.
//!
//! Plain load does not come this way; it keeps the path without a copy ([`super::publisher`]).

mod connection;
mod message;
mod refusal;
mod subscriber;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use connection::RetryRules;
pub use subscriber::ResilientSubscriber;

use super::connection::Connection;
use super::copies::CopiesWait;
use super::epoll::{Epoll, Ready};
use super::publisher::silence;
use super::reconnect::Reconnect;
use super::switches::Switches;
use crate::clock::Clock;
use crate::driver::redis::SET_UP;
use crate::driver::redis::primary::Primary;
use crate::driver::timeouts::Backoff;
use crate::driver::{Completion, DriverError, Outgoing, Publisher, Submitted};
use crate::wire::redis as resp;
use connection::ResilientConnection;
use message::DeliveryBooks;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often connections are looked at for what only the clock tells.
const LOOK_NS: u64 = 1_000_000;
/// Longest sleep while one of them is lost or rests, and otherwise: deadlines are seconds.
const NAP_TROUBLED: Duration = Duration::from_millis(2);
const NAP: Duration = Duration::from_millis(20);

/// Why a connection that still works is left.
pub(in crate::driver::redis::load) const SWITCHED: &str = "the Sentinels named another primary";

pub struct ResilientPublisher {
    connections: Vec<ResilientConnection>,
    /// Connections that have collected something since the last flush.
    dirty: Vec<u16>,
    /// For each stream, the command up to its last argument, the payload.
    commands: Vec<Vec<u8>>,
    rules: RetryRules,
    books: DeliveryBooks,
    epoll: Epoll,
    ready: Vec<Ready>,
    /// When the connections are to be looked at again.
    look_ns: u64,
    primary: Primary,
    switches: Switches,
    clock: Clock,
}

impl ResilientPublisher {
    /// Connects `connections` sockets, which must succeed now. `commands` are encoded up to the
    /// header of their last argument.
    pub fn connect(
        primary: &Primary,
        clock: Clock,
        connections: u16,
        commands: Vec<Vec<u8>>,
        rules: RetryRules,
        copies: Option<&CopiesWait>,
        switches: Switches,
    ) -> Result<Self, DriverError> {
        let lane = || {
            let whom = primary.clone();
            let attempt = move || dial(&whom, rules);
            Ok(ResilientConnection::new(
                rules,
                clock,
                patiently(SET_UP, &attempt)?,
                Reconnect::new(attempt),
                copies.cloned(),
            ))
        };
        let connections =
            (0..connections.max(1)).map(|_| lane()).collect::<Result<Vec<_>, DriverError>>()?;
        let sockets = connections.iter().filter_map(ResilientConnection::connected);
        let epoll = Epoll::watching(&primary.endpoint, sockets)?;
        let (dirty, ready, books, primary) =
            (vec![], vec![], DeliveryBooks::default(), primary.clone());
        Ok(Self {
            connections,
            dirty,
            commands,
            rules,
            books,
            epoll,
            ready,
            look_ns: 0,
            primary,
            switches,
            clock,
        })
    }

    /// Looks after what only the clock tells; whether that is to be done again soon.
    fn look(&mut self) -> Result<bool, DriverError> {
        let now_ns = self.clock.now_ns();
        if now_ns >= self.look_ns {
            self.look_ns = now_ns + LOOK_NS;
            if self.switches.news() {
                self.connections.iter_mut().for_each(|one| one.suspect(SWITCHED.to_owned()));
            }
            for (token, connection) in (0u64..).zip(&mut self.connections) {
                if let Some(made) = connection.look(&mut self.books) {
                    let watched = self.epoll.add(&made.stream, token);
                    watched.map_err(|cause| self.primary.endpoint.broken(&cause))?;
                    connection.write(&mut self.books);
                }
            }
        }
        Ok(self.connections.iter().any(ResilientConnection::troubled))
    }

    /// Deals with what the last wait reported. A report of a socket that was replaced meanwhile
    /// finds nothing to read.
    fn serve(&mut self) {
        for ready in &self.ready {
            let Some(connection) = self.connections.get_mut(ready.token as usize) else { continue };
            if ready.readable {
                connection.read(ready.ended, &mut self.books);
            }
            if ready.writable {
                connection.write(&mut self.books);
            }
        }
    }
}

fn dial(primary: &Primary, rules: RetryRules) -> Result<Connection, DriverError> {
    let mut connection = primary.connect()?;
    if !rules.answers {
        silence(&mut connection)?;
    }
    Ok(connection)
}

/// Tries until `limit` is over: a fail-over may be under way. The last error is the answer.
pub fn patiently<T>(
    limit: Duration,
    attempt: impl Fn() -> Result<T, DriverError>,
) -> Result<T, DriverError> {
    let deadline = Instant::now() + limit;
    let mut backoff = Backoff::default();
    loop {
        match attempt() {
            Err(_) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_nanos(backoff.next()))
            }
            ended => return ended,
        }
    }
}

impl Publisher for ResilientPublisher {
    /// Takes every message, with or without a connection: how many are on their way is the caller's
    /// to limit.
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let (index, partition) = (message.connection as usize, message.partition as usize);
        let (Some(connection), Some(head)) =
            (self.connections.get_mut(index), self.commands.get(partition))
        else {
            return Err(self.primary.endpoint.no_lane(&message));
        };
        let mut command = self.books.spare.pop().unwrap_or_default();
        command.clear();
        command.extend_from_slice(head);
        resp::bulk_string(&mut command, message.payload);
        if connection.take(message.slot, command, self.clock.now_ns() + self.rules.deadline_ns) {
            connection.write(&mut self.books);
        } else if !self.dirty.contains(&message.connection) {
            self.dirty.push(message.connection);
        }
        Ok(Submitted::Taken)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        for index in self.dirty.drain(..) {
            self.connections[index as usize].write(&mut self.books);
        }
        Ok(())
    }

    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        let before = completions.len();
        loop {
            let nap = if self.look()? { NAP_TROUBLED } else { NAP };
            completions.append(&mut self.books.ended);
            let left = if completions.len() > before {
                Duration::ZERO
            } else {
                self.clock.until(until_ns).min(nap)
            };
            let waited = self.epoll.wait(left, &mut self.ready);
            waited.map_err(|cause| self.primary.endpoint.broken(&cause))?;
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
