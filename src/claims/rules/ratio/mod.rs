//! Ratios of speeds between Kafka and a primitive, over paired blocks, against a limit.
//!
//! A verdict needs three blocks, enough samples beyond the quantile, equal survival classes (or the scenario's reason to
//! compare across them), and values that the instrument does not make up itself.

mod pair;
mod words;

use self::pair::{FloorRule, Pair};
use self::words::{classes_in_words, floors_in_words, ratios_in_words};
use super::{Inputs, Judgement, is_kafka};
use crate::claims::data::empty_cell;
use crate::claims::finding::{Decision, Finding, PRIMITIVES};
use crate::claims::rules::fact::short;
use crate::model::{Point, Unit};
use crate::result::{ComparedCell, Kind};
use crate::stats::compare::{Side, decide};
use serde::{Deserialize, Serialize};

/// `above` claims that Kafka is the better one, `below` that the primitive is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RatioLimits {
    metrics: Vec<String>,
    of: Of,
    must_be: Side,
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Of {
    #[serde(rename = "Kafka ÷ primitive")]
    KafkaToPrimitive,
    #[serde(rename = "primitive ÷ Kafka")]
    PrimitiveToKafka,
}

impl RatioLimits {
    /// Kafka's and the primitive's in the order of the ratio.
    fn order<T>(&self, kafka: T, primitive: T) -> (T, T) {
        match self.of {
            Of::KafkaToPrimitive => (kafka, primitive),
            Of::PrimitiveToKafka => (primitive, kafka),
        }
    }

    fn kept(&self, ratio: f64) -> bool {
        self.must_be.holds(ratio, self.limit)
    }
}

pub fn judge(limits: &RatioLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut pairs = pair::pairs(limits, &inputs.judged, inputs.runs);
    decide_all(&mut pairs, limits);
    let mut findings: Vec<Finding> =
        pairs.iter().map(|pair| Finding::new(&pair.primitive.system, condition(pair), pair.decision.clone())).collect();
    let mut sentences = ratios_in_words(&pairs, limits);
    for cell in inputs.judged.iter().filter(|cell| cell.kind == Kind::Cannot) {
        // Who cannot is not the better one.
        let shown = is_kafka(cell) == (limits.must_be == Side::Below);
        let decision = if shown { Decision::Shown } else { Decision::Refuted };
        let concerned: Vec<&str> = if is_kafka(cell) { PRIMITIVES.into() } else { vec![&cell.system] };
        findings.extend(concerned.iter().map(|name| Finding::new(name, format!("at {}", cell.cell), decision.clone())));
        sentences.push(format!("{} cannot at {}: {}", cell.label, cell.cell, short(&cell.text)));
    }
    if findings.is_empty() && !inputs.judged.is_empty() {
        sentences.push("no Kafka cell stands beside one of Redis".to_owned());
    }
    sentences.extend(classes_in_words(&pairs));
    sentences.extend(floors_in_words(&pairs));
    let beside = pair::pairs(limits, &inputs.shown, inputs.runs);
    let shown_only = beside
        .iter()
        .map(|pair| ComparedCell { text: "stands beside the verdict".to_owned(), ..ratio_cell(pair, limits) });
    let derived = pairs.iter().map(|pair| ratio_cell(pair, limits)).chain(shown_only).collect();
    Judgement { findings, verdict: None, sentences, derived }
}

/// Decides every pair. The family is all that the row declares: one that bars itself counts as well.
fn decide_all(pairs: &mut [Pair<'_>], limits: &RatioLimits) {
    let family: Vec<_> = pairs.iter().map(|pair| pair.ratio.filter(|_| pair.barred.is_none())).collect();
    for (pair, decided) in pairs.iter_mut().zip(decide(&family, limits.must_be, limits.limit)) {
        pair.decision = match (decided, &pair.barred) {
            (_, Some(reason)) => Decision::Undecided(reason.clone()),
            (Ok(true), None) => Decision::Shown,
            (Ok(false), None) => Decision::Refuted,
            (Err(why), None) => Decision::Undecided(why.to_string()),
        };
    }
}

/// The matrix point of a pair, with the labels where they are not the plain ones.
fn condition(pair: &Pair<'_>) -> String {
    let mut text = Point::read(&pair.primitive.cell).at().trim_start().to_owned();
    if pair.primitive.label != pair.primitive.system {
        text = format!("as {} {text}", pair.primitive.label);
    }
    if pair.kafka.label != "kafka" {
        text = format!("{text} against {}", pair.kafka.label);
    }
    text.trim().to_owned()
}

fn ratio_cell(pair: &Pair<'_>, limits: &RatioLimits) -> ComparedCell {
    let (above, below) = limits.order(pair.kafka, pair.primitive);
    let metric = format!("ratio({}, {}, {})", pair.primitive.metric, above.label, below.label);
    let floor = match pair.floor {
        FloorRule::Harmless(share) if matches!(pair.decision, Decision::Shown | Decision::Refuted) => {
            format!("; the floor, {} % of the smaller value, cannot turn it", (share * 100.0).round())
        }
        _ => String::new(),
    };
    ComparedCell {
        variant: pair.primitive.variant.clone(),
        cell: pair.primitive.cell.clone(),
        kind: if pair.ratio.is_some() { Kind::Measured } else { Kind::NotMeasured },
        value: pair.ratio.map(|ratio| ratio.value()),
        unit: Unit::Times.name().to_owned(),
        interval: pair.ratio.and_then(|ratio| ratio.interval()),
        n: pair.n,
        blocks: pair.ratio.map_or(0, |ratio| ratio.blocks() as u32),
        text: format!("{}{floor}", pair.decision.word()),
        run: pair.primitive.run.clone(),
        ..empty_cell(&pair.primitive.label, &pair.primitive.system, &metric)
    }
}

#[cfg(test)]
mod tests;
