//! Capability: values set and read by key, with a time to live.
//!
//! Like a publisher, a cache never paces, records or retries; it returns stamps and outcomes. Answers come in the order
//! of the requests.

use super::DriverError;
use crate::units::Span;

/// One request.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    Set { key: &'a str, value: &'a [u8], ttl: Span },
    Get { key: &'a str },
}

/// What one request brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    Stored,
    Found(&'a [u8]),
    Missing,
    /// The server's words.
    Refused(&'a str),
}

/// One client of a store of keys. Used by exactly one thread.
pub trait Cache: Send {
    /// Collects one request. False when the socket is full: submit it again after `wait`.
    fn submit(&mut self, request: Request<'_>) -> Result<bool, DriverError>;
    /// Writes out what `submit` has collected.
    fn flush(&mut self) -> Result<(), DriverError>;
    /// Hands over every answer that is there, oldest first, with the time it was read, waiting until `until_ns` for
    /// the first.
    fn wait(&mut self, until_ns: u64, sink: &mut dyn FnMut(Answer<'_>, u64)) -> Result<(), DriverError>;
}
