//! Ratios of speeds between Kafka and a primitive, over paired blocks, against a limit.
//!
//! A verdict needs three blocks, enough samples beyond the quantile, and equal survival classes (or
//! the scenario's reason to compare across them). What could not run is no evidence.
//!
//! Several Kafka labels of one promise (`linger.ms` 0, 1 and 5) are one condition: a ratio must
//! hold against every one of them. So no setting of ours decides, none is chosen from the data, and
//! an intersection needs no correction. At `own-half-capacity` each label has another rate: that
//! stands beside the verdict.

mod equals;
mod rounds;
mod words;

use self::equals::{Equals, percent};
pub use self::rounds::Shows;
use self::words::{classes_in_words, floors_in_words, ratios_in_words};
use super::fact::short;
use super::{CROWDED, Inputs, Judgement, crowded, is_kafka, paired_blocks, paired_ratio, times};
use crate::claims::finding::{Answer, PRIMITIVES, finding, word};
use crate::model::{Point, Quantile, System};
use crate::result::words::{name, same_class};
use crate::result::{BlockValue, ComparedCell, Decision, Finding, Kind, RunInfo};
use crate::scenario::HalfOf;
use crate::stats::DECISIVE_BEYOND;
use crate::stats::compare::{GeometricMean, Points, Side, Undecided, decide, decide_one};
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
    /// Kafka as the plain label has it, or with other settings and the same promise.
    plain: bool,
    ratio: Option<GeometricMean>,
    n: u64,
    cross_class: Option<&'a str>,
    /// Up to which factor the study cannot tell a difference from none.
    margin: Option<f64>,
    /// The labels whose floor is a large share of their value.
    floors: Vec<&'a str>,
    /// Why it carries no verdict, whatever the ratio.
    barred: Option<String>,
    /// At this point alone.
    decision: Answer,
}

pub fn judge(limits: &RatioLimits, inputs: &Inputs<'_>) -> Judgement {
    let (judged, own_rates): (Vec<_>, Vec<_>) =
        inputs.judged.iter().copied().partition(|cell| at_one_rate(cell));
    let pairs = pairs_of(limits, &judged, inputs.runs);
    let mut findings = decide_all(&pairs, limits);
    let mut sentences = ratios_in_words(&pairs, limits);
    for cell in judged.iter().filter(|cell| cell.kind == Kind::Cannot) {
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
    let equals = Equals::all(&limits.metrics, &inputs.judged);
    sentences.extend(Equals::in_words(&equals));
    sentences.extend(classes_in_words(&pairs));
    sentences.extend(floors_in_words(&pairs));
    let beside = pairs_of(limits, &[&inputs.shown[..], &own_rates].concat(), inputs.runs);
    let text = || "stands beside the verdict".to_owned();
    let shown_only =
        beside.iter().map(|pair| ComparedCell { text: text(), ..ratio_cell(pair, limits) });
    let twice = equals.iter().map(Equals::derived);
    let judged = pairs.iter().map(|pair| ratio_cell(pair, limits));
    let derived = judged.chain(shown_only).chain(twice).collect();
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
    let within = Err(Undecided::WithinSpread);
    let conditions = claims.values().flat_map(IndexMap::values).zip(decided.iter().flatten());
    let open = conditions.filter(|(_, decided)| **decided == within).flat_map(|(pairs, _)| pairs);
    let deciding = limits.deciding(pairs, &open.copied().collect::<Vec<_>>());
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
                Err(_) if has(true) && has(false) => Err(disagreement(pairs).to_owned()),
                Err(why) if decided == within => {
                    Err(barred.unwrap_or_else(|| format!("{why}: {deciding}")))
                }
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

/// Whether all labels had the same rate there.
fn at_one_rate(cell: &ComparedCell) -> bool {
    Point::read(&cell.cell).get("rate") != Some(HalfOf::Own.name())
}

/// Between what a ratio is on both sides of the limit.
fn disagreement(pairs: &[&Pair<'_>]) -> &'static str {
    let mut labels = pairs.iter().map(|pair| &pair.kafka.label).unique();
    let both = |label: &String| {
        let own = || pairs.iter().filter(|pair| pair.kafka.label == *label);
        let has = |decision: bool| own().any(|pair| pair.decision == Ok(decision));
        has(true) && has(false)
    };
    if labels.any(both) { "its quantiles disagree" } else { "Kafka's settings decide" }
}

/// The matrix point of a pair, with the labels where they are not the plain ones.
fn condition(pair: &Pair<'_>) -> String {
    let mut text = Point::read(&pair.primitive.cell).at().trim_start().to_owned();
    if pair.primitive.label != pair.primitive.system {
        text = format!("as {} {text}", pair.primitive.label);
    }
    if !pair.plain {
        text = format!("{text} against {}", pair.kafka.label);
    }
    text.trim().to_owned()
}

fn ratio_cell(pair: &Pair<'_>, limits: &RatioLimits) -> ComparedCell {
    let (above, below) = limits.order(pair.kafka, pair.primitive);
    let metric = format!("ratio({}, {}, {})", pair.primitive.metric, above.label, below.label);
    let margin = pair.margin.map_or_else(String::new, |margin| {
        format!("; the same system twice: margin {}", percent(margin))
    });
    times(pair.primitive, &metric, pair.ratio, pair.n, word(&pair.decision) + &margin)
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
    let equals = Equals::all(&limits.metrics, cells);
    for metric in &limits.metrics {
        let quantile = Quantile::of_metric(metric);
        let ran = |cell: &ComparedCell| cell.kind != Kind::Cannot && !cell.per_block.is_empty();
        let once = |cell: &ComparedCell| cell.same_as.is_none();
        let here = |cell: &ComparedCell| cell.metric == *metric && once(cell) && ran(cell);
        let cells = || cells.iter().filter(|cell| here(cell));
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
            let plain = beside.iter().find(|kafka| kafka.label == System::Kafka.name());
            let promise = plain.map(|kafka| kafka.survives.as_ref());
            for kafka in beside.into_iter().filter(|kafka| !some_equal || equal(kafka)) {
                let cross_class = if some_equal { None } else { reason };
                let (ratio, n) = paired(kafka, primitive, limits);
                let margin = Equals::margin(&equals, primitive);
                let ratio = ratio.map(|ratio| ratio.with_margin(margin));
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
                    plain: promise == Some(kafka.survives.as_ref()),
                    ratio,
                    n,
                    cross_class,
                    margin,
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
    (paired_ratio(over, under), both.map(|(over, under)| over.n + under.n).sum())
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
        // A block shows a quantile with ten samples beyond it. How uncertain that is shows between
        // the blocks; the hundred of a verdict are of all of them.
        let counted = side.per_block.iter().filter(|block| block.value.is_some());
        let found: u64 = counted.map(|block| block.n).sum();
        if (1..needed).contains(&found) {
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
