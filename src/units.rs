//! Quantities with mandatory units: `10s`, `1KiB`, `50k/s`.
//!
//! A bare number is refused, because "5" has meant seconds, milliseconds and minutes in the tools
//! of this field. Parsing and printing are inverse to each other: what [`std::fmt::Display`]
//! writes, [`std::str::FromStr`] reads.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Why a text is not a quantity. Says what was found and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {kind}: {problem}; write it like {example}")]
pub struct UnitError {
    kind: &'static str,
    found: String,
    problem: String,
    example: &'static str,
}

/// A span of time with nanosecond resolution. Text form: `250us`, `5ms`, `10s`, `3m`, `2h`, `1d`,
/// and sums of these from the largest unit down: `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub u64);

/// A number of bytes. Text form: `100B`, `1KiB`, `16MiB`, `1MB` (decimal), `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

/// Messages a second, held in millionths so that schedules stay exact.
/// Text form: `500/s`, `10k/s`, `1.5M/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    micro_per_s: u64,
}

/// Bytes a second. Text form: `50MB/s`, `100KiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRate(pub u64);

const SPAN: (&str, &str) = ("duration", "`250us`, `5ms`, `10s`, `3m`, `1h30m` or `1d`");
const BYTES: (&str, &str) = ("size", "`100B`, `1KiB`, `16MiB` or `1MB`");
const RATE: (&str, &str) = ("rate", "`500/s`, `10k/s` or `1.5M/s`");
const BYTE_RATE: (&str, &str) = ("rate", "`50MB/s` or `100KiB/s`");
/// What a rate in bytes ends with.
const A_SECOND: &str = "/s";

const SPAN_UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const BYTE_UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];
const RATE_UNITS: &[(&str, u64)] =
    &[("M/s", 1_000_000_000_000), ("k/s", 1_000_000_000), ("/s", 1_000_000)];

impl Span {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000_000_000)
    }
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }
    pub const fn nanos(self) -> u64 {
        self.0
    }
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    pub const fn std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }
}

impl Rate {
    pub const fn per_second(messages: u64) -> Self {
        Self { micro_per_s: messages * 1_000_000 }
    }
    pub const fn from_micro(micro_per_s: u64) -> Self {
        Self { micro_per_s }
    }
    /// From a measured rate; below one message in a million seconds it is zero.
    pub fn from_f64(per_second: f64) -> Self {
        Self { micro_per_s: (per_second.max(0.0) * 1e6).round() as u64 }
    }
    pub const fn two_digits_down(self) -> Self {
        let mut scale = 1;
        while self.micro_per_s / scale >= 100 {
            scale *= 10;
        }
        Self { micro_per_s: self.micro_per_s / scale * scale }
    }
    pub const fn micro_per_s(self) -> u64 {
        self.micro_per_s
    }
    pub fn per_s(self) -> f64 {
        self.micro_per_s as f64 / 1e6
    }
}

impl ByteRate {
    /// In messages of this mean size, in bytes; zero of such as have none.
    pub fn in_messages_of(self, mean_bytes: f64) -> Rate {
        Rate::from_f64(if mean_bytes > 0.0 { self.0 as f64 / mean_bytes } else { 0.0 })
    }
}

fn of_number(c: char) -> bool {
    c.is_ascii_digit() || c == '.' || c == '_'
}

/// Splits `12.5ms` into its number, as written, and its unit.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !of_number(c)).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Adds up `1h30m`, whose units become smaller from part to part.
fn parse_span(text: &str) -> Result<u64, UnitError> {
    let (kind, example) = SPAN;
    let fail = |problem: &str| UnitError {
        kind,
        found: text.to_owned(),
        problem: problem.into(),
        example,
    };
    let (mut rest, mut sum, mut before) = (text.trim(), 0u64, u64::MAX);
    loop {
        // A part ends where, behind its unit, another number begins.
        let unit = rest.find(|c: char| !of_number(c)).unwrap_or(rest.len());
        let end = rest[unit..].find(of_number).map_or(rest.len(), |next| unit + next);
        let part = parse(rest[..end].trim_end(), SPAN, SPAN_UNITS)
            .map_err(|error| UnitError { found: text.to_owned(), ..error })?;
        let (_, name) = split(rest[..end].trim_end());
        let scale =
            SPAN_UNITS.iter().find(|(known, _)| *known == name).map_or(0, |(_, scale)| *scale);
        if scale >= before {
            return Err(fail("each unit stands once, from the largest down"));
        }
        sum = sum.checked_add(part).ok_or_else(|| fail("it is too large"))?;
        if end == rest.len() {
            return Ok(sum);
        }
        (rest, before) = (&rest[end..], scale);
    }
}

