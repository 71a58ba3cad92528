//! Fault tolerance: acknowledged messages that are gone when a node is gone for good, at stock
//! settings and with copies.
//!
//! One lost message shows that messages are lost, in whichever block; that none is takes all of
//! them. While no cell takes a node away for good nothing is decided, whatever was lost otherwise:
//! a node that comes back on its data says nothing about copies. Of what stands alone nobody is
//! left to be read: there the documents speak.

use super::fact::{Fact, of};
use super::{Inputs, Judgement};
use crate::claims::finding::{Answer, PRIMITIVES};
use crate::model::{FaultKind, Point};
use crate::result::ComparedCell;
use crate::result::words::{grouped, significant};
use crate::stats::chance_of_unseen;
use itertools::Itertools;
use serde::{Deserialize, Serialize};

const LOST: &str = "fault.gone_from_broker";
const ACKED: &str = "fault.acked";
const DETECTION: &str = "fault.detection";
/// Documented.
const WITH_ITS_NODE: &str = "lost_with_its_node";
const DETECTED: &str = "detection";

/// Whether there are copies on other nodes, and how that is called.
const CONDITIONS: [(bool, &str); 2] = [(false, "at stock settings"), (true, "with copies")];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultToleranceLimits {
    /// Messages.
    kafka_lost_at_most: f64,
    primitive_lost_above: f64,
    /// Why nothing can be judged while no node was lost for good.
    undecided: String,
}

pub fn judge(limits: &FaultToleranceLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    let lost = inputs.judged.iter().copied().filter(|cell| cell.metric == LOST);
    let (gone, back): (Vec<&ComparedCell>, Vec<_>) =
        lost.partition(|cell| takes_a_node_for_good(&cell.cell));
    if gone.is_empty() && back.is_empty() {
        return judged;
    }
    for (copied, condition) in CONDITIONS {
        let here: Vec<&ComparedCell> =
            gone.iter().copied().filter(|cell| has_copies(&cell.cell) == copied).collect();
        let lost = |system: &str, limit: f64| -> Answer {
            let own: Vec<&ComparedCell> =
                here.iter().copied().filter(|cell| cell.system == system).collect();
            match documented(inputs, system, condition) {
                Some(says) if own.is_empty() => Ok(says == "all"),
                _ if gone.is_empty() => Err(limits.undecided.clone()),
                _ if own.is_empty() => {
                    Err(format!("no node of {system} was lost for good {condition}"))
                }
                _ => any_above(&own, limit),
            }
        };
        let keeps = lost("kafka", limits.kafka_lost_at_most).map(|lost| !lost);
        for primitive in PRIMITIVES {
            judged.find(
                primitive,
                condition,
                &[keeps.clone(), lost(primitive, limits.primitive_lost_above)],
            );
        }
        if !here.is_empty() {
            let unmeasured =
                PRIMITIVES.iter().filter(|name| here.iter().all(|cell| cell.system != **name));
            let told = unmeasured.filter_map(|name| {
                Some(format!("{name} {} (documented)", documented(inputs, name, condition)?))
            });
            let words = here.iter().map(|cell| told_of(cell, inputs)).chain(told).join(", ");
            judged
                .sentences
                .push(format!("acknowledged and gone with a node, {condition}: {words}"));
        }
    }
    let told = back.iter().map(|cell| told_of(cell, inputs)).join(", ");
    let back = (!told.is_empty()).then(|| {
        format!("acknowledged and gone after a node was killed and started again: {told}")
    });
    if gone.is_empty() {
        let why = &limits.undecided;
        judged.sentences.extend(back);
        judged
            .sentences
            .push(format!("no verdict ({why}): copies on other nodes were not put to the test"));
        judged.sentences.extend(detection(inputs));
    } else {
        judged.sentences.extend(detection(inputs));
        judged.sentences.extend(back);
    }
    judged
}

fn takes_a_node_for_good(point: &str) -> bool {
    let point = Point::read(point);
    let taken =
        point.get("fault").and_then(FaultKind::from_name).is_some_and(FaultKind::takes_down);
    taken && point.get("for") == Some("never") && point.get("target") != Some("all")
}

fn has_copies(point: &str) -> bool {
    Point::read(point).number("copies").is_some_and(|copies| copies > 1.0)
}

/// What documents say of a system that loses a node, under this condition or under any.
fn documented<'a>(inputs: &Inputs<'a>, system: &str, condition: &str) -> Option<&'a str> {
    let fits = |way: Option<&str>| way.is_none_or(|way| way == condition);
    let mut facts = inputs
        .documented
        .iter()
        .filter(|fact| fact.metric == WITH_ITS_NODE && fact.system == system);
    facts.find(|fact| fits(fact.way.as_deref())).and_then(|fact| fact.says.as_deref())
}

