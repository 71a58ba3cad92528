//! The seconds of a cell as OpenMetrics, with time stamps: to lay them beside a broker's own
//! metrics (`promtool tsdb create-blocks-from openmetrics`).
//!
//! Names and labels are those by which `run --metrics` tells the same while the cell runs: an
//! interface for dashboards, which `docs/commands.md` lists.

use crate::result::{CellId, WindowRow};
use crate::sanitize;
use itertools::Itertools;
use std::io::{self, BufWriter, Write};

/// Before every name.
pub const PREFIX: &str = "brokerbench";

pub type Labels = Vec<(String, String)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Rates,
    Latencies,
    Backlog,
    Cpu,
    Memory,
    Phase,
}

impl Family {
    pub const ALL: [Self; 6] =
        [Self::Rates, Self::Latencies, Self::Backlog, Self::Cpu, Self::Memory, Self::Phase];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Rates => "messages_per_second",
            Self::Latencies => "latency_seconds",
            Self::Backlog => "backlog_messages",
            Self::Cpu => "cpu_cores",
            Self::Memory => "broker_memory_bytes",
            Self::Phase => "phase",
        }
    }

    pub const fn help(self) -> &'static str {
        match self {
            Self::Rates => {
                "Messages in one second: offered by the plan, sent, acked, consumed (first \
                 deliveries over all subscriptions)"
            }
            Self::Latencies => {
                "Quantiles of what ended in one second, warm-up included; publish and end_to_end \
                 count from the planned time"
            }
            Self::Backlog => "Acknowledged and not yet consumed by every subscription",
            Self::Cpu => "Cores busy for client and broker",
            Self::Memory => "Resident memory of the broker's processes",
            Self::Phase => "1 for warm-up, measure or drain",
        }
    }
}

/// One figure of every second: its family, what tells it from others there, and its value.
pub struct Figure {
    pub family: Family,
    pub labels: &'static [(&'static str, &'static str)],
    pub of: fn(&WindowRow) -> Option<f64>,
}

const fn figure(
    family: Family,
    labels: &'static [(&'static str, &'static str)],
    of: fn(&WindowRow) -> Option<f64>,
) -> Figure {
    Figure { family, labels, of }
}

/// Everything that a row holds, families together.
pub const FIGURES: [Figure; 16] = [
    figure(Family::Rates, &[("kind", "offered")], |row| row.offered_messages.map(|n| n as f64)),
    figure(Family::Rates, &[("kind", "sent")], |row| Some(row.sent_messages as f64)),
    figure(Family::Rates, &[("kind", "acked")], |row| Some(row.acked_messages as f64)),
    figure(Family::Rates, &[("kind", "consumed")], |row| Some(row.consumed_messages as f64)),
    figure(Family::Latencies, &[("latency", "publish"), ("quantile", "0.5")], |row| {
        seconds(row.publish_p50_ns)
    }),
    figure(Family::Latencies, &[("latency", "publish"), ("quantile", "0.99")], |row| {
        seconds(row.publish_p99_ns)
    }),
    figure(Family::Latencies, &[("latency", "end_to_end"), ("quantile", "0.5")], |row| {
        seconds(row.end_to_end_p50_ns)
    }),
    figure(Family::Latencies, &[("latency", "end_to_end"), ("quantile", "0.99")], |row| {
        seconds(row.end_to_end_p99_ns)
    }),
    figure(Family::Latencies, &[("latency", "schedule_lag"), ("quantile", "0.99")], |row| {
        seconds(row.schedule_lag_p99_ns)
    }),
    figure(Family::Backlog, &[], |row| Some(row.backlog_messages as f64)),
    figure(Family::Cpu, &[("of", "client")], |row| Some(row.client_cpu_percent? / 100.0)),
    figure(Family::Cpu, &[("of", "broker")], |row| Some(row.broker_cpu_percent? / 100.0)),
    figure(Family::Memory, &[], |row| row.broker_rss_bytes.map(|bytes| bytes as f64)),
    figure(Family::Phase, &[("phase", "warm-up")], |row| in_phase(row, "warm-up")),
    figure(Family::Phase, &[("phase", "measure")], |row| in_phase(row, "measure")),
    figure(Family::Phase, &[("phase", "drain")], |row| in_phase(row, "drain")),
];

