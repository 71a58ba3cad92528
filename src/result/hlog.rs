//! `latency.hlog`: interval histograms in the HdrHistogram log format 1.3,
//! one line per second and metric.
//!
//! Readable by HdrHistogram's own tools (`scripts/check-hlog` compares with the Java ones): values
//! are nanoseconds, time stamps seconds since the run's epoch with the wall-clock of that epoch as
//! base time, the tag is the metric's name, `warm-up.` in front of what was recorded before the
//! window, and `stage-2.` where the window has stages. The third column is the interval's maximum
//! in milliseconds: Java's writer divides by 1,000,000 by convention, and no reader uses it.

use super::error::ResultError;
use super::raw::Interval;
use crate::model::Latency;
use base64::Engine as _;
use flate2::bufread::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead, Read as _};
use std::path::Path;
use std::time::Duration;

const WARM_UP: &str = "warm-up.";
/// Of the column of maxima, which is in milliseconds.
const MAX_DIVISOR: f64 = 1e6;
const STAGE: &str = "stage-";
/// As many as a scenario may have: each has histograms of its own.
const MOST_STAGES: usize = 100;

pub fn encode(
    intervals: &[Interval],
    epoch: jiff::Timestamp,
    path: &Path,
) -> Result<Vec<u8>, ResultError> {
    let mut log = head(epoch).into_bytes();
    let mut serializer = V2DeflateSerializer::new();
    // Java's reader stops at the first time stamp beyond its range, so they must not go back.
    let mut ordered: Vec<&Interval> = intervals.iter().collect();
    ordered.sort_by_key(|one| (one.start_ns, one.metric, one.warm_up, one.stage));
    for interval in ordered {
        line(interval, &mut serializer, &mut log, path)?;
    }
    Ok(log)
}

/// What stands before the first line.
pub(super) fn head(epoch: jiff::Timestamp) -> String {
    let seconds = epoch.as_millisecond() as f64 / 1e3;
    format!(
        "#[brokerbench: values in nanoseconds, one tag per metric]\n\
         #[Histogram log format version 1.3]\n\
         #[StartTime: {seconds:.3} (seconds since epoch), {epoch}]\n\
         #[BaseTime: {seconds:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
         \"Interval_Compressed_Histogram\"\n\
         #[MaxValueDivisor: {MAX_DIVISOR:.3}]\n"
    )
}

/// As the library's writer would write it, which owns its file from the first line to the last: a
/// load of hours appends.
pub(super) fn line(
    interval: &Interval,
    serializer: &mut V2DeflateSerializer,
    log: &mut Vec<u8>,
    path: &Path,
) -> Result<(), ResultError> {
    let mut histogram = Vec::new();
    serializer
        .serialize(&interval.histogram, &mut histogram)
        .map_err(|error| ResultError::corrupt(path, error))?;
    let encoded = base64::engine::general_purpose::STANDARD.encode(histogram);
    let name = interval.metric.name();
    let tag = match interval.stage {
        _ if interval.warm_up => format!("{WARM_UP}{name}"),
        0 => name.to_owned(),
        stage => format!("{STAGE}{stage}.{name}"),
    };
    let [start, length] =
        [interval.start_ns, interval.length_ns].map(|ns| Duration::from_nanos(ns).as_secs_f64());
    let max = interval.histogram.max() as f64 / MAX_DIVISOR;
    let line = format!("Tag={tag},{start:.3},{length:.3},{max:.3},{encoded}\n");
    log.extend_from_slice(line.as_bytes());
    Ok(())
}

/// Whether a log must end with a whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    Whole,
    /// Whoever wrote it was killed: what is no whole line is left out.
    MayBeCut,
}

/// The histograms of the measured window, merged per metric. Lines of other tags are ignored.
pub fn merged(log: &[u8], path: &Path) -> Result<BTreeMap<Latency, Histogram<u64>>, ResultError> {
    merged_from(log, path, Tail::Whole)
}

/// The same line by line, so that a log may be larger than memory.
pub fn merged_from(
    log: impl BufRead,
    path: &Path,
    tail: Tail,
) -> Result<BTreeMap<Latency, Histogram<u64>>, ResultError> {
    merged_by(log, path, tail, |_, metric| Some(metric))
}

/// Those of each stage of the window, counted from 1; none where it has no stages.
pub fn merged_stages(
    log: impl BufRead,
    path: &Path,
    tail: Tail,
) -> Result<BTreeMap<(usize, Latency), Histogram<u64>>, ResultError> {
    merged_by(log, path, tail, |stage, metric| Some((stage?, metric)))
}