/// Whether any of them lost more than this in any block.
fn any_above(cells: &[&ComparedCell], limit: f64) -> Answer {
    let mut unknown = None;
    for cell in cells {
        match of(cell) {
            Fact::Range { most, .. } if most > limit => return Ok(true),
            // What acknowledges nothing keeps nothing.
            Fact::Cannot(_) => return Ok(true),
            Fact::Range { .. } => {}
            Fact::Missing(what) => unknown = Some(what),
        }
    }
    unknown.map_or(Ok(false), Err)
}

/// `kafka-3 0 of 198,000 (none in 3 faults: below 63 % of such faults cost any)`.
fn told_of(cell: &ComparedCell, inputs: &Inputs<'_>) -> String {
    let messages =
        |value: f64| if value.fract() == 0.0 { grouped(value as u64) } else { significant(value) };
    let fact = of(cell);
    let of_all = match (&fact, inputs.fact(&cell.label, ACKED, &cell.cell)) {
        (Fact::Range { .. }, Fact::Range { most, .. }) => format!(" of {}", messages(most)),
        _ => String::new(),
    };
    let bound = match fact {
        Fact::Range { most, .. } if most == 0.0 && cell.n > 0 => {
            let chance = 100.0 * chance_of_unseen(cell.n);
            let faults =
                if cell.n == 1 { "1 fault".to_owned() } else { format!("{} faults", cell.n) };
            format!(" (none in {faults}: at 95 % confidence below {chance:.0} % cost any)")
        }
        _ => String::new(),
    };
    format!("{} {}{of_all}{bound}", cell.label, fact.words(messages))
}