fn seconds(ns: Option<u64>) -> Option<f64> {
    ns.map(|ns| ns as f64 / 1e9)
}

fn in_phase(row: &WindowRow, phase: &str) -> Option<f64> {
    (row.phase == phase).then_some(1.0)
}

/// Of everything that is told of a cell.
pub fn labels(scenario: &str, id: &CellId) -> Labels {
    vec![
        label("scenario", scenario),
        label("label", &id.label),
        label("system", &id.system),
        label("cell", &id.cell),
        label("block", &id.block.to_string()),
    ]
}

/// Names are the users' own.
pub fn label(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), sanitize::line(value))
}

/// Of what stands between quotation marks.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#)
}

/// Every figure by itself, in order of time.
pub fn encode(
    rows: &[WindowRow],
    labels: &[(String, String)],
    epoch: jiff::Timestamp,
    file: &mut dyn Write,
) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let mut told = None;
    for Figure { family, labels: own, of } in &FIGURES {
        let name = format!("{PREFIX}_{}", family.name());
        if told.replace(*family) != Some(*family) {
            writeln!(file, "# HELP {name} {}.\n# TYPE {name} gauge", family.help())?;
        }
        let all = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let all = all.chain(own.iter().copied());
        let all = all.map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).join(",");
        for row in rows {
            let Some(value) = of(row) else { continue };
            // A second is told at its end.
            let at_ms = epoch.as_millisecond() + (row.start_ns / 1_000_000) as i64 + 1000;
            let (at, ms) = (at_ms / 1000, at_ms % 1000);
            writeln!(file, "{name}{{{all}}} {value} {at}.{ms:03}")?;
        }
    }
    writeln!(file, "# EOF")?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_by_itself_in_order_of_time_with_what_it_is() {
        let row = |second: u64| WindowRow {
            phase: if second == 0 { "warm-up" } else { "measure" }.into(),
            start_ns: second * 1_000_000_000 + 500_000_000,
            acked_messages: 990 + second,
            publish_p99_ns: (second > 0).then_some(5_000_000),
            client_cpu_percent: Some(50.0),
            ..WindowRow::default()
        };
        let id = CellId { label: "my \"k\\\u{7}".into(), block: 2, ..CellId::default() };
        let (labels, epoch) = (labels("soak", &id), "2026-11-22T19:00:00Z".parse().unwrap());
        let mut text = Vec::new();
        encode(&[row(0), row(1)], &labels, epoch, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let own = r#"scenario="soak",label="my \"k\\<>",system="",cell="",block="2""#;
        let own = own.replace("<>", "\u{fffd}");
        let acked = format!(
            "brokerbench_messages_per_second{{{own},kind=\"acked\"}} 990 1795374001.500\n\
             brokerbench_messages_per_second{{{own},kind=\"acked\"}} 991 1795374002.500\n"
        );
        assert!(text.contains(&acked), "{text}");
        let p99 = format!("{{{own},latency=\"publish\",quantile=\"0.99\"}} 0.005 1795374002.500\n");
        assert!(text.contains(&p99) && text.matches("quantile=").count() == 1, "{text}");
        assert!(text.contains(&format!("cpu_cores{{{own},of=\"client\"}} 0.5 ")), "{text}");
        assert!(!text.contains("kind=\"offered\""), "a closed loop offers nothing: {text}");
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(heads.len(), Family::ALL.len());
        assert!(text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn families_stand_together() {
        let families: Vec<Family> = FIGURES.iter().map(|figure| figure.family).collect();
        let together: Vec<Family> = families.chunk_by(Family::eq).map(|chunk| chunk[0]).collect();
        assert_eq!(together, Family::ALL);
    }
}
