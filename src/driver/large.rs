//! One message of any size, there and back: what a system's clients and broker take, and who
//! refuses what.
//!
//! A value is borrowed and streamed, never gathered: at 1 GB every copy counts. What comes back is
//! compared with it as it arrives. A refusal is a result, told with the words of whoever refused.

use super::DriverError;
use std::fmt;
use std::time::Duration;

/// Which of a system's clients is to carry the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LargeClient {
    /// The one that carries every other load.
    Usual,
    /// An independent one, that tells the first one's limits from the broker's.
    Second,
}

/// A way to send one message and receive it again. Used by one thread.
pub trait LargeMessages {
    /// Sends `payload`, receives it and compares. Ends by `deadline_ns`, or little later. After
    /// anything but an intact arrival the connections may be in disorder: make a new one.
    fn round_trip(&mut self, payload: &[u8], deadline_ns: u64) -> Trip;
}

/// How one message fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    /// `Ok` when what arrived was byte for byte what was sent.
    pub end: Result<Times, LargeRefusal>,
    /// What the message takes on the wire to the broker, framing of its own included; `None` where
    /// nobody tells.
    pub wire_bytes: Option<u64>,
}

/// Since the first byte was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub acked: Duration,
    /// Received to the last byte.
    pub received: Duration,
}

/// Who did not take or hand out the message, and in which words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who}: {words}")]
pub struct LargeRefusal {
    pub who: Who,
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The client, by a limit of its own, before anything was sent.
    ClientCheck,
    /// The client, which sends what no broker can read.
    ClientEncoder,
    Broker,
    /// The client that receives.
    Consumer,
    /// Nobody said anything.
    TimeOut,
    /// There was not enough of it.
    Memory,
}

impl Who {
    /// A limit on size: no larger message of this kind will pass either.
    pub const fn is_limit(self) -> bool {
        matches!(self, Self::ClientCheck | Self::ClientEncoder | Self::Broker)
    }

    /// Whether it was our patience or this machine that ended it: with more of either, the same
    /// message may pass.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::TimeOut | Self::Memory)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientCheck => "client pre-check",
            Self::ClientEncoder => "client encoder",
            Self::Broker => "broker",
            Self::Consumer => "consumer",
            Self::TimeOut => "time-out",
            Self::Memory => "memory",
        })
    }
}

impl LargeRefusal {
    pub fn new(who: Who, words: impl Into<String>) -> Self {
        Self { who, words: words.into() }
    }

    /// A fault that was no refusal of the message: by its kind.
    pub fn by(error: &DriverError) -> Self {
        let who = match error {
            DriverError::TimedOut { .. } => Who::TimeOut,
            DriverError::Protocol { .. } => Who::Consumer,
            _ => Who::Broker,
        };
        Self::new(who, error.to_string())
    }
}

/// Compares what arrives in pieces with what was sent, without storing it.
#[derive(Debug)]
pub struct PayloadComparison<'a> {
    expected: &'a [u8],
    rest: &'a [u8],
}

impl<'a> PayloadComparison<'a> {
    pub fn new(expected: &'a [u8]) -> Self {
        Self { expected, rest: expected }
    }

    /// The next piece. An error names the first difference.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), LargeRefusal> {
        let Some(rest) = self.rest.strip_prefix(piece) else {
            let same = self.rest.iter().zip(piece).take_while(|(sent, came)| sent == came).count();
            let at = self.expected.len() - self.left() + same;
            let words = format!("what arrived differs from what was sent at byte {at}");
            return Err(LargeRefusal::new(Who::Consumer, words));
        };
        self.rest = rest;
        Ok(())
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Nothing more comes.
    pub fn end(&self) -> Result<(), LargeRefusal> {
        match self.left() {
            0 => Ok(()),
            left => Err(LargeRefusal::new(Who::Consumer, format!("{left} bytes are missing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_compared_to_the_last_byte() {
        let sent: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let mut comparison = PayloadComparison::new(&sent);
        for piece in sent.chunks(77) {
            comparison.take(piece).unwrap();
        }
        assert_eq!(comparison.left(), 0);
        assert!(comparison.take(b"x").unwrap_err().words.ends_with("at byte 1000"));

        let mut comparison = PayloadComparison::new(&sent);
        comparison.take(&sent[..10]).unwrap();
        let mut wrong = sent[10..20].to_vec();
        wrong[7] ^= 1;
        let refusal = comparison.take(&wrong).unwrap_err();
        assert_eq!(
            (refusal.who, refusal.words.contains("at byte 17")),
            (Who::Consumer, true),
            "{refusal}"
        );
        assert_eq!(comparison.left(), 990);
    }
}
