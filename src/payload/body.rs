//! Message bodies of known compressibility, generated ahead of time: nothing is generated in the
//! hot path.
//!
//! A body is re-derivable: message `sequence` of a lane carries body `sequence % bodies` (of
//! several sizes: some way further on each lane), and the bodies follow from seed, kind and sizes
//! alone.

use super::envelope::{Envelope, FULL};
use super::lines::Lines;
use super::sizes::Sizes;
use crate::random::SplitMix64;
use std::io::Write;
use std::sync::Arc;

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
    "message.compressibility: {wanted} cannot be reached at {size} B (zstd found {found:.2}); \
    choose one within 10 % of that, or larger messages"
)]
pub struct BodyError {
    wanted: f64,
    found: f64,
    size: usize,
}

/// A rotating set of messages. Each thread that sends owns one.
pub struct Bodies {
    made: MessageSet,
    /// How far the set is turned from one lane to the next, so that lanes which are sent side by
    /// side do not all have their large messages at once.
    turn: u64,
    ratio: f64,
}

enum MessageSet {
    /// Whole ones: room for the envelope, then the body.
    Generated(Vec<Vec<u8>>),
    /// A file's, and room for one of them behind its envelope.
    Lines { lines: Arc<Lines>, first: u64, whole: Vec<u8> },
}

/// Enough different bodies that a compressor's window does not see
/// the same one again too soon, in bytes.
const POOL_BYTES: usize = 1 << 20;
const MOST_BODIES: usize = 1024;
/// Has no divisor in common with a round of sizes.
const TURN: u64 = 389;

impl Bodies {
    /// Fills a set of messages of `size` bytes. Same arguments, same bytes.
    pub fn generate(kind: BodyKind, size: usize, seed: u64) -> Result<Self, BodyError> {
        let count = (POOL_BYTES / size.max(1)).clamp(1, MOST_BODIES);
        Self::of(kind, &vec![size; count], seed)
    }

    /// As [`Bodies::generate`], of a round of sizes.
    pub fn mixed(kind: BodyKind, sizes: &Sizes, seed: u64) -> Result<Self, BodyError> {
        Ok(Self { turn: TURN, ..Self::of(kind, &sizes.round(seed), seed)? })
    }

    /// The lines of a file in their order, from one on that the seed chooses.
    pub fn lines(lines: Arc<Lines>, seed: u64) -> Self {
        let first = SplitMix64::new(seed).next_u64() % lines.count();
        let some: Vec<Vec<u8>> =
            (0..lines.count().min(MOST_BODIES as u64)).map(|at| lines.at(at).to_vec()).collect();
        let ratio = measured_ratio(&some);
        Self { made: MessageSet::Lines { lines, first, whole: Vec::new() }, turn: TURN, ratio }
    }

    fn of(kind: BodyKind, sizes: &[usize], seed: u64) -> Result<Self, BodyError> {
        let share = match kind {
            BodyKind::Mixed { ratio } => random_share(ratio, sizes, seed),
            BodyKind::Text | BodyKind::Random => 1.0,
        };
        let messages = filled(kind, share, sizes.iter().copied(), seed);
        let ratio = measured_ratio(&messages);
        match kind {
            BodyKind::Mixed { ratio: wanted } if (ratio / wanted - 1.0).abs() > 0.1 => {
                Err(BodyError { wanted, found: ratio, size: mean(sizes) })
            }
            _ => Ok(Self { made: MessageSet::Generated(messages), turn: 0, ratio }),
        }
    }

