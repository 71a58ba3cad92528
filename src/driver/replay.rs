//! Reading what was published before: late, twice, from a moment on.
//!
//! Three different operations, since systems have them apart: a subscription that begins at the oldest message, one that
//! goes back there, and a read that no subscription knows of.

use super::{DriverError, Subscriber};

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The oldest message there is.
    Beginning,
    /// The first message stored at or after this moment, in ms since 1970.
    Time(u64),
}

/// A system that can be asked for what was published before, whether or not it still has it.
pub trait Replay {
    /// A consumer of a new subscription, which begins at the oldest message there is.
    fn join_late(&self, subscription: u16) -> Result<Box<dyn Subscriber>, DriverError>;
    /// Moves a subscription back to the oldest message there is. All its consumers must have left.
    fn rewind(&self, subscription: u16) -> Result<(), DriverError>;
    /// Reads to the end that there is at the beginning of the call, without any subscription and without a trace.
    fn read_from(&self, from: From, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError>;
}
