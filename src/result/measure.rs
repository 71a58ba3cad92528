//! The value of a metric of plain load in a cell:
//! the one place that reads metrics out of a summary.

use super::comparison::Kind;
use super::distribution::{Distribution, LatencyValue};
use super::summary::CellSummary;
use super::words::REDIRECTED;
use crate::model::{Latency, Measure, metric};
use serde::Serialize;
use std::collections::BTreeMap;

/// The latencies of a cell as they were recorded: for statistics that `summary.json` does not list.
/// Empty in a summary that was read back from its file.
pub type Distributions = BTreeMap<Latency, Distribution>;

/// A statistic of a latency in a cell, ns; `None` for other metrics and where it was not measured.
pub fn latency_value(measure: Measure, cell: &CellSummary) -> Option<LatencyValue> {
    let (latency, statistic) = (measure.latency()?, measure.statistic?);
    // `count`, `max` and a few quantiles stand in the file.
    let name = measure.to_string();
    let name = name.rsplit('.').next()?;
    let quantiles = cell.latency.get(latency)?;
    let listed = match name {
        "count" => Some(LatencyValue::Exact(quantiles.count as f64)),
        _ => quantiles.value(name),
    };
    listed.or_else(|| cell.distributions.get(&latency)?.statistic(statistic))
}

/// The value in a cell, in the metric's unit; `None` when it was not measured, never 0.
pub fn measured(measure: Measure, cell: &CellSummary) -> Option<f64> {
    if measure.latency().is_some() {
        return latency_value(measure, cell)?.exact();
    }
    let name = measure.metric.name;
    match name.split_once('.') {
        Some(("counts", name)) => field(&cell.counts, name),
        Some(("rates", name)) => field(&cell.rates, name),
        Some(("resources", name)) => field(&cell.resources, name)
            .or_else(|| field(&cell.resources, &format!("{name}_bytes")))
            .or_else(|| field(&cell.resources, &name.replace("cpu_per", "cpu_ns_per"))),
        _ if name == metric::GOODPUT.name => cell.rates.goodput_per_s,
        _ if name == metric::COMPLETED_OF_PLANNED.name => cell.completed_of_planned,
        _ if name == metric::HELD_BY_CONSUMERS.name => cell.held_by_consumers,
        _ if name == metric::REORDERED.name => cell.counts.reordered.map(|count| count as f64),
        _ if name == metric::REDIRECTED.name => redirected(cell),
        _ => complete(cell),
    }
}

impl CellSummary {
    /// So little does not tell a disk from a cache.
    const LITTLE: u64 = 32 << 20;

    /// Whether less than half of what was written in the window reached a disk in it: the figure is
    /// the page cache's and not the disk's, and a longer window may say less. Not where every
    /// acknowledged message is on the disk.
    pub fn absorbed(&self) -> bool {
        let bytes = self.resources.dirtied_bytes.zip(self.resources.written_back_bytes);
        let most = |(dirtied, written)| dirtied > Self::LITTLE && written < dirtied / 2;
        !self.survives.power_loss && bytes.is_some_and(most)
    }

    /// Why a cell of plain load was not run.
    pub fn cannot(&self) -> Option<&str> {
        match &self.observations[..] {
            [only] if self.experiment.is_none() && only.kind == Kind::Cannot => Some(&only.text),
            _ => None,
        }
    }
}

/// A number by the name that it has in `summary.json`.
fn field(of: &impl Serialize, name: &str) -> Option<f64> {
    serde_json::to_value(of).ok()?.get(name)?.as_f64()
}

/// What was tried again because a Redis Cluster sent it elsewhere.
fn redirected(cell: &CellSummary) -> Option<f64> {
    cell.shards?;
    let elsewhere = cell.retries.iter().filter(|(reason, _)| reason.contains(REDIRECTED));
    Some(elsewhere.map(|(_, count)| *count as f64).sum())
}