/// The log may come from anywhere, so this is not the library's reader of logs, which looks through
/// the whole rest of the file for each line: here a line costs its length, and a histogram what
/// [`decode`] allows.
fn merged_by<K: Ord + Copy>(
    mut log: impl BufRead,
    path: &Path,
    tail: Tail,
    key: impl Fn(Option<usize>, Latency) -> Option<K>,
) -> Result<BTreeMap<K, Histogram<u64>>, ResultError> {
    let mut merged: BTreeMap<K, Histogram<u64>> = BTreeMap::new();
    let mut line = Vec::new();
    for at in 1u64.. {
        line.clear();
        let mut next = log.by_ref().take(LONGEST_LINE);
        next.read_until(b'\n', &mut line).map_err(ResultError::io(path, "read"))?;
        if line.is_empty() {
            break;
        }
        let corrupt = |cause: String| ResultError::corrupt(path, format!("line {at}: {cause}"));
        if line.pop() != Some(b'\n') {
            match tail {
                Tail::MayBeCut => break,
                Tail::Whole => return Err(ResultError::corrupt(path, "its last line is cut off")),
            }
        }
        let Some(line) = Line::read(&line).map_err(|cause| corrupt(cause.into()))? else {
            continue;
        };
        let Some((stage, metric)) = line.of() else { continue };
        let Some(key) = key(stage, metric) else { continue };
        let histogram = decode(line.encoded).map_err(corrupt)?;
        let total = match merged.entry(key) {
            Entry::Vacant(entry) => entry.insert(histogram),
            Entry::Occupied(entry) => {
                let total = entry.into_mut();
                total.auto(true);
                total.add(&histogram).map_err(|error| corrupt(error.to_string()))?;
                total
            }
        };
        if total.len() > MOST_SAMPLES {
            return Err(corrupt(format!("more than {MOST_SAMPLES} samples of {}", metric.name())));
        }
    }
    Ok(merged)
}

/// The log of the same histograms with one line for each metric, in each stage: without the seconds
/// of the window, and without the warm-up. [`merged`] and [`merged_stages`] come to the same.
pub fn condensed(log: &[u8], path: &Path) -> Result<Vec<u8>, ResultError> {
    let merged = merged_by(log, path, Tail::Whole, |stage, metric| Some((stage, metric)))?;
    let lines = || log.split(|byte| *byte == b'\n');
    let base = lines().find_map(|line| str::from_utf8(line).ok()?.strip_prefix("#[BaseTime: "));
    let seconds = base.and_then(|base| base.split(' ').next()?.parse::<f64>().ok());
    let epoch = seconds.and_then(|s| jiff::Timestamp::from_millisecond((s * 1e3) as i64).ok());
    let epoch = epoch.ok_or_else(|| ResultError::corrupt(path, "it has no base time"))?;
    let whole = |((stage, metric), histogram)| {
        let of_it = lines().filter_map(|line| Line::read(line).ok().flatten());
        let of_it = of_it.filter(|line| line.of() == Some((stage, metric)));
        let (start_s, end_s) = of_it.fold((f64::MAX, 0.0), |(start, end): (f64, f64), line| {
            (start.min(line.start_s), end.max(line.start_s + line.length_s))
        });
        let [start_ns, end_ns] = [start_s, end_s].map(|s| (s * 1e9).round() as u64);
        let length_ns = end_ns.saturating_sub(start_ns);
        let stage = stage.unwrap_or(0);
        Interval { metric, warm_up: false, stage, start_ns, length_ns, histogram }
    };
    encode(&merged.into_iter().map(whole).collect::<Vec<_>>(), epoch, path)
}

/// One histogram of the log.
pub(super) struct Line<'a> {
    tag: &'a [u8],
    /// After the run's epoch, and how long.
    pub start_s: f64,
    pub length_s: f64,
    pub encoded: &'a [u8],
}

