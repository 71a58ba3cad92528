//! Matrix points: where in the matrix of a scenario, and under which condition of an experiment, a
//! value was measured.
//!
//! Written as `load.rate=1k/s,size=1MiB`, and `base` where there is neither. Taken apart here and
//! nowhere else.

use crate::units::{ByteRate, Bytes, Rate, Span};
use std::cmp::Ordering;
use std::fmt;

pub const BASE: &str = "base";

/// Keys and values in the order in which they are written.
/// A part without `=` is a value without a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Point<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Point<'a> {
    pub fn read(text: &'a str) -> Self {
        let parts = text.split(',').map(str::trim).filter(|part| !matches!(*part, "" | BASE));
        Self(
            parts
                .map(|part| part.split_once('=').unwrap_or(("", part)))
                .map(|(k, v)| (k.trim(), v.trim()))
                .collect(),
        )
    }

    pub fn of(parts: Vec<(&'a str, &'a str)>) -> Self {
        Self(parts)
    }

    pub fn is_base(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key, as written. A key is asked for by its last part, so `size` finds
    /// `message.size` of a matrix and `size` of an experiment; a raw setting by its whole name, so
    /// `batch.size` finds `client.batch.size`.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| last(name) == key).map(|(_, value)| *value)
    }

    /// The value of a key as a number in base units: bytes, messages a second, nanoseconds, a
    /// share, or plain.
    pub fn number(&self, key: &str) -> Option<f64> {
        let text = self.get(key)?;
        let share =
            || text.strip_suffix('%')?.trim().parse::<f64>().ok().map(|percent| percent / 100.0);
        quantity(text).or_else(share).filter(|number| number.is_finite())
    }

    pub fn without(&self, keys: &[&str]) -> Self {
        Self(self.0.iter().copied().filter(|(name, _)| !keys.contains(&last(name))).collect())
    }

    pub fn only(&self, keys: &[&str]) -> Self {
        Self(self.0.iter().copied().filter(|(name, _)| keys.contains(&last(name))).collect())
    }

    pub fn and(&self, other: &Self) -> Self {
        Self([self.0.as_slice(), &other.0].concat())
    }

    /// The values alone, `1MiB, lz4`, but `linger.ms=5` of a setting, whose values do not tell what
    /// they are. Empty for the base.
    pub fn values(&self) -> String {
        let told = |(key, value): &(&str, &str)| match setting(key) {
            Some(name) if key.contains('.') => format!("{name}={value}"),
            _ => (*value).to_owned(),
        };
        self.0.iter().map(told).collect::<Vec<_>>().join(", ")
    }

    /// Of a point of a matrix: the settings of its system that were varied, by the names by which
    /// they are asked for.
    pub fn settings(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(|part| setting(part.0))
    }

    /// ` at load.rate=1k/s`, after a comma or not; nothing for the base.
    pub fn at(&self) -> String {
        if self.is_base() { String::new() } else { format!(" at {self}") }
    }
}

/// Below these, names have dots of their own.
const RAW: [&str; 4] = ["client.", "broker.", "sentinel.", "topic.config."];

fn last(key: &str) -> &str {
    let raw = RAW.iter().find_map(|raw| key.strip_prefix(raw));
    raw.unwrap_or_else(|| key.rsplit('.').next().unwrap_or(key))
}

/// The name of a setting of a system: what is neither of the load nor of the message.
fn setting(key: &str) -> Option<&str> {
    let of_all = ["load.", "message."].iter().any(|all| key.starts_with(all));
    (!of_all && !key.is_empty()).then(|| last(key))
}

fn quantity(text: &str) -> Option<f64> {
    (text.parse::<f64>().ok())
        .or_else(|| text.parse::<Bytes>().ok().map(|bytes| bytes.0 as f64))
        .or_else(|| text.parse::<Rate>().ok().map(Rate::per_s))
        .or_else(|| text.parse::<ByteRate>().ok().map(|rate| rate.0 as f64))
        .or_else(|| text.parse::<Span>().ok().map(|span| span.nanos() as f64))
}

