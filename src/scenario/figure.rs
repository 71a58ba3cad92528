//! The figures of a cell that rules and scenarios may name, and how each is found in a [`CellSummary`].
//!
//! A figure is a path into `summary.json` with a unit: no figure exists here that is not a field there. One that
//! was not measured is `None`, never 0.

use super::load::{Load, Model};
use super::system::{Reply, SystemConfig};
use crate::model::{Quantile, System};
use crate::result::CellSummary;
use crate::units::{Bytes, Rate, Span};
use serde::Serialize;
use std::fmt;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    Time,
    Count,
    Rate,
    BytesPerSecond,
    Bytes,
}

/// A figure by its name, such as `end_to_end.p99`, `counts.lost` or `goodput`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Figure(&'static Known);

#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: String,
    /// Where it stands in a serialised [`CellSummary`].
    pointer: String,
    unit: Unit,
    quantile: Option<Quantile>,
}

const LATENCIES: [&str; 4] = ["end_to_end", "publish", "service", "schedule_lag"];
const POINTS: [&str; 6] = ["p50", "p90", "p99", "p99_9", "p99_99", "max"];
const COUNTS: [&str; 17] = [
    "planned",
    "sent",
    "acked",
    "failed",
    "indeterminate",
    "delivered",
    "undelivered",
    "lost",
    "broker_lost",
    "passed_over",
    "duplicate",
    "log_duplicate",
    "phantom",
    "corrupt",
    "reordered",
    "foreign",
    "backpressured",
];
const RATES: [&str; 4] = ["offered_per_s", "sent_per_s", "acked_per_s", "consumed_per_s"];

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let figure = |name: String, pointer: String, unit| Known { name, pointer, unit, quantile: None };
    let mut all = vec![figure("goodput".into(), "/rates/goodput_per_s".into(), Unit::Rate)];
    for latency in LATENCIES {
        for point in POINTS {
            let pointer = format!("/latency/{latency}/{point}_ns");
            let figure = figure(format!("{latency}.{point}"), pointer, Unit::Time);
            all.push(Known { quantile: point.parse().ok(), ..figure });
        }
        all.push(figure(format!("{latency}.count"), format!("/latency/{latency}/count"), Unit::Count));
    }
    all.extend(COUNTS.map(|name| figure(format!("counts.{name}"), format!("/counts/{name}"), Unit::Count)));
    all.extend(RATES.map(|name| figure(format!("rates.{name}"), format!("/rates/{name}"), Unit::Rate)));
    all.push(figure("rates.goodput_bytes_per_s".into(), "/rates/goodput_bytes_per_s".into(), Unit::BytesPerSecond));
    for side in ["client", "broker"] {
        let cpu = format!("{side}_cpu_ns_per_message");
        all.push(figure(format!("resources.{side}_cpu_per_message"), format!("/resources/{cpu}"), Unit::Time));
        let rss = format!("{side}_peak_rss_bytes");
        all.push(figure(format!("resources.{side}_peak_rss"), format!("/resources/{rss}"), Unit::Bytes));
    }
    all
});

/// Other spellings: the field's own name, and quantiles with a dot.
fn canonical(name: &str) -> String {
    match name {
        "rates.goodput_per_s" => "goodput".to_owned(),
        name => name.replace(".p99.99", ".p99_99").replace(".p99.9", ".p99_9"),
    }
}

impl Figure {
    pub fn all() -> impl Iterator<Item = Self> {
        KNOWN.iter().map(Self)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        let name = canonical(name);
        KNOWN.iter().find(|known| known.name == name).map(Self)
    }