impl<'a> Line<'a> {
    /// `None` for a comment and for the head of the table.
    pub fn read(line: &'a [u8]) -> Result<Option<Self>, &'static str> {
        if line.starts_with(b"#") || line.starts_with(b"\"StartTimestamp\"") {
            return Ok(None);
        }
        let mut fields = line.trim_ascii_end().split(|byte| *byte == b',');
        let mut next = || fields.next().ok_or("not a line of an interval log");
        let first = next()?;
        let (tag, start) = match first.strip_prefix(b"Tag=") {
            Some(tag) => (tag, next()?),
            None => (&b""[..], first),
        };
        let number = |field: &[u8]| {
            let number = str::from_utf8(field).ok().and_then(|text| text.parse::<f64>().ok());
            number.filter(|number| number.is_finite()).ok_or("a time that is no number")
        };
        let (start_s, length_s) = (number(start)?, number(next()?)?);
        number(next()?)?;
        let encoded = next()?;
        match fields.next() {
            Some(_) => Err("too many fields"),
            None => Ok(Some(Self { tag, start_s, length_s, encoded })),
        }
    }

    /// The stage, if the window has any, and the metric that it is of; `None` of other tags.
    fn of(&self) -> Option<(Option<usize>, Latency)> {
        let tag = str::from_utf8(self.tag).ok()?;
        let (stage, name) = match tag.strip_prefix(STAGE) {
            None => (None, tag),
            Some(rest) => {
                let (number, name) = rest.split_once('.')?;
                let number = number.parse().ok();
                let number = number.filter(|number| (1..=MOST_STAGES).contains(number));
                (Some(number?), name)
            }
        };
        let metric = Latency::ALL.into_iter().find(|metric| name == metric.name())?;
        Some((stage, metric))
    }

    /// The metric that it is of, of a window without stages, and whether in the warm-up.
    pub fn metric_and_phase(&self) -> Option<(Latency, bool)> {
        let name = self.tag.strip_prefix(WARM_UP.as_bytes());
        let (name, warm_up) = (name.unwrap_or(self.tag), name.is_some());
        let metric = Latency::ALL.into_iter().find(|metric| name == metric.name().as_bytes())?;
        Some((metric, warm_up))
    }
}

/// Of a whole metric; far beyond what anyone can send,
/// and far from where sums of counts would overflow.
const MOST_SAMPLES: u64 = 1 << 56;
/// In base64, deflated: of a whole histogram in numbers that do not compress, and half as much
/// again.
const LONGEST_LINE: u64 = 2 << 20;
/// Inflated. One with three digits over the whole range, no bucket empty, is half of that.
const LARGEST_HISTOGRAM: u64 = 1 << 20;
/// Cookie, length, offset, digits, lowest and highest value, ratio.
const HEAD: usize = 40;
const COOKIE: [u8; 4] = 0x1c84_9313u32.to_be_bytes();
const DEFLATED: [u8; 4] = 0x1c84_9314u32.to_be_bytes();
/// What is recorded with; more of them would take more memory.
const DIGITS: u32 = 3;
/// A count of so many bytes is above ten thousand millions in one bucket of one second.
const LONGEST_COUNT: usize = 6;

/// One histogram, checked before the library reserves room for what its head announces.
fn decode(encoded: &[u8]) -> Result<Histogram<u64>, String> {
    let plain = inflated(encoded)?;
    Deserializer::new().deserialize(&mut plain.as_slice()).map_err(|error| format!("{error:?}"))
}

/// Head and counts of one histogram, checked.
fn inflated(encoded: &[u8]) -> Result<Vec<u8>, String> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .map_err(|error| error.to_string())?;
    let deflated = bytes.strip_prefix(&DEFLATED).and_then(|rest| rest.get(4..));
    let mut plain = Vec::new();
    ZlibDecoder::new(deflated.ok_or("not a deflated histogram")?)
        .take(LARGEST_HISTOGRAM + 1)
        .read_to_end(&mut plain)
        .map_err(|error| format!("not a deflated histogram: {error}"))?;
    if plain.len() as u64 > LARGEST_HISTOGRAM {
        return Err(format!("a histogram of more than {LARGEST_HISTOGRAM} B"));
    }
    let (head, counts) = plain.split_at_checked(HEAD).ok_or("a histogram that is cut off")?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if !head.starts_with(&COOKIE) || word(4) as usize != counts.len() {
        return Err("a histogram whose length is not what it says".into());
    }
    if word(12) > DIGITS {
        return Err(format!("a histogram of {} digits, more than {DIGITS}", word(12)));
    }
    if counts.windows(LONGEST_COUNT).any(|count| count.iter().all(|byte| byte & 0x80 != 0)) {
        return Err("a histogram with an impossible count".into());
    }
    Ok(plain)
}

