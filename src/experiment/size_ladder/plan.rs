//! What is tried on each rung, in which order, what need not be tried any more, and what must not
//! be. Pure.

use crate::driver::{LargeClient, LargeRefusal};
use crate::model::{Codec, Software};
use crate::payload::BodyKind;
use crate::scenario::{PayloadKind, SizeLadder};
use crate::units::Bytes;
use std::fmt;

/// librdkafka counts this much beside the value against its largest message of 10^9 B.
const LIBRDKAFKA_FRAMING: usize = 36;
const LIBRDKAFKA_LARGEST: usize = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendVariant {
    pub payload: PayloadKind,
    pub codec: Codec,
    pub client: LargeClient,
}

impl SendVariant {
    pub fn body(self) -> BodyKind {
        if self.payload == PayloadKind::Text { BodyKind::Text } else { BodyKind::Random }
    }

    /// Whether a limit that `other` met holds for this one too: uncompressed, no limit asks which
    /// bytes it counts.
    pub fn shares_limits_of(self, other: Self) -> bool {
        (self.codec, self.client) == (other.codec, other.client)
            && (self.codec == Codec::None || self.payload == other.payload)
    }
}

impl fmt::Display for SendVariant {
    /// As points of observations have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = if self.payload == PayloadKind::Text { "text" } else { "random" };
        write!(f, "payload={payload},codec={}", self.codec.name())?;
        if self.client == LargeClient::Second { f.write_str(",client=second") } else { Ok(()) }
    }
}

pub fn kinds(keys: &SizeLadder, software: Software, size: Bytes) -> Vec<SendVariant> {
    let mut kinds = Vec::new();
    for &payload in &keys.payloads {
        for &codec in &keys.codecs {
            let plain = codec == Codec::None;
            let wanted = keys.random_from.is_none_or(|from| match payload {
                PayloadKind::Random => plain && size >= from,
                _ => !plain || size < from,
            });
            if !wanted {
                continue;
            }
            kinds.push(SendVariant { payload, codec, client: LargeClient::Usual });
            if plain && keys.second_client && software == Software::Kafka {
                kinds.push(SendVariant { payload, codec, client: LargeClient::Second });
            }
        }
    }
    kinds
}

/// What is sent for a nominal size.
pub fn sent(software: Software, nominal: Bytes) -> usize {
    match nominal.0 as usize {
        LIBRDKAFKA_LARGEST if software == Software::Kafka => {
            LIBRDKAFKA_LARGEST - LIBRDKAFKA_FRAMING
        }
        size => size,
    }
}

#[derive(Clone, Debug)]
pub struct Limit {
    pub kind: SendVariant,
    pub size: Bytes,
    pub refusal: LargeRefusal,
}

impl Limit {
    /// Whether `kind` would meet it again.
    pub fn holds_for(&self, kind: SendVariant) -> bool {
        kind.shares_limits_of(self.kind)
    }
}

/// Text becomes smaller than this share of itself by any codec.
const PACKED: f64 = 0.25;

/// What one message of `size` bytes takes at most, in bytes: client, broker. Factors are measured
/// peaks, rounded up: of Redis 8.2 and Kafka 4.4 for one message in flight, of our own paths.
pub fn needs(software: Software, kind: SendVariant, size: u64) -> (u64, u64) {
    let size = size as f64;
    let packs = kind.codec != Codec::None && kind.payload == PayloadKind::Text;
    let wire = if packs { size * PACKED } else { size };
    let (client, broker) = match (software, kind.client) {
        // The caller's and the library's, and a buffer to compress into; the broker reads into and
        // writes from buffers outside its heap as large as those inside.
        (Software::Kafka, LargeClient::Usual) if kind.codec == Codec::None => {
            (2.5 * size, 4.0 * wire)
        }
        (Software::Kafka, LargeClient::Usual) => (2.0 * size + wire, 4.0 * wire),
        (Software::Kafka, LargeClient::Second) => (1.1 * size, 4.0 * wire),
        // The text, the form of it, and what the SDK keeps to send it again: by reading, since no
        // size that AWS takes is worth measuring. Its brokers are elsewhere.
        (Software::Sns, _) => (6.0 * size, 0.0),
        _ if kind.codec == Codec::None => (1.1 * size, 3.7 * wire),
        _ => (1.1 * size + wire, 3.7 * wire),
    };
    (client as u64, broker as u64)
}

