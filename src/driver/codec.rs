//! The codecs of Kafka's client for messages of systems that have none: what an application does
//! around its client.
//!
//! Frame formats of LZ4 and Zstandard, levels as librdkafka has them by default. Unpacking never
//! stores what it unpacks.

use super::large::{LargeRefusal, PayloadComparison, Who};
use crate::model::Codec;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use std::io::{self, Read, Write};

/// librdkafka's default.
pub(super) const ZSTD_LEVEL: i32 = 3;
const PIECE: usize = 1 << 20;

/// Compresses `payload`; `None` for codec `none`, which leaves it as it is.
pub fn pack(codec: Codec, payload: &[u8]) -> io::Result<Option<Vec<u8>>> {
    if codec == Codec::None {
        return Ok(None);
    }
    let mut packed = Vec::new();
    write(codec, payload, &mut packed)?;
    packed.shrink_to_fit();
    Ok(Some(packed))
}

/// How large `payload` becomes.
pub fn packed_len(codec: Codec, payload: &[u8]) -> io::Result<u64> {
    struct Count(u64);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    write(codec, payload, &mut count)?;
    Ok(count.0)
}

fn write(codec: Codec, payload: &[u8], sink: &mut impl Write) -> io::Result<()> {
    match codec {
        Codec::None => sink.write_all(payload),
        Codec::Lz4 => {
            let mut encoder = FrameEncoder::new(sink);
            encoder.write_all(payload)?;
            encoder.finish().map(drop).map_err(io::Error::other)
        }
        Codec::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(sink, ZSTD_LEVEL)?;
            encoder.set_pledged_src_size(Some(payload.len() as u64))?;
            encoder.write_all(payload)?;
            encoder.finish().map(drop)
        }
        Codec::Snappy | Codec::Gzip => {
            Err(io::Error::other(format!("{} is Kafka's alone here", codec.name())))
        }
    }
}

/// Unpacks what arrived and compares it with `payload`.
pub fn unpack_and_compare(codec: Codec, packed: &[u8], payload: &[u8]) -> Result<(), LargeRefusal> {
    let failed = |error: io::Error| {
        LargeRefusal::new(Who::Consumer, format!("unpacking {}: {error}", codec.name()))
    };
    let mut source: Box<dyn Read + '_> = match codec {
        Codec::Lz4 => Box::new(FrameDecoder::new(packed)),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::new(packed).map_err(failed)?),
        _ => Box::new(packed),
    };
    let (mut comparison, mut piece) = (PayloadComparison::new(payload), vec![0; PIECE]);
    loop {
        match source.read(&mut piece).map_err(failed)? {
            0 => return comparison.end(),
            read => comparison.take(&piece[..read])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unpacks_to_the_same_bytes_or_is_told() {
        let payload = b"a line of a log that comes again and again\n".repeat(100_000);
        for codec in [Codec::Lz4, Codec::Zstd] {
            let mut packed = pack(codec, &payload).unwrap().unwrap();
            assert!(packed.len() < payload.len() / 10, "{codec:?}: {}", packed.len());
            assert_eq!(packed_len(codec, &payload).unwrap(), packed.len() as u64);
            unpack_and_compare(codec, &packed, &payload).unwrap();
            let longer = [&payload[..], b"x"].concat();
            assert!(unpack_and_compare(codec, &packed, &longer).is_err());
            assert!(unpack_and_compare(codec, &packed, &payload[1..]).is_err());
            let middle = packed.len() / 2;
            packed[middle] ^= 0xff;
            assert!(unpack_and_compare(codec, &packed, &payload).is_err(), "{codec:?}");
        }
        assert_eq!(pack(Codec::None, &payload).unwrap(), None);
        assert!(pack(Codec::Gzip, &payload).is_err());
    }
}