    /// The zstd (level 1) ratio that a batch of these messages reaches, envelopes included.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// The message to send as `envelope`, written in place: valid until the next call that hits the
    /// same body.
    #[inline]
    pub fn stamped(&mut self, envelope: &Envelope) -> &[u8] {
        let place = envelope.sequence + u64::from(envelope.lane) * self.turn;
        let message = match &mut self.made {
            MessageSet::Generated(messages) => {
                let index = (place % messages.len() as u64) as usize;
                &mut messages[index]
            }
            MessageSet::Lines { lines, first, whole } => {
                let line = lines.at(*first + place);
                whole.resize(FULL + line.len(), 0);
                whole[FULL..].copy_from_slice(line);
                whole
            }
        };
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

/// Messages of these sizes, each from a stream of random numbers of its own.
fn filled(
    kind: BodyKind,
    random_share: f64,
    sizes: impl Iterator<Item = usize>,
    seed: u64,
) -> Vec<Vec<u8>> {
    let message = |(size, number)| {
        let mut message = vec![0; size];
        fill(kind, random_share, &mut SplitMix64::stream(seed, number), &mut message);
        message
    };
    sizes.zip(0..).map(message).collect()
}

fn mean(sizes: &[usize]) -> usize {
    sizes.iter().sum::<usize>() / sizes.len().max(1)
}

fn fill(kind: BodyKind, random_share: f64, rng: &mut SplitMix64, message: &mut [u8]) {
    match kind {
        BodyKind::Random => rng.fill(message),
        BodyKind::Text => {
            let mut rest = message;
            while !rest.is_empty() {
                let draw = rng.next_u64();
                let end = if draw & 0xF0 == 0 { '\n' } else { ' ' };
                // Writes as much as there is room for.
                let _ = match draw & 3 {
                    0 => write!(rest, "{}{end}", (draw >> 8) % 1_000_000),
                    _ => write!(rest, "{}{end}", WORDS[(draw >> 8) as usize % WORDS.len()]),
                };
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

/// The share of random bytes for which zstd reaches `ratio`: found by bisection, since the ratio
/// falls with the share.
fn random_share(ratio: f64, sizes: &[usize], seed: u64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    let count = (1 << 18) / mean(sizes).max(1) + 1;
    for _ in 0..12 {
        let share = (low + high) / 2.0;
        let sizes = sizes.iter().copied().cycle().take(count);
        let sample = filled(BodyKind::Mixed { ratio }, share, sizes, seed);
        if measured_ratio(&sample) > ratio { low = share } else { high = share }
    }
    (low + high) / 2.0
}

/// zstd level 1 over up to 1 MiB of stamped messages, as a producer's batch would be compressed.
fn measured_ratio(messages: &[Vec<u8>]) -> f64 {
    let mut batch = Vec::new();
    for (sequence, body) in messages.iter().enumerate() {
        if batch.len() > 1 << 20 {
            break;
        }
        let at = batch.len();
        batch.extend_from_slice(body);
        let planned_ns = sequence as u64 * 100_000;
        if body.len() >= FULL {
            Envelope { run: 1, producer: 0, lane: 0, sequence: sequence as u64, planned_ns }
                .write(&mut batch[at..]);
        }
    }
    match zstd::bulk::compress(&batch, 1) {
        Ok(packed) if !packed.is_empty() => batch.len() as f64 / packed.len() as f64,
        _ => 1.0,
    }
}

/// Text repeats after this much, beyond what the window of a compressor at its usual level sees.
const BLOCK: usize = 4 << 20;
/// Each of these pieces carries its own number, so that a misplaced one shows.
const PIECE: usize = 64 << 10;

/// One value of the size ladder, of up to gigabytes, made in little more time than it takes to
/// write it: `size` bytes of text or random bytes; `Mixed` is no kind of this ladder and comes as
/// random. Text is lines of a log, far more regular than the bodies above: a service logs few kinds
/// of line, and so many of them compress by ten and more.
pub fn large(kind: BodyKind, size: usize, seed: u64) -> Vec<u8> {
    if kind != BodyKind::Text {
        let mut payload = vec![0; size];
        SplitMix64::new(seed).fill(&mut payload);
        return payload;
    }
    let block = lines(size.min(BLOCK), seed);
    let mut payload = Vec::with_capacity(size);
    while payload.len() < size {
        payload.extend_from_slice(&block[..block.len().min(size - payload.len())]);
    }
    for (number, piece) in payload.chunks_mut(PIECE).enumerate().skip(1) {
        let label = format!("piece {number:016x} ");
        let length = label.len().min(piece.len());
        piece[..length].copy_from_slice(&label.as_bytes()[..length]);
    }
    payload
}

fn lines(size: usize, seed: u64) -> Vec<u8> {
    const KINDS: [(&str, &str, u64); 4] = [
        ("GET", "/api/v1/orders", 200),
        ("GET", "/api/v1/users", 200),
        ("POST", "/api/v1/orders", 201),
        ("GET", "/api/v1/cart", 404),
    ];
    let (mut rng, mut text, mut number) =
        (SplitMix64::new(seed), Vec::with_capacity(size + 256), 0u64);
    while text.len() < size {
        let draw = rng.next_u64();
        // The first kinds are much more frequent than the last.
        let (method, path, status) =
            KINDS[(draw.trailing_zeros() as usize / 2).min(KINDS.len() - 1)];
        let (second, micros) = (number / 1000 % 60, number % 1000 * 1000);
        let (worker, millis) = (draw >> 32 & 3, draw >> 40 & 63);
        // Writing to memory cannot fail.
        let _ = writeln!(
            text,
            "2026-11-22T12:00:{second:02}.{micros:06}Z \
             INFO  [orders-service,region=eu-west-1,zone=a] worker-{worker} request completed \
             method={method} path={path} status={status} protocol=HTTP/1.1 cache=hit retries=0 \
             user-agent=mobile-app/4.12 duration_ms={millis} request={number:08}"
        );
        number += 1;
    }
    text.truncate(size);
    text
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
            let found =
                Bodies::generate(BodyKind::Mixed { ratio: wanted }, 1024, 5).unwrap().ratio();
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

    #[test]
    fn a_mix_of_sizes_comes_round_on_every_lane_at_its_own_time() {
        let sizes: Sizes = "90% 100B + 10% 1KiB".parse().unwrap();
        let mut bodies = Bodies::mixed(BodyKind::Random, &sizes, 3).unwrap();
        let mut round = |lane| -> Vec<usize> {
            let envelope =
                |sequence| Envelope { run: 1, producer: 0, lane, sequence, planned_ns: 0 };
            (0..1000).map(|sequence| bodies.stamped(&envelope(sequence)).len()).collect()
        };
        let (first, second) = (round(0), round(1));
        assert_eq!(first, sizes.round(3));
        assert_ne!(first, second);
        for found in [first, second] {
            assert_eq!(found.iter().filter(|size| **size == 1024).count(), 100);
        }
    }

    #[test]
    fn lines_of_a_file_stand_behind_their_envelopes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, "first line\nsecond\n").unwrap();
        let lines = Arc::new(Lines::read(&path).unwrap());
        let mut bodies = Bodies::lines(lines.clone(), 1);
        let mut found = Vec::new();
        for sequence in 0..4 {
            let envelope = Envelope { run: 3, producer: 0, lane: 0, sequence, planned_ns: 1 };
            let message = bodies.stamped(&envelope);
            assert_eq!(super::super::read(message, 3, 5000), super::super::Reading::Ours(envelope));
            found.push(message[FULL..].to_vec());
        }
        assert_eq!((&found[0], &found[1]), (&found[2], &found[3]), "they come round");
        found.sort();
        assert_eq!([&found[0][..], &found[2][..]], [&b"first line"[..], b"second"]);
    }

    #[test]
    fn text_compresses_as_logs_do_and_random_does_not() {
        let size = 9 << 20;
        let packed = |kind| zstd::bulk::compress(&large(kind, size, 1), 3).unwrap().len();
        let text = size as f64 / packed(BodyKind::Text) as f64;
        assert!((8.0..80.0).contains(&text), "{text}");
        assert!(packed(BodyKind::Random) >= size);
    }

    #[test]
    fn sizes_are_exact_pieces_differ_and_the_seed_decides() {
        for size in [0, 1, 100, PIECE + 3, BLOCK, 2 * BLOCK + 1] {
            for kind in [BodyKind::Text, BodyKind::Random] {
                let payload = large(kind, size, 7);
                assert_eq!(payload.len(), size);
                assert_eq!(payload, large(kind, size, 7));
                assert!(size <= 100 || payload != large(kind, size, 8));
            }
        }
        let text = large(BodyKind::Text, 2 * BLOCK, 7);
        let mut pieces: Vec<&[u8]> = text.chunks(PIECE).collect();
        pieces.sort_unstable();
        pieces.dedup();
        assert_eq!(pieces.len(), 2 * BLOCK / PIECE);
    }
}
