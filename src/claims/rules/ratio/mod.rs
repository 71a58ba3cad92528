//! Ratios of speeds between Kafka and a primitive, over paired blocks, against a limit.
//!
//! A verdict needs three blocks, enough samples beyond the quantile, equal survival classes (or the
//! scenario's reason to compare across them), and values that the instrument does not make up
//! itself.

mod words;

use self::words::{classes_in_words, floors_in_words, ratios_in_words};
use super::fact::short;
use super::{CROWDED, Inputs, Judgement, crowded, is_kafka, paired_blocks, ratio, times};
use crate::claims::finding::{Answer, Finding, PRIMITIVES, word};
use crate::model::{Point, Quantile};
use crate::result::words::same_class;
use crate::result::{CellOutcome, ComparedCell, Kind, RunInfo};
use crate::stats::DECISIVE_BEYOND;
use crate::stats::compare::{GeometricMean, Side, decide};
use serde::{Deserialize, Serialize};

/// A latency carries a verdict while the instrument's floor is at most this share of the smaller
/// side, or while the ratio stays on its side of the limit wherever between nothing and its floor
/// each side's own path cost lies. (A responder that does nothing is hardly faster than Redis: the
/// share alone would forbid every verdict on it.)
const FLOOR_SHARE: f64 = 0.25;
const CLASSES: &str =
    "survival classes differ and the scenario gives no reason to compare across them";
const BELOW_FLOOR: &str = "below the instrument's floor";

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

/// One Kafka cell against one primitive's.
struct Pair<'a> {
    kafka: &'a ComparedCell,
    primitive: &'a ComparedCell,
    ratio: Option<GeometricMean>,
    n: u64,
    cross_class: Option<&'a str>,
    floor: FloorRule,
    /// Why it carries no verdict, whatever the ratio.
    barred: Option<String>,
    decision: Answer,
}

/// What the instrument's floor does to a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FloorRule {
    /// The floor is small beside both values.
    Small,
    /// It is this share of the smaller value, and yet cannot have turned the ratio.
    Harmless(f64),
    Barred,
}

pub fn judge(limits: &RatioLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut pairs = pairs_of(limits, &inputs.judged, inputs.runs);
    decide_all(&mut pairs, limits);
    let mut findings: Vec<Finding> = pairs
        .iter()
        .map(|pair| Finding::new(&pair.primitive.system, condition(pair), pair.decision.clone()))
        .collect();
    let mut sentences = ratios_in_words(&pairs, limits);
    for cell in inputs.judged.iter().filter(|cell| cell.kind == Kind::Cannot) {
        // Who cannot is not the better one.
        let shown = is_kafka(cell) == (limits.must_be == Side::Below);
        let concerned: Vec<&str> =
            if is_kafka(cell) { PRIMITIVES.into() } else { vec![&cell.system] };
        findings.extend(
            concerned.iter().map(|name| Finding::new(name, format!("at {}", cell.cell), Ok(shown))),
        );
        sentences.push(format!("{} cannot at {}: {}", cell.label, cell.cell, short(&cell.text)));
    }
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
    Judgement { findings, verdict: None, sentences, derived }
}

/// Decides every pair. The family is all that the row declares: one that bars itself counts as
/// well.
fn decide_all(pairs: &mut [Pair<'_>], limits: &RatioLimits) {
    let family: Vec<_> =
        pairs.iter().map(|pair| pair.ratio.filter(|_| pair.barred.is_none())).collect();
    for (pair, decided) in pairs.iter_mut().zip(decide(&family, limits.must_be, limits.limit)) {
        pair.decision = match &pair.barred {
            Some(reason) => Err(reason.clone()),
            None => decided.map_err(|why| why.to_string()),
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
        FloorRule::Harmless(share) if pair.decision.is_ok() => {
            format!(
                "; the floor, {} % of the smaller value, cannot turn it",
                (share * 100.0).round()
            )
        }
        _ => String::new(),
    };
    times(pair.primitive, &metric, pair.ratio, pair.n, format!("{}{floor}", word(&pair.decision)))
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
        let cells =
            || cells.iter().filter(|cell| cell.metric == *metric && !cell.per_block.is_empty());
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
                let floor = floor_rule(kafka, primitive, limits, quantile.is_some());
                let barred = (crowded(kafka, runs) || crowded(primitive, runs))
                    .then(|| CROWDED.to_owned())
                    .or_else(|| (!some_equal && cross_class.is_none()).then(|| CLASSES.to_owned()))
                    .or_else(|| barred(kafka, primitive, quantile))
                    .or_else(|| (floor == FloorRule::Barred).then(|| BELOW_FLOOR.to_owned()));
                let decision = Ok(false);
                pairs.push(Pair {
                    kafka,
                    primitive,
                    ratio,
                    n,
                    cross_class,
                    floor,
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
            && side
                .per_block
                .iter()
                .any(|block| block.valid && block.outcome == CellOutcome::Overloaded)
        {
            return Some(format!("{} is overloaded at {}", side.label, side.cell));
        }
        if let Some(block) =
            side.per_block.iter().find(|block| block.n < needed && block.value.is_some())
        {
            return Some(format!(
                "{} has {} samples a block, {needed} needed",
                side.label, block.n
            ));
        }
    }
    None
}

/// A measured latency is the system's own and something between nothing and the floor on top. So
/// the ratio of what is the systems' own lies between its extremes: the floor off the upper side
/// only, and off the lower side only. While both extremes lie on the same side of the limit as the
/// ratio itself, in every block, the floor cannot have made the verdict.
fn floor_rule(
    kafka: &ComparedCell,
    primitive: &ComparedCell,
    limits: &RatioLimits,
    latency: bool,
) -> FloorRule {
    let all =
        || kafka.per_block.iter().chain(&primitive.per_block).filter(|block| block.value.is_some());
    let smaller = all().filter_map(|block| block.value).reduce(f64::min);
    let floor = all().filter_map(|block| block.floor).reduce(f64::max);
    let (true, Some(smaller), Some(floor)) = (latency, smaller, floor) else {
        return FloorRule::Small;
    };
    if floor <= FLOOR_SHARE * smaller {
        return FloorRule::Small;
    }
    let decides = paired_blocks(kafka, primitive).any(|(kafka, primitive)| {
        let (above, below) = limits.order(kafka, primitive);
        let (Some(a), Some(b)) = (above.value, below.value) else { return false };
        let (least_a, least_b) = (a - above.floor.unwrap_or(0.0), b - below.floor.unwrap_or(0.0));
        let extremes =
            [least_a.max(0.0) / b, if least_b > 0.0 { a / least_b } else { f64::INFINITY }];
        extremes.iter().any(|extreme| limits.kept(*extreme) != limits.kept(a / b))
    });
    if decides { FloorRule::Barred } else { FloorRule::Harmless(floor / smaller) }
}

#[cfg(test)]
mod tests;
