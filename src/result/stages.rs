//! The stages of a window with more than one rate: what each carried, how long it took, and where
//! the knee is.
//!
//! A message belongs to the stage in which it was planned; rates are counted by the clock, over the
//! seconds of the stage. So a backlog of one stage shows in the latencies of that stage and in the
//! rates of the next.

use super::distribution::Distribution;
use super::error::ResultError;
use super::folder::StoredCell;
use super::latencies::Latencies;
use super::raw::{CellRecord, StageRecord, WindowRow};
use super::summarize::{Counted, rates_over};
use super::summary::Rates;
use crate::model::Latency;
use crate::record::SECOND_NS;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One stage of the window of a cell: a step, or a part of a ramp.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageSummary {
    /// As it was planned, at its beginning and at its end.
    pub from_per_s: f64,
    pub to_per_s: f64,
    pub length_s: f64,
    /// By the clock, in its seconds.
    pub rates: Rates,
    /// Of the messages planned in it: publish, end to end and schedule lag.
    pub latency: Latencies,
    /// Whether at least 99 % of what was offered came through in its seconds.
    pub carried: bool,
    /// Whether it was carried, with a p99 of at most five times the least of all stages.
    pub within_knee: bool,
}

/// Of what a stage offers, so much must come through in it: as the whole window is judged.
const REACHED: f64 = 0.99;
/// A stage whose p99 is more than so many times the least one is beyond the knee. One that is too
/// short to show a p99 is judged by what it carried alone.
const KNEE: f64 = 5.0;

impl StageSummary {
    /// `10k/s`, as offered on the average.
    pub fn mean_per_s(&self) -> f64 {
        (self.from_per_s + self.to_per_s) / 2.0
    }

    /// What says how long its messages took, ns: from the plan to the last subscription, and where
    /// nobody subscribes to the acknowledgement. A bound, where p99 lies among the censored.
    pub fn p99_ns(&self) -> Option<f64> {
        let of = |latency| Some(self.latency.get(latency)?.value("p99")?.least());
        of(Latency::EndToEnd).or_else(|| of(Latency::Publish))
    }
}

/// Every stage of a cell; none where its window has one rate.
pub fn stages(cell: &StoredCell) -> Result<Vec<StageSummary>, ResultError> {
    let record = &cell.record;
    if record.stages.is_empty() {
        return Ok(Vec::new());
    }
    let (histograms, rows) = (cell.stage_histograms()?, cell.windows()?);
    let none = crate::record::new_histogram();
    let stage = |(stage, number): (&StageRecord, usize)| {
        let latency = |latency: Latency| {
            // Of those that are sent late or not at all nobody knows how long they would take.
            let told =
                latency.planned() && (record.counts.acked.is_some() || !latency.acknowledged());
            let recorded = histograms.get(&(number, latency)).unwrap_or(&none);
            let censored = stage.censored.get(&latency).copied().unwrap_or_default();
            let found = Distribution::of(recorded, censored);
            (told && !found.is_empty()).then(|| found.quantiles())
        };
        let latency = Latencies::new(latency);
        let rates = rates_in(record, stage, &rows);
        let (offered, good) = (rates.offered_per_s.unwrap_or(0.0), rates.goodput_per_s);
        StageSummary {
            from_per_s: stage.from_per_s,
            to_per_s: stage.to_per_s,
            length_s: stage.end_ns.saturating_sub(stage.start_ns) as f64 / 1e9,
            carried: offered > 0.0 && good.is_some_and(|good| good >= REACHED * offered),
            rates,
            latency,
            within_knee: false,
        }
    };
    let mut all: Vec<StageSummary> = record.stages.iter().zip(1..).map(stage).collect();
    mark_knee(&mut all);
    Ok(all)
}

/// Rates by the clock, over the seconds of a stage.
fn rates_in(record: &CellRecord, stage: &StageRecord, rows: &[WindowRow]) -> Rates {
    let (from, to) = (stage.start_ns / SECOND_NS, stage.end_ns / SECOND_NS);
    let own = || rows.iter().filter(move |row| (from..to).contains(&(row.start_ns / SECOND_NS)));
    let sum = |of: fn(&WindowRow) -> u64| -> u64 { own().map(of).sum() };
    let counted = Counted {
        planned: Some(stage.planned),
        sent: sum(|row| row.sent_messages),
        acked: sum(|row| row.acked_messages),
        consumed: sum(|row| row.consumed_messages),
    };
    match to.saturating_sub(from) {
        0 => Rates::default(),
        seconds => rates_over(record, &counted, seconds as f64),
    }
}

fn mark_knee(stages: &mut [StageSummary]) {
    let carried = stages.iter().filter(|stage| stage.carried);
    let least = carried.filter_map(StageSummary::p99_ns).fold(f64::INFINITY, f64::min);
    for stage in stages {
        stage.within_knee =
            stage.carried && stage.p99_ns().is_none_or(|p99_ns| p99_ns <= KNEE * least);
    }
}

/// The highest rate within the knee that is below every rate beyond it; `None` where no stage went
/// beyond: then it is not known.
pub fn knee_per_s(stages: &[StageSummary]) -> Option<f64> {
    let beyond = stages.iter().filter(|stage| !stage.within_knee).map(StageSummary::mean_per_s);
    let first = beyond.min_by(f64::total_cmp)?;
    let within = stages.iter().filter(|stage| stage.within_knee).map(StageSummary::mean_per_s);
    within.filter(|rate| *rate < first).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::super::Quantiles;
    use super::*;

    fn stage(rate: f64, p99_ms: u64, carried: bool) -> StageSummary {
        let quantiles = Quantiles { p99_ns: Some(p99_ms * 1_000_000), ..Quantiles::default() };
        let latency = Latencies { end_to_end: Some(quantiles), ..Latencies::default() };
        StageSummary { from_per_s: rate, to_per_s: rate, carried, latency, ..Default::default() }
    }

    fn knee(stages: &[(f64, u64, bool)]) -> Option<f64> {
        let mut all: Vec<StageSummary> =
            stages.iter().map(|(rate, p99_ms, carried)| stage(*rate, *p99_ms, *carried)).collect();
        mark_knee(&mut all);
        knee_per_s(&all)
    }

    #[test]
    fn the_knee_is_the_last_rate_before_latency_or_goodput_gives_way() {
        let low = [(1e3, 4, true), (1e4, 5, true)];
        assert_eq!(knee(&low), None, "nothing went beyond it");
        assert_eq!(knee(&[low[0], low[1], (2e4, 900, true)]), Some(1e4), "it took longer");
        assert_eq!(knee(&[low[0], low[1], (2e4, 9, false)]), Some(1e4), "it was not carried");
        assert_eq!(knee(&[(5e4, 900, false)]), None);
        // A rate that fails on the way down as well: below both.
        assert_eq!(knee(&[low[0], low[1], (2e4, 900, true), (9e3, 800, true)]), Some(1e3));
    }
}