/// Adds an encoded histogram to another that grows by itself, without making it first: of the
/// 15,000 places of a millisecond's histogram a second of one shard fills a hundred, and a merge
/// adds millions of them. Those of another precision go through the library.
pub(super) fn add(total: &mut Histogram<u64>, encoded: &[u8]) -> Result<(), String> {
    let plain = inflated(encoded)?;
    let (head, mut counts) = plain.split_at(HEAD);
    let ours = head[8..12] == [0; 4]
        && head[12..16] == DIGITS.to_be_bytes()
        && head[16..24] == 1u64.to_be_bytes()
        && head[32..40] == 1f64.to_be_bytes();
    if !ours {
        return total.add(&decode(encoded)?).map_err(|error| error.to_string());
    }
    let mut index: u64 = 0;
    while !counts.is_empty() {
        // Zigzag: a negative number stands for so many places that are empty.
        let coded = leb128(&mut counts).ok_or("a histogram that is cut off")?;
        let number = (coded >> 1) as i64 ^ -((coded & 1) as i64);
        if number > 0 {
            total.record_n(value_at(index)?, number as u64).map_err(|error| error.to_string())?;
            index += 1;
        } else {
            index = index.saturating_add(number.unsigned_abs().max(1));
        }
        if total.len() > MOST_SAMPLES {
            return Err(format!("more than {MOST_SAMPLES} samples"));
        }
    }
    Ok(())
}

/// Seven bits a byte, the lowest first; a ninth byte has eight.
fn leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..9 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let last = at == 8 || first & 0x80 == 0;
        value |= u64::from(if at == 8 { *first } else { first & 0x7f }) << (7 * at);
        if last {
            break;
        }
    }
    Some(value)
}

