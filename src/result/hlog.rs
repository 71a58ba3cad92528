//! `latency.hlog`: interval histograms in the HdrHistogram log format 1.3, one line per second and metric.
//!
//! Readable by HdrHistogram's own tools (`scripts/check-hlog` compares with the Java ones): values are nanoseconds,
//! time stamps seconds since the run's epoch with the wall-clock of that epoch as base time, the tag is the metric's
//! name, `warm-up.` in front of what was recorded before the window. The third column is the interval's maximum in
//! milliseconds: Java's writer divides by 1,000,000 by convention, and no reader uses it.

use super::error::ResultError;
use super::raw::{Interval, Metric};
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

const WARM_UP: &str = "warm-up.";

/// Writes the log. `epoch` is the wall-clock time of the run's epoch.
pub fn encode(intervals: &[Interval], epoch: jiff::Timestamp, path: &Path) -> Result<Vec<u8>, ResultError> {
    let mut log = Vec::new();
    let seconds = epoch.as_millisecond() as f64 / 1e3;
    let header = format!(
        "#[brokerbench: values in nanoseconds, one tag per metric]\n\
         #[Histogram log format version 1.3]\n\
         #[StartTime: {seconds:.3} (seconds since epoch), {epoch}]\n\
         #[BaseTime: {seconds:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
    );
    log.write_all(header.as_bytes()).map_err(ResultError::io(path, "write"))?;
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut log, &mut serializer)
        .map_err(ResultError::io(path, "write"))?;
    // Java's reader stops at the first time stamp beyond its range, so they must not go back.
    let mut ordered: Vec<&Interval> = intervals.iter().collect();
    ordered.sort_by_key(|interval| (interval.start_ns, interval.metric, interval.warm_up));
    for interval in ordered {
        let tag = format!("{}{}", if interval.warm_up { WARM_UP } else { "" }, interval.metric.name());
        let (start, length) = (Duration::from_nanos(interval.start_ns), Duration::from_nanos(interval.length_ns));
        writer
            .write_histogram(&interval.histogram, start, length, Tag::new(&tag))
            .map_err(|error| ResultError::corrupt(path, error))?;
    }
    Ok(log)
}

/// The histograms of the measured window, merged per metric. Lines of other tags are ignored.
pub fn merged(log: &[u8], path: &Path) -> Result<BTreeMap<Metric, Histogram<u64>>, ResultError> {
    let mut merged = BTreeMap::new();
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(log) {
        let entry = entry.map_err(|error| ResultError::corrupt(path, format!("not an interval log: {error:?}")))?;
        let LogEntry::Interval(interval) = entry else { continue };
        let name = interval.tag().map(|tag| tag.as_str().to_owned());
        let Some(metric) = Metric::ALL.into_iter().find(|metric| name.as_deref() == Some(metric.name())) else {
            continue;
        };
        let at = || format!("interval of {} at {:?}", metric.name(), interval.start_timestamp());
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(interval.encoded_histogram())
            .map_err(|error| ResultError::corrupt(path, format!("{}: {error}", at())))?;
        let histogram: Histogram<u64> = deserializer
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| ResultError::corrupt(path, format!("{}: {error:?}", at())))?;
        match merged.entry(metric) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(histogram);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let total: &mut Histogram<u64> = entry.get_mut();
                total.auto(true);
                total.add(&histogram).map_err(|error| ResultError::corrupt(path, format!("{}: {error}", at())))?;
            }
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(metric: Metric, warm_up: bool, second: u64, values: impl IntoIterator<Item = u64>) -> Interval {
        let mut histogram = Histogram::new_with_bounds(1, 120_000_000_000, 3).unwrap();
        for value in values {
            histogram.record(value).unwrap();
        }
        Interval { metric, warm_up, start_ns: second * 1_000_000_000, length_ns: 1_000_000_000, histogram }
    }

    fn log() -> Vec<u8> {
        let intervals = [
            interval(Metric::Publish, false, 2, 1_000..2_000),
            interval(Metric::Publish, true, 0, [77_000_000]),
            interval(Metric::Publish, false, 1, 2_000..3_000),
            interval(Metric::EndToEnd, false, 1, [5_000_000]),
        ];
        encode(&intervals, "2026-11-22T19:00:00Z".parse().unwrap(), Path::new("x.hlog")).unwrap()
    }

    #[test]
    fn looks_as_java_writes_it() {
        let log = String::from_utf8(log()).unwrap();
        assert!(log.contains("#[Histogram log format version 1.3]\n#[StartTime: 1795374000.000 (seconds"), "{log}");
        assert!(log.contains("\n\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","), "{log}");
        assert!(log.contains("\nTag=warm-up.publish,0.000,1.000,77."), "maximum in ms: {log}");
        let starts: Vec<&str> = log
            .lines()
            .filter_map(|line| line.strip_prefix("Tag="))
            .filter_map(|line| line.split(',').nth(1))
            .collect();
        assert_eq!(starts, ["0.000", "1.000", "1.000", "2.000"], "in order of time");
    }

    #[test]
    fn the_window_is_merged_per_metric_and_warm_up_stays_out() {
        let merged = merged(&log(), Path::new("x.hlog")).unwrap();
        assert_eq!(merged.keys().copied().collect::<Vec<_>>(), [Metric::Publish, Metric::EndToEnd]);
        let publish = &merged[&Metric::Publish];
        assert_eq!((publish.len(), publish.min()), (2_000, 1_000));
        assert_eq!(publish.value_at_quantile(0.5), 1_999);
        assert!(publish.max() < 3_010);
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        let mut text = String::from_utf8(log()).unwrap();
        let middle = text.rfind("HISTF").unwrap() + 20;
        text.replace_range(middle..middle + 8, "AAAAAAAA");
        let error = merged(text.as_bytes(), Path::new("dir/x.hlog")).unwrap_err().to_string();
        assert!(error.contains("dir/x.hlog"), "{error}");
        for junk in ["garbage", "Tag=publish,1.0,1.0,1.0,!!!!\n", "Tag=publish,1.000,1.000,2.000,AAAA\n", "\u{0}\n"] {
            assert!(merged(junk.as_bytes(), Path::new("x")).is_err(), "{junk}");
        }
        let cut = &log()[..log().len() - 30];
        assert!(merged(cut, Path::new("x")).is_err(), "a truncated last line");
    }
}
