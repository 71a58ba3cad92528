//! Message bodies of known compressibility, generated ahead of time: nothing is generated in the hot path.
//!
//! A body is re-derivable: message `sequence` of a producer carries body `sequence % bodies`, and the bodies follow
//! from seed, kind and size alone.

use super::envelope::{Envelope, FULL};
use crate::random::SplitMix64;

/// What bodies are filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BodyKind {
    /// Log-like lines.
    Text,
    /// Incompressible.
    Random,
    /// Random and repeated bytes in such shares that zstd reaches `ratio`.
    Mixed { ratio: f64 },
}

/// The wanted compressibility cannot be had at this size.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "message.compressibility: {wanted} cannot be reached at {size} B (zstd found {found:.2}); choose one within 10 % of that, or larger messages"
)]
pub struct BodyError {
    wanted: f64,
    found: f64,
    size: usize,
}

/// A whole message: room for the envelope, then the body.
pub struct Body(Vec<u8>);

/// A rotating set of messages of one size. Each thread that sends owns one.
pub struct Bodies {
    messages: Vec<Body>,
    ratio: f64,
}

/// Enough different bodies that a compressor's window does not see the same one again too soon, in bytes.
const POOL_BYTES: usize = 1 << 20;
const MOST_BODIES: usize = 1024;

impl Bodies {
    /// Fills a set of messages of `size` bytes. Same arguments, same bytes.
    pub fn generate(kind: BodyKind, size: usize, seed: u64) -> Result<Self, BodyError> {
        let count = (POOL_BYTES / size.max(1)).clamp(1, MOST_BODIES);
        let share = match kind {
            BodyKind::Mixed { ratio } => random_share(ratio, size, seed),
            BodyKind::Text | BodyKind::Random => 1.0,
        };
        let messages: Vec<Body> = (0..count)
            .map(|i| {
                let mut rng = SplitMix64::stream(seed, i as u64);
                let mut message = vec![0; size];
                fill(kind, share, &mut rng, &mut message);
                Body(message)
            })
            .collect();
        let ratio = measured_ratio(&messages);
        match kind {
            BodyKind::Mixed { ratio: wanted } if (ratio / wanted - 1.0).abs() > 0.1 => {
                Err(BodyError { wanted, found: ratio, size })
            }
            _ => Ok(Self { messages, ratio }),
        }
    }

    /// The zstd (level 1) ratio that a batch of these messages reaches, envelopes included.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// The message to send as `envelope`, written in place: valid until the next call that hits the same body.
    #[inline]
    pub fn stamped(&mut self, envelope: &Envelope) -> &[u8] {
        let index = (envelope.sequence % self.messages.len() as u64) as usize;
        let message = &mut self.messages[index].0;
        envelope.write(message);
        message
    }
}

const WORDS: [&str; 32] = [
    "GET",
    "POST",
    "/api/v1/orders",
    "/api/v1/users",
    "status=200",
    "status=404",
    "status=500",
    "INFO",
    "WARN",
    "ERROR",
    "request",
    "completed",
    "in",
    "ms",
    "user",
    "session",
    "timeout",
    "retry",
    "connection",
    "pool",
    "cache",
    "hit",
    "miss",
    "queue",
    "worker",
    "shard",
    "replica",
    "partition",
    "offset",
    "latency",
    "bytes",
    "region=eu-west-1",
];

fn fill(kind: BodyKind, random_share: f64, rng: &mut SplitMix64, message: &mut [u8]) {
    match kind {
        BodyKind::Random => rng.fill(message),
        BodyKind::Text => {
            let mut at = 0;
            while at < message.len() {
                let draw = rng.next_u64();
                let number;
                let word = if draw & 3 == 0 {
                    number = format!("{}", (draw >> 8) % 1_000_000);
                    number.as_str()
                } else {
                    WORDS[(draw >> 8) as usize % WORDS.len()]
                };
                let end = if draw & 0xF0 == 0 { b'\n' } else { b' ' };
                let take = word.len().min(message.len() - at);
                message[at..at + take].copy_from_slice(&word.as_bytes()[..take]);
                at += take;
                if at < message.len() {
                    message[at] = end;
                    at += 1;
                }
            }
        }
        BodyKind::Mixed { .. } => {
            let random = (message.len() as f64 * random_share).round() as usize;
            let (noise, rest) = message.split_at_mut(random.min(message.len()));
            rng.fill(noise);
            rest.fill(b'x');
        }
    }
}

/// The share of random bytes for which zstd reaches `ratio`: found by bisection, since the ratio falls with the share.
fn random_share(ratio: f64, size: usize, seed: u64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..12 {
        let share = (low + high) / 2.0;
        let sample: Vec<Body> = (0..(1 << 18) / size.max(1) + 1)
            .map(|i| {
                let mut message = vec![0; size];
                fill(BodyKind::Mixed { ratio }, share, &mut SplitMix64::stream(seed, i as u64), &mut message);
                Body(message)
            })
            .collect();
        if measured_ratio(&sample) > ratio { low = share } else { high = share }
    }
    (low + high) / 2.0
}

/// zstd level 1 over up to 1 MiB of stamped messages, as a producer's batch would be compressed.
fn measured_ratio(messages: &[Body]) -> f64 {
    let mut batch = Vec::new();
    for (sequence, body) in messages.iter().enumerate() {
        if batch.len() > 1 << 20 {
            break;
        }
        let at = batch.len();
        batch.extend_from_slice(&body.0);
        let planned_ns = sequence as u64 * 100_000;
        if body.0.len() >= FULL {
            Envelope { run: 1, producer: 0, lane: 0, sequence: sequence as u64, planned_ns }.write(&mut batch[at..]);
        }
    }
    match zstd::bulk::compress(&batch, 1) {
        Ok(packed) if !packed.is_empty() => batch.len() as f64 / packed.len() as f64,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_does_not_compress_and_text_does() {
        let random = Bodies::generate(BodyKind::Random, 1024, 1).unwrap().ratio();
        let text = Bodies::generate(BodyKind::Text, 1024, 1).unwrap().ratio();
        assert!((0.95..1.1).contains(&random), "{random}");
        assert!((1.8..12.0).contains(&text), "{text}");
    }

    #[test]
    fn a_declared_ratio_is_reached_or_refused() {
        for wanted in [1.5, 3.0, 6.0] {
            let found = Bodies::generate(BodyKind::Mixed { ratio: wanted }, 1024, 5).unwrap().ratio();
            assert!((found / wanted - 1.0).abs() <= 0.1, "wanted {wanted}, found {found}");
        }
        assert!(Bodies::generate(BodyKind::Mixed { ratio: 500.0 }, 100, 5).is_err());
    }

    #[test]
    fn bodies_are_rederivable() {
        let envelope = Envelope { run: 1, producer: 0, lane: 0, sequence: 5, planned_ns: 0 };
        let mut one = Bodies::generate(BodyKind::Text, 300, 9).unwrap();
        let mut two = Bodies::generate(BodyKind::Text, 300, 9).unwrap();
        assert_eq!(one.stamped(&envelope), two.stamped(&envelope));
    }
}
