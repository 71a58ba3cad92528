//! Error handling: who sets a failing message aside. No run can show that: documents decide it, and
//! what is lost on the way that is left to the application is measured beside it.
//!
//! Kafka can be used in several ways that differ in who does the work: each is a condition of its
//! own.

use super::fact::of;
use super::{Documents, Inputs, Judgement};
use crate::claims::data::Documented;
use crate::claims::finding::{Answer, PRIMITIVES};
use crate::result::ComparedCell;
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
    /// The point whose measured losses are told beside it.
    at: String,
}

pub fn judge(limits: &ErrorHandlingLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement { documents: Documents::All, ..Judgement::default() };
    let worker = |system: &str| {
        inputs
            .documented
            .iter()
            .filter(|fact| fact.metric == WORKER && fact.system == system)
            .collect::<Vec<_>>()
    };
    for primitive in PRIMITIVES {
        let own = one_of(worker(primitive).first().copied(), &limits.primitive_by);
        for kafka in worker("kafka") {
            let condition = kafka.way.as_ref().map(|way| format!("with {way}")).unwrap_or_default();
            let statements = [one_of(Some(kafka), &limits.kafka_by), own.clone()];
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
    let sources = inputs.documented.iter().filter(|fact| fact.metric == WORKER);
    let mut sources = sources.map(|fact| fact.source.trim_start_matches("https://")).unique();
    judged.sentences.push(format!("sources: {}", sources.join(", ")));
    for metric in ["lost", "blocked"] {
        let here = |cell: &&&ComparedCell| cell.metric == metric && cell.cell == limits.at;
        let words = inputs.judged.iter().filter(here);
        let words =
            words.map(|cell| format!("{} {}", cell.label, of(cell).words(count))).join(", ");
        let words = if words.is_empty() { "not measured" } else { &words };
        judged.sentences.push(format!("{metric} at {} (measured): {words}", limits.at));
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
    use crate::result::Verdict;

    fn cells(kafka_lost: f64) -> Vec<ComparedCell> {
        let mut cells =
            vec![cannot("redis-pubsub", "lost", "poison=1%", "nothing is delivered again")];
        for (label, lost) in [
            ("kafka", kafka_lost),
            ("kafka-share", 3.0),
            ("redis-streams", 0.0),
            ("redis-lists", 0.0),
        ] {
            cells.push(measured(label, "lost", "poison=1%", &[lost]));
            cells.push(measured(label, "blocked", "poison=1%", &[0.0]));
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
    fn documents_decide_and_the_cells_stand_beside() {
        let rule = rule("error-handling");
        let judged = judge_with(&rule, &cells(0.0), &documented());
        assert_eq!(
            judged.verdict(),
            "documented: right with Connect sinks, share groups · wrong with consumer groups"
        );
        assert_eq!(judged.answer().0, Verdict::Documented);
        let because = judged.because();
        for words in [
            "application with consumer groups, client library with Connect sinks",
            "kafka.apache.org/44/configuration/group-configs/",
        ] {
            assert!(because.contains(words), "{because}");
        }
        let lossy = judge_with(&rule, &cells(7.0), &documented());
        assert_eq!(lossy.verdict(), judged.verdict(), "no run decides what documents do");
        let lost = lossy.sentences.iter().find(|sentence| sentence.starts_with("lost")).unwrap();
        assert!(lost.starts_with("lost at poison=1% (measured): "), "{lost}");
        for words in ["kafka 7", "kafka-share 3", "redis-pubsub cannot", "redis-lists 0"] {
            assert!(lost.contains(words), "{lost}");
        }
        let mut server_side = documented();
        server_side.iter_mut().filter(|fact| fact.label == "redis-streams").for_each(|fact| {
            fact.says = Some("broker".to_owned());
        });
        let verdict = judge_with(&rule, &cells(0.0), &server_side).verdict();
        assert!(verdict.ends_with("; redis-streams"), "{verdict}");
    }

    #[test]
    fn the_words_in_the_data_decide() {
        let any = rule_with(
            "error-handling",
            "kafka-by: [broker, client library]",
            "kafka-by: [broker, client library, application]",
        );
        assert_eq!(judge_with(&any, &cells(0.0), &documented()).verdict(), "documented: right");
        let other = rule_with("error-handling", "at: poison=1%", "at: poison=2%");
        let told = judge_with(&other, &cells(0.0), &documented());
        let lost = told.sentences.iter().find(|sentence| sentence.starts_with("lost")).unwrap();
        assert!(lost.contains("at poison=2% (measured): not measured"), "{lost}");
    }
}