/// Delivered of all that was due, over all subscriptions:
/// 1 only when every one of them is complete.
fn complete(cell: &CellSummary) -> Option<f64> {
    let counts = &cell.counts;
    let (delivered, undelivered, lost) =
        (counts.delivered?, counts.undelivered?, counts.lost.unwrap_or(0));
    let due = delivered as f64 + undelivered as f64 + lost as f64;
    (due > 0.0).then(|| delivered as f64 / due)
}

#[cfg(test)]
mod tests {
    use super::super::testing::throughput_run;
    use super::super::{Censored, Counts, Quantiles, summarize};
    use super::*;

    #[test]
    fn every_metric_of_plain_load_is_read_and_every_count_is_a_metric() {
        let dir = tempfile::tempdir().unwrap();
        let mut cell = summarize(&throughput_run(dir.path(), 1)).unwrap().cells.remove(0);
        let seven = |of: serde_json::Value| {
            let keys = of.as_object().unwrap().keys().cloned();
            serde_json::Value::Object(keys.map(|key| (key, 7.into())).collect())
        };
        cell.counts =
            serde_json::from_value(seven(serde_json::to_value(&cell.counts).unwrap())).unwrap();
        cell.rates =
            serde_json::from_value(seven(serde_json::to_value(&cell.rates).unwrap())).unwrap();
        cell.resources.client_cpu_ns_per_message = Some(7.0);
        cell.resources.broker_cpu_ns_per_message = Some(7.0);
        cell.resources.client_share = Some(7.0);
        (cell.resources.client_peak_rss_bytes, cell.resources.broker_peak_rss_bytes) =
            (Some(7), Some(7));
        let quantiles = Quantiles {
            count: 7,
            p50_ns: Some(7),
            p90_ns: Some(7),
            p99_ns: Some(7),
            p99_9_ns: Some(7),
            p99_99_ns: Some(7),
            max_ns: Some(7),
            ..Quantiles::default()
        };
        let retries = [("publish: redirected (MOVED)", 4), ("consume: redirected (ASK)", 3)];
        let retries = retries.into_iter().chain([("publish: no answer for 2.0 s", 9)]);
        cell.retries = retries.map(|(reason, count)| (reason.to_owned(), count)).collect();
        cell.id.shards = Some(3);
        cell.completed_of_planned = Some(7.0);
        cell.held_by_consumers = Some(7.0);
        cell.latency = crate::result::Latencies::new(|_| Some(quantiles.clone()));
        let mut histogram = crate::record::new_histogram();
        histogram.record_n(7, 5).unwrap();
        let sevens = Distribution::of(&histogram, Censored::default());
        cell.distributions = Latency::ALL.map(|latency| (latency, sevens.clone())).into();
        for measure in Measure::usual().filter(|measure| measure.metric != metric::COMPLETE) {
            assert_eq!(measured(measure, &cell), Some(7.0), "{measure}");
        }
        assert_eq!(measured("complete".parse().unwrap(), &cell), Some(1.0 / 3.0));
        for name in serde_json::to_value(Counts::default()).unwrap().as_object().unwrap().keys() {
            assert!(format!("counts.{name}").parse::<Measure>().is_ok(), "{name}");
        }
    }

    #[test]
    fn any_statistic_is_what_the_histogram_says() {
        let mut histogram = crate::record::new_histogram();
        for value in 1..=100_000u64 {
            histogram.record(value * 1000).unwrap();
        }
        let found = Distribution::of(&histogram, Censored::default());
        let value = |name: &str| {
            let measure: Measure = format!("publish.{name}").parse().unwrap();
            found.statistic(measure.statistic.unwrap())?.exact()
        };
        for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99.95", 0.9995), ("p99_99", 0.9999)] {
            assert_eq!(value(name), Some(histogram.value_at_quantile(share) as f64), "{name}");
        }
        assert_eq!(value("p99.995"), None, "five samples are beyond it");
        assert!((value("mean").unwrap() / histogram.mean() - 1.0).abs() < 1e-3);
        assert!((value("min").unwrap() / 1000.0 - 1.0).abs() < 1e-3, "{:?}", value("min"));
        assert_eq!(value("max"), Some(histogram.max() as f64));
    }
}
