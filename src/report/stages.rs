//! The stages of a window with more than one rate, blocks gathered: what chart and terminal show.

use super::group::{Group, groups};
use crate::model::Point;
use crate::result::words::{compact, or_dash, time};
use crate::result::{LatencyValue, StageSummary, Summary};
use crate::stats::compare::GeometricMean;
use crate::units::Rate;

/// The stages of one label at one matrix point.
pub struct StagedLoad<'a> {
    pub label: &'a str,
    pub system: &'a str,
    /// Of the matrix.
    point: &'a str,
    pub stages: Vec<StagePoint>,
    /// The least of the blocks'.
    pub knee_per_s: Option<f64>,
}

/// One stage: geometric means over the valid blocks.
#[derive(Clone, Debug)]
pub struct StagePoint {
    /// `10k/s`, `1k/s to 10k/s`.
    pub rate: String,
    pub offered_per_s: f64,
    pub goodput_per_s: Option<f64>,
    pub p50: Option<LatencyValue>,
    pub p99: Option<LatencyValue>,
    /// In every block.
    pub within_knee: bool,
}

impl StagedLoad<'_> {
    pub fn name(&self) -> String {
        format!("{}{}", self.label, Point::read(self.point).at())
    }

    /// `kafka at 20k/s`, `kafka beyond 50k/s`.
    pub fn knee_in_words(&self) -> String {
        let fastest = self.stages.iter().max_by(|a, b| a.offered_per_s.total_cmp(&b.offered_per_s));
        let name = self.name();
        match (self.knee_per_s, fastest) {
            (Some(knee), _) => format!("{name} at {}", Rate::from_f64(knee)),
            (None, Some(stage)) if self.stages.iter().all(|stage| stage.within_knee) => {
                format!("{name} beyond {}", stage.rate)
            }
            _ => format!("{name} not seen"),
        }
    }
}

pub fn staged<'a>(groups: &[Group<'a>]) -> Vec<StagedLoad<'a>> {
    let load = |group: &Group<'a>| StagedLoad {
        label: group.label,
        system: group.system,
        point: group.point,
        stages: stages(group),
        knee_per_s: group.values(|cell| cell.knee_per_s).into_iter().reduce(f64::min),
    };
    groups.iter().map(load).filter(|load| !load.stages.is_empty()).collect()
}

fn stages(group: &Group<'_>) -> Vec<StagePoint> {
    let blocks = || group.blocks.iter().filter(|cell| cell.valid).map(|cell| &cell.stages);
    let count = blocks().map(Vec::len).min().unwrap_or(0);
    let stage = |at: usize| {
        let of: Vec<&StageSummary> = blocks().filter_map(|stages| stages.get(at)).collect();
        let first = of.first()?;
        let ends = [first.from_per_s, first.to_per_s].map(|rate| Rate::from_f64(rate).to_string());
        let [from, to] = &ends;
        Some(StagePoint {
            rate: if from == to { from.clone() } else { format!("{from} to {to}") },
            offered_per_s: mean(&of, |stage| stage.rates.offered_per_s)?,
            goodput_per_s: mean(&of, |stage| stage.rates.goodput_per_s),
            p50: quantile(&of, "p50"),
            p99: quantile(&of, "p99"),
            within_knee: of.iter().all(|stage| stage.within_knee),
        })
    };
    (0..count).filter_map(stage).collect()
}

fn mean(of: &[&StageSummary], value: impl Fn(&StageSummary) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = of.iter().filter_map(|stage| value(stage)).collect();
    GeometricMean::of(&values).map(|mean| mean.value())
}

/// End to end, and where nobody subscribes until the acknowledgement.
fn quantile(of: &[&StageSummary], name: &str) -> Option<LatencyValue> {
    let one = |stage: &StageSummary| {
        let latency = stage.latency.end_to_end.as_ref().or(stage.latency.publish.as_ref());
        latency?.value(name)
    };
    let least = mean(of, |stage| one(stage).map(LatencyValue::least))?;
    let exact = of.iter().filter_map(|stage| one(stage)).all(|value| value.exact().is_some());
    Some(if exact { LatencyValue::Exact(least) } else { LatencyValue::AtLeast(least) })
}

/// For a terminal: where the knee of each label is, and if asked for every stage.
pub fn stage_lines(summary: &Summary, each: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for load in staged(&groups(summary)) {
        lines.push(format!("knee     {}", load.knee_in_words()));
        for stage in load.stages.iter().filter(|_| each) {
            let [p50, p99] = [stage.p50, stage.p99].map(|ns| or_dash(ns, |ns| ns.words(time)));
            let goodput = or_dash(stage.goodput_per_s, compact);
            let beyond = if stage.within_knee { "" } else { ", beyond the knee" };
            let rate = &stage.rate;
            lines.push(format!("  {rate}: goodput {goodput}/s, p50 {p50}, p99 {p99}{beyond}"));
        }
    }
    lines
}