/// The lowest value of a place of the counts, at a precision of three digits: 2048 of width 1, then
/// 1024 each of twice the width.
fn value_at(index: u64) -> Result<u64, &'static str> {
    let (bucket, sub) = (index >> 10, index & 1023);
    match bucket {
        0 => Ok(sub),
        1..=53 => Ok((sub + 1024) << (bucket - 1)),
        _ => Err("a histogram of more than any time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn interval(
        metric: Latency,
        warm_up: bool,
        second: u64,
        values: impl IntoIterator<Item = u64>,
    ) -> Interval {
        let mut histogram = Histogram::new_with_bounds(1, 120_000_000_000, 3).unwrap();
        for value in values {
            histogram.record(value).unwrap();
        }
        Interval {
            metric,
            warm_up,
            stage: 0,
            start_ns: second * 1_000_000_000,
            length_ns: 1_000_000_000,
            histogram,
        }
    }

    fn log() -> Vec<u8> {
        let intervals = [
            interval(Latency::Publish, false, 2, 1_000..2_000),
            interval(Latency::Publish, true, 0, [77_000_000]),
            interval(Latency::Publish, false, 1, 2_000..3_000),
            interval(Latency::EndToEnd, false, 1, [5_000_000]),
        ];
        encode(&intervals, "2026-11-22T19:00:00Z".parse().unwrap(), Path::new("x.hlog")).unwrap()
    }

    #[test]
    fn looks_as_java_writes_it() {
        let log = String::from_utf8(log()).unwrap();
        assert!(
            log.contains(
                "#[Histogram log format version 1.3]\n#[StartTime: 1795374000.000 (seconds"
            ),
            "{log}"
        );
        assert!(
            log.contains("\n\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","),
            "{log}"
        );
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
        assert_eq!(
            merged.keys().copied().collect::<Vec<_>>(),
            [Latency::Publish, Latency::EndToEnd]
        );
        let publish = &merged[&Latency::Publish];
        assert_eq!((publish.len(), publish.min()), (2_000, 1_000));
        assert_eq!(publish.value_at_quantile(0.5), 1_999);
        assert!(publish.max() < 3_010);
    }

    #[test]
    fn stages_are_apart_and_together_the_window() {
        let of = |stage, second, values: std::ops::Range<u64>| Interval {
            stage,
            ..interval(Latency::Publish, false, second, values)
        };
        let intervals = [of(1, 1, 1_000..1_100), of(2, 2, 2_000..2_200), of(1, 2, 1_000..1_050)];
        let epoch = "2026-11-22T19:00:00Z".parse().unwrap();
        let log = encode(&intervals, epoch, Path::new("x.hlog")).unwrap();
        let stages = merged_stages(&log[..], Path::new("x.hlog"), Tail::Whole).unwrap();
        let counts: Vec<_> = stages.iter().map(|(key, found)| (*key, found.len())).collect();
        assert_eq!(counts, [((1, Latency::Publish), 150), ((2, Latency::Publish), 200)]);
        assert_eq!(merged(&log, Path::new("x.hlog")).unwrap()[&Latency::Publish].len(), 350);
        let once = condensed(&log, Path::new("x.hlog")).unwrap();
        let again = merged_stages(&once[..], Path::new("x.hlog"), Tail::Whole);
        assert_eq!(again.unwrap(), stages);
        let text = String::from_utf8(log).unwrap();
        assert!(text.contains("\nTag=stage-2.publish,2.000,"), "{text}");
        for tag in ["stage-0.publish", "stage-999.publish", "stage-x.publish", "stage-1"] {
            let other = text.replace("stage-2.publish", tag);
            let found = merged_stages(other.as_bytes(), Path::new("x.hlog"), Tail::Whole).unwrap();
            assert!(found.keys().all(|(stage, _)| *stage == 1), "{tag}");
        }
    }

    #[test]
    fn condensed_it_comes_to_the_same() {
        let path = Path::new("x.hlog");
        let once = condensed(&log(), path).unwrap();
        assert_eq!(merged(&once, path).unwrap(), merged(&log(), path).unwrap());
        assert_eq!(condensed(&once, path).unwrap(), once);
        let text = String::from_utf8(once).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("Tag=")).collect();
        assert_eq!(lines.len(), 2, "one line for each metric of the window: {text}");
        assert!(lines.iter().any(|line| line.starts_with("Tag=publish,1.000,2.000,")), "{text}");
        assert!(text.contains("#[StartTime: 1795374000.000 (seconds"), "{text}");
        assert!(condensed(b"Tag=publish,", path).is_err());
        assert!(condensed(b"", path).unwrap_err().to_string().contains("no base time"));
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        let mut text = String::from_utf8(log()).unwrap();
        let middle = text.rfind("HISTF").unwrap() + 20;
        text.replace_range(middle..middle + 8, "AAAAAAAA");
        let error = merged(text.as_bytes(), Path::new("dir/x.hlog")).unwrap_err().to_string();
        assert!(error.contains("dir/x.hlog"), "{error}");
        for junk in [
            "garbage",
            "Tag=publish,1.0,1.0,1.0,!!!!\n",
            "Tag=publish,1.000,1.000,2.000,AAAA\n",
            "\u{0}\n",
        ] {
            assert!(merged(junk.as_bytes(), Path::new("x")).is_err(), "{junk}");
        }
        let cut = &log()[..log().len() - 30];
        assert!(merged(cut, Path::new("x")).is_err(), "a truncated last line");
        let found = merged_from(cut, Path::new("x"), Tail::MayBeCut).unwrap();
        assert_eq!(found[&Latency::Publish].len(), 1_000, "all but what was cut off");
    }

    /// A line with this inflated histogram.
    fn line(plain: &[u8]) -> Vec<u8> {
        let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        deflated.write_all(plain).unwrap();
        let deflated = deflated.finish().unwrap();
        let bytes = [&DEFLATED[..], &(deflated.len() as u32).to_be_bytes(), &deflated].concat();
        format!(
            "Tag=publish,0.000,1.000,1.000,{}\n",
            base64::engine::general_purpose::STANDARD.encode(bytes)
        )
        .into()
    }

    fn plain(length: u32, digits: u32, high: u64, counts: &[u8]) -> Vec<u8> {
        let (zero, one) = (0u32.to_be_bytes(), 1f64.to_be_bytes());
        let low_high = [1u64.to_be_bytes(), high.to_be_bytes()].concat();
        [&COOKIE[..], &length.to_be_bytes(), &zero, &digits.to_be_bytes(), &low_high, &one, counts]
            .concat()
    }

    #[test]
    fn bombs_are_refused_before_room_is_made_for_them() {
        let read = |plain: &[u8]| {
            merged(&line(plain), Path::new("x.hlog")).map_err(|error| error.to_string())
        };
        assert_eq!(read(&plain(1, 3, 1000, &[2])).unwrap()[&Latency::Publish].len(), 1);
        let refused = |plain: &[u8], words: &str| {
            let error = read(plain).unwrap_err();
            assert!(error.contains(words) && error.contains("x.hlog: line 1"), "{error}");
        };
        refused(&plain(u32::MAX, 3, 1000, &[2]), "not what it says");
        refused(&plain(1, 5, u64::MAX, &[2]), "5 digits");
        refused(&plain(9, 3, 1000, &[0xff; 9]), "impossible count");
        refused(&[plain(2 << 20, 3, 1000, &[]), vec![0; 2 << 20]].concat(), "more than 1048576 B");
        refused(&plain(1, 3, 1000, &[2])[..30], "cut off");
        // A million comments are read in their own time, not in its square.
        assert!(merged(&b"#\n".repeat(1_000_000), Path::new("x")).unwrap().is_empty());
    }
}
