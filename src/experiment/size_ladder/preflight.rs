//! Whether a rung fits the memory of the machine, asked before it is tried: better skipped than killed.
//!
//! Factors are measured peaks, rounded up: of Redis 8.2 and Kafka 4.4 for one message in flight, of our own paths.

use super::plan::SendVariant;
use crate::driver::LargeClient;
use crate::model::{Codec, Software};
use crate::scenario::PayloadKind;

/// Text becomes smaller than this share of itself by any codec.
const PACKED: f64 = 0.25;

/// What one message of `size` bytes takes at most, in bytes: client, broker.
pub fn needs(software: Software, kind: SendVariant, size: u64) -> (u64, u64) {
    let size = size as f64;
    let packs = kind.codec != Codec::None && kind.payload == PayloadKind::Text;
    let wire = if packs { size * PACKED } else { size };
    let (client, broker) = match (software, kind.client) {
        // The caller's and the library's, and a buffer to compress into; the broker reads into and writes from buffers
        // outside its heap as large as those inside.
        (Software::Kafka, LargeClient::Usual) if kind.codec == Codec::None => (2.5 * size, 4.0 * wire),
        (Software::Kafka, LargeClient::Usual) => (2.0 * size + wire, 4.0 * wire),
        (Software::Kafka, LargeClient::Second) => (1.1 * size, 4.0 * wire),
        _ if kind.codec == Codec::None => (1.1 * size, 3.7 * wire),
        _ => (1.1 * size + wire, 3.7 * wire),
    };
    (client as u64, broker as u64)
}

/// Why it must not be tried: `held` is what the broker has already.
pub fn refuse((client, broker): (u64, u64), held: u64, available: u64, headroom: u64) -> Option<String> {
    let needed = client.saturating_add(broker.saturating_sub(held));
    if needed.saturating_add(headroom) <= available {
        return None;
    }
    let mib = |bytes: u64| bytes >> 20;
    Some(format!(
        "it needs {} MiB in the client and up to {} MiB in the broker (which has {}), and {} MiB are to stay free: {} MiB are available",
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

    const GB: u64 = 1_000_000_000;

    #[test]
    fn a_gigabyte_fits_a_large_machine_and_is_refused_on_a_small_one() {
        let kind = SendVariant { payload: PayloadKind::Random, codec: Codec::None, client: LargeClient::Second };
        let needed = needs(Software::Kafka, kind, GB);
        assert_eq!(needed, (1_100_000_000, 4_000_000_000));
        assert_eq!(refuse(needed, 0, 24 * GB, GB), None);
        let why = refuse(needed, 0, 5 * GB, GB).unwrap();
        assert!(why.contains("1049 MiB in the client") && why.contains("3814 MiB in the broker"), "{why}");
        assert_eq!(refuse(needed, 3 * GB, 4 * GB, GB), None, "what the broker holds already is not needed again");
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
