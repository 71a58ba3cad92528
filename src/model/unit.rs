//! Units of metrics: their names in results, how a limit in one is read, and how a value is shown
//! in a sentence.

use crate::units::{Bytes, Rate, Span};

named! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Unit {
        Nanoseconds = "ns",
        Milliseconds = "ms",
        Messages = "msg",
        MessagesPerSecond = "msg/s",
        OperationsPerSecond = "ops/s",
        Requests = "requests",
        RequestsPerSecond = "requests/s",
        Bytes = "B",
        BytesPerSecond = "B/s",
        /// From 0 to 1.
        Share = "share",
        /// 1 or 0.
        Yes = "yes",
        Times = "×",
    }
}

impl Unit {
    /// Reads a limit: `50ms`, `100k/s`, `10MiB/s`, `64MiB`, `0`. The error says what is expected.
    pub fn parse(self, text: &str) -> Result<f64, String> {
        match self {
            Self::Nanoseconds => {
                text.parse::<Span>().map(|span| span.nanos() as f64).map_err(|e| e.to_string())
            }
            Self::MessagesPerSecond | Self::OperationsPerSecond | Self::RequestsPerSecond => {
                text.parse::<Rate>().map(Rate::per_s).map_err(|e| e.to_string())
            }
            Self::Bytes => {
                text.parse::<Bytes>().map(|bytes| bytes.0 as f64).map_err(|e| e.to_string())
            }
            Self::BytesPerSecond => text
                .strip_suffix("/s")
                .and_then(|bytes| bytes.parse::<Bytes>().ok())
                .map(|bytes| bytes.0 as f64)
                .ok_or_else(|| {
                    format!("`{text}` is not an amount a second; write it like `10MiB/s`")
                }),
            Self::Messages => {
                text.replace('_', "").parse::<u64>().map(|count| count as f64).map_err(|_| {
                    format!("`{text}` is not a number of messages; write it like `0` or `1000`")
                })
            }
            Self::Milliseconds | Self::Requests | Self::Share | Self::Yes | Self::Times => {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                number.ok_or_else(|| format!("`{text}` is not a number; write it like `0.5`"))
            }
        }
    }

    /// Prints a value with three significant digits and its unit; counts in full.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Nanoseconds => {
                scaled(value, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")])
            }
            Self::Messages => format!("{value:.0}"),
            Self::MessagesPerSecond | Self::OperationsPerSecond | Self::RequestsPerSecond => {
                scaled(value, &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")])
            }
            Self::Bytes => scaled(value, &BINARY),
            Self::BytesPerSecond => format!("{}/s", scaled(value, &BINARY)),
            Self::Milliseconds | Self::Requests | Self::Share | Self::Yes | Self::Times => {
                three_digits(value)
            }
        }
    }
}

const BINARY: [(f64, &str); 4] =
    [(1_073_741_824.0, " GiB"), (1_048_576.0, " MiB"), (1_024.0, " KiB"), (1.0, " B")];

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let unit = units.iter().find(|(scale, _)| value.abs() >= *scale).or(units.last());
    let (scale, name) = unit.copied().unwrap_or((1.0, ""));
    format!("{}{name}", three_digits(value / scale))
}

/// Three significant digits, without an exponent.
pub fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_their_unit() {
        assert_eq!(Unit::Nanoseconds.show(1_234_567.0), "1.23 ms");
        assert_eq!(Unit::MessagesPerSecond.show(123_456.0), "123k/s");
        assert_eq!(Unit::BytesPerSecond.show(2_621_440.0), "2.50 MiB/s");
        assert_eq!(Unit::Messages.show(0.0), "0");
        assert!(Unit::ALL.into_iter().all(|unit| Unit::from_name(unit.name()) == Some(unit)));
    }
}