/// Parses `text` against a table of units (scale in base units); exact for whole numbers.
fn parse(
    text: &str,
    (kind, example): (&'static str, &'static str),
    units: &[(&str, u64)],
) -> Result<u64, UnitError> {
    let fail = |problem: String| UnitError { kind, found: text.to_owned(), problem, example };
    let (number, unit) = split(text.trim());
    let number = number.replace('_', "");
    if number.is_empty() {
        return Err(fail("it does not start with a number".into()));
    }
    if unit.is_empty() {
        return Err(fail("the unit is missing".into()));
    }
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let scale = units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let scale = scale.ok_or_else(|| fail(format!("unknown unit `{unit}` (known: {})", names())))?;
    let value = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(scale),
        Err(_) => {
            let value =
                number.parse::<f64>().map_err(|_| fail(format!("`{number}` is not a number")))?;
            let value = (value * scale as f64).round();
            (value < u64::MAX as f64).then_some(value as u64)
        }
    };
    value.ok_or_else(|| fail("it is too large".into()))
}

/// Prints with the largest unit that divides the value exactly.
fn print(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let (name, scale) = units
        .iter()
        .find(|(_, scale)| value >= *scale && value.is_multiple_of(*scale))
        .or(units.last())
        .copied()
        .unwrap_or(("", 1));
    write!(f, "{}{name}", value / scale)
}

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_span(text).map(Self)
    }
}
impl FromStr for Bytes {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, BYTES, BYTE_UNITS).map(Self)
    }
}
impl FromStr for Rate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, RATE, RATE_UNITS).map(|micro_per_s| Self { micro_per_s })
    }
}

impl FromStr for ByteRate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (kind, example) = BYTE_RATE;
        let fail = |problem: String| UnitError { kind, found: text.to_owned(), problem, example };
        let bytes = text.trim().strip_suffix(A_SECOND);
        let bytes = bytes.ok_or_else(|| fail("it does not end with `/s`".into()))?;
        parse(bytes, BYTE_RATE, BYTE_UNITS).map(Self).map_err(|error| fail(error.problem))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0s") } else { print(f, self.0, SPAN_UNITS) }
    }
}
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.0, BYTE_UNITS)
    }
}
impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{A_SECOND}", Bytes(self.0))
    }
}
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.micro_per_s.is_multiple_of(1_000_000) {
            print(f, self.micro_per_s, RATE_UNITS)
        } else {
            write!(f, "{}/s", self.per_s())
        }
    }
}

/// Serde and JSON Schema by way of the text form: the unit is part of the value in every file.
macro_rules! as_text {
    ($type:ty, $name:literal, $pattern:literal, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": $what
                })
            }
        }
    };
}
pub(crate) use as_text;

as_text!(
    Span,
    "Duration",
    r"^([0-9][0-9_.]*\s*(ns|us|ms|s|m|h|d)\s*)+$",
    "A duration with its unit, such as 10s or 1h30m"
);
as_text!(
    Bytes,
    "Size",
    r"^[0-9][0-9_.]*\s*(B|kB|KB|KiB|MB|MiB|GB|GiB)$",
    "A size with its unit, such as 1KiB"
);
as_text!(
    Rate,
    "Rate",
    r"^[0-9][0-9_.]*\s*(|k|M)/s$",
    "Messages a second with the unit, such as 10k/s"
);
as_text!(
    ByteRate,
    "ByteRate",
    r"^[0-9][0-9_.]*\s*(B|kB|KB|KiB|MB|MiB|GB|GiB)/s$",
    "Bytes a second with the unit, such as 50MB/s"
);

#[cfg(test)]
mod tests;
