//! A use that Redis carries and Kafka cannot by its nature.

use super::fact::{Fact, of};
use super::{Documents, Inputs, Judgement, is_kafka};
use crate::claims::finding::{all, finding};
use crate::result::ComparedCell;
use crate::result::words::compact;
use itertools::Itertools;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OnlyRedisLimits {
    metric: String,
    above: f64,
}

pub fn judge(limits: &OnlyRedisLimits, inputs: &Inputs<'_>) -> Judgement {
    let cells = || inputs.judged.iter().copied().filter(|cell| cell.metric == limits.metric);
    if cells().next().is_none() {
        return Judgement::default();
    }
    let side =
        |kafka: bool| cells().filter(move |cell| is_kafka(cell) == kafka).collect::<Vec<_>>();
    let (kafka, redis) = (side(true), side(false));
    let carried =
        redis.iter().map(|cell| of(cell).above(limits.above)).find(|answer| *answer == Ok(true));
    let carried = carried.unwrap_or_else(|| match redis.first() {
        Some(cell) => of(cell).above(limits.above),
        None => Err(format!("no {} of Redis", limits.metric)),
    });
    let cannot = match kafka.first() {
        Some(_) => Ok(kafka.iter().all(|cell| matches!(of(cell), Fact::Cannot(_)))),
        None => Err(format!("no {} of kafka", limits.metric)),
    };
    let words = |cell: &&ComparedCell| format!("{} {}", cell.label, of(cell).words(compact));
    let words = kafka.iter().chain(&redis).map(words).join(", ");
    Judgement {
        // Keys are no primitive: the one verdict is that of Redis as a whole. That Kafka cannot is
        // no measurement.
        findings: vec![finding("redis", "", all(&[carried, cannot]))],
        documents: Documents::Right,
        sentences: vec![
            format!("{}: {words}", limits.metric),
            "that Kafka cannot is how it is built; no run of it was judged".to_owned(),
        ],
        ..Judgement::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with, verdict};

    #[test]
    fn the_cells_and_the_limit_decide() {
        let rule = rule("session-cache");
        let kafka = || cannot("kafka", "operations", "base", "no read by key");
        let redis = || measured("redis-lists", "operations", "base", &[120_000.0]);
        let judged = judge_with(&rule, &[kafka(), redis()], &[]);
        assert_eq!(judged.verdict(), "documented");
        assert!(
            judged.because().contains("kafka cannot (no read by key), redis-lists 120k"),
            "{}",
            judged.because()
        );
        assert_eq!(
            verdict(&rule, &[measured("kafka", "operations", "base", &[5.0]), redis()]),
            "✗ wrong"
        );
        assert_eq!(
            verdict(&rule, &[kafka(), cannot("redis-lists", "operations", "base", "x")]),
            "✗ wrong"
        );
        assert_eq!(verdict(&rule, &[redis()]), "? open: no operations of kafka");
        assert_eq!(verdict(&rule, &[]), "not measured");
        let high = rule_with("session-cache", "above: 0}", "above: 500000}");
        assert_eq!(verdict(&high, &[kafka(), redis()]), "✗ wrong");
    }
}
