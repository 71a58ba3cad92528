//! What the coordinator of a cell gathers while the load runs; what the threads hand over once a
//! second is merged into one histogram per second and timer.

use super::health::Health;
use crate::clock::Clock;
use crate::model::Latency;
use crate::record::{Harvest, SECOND_NS};
use crate::result::{Event, Interval};
use crate::stats::Second;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

/// What the coordinator gathers while the load runs.
pub struct Telemetry {
    harvests: Receiver<Harvest>,
    /// Merged histograms by (second, timer, part of the load).
    merged: BTreeMap<(u64, Latency, usize), Histogram<u64>>,
    /// Measured values that were beyond the histograms' range.
    pub saturated: u64,
    pub health: Health,
    /// The broker's processes when it was asked last.
    pub pids: Vec<u32>,
    pub events: Vec<Event>,
    /// `None` where the warm-up is too short to tell.
    pub settled: Option<bool>,
    clock: Clock,
}

impl Telemetry {
    pub fn new(harvests: Receiver<Harvest>, clock: Clock) -> Self {
        let (merged, health) = (BTreeMap::new(), Health::default());
        Self {
            harvests,
            merged,
            saturated: 0,
            health,
            pids: Vec::new(),
            events: Vec::new(),
            settled: None,
            clock,
        }
    }

    pub fn event(&mut self, kind: &str, text: &str) {
        self.event_at(self.clock.now_ns(), kind, text);
    }

    pub fn event_at(&mut self, at_ns: u64, kind: &str, text: &str) {
        self.events.push(Event { at_ns, kind: kind.into(), text: text.into() });
    }

    /// Takes in everything that has been handed over. Never waits.
    pub fn absorb(&mut self) {
        while let Ok(mut harvest) = self.harvests.try_recv() {
            if harvest.part > 0 {
                self.saturated += harvest.saturated;
            }
            let key = (harvest.second, harvest.timer, harvest.part);
            // Compact: the range of what was recorded, not the ten minutes that could have been.
            let highest = harvest.histogram.max().max(2);
            let merged = self.merged.entry(key).or_insert_with(|| compact(highest));
            // `merged` grows by itself; adding to it cannot fail.
            let _ = merged.add(&harvest.histogram);
            harvest.histogram.reset();
            let _ = harvest.recycle.send(harvest.histogram);
        }
    }

    /// The measured values of one timer, over all seconds.
    pub fn measured(&self, timer: Latency) -> Histogram<u64> {
        self.merge(|key| key.1 == timer && key.2 > 0)
    }

    /// Those of one part of the load.
    pub fn measured_in(&self, timer: Latency, part: usize) -> Histogram<u64> {
        self.merge(|key| key.1 == timer && key.2 == part)
    }

    /// One second of a timer, warm-up or not.
    pub fn second(&self, timer: Latency, second: u64) -> Option<Second> {
        let merged = self.merge(|key| key.0 == second && key.1 == timer);
        (!merged.is_empty()).then(|| Second {
            count: merged.len(),
            p50_ns: merged.value_at_quantile(0.5),
            p99_ns: merged.value_at_quantile(0.99),
        })
    }

    /// The seconds of one timer, in order; empty ones where nothing ended.
    pub fn seconds(&self, timer: Latency, from: u64, to: u64) -> Vec<Second> {
        let none = Second { count: 0, p50_ns: 0, p99_ns: 0 };
        (from..to).map(|second| self.second(timer, second).unwrap_or(none)).collect()
    }

    /// Everything, in order of time, for `latency.hlog`.
    pub fn intervals(&mut self) -> Vec<Interval> {
        type Key = (u64, Latency, usize);
        let interval = |((second, metric, part), histogram): (Key, Histogram<u64>)| Interval {
            metric,
            warm_up: part == 0,
            stage: part.saturating_sub(1),
            start_ns: second * SECOND_NS,
            length_ns: SECOND_NS,
            histogram,
        };
        std::mem::take(&mut self.merged).into_iter().map(interval).collect()
    }

    fn merge(&self, wanted: impl Fn(&(u64, Latency, usize)) -> bool) -> Histogram<u64> {
        let mut all = compact(2);
        for (_, histogram) in self.merged.iter().filter(|(key, _)| wanted(key)) {
            let _ = all.add(histogram);
        }
        all
    }
}

/// A histogram of the shared precision that grows as far as it must.
fn compact(highest: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, highest.max(2), 3)
        .expect("bounds from 1 to at least 2 are valid");
    histogram.auto(true);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LatencyRecorder;
    use std::sync::mpsc::channel;

    #[test]
    fn two_threads_make_one_histogram() {
        let (out, harvests) = channel();
        let mut telemetry = Telemetry::new(harvests, Clock::start());
        for base in [1_000, 2_000] {
            let mut recorder = LatencyRecorder::new(out.clone());
            recorder.tick(3 * SECOND_NS);
            (0..100).for_each(|i| recorder.record(Latency::Publish, 1, base + i));
            recorder.record(Latency::Publish, 0, 9_000_000);
            recorder.harvest();
        }
        telemetry.absorb();
        let measured = telemetry.measured(Latency::Publish);
        assert_eq!((measured.len(), measured.max() / 1000), (200, 2));
        assert_eq!(telemetry.second(Latency::Publish, 3).map(|s| s.count), Some(202));
        assert_eq!(telemetry.intervals().len(), 2);
    }
}
