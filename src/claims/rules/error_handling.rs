//! Error handling: who sets a failing message aside, as documented, and whether Kafka's dead letter
//! path loses any, as measured.
//!
//! Kafka can be used in several ways that differ in who does the work: each is a condition of its
//! own.

use super::fact::Fact;
use super::{Inputs, Judgement};
use crate::claims::data::Documented;
use crate::claims::finding::{Answer, PRIMITIVES};
use crate::result::words::count;
use itertools::Itertools;
use serde::{Deserialize, Serialize};

const WORKER: &str = "worker";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ErrorHandlingLimits {
    /// Who may do the work for the claim to be true of Kafka, and of the primitive.
    kafka_by: Vec<String>,
    primitive_by: Vec<String>,
    /// The point at which Kafka's loss is read, in messages.
    at: String,
    lost_at_most: f64,
}

pub fn judge(limits: &ErrorHandlingLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    let worker = |system: &str| {
        inputs
            .documented
            .iter()
            .filter(|fact| fact.metric == WORKER && fact.system == system)
            .collect::<Vec<_>>()
    };
    let lossless = match inputs.fact("kafka", "lost", &limits.at) {
        // A path that is not there loses what is on it.
        Fact::Cannot(_) => Ok(false),
        fact => fact.at_most(limits.lost_at_most),
    };
    for primitive in PRIMITIVES {
        let own = one_of(worker(primitive).first().copied(), &limits.primitive_by);
        for kafka in worker("kafka") {
            let condition = kafka.way.as_ref().map(|way| format!("with {way}")).unwrap_or_default();
            let statements = [one_of(Some(kafka), &limits.kafka_by), own.clone(), lossless.clone()];
            judged.find(primitive, condition, &statements);
        }
    }
    judged.tell("who does it (documented)", |system| {
        let says = |fact: &&Documented| {
            let way = fact.way.as_ref().map(|way| format!(" with {way}")).unwrap_or_default();
            format!("{}{way}", fact.says.as_deref().unwrap_or("?"))
        };
        worker(system).iter().map(says).join(", ")
    });
    for metric in ["lost", "blocked"] {
        let what = format!("{metric} at {} (measured)", limits.at);
        judged.tell(&what, |system| inputs.fact(system, metric, &limits.at).words(count));
    }
    judged
}

fn one_of(fact: Option<&Documented>, allowed: &[String]) -> Answer {
    let says = fact
        .and_then(|fact| fact.says.as_ref())
        .ok_or_else(|| "nothing is documented".to_owned())?;
    Ok(allowed.contains(says))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::data;
    use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with};
    use crate::result::ComparedCell;

    fn cells(kafka_lost: f64) -> Vec<ComparedCell> {
        let mut cells =
            vec![cannot("redis-pubsub", "lost", "poison=1%", "nothing is delivered again")];
        for (system, lost) in [("kafka", kafka_lost), ("redis-streams", 0.0), ("redis-lists", 0.0)]
        {
            cells.push(measured(system, "lost", "poison=1%", &[lost]));
            cells.push(measured(system, "blocked", "poison=1%", &[0.0]));
        }
        cells
    }

    fn documented() -> Vec<Documented> {
        data::load()
            .unwrap()
            .rows()
            .find(|row| row.id == "error-handling")
            .unwrap()
            .documented
            .clone()
    }

    #[test]
    fn documents_and_cells_decide() {
        let rule = rule("error-handling");
        let judged = judge_with(&rule, &cells(0.0), &documented());
        assert_eq!(
            judged.verdict(),
            "◐ right with Connect sinks, share groups · wrong with consumer groups"
        );
        let because = judged.because();
        assert!(
            because.contains("application with consumer groups, client library with Connect sinks"),
            "{because}"
        );
        assert!(
            because
                .contains("lost at poison=1% (measured): kafka 0, redis-pubsub cannot (nothing is"),
            "{because}"
        );
        assert_eq!(
            judge_with(&rule, &cells(1.0), &documented()).verdict(),
            "✗ wrong",
            "a dead letter was lost"
        );
        let mut server_side = documented();
        server_side.iter_mut().filter(|fact| fact.label == "redis-streams").for_each(|fact| {
            fact.says = Some("broker".to_owned());
        });
        let verdict = judge_with(&rule, &cells(0.0), &server_side).verdict();
        assert!(verdict.ends_with("; redis-streams"), "{verdict}");
    }

    #[test]
    fn the_limits_in_the_data_decide() {
        let lenient = rule_with("error-handling", "lost-at-most: 0", "lost-at-most: 5");
        assert!(
            judge_with(&lenient, &cells(1.0), &documented()).verdict().starts_with("◐ right with")
        );
        let any = rule_with(
            "error-handling",
            "kafka-by: [broker, client library]",
            "kafka-by: [broker, client library, application]",
        );
        assert_eq!(judge_with(&any, &cells(0.0), &documented()).verdict(), "✓ right");
        let other = rule_with("error-handling", "at: poison=1%", "at: poison=2%");
        assert!(
            judge_with(&other, &cells(0.0), &documented())
                .verdict()
                .contains("no lost of kafka at poison=2%")
        );
    }
}
