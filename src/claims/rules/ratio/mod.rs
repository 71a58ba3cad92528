//! Ratios of speeds between Kafka and a primitive, over paired blocks, against a limit.
//!
//! A verdict needs three blocks, enough samples beyond the quantile, and equal survival classes (or
//! the scenario's reason to compare across them). What could not run is no evidence.

mod words;

use self::words::{classes_in_words, floors_in_words, ratios_in_words};
use super::fact::short;
use super::{CROWDED, Inputs, Judgement, crowded, is_kafka, paired_blocks, ratio, times};
use crate::claims::finding::{Answer, PRIMITIVES, finding, word};
use crate::model::{Point, Quantile};
use crate::result::words::{name, same_class};
use crate::result::{BlockValue, ComparedCell, Decision, Finding, Kind, RunInfo};
use crate::stats::DECISIVE_BEYOND;
use crate::stats::compare::{GeometricMean, Points, Side, decide, decide_one};
use indexmap::IndexMap;
use itertools::Itertools;
use serde::{Deserialize, Serialize};

/// From this share of the value on, the instrument's floor can hide a difference.
const FLOOR_SHARE: f64 = 0.25;
const CLASSES: &str = "survival classes differ";

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
}

/// One Kafka cell against one primitive's.
struct Pair<'a> {
    kafka: &'a ComparedCell,
    primitive: &'a ComparedCell,
    ratio: Option<GeometricMean>,
    n: u64,
    cross_class: Option<&'a str>,
    /// The labels whose floor is a large share of their value.
    floors: Vec<&'a str>,
    /// Why it carries no verdict, whatever the ratio.
    barred: Option<String>,
    /// At this point alone.
    decision: Answer,
}

pub fn judge(limits: &RatioLimits, inputs: &Inputs<'_>) -> Judgement {
    let pairs = pairs_of(limits, &inputs.judged, inputs.runs);
    let mut findings = decide_all(&pairs, limits);
    let mut sentences = ratios_in_words(&pairs, limits);
    for cell in inputs.judged.iter().filter(|cell| cell.kind == Kind::Cannot) {
        let concerned: Vec<&str> =
            if is_kafka(cell) { PRIMITIVES.into() } else { vec![&cell.system] };
        findings.extend(concerned.iter().map(|name| Finding {
            decision: Decision::NotApplicable,
            ..finding(name, Point::read(&cell.cell).at().trim_start(), Ok(false))
        }));
        sentences.push(format!("{} cannot at {}: {}", cell.label, cell.cell, short(&cell.text)));
    }
    let findings = findings.into_iter().unique_by(|finding| format!("{finding:?}")).collect_vec();
    if findings.is_empty() && !inputs.judged.is_empty() {
        sentences.push("no Kafka cell stands beside one of Redis".to_owned());
    }
    sentences.extend(classes_in_words(&pairs));
    sentences.extend(floors_in_words(&pairs));
    let beside = pairs_of(limits, &inputs.shown, inputs.runs);
    let text = || "stands beside the verdict".to_owned();
    let shown_only =
        beside.iter().map(|pair| ComparedCell { text: text(), ..ratio_cell(pair, limits) });
    let derived = pairs.iter().map(|pair| ratio_cell(pair, limits)).chain(shown_only).collect();
    Judgement { findings, sentences, derived, ..Judgement::default() }
}

