//! Keys of the experiment `size-ladder`.

use super::{ExperimentKeys, check, is_kafka};
use crate::model::Codec;
use crate::scenario::cell::{Cell, PayloadKind};
use crate::units::{Bytes, Span};
use crate::yaml::Problem;

const MIB: u64 = 1 << 20;
const SIZES: [u64; 9] =
    [1 << 10, 64 << 10, MIB, 16 * MIB, 64 * MIB, 255 * MIB, 256 * MIB, 512 * MIB, 1_000_000_000];

keys! {
    /// Climbs a ladder of message sizes, and searches each limit by bisection between two rungs:
    /// what arrives intact, who refuses what, at which cost.
    pub struct SizeLadder {
        /// The rungs, from the smallest up. Of `1GB`, Kafka is sent the 999,999,964 B that its
        /// usual client takes at most.
        sizes: Vec<Bytes> = SIZES.map(Bytes).to_vec(),
        /// `text` (lines of a log, compresses well) and `random` (does not compress).
        payloads: Vec<PayloadKind> = vec![PayloadKind::Text, PayloadKind::Random],
        /// `none`, `lz4` and `zstd`. Kafka's client compresses by itself; on Redis the application
        /// does, around the wire.
        codecs: Vec<Codec> = vec![Codec::None, Codec::Lz4, Codec::Zstd],
        /// When set, uncompressed messages are text below this size and random from it on, and
        /// random bytes are not compressed: uncompressed, a broker cannot tell one from the other.
        random_from: Option<Bytes> = None,
        /// How long one message may take, there and back.
        deadline: Span = Span::from_secs(60),
        /// Short messages are repeated for this long, so that a median stands behind their figure.
        repeat: Span = Span::from_millis(500),
        /// Memory that stays free: a rung that would need more than the rest is not tried.
        headroom: Bytes = Bytes(1 << 30),
        /// Kafka: also send what is not compressed by a second, independent client, to tell a
        /// client's limit from the broker's.
        second_client: bool = true,
        /// The smallest rung beside which a stream of small messages is timed.
        bystander_from: Bytes = Bytes(MIB),
    }
}

impl ExperimentKeys for SizeLadder {
    /// Seconds, roughly: every kind of message on every rung, as if none were refused, and a search
    /// for each codec and client.
    fn estimate(&self, cell: &Cell) -> f64 {
        const BYTES_PER_SECOND: f64 = 500e6;
        const AROUND_A_RUNG: f64 = 0.1;
        const A_SEARCH: f64 = 5.0;
        // With `random-from`, each rung has one payload for each codec.
        let payloads = if self.random_from.is_some() { 1 } else { self.payloads.len() };
        let second = is_kafka(cell) && self.second_client && self.codecs.contains(&Codec::None);
        let kinds = payloads * (self.codecs.len() + usize::from(second));
        let rung = |size: &Bytes| {
            self.repeat.secs_f64() + AROUND_A_RUNG + size.0 as f64 / BYTES_PER_SECOND
        };
        let rungs = self.sizes.iter().map(|size| rung(size).min(self.deadline.secs_f64()));
        let searches = self.codecs.len() + usize::from(second);
        kinds as f64 * rungs.sum::<f64>() + searches as f64 * A_SEARCH
    }

    /// Refuses what cannot be climbed.
    fn checked(self) -> Result<Self, Problem> {
        let sizes = !self.sizes.is_empty() && self.sizes.iter().all(|size| size.0 > 0);
        let other = [PayloadKind::Mixed, PayloadKind::File];
        let payloads =
            !self.payloads.is_empty() && !self.payloads.iter().any(|kind| other.contains(kind));
        let known = |codec: &Codec| !matches!(codec, Codec::Snappy | Codec::Gzip);
        let codecs = !self.codecs.is_empty() && self.codecs.iter().all(known);
        let deadline = self.deadline.nanos() > 0;
        check(
            sizes,
            "sizes",
            "a ladder has rungs, and no message is empty",
            "write like `[1KiB, 1MiB]`",
        )?;
        check(
            payloads,
            "payloads",
            "the ladder knows `text` and `random`",
            "write like `[text, random]`",
        )?;
        check(
            codecs,
            "codecs",
            "the ladder knows `none`, `lz4` and `zstd`",
            "write like `[none, lz4]`",
        )?;
        check(
            deadline,
            "deadline",
            "zero leaves no time to arrive",
            "write a duration such as `60s`",
        )?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_climbed_is_refused() {
        let stock = SizeLadder::default;
        assert!(stock().checked().is_ok());
        for (key, keys) in [
            ("sizes", SizeLadder { sizes: vec![], ..stock() }),
            ("sizes", SizeLadder { sizes: vec![Bytes(0)], ..stock() }),
            ("payloads", SizeLadder { payloads: vec![PayloadKind::Mixed], ..stock() }),
            ("codecs", SizeLadder { codecs: vec![Codec::Gzip], ..stock() }),
            ("deadline", SizeLadder { deadline: Span(0), ..stock() }),
        ] {
            assert_eq!(keys.checked().unwrap_err().key(), key);
        }
    }
}
