//! The envelope in front of every message: who sent it, which one it is, when it was due, and a
//! checksum of it all.
//!
//! Layout, little-endian, [`FULL`] bytes: magic u32 · version u8 · reserved u8 · producer u16 ·
//! lane u16 · reserved u16 · length u32 · run u64 · sequence u64 · planned u64 · CRC-32C u32 over
//! everything else, body included. Messages too small for it carry a compact one, [`COMPACT`]
//! bytes: producer u16 · lane u16 · sequence u64. That has no run, no planned time and no checksum:
//! such messages are counted and ordered, but not timed end to end.

/// Bytes of the full envelope.
pub const FULL: usize = 44;
/// Bytes of the compact envelope; the smallest message there is.
pub const COMPACT: usize = 12;

/// The first bytes of every full envelope: how a message of ours is found
/// in a stream of protocol bytes.
pub const MARK: [u8; 6] = {
    let magic = MAGIC.to_le_bytes();
    [magic[0], magic[1], magic[2], magic[3], VERSION, 0]
};
/// Where the full envelope has the length of the whole message, u32.
pub const LENGTH_AT: usize = 12;

const MAGIC: u32 = 0x3145_4242;
const VERSION: u8 = 1;
const CRC_AT: usize = 40;

/// What identifies a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Identity of the run and cell; messages of another are foreign. 0 in a compact envelope.
    pub run: u64,
    pub producer: u16,
    /// (connection, stream) of that producer; sequences count per lane.
    pub lane: u16,
    pub sequence: u64,
    /// Intended send time, ns since the run's epoch; in the closed model the time of sending. 0 in
    /// a compact one.
    pub planned_ns: u64,
}

/// What a received message turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Ours(Envelope),
    /// Ours by its magic and run, but damaged.
    Corrupt,
    /// Of another run, or not from brokerbench at all.
    Foreign,
}

impl Envelope {
    /// Writes the envelope over the front of `message`,
    /// which is the whole message with its body in place.
    ///
    /// `message` must hold at least [`COMPACT`] bytes, which scenarios guarantee; a shorter one is
    /// left alone.
    #[inline]
    pub fn write(&self, message: &mut [u8]) {
        if message.len() < FULL {
            if message.len() >= COMPACT {
                message[0..2].copy_from_slice(&self.producer.to_le_bytes());
                message[2..4].copy_from_slice(&self.lane.to_le_bytes());
                message[4..12].copy_from_slice(&self.sequence.to_le_bytes());
            }
            return;
        }
        let length = message.len() as u32;
        let (head, body) = message.split_at_mut(FULL);
        head[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        head[4] = VERSION;
        head[5] = 0;
        head[6..8].copy_from_slice(&self.producer.to_le_bytes());
        head[8..10].copy_from_slice(&self.lane.to_le_bytes());
        head[10..12].copy_from_slice(&[0, 0]);
        head[LENGTH_AT..16].copy_from_slice(&length.to_le_bytes());
        head[16..24].copy_from_slice(&self.run.to_le_bytes());
        head[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        head[32..40].copy_from_slice(&self.planned_ns.to_le_bytes());
        let crc = checksum(head, body);
        head[CRC_AT..FULL].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Checks and reads a received message. `size` is that of every message of this cell, in bytes, or
/// of the largest: how long a message is says its envelope.
#[inline]
pub fn read(message: &[u8], run: u64, size: usize) -> Reading {
    if size < FULL {
        return read_compact(message, size);
    }
    if message.len() < FULL || u32_at(message, 0) != MAGIC || u64_at(message, 16) != run {
        return Reading::Foreign;
    }
    let (head, body) = message.split_at(FULL);
    let length = u32_at(head, LENGTH_AT) as usize;
    let whole = head[4] == VERSION && message.len() == length && length <= size;
    if !whole || checksum(head, body) != u32_at(head, CRC_AT) {
        return Reading::Corrupt;
    }
    Reading::Ours(Envelope {
        run,
        producer: u16_at(head, 6),
        lane: u16_at(head, 8),
        sequence: u64_at(head, 24),
        planned_ns: u64_at(head, 32),
    })
}

fn read_compact(message: &[u8], size: usize) -> Reading {
    if message.len() != size || size < COMPACT {
        return Reading::Foreign;
    }
    Reading::Ours(Envelope {
        run: 0,
        producer: u16_at(message, 0),
        lane: u16_at(message, 2),
        sequence: u64_at(message, 4),
        planned_ns: 0,
    })
}

#[inline]
fn checksum(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..CRC_AT]), body)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(run: u64) -> Envelope {
        Envelope { run, producer: 3, lane: 7, sequence: 1 << 40, planned_ns: 123_456_789 }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(size in FULL..5000usize, run: u64) {
            let mut message = vec![0x5A; size];
            sample(run).write(&mut message);
            prop_assert_eq!(read(&message, run, size), Reading::Ours(sample(run)));
            prop_assert_eq!(read(&message, run.wrapping_add(1), size), Reading::Foreign);
        }

        #[test]
        fn no_single_bit_flips_unseen(at in 0..200usize, bit in 0..8u8) {
            let mut message = vec![0x5A; 200];
            sample(9).write(&mut message);
            message[at] ^= 1 << bit;
            prop_assert!(!matches!(read(&message, 9, 200), Reading::Ours(_)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, size in 0..300usize) {
            let _ = read(&bytes, 1, size);
        }
    }

    #[test]
    fn a_message_is_as_long_as_its_envelope_says() {
        let mut message = vec![1; 100];
        sample(9).write(&mut message);
        assert_eq!(read(&message, 9, 5000), Reading::Ours(sample(9)), "one of several sizes");
        assert_eq!(read(&message, 9, 99), Reading::Corrupt, "none of them is so large");
        message.push(1);
        assert_eq!(read(&message, 9, 5000), Reading::Corrupt);
    }

    #[test]
    fn truncation_is_corruption() {
        let mut message = vec![1; 100];
        sample(9).write(&mut message);
        assert_eq!(read(&message[..99], 9, 100), Reading::Corrupt);
    }

    #[test]
    fn small_messages_carry_who_and_which() {
        let mut message = [0; 20];
        sample(9).write(&mut message);
        assert_eq!(
            read(&message, 9, 20),
            Reading::Ours(Envelope { run: 0, planned_ns: 0, ..sample(9) })
        );
    }
}