/// How soon the others notice that a node is gone: as read back, else as documented.
fn detection(inputs: &Inputs<'_>) -> Option<String> {
    let read = inputs.judged.iter().filter(|cell| cell.metric == DETECTION);
    let read = read
        .filter_map(|cell| Some(format!("{} {} s", cell.label, cell.value? / 1e3)))
        .unique()
        .join(", ");
    let facts = inputs.documented.iter().filter(|fact| fact.metric == DETECTED);
    let documented =
        facts.filter_map(|fact| Some(format!("{} {}", fact.label, fact.says.as_ref()?))).join(", ");
    let (words, source) = if read.is_empty() {
        (documented, "by default, documented")
    } else {
        (read, "as read back")
    };
    (!words.is_empty()).then(|| format!("a dead node is noticed after ({source}): {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::data::{Documented, load};
    use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with};

    /// Of an only node that is killed and comes back.
    fn killed(lost: [f64; 3]) -> Vec<ComparedCell> {
        const KILLED: &str = "fault=kill,target=node,copies=1";
        let mut cells = vec![cannot("redis-pubsub", LOST, KILLED, "a reply is no acknowledgement")];
        for (label, lost) in ["kafka", "redis-streams", "redis-lists"].into_iter().zip(lost) {
            cells.push(measured(label, LOST, KILLED, &[lost]));
            cells.push(measured(label, ACKED, KILLED, &[50_000.0]));
        }
        cells.push(measured("redis-streams-aof-always", LOST, KILLED, &[0.0]));
        cells
    }

    fn gone(copies: u16, label: &str, lost: &[f64]) -> Vec<ComparedCell> {
        let point = format!("fault=kill,target=leader,copies={copies},for=never");
        let acked: Vec<f64> = lost.iter().map(|_| 60_000.0).collect();
        let mut cells = vec![
            measured(label, LOST, &point, lost),
            measured(label, "fault.acked", &point, &acked),
        ];
        cells.iter_mut().for_each(|cell| cell.n = lost.len() as u64);
        cells
    }

    fn documents() -> Vec<Documented> {
        load().unwrap().rows().find(|row| row.id == "fault-tolerance").unwrap().documented.clone()
    }

    fn judge(rule: &super::super::Rule, cells: &[ComparedCell]) -> Judgement {
        judge_with(rule, cells, &documents())
    }

    fn verdict(cells: &[ComparedCell]) -> String {
        judge(&rule("fault-tolerance"), cells).verdict()
    }

    #[test]
    fn with_one_node_the_facts_stand_and_nothing_is_judged() {
        let judged = judge(&rule("fault-tolerance"), &killed([0.0, 12_345.0, 7.0]));
        assert_eq!(judged.verdict(), "? open: one node");
        let because = judged.because();
        for said in [
            "kafka 0 of 50,000",
            "redis-streams 12,345 of 50,000",
            "redis-streams-aof-always 0",
            "no verdict (one node)",
            "(by default, documented): kafka 9 s, redis-streams 30 s",
        ] {
            assert!(because.contains(said), "{said}: {because}");
        }
        assert_eq!(verdict(&[]), "not measured");
    }

    #[test]
    fn a_node_that_comes_back_or_all_of_them_decide_nothing() {
        for point in [
            "fault=kill,target=leader,copies=3",
            "fault=kill,target=all,copies=3,for=never",
            "fault=pause,target=leader,copies=3,for=never",
        ] {
            let mut cells = killed([0.0, 9.0, 7.0]);
            cells.extend(
                gone(3, "kafka-3", &[5.0])
                    .into_iter()
                    .map(|cell| ComparedCell { cell: point.into(), ..cell }),
            );
            assert_eq!(verdict(&cells), "? open: one node", "{point}");
        }
    }

    #[test]
    fn stock_settings_and_copies_are_judged_apart() {
        let cells = |stock: f64, copied: f64, streams: &[f64]| {
            let cells = [
                gone(1, "kafka-3-stock", &[stock, 0.0, stock]),
                gone(3, "kafka-3", &[copied, 0.0, 0.0]),
            ];
            [cells.concat(), gone(3, "redis-streams-3", streams), killed([0.0, 9.0, 7.0])].concat()
        };
        // As Kafka comes it loses its partitions; with copies it loses nothing, where Redis does.
        assert_eq!(
            verdict(&cells(20_000.0, 0.0, &[0.0, 3.0, 0.0])),
            "◐ right for redis-pubsub, redis-streams with copies · wrong at stock settings · \
             open for redis-lists with copies \
             (no node of redis-lists was lost for good with copies)"
        );
        assert_eq!(
            verdict(&cells(20_000.0, 0.0, &[0.0, 0.0, 0.0])),
            "◐ right for redis-pubsub with copies · wrong for redis-pubsub, redis-lists at stock \
             settings; redis-streams · open for redis-lists with copies (no node of \
             redis-lists was lost for good with copies)"
        );
        // Were it to lose nothing as it comes, the claim would be true of every primitive that
        // stands alone.
        assert_eq!(
            verdict(&cells(0.0, 1.0, &[3.0, 0.0, 0.0])),
            "◐ right at stock settings · wrong with copies"
        );
        assert_eq!(
            verdict(&cells(1.0, 1.0, &[3.0, 0.0, 0.0])),
            "✗ wrong",
            "one message in one block"
        );
        let judged = judge(&rule("fault-tolerance"), &cells(20_000.0, 0.0, &[0.0, 3.0, 0.0]));
        let because = judged.because();
        for said in [
            "at stock settings: kafka-3-stock 0 to 20,000 of 60,000, redis-pubsub all (documented)",
            "with copies: kafka-3 0 of 60,000 (none in 3 faults: at 95 % confidence below 63 % \
            cost any)",
            "redis-streams-3 0 to 3 of 60,000",
        ] {
            assert!(because.contains(said), "{said}: {because}");
        }
    }

    #[test]
    fn a_changed_limit_changes_the_verdict() {
        let cells = [
            gone(1, "kafka-3-stock", &[5.0]),
            gone(3, "kafka-3", &[1.0]),
            gone(3, "redis-streams-3", &[30.0]),
        ]
        .concat();
        assert_eq!(verdict(&cells), "✗ wrong");
        let with = |kafka: u32, primitive: u32| {
            let changed = format!(
                "kafka-lost-at-most: {kafka}, primitive-lost-above: {primitive}, undecided"
            );
            let rule = rule_with(
                "fault-tolerance",
                "kafka-lost-at-most: 0, primitive-lost-above: 0, undecided",
                &changed,
            );
            judge(&rule, &cells).verdict()
        };
        assert_eq!(
            with(1, 0),
            "◐ right for redis-pubsub, redis-streams with copies · wrong at stock settings · \
             open for redis-lists with copies \
             (no node of redis-lists was lost for good with copies)"
        );
        assert_eq!(
            with(1, 30),
            "◐ right for redis-pubsub with copies · wrong for redis-pubsub, redis-lists at stock \
             settings; redis-streams · open for redis-lists with copies (no node of \
             redis-lists was lost for good with copies)"
        );
        let word = rule_with("fault-tolerance", "undecided: one node", "undecided: nobody died");
        assert_eq!(judge(&word, &killed([0.0, 9.0, 7.0])).verdict(), "? open: nobody died");
    }

    #[test]
    fn what_is_missing_is_named_and_detection_is_read_back() {
        let mut cells = gone(3, "kafka-3", &[0.0]);
        cells.push(measured("kafka-3", DETECTION, "base", &[9000.0]));
        let judged = judge(&rule("fault-tolerance"), &cells);
        assert!(judged.because().contains("(as read back): kafka-3 9 s"), "{}", judged.because());
        let lists = judged
            .findings
            .iter()
            .find(|found| found.primitive == "redis-lists" && found.condition == "with copies");
        assert_eq!(lists.unwrap().missing, "no node of redis-lists was lost for good with copies");
        let unknown = cannot(
            "redis-lists-3",
            LOST,
            "fault=kill,target=leader,copies=3,for=never",
            "its replies promise nothing",
        );
        assert_eq!(any_above(&[&unknown], 0.0), Ok(true));
    }
}
