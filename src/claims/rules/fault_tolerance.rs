//! Fault tolerance: acknowledged messages that are gone after the fault, at stock settings.
//!
//! While the data says `undecided`, the facts are gathered and shown and nothing is judged: with one node nothing can be
//! said about copies on others. Injecting the loss of a node fills this in by removing that key.

use super::fact::{Fact, find, of};
use super::{Inputs, Judged};
use crate::claims::finding::{Decision, Finding, PRIMITIVES};
use crate::result::ComparedCell;
use crate::result::words::{grouped, significant};
use serde::{Deserialize, Serialize};

const METRIC: &str = "rpo";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Messages.
    kafka_lost_at_most: f64,
    primitive_lost_above: f64,
    /// Why nothing can be judged yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undecided: Option<String>,
}

pub fn judge(limits: &Limits, inputs: &Inputs<'_>) -> Judged {
    let mut judged = Judged::default();
    let losses: Vec<&ComparedCell> = inputs.judged.iter().copied().filter(|cell| cell.metric == METRIC).collect();
    if losses.is_empty() {
        return judged;
    }
    let stock = |system: &str| find(&inputs.judged, system, METRIC, losses[0].cell.as_str());
    let keeps = match stock("kafka") {
        Fact::Cannot(_) => Ok(false),
        fact => fact.at_most(limits.kafka_lost_at_most),
    };
    for primitive in PRIMITIVES {
        let loses = match stock(primitive) {
            // What acknowledges nothing keeps nothing.
            Fact::Cannot(_) => Ok(true),
            fact => fact.above(limits.primitive_lost_above),
        };
        let decision = match &limits.undecided {
            Some(why) => Decision::Undecided(why.clone()),
            None => Decision::all(&[keeps.clone(), loses]),
        };
        judged.findings.push(Finding::new(primitive, "", decision));
    }
    let messages = |value: f64| if value.fract() == 0.0 { grouped(value as u64) } else { significant(value) };
    let words = |cell: &&ComparedCell| {
        let fact = of(cell);
        let acked = match find(&inputs.judged, &cell.label, "acked", &cell.cell) {
            Fact::Range { most, .. } if matches!(fact, Fact::Range { .. }) => format!(" of {}", messages(most)),
            _ => String::new(),
        };
        format!("{} {}{acked}", cell.label, fact.words(messages))
    };
    judged.sentences.push(format!(
        "acknowledged and gone after the broker was killed and started again: {}",
        losses.iter().map(words).collect::<Vec<_>>().join(", ")
    ));
    if let Some(why) = &limits.undecided {
        judged.sentences.push(format!("no verdict ({why}): copies on other nodes were not put to the test"));
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with, verdict};

    fn cells(lost: [f64; 3]) -> Vec<ComparedCell> {
        let mut cells = vec![cannot("redis-pubsub", METRIC, "base", "a reply is no acknowledgement")];
        for (label, lost) in ["kafka", "redis-streams", "redis-lists"].into_iter().zip(lost) {
            cells.push(measured(label, METRIC, "base", &[lost]));
            cells.push(measured(label, "acked", "base", &[50_000.0]));
        }
        cells.push(measured("redis-streams-aof-always", METRIC, "base", &[0.0]));
        cells
    }

    #[test]
    fn with_one_node_the_facts_stand_and_nothing_is_judged() {
        let judged = judge_with(&rule("fault-tolerance"), &cells([0.0, 12_345.0, 7.0]), &[]);
        assert_eq!(judged.verdict(), "inconclusive (one node)");
        let because = judged.because();
        assert!(
            because.contains("kafka 0 of 50,000") && because.contains("redis-streams 12,345 of 50,000"),
            "{because}"
        );
        assert!(
            because.contains("redis-streams-aof-always 0") && because.contains("no verdict (one node)"),
            "{because}"
        );
    }

    #[test]
    fn without_the_key_the_cells_and_limits_decide() {
        let judging = rule_with("fault-tolerance", ", undecided: one node}", "}");
        assert_eq!(verdict(&judging, &cells([0.0, 12_345.0, 7.0])), "holds");
        assert_eq!(verdict(&judging, &cells([0.0, 0.0, 7.0])), "holds only for redis-pubsub, redis-lists");
        assert_eq!(verdict(&judging, &cells([1.0, 12_345.0, 7.0])), "does not hold");
        let lenient = rule_with(
            "fault-tolerance",
            "kafka-lost-at-most: 0, primitive-lost-above: 0, undecided: one node}",
            "kafka-lost-at-most: 5, primitive-lost-above: 100}",
        );
        assert_eq!(verdict(&lenient, &cells([1.0, 12_345.0, 7.0])), "holds only for redis-pubsub, redis-streams");
    }
}
