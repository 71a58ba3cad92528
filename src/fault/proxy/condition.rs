//! What a link can be made to suffer: the vocabulary of the proxy, and its limits.
//!
//! Plain values: nothing here touches a socket.

use super::ProxyError;
use std::time::{Duration, Instant};

/// The longest delay or jitter; more than that is a stall.
const LONGEST: Duration = Duration::from_secs(60);

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    Client,
    Upstream,
}

/// The way of the bytes that a condition concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkDirection {
    ToClient,
    ToUpstream,
    Both,
}

impl LinkDirection {
    /// Whether bytes on their way to `side` are concerned.
    pub fn reaches(self, side: LinkEnd) -> bool {
        matches!(
            (self, side),
            (Self::Both, _) | (Self::ToClient, LinkEnd::Client) | (Self::ToUpstream, LinkEnd::Upstream)
        )
    }
}

/// What holds for every connection through a proxy, open ones and later ones, until the next condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Everything passes at once.
    #[default]
    None,
    /// Every byte leaves `delay` after its arrival, give or take up to `jitter` drawn from `seed`. Order is kept, so a
    /// chunk that drew a short delay still waits for the one before it. Throughput is not limited.
    Latency { delay: Duration, jitter: Duration, direction: LinkDirection, seed: u64 },
    /// One line of this rate in each concerned direction, which all connections share in order of arrival.
    Bandwidth { bytes_per_s: u64, direction: LinkDirection },
    /// Nothing is read and nothing passes; every byte is kept. The senders' buffers fill and they are blocked.
    Stall { direction: LinkDirection },
    /// Each connection is cut with a TCP reset to both sides: at once, or when so many more bytes (both directions
    /// together) have passed, amid a frame if it so happens. It lasts: connections made meanwhile are cut the same way.
    Reset { after_bytes: Option<u64> },
    /// The listener is closed, so that connecting gives ECONNREFUSED, and open connections are reset. The port stays
    /// reserved: no other program gets it meanwhile.
    Refuse,
    /// The `lost` end is reset and the other is told nothing: its connection stays open and silent. With the upstream
    /// lost, new connections are accepted and silent too; with the client lost, new ones pass, since a client that
    /// comes back is the case of interest. The next condition, whichever, resets what was left half open.
    HalfOpen { lost: LinkEnd },
    /// One bit is flipped in every `every`-th message of ours, counted over all connections of a direction. It is found
    /// by its envelope's first bytes and flipped in its body, at a place drawn from `seed`; protocol bytes stay whole.
    /// Needs messages with the full envelope, neither compressed nor encrypted: [`super::Counters::flipped`] tells.
    BitFlip { every: u64, seed: u64, direction: LinkDirection },
}

impl Condition {
    /// As scenarios and results call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Latency { .. } => "net-latency",
            Self::Bandwidth { .. } => "net-bandwidth",
            Self::Stall { .. } => "net-stall",
            Self::Reset { .. } => "net-reset",
            Self::Refuse => "net-refuse",
            Self::HalfOpen { .. } => "net-half-open",
            Self::BitFlip { .. } => "net-bitflip",
        }
    }

    /// Refuses values that mean nothing, each with what to write instead.
    pub(super) fn checked(self) -> Result<Self, ProxyError> {
        let wrong =
            |key, found: String, remedy| Err(ProxyError::Invalid { condition: self.name(), key, found, remedy });
        match self {
            Self::Latency { delay, .. } if delay > LONGEST => {
                wrong("delay", format!("{delay:?}"), "give at most 60s, or stall the link instead")
            }
            Self::Latency { jitter, .. } if jitter > LONGEST => {
                wrong("jitter", format!("{jitter:?}"), "give at most 60s")
            }
            Self::Bandwidth { bytes_per_s: 0, .. } => {
                wrong("bytes_per_s", "0".into(), "give at least 1, or stall the link instead")
            }
            Self::BitFlip { every: 0, .. } => wrong("every", "0".into(), "give at least 1, which is every message"),
            _ => Ok(self),
        }
    }
}

/// When a condition came into effect, and what it met.
#[derive(Clone, Copy, Debug)]
pub struct ConditionChange {
    pub requested: Instant,
    /// From here on no byte passes under the previous condition. What the kernel already held may still arrive.
    pub effective: Instant,
    /// Connections that were open.
    pub connections: u64,
    /// Bytes that the proxy itself holds back, both directions together, without the kernel's buffers on either side.
    pub bytes_held: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_refused_with_a_remedy() {
        let (direction, second) = (LinkDirection::Both, Duration::from_secs(1));
        for (condition, word) in [
            (Condition::Bandwidth { bytes_per_s: 0, direction }, "bytes_per_s"),
            (Condition::BitFlip { every: 0, seed: 1, direction }, "every"),
            (Condition::Latency { delay: 61 * second, jitter: second, direction, seed: 1 }, "delay"),
            (Condition::Latency { delay: second, jitter: 61 * second, direction, seed: 1 }, "jitter"),
        ] {
            let message = condition.checked().unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("give at"), "{message}");
        }
        assert!(Condition::Latency { delay: second, jitter: 2 * second, direction, seed: 1 }.checked().is_ok());
    }

    #[test]
    fn a_direction_reaches_its_end() {
        assert!(
            LinkDirection::ToClient.reaches(LinkEnd::Client) && !LinkDirection::ToClient.reaches(LinkEnd::Upstream)
        );
        assert!(
            LinkDirection::ToUpstream.reaches(LinkEnd::Upstream) && !LinkDirection::ToUpstream.reaches(LinkEnd::Client)
        );
        assert!(LinkDirection::Both.reaches(LinkEnd::Client) && LinkDirection::Both.reaches(LinkEnd::Upstream));
    }
}
