//! Adds up the interval histograms of several shards, second by second: exact, since counts add up.

use super::error::ResultError;
use super::hlog::{self, Line};
use super::raw::Interval;
use crate::model::Latency;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

/// Of one metric, over all of its histograms: 1 GiB, hours of seconds. A log may come from
/// anywhere, and announce more seconds than any load has.
const MOST_PLACES: usize = 1 << 27;

/// Of one metric.
#[derive(Default)]
struct Sums {
    /// By start and whether of the warm-up, the length and the sum.
    by_second: BTreeMap<(u64, bool), (u64, Histogram<u64>)>,
    /// Counts that there is room for.
    places: usize,
}

#[derive(Default)]
pub struct Tally {
    of: [Sums; Latency::ALL.len()],
}

impl Tally {
    /// Adds one shard's log. Each metric has a thread of its own: a large merge is decoding.
    pub fn add(&mut self, log: &[u8], path: &Path) -> Result<(), ResultError> {
        let mut lines: [Vec<(usize, bool, Line<'_>)>; Latency::ALL.len()] = Default::default();
        let mut rest: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
        if rest.pop().is_some_and(|last| !last.is_empty()) {
            return Err(ResultError::corrupt(path, "its last line is cut off"));
        }
        for (at, line) in rest.into_iter().enumerate() {
            let corrupt = |cause| ResultError::corrupt(path, format!("line {}: {cause}", at + 1));
            let Some(line) = Line::read(line).map_err(corrupt)? else { continue };
            if let Some((metric, warm_up)) = line.metric_and_phase() {
                lines[metric as usize].push((at + 1, warm_up, line));
            }
        }
        let summed: Vec<Result<(), String>> = thread::scope(|scope| {
            let each = self.of.iter_mut().zip(&lines).map(|(sums, lines)| {
                scope.spawn(move || lines.iter().try_for_each(|line| add(sums, line)))
            });
            let each: Vec<_> = each.collect();
            let join = |sum: thread::ScopedJoinHandle<'_, Result<(), String>>| {
                sum.join().unwrap_or_else(|_| Err("a thread ended unexpectedly".into()))
            };
            each.into_iter().map(join).collect()
        });
        match summed.into_iter().find_map(Result::err) {
            Some(cause) => Err(ResultError::corrupt(path, cause)),
            None => Ok(()),
        }
    }

    /// Everything, in order of time within each metric.
    pub fn intervals(self) -> Vec<Interval> {
        let of = |(metric, sums): (Latency, Sums)| {
            sums.by_second.into_iter().map(move |((start_ns, warm_up), (length_ns, histogram))| {
                Interval { metric, warm_up, stage: 0, start_ns, length_ns, histogram }
            })
        };
        Latency::ALL.into_iter().zip(self.of).flat_map(of).collect()
    }
}

fn add(sums: &mut Sums, (at, warm_up, line): &(usize, bool, Line<'_>)) -> Result<(), String> {
    let ms = |seconds: f64| (seconds * 1e3).round().max(0.0) as u64 * 1_000_000;
    let new = || (ms(line.length_s), grows());
    let (_, sum) = sums.by_second.entry((ms(line.start_s), *warm_up)).or_insert_with(new);
    let before = if sum.is_empty() { 0 } else { sum.distinct_values() };
    hlog::add(sum, line.encoded).map_err(|cause| format!("line {at}: {cause}"))?;
    sums.places += sum.distinct_values() - before;
    if sums.places > MOST_PLACES {
        return Err(format!("line {at}: more seconds than there is room for"));
    }
    Ok(())
}

/// Of the precision that all have, as wide as it must be.
fn grows() -> Histogram<u64> {
    let mut histogram =
        Histogram::new_with_bounds(1, 2, 3).expect("constant histogram bounds are valid");
    histogram.auto(true);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(second: u64, warm_up: bool, values: &[u64]) -> Vec<u8> {
        let mut histogram = crate::record::new_histogram();
        values.iter().for_each(|value| histogram.saturating_record(*value));
        let interval = Interval {
            metric: Latency::Publish,
            warm_up,
            stage: 0,
            start_ns: second * 1_000_000_000,
            length_ns: 1_000_000_000,
            histogram,
        };
        let epoch = "2026-11-22T19:00:00Z".parse().unwrap();
        hlog::encode(&[interval], epoch, Path::new("x.hlog")).unwrap()
    }

    #[test]
    fn seconds_and_phases_stay_apart_and_damage_is_named() {
        let mut tally = Tally::default();
        for (second, warm_up) in [(1, true), (1, false), (2, false), (2, false)] {
            tally.add(&log(second, warm_up, &[5, 1_000_000]), Path::new("x")).unwrap();
        }
        let found: Vec<_> = tally
            .intervals()
            .iter()
            .map(|one| (one.start_ns / 1_000_000_000, one.warm_up, one.histogram.len()))
            .collect();
        assert_eq!(found, [(1, false, 2), (1, true, 2), (2, false, 4)]);
        let cut = log(1, false, &[1]);
        let error = Tally::default().add(&cut[..cut.len() - 9], Path::new("a/x.hlog")).unwrap_err();
        assert!(error.to_string().contains("a/x.hlog"), "{error}");
    }

    proptest! {
        /// By our own decoding and by the library's: the same sums.
        #[test]
        fn sums_are_those_of_the_library(
            a in prop::collection::vec(0u64..700_000_000_000, 0..200),
            b in prop::collection::vec(0u64..5_000_000, 0..200),
        ) {
            let mut tally = Tally::default();
            let mut library = crate::record::new_histogram();
            for values in [&a, &b] {
                let log = log(1, false, values);
                tally.add(&log, Path::new("x")).unwrap();
                for (_, histogram) in hlog::merged(&log, Path::new("x")).unwrap() {
                    library.add(&histogram).unwrap();
                }
            }
            let sum = tally.intervals().remove(0).histogram;
            let all = |histogram: &Histogram<u64>| -> Vec<(u64, u64)> {
                let recorded = histogram.iter_recorded();
                recorded.map(|one| (one.value_iterated_to(), one.count_at_value())).collect()
            };
            prop_assert_eq!(all(&sum), all(&library));
            prop_assert_eq!((sum.len(), sum.max()), (library.len(), library.max()));
        }
    }
}
