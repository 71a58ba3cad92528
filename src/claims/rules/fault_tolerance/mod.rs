//! Fault tolerance: acknowledged messages that are gone when a node is gone for good, at stock
//! settings and with copies.
//!
//! One lost message shows that messages are lost, in whichever block. That none ever is takes so
//! many faults that few of such could cost any; with fewer it is not refuted, and open. Both sides
//! are held to the same faults. While no cell takes a node away for good nothing is decided,
//! whatever was lost otherwise: a node that comes back on its data says nothing about copies. Of
//! what stands alone nobody is left to be read: there the documents speak.

use super::fact::{Fact, of};
use super::{Inputs, Judgement, is_kafka};
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

/// Who has a message when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holders {
    OneNode,
    /// Others have copies, or will have them soon.
    Followers,
    /// Others have copies, by their own word.
    Confirmed,
}

/// Each with how it is called.
const CONDITIONS: [(Holders, &str); 3] = [
    (Holders::OneNode, "at stock settings"),
    (Holders::Followers, "with copies"),
    (Holders::Confirmed, "with copies that confirm"),
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultToleranceLimits {
    /// Messages.
    kafka_lost_at_most: f64,
    primitive_lost_above: f64,
    /// Why nothing can be judged while no node was lost for good.
    undecided: String,
    /// That no such fault costs any is shown once at most this share of them can, at 95 %
    /// confidence.
    unseen_at_most: f64,
}

pub fn judge(limits: &FaultToleranceLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    let lost = inputs.judged.iter().copied().filter(|cell| cell.metric == LOST);
    let (gone, back): (Vec<&ComparedCell>, Vec<_>) =
        lost.partition(|cell| takes_a_node_for_good(&cell.cell));
    if gone.is_empty() && back.is_empty() {
        return judged;
    }
    for (holders, condition) in CONDITIONS {
        let here: Vec<&ComparedCell> =
            gone.iter().copied().filter(|cell| is_held(cell, holders)).collect();
        // Nobody else need be asked about what the others have no way to do, or did not.
        if holders == Holders::Confirmed && here.iter().all(|cell| is_kafka(cell)) {
            continue;
        }
        for primitive in PRIMITIVES {
            let (kafka, own) = on_the_same_faults(&here, primitive);
            let measured = |system: &str| here.iter().any(|cell| cell.system == system);
            let lost = |system: &str, own: &[&ComparedCell], limit: f64| -> Answer {
                match documented(inputs, system, condition) {
                    _ if own.is_empty() && measured(system) => {
                        Err("no fault that both met".to_owned())
                    }
                    Some(says) if own.is_empty() => Ok(says == "all"),
                    _ if gone.is_empty() => Err(limits.undecided.clone()),
                    _ if own.is_empty() => {
                        Err(format!("no node of {system} was lost for good {condition}"))
                    }
                    _ => any_above(own, limit, limits.unseen_at_most),
                }
            };
            let keeps = lost("kafka", &kafka, limits.kafka_lost_at_most).map(|lost| !lost);
            let loses = lost(primitive, &own, limits.primitive_lost_above);
            judged.find(primitive, condition, &[keeps, loses]);
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

fn is_held(cell: &ComparedCell, by: Holders) -> bool {
    let copied = has_copies(&cell.cell);
    let confirmed = cell.survives.as_ref().is_some_and(|class| class.node_loss);
    match by {
        Holders::OneNode => !copied,
        // Kafka's followers confirm by the way in which they follow.
        Holders::Followers => copied && (is_kafka(cell) || !confirmed),
        Holders::Confirmed => copied && confirmed,
    }
}

/// Kafka's cells and those of a primitive, of the faults that both met; all of Kafka's where
/// nothing was done to the primitive.
fn on_the_same_faults<'a>(
    here: &[&'a ComparedCell],
    primitive: &str,
) -> (Vec<&'a ComparedCell>, Vec<&'a ComparedCell>) {
    let of = |system: &str| -> Vec<&ComparedCell> {
        here.iter().copied().filter(|cell| cell.system == system).collect()
    };
    let (kafka, own) = (of("kafka"), of(primitive));
    if kafka.is_empty() || own.is_empty() {
        return (kafka, own);
    }
    let met = |by: &[&ComparedCell], cell: &ComparedCell| {
        by.iter().any(|other| fault(&other.cell) == fault(&cell.cell))
    };
    let common = |cells: &[&'a ComparedCell], by: &[&ComparedCell]| -> Vec<&'a ComparedCell> {
        cells.iter().copied().filter(|cell| met(by, cell)).collect()
    };
    (common(&kafka, &own), common(&own, &kafka))
}

/// What was done, to whom and for how long.
fn fault(point: &str) -> [Option<String>; 3] {
    let point = Point::read(point);
    ["fault", "target", "for"].map(|key| point.get(key).map(str::to_owned))
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

/// Whether any of them lost more than this in any block; that none did is shown by enough faults on
/// each.
fn any_above(cells: &[&ComparedCell], limit: f64, unseen_at_most: f64) -> Answer {
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
    let faults = cells.iter().map(|cell| cell.n).min().unwrap_or(0);
    match unknown {
        Some(what) => Err(what),
        None if chance_of_unseen(faults) > unseen_at_most => {
            Err(format!("not refuted in {}", faults_in_words(faults)))
        }
        None => Ok(false),
    }
}

fn faults_in_words(faults: u64) -> String {
    if faults == 1 { "1 fault".to_owned() } else { format!("{} faults", grouped(faults)) }
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
            let faults = faults_in_words(cell.n);
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
mod tests;
