//! The largest message that arrives intact: Kafka's reaches the size claimed and the primitive's
//! stays below Kafka's.
//!
//! As it comes (labels as the systems' names) and tuned (`-tuned`), each on its own. Uncompressed
//! on the wire decides; what the same codec on both sides makes of it is told beside it. Sizes are
//! nominal.

use super::fact::Fact;
use super::{Inputs, Judgement};
use crate::claims::finding::{Answer, PRIMITIVES, finding, verdict};
use crate::model::{Codec, Point};
use crate::result::words::grouped;
use itertools::Itertools;
use serde::{Deserialize, Serialize};

const METRIC: &str = "largest_intact";
/// Ends of labels, and what they mean.
const CONDITIONS: [(&str, &str); 2] = [("", "as it comes"), ("-tuned", "at tuned limits")];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SizeLimits {
    /// Bytes.
    kafka_at_least: f64,
}

pub fn judge(limits: &SizeLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    let plain = Compared { limits, inputs, point: point(Codec::None.name()) };
    for (suffix, condition) in CONDITIONS {
        for primitive in PRIMITIVES {
            judged.find(primitive, condition, &plain.statements(primitive, suffix));
        }
        let (kafka, claimed) = (plain.of("kafka", suffix), bytes(limits.kafka_at_least));
        judged.tell(&format!("largest intact {condition}, uncompressed"), |system| {
            let own = plain.of(system, suffix).words(bytes);
            match kafka.at_least(limits.kafka_at_least) {
                Ok(true) if system == "kafka" => format!("{own} (reaches {claimed})"),
                Ok(false) if system == "kafka" => format!("{own} (below {claimed})"),
                _ => own,
            }
        });
    }
    judged.sentences.extend(codecs(inputs).map(|codec| {
        let packed = Compared { limits, inputs, point: point(codec) };
        let each = CONDITIONS.into_iter().cartesian_product(PRIMITIVES);
        let found = each.map(|((suffix, condition), primitive)| {
            let statements = packed.statements(primitive, suffix);
            finding(primitive, condition, crate::claims::finding::all(&statements))
        });
        let words = verdict(&found.collect::<Vec<_>>()).1.replace("; ", ", ");
        format!("with {codec} on both sides: {words}")
    }));
    judged
}

fn point(codec: &str) -> String {
    format!("codec={codec}")
}

/// The codecs that were tried beside none.
fn codecs<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let limits = inputs.judged.iter().filter(|cell| cell.metric == METRIC);
    let codecs = limits.filter_map(|cell| Point::read(&cell.cell).get("codec"));
    codecs.filter(|codec| *codec != Codec::None.name()).unique().collect::<Vec<_>>().into_iter()
}

/// All labels with the same codec.
struct Compared<'a> {
    limits: &'a SizeLimits,
    inputs: &'a Inputs<'a>,
    point: String,
}

impl Compared<'_> {
    fn of(&self, system: &str, suffix: &str) -> Fact<'_> {
        self.inputs.fact(&format!("{system}{suffix}"), METRIC, &self.point)
    }

    /// That Kafka's reaches what is claimed, and that the primitive's is smaller.
    fn statements(&self, primitive: &str, suffix: &str) -> [Answer; 2] {
        let (kafka, own) = (self.of("kafka", suffix), self.of(primitive, suffix));
        let smaller = match &kafka {
            Fact::Range { least, most, .. } if least == most => own.below(*least),
            Fact::Range { .. } => Err(format!("the blocks disagree on {METRIC} of kafka{suffix}")),
            Fact::Cannot(_) => Ok(false),
            Fact::Missing(what) => Err(what.clone()),
        };
        [kafka.at_least(self.limits.kafka_at_least), smaller]
    }
}

/// `1 GB`, `256 MiB`, `999,424 B`: the unit in which the size is whole.
fn bytes(value: f64) -> String {
    let value = value as u64;
    let units = [(1_000_000_000, "GB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
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

    /// `(label, bytes)` at a codec; what is not named is 512 MiB.
    fn cells(codec: &str, sizes: &[(&str, f64)]) -> Vec<ComparedCell> {
        let systems = ["kafka", "redis-pubsub", "redis-streams", "redis-lists"];
        let labels =
            systems.iter().flat_map(|system| [system.to_string(), format!("{system}-tuned")]);
        labels
            .map(|label| {
                let size = sizes
                    .iter()
                    .find(|(name, _)| *name == label)
                    .map_or(512.0 * MIB, |(_, size)| *size);
                measured(&label, METRIC, &point(codec), &[size])
            })
            .collect()
    }

    fn plain(sizes: &[(&str, f64)]) -> Vec<ComparedCell> {
        cells("none", sizes)
    }

    #[test]
    fn the_cells_decide_as_it_comes_and_tuned() {
        let rule = rule("message-size");
        let tuned = plain(&[("kafka", 999_424.0), ("kafka-tuned", 1e9)]);
        let judged = judge_with(&rule, &tuned, &[]);
        assert_eq!(judged.verdict(), "◐ right at tuned limits · wrong as it comes");
        let because = judged.because();
        assert!(
            because.contains("kafka 999,424 B (below 1 GB), redis-pubsub 512 MiB"),
            "{because}"
        );
        let all = plain(&[
            ("kafka", MIB),
            ("kafka-tuned", 1e9),
            ("redis-pubsub-tuned", 1e9),
            ("redis-lists-tuned", 1e9),
        ]);
        assert_eq!(
            verdict(&rule, &all),
            "◐ right for redis-streams at tuned limits · wrong for redis-pubsub, redis-lists; \
             redis-streams as it comes"
        );
        let equal = plain(&[("kafka", MIB), ("kafka-tuned", 256.0 * MIB)]);
        assert_eq!(verdict(&rule, &equal), "✗ wrong");
        assert_eq!(
            verdict(&rule, &plain(&[("kafka", 1e9), ("kafka-tuned", 1e9)])),
            "✓ right",
            "no blocks needed"
        );
    }

    /// A codec on one side was once compared with none on the other.
    #[test]
    fn a_codec_is_told_beside_and_decides_nothing() {
        let rule = rule("message-size");
        let mut all = plain(&[("kafka", 1e9), ("kafka-tuned", 1e9)]);
        all.extend(cells("lz4", &[("kafka", MIB), ("kafka-tuned", 1e9)]));
        all.push(measured("kafka", METRIC, "payload=text,codec=lz4", &[1e9]));
        let judged = judge_with(&rule, &all, &[]);
        assert_eq!(judged.verdict(), "✓ right");
        let because = judged.because();
        let told = "with lz4 on both sides: ◐ right at tuned limits · wrong as it comes";
        assert!(because.ends_with(told), "{because}");
    }

    #[test]
    fn the_limit_in_the_data_decides() {
        let cells = plain(&[("kafka", 600.0 * MIB), ("kafka-tuned", 600.0 * MIB)]);
        assert_eq!(verdict(&rule("message-size"), &cells), "✗ wrong");
        let lower =
            rule_with("message-size", "kafka-at-least: 1000000000", "kafka-at-least: 600000000");
        assert_eq!(verdict(&lower, &cells), "✓ right");
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut cells = plain(&[("kafka", MIB)]);
        cells.retain(|cell| !cell.label.ends_with("-tuned"));
        assert_eq!(
            verdict(&rule("message-size"), &cells),
            "◐ wrong as it comes · open at tuned limits (no largest_intact of kafka-tuned at \
             codec=none)"
        );
    }
}
