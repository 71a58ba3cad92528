//! Ratios of speeds between Kafka and a primitive, over paired blocks, against a limit.
//!
//! A verdict needs three blocks, enough samples beyond the quantile, equal survival classes (or the scenario's reason to
//! compare across them), and values that the instrument does not make up itself.

mod pair;
mod words;

use self::pair::{FloorRule, Pair};
use self::words::{classes_in_words, floors_in_words, ratios_in_words};
use super::{Inputs, Judged};
use crate::claims::data::empty_cell;
use crate::claims::finding::{Decision, Finding, PRIMITIVES};
use crate::claims::rules::fact::short;
use crate::result::{ComparedCell, Kind};
use crate::stats::compare::{ALPHA, GeometricMean, LEAST_BLOCKS, holm};
use serde::{Deserialize, Serialize};

const EXPLORATORY: &str = "exploratory";

/// `above` claims that Kafka is the better one, `below` that the primitive is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Side {
    Above,
    Below,
}

impl Limits {
    /// Kafka's and the primitive's in the order of the ratio.
    fn order<T>(&self, kafka: T, primitive: T) -> (T, T) {
        match self.of {
            Of::KafkaToPrimitive => (kafka, primitive),
            Of::PrimitiveToKafka => (primitive, kafka),
        }
    }

    fn kept(&self, ratio: f64) -> bool {
        match self.must_be {
            Side::Above => ratio > self.limit,
            Side::Below => ratio < self.limit,
        }
    }
}

pub fn judge(limits: &Limits, inputs: &Inputs<'_>) -> Judged {
    let mut pairs = pair::pairs(limits, &inputs.judged, inputs.runs);
    decide(&mut pairs, limits);
    let mut findings: Vec<Finding> =
        pairs.iter().map(|pair| Finding::new(&pair.primitive.system, condition(pair), pair.decision.clone())).collect();
    let mut sentences = ratios_in_words(&pairs, limits);
    for cell in inputs.judged.iter().filter(|cell| cell.kind == Kind::Cannot) {
        // Who cannot is not the better one.
        let shown = (cell.system == "kafka") == (limits.must_be == Side::Below);
        let decision = if shown { Decision::Shown } else { Decision::Refuted };
        let concerned: Vec<&str> = if cell.system == "kafka" { PRIMITIVES.into() } else { vec![&cell.system] };
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
    Judged { findings, verdict: None, sentences, derived }
}

/// Decides every pair that may be decided. The family of Holm's adjustment is all that the row declares: one that bars
/// itself counts as well, else the data would choose how strictly they are judged.
fn decide(pairs: &mut [Pair<'_>], limits: &Limits) {
    let testable = |pair: &Pair<'_>| pair.ratio.filter(|ratio| pair.barred.is_none() && ratio.blocks() >= LEAST_BLOCKS);
    let (shown, refuted): (Vec<f64>, Vec<f64>) = pairs
        .iter()
        .map(|pair| match (testable(pair), limits.must_be) {
            (Some(ratio), Side::Above) => (ratio.p_above(limits.limit), ratio.p_below(limits.limit)),
            (Some(ratio), Side::Below) => (ratio.p_below(limits.limit), ratio.p_above(limits.limit)),
            (None, _) => (None, None),
        })
        .map(|(shown, refuted)| (shown.unwrap_or(1.0), refuted.unwrap_or(1.0)))
        .unzip();
    let family = pairs.len();
    let adjusted = holm(&shown).into_iter().zip(holm(&refuted));
    for (pair, adjusted) in pairs.iter_mut().zip(adjusted) {
        pair.decision = match (testable(pair).map(|_| adjusted), &pair.barred, &pair.ratio) {
            (Some((shown, _)), ..) if shown < ALPHA => Decision::Shown,
            (Some((_, refuted)), ..) if refuted < ALPHA => Decision::Refuted,
            (Some(_), _, Some(ratio)) => Decision::Undecided(undecided(ratio, limits, family)),
            (None, Some(reason), _) => Decision::Undecided(reason.clone()),
            (None, None, Some(_)) => Decision::Undecided(EXPLORATORY.to_owned()),
            (_, _, None) => Decision::Undecided("no block is valid on both sides".to_owned()),
        };
    }
}

/// Why the blocks do not decide: the interval itself, or that it is one of many.
fn undecided(ratio: &GeometricMean, limits: &Limits, family: usize) -> String {
    let includes = ratio.interval().is_none_or(|[low, high]| low <= limits.limit && limits.limit <= high);
    if includes { "the interval includes the limit".to_owned() } else { format!("not shown as one of {family} (Holm)") }
}

/// The matrix point of a pair, with the labels where they are not the plain ones.
fn condition(pair: &Pair<'_>) -> String {
    let mut text = match pair.primitive.cell.as_str() {
        "base" => String::new(),
        point => format!("at {point}"),
    };
    if pair.primitive.label != pair.primitive.system {
        text = format!("as {} {text}", pair.primitive.label);
    }
    if pair.kafka.label != "kafka" {
        text = format!("{text} against {}", pair.kafka.label);
    }
    text.trim().to_owned()
}

fn ratio_cell(pair: &Pair<'_>, limits: &Limits) -> ComparedCell {
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
        unit: "×".to_owned(),
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
