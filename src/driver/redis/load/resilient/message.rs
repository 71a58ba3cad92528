//! One message of a publisher that outlives its connections, and the books of how such end.

use super::super::reconnect::Retries;
use crate::driver::{Completion, Outcome};
use std::collections::BTreeMap;

/// What all connections of a publisher write into.
#[derive(Default)]
pub struct DeliveryBooks {
    pub ended: Vec<Completion>,
    pub failures: BTreeMap<String, u64>,
    pub retries: Retries,
    /// Buffers of messages that have ended.
    pub spare: Vec<Vec<u8>>,
}

/// One that has not ended.
#[derive(Default)]
pub struct PendingMessage {
    /// `None` once it has ended while its answer is still to come.
    pub slot: Option<u32>,
    pub command: Vec<u8>,
    pub deadline_ns: u64,
    /// It may have been received by a server that did not say so.
    pub doubtful: bool,
    /// It is the ASKING before one, and no message.
    pub asks: bool,
    /// What the last server said that refused it.
    pub refusal: Option<String>,
    /// Where it begins and ends, counted from the first byte of its connection.
    pub place: (u64, u64),
}

/// Lets a server take the next command for a slot that it is about to get.
pub const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

impl PendingMessage {
    /// The ASKING before a message, which begins at this byte of its connection.
    pub fn asking(before: &Self, begins: u64) -> Self {
        let place = (begins, begins + ASKING.len() as u64);
        Self { deadline_ns: before.deadline_ns, place, asks: true, ..Self::default() }
    }
}

/// Ends a message, unless its deadline did.
pub fn end(message: PendingMessage, outcome: Outcome, at_ns: u64, books: &mut DeliveryBooks) {
    if let Some(slot) = message.slot {
        books.ended.push(Completion { slot, outcome, at_ns });
    }
    books.spare.push(message.command);
}
