//! Which requests a consumer sends to be delivered to: the measure of pull and push.
//!
//! Counted where nobody can embellish them: by the Redis server itself, by librdkafka as it writes to its sockets. What
//! came with them is counted by whoever receives.

use super::{DriverError, Subscriber};
use std::ops::Sub;

/// Requests by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// For messages.
    pub fetch: u64,
    /// To say what was processed.
    pub acknowledge: u64,
    /// To say that the consumer lives.
    pub keep_alive: u64,
    /// Where the topic is, who leads it, and the like.
    pub other: u64,
}

impl Requests {
    pub fn all(&self) -> u64 {
        self.fetch + self.acknowledge + self.keep_alive + self.other
    }
}

impl Sub for Requests {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            fetch: self.fetch.saturating_sub(before.fetch),
            acknowledge: self.acknowledge.saturating_sub(before.acknowledge),
            keep_alive: self.keep_alive.saturating_sub(before.keep_alive),
            other: self.other.saturating_sub(before.other),
        }
    }
}

/// A consumer whose requests are counted.
pub trait Counted: Subscriber {
    /// Sent up to now, from a zero of the driver's own: only differences mean something. Bounded by a few seconds.
    fn requests(&mut self) -> Result<Requests, DriverError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_go_by_kind() {
        let before = Requests { fetch: 2, acknowledge: 1, keep_alive: 0, other: 5 };
        let after = Requests { fetch: 12, acknowledge: 3, keep_alive: 1, other: 5 };
        let between = after - before;
        assert_eq!(between, Requests { fetch: 10, acknowledge: 2, keep_alive: 1, other: 0 });
        assert_eq!(between.all(), 13);
    }
}
