//! Reads back what Redis still holds, page by page, without taking it away.
//!
//! Pages are bounded in elements and in bytes, so that neither side has to hold a whole stream in a
//! buffer. RESP of our own, since payloads are looked at where they lie: the `redis` crate would copy
//! every message of the load twice more.

use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::resilient::patiently;
use crate::driver::redis::load::streams::entry_payload;
use crate::driver::redis::primary::Primary;
use crate::units::Bytes;
use crate::wire::redis::{self as resp, Malformed, Token};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Most elements of a page, and about most bytes.
const PAGE: u64 = 1000;
const PAGE_BYTES: u64 = 16 << 20;

/// How long one page may take before it is asked for again, where that is done.
const STEP: Duration = Duration::from_secs(10);

pub struct AuditReader {
    connection: Connection,
    /// Whom to connect to anew after a lost connection.
    again: Option<Primary>,
    deadline: Instant,
    page: u64,
}

impl AuditReader {
    pub fn connect(endpoint: &Endpoint, clock: Clock, deadline_ns: u64, message: Bytes) -> Result<Self, DriverError> {
        let deadline = Instant::now() + clock.until(deadline_ns);
        Ok(Self { connection: Connection::open(endpoint)?, again: None, deadline, page: page(message) })
    }

    /// Reads whoever is the primary, page by page anew over as many connections as it takes until the deadline.
    pub fn connect_patiently(
        primary: &Primary,
        clock: Clock,
        deadline_ns: u64,
        message: Bytes,
    ) -> Result<Self, DriverError> {
        let left = clock.until(deadline_ns);
        let connection = patiently(left, || primary.connect())?;
        Ok(Self { connection, again: Some(primary.clone()), deadline: Instant::now() + left, page: page(message) })
    }

    /// The reply to one command, as a place in the connection's input.
    fn reply(&mut self, words: &[&[u8]], action: &str) -> Result<Range<usize>, DriverError> {
        loop {
            resp::command(&mut self.connection.output.bytes, words);
            let Some(primary) = &self.again else { return self.connection.page(self.deadline, action) };
            let replied = self.connection.page(self.deadline.min(Instant::now() + STEP), action);
            match replied {
                Err(error) if passing(&error) && Instant::now() < self.deadline => {
                    let left = self.deadline.saturating_duration_since(Instant::now());
                    self.connection = patiently(left, || primary.connect())?;
                }
                ended => return ended,
            }
        }
    }

    /// Sends one command and lets `read` walk its reply.
    fn ask<T>(
        &mut self,
        words: &[&[u8]],
        action: &str,
        read: impl FnOnce(resp::ReplyReader<'_>) -> Result<T, Malformed>,
    ) -> Result<T, DriverError> {
        let reply = self.reply(words, action)?;
        let value = read(resp::ReplyReader::new(&self.connection.input.filled()[reply.clone()]));
        self.connection.input.consume(reply.len());
        value.map_err(|cause| self.connection.endpoint.malformed(cause))
    }

    /// From the entry `first` (`-`: the oldest) to the last.
    pub fn stream(&mut self, key: &str, first: &str, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError> {
        let (page, mut from) = (self.page.to_string(), first.as_bytes().to_vec());
        loop {
            let mut last = None;
            let words: [&[u8]; 6] = [b"XRANGE", key.as_bytes(), &from, b"+", b"COUNT", page.as_bytes()];
            self.ask(&words, "XRANGE", |mut reply| {
                for _ in 0..reply.array()? {
                    reply.array()?;
                    last = Some(reply.bulk()?.to_vec());
                    if let Some(payload) = entry_payload(&mut reply)? {
                        sink(payload);
                    }
                }
                Ok(())
            })?;
            match last {
                Some(id) => from = [b"(", id.as_slice()].concat(),
                None => return Ok(()),
            }
        }
    }

    /// Whether entries are gone that were added to the stream.
    pub fn trimmed(&mut self, key: &str) -> Result<bool, DriverError> {
        let info = self.ask(&[b"XINFO", b"STREAM", key.as_bytes()], "XINFO STREAM", |mut reply| {
            let (mut length, mut added) = (None, None);
            for _ in 0..reply.array()? / 2 {
                match reply.bulk()? {
                    b"length" => length = Some(reply.integer()?),
                    b"entries-added" => added = Some(reply.integer()?),
                    _ => reply.skip()?,
                }
            }
            Ok(length.zip(added))
        });
        match info {
            Ok(Some((length, added))) => Ok(added > length),
            Ok(None) => Err(self.connection.endpoint.refused("XINFO STREAM", "it does not tell `entries-added`")),
            // Nothing was ever published here.
            Err(DriverError::Refused { cause, .. }) if cause.contains("no such key") => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub fn list(&mut self, key: &str, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError> {
        let mut from = 0;
        loop {
            let (first, last) = (from.to_string(), (from + self.page - 1).to_string());
            let words: [&[u8]; 4] = [b"LRANGE", key.as_bytes(), first.as_bytes(), last.as_bytes()];
            let found = self.ask(&words, "LRANGE", |mut reply| {
                let found = reply.array()?;
                for _ in 0..found {
                    match reply.next()? {
                        Token::Bulk(payload) => sink(payload),
                        other => return Err(resp::unexpected("an element", other)),
                    }
                }
                Ok(found as u64)
            })?;
            if found < self.page {
                return Ok(());
            }
            from += found;
        }
    }
}

/// Whether the same question may be answered by the next connection.
fn passing(error: &DriverError) -> bool {
    match error {
        DriverError::Disconnected { .. } | DriverError::TimedOut { .. } => true,
        DriverError::Refused { cause, .. } => cause.starts_with("LOADING") || cause.starts_with("MASTERDOWN"),
        _ => false,
    }
}

fn page(message: Bytes) -> u64 {
    (PAGE_BYTES / message.0.max(1)).clamp(1, PAGE)
}
