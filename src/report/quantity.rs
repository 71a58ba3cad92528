//! A value with its unit as a reader wants it: `1.63 ms`, `256 MiB`, `all`, `12.3k msg/s`.

use crate::model::Unit;
use crate::result::words::{compact, count, grouped, significant, time};
use crate::units::Bytes;

/// On its own, unit included; also in a unit of another version.
pub fn words(value: f64, unit: &str) -> String {
    match Unit::from_name(unit) {
        Some(Unit::Nanoseconds | Unit::Bytes) if value == 0.0 => "0".to_owned(),
        Some(Unit::Nanoseconds) => time(value),
        Some(Unit::Bytes) => bytes(value),
        Some(Unit::BytesPerSecond) => format!("{}/s", decimal_bytes(value)),
        Some(Unit::Share) => share(value),
        Some(Unit::Yes) => if value > 0.5 { "yes" } else { "no" }.to_owned(),
        Some(Unit::Times) => format!("{}×", significant(value)),
        Some(Unit::Messages) => format!("{} msg", count(value)),
        None if unit.is_empty() => number(value),
        _ => format!("{} {unit}", if value.abs() >= 1e4 { compact(value) } else { number(value) }),
    }
}

pub use crate::result::words::count as plain;

/// Whole numbers whole, all others with three significant digits.
fn number(value: f64) -> String {
    if is_whole(value) { grouped(value as u64) } else { significant(value) }
}

fn is_whole(value: f64) -> bool {
    value.fract() == 0.0 && (0.0..1e15).contains(&value)
}

/// In words where it is all or nothing; a part never rounds to either.
pub fn share(value: f64) -> String {
    match value {
        value if value >= 1.0 => "all".to_owned(),
        value if value <= 0.0 => "none".to_owned(),
        value if value > 0.99 => format!("{} %", (value * 1000.0).floor() / 10.0),
        value if value < 0.001 => "< 0.1 %".to_owned(),
        value => format!("{} %", significant((value * 1000.0).round() / 10.0)),
    }
}

/// Exact where a unit divides it, such as `256 MiB` and `1 GB`; otherwise decimal.
pub fn bytes(value: f64) -> String {
    if is_whole(value) {
        let exact = Bytes(value as u64).to_string();
        let digits = exact.find(|c: char| !c.is_ascii_digit()).unwrap_or(exact.len());
        if digits <= 3 {
            return format!("{} {}", &exact[..digits], &exact[digits..]);
        }
    }
    decimal_bytes(value)
}

pub fn decimal_bytes(value: f64) -> String {
    let (scale, unit) = match value.abs() {
        large if large >= 999.5e6 => (1e9, "GB"),
        large if large >= 999.5e3 => (1e6, "MB"),
        large if large >= 999.5 => (1e3, "kB"),
        _ => (1.0, "B"),
    };
    format!("{} {unit}", significant(value / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantities() {
        for (value, unit, text) in [
            (1.63e6, "ns", "1.63 ms"),
            (268_435_456.0, "B", "256 MiB"),
            (1e9, "B", "1 GB"),
            (1_048_588.0, "B", "1.05 MB"),
            (8.12e8, "B/s", "812 MB/s"),
            (1.0, "share", "all"),
            (0.0, "share", "none"),
            (0.9999, "share", "99.9 %"),
            (0.371, "share", "37.1 %"),
            (1.0, "yes", "yes"),
            (0.0, "yes", "no"),
            (12_345.0, "msg/s", "12.3k msg/s"),
            (7.0, "msg", "7 msg"),
            (54_728.0, "msg", "54,728 msg"),
            (0.987_65, "requests", "0.988 requests"),
        ] {
            assert_eq!(words(value, unit), text);
        }
    }
}
