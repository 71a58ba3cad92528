//! What the results say of a broker that is not the current one of its name, whatever runs it.

use crate::scenario::ServerKind;

/// The version that the pom pins; a test keeps the two together.
pub const KAFKA: &str = "4.4.0";
/// The major versions that are current today.
const REDIS: &str = "8.x";
const VALKEY: &str = "9.x";

/// `what` is a product and its version, such as `Redis 7.0.15`; `wanted` is what the scenario asks
/// for, so that it stands in for nobody; `remedy` is how to have another.
pub fn warning(what: &str, wanted: Option<ServerKind>, remedy: &str) -> Option<String> {
    let (product, version) = what.split_once(' ')?;
    let current = match product {
        "Kafka" => KAFKA,
        "Redis" => REDIS,
        "Valkey" if wanted == Some(ServerKind::Valkey) => VALKEY,
        other => return Some(format!("{what} stands in for Redis: figures hold for {other}")),
    };
    let numbers = |version: &str| -> Vec<u32> {
        version.split('.').map_while(|part| part.parse().ok()).collect()
    };
    let found = numbers(version);
    (!found.is_empty() && found < numbers(current)).then(|| {
        format!(
            "{what} is older than the current {current}: figures hold for that version; {remedy}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_stand_ins_are_named() {
        for (what, said) in [
            (
                "Redis 7.0.15",
                "Redis 7.0.15 is older than the current 8.x: figures hold for that version; \
                take another",
            ),
            (
                "Kafka 3.9.1",
                "Kafka 3.9.1 is older than the current 4.4.0: figures hold for that version; \
                take another",
            ),
            ("Valkey 9.1.2", "Valkey 9.1.2 stands in for Redis: figures hold for Valkey"),
        ] {
            assert_eq!(warning(what, None, "take another").as_deref(), Some(said));
        }
        let valkey = |what| warning(what, Some(ServerKind::Valkey), "take another");
        assert_eq!(valkey("Valkey 9.1.2"), None);
        assert!(valkey("Valkey 8.0.1").is_some_and(|said| said.contains("older than")));
        for what in [
            "Redis 8.2.3",
            "Redis 10.0.0",
            "Kafka 4.4.0",
            "Kafka 4.10.0",
            "Kafka trunk",
            "apache/kafka:3.9.1",
        ] {
            assert_eq!(warning(what, None, "take another"), None, "{what}");
        }
    }
}
