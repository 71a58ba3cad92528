//! Keys of the experiment `size-ladder`.

use crate::scenario::cell::{Codec, PayloadKind};
use crate::units::{Bytes, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Climbs a ladder of message sizes: what arrives intact, who refuses what, at which cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SizeLadder {
    /// The rungs, from the smallest up. Of `1GB`, Kafka is sent the 999,999,964 B that its usual client takes at most.
    pub sizes: Vec<Bytes>,
    /// `text` (lines of a log, compresses well) and `random` (does not compress).
    pub payloads: Vec<PayloadKind>,
    /// `none`, `lz4` and `zstd`. Kafka's client compresses by itself; on Redis the application does, around the wire.
    pub codecs: Vec<Codec>,
    /// When set, uncompressed messages are text below this size and random from it on, and random bytes are not
    /// compressed: uncompressed, a broker cannot tell one from the other.
    pub random_from: Option<Bytes>,
    /// How long one message may take, there and back.
    pub deadline: Span,
    /// Short messages are repeated for this long, so that a median stands behind their figure.
    pub repeat: Span,
    /// Memory that stays free: a rung that would need more than the rest is not tried.
    pub headroom: Bytes,
    /// Kafka: also send what is not compressed by a second, independent client, to tell a client's limit from the
    /// broker's.
    pub second_client: bool,
    /// The smallest rung beside which a stream of small messages is timed.
    pub bystander_from: Bytes,
}

impl Default for SizeLadder {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        let sizes = [1 << 10, 64 << 10, MIB, 16 * MIB, 64 * MIB, 255 * MIB, 256 * MIB, 512 * MIB, 1_000_000_000];
        Self {
            sizes: sizes.map(Bytes).to_vec(),
            payloads: vec![PayloadKind::Text, PayloadKind::Random],
            codecs: vec![Codec::None, Codec::Lz4, Codec::Zstd],
            random_from: None,
            deadline: Span::from_secs(60),
            repeat: Span::from_millis(500),
            headroom: Bytes(1 << 30),
            second_client: true,
            bystander_from: Bytes(MIB),
        }
    }
}