    pub fn name(self) -> &'static str {
        &self.0.name
    }

    pub fn unit(self) -> Unit {
        self.0.unit
    }

    pub fn quantile(self) -> Option<Quantile> {
        self.0.quantile
    }

    /// Its value, in ns, messages, messages/s, bytes or bytes/s; `None` when it was not measured.
    pub fn of(self, cell: &CellSummary) -> Option<f64> {
        serde_json::to_value(cell).ok()?.pointer(&self.0.pointer)?.as_f64()
    }

    /// Why no run of this system under this load can measure it.
    pub fn never_measured(self, config: &SystemConfig, load: &Load) -> Option<&'static str> {
        let planned = ["end_to_end.", "publish.", "schedule_lag.", "counts.planned", "rates.offered_per_s"];
        let acked = ["counts.acked", "counts.broker_lost", "counts.log_duplicate", "rates.acked_per_s"];
        let name = self.name();
        if load.model == Model::Closed && planned.iter().any(|prefix| name.starts_with(prefix)) {
            return Some("the closed model plans no send times");
        }
        if config.system == System::RedisPubsub && acked.contains(&name) {
            return Some("Pub/Sub acknowledges and keeps nothing");
        }
        if config.acks() == Some("0") && acked.contains(&name) {
            return Some("nothing is acknowledged with `acks: 0`");
        }
        if config.reply == Reply::Off && acked.contains(&name) {
            return Some("nothing is acknowledged with `reply: off`");
        }
        (!load.audit && matches!(name, "counts.broker_lost" | "counts.log_duplicate")).then_some("`load.audit` is off")
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Unit {
    /// Reads a limit: `50ms`, `100k/s`, `10MiB/s`, `64MiB`, `0`. The error says what is expected.
    pub fn parse(self, text: &str) -> Result<f64, String> {
        match self {
            Self::Time => text.parse::<Span>().map(|span| span.nanos() as f64).map_err(|e| e.to_string()),
            Self::Rate => text.parse::<Rate>().map(Rate::per_s).map_err(|e| e.to_string()),
            Self::Bytes => text.parse::<Bytes>().map(|bytes| bytes.0 as f64).map_err(|e| e.to_string()),
            Self::BytesPerSecond => text
                .strip_suffix("/s")
                .and_then(|bytes| bytes.parse::<Bytes>().ok())
                .map(|bytes| bytes.0 as f64)
                .ok_or_else(|| format!("`{text}` is not an amount a second; write it like `10MiB/s`")),
            Self::Count => text
                .replace('_', "")
                .parse::<u64>()
                .map(|count| count as f64)
                .map_err(|_| format!("`{text}` is not a number of messages; write it like `0` or `1000`")),
        }
    }

    /// Prints a value with three significant digits and its unit; counts in full.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Time => scaled(value, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")]),
            Self::Count => format!("{value:.0}"),
            Self::Rate => scaled(value, &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")]),
            Self::Bytes => scaled(value, &BINARY),
            Self::BytesPerSecond => format!("{}/s", scaled(value, &BINARY)),
        }
    }
}

const BINARY: [(f64, &str); 4] = [(1_073_741_824.0, " GiB"), (1_048_576.0, " MiB"), (1_024.0, " KiB"), (1.0, " B")];

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let unit = units.iter().find(|(scale, _)| value.abs() >= *scale).or(units.last());
    let (scale, name) = unit.copied().unwrap_or((1.0, ""));
    format!("{}{name}", three_digits(value / scale))
}

/// Three significant digits, without an exponent.
pub(super) fn three_digits(value: f64) -> String {
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
    use crate::result::{CellId, Counts, Latencies, Quantiles, Rates, Resources};

    /// A cell in which every figure has the value 7.
    fn sevens() -> CellSummary {
        let q = || {
            let seven = Some(7);
            Some(Quantiles {
                count: 7,
                p50_ns: seven,
                p90_ns: seven,
                p99_ns: seven,
                p99_9_ns: seven,
                p99_99_ns: seven,
                max_ns: seven,
            })
        };
        let mut counts = serde_json::to_value(Counts::default()).unwrap();
        let mut rates = serde_json::to_value(Rates::default()).unwrap();
        for object in [&mut counts, &mut rates] {
            object.as_object_mut().unwrap().values_mut().for_each(|value| *value = 7.into());
        }
        let id = CellId {
            label: "kafka".into(),
            system: "kafka".into(),
            nodes: 1,
            cell: "base".into(),
            block: 1,
            ..CellId::default()
        };
        CellSummary {
            counts: serde_json::from_value(counts).unwrap(),
            latency: Latencies { publish: q(), end_to_end: q(), service: q(), schedule_lag: q() },
            rates: serde_json::from_value(rates).unwrap(),
            resources: Resources {
                client_cpu_ns_per_message: Some(7.0),
                client_peak_rss_bytes: Some(7),
                broker_cpu_ns_per_message: Some(7.0),
                broker_peak_rss_bytes: Some(7),
                saturated: None,
            },
            ..CellSummary::empty(id)
        }
    }

    #[test]
    fn every_figure_is_a_field_of_the_summary() {
        let cell = sevens();
        for figure in Figure::all() {
            assert_eq!(figure.of(&cell), Some(7.0), "{figure}");
            assert_eq!(Figure::from_name(figure.name()), Some(figure));
        }
    }

    #[test]
    fn every_count_of_the_summary_is_a_figure() {
        let counts = serde_json::to_value(Counts::default()).unwrap();
        for name in counts.as_object().unwrap().keys() {
            assert!(Figure::from_name(&format!("counts.{name}")).is_some(), "{name}");
        }
    }

    #[test]
    fn other_spellings_mean_the_same() {
        assert_eq!(Figure::from_name("rates.goodput_per_s"), Figure::from_name("goodput"));
        assert_eq!(Figure::from_name("end_to_end.p99.9").map(Figure::name), Some("end_to_end.p99_9"));
        assert_eq!(Figure::from_name("end_to_end.p98"), None);
    }

    #[test]
    fn values_are_shown_with_their_unit() {
        assert_eq!(Unit::Time.show(1_234_567.0), "1.23 ms");
        assert_eq!(Unit::Rate.show(123_456.0), "123k/s");
        assert_eq!(Unit::BytesPerSecond.show(2_621_440.0), "2.50 MiB/s");
        assert_eq!(Unit::Count.show(0.0), "0");
    }
}
