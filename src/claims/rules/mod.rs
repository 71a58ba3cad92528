//! The rules, one file each: from the cells of a row to findings, reasons and the cells that follow
//! from them.
//!
//! A rule reads its limits (from `claims.yaml`), the cells and the runs of the comparison, and
//! nothing else, so that anyone can judge again from `comparison.json`. Facts that are yes or no
//! need no repetition; speeds need three blocks.

mod error_handling;
mod fact;
mod fault_tolerance;
mod only_redis;
mod parallelism;
mod pull_push;
pub mod ratio;
mod retention;
mod size;
#[cfg(test)]
pub mod testing;

use self::fact::Fact;
use super::data::{Documented, empty_cell};
use super::finding::{Answer, all, finding, verdict};
use crate::model::{Point, System, Unit};
use crate::result::{BlockValue, ComparedCell, Finding, Kind, RunInfo, Verdict};
use crate::stats::compare::GeometricMean;
use itertools::Itertools;
use serde::{Deserialize, Serialize};

/// A rule with its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Rule {
    Ratio(ratio::RatioLimits),
    Size(size::SizeLimits),
    PullPush(pull_push::PullPushLimits),
    Retention(retention::RetentionLimits),
    ErrorHandling(error_handling::ErrorHandlingLimits),
    Parallelism(parallelism::ParallelismLimits),
    FaultTolerance(fault_tolerance::FaultToleranceLimits),
    OnlyRedis(only_redis::OnlyRedisLimits),
}

/// What a rule may read.
pub struct Inputs<'a> {
    /// Cells of the scenarios that decide.
    pub judged: Vec<&'a ComparedCell>,
    /// Cells of those that only stand beside.
    pub shown: Vec<&'a ComparedCell>,
    pub runs: &'a [RunInfo],
    pub documented: &'a [Documented],
}

impl Inputs<'_> {
    /// The metric of a label at a point, among what decides; `base` is the point of a scenario
    /// without a matrix.
    fn fact(&self, label: &str, metric: &str, point: &str) -> Fact<'_> {
        let here = |cell: &&&ComparedCell| {
            cell.label == label && cell.metric == metric && cell.cell == point
        };
        let missing =
            || Fact::Missing(format!("no {metric} of {label}{}", Point::read(point).at()));
        self.judged.iter().find(here).map_or_else(missing, |cell| fact::of(cell))
    }
}

/// Why a speed carries no verdict where [`crowded`].
pub const CROWDED: &str = "more brokers than cores";

/// Whether a cell's brokers were more than the cores of their machine: they take turns, and how
/// fast they are together is the machine's doing. Brokers that we did not start have cores of their
/// own.
pub fn crowded(cell: &ComparedCell, runs: &[RunInfo]) -> bool {
    let run = runs
        .iter()
        .find(|run| Some(&run.run) == cell.run.as_ref())
        .filter(|run| &*run.environment != "external");
    let cores = run.and_then(|run| run.cores);
    cores.zip(cell.nodes).is_some_and(|(cores, nodes)| u32::from(nodes) > cores)
}

/// Whether it is Kafka's side of a comparison.
fn is_kafka(cell: &ComparedCell) -> bool {
    System::from_name(&cell.system) == Some(System::Kafka)
}

/// Both cells' blocks of the same number.
fn paired_blocks<'a>(
    over: &'a ComparedCell,
    under: &'a ComparedCell,
) -> impl Iterator<Item = (&'a BlockValue, &'a BlockValue)> {
    let partner =
        |block: &BlockValue| under.per_block.iter().find(|other| other.block == block.block);
    over.per_block.iter().filter_map(move |block| Some((block, partner(block)?)))
}

/// `over` ÷ `under` over the blocks in which both have a value.
pub fn paired_ratio(over: &ComparedCell, under: &ComparedCell) -> Option<GeometricMean> {
    let ratios =
        paired_blocks(over, under).filter_map(|(over, under)| Some(over.value? / under.value?));
    GeometricMean::of(&ratios.collect::<Vec<_>>())
}

/// What follows from a cell: a ratio over the blocks of it and of another.
fn times(
    cell: &ComparedCell,
    metric: &str,
    ratio: Option<GeometricMean>,
    n: u64,
    text: String,
) -> ComparedCell {
    ComparedCell {
        variant: cell.variant.clone(),
        same_as: cell.same_as.clone(),
        cell: cell.cell.clone(),
        kind: if ratio.is_some() { Kind::Measured } else { Kind::NotMeasured },
        value: ratio.map(|ratio| ratio.value()),
        unit: Unit::Times.name().to_owned(),
        interval: ratio.and_then(|ratio| ratio.interval()),
        n,
        n_unit: cell.n_unit.clone(),
        blocks: ratio.map_or(0, |ratio| ratio.blocks() as u32),
        text,
        run: cell.run.clone(),
        ..empty_cell(&cell.label, &cell.system, metric)
    }
}

/// What documents say that no run decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Documents {
    #[default]
    Nothing,
    /// What makes the claim right.
    Right,
    /// Everything: what was measured stands beside it.
    All,
}

/// What a rule comes to.
#[derive(Default)]
pub struct Judgement {
    pub findings: Vec<Finding>,
    pub documents: Documents,
    /// Why, in order of weight.
    pub sentences: Vec<String>,
    /// Cells that follow from others: ratios, speed-ups.
    pub derived: Vec<ComparedCell>,
}

impl Judgement {
    /// The claim is true of a primitive where all statements are.
    fn find(&mut self, primitive: &str, condition: impl Into<String>, statements: &[Answer]) {
        self.findings.push(finding(primitive, condition, all(statements)));
    }

    /// A sentence on every system, Kafka first.
    fn tell(&mut self, what: &str, words: impl Fn(&str) -> String) {
        let words =
            System::NAMES.iter().map(|system| format!("{system} {}", words(system))).join(", ");
        self.sentences.push(format!("{what}: {words}"));
    }

    /// The verdict, and its words.
    pub fn answer(&self) -> (Verdict, String) {
        match (self.documents, verdict(&self.findings)) {
            (_, (Verdict::NotMeasured, words)) => (Verdict::NotMeasured, words),
            (Documents::Right, (Verdict::Right, _)) => {
                (Verdict::Documented, "documented".to_owned())
            }
            (Documents::All, (_, words)) => {
                let (_, lists) = words.split_once(' ').unwrap_or_default();
                (Verdict::Documented, format!("documented: {lists}"))
            }
            (_, verdict) => verdict,
        }
    }
}

impl Rule {
    pub fn judge(&self, inputs: &Inputs<'_>) -> Judgement {
        match self {
            Self::Ratio(limits) => ratio::judge(limits, inputs),
            _ if inputs.judged.is_empty() => Judgement::default(),
            Self::Size(limits) => size::judge(limits, inputs),
            Self::PullPush(limits) => pull_push::judge(limits, inputs),
            Self::Retention(limits) => retention::judge(limits, inputs),
            Self::ErrorHandling(limits) => error_handling::judge(limits, inputs),
            Self::Parallelism(limits) => parallelism::judge(limits, inputs),
            Self::FaultTolerance(limits) => fault_tolerance::judge(limits, inputs),
            Self::OnlyRedis(limits) => only_redis::judge(limits, inputs),
        }
    }
}
