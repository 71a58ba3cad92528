//! Results in words: numbers with three significant digits, quantities with units, survival
//! classes.
//!
//! Every table, chart and verdict prints through these, so a value looks the same wherever it
//! stands.

use super::manifest::{Storage, SyncCost};
use super::summary::{CellId, Survives};
use crate::model::{System, Told};

/// How the reason of a retry begins, behind who tried again, where a Redis Cluster sent the client
/// elsewhere.
pub const REDIRECTED: &str = "redirected (";

/// The word that stands for a variant in our JSON files.
pub fn name(variant: &impl serde::Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// A small number as a word.
pub fn in_words(count: usize) -> String {
    let words = "no one two three four five six seven eight nine ten eleven twelve";
    words.split(' ').nth(count).map_or_else(|| count.to_string(), str::to_owned)
}

/// Three significant digits, thousands kept whole: `0.0123`, `1.23`, `12.3`, `123`, `12300`.
pub fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".into() } else { "–".into() };
    }
    let places = 2 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(places.abs());
    let rounded =
        if places >= 0 { (value * scale).round() / scale } else { (value / scale).round() * scale };
    // Rounding may add a digit: 9.999 is 10.0, not 10.00.
    let places = 2 - rounded.abs().log10().floor() as i32;
    format!("{rounded:.*}", places.max(0) as usize)
}

/// In words, or the dash that stands for no value.
pub fn or_dash<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), words)
}

/// A unit of time that suits a whole column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Micro,
    Milli,
    Second,
}

impl TimeUnit {
    /// The unit that suits the middle, on a logarithmic scale, of the smallest and the largest
    /// value.
    pub fn for_column(values_ns: impl IntoIterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        for value in values_ns.into_iter().filter(|value| *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        match (least * most).sqrt() {
            middle if middle < 5e5 => Self::Micro,
            middle if middle >= 5e8 && middle.is_finite() => Self::Second,
            _ => Self::Milli,
        }
    }

    const fn name_and_ns(self) -> (&'static str, f64) {
        match self {
            Self::Micro => ("µs", 1e3),
            Self::Milli => ("ms", 1e6),
            Self::Second => ("s", 1e9),
        }
    }

    pub const fn name(self) -> &'static str {
        self.name_and_ns().0
    }

    /// Without the unit, which stands at the head of the column.
    pub fn of(self, ns: f64) -> String {
        significant(ns / self.name_and_ns().1)
    }
}

/// One time on its own, with the unit that suits it.
pub fn time(ns: f64) -> String {
    let unit = match ns {
        ns if ns < 1e6 => TimeUnit::Micro,
        ns if ns < 1e9 => TimeUnit::Milli,
        _ => TimeUnit::Second,
    };
    format!("{} {}", unit.of(ns), unit.name())
}

/// A value as `words` has it, `> 8.00 s` where it is known from below, or that there was no
/// interruption longer than can be seen: an only broker that was killed and is back at once was
/// interrupted, if for less.
pub fn told(told: Told<f64>, words: impl FnOnce(f64) -> String) -> String {
    match told {
        Told::Value(value) => words(value),
        Told::AtMost(bound) => format!("never interrupted for over {}", time(bound)),
        Told::AtLeast(bound) => format!("> {}", words(bound)),
    }
}

/// A large count or rate on its own: `12.3k`, `1.23M`.
pub fn compact(value: f64) -> String {
    if value.abs() >= 999_500.0 {
        format!("{}M", significant(value / 1e6))
    } else if value.abs() >= 999.5 {
        format!("{}k", significant(value / 1e3))
    } else {
        significant(value)
    }
}

/// A whole number with thin groups: `1,234,567`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of messages, whole: no three digits stand for what was counted one by one. A mean of few
/// keeps its fraction.
pub fn count(value: f64) -> String {
    let whole = value.fract() == 0.0 || value >= 100.0;
    if whole && (0.0..1e15).contains(&value) {
        grouped(value.round() as u64)
    } else {
        significant(value)
    }
}

