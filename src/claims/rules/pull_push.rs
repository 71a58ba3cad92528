//! Pull or push: whether a request of the consumer stands before each batch delivered.

use super::fact::Fact;
use super::{Inputs, Judgement};
use crate::claims::finding::PRIMITIVES;
use crate::model::{BASE, System};
use crate::result::words::{count, significant};
use itertools::Itertools;
use serde::{Deserialize, Serialize};

const METRIC: &str = "requests_per_batch";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PullPushLimits {
    /// Requests per batch from which on a system pulls.
    pull_at_least: f64,
    /// Up to which it is pushed to.
    push_at_most: f64,
}

pub fn judge(limits: &PullPushLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    let told = inputs.judged.iter().filter(|cell| cell.metric == METRIC);
    let points: Vec<&str> = told.map(|cell| cell.cell.as_str()).unique().collect();
    for primitive in PRIMITIVES {
        for point in &points {
            let kafka = inputs.fact("kafka", METRIC, point).at_least(limits.pull_at_least);
            let pushed = match inputs.fact(primitive, METRIC, point) {
                // Who delivers nothing does not push.
                Fact::Cannot(_) => Ok(false),
                fact => fact.at_most(limits.push_at_most),
            };
            judged.find(primitive, format!("at {point}"), &[kafka, pushed]);
        }
    }
    for system in System::NAMES {
        let ends = |point: &&str| match inputs.fact(system, METRIC, point) {
            Fact::Range { least, most, .. } => Some((least, most)),
            _ => None,
        };
        let ends = points.iter().filter_map(ends).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some((least, most)) = ends else { continue };
        let kind = match () {
            () if least >= limits.pull_at_least => "pulls",
            () if most <= limits.push_at_most => "is pushed to",
            () => "neither at every rate",
        };
        let range = [least, most].map(significant).into_iter().dedup().join(" to ");
        judged.sentences.push(format!("{system}: {range} requests per batch: {kind}"));
        if let fact @ Fact::Range { most, .. } = inputs.fact(system, "stalled.lost", BASE)
            && most > 0.0
        {
            judged
                .sentences
                .push(format!("{system}: a stalled consumer lost {} messages", fact.words(count)));
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::rules::testing::{judge_with, measured, rule, rule_with, verdict};
    use crate::result::ComparedCell;

    fn cells(requests: [f64; 4]) -> Vec<ComparedCell> {
        let systems = ["kafka", "redis-pubsub", "redis-streams", "redis-lists"];
        let rates = ["rate=1/s", "rate=100/s"];
        let cell =
            |system: &str, value: f64| rates.map(|rate| measured(system, METRIC, rate, &[value]));
        systems.into_iter().zip(requests).flat_map(|(system, value)| cell(system, value)).collect()
    }

    #[test]
    fn the_cells_decide() {
        let rule = rule("delivery");
        let judged = judge_with(&rule, &cells([1.1, 0.0, 1.0, 1.0]), &[]);
        assert_eq!(
            judged.verdict(),
            "◐ right for redis-pubsub · wrong for redis-streams, redis-lists"
        );
        assert!(
            judged.because().contains("redis-pubsub: 0 requests per batch: is pushed to"),
            "{}",
            judged.because()
        );
        assert_eq!(verdict(&rule, &cells([1.1, 0.0, 0.0, 0.0])), "✓ right");
        assert_eq!(verdict(&rule, &cells([0.2, 0.0, 0.0, 0.0])), "✗ wrong", "Kafka does not pull");
        let mut one = cells([1.0, 0.0, 1.0, 1.0]);
        one.iter_mut()
            .filter(|cell| cell.label == "redis-pubsub" && cell.cell == "rate=1/s")
            .for_each(|cell| {
                cell.per_block[0].value = Some(1.0);
            });
        assert_eq!(
            verdict(&rule, &one),
            "◐ right for redis-pubsub at rate=100/s · wrong for redis-pubsub at rate=1/s; \
             redis-streams, redis-lists"
        );
    }

    #[test]
    fn what_a_stalled_consumer_lost_is_counted_not_rounded() {
        let mut cells = cells([1.0, 0.0, 1.0, 1.0]);
        cells.push(measured("redis-pubsub", "stalled.lost", "base", &[54_728.0]));
        let because = judge_with(&rule("delivery"), &cells, &[]).because();
        assert!(because.contains("a stalled consumer lost 54,728 messages"), "{because}");
    }

    #[test]
    fn the_limits_in_the_data_decide() {
        let cells = cells([0.8, 0.2, 1.0, 1.0]);
        assert_eq!(verdict(&rule("delivery"), &cells), "✗ wrong");
        let pull = rule_with(
            "delivery",
            "pull-at-least: 0.9, push-at-most: 0.1",
            "pull-at-least: 0.7, push-at-most: 0.3",
        );
        assert_eq!(
            verdict(&pull, &cells),
            "◐ right for redis-pubsub · wrong for redis-streams, redis-lists"
        );
    }

    #[test]
    fn nothing_measured_finds_nothing() {
        assert_eq!(verdict(&rule("delivery"), &[]), "not measured");
        let mut cells = cells([1.0, 0.0, 1.0, 1.0]);
        cells.retain(|cell| cell.label != "kafka");
        assert!(
            verdict(&rule("delivery"), &cells)
                .contains("no requests_per_batch of kafka at rate=1/s")
        );
    }
}
