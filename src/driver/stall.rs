//! A consumer that stops reading: who then holds its messages, and for how long?
//!
//! Stalled means the socket, not the application alone: the kernel's buffer fills, and what does not fit stays with the
//! broker, which must keep it, drop it, or drop the consumer.

use super::{DriverError, Subscriber};

/// What a broker holds for one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub bytes: u64,
    /// Where: such as the output buffer of its connection, or the log.
    pub place: &'static str,
}

/// A consumer that is subscribed, may have one request under way, and does not read its socket.
pub trait Stalled: Send {
    /// What the broker holds for it now. Asked over another connection.
    fn held(&mut self) -> Result<Held, DriverError>;
    /// Reads again, on the same connection. That the broker has cut it off shows as [`DriverError::Disconnected`], once
    /// everything that still came before has been handed out.
    fn resume(self: Box<Self>) -> Box<dyn Subscriber>;
}
