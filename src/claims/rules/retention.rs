//! Retention: what is still readable after it was read and acknowledged.

use super::{Inputs, Judgement};
use crate::claims::finding::PRIMITIVES;
use crate::model::BASE;
use crate::result::words::significant;
use serde::{Deserialize, Serialize};

const METRIC: &str = "readable_after_ack";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetentionLimits {
    /// Shares, 0 to 1.
    kafka_above: f64,
    primitive_at_most: f64,
}

pub fn judge(limits: &RetentionLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    let percent = |share: f64| format!("{} %", significant(share * 100.0));
    let of = |system: &str| inputs.fact(system, METRIC, BASE);
    let keeps = of("kafka").above(limits.kafka_above);
    for primitive in PRIMITIVES {
        let forgets = of(primitive).at_most(limits.primitive_at_most);
        judged.find(primitive, "", &[keeps.clone(), forgets]);
    }
    judged.tell("readable after acknowledgement", |system| of(system).words(percent));
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with, verdict};
    use crate::result::ComparedCell;

    fn cells(shares: [f64; 3]) -> Vec<ComparedCell> {
        let mut cells = vec![cannot("redis-pubsub", METRIC, "base", "nothing is ever kept")];
        let systems = ["kafka", "redis-streams", "redis-lists"];
        cells.extend(
            systems
                .into_iter()
                .zip(shares)
                .map(|(system, share)| measured(system, METRIC, "base", &[share])),
        );
        cells
    }

    #[test]
    fn the_cells_decide() {
        let rule = rule("retention");
        let judged = judge_with(&rule, &cells([1.0, 1.0, 0.0]), &[]);
        assert_eq!(
            judged.verdict(),
            "◐ right for redis-pubsub, redis-lists · wrong for redis-streams"
        );
        let because = judged.because();
        assert!(
            because.contains(
                "kafka 100 %, redis-pubsub cannot (nothing is ever kept), redis-streams 100 %"
            ),
            "{because}"
        );
        assert_eq!(verdict(&rule, &cells([1.0, 0.0, 0.0])), "✓ right");
        assert_eq!(verdict(&rule, &cells([0.0, 0.0, 0.0])), "✗ wrong");
    }

    #[test]
    fn the_limits_in_the_data_decide() {
        let cells = cells([0.5, 0.2, 0.2]);
        assert_eq!(
            verdict(&rule("retention"), &cells),
            "◐ right for redis-pubsub · wrong for redis-streams, redis-lists"
        );
        let lenient = rule_with("retention", "primitive-at-most: 0}", "primitive-at-most: 0.2}");
        assert_eq!(verdict(&lenient, &cells), "✓ right");
        let strict = rule_with("retention", "kafka-above: 0,", "kafka-above: 0.9,");
        assert_eq!(verdict(&strict, &cells), "✗ wrong");
    }

    #[test]
    fn blocks_that_disagree_decide_nothing() {
        let mut cells = cells([1.0, 1.0, 1.0]);
        cells.push(measured("redis-lists", METRIC, "base", &[0.0, 0.5]));
        cells.remove(3);
        cells.remove(0);
        let verdict = verdict(&rule("retention"), &cells);
        assert!(
            verdict.contains("blocks disagree on readable_after_ack of redis-lists"),
            "{verdict}"
        );
    }
}
