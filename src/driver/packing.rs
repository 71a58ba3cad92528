//! Messages that are compressed one by one around a client that has no compression of its own, as
//! an application would: before they are handed over, and after they were received.
//!
//! LZ4 as a block, Zstandard as a frame at librdkafka's level, with contexts that are kept. Kafka's
//! client compresses whole batches: that a message alone packs worse is the systems' difference,
//! not ours. What does not unpack to a message of the load's size is handed on as it came, and the
//! books find it corrupt or foreign.

use super::codec::ZSTD_LEVEL;
use super::{Completion, DriverError, Incoming, Outgoing, Publisher, Submitted, Subscriber};
use crate::model::Codec;
use crate::scenario::Cell;
use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};
use std::collections::BTreeMap;
use std::io;
use zstd::bulk::{Compressor, Decompressor};

enum Packer {
    Lz4(CompressTable),
    Zstd(Compressor<'static>),
}

/// That a codec has no memory for its context.
fn failed(cell: &Cell) -> impl Fn(io::Error) -> DriverError {
    let (system, action) = (cell.config.system, cell.message.codec.name());
    move |cause| DriverError::Refused { system, action: action.into(), cause: cause.to_string() }
}

impl Packer {
    fn of(cell: &Cell) -> Result<Option<Self>, DriverError> {
        let zstd = || Compressor::new(ZSTD_LEVEL).map_err(failed(cell));
        Ok(match cell.message.codec {
            Codec::Lz4 => Some(Self::Lz4(CompressTable::default())),
            Codec::Zstd => Some(Self::Zstd(zstd()?)),
            // None, and those that are Kafka's alone here: no scenario asks anybody else for them.
            Codec::None | Codec::Snappy | Codec::Gzip => None,
        })
    }

    /// Into `packed`; how many bytes that are.
    fn pack(&mut self, payload: &[u8], packed: &mut Vec<u8>) -> io::Result<usize> {
        let room = match self {
            Self::Lz4(_) => get_maximum_output_size(payload.len()),
            Self::Zstd(_) => zstd::zstd_safe::compress_bound(payload.len()),
        };
        if packed.len() < room {
            packed.resize(room, 0);
        }
        match self {
            Self::Lz4(table) => {
                compress_into_with_table(payload, packed, table).map_err(io::Error::other)
            }
            Self::Zstd(compressor) => compressor.compress_to_buffer(payload, &mut packed[..]),
        }
    }
}

enum Unpacker {
    Lz4,
    Zstd(Decompressor<'static>),
}

/// Unpacks messages of a size that is known.
pub struct Unpacking {
    unpacker: Option<Unpacker>,
    payload: Vec<u8>,
}

impl Unpacking {
    /// Of nothing where the codec is none.
    pub fn of(cell: &Cell) -> Result<Self, DriverError> {
        let unpacker = match cell.message.codec {
            Codec::Lz4 => Some(Unpacker::Lz4),
            Codec::Zstd => Some(Unpacker::Zstd(Decompressor::new().map_err(failed(cell))?)),
            Codec::None | Codec::Snappy | Codec::Gzip => None,
        };
        let room = if unpacker.is_some() { cell.message.size.0 } else { 0 };
        Ok(Self { unpacker, payload: vec![0; room as usize] })
    }

    /// The message, or what came where it is none.
    #[inline]
    pub fn unpack<'a>(&'a mut self, packed: &'a [u8]) -> &'a [u8] {
        let length = match &mut self.unpacker {
            None => return packed,
            Some(Unpacker::Lz4) => decompress_into(packed, &mut self.payload).ok(),
            Some(Unpacker::Zstd(decompressor)) => {
                decompressor.decompress_to_buffer(packed, &mut self.payload[..]).ok()
            }
        };
        length.and_then(|length| self.payload.get(..length)).unwrap_or(packed)
    }
}

struct PackingPublisher {
    inner: Box<dyn Publisher>,
    packer: Packer,
    packed: Vec<u8>,
}

impl Publisher for PackingPublisher {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        // A buffer of the bound's size always holds it; what could not be packed goes as it is, and
        // is no message of the load to whoever unpacks it.
        let length = self.packer.pack(message.payload, &mut self.packed);
        let packed = length.ok().and_then(|length| self.packed.get(..length));
        self.inner.submit(Outgoing { payload: packed.unwrap_or(message.payload), ..message })
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        self.inner.flush()
    }

    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        self.inner.wait(until_ns, completions)
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        self.inner.failures()
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        self.inner.retries()
    }
}

struct UnpackingSubscriber {
    inner: Box<dyn Subscriber>,
    unpacking: Unpacking,
}

impl Subscriber for UnpackingSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let Self { inner, unpacking } = self;
        inner.receive(until_ns, &mut |packed| {
            sink(Incoming { payload: unpacking.unpack(packed.payload), ..packed });
        })
    }

    fn abandon(self: Box<Self>) {
        self.inner.abandon();
    }

    fn close(&mut self) -> Result<(), DriverError> {
        self.inner.close()
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        self.inner.retries()
    }
}

/// A publisher that packs what it sends; itself where there is no codec.
pub fn packing(cell: &Cell, inner: Box<dyn Publisher>) -> Result<Box<dyn Publisher>, DriverError> {
    Ok(match Packer::of(cell)? {
        Some(packer) => Box::new(PackingPublisher { inner, packer, packed: Vec::new() }),
        None => inner,
    })
}

/// A subscriber that unpacks what it receives; itself where there is no codec.
pub fn unpacking(
    cell: &Cell,
    inner: Box<dyn Subscriber>,
) -> Result<Box<dyn Subscriber>, DriverError> {
    let unpacking = Unpacking::of(cell)?;
    Ok(match unpacking.unpacker {
        Some(_) => Box::new(UnpackingSubscriber { inner, unpacking }),
        None => inner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::scenario::{Load, Message};

    #[test]
    fn what_is_packed_unpacks_and_everything_else_is_handed_on_as_it_came() {
        let line = b"GET /index.html 200 GET /index.html 200 GET /index.html 304".repeat(8);
        let cell = |codec| {
            let message = Message { codec, ..Message::random(line.len() as u64) };
            Cell { message, ..Cell::plain(System::RedisLists, Load::closed(1)) }
        };
        for codec in [Codec::Lz4, Codec::Zstd] {
            let mut packer = Packer::of(&cell(codec)).unwrap().unwrap();
            let (mut packed, mut unpacking) = (Vec::new(), Unpacking::of(&cell(codec)).unwrap());
            // Twice: contexts and buffers are kept.
            for payload in [&line[..], &line[..100], &line[..]] {
                let length = packer.pack(payload, &mut packed).unwrap();
                assert!(length < payload.len(), "{codec}: {length}");
                assert_eq!(unpacking.unpack(&packed[..length]), payload, "{codec}");
            }
            for foreign in [&b"brokerbench probe"[..], b"", &[0xff; 9]] {
                let found = unpacking.unpack(foreign);
                assert!(found == foreign || found.is_empty(), "{codec}: {found:?}");
            }
            let longer = [&line[..], &line[..]].concat();
            let length = packer.pack(&longer, &mut packed).unwrap();
            assert_eq!(unpacking.unpack(&packed[..length]), &packed[..length], "{codec}: too long");
        }
        let none = cell(Codec::None);
        assert!(Packer::of(&none).unwrap().is_none());
        assert_eq!(Unpacking::of(&none).unwrap().unpack(b"as it is"), b"as it is");
    }
}
