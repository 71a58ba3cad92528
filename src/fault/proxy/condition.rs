//! What a link can be made to suffer: the vocabulary of the proxy, and its limits.
//!
//! Plain values: nothing here touches a socket.

use super::ProxyError;
use std::time::{Duration, Instant};

/// The longest delay or jitter; more than that is a stall.
const LONGEST: Duration = Duration::from_secs(60);

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkEnd {
    Client,
    Upstream,
}

/// What holds for every connection through a proxy, in both directions, for open ones and later
/// ones, until the next condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Everything passes at once.
    #[default]
    None,
    /// Every byte leaves `delay` after its arrival, give or take up to `jitter` drawn from `seed`.
    /// Order is kept, so a chunk that drew a short delay still waits for the one before it.
    /// Throughput is not limited.
    Latency { delay: Duration, jitter: Duration, seed: u64 },
    /// One line of this rate in each direction, which all connections share in order of arrival.
    Bandwidth { bytes_per_s: u64 },
    /// Nothing is read and nothing passes; every byte is kept. The senders' buffers fill and they
    /// are blocked.
    Stall,
    /// Each connection is cut with a TCP reset to both sides. It lasts: connections made meanwhile
    /// are cut the same way.
    Reset,
    /// The listener is closed, so that connecting gives ECONNREFUSED, and open connections are
    /// reset. The port stays reserved: no other program gets it meanwhile.
    Refuse,
    /// One bit is flipped in every `every`-th message of ours on its way to the upstream, counted
    /// over all connections. It is found by its envelope's first bytes and flipped in its body, at
    /// a place drawn from `seed`; protocol bytes stay whole. Needs messages with the full envelope,
    /// neither compressed nor encrypted: [`super::Counters::flipped`] tells.
    BitFlip { every: u64, seed: u64 },
}

impl Condition {
    /// As scenarios and results call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Latency { .. } => "net-latency",
            Self::Bandwidth { .. } => "net-bandwidth",
            Self::Stall => "net-stall",
            Self::Reset => "net-reset",
            Self::Refuse => "net-refuse",
            Self::BitFlip { .. } => "net-bitflip",
        }
    }

    /// Refuses what is longer than a link can be made to wait, with what to write instead.
    pub(super) fn checked(self) -> Result<Self, ProxyError> {
        let wrong = |key, found, remedy| {
            Err(ProxyError::Invalid { condition: self.name(), key, found, remedy })
        };
        match self {
            Self::Latency { delay, .. } if delay > LONGEST => {
                wrong("delay", delay, "give at most 60s, or stall the link instead")
            }
            Self::Latency { jitter, .. } if jitter > LONGEST => {
                wrong("jitter", jitter, "give at most 60s")
            }
            _ => Ok(self),
        }
    }
}

/// When a condition came into effect, and what it met.
#[derive(Clone, Copy, Debug)]
pub struct ConditionChange {
    /// From here on no byte passes under the previous condition. What the kernel already held may
    /// still arrive.
    pub effective: Instant,
    /// Connections that were open.
    pub connections: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_refused_with_a_remedy() {
        let second = Duration::from_secs(1);
        for (condition, word) in [
            (Condition::Latency { delay: 61 * second, jitter: second, seed: 1 }, "delay"),
            (Condition::Latency { delay: second, jitter: 61 * second, seed: 1 }, "jitter"),
        ] {
            let message = condition.checked().unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("give at"), "{message}");
        }
        assert!(
            Condition::Latency { delay: second, jitter: 2 * second, seed: 1 }.checked().is_ok()
        );
    }
}