/// By the quantities in them, words behind numbers: `load.rate=2k/s` before `load.rate=10k/s`,
/// `100B` before `1KiB`.
impl Ord for Point<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let value = |a: &str, b: &str| match (quantity(a), quantity(b)) {
            (Some(x), Some(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.cmp(b),
        };
        let parts = self.0.iter().zip(&other.0);
        let mut parts = parts.map(|(a, b)| a.0.cmp(b.0).then_with(|| value(a.1, b.1)));
        parts.find(|order| order.is_ne()).unwrap_or_else(|| self.0.len().cmp(&other.0.len()))
    }
}

impl PartialOrd for Point<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Point<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |(key, value): &(&str, &str)| {
            if key.is_empty() { (*value).to_owned() } else { format!("{key}={value}") }
        };
        let text = self.0.iter().map(part).collect::<Vec<_>>().join(",");
        f.write_str(if text.is_empty() { BASE } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_found_by_their_last_name() {
        let text =
            "message.size=1KiB,payload=text,poison=1%,load.work=1ms,rate=10k/s,load.consumers=4";
        let point = Point::read(text);
        assert_eq!((point.get("size"), point.get("codec")), (Some("1KiB"), None));
        assert_eq!(point.number("size"), Some(1024.0));
        assert_eq!(point.number("poison"), Some(0.01));
        assert_eq!(point.number("work"), Some(1e6));
        assert_eq!(point.number("rate"), Some(1e4));
        assert_eq!(point.number("consumers"), Some(4.0));
        assert_eq!(point.number("payload"), None);
        assert_eq!(point.without(&["size", "payload", "poison", "work"]).values(), "10k/s, 4");
        assert_eq!(point.to_string(), text);
        assert_eq!(point.only(&["size", "rate"]).to_string(), "message.size=1KiB,rate=10k/s");
    }

    #[test]
    fn a_setting_is_told_with_its_name() {
        let point = Point::read("load.rate=1k/s,client.batch.size=1,topic.partitions=8,size=1B");
        assert_eq!(point.values(), "1k/s, batch.size=1, partitions=8, 1B");
        assert_eq!((point.get("size"), point.get("batch.size")), (Some("1B"), Some("1")));
        let settings: Vec<&str> =
            Point::read("load.rate=1k/s,client.linger.ms=5,nodes=3").settings().collect();
        assert_eq!(settings, ["linger.ms", "nodes"]);
        assert_eq!(point.without(&["batch.size", "partitions"]).values(), "1k/s, 1B");
    }

    #[test]
    fn the_base_has_no_keys() {
        for text in ["base", "", " , "] {
            let base = Point::read(text);
            assert!(
                base.is_base()
                    && base.values().is_empty()
                    && base.at().is_empty()
                    && base.to_string() == BASE
            );
        }
        let size = Point::read("size=1B");
        assert_eq!(Point::read("base").and(&size).to_string(), "size=1B");
        assert_eq!(Point::read("base,size=1B"), size);
        assert_eq!(Point::read("a=1").and(&size).to_string(), "a=1,size=1B");
    }

    #[test]
    fn points_are_ordered_by_their_quantities() {
        let sorted = |mut texts: Vec<&'static str>| {
            texts.sort_by_key(|text| Point::read(text));
            texts
        };
        assert_eq!(
            sorted(vec!["load.rate=10k/s", "load.rate=2k/s", "base"]),
            ["base", "load.rate=2k/s", "load.rate=10k/s"]
        );
        assert_eq!(sorted(vec!["size=1KiB", "size=100B"]), ["size=100B", "size=1KiB"]);
        assert_eq!(
            sorted(vec!["r=half-capacity", "r=10k/s", "r=1k/s"]),
            ["r=1k/s", "r=10k/s", "r=half-capacity"]
        );
        assert_eq!(sorted(vec!["a=1,b=10", "a=1,b=2", "a=1"]), ["a=1", "a=1,b=2", "a=1,b=10"]);
    }
}