/// What an acknowledged message survives, as a short class: `survives nothing`, `survives process
/// kill, 1 copy`.
pub fn survival(survives: &Survives) -> String {
    let promises = [
        (survives.process_kill, "process kill"),
        (survives.power_loss, "power loss"),
        (
            survives.node_loss,
            if survives.nearly { "loss of a node, nearly" } else { "loss of a node" },
        ),
    ];
    let kept: Vec<&str> =
        promises.iter().filter(|(kept, _)| *kept).map(|(_, name)| *name).collect();
    if kept.is_empty() {
        return "survives nothing".to_owned();
    }
    let copies = if survives.copies == 1 {
        "1 copy".to_owned()
    } else {
        format!("{} copies", survives.copies)
    };
    format!("survives {}, {copies}", kept.join(" + "))
}

/// Where data lies, and what a synced append costs there.
pub fn storage(storage: &Storage) -> String {
    let Storage { file_system, options, device, in_memory, fdatasync } = storage;
    let memory = if *in_memory { ", in memory" } else { "" };
    let cost =
        fdatasync.map_or("not measured".to_owned(), |SyncCost { appends, p50_ns, p99_ns }| {
            let (p50, p99) = (time(p50_ns as f64), time(p99_ns as f64));
            format!("p50 {p50}, p99 {p99} over {appends} appends")
        });
    format!("{file_system} on {device} ({options}){memory}; fdatasync of 4 KiB: {cost}")
}

/// How often a message is stored. Kafka's copies are those of a partition; of a Redis server each
/// further node has one, of a Redis Cluster each further node of a shard.
pub fn copies(cell: &CellId, survives: &Survives) -> u16 {
    match System::from_name(&cell.system).map(System::base) {
        Some(System::Kafka) => survives.copies,
        _ => cell.nodes / cell.shards.unwrap_or(1).max(1),
    }
}

/// Whether two survival classes are equal: the same promises on as many copies, whatever settings
/// lead to them.
pub fn same_class(a: &Survives, b: &Survives) -> bool {
    let class = |s: &Survives| {
        let promises = (s.process_kill, s.power_loss, s.node_loss);
        (promises, if promises == (false, false, false) { 0 } else { s.copies })
    };
    class(a) == class(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.012345, "0.0123"),
            (1.0, "1.00"),
            (9.999, "10.0"),
            (12.34, "12.3"),
            (999.6, "1000"),
            (123_456.0, "123000"),
            (-1.5, "-1.50"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(significant(value), text);
        }
        assert_eq!(compact(612_345.0), "612k");
        assert_eq!(compact(999_700.0), "1.00M");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!([54_728.0, 54_728.4, 2.5, 0.0].map(count), ["54,728", "54,728", "2.50", "0"]);
        assert_eq!(time(512_000.0), "512 µs");
    }

    #[test]
    fn a_column_has_one_unit_that_suits_its_middle() {
        assert_eq!(TimeUnit::for_column([5e5, 2e9]), TimeUnit::Milli);
        assert_eq!(TimeUnit::for_column([4e4, 2e6]), TimeUnit::Micro);
        assert_eq!(TimeUnit::for_column([6e4, 2e7]), TimeUnit::Milli);
        assert_eq!(TimeUnit::for_column([]), TimeUnit::Milli);
    }

    #[test]
    fn classes_are_promises_and_copies_not_settings() {
        let nothing = Survives { copies: 1, ..Survives::default() };
        let kill = Survives {
            process_kill: true,
            copies: 1,
            because: "RF=1".into(),
            ..Survives::default()
        };
        assert_eq!(survival(&nothing), "survives nothing");
        assert_eq!(survival(&kill), "survives process kill, 1 copy");
        assert!(same_class(&kill, &Survives { because: "AOF everysec".into(), ..kill.clone() }));
        assert!(same_class(&nothing, &Survives::default()));
        assert!(!same_class(&kill, &Survives { copies: 3, ..kill.clone() }));
        assert!(!same_class(&kill, &nothing));
    }
}