/// Each primitive under each condition, over all that the row declares: what bars itself counts as
/// well.
fn decide_all(pairs: &[Pair<'_>], limits: &RatioLimits) -> Vec<Finding> {
    let mut claims: IndexMap<&str, IndexMap<String, Vec<&Pair<'_>>>> = IndexMap::new();
    for pair in pairs {
        let claim = claims.entry(&pair.primitive.system).or_default();
        claim.entry(condition(pair)).or_default().push(pair);
    }
    let points = |pairs: &Vec<&Pair<'_>>| pairs.iter().map(|pair| pair.fair()).collect::<Points>();
    let family = claims.values().map(|claim| claim.values().map(points).collect());
    let decided = decide(&family.collect::<Vec<_>>(), limits.must_be, limits.limit);
    let mut findings = Vec::new();
    for ((primitive, claim), decided) in claims.iter().zip(decided) {
        for ((condition, pairs), decided) in claim.iter().zip(decided) {
            let barred = pairs.iter().find_map(|pair| pair.barred.clone());
            let has = |decision: bool| pairs.iter().any(|pair| pair.decision == Ok(decision));
            let answer = match decided {
                Ok(false) if pairs.iter().any(|pair| pair.hidden(limits)) => {
                    Err("the floor may hide it".to_owned())
                }
                Ok(decided) => Ok(decided),
                Err(_) if has(true) && has(false) => Err("its quantiles disagree".to_owned()),
                Err(why) => Err(barred.unwrap_or_else(|| why.to_string())),
            };
            findings.push(finding(primitive, condition, answer));
        }
    }
    findings
}

impl Pair<'_> {
    /// The ratio, where it may carry a verdict.
    fn fair(&self) -> Option<GeometricMean> {
        self.ratio.filter(|_| self.barred.is_none())
    }

    /// A cost of the instrument on both sides pulls a ratio towards 1: it hides a difference and
    /// makes none. So it can have made what is no more than "not beyond the limit"; never a
    /// difference that is shown, of either sign.
    fn hidden(&self, limits: &RatioLimits) -> bool {
        let opposite = limits.must_be.other();
        let even = match opposite {
            Side::Below => limits.limit.min(1.0),
            Side::Above => limits.limit.max(1.0),
        };
        !self.floors.is_empty() && decide_one(self.ratio, opposite, even) != Ok(true)
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
    times(pair.primitive, &metric, pair.ratio, pair.n, word(&pair.decision))
}

/// Every primitive against the Kafka labels of its run and matrix point: those of equal survival
/// class where there are some, else all of them, which carries a verdict only with the scenario's
/// reason.
fn pairs_of<'a>(
    limits: &RatioLimits,
    cells: &[&'a ComparedCell],
    runs: &'a [RunInfo],
) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for metric in &limits.metrics {
        let quantile = Quantile::of_metric(metric);
        let ran = |cell: &ComparedCell| cell.kind != Kind::Cannot && !cell.per_block.is_empty();
        let cells = || cells.iter().filter(|cell| cell.metric == *metric && ran(cell));
        for primitive in cells().filter(|cell| PRIMITIVES.contains(&cell.system.as_str())) {
            let same_place =
                |kafka: &ComparedCell| kafka.run == primitive.run && kafka.cell == primitive.cell;
            let beside: Vec<_> =
                cells().filter(|kafka| is_kafka(kafka) && same_place(kafka)).collect();
            let equal = |kafka: &ComparedCell| match (&kafka.survives, &primitive.survives) {
                (Some(kafka), Some(primitive)) => same_class(kafka, primitive),
                _ => false,
            };
            let run = runs.iter().find(|run| Some(&run.run) == primitive.run.as_ref());
            let reason = run.and_then(|run| run.cross_class.as_deref());
            let some_equal = beside.iter().any(|kafka| equal(kafka));
            for kafka in beside.into_iter().filter(|kafka| !some_equal || equal(kafka)) {
                let cross_class = if some_equal { None } else { reason };
                let (ratio, n) = paired(kafka, primitive, limits);
                let barred = (crowded(kafka, runs) || crowded(primitive, runs))
                    .then(|| CROWDED.to_owned())
                    .or_else(|| (!some_equal && cross_class.is_none()).then(|| CLASSES.to_owned()))
                    .or_else(|| barred(kafka, primitive, quantile));
                let floors = [kafka, primitive].into_iter().filter(|cell| large_floor(cell));
                let decision = match &barred {
                    Some(reason) => Err(reason.clone()),
                    None => decide_one(ratio, limits.must_be, limits.limit)
                        .map_err(|why| why.to_string()),
                };
                let floors = floors.map(|cell| cell.label.as_str()).collect();
                pairs.push(Pair {
                    kafka,
                    primitive,
                    ratio,
                    n,
                    cross_class,
                    floors,
                    barred,
                    decision,
                });
            }
        }
    }
    pairs
}

/// The ratio over the blocks in which both sides have a value, and the messages behind it.
fn paired(
    kafka: &ComparedCell,
    primitive: &ComparedCell,
    limits: &RatioLimits,
) -> (Option<GeometricMean>, u64) {
    let (over, under) = limits.order(kafka, primitive);
    let both = paired_blocks(over, under)
        .filter(|(over, under)| over.value.is_some() && under.value.is_some());
    (ratio(over, under), both.map(|(over, under)| over.n + under.n).sum())
}

/// Why a pair carries no verdict: overload, or too few samples.
fn barred(
    kafka: &ComparedCell,
    primitive: &ComparedCell,
    quantile: Option<Quantile>,
) -> Option<String> {
    let needed = quantile.map_or(DECISIVE_BEYOND, Quantile::samples_to_decide);
    for side in [kafka, primitive] {
        if quantile.is_some()
            && let Some(block) =
                side.per_block.iter().find(|block| block.valid && block.outcome.spoils_latency())
        {
            return Some(format!("{} {}", side.label, name(&block.outcome)));
        }
        let few = |block: &&BlockValue| block.n < needed && block.value.is_some();
        if let Some(block) = side.per_block.iter().find(few) {
            let found = block.n;
            return Some(format!("{} has {found} of {needed} samples", side.label));
        }
    }
    None
}

/// Whether in any block the path without a broker costs a large share of the value.
fn large_floor(cell: &ComparedCell) -> bool {
    let large = |block: &BlockValue| Some(block.floor? > FLOOR_SHARE * block.value?);
    Quantile::of_metric(&cell.metric).is_some()
        && cell.per_block.iter().filter_map(large).any(|is| is)
}

#[cfg(test)]
mod tests;
