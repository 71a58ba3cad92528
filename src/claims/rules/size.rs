//! The largest message that arrives intact: Kafka's reaches the size claimed and the primitive's
//! stays below Kafka's.
//!
//! At defaults (labels as the systems' names) and tuned (`-tuned`), each on its own. Sizes are
//! nominal.

use super::fact::Fact;
use super::{Inputs, Judgement};
use crate::claims::finding::PRIMITIVES;
use crate::model::BASE;
use crate::result::words::grouped;
use serde::{Deserialize, Serialize};

const METRIC: &str = "largest_intact";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SizeLimits {
    /// Bytes.
    kafka_at_least: f64,
}

pub fn judge(limits: &SizeLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    for (suffix, condition) in [("", "at defaults"), ("-tuned", "at tuned limits")] {
        let of = |system: &str| inputs.fact(&format!("{system}{suffix}"), METRIC, BASE);
        let kafka = of("kafka");
        let reaches = kafka.at_least(limits.kafka_at_least);
        for primitive in PRIMITIVES {
            let own = of(primitive);
            let smaller = match (&kafka, &own) {
                (Fact::Range { least, most, .. }, _) if least == most => own.below(*least),
                (Fact::Range { .. }, _) => {
                    Err(format!("the blocks disagree on {METRIC} of kafka{suffix}"))
                }
                (Fact::Cannot(_), _) => Ok(false),
                (Fact::Missing(what), _) => Err(what.clone()),
            };
            judged.find(primitive, condition, &[reaches.clone(), smaller]);
        }
        judged.tell(&format!("largest intact {condition}"), |system| match (system, &reaches) {
            ("kafka", Ok(true)) => {
                format!("{} (reaches {})", kafka.words(bytes), bytes(limits.kafka_at_least))
            }
            ("kafka", Ok(false)) => {
                format!("{} (below {})", kafka.words(bytes), bytes(limits.kafka_at_least))
            }
            _ => of(system).words(bytes),
        });
    }
    judged
}

/// `1 GB`, `256 MiB`, `64 KiB`: the unit in which the size is whole.
fn bytes(value: f64) -> String {
    let value = value as u64;
    let units = [(1_000_000_000, "GB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| value >= *unit && value.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", value / unit),
        None => format!("{} B", grouped(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::rules::testing::{judge_with, measured, rule, rule_with, verdict};
    use crate::result::ComparedCell;

    const MIB: f64 = 1_048_576.0;

    /// `(label, bytes)`; what is not named is 512 MiB.
    fn cells(sizes: &[(&str, f64)]) -> Vec<ComparedCell> {
        let systems = ["kafka", "redis-pubsub", "redis-streams", "redis-lists"];
        let labels =
            systems.iter().flat_map(|system| [system.to_string(), format!("{system}-tuned")]);
        labels
            .map(|label| {
                let size = sizes
                    .iter()
                    .find(|(name, _)| *name == label)
                    .map_or(512.0 * MIB, |(_, size)| *size);
                measured(&label, METRIC, "base", &[size])
            })
            .collect()
    }

    #[test]
    fn the_cells_decide_at_defaults_and_tuned() {
        let rule = rule("message-size");
        let tuned = cells(&[("kafka", MIB), ("kafka-tuned", 1e9)]);
        let judged = judge_with(&rule, &tuned, &[]);
        assert_eq!(judged.verdict(), "◐ right at tuned limits · wrong at defaults");
        assert!(
            judged.because().contains("kafka 1 MiB (below 1 GB), redis-pubsub 512 MiB"),
            "{}",
            judged.because()
        );
        let all = cells(&[
            ("kafka", MIB),
            ("kafka-tuned", 1e9),
            ("redis-pubsub-tuned", 1e9),
            ("redis-lists-tuned", 1e9),
        ]);
        assert_eq!(
            verdict(&rule, &all),
            "◐ right for redis-streams at tuned limits · wrong for redis-pubsub, redis-lists; \
             redis-streams at defaults"
        );
        let equal = cells(&[("kafka", MIB), ("kafka-tuned", 256.0 * MIB)]);
        assert_eq!(verdict(&rule, &equal), "✗ wrong");
        assert_eq!(
            verdict(&rule, &cells(&[("kafka", 1e9), ("kafka-tuned", 1e9)])),
            "✓ right",
            "no blocks needed"
        );
    }

    #[test]
    fn the_limit_in_the_data_decides() {
        let cells = cells(&[("kafka", 600.0 * MIB), ("kafka-tuned", 600.0 * MIB)]);
        assert_eq!(verdict(&rule("message-size"), &cells), "✗ wrong");
        let lower =
            rule_with("message-size", "kafka-at-least: 1000000000", "kafka-at-least: 600000000");
        assert_eq!(verdict(&lower, &cells), "✓ right");
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut cells = cells(&[("kafka", MIB)]);
        cells.retain(|cell| !cell.label.ends_with("-tuned"));
        assert_eq!(
            verdict(&rule("message-size"), &cells),
            "◐ wrong at defaults · open at tuned limits (no largest_intact of kafka-tuned)"
        );
    }
}
