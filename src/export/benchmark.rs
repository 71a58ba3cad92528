//! Speeds and times of a run in the forms of trackers of benchmarks: github-action-benchmark and
//! Bencher. A value is over all blocks that were not spoilt; fewer than three have no interval.

use crate::gate::{baseline_of, judged};
use crate::model::{Direction, metric};
use crate::result::{Baseline, BaselineFigure, ResultError, RunFolder};
use crate::stats::over_blocks;
use serde_json::{Map, Value, json};

/// `customSmallerIsBetter` of what is better lower, `customBiggerIsBetter` of what is better
/// higher: a file of that tool has one direction.
pub fn github_benchmark(folder: &RunFolder, better: Direction) -> Result<String, ResultError> {
    let run = read(folder)?;
    let of = tracked(&run).filter(|one| metric::better(&one.figure.metric) == better);
    let entries = of.map(|one| {
        let Tracked { figure, value, interval } = one;
        let name = format!("{}: {} {}", place(&run, figure), figure.metric, figure.unit);
        let version = run.versions.get(&figure.label).cloned().unwrap_or_default();
        let range = interval.map(|[low, high]| format!("{low} to {high}"));
        let extra = format!("{} blocks; {version}", figure.values.len());
        let mut entry = json!({"name": name, "unit": figure.unit, "value": value, "extra": extra});
        if let (Some(range), Some(entry)) = (range, entry.as_object_mut()) {
            entry.insert("range".to_owned(), range.into());
        }
        entry
    });
    text(folder, &entries.collect::<Vec<_>>().into())
}

/// Bencher Metric Format: benchmark → measure → value and its bounds.
pub fn bencher(folder: &RunFolder) -> Result<String, ResultError> {
    let run = read(folder)?;
    let mut benchmarks: Map<String, Value> = Map::new();
    for Tracked { figure, value, interval } in tracked(&run) {
        let mut metric = json!({"value": value});
        if let (Some([low, high]), Some(metric)) = (interval, metric.as_object_mut()) {
            metric.insert("lower_value".to_owned(), low.into());
            metric.insert("upper_value".to_owned(), high.into());
        }
        let measures = benchmarks.entry(place(&run, figure)).or_insert_with(|| json!({}));
        if let Some(measures) = measures.as_object_mut() {
            measures.insert(slug(&figure.metric), metric);
        }
    }
    text(folder, &benchmarks.into())
}

fn read(folder: &RunFolder) -> Result<Baseline, ResultError> {
    Ok(baseline_of(&folder.read_manifest()?, &judged(folder)?, &[]))
}

struct Tracked<'a> {
    figure: &'a BaselineFigure,
    value: f64,
    interval: Option<[f64; 2]>,
}

/// What has a geometric mean and a better direction: counts are for thresholds.
fn tracked(run: &Baseline) -> impl Iterator<Item = Tracked<'_>> {
    let once = run.figures.iter().filter(|figure| figure.same_as.is_none());
    once.filter(|figure| metric::better(&figure.metric) != Direction::Neutral).filter_map(
        |figure| {
            let values: Vec<f64> = figure.values.values().copied().collect();
            let mean = over_blocks(&figure.metric, &figure.unit, &values)?.mean?;
            Some(Tracked { figure, value: mean.value(), interval: mean.interval() })
        },
    )
}

fn place(run: &Baseline, figure: &BaselineFigure) -> String {
    format!("{} {} {}", run.scenario, figure.label, figure.cell)
}

/// A measure is found by such a name, or made with it.
fn slug(metric: &str) -> String {
    metric.replace(['.', '_'], "-")
}

fn text(folder: &RunFolder, value: &Value) -> Result<String, ResultError> {
    serde_json::to_string_pretty(value).map_err(|error| ResultError::corrupt(folder.path(), error))
}
