//! Finds our messages in a stream of protocol bytes and flips one bit in the body of every n-th.
//!
//! It knows nothing of the protocol around them: the mark of the envelope tells where a message
//! begins and the envelope how long it is. Protocol bytes are never changed, else the fault would
//! be a broken connection and not a damaged message.

use crate::payload::{FULL, LENGTH_AT, MARK};
use crate::random::SplitMix64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the length ends: what must be read of an envelope to know the message.
const KNOWN: usize = LENGTH_AT + 4;
/// Of a message without a body the planned time or the checksum is hit: it stays ours, and is seen
/// to be damaged.
const NO_BODY: usize = FULL - 12;

/// Which messages are hit; shared by all connections of one direction.
#[derive(Debug)]
pub(super) struct Flips {
    every: u64,
    seed: u64,
    seen: AtomicU64,
}

impl Flips {
    pub fn new(every: u64, seed: u64) -> Self {
        Self { every: every.max(1), seed, seen: AtomicU64::new(0) }
    }

    /// Counts a message; a random number when it is to be hit.
    fn next(&self) -> Option<u64> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        number.is_multiple_of(self.every).then(|| SplitMix64::stream(self.seed, number).next_u64())
    }
}

/// Where one stream of bytes stands: chunks end anywhere.
#[derive(Debug, Default)]
pub(super) struct Flipper {
    at: FlipState,
}

#[derive(Clone, Copy, Debug)]
enum FlipState {
    /// Between messages, or in one that is left alone; the last bytes seen, newest highest.
    Seeking(u64),
    /// In the envelope of a message that is to be hit, so many bytes into it.
    Envelope { seen: usize, length: u32, random: u64 },
    /// So many bytes before the one that is hit.
    Waiting { left: u64, bit: u8 },
}

impl Default for FlipState {
    fn default() -> Self {
        Self::Seeking(0)
    }
}

impl Flipper {
    /// Sees the next bytes of the stream and flips what is due in them; how many bits that were.
    pub fn pass(&mut self, bytes: &mut [u8], flips: &Flips) -> u64 {
        let mut mark = [0; 8];
        mark[..MARK.len()].copy_from_slice(&MARK);
        let mark = u64::from_le_bytes(mark);
        let (mut at, mut flipped) = (0, 0);
        while at < bytes.len() {
            let byte = bytes[at];
            self.at = match self.at {
                FlipState::Seeking(window) => {
                    at += 1;
                    let window = window >> 8 | u64::from(byte) << (8 * (MARK.len() - 1));
                    match (window == mark).then(|| flips.next()).flatten() {
                        Some(random) => FlipState::Envelope { seen: MARK.len(), length: 0, random },
                        None => FlipState::Seeking(window),
                    }
                }
                FlipState::Envelope { seen, length, random } => {
                    at += 1;
                    let length =
                        if seen < LENGTH_AT { 0 } else { length >> 8 | u32::from(byte) << 24 };
                    match seen + 1 {
                        KNOWN => target(length as usize, random),
                        seen => FlipState::Envelope { seen, length, random },
                    }
                }
                FlipState::Waiting { left: 0, bit } => {
                    bytes[at] ^= 1 << bit;
                    at += 1;
                    flipped += 1;
                    FlipState::default()
                }
                FlipState::Waiting { left, bit } => {
                    let step = left.min((bytes.len() - at) as u64);
                    at += step as usize;
                    FlipState::Waiting { left: left - step, bit }
                }
            };
        }
        flipped
    }
}

/// The bit to hit in a message of `length` bytes, seen from the end of its length field.
fn target(length: usize, random: u64) -> FlipState {
    let body = if length > FULL { FULL..length } else { NO_BODY..FULL };
    let byte = body.start as u64 + (random >> 3) % body.len() as u64;
    FlipState::Waiting { left: byte - KNOWN as u64, bit: (random & 7) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Envelope, Reading, read};
    use proptest::prelude::*;

    const RUN: u64 = 77;
    /// Looks like a mark that is about to come.
    const FRAME: &[u8] = b"\r\n$200\r\nBBE";

    fn stream(messages: u64, size: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for sequence in 0..messages {
            let mut message = vec![0x42; size];
            Envelope { run: RUN, producer: 1, lane: 0, sequence, planned_ns: 5 }
                .write(&mut message);
            all.extend_from_slice(FRAME);
            all.extend_from_slice(&message);
        }
        all
    }

    fn pass(bytes: &[u8], chunk: usize, flips: &Flips) -> (Vec<u8>, u64) {
        let (mut bytes, mut flipper) = (bytes.to_vec(), Flipper::default());
        let flipped = bytes.chunks_mut(chunk).map(|chunk| flipper.pass(chunk, flips)).sum();
        (bytes, flipped)
    }

    proptest! {
        #[test]
        fn every_nth_message_is_hit_once_however_the_stream_is_cut(
            size in FULL..300usize, every in 1..7u64, chunk in 1..400usize, seed: u64,
        ) {
            let clean = stream(20, size);
            let (hit, flipped) = pass(&clean, chunk, &Flips::new(every, seed));
            prop_assert_eq!(flipped, 20 / every);
            prop_assert_eq!(&hit, &pass(&clean, clean.len(), &Flips::new(every, seed)).0);
            for (n, part) in hit.chunks(FRAME.len() + size).enumerate() {
                let (frame, message) = part.split_at(FRAME.len());
                prop_assert_eq!(frame, FRAME);
                let due = (n as u64 + 1).is_multiple_of(every);
                prop_assert_eq!(read(message, RUN, size) == Reading::Corrupt, due, "message {}", n);
                let before = &clean[n * part.len() + FRAME.len()..][..size];
                let bits: u32 = message.iter().zip(before).map(|(a, b)| (a ^ b).count_ones()).sum();
                prop_assert_eq!(bits, u32::from(due));
            }
        }

        #[test]
        fn other_bytes_pass_unchanged(bytes: Vec<u8>) {
            prop_assert_eq!(pass(&bytes, 7, &Flips::new(1, 1)), (bytes.clone(), 0));
        }
    }

    #[test]
    fn the_seed_decides_the_place() {
        let clean = stream(10, 200);
        let hit = |seed| pass(&clean, 64, &Flips::new(1, seed)).0;
        assert_eq!(hit(1), hit(1));
        assert_ne!(hit(1), hit(2));
    }
}
