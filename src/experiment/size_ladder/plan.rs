//! What is tried on each rung, in which order, and what need not be tried any more. Pure.

use crate::driver::{LargeClient, LargeRefusal};
use crate::model::{Codec, Software};
use crate::scenario::{PayloadKind, SizeLadder};
use crate::units::Bytes;
use std::fmt;

/// librdkafka counts this much beside the value against its largest message of 10^9 B.
const LIBRDKAFKA_FRAMING: u64 = 36;
const LIBRDKAFKA_LARGEST: u64 = 1_000_000_000;

/// One way to send a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendVariant {
    pub payload: PayloadKind,
    pub codec: Codec,
    pub client: LargeClient,
}

impl fmt::Display for SendVariant {
    /// As points of observations have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = if self.payload == PayloadKind::Text { "text" } else { "random" };
        write!(f, "payload={payload},codec={}", self.codec.name())?;
        if self.client == LargeClient::Second { f.write_str(",client=second") } else { Ok(()) }
    }
}

/// Every kind of the rung `size`.
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
    let sent = match nominal.0 {
        LIBRDKAFKA_LARGEST if software == Software::Kafka => LIBRDKAFKA_LARGEST - LIBRDKAFKA_FRAMING,
        size => size,
    };
    sent as usize
}

/// A limit that was met on the way up.
#[derive(Clone, Debug)]
pub struct Limit {
    pub kind: SendVariant,
    pub size: Bytes,
    pub refusal: LargeRefusal,
}

impl Limit {
    /// Whether `kind` would meet it again: uncompressed, no limit asks which bytes it counts.
    pub fn holds_for(&self, kind: SendVariant) -> bool {
        let SendVariant { payload, codec, client } = self.kind;
        (codec, client) == (kind.codec, kind.client) && (codec == Codec::None || payload == kind.payload)
    }
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
        assert_eq!(points(&keys, Software::Redis, Bytes(999)), ["payload=text,codec=none", "payload=text,codec=lz4"]);
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
        let limit = |kind| Limit { kind, size: Bytes(1), refusal: LargeRefusal::new(Who::Broker, "") };
        let plain = limit(kind(text, Codec::None, usual));
        assert!(plain.holds_for(kind(random, Codec::None, usual)));
        assert!(!plain.holds_for(kind(text, Codec::None, second)) && !plain.holds_for(kind(text, Codec::Lz4, usual)));
        let packed = limit(kind(random, Codec::Lz4, usual));
        assert!(packed.holds_for(kind(random, Codec::Lz4, usual)) && !packed.holds_for(kind(text, Codec::Lz4, usual)));
    }

    #[test]
    fn a_gigabyte_for_kafka_is_what_its_usual_client_takes() {
        assert_eq!(sent(Software::Kafka, Bytes(1_000_000_000)), 999_999_964);
        assert_eq!(sent(Software::Redis, Bytes(1_000_000_000)), 1_000_000_000);
        assert_eq!(sent(Software::Kafka, Bytes(1 << 20)), 1 << 20);
    }
}
