//! Which cell stands against which, and what bars a pair from a verdict whatever its ratio.

use super::RatioLimits;
use crate::claims::finding::{Decision, PRIMITIVES};
use crate::claims::rules::{CROWDED, crowded, is_kafka, paired_blocks, ratio};
use crate::model::Quantile;
use crate::result::words::same_class;
use crate::result::{CellOutcome, ComparedCell, RunInfo};
use crate::stats::DECISIVE_BEYOND;
use crate::stats::compare::GeometricMean;

/// A latency carries a verdict while the instrument's floor is at most this share of the smaller side, or while the ratio
/// stays on its side of the limit wherever between nothing and its floor each side's own path cost lies. (A responder
/// that does nothing is hardly faster than Redis: the share alone would forbid every verdict on it.)
const FLOOR_SHARE: f64 = 0.25;
const CLASSES: &str = "survival classes differ and the scenario gives no reason to compare across them";
const BELOW_FLOOR: &str = "below the instrument's floor";

/// One Kafka cell against one primitive's.
pub struct Pair<'a> {
    pub kafka: &'a ComparedCell,
    pub primitive: &'a ComparedCell,
    pub ratio: Option<GeometricMean>,
    pub n: u64,
    pub cross_class: Option<&'a str>,
    pub floor: FloorRule,
    /// Why it carries no verdict, whatever the ratio.
    pub barred: Option<String>,
    pub decision: Decision,
}

/// Every primitive against the Kafka labels of its run and matrix point: those of equal survival class where there are
/// some, else all of them, which carries a verdict only with the scenario's reason.
pub fn pairs<'a>(limits: &RatioLimits, cells: &[&'a ComparedCell], runs: &'a [RunInfo]) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for metric in &limits.metrics {
        let quantile = Quantile::of_metric(metric);
        let cells = || cells.iter().filter(|cell| cell.metric == *metric && !cell.per_block.is_empty());
        for primitive in cells().filter(|cell| PRIMITIVES.contains(&cell.system.as_str())) {
            let beside: Vec<&&ComparedCell> = cells()
                .filter(|kafka| is_kafka(kafka) && kafka.run == primitive.run && kafka.cell == primitive.cell)
                .collect();
            let equal = |kafka: &ComparedCell| match (&kafka.survives, &primitive.survives) {
                (Some(kafka), Some(primitive)) => same_class(kafka, primitive),
                _ => false,
            };
            let reason = runs
                .iter()
                .find(|run| Some(&run.run) == primitive.run.as_ref())
                .and_then(|run| run.cross_class.as_deref());
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
                let decision = Decision::Refuted;
                pairs.push(Pair { kafka, primitive, ratio, n, cross_class, floor, barred, decision });
            }
        }
    }
    pairs
}

/// The ratio over the blocks in which both sides have a value, and the messages behind it.
fn paired(kafka: &ComparedCell, primitive: &ComparedCell, limits: &RatioLimits) -> (Option<GeometricMean>, u64) {
    let (over, under) = limits.order(kafka, primitive);
    let both = paired_blocks(over, under).filter(|(over, under)| over.value.is_some() && under.value.is_some());
    (ratio(over, under), both.map(|(over, under)| over.n + under.n).sum())
}

/// Why a pair carries no verdict: overload, or too few samples.
fn barred(kafka: &ComparedCell, primitive: &ComparedCell, quantile: Option<Quantile>) -> Option<String> {
    let needed = quantile.map_or(DECISIVE_BEYOND, Quantile::samples_to_decide);
    for side in [kafka, primitive] {
        if quantile.is_some()
            && side.per_block.iter().any(|block| block.valid && block.outcome == CellOutcome::Overloaded)
        {
            return Some(format!("{} is overloaded at {}", side.label, side.cell));
        }
        if let Some(block) = side.per_block.iter().find(|block| block.n < needed && block.value.is_some()) {
            return Some(format!("{} has {} samples a block, {needed} needed", side.label, block.n));
        }
    }
    None
}

/// What the instrument's floor does to a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FloorRule {
    /// The floor is small beside both values.
    Small,
    /// It is this share of the smaller value, and yet cannot have turned the ratio.
    Harmless(f64),
    Barred,
}

/// A measured latency is the system's own and something between nothing and the floor on top. So the ratio of what is the
/// systems' own lies between its extremes: the floor off the upper side only, and off the lower side only. While both
/// extremes lie on the same side of the limit as the ratio itself, in every block, the floor cannot have made the verdict.
fn floor_rule(kafka: &ComparedCell, primitive: &ComparedCell, limits: &RatioLimits, latency: bool) -> FloorRule {
    let all = || kafka.per_block.iter().chain(&primitive.per_block).filter(|block| block.value.is_some());
    let smaller = all().filter_map(|block| block.value).reduce(f64::min);
    let floor = all().filter_map(|block| block.floor).reduce(f64::max);
    let (true, Some(smaller), Some(floor)) = (latency, smaller, floor) else { return FloorRule::Small };
    if floor <= FLOOR_SHARE * smaller {
        return FloorRule::Small;
    }
    let decides = paired_blocks(kafka, primitive).any(|(kafka, primitive)| {
        let (above, below) = limits.order(kafka, primitive);
        let (Some(a), Some(b)) = (above.value, below.value) else { return false };
        let (least_a, least_b) = (a - above.floor.unwrap_or(0.0), b - below.floor.unwrap_or(0.0));
        let extremes = [least_a.max(0.0) / b, if least_b > 0.0 { a / least_b } else { f64::INFINITY }];
        extremes.iter().any(|extreme| limits.kept(*extreme) != limits.kept(a / b))
    });
    if decides { FloorRule::Barred } else { FloorRule::Harmless(floor / smaller) }
}