/// Why it must not be tried, better skipped than killed: `held` is what the broker has already.
pub fn refuse(
    (client, broker): (u64, u64),
    held: u64,
    available: u64,
    headroom: u64,
) -> Option<String> {
    let needed = client.saturating_add(broker.saturating_sub(held));
    if needed.saturating_add(headroom) <= available {
        return None;
    }
    let mib = |bytes: u64| bytes >> 20;
    Some(format!(
        "it needs {} MiB in the client and up to {} MiB in the broker (which has {}), and {} MiB \
        are to stay free: {} MiB are available",
        mib(client),
        mib(broker),
        mib(held),
        mib(headroom),
        mib(available)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Who;

    fn points(keys: &SizeLadder, software: Software, size: Bytes) -> Vec<String> {
        kinds(keys, software, size).iter().map(SendVariant::to_string).collect()
    }

    #[test]
    fn everything_is_tried_and_the_second_client_sends_what_is_not_compressed() {
        let keys = SizeLadder { codecs: vec![Codec::None, Codec::Lz4], ..SizeLadder::default() };
        assert_eq!(
            points(&keys, Software::Kafka, Bytes(1024)),
            [
                "payload=text,codec=none",
                "payload=text,codec=none,client=second",
                "payload=text,codec=lz4",
                "payload=random,codec=none",
                "payload=random,codec=none,client=second",
                "payload=random,codec=lz4"
            ]
        );
        assert_eq!(points(&keys, Software::Redis, Bytes(1024)).len(), 4);
    }

    #[test]
    fn random_from_replaces_text_where_nothing_is_compressed() {
        let keys = SizeLadder {
            random_from: Some(Bytes(1000)),
            codecs: vec![Codec::None, Codec::Lz4],
            ..SizeLadder::default()
        };
        assert_eq!(
            points(&keys, Software::Redis, Bytes(999)),
            ["payload=text,codec=none", "payload=text,codec=lz4"]
        );
        assert_eq!(
            points(&keys, Software::Redis, Bytes(1000)),
            ["payload=text,codec=lz4", "payload=random,codec=none"]
        );
    }

    #[test]
    fn a_limit_holds_for_its_kind_and_for_all_uncompressed_bytes() {
        let kind = |payload, codec, client| SendVariant { payload, codec, client };
        let (text, random) = (PayloadKind::Text, PayloadKind::Random);
        let (usual, second) = (LargeClient::Usual, LargeClient::Second);
        let limit =
            |kind| Limit { kind, size: Bytes(1), refusal: LargeRefusal::new(Who::Broker, "") };
        let plain = limit(kind(text, Codec::None, usual));
        assert!(plain.holds_for(kind(random, Codec::None, usual)));
        assert!(
            !plain.holds_for(kind(text, Codec::None, second))
                && !plain.holds_for(kind(text, Codec::Lz4, usual))
        );
        let packed = limit(kind(random, Codec::Lz4, usual));
        assert!(
            packed.holds_for(kind(random, Codec::Lz4, usual))
                && !packed.holds_for(kind(text, Codec::Lz4, usual))
        );
    }

    #[test]
    fn a_gigabyte_for_kafka_is_what_its_usual_client_takes() {
        assert_eq!(sent(Software::Kafka, Bytes(1_000_000_000)), 999_999_964);
        assert_eq!(sent(Software::Redis, Bytes(1_000_000_000)), 1_000_000_000);
        assert_eq!(sent(Software::Kafka, Bytes(1 << 20)), 1 << 20);
    }

    const GB: u64 = 1_000_000_000;

    #[test]
    fn a_gigabyte_fits_a_large_machine_and_is_refused_on_a_small_one() {
        let kind = SendVariant {
            payload: PayloadKind::Random,
            codec: Codec::None,
            client: LargeClient::Second,
        };
        let needed = needs(Software::Kafka, kind, GB);
        assert_eq!(needed, (1_100_000_000, 4_000_000_000));
        assert_eq!(refuse(needed, 0, 24 * GB, GB), None);
        let why = refuse(needed, 0, 5 * GB, GB).unwrap();
        assert!(
            why.contains("1049 MiB in the client") && why.contains("3814 MiB in the broker"),
            "{why}"
        );
        assert_eq!(
            refuse(needed, 3 * GB, 4 * GB, GB),
            None,
            "what the broker holds already is not needed again"
        );
    }

    #[test]
    fn packed_text_needs_less_of_the_broker() {
        let kind = |codec, payload| SendVariant { payload, codec, client: LargeClient::Usual };
        let (_, plain) = needs(Software::Redis, kind(Codec::None, PayloadKind::Text), GB);
        let (_, text) = needs(Software::Redis, kind(Codec::Lz4, PayloadKind::Text), GB);
        let (_, random) = needs(Software::Redis, kind(Codec::Lz4, PayloadKind::Random), GB);
        assert!(text < plain / 3 && random == plain);
    }
}
