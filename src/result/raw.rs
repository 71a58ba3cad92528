//! The raw files of one cell: what the engine leaves and every table and chart is computed from.
//!
//! `accounting.json` is a [`CellRecord`]; `windows.csv` has one [`WindowRow`] per second;
//! `events.ndjson` one [`Event`] per line; `latency.hlog` one interval histogram per second and
//! [`Latency`], see [`super::hlog`]. Nothing derived is stored here that could be computed from
//! these files.

use super::comparison::Kind;
use super::distribution::Censored;
use super::observation::Observation;
use super::shard::ShardPart;
use super::summary::{CellId, CellOutcome, Counts, Fault, Resources, SCHEMA, Survives};
use crate::model::{Latency, metric};
use crate::record::{Books, Example};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;

/// `accounting.json`: identity, books, resources and gates of one cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    pub schema: u32,
    #[serde(flatten)]
    pub id: CellId,
    pub open_loop: bool,
    pub subscriptions: u16,
    pub message_bytes: u64,
    /// Of the generator, where several were tried, in words.
    #[serde(default)]
    pub setting: Option<String>,
    /// The measured window, ns since the run's epoch; `None` when it never began.
    pub window_start_ns: Option<u64>,
    pub window_end_ns: Option<u64>,
    /// How long warm-up took until steady, ns.
    pub warm_up_ns: u64,
    pub outcome: CellOutcome,
    pub outcome_because: Vec<String>,
    pub survives: Survives,
    pub counts: Counts,
    pub subscriptions_counts: Vec<Counts>,
    /// Reasons of failed and indeterminate messages.
    pub failures: BTreeMap<String, u64>,
    /// What producers and consumers tried again, by its reason (`publish: …`, `consume: …`). What
    /// was tried again and succeeded is no failure, and may be the cause of a duplicate.
    #[serde(default)]
    pub retries: BTreeMap<String, u64>,
    pub resources: Resources,
    /// Every gate with its value and whether it held.
    /// A failed gate of the harness makes the cell invalid.
    pub gates: Vec<Gate>,
    /// Why windows before this one were spoilt by the harness and measured again; empty for the
    /// first.
    #[serde(default)]
    pub repeated_because: Vec<String>,
    /// Instrument floor against the reflector: metric name → quantile name (`p50`, `p99`, …) → ns.
    pub floor: BTreeMap<String, BTreeMap<String, u64>>,
    /// Values above the histograms' range, kept at its end; counted here.
    pub saturated_samples: u64,
    /// Messages of the window that are not in the histogram of a latency: they failed, or had no
    /// answer, were not sent or not delivered when nobody waited any longer.
    pub censored: BTreeMap<Latency, Censored>,
    /// Messages acknowledged (sent, where a reply promises nothing) and first deliveries inside the
    /// window by the clock, whenever they were planned: the base of goodput.
    pub window_acked: u64,
    pub window_consumed: u64,
    /// Size of what was consumed, where others published it; else all messages are of one size.
    #[serde(default)]
    pub window_bytes: Option<u64>,
    pub window_sent: u64,
    /// Planned inside the window; `None` in the closed model.
    pub window_planned: Option<u64>,
    /// Of the window, in order; empty where it has one rate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageRecord>,
    /// Share of the window in which producers waited for consumers; `None` in the open model.
    #[serde(default)]
    pub held_by_consumers: Option<f64>,
    /// The experiment that made this cell; `None` for plain load.
    #[serde(default)]
    pub experiment: Option<String>,
    #[serde(default)]
    pub observations: Vec<Observation>,
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Why the system cannot promise the scenario's guarantee at these settings;
    /// `None` where it can.
    #[serde(default)]
    pub unpromised: Option<String>,
    /// The first few messages of each kind of harm.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// Effective settings read back from broker and client.
    pub description: Description,
    pub interrupted: bool,
    /// A broker or driver error that ended the cell early, in words.
    pub error: Option<String>,
    /// Of a shard's part of a cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardPart>,
}

/// As in the JSON: `record.label` is `record.id.label`.
impl Deref for CellRecord {
    type Target = CellId;
    fn deref(&self) -> &CellId {
        &self.id
    }
}

impl CellRecord {
    /// A record of nothing, to be filled in.
    pub fn empty() -> Self {
        Self { schema: SCHEMA, id: CellId { nodes: 1, ..CellId::default() }, ..Self::default() }
    }

    /// Of a cell of plain load that its system cannot run by its nature:
    /// one observation that says why.
    #[must_use]
    pub fn unable(self, why: &str) -> Self {
        Self { observations: vec![Observation::cannot(metric::COMPLETE, "", why)], ..self }
    }

    pub fn censored(&self, latency: Latency) -> Censored {
        self.censored.get(&latency).copied().unwrap_or_default()
    }

    /// Share of the messages planned in the window that were acknowledged and received by the end
    /// of the drain, or aborted on purpose; `None` in the closed model.
    pub fn completed_of_planned(&self) -> Option<f64> {
        let planned = self.window_planned.filter(|planned| *planned > 0)?;
        let acknowledged = self.counts.acked.map(|_| Latency::Publish);
        let open = acknowledged.into_iter().chain([Latency::EndToEnd]);
        let open = open.map(|latency| self.censored(latency).count).max().unwrap_or(0);
        Some(1.0 - open as f64 / planned as f64)
    }

    /// Why the system cannot run this cell; `None` for a cell that was run, and for experiments.
    pub fn cannot(&self) -> Option<&str> {
        match &self.observations[..] {
            [only] if self.experiment.is_none() && only.kind == Kind::Cannot => Some(&only.text),
            _ => None,
        }
    }
}

/// A stage of the window: a span of the plan, whole seconds long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Planned rate at its beginning and at its end.
    pub from_per_s: f64,
    pub to_per_s: f64,
    /// ns since the run's epoch.
    pub start_ns: u64,
    pub end_ns: u64,
    /// Messages that were due in it.
    pub planned: u64,
    /// Those of them that are not in the histogram of a latency.
    pub censored: BTreeMap<Latency, Censored>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    pub name: String,
    /// `null` where it cannot be told.
    pub held: Option<bool>,
    /// Whose fault a failure is: the harness's makes the cell invalid, the broker's is a result.
    pub blames: Blame,
    /// Found value and limit, in words with units.
    pub found: String,
    pub limit: String,
}

impl Gate {
    pub fn failed(&self) -> bool {
        self.held == Some(false)
    }

    /// Whether the harness spoilt the measurement by what this gate looks at.
    pub fn spoils(&self) -> bool {
        self.failed() && self.blames == Blame::Harness
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    Harness,
    Broker,
}

/// Versions and effective settings of broker and client, secrets removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Description {
    /// Such as `Apache Kafka 4.4.0` or `Redis 8.2.3`.
    pub broker_version: String,
    /// Non-default or decisive broker settings, read back from the broker.
    pub broker_config: BTreeMap<String, String>,
    pub topic_config: BTreeMap<String, String>,
    /// Such as `librdkafka 2.12.1 (rdkafka 0.39)`.
    pub client_version: String,
    pub client_config: BTreeMap<String, String>,
}

/// One second of a cell; `second` counts from the start of the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct WindowRow {
    pub second: u32,
    /// `warm-up`, `measure` or `drain`.
    pub phase: String,
    /// Start of this second, ns since the run's epoch.
    pub start_ns: u64,
    pub offered_messages: Option<u64>,
    pub sent_messages: u64,
    pub acked_messages: u64,
    pub consumed_messages: u64,
    pub offered_bytes: Option<u64>,
    pub sent_bytes: u64,
    pub acked_bytes: u64,
    pub consumed_bytes: u64,
    /// Acknowledged (or sent) and not yet consumed by the slowest subscription,
    /// at the end of this second.
    pub backlog_messages: u64,
    pub publish_p50_ns: Option<u64>,
    pub publish_p99_ns: Option<u64>,
    pub end_to_end_p50_ns: Option<u64>,
    pub end_to_end_p99_ns: Option<u64>,
    pub schedule_lag_p99_ns: Option<u64>,
    pub client_cpu_percent: Option<f64>,
    pub broker_cpu_percent: Option<f64>,
    pub broker_rss_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at_ns: u64,
    /// `phase`, `steady`, `warning`, `broker`, `barrier`, `interrupt`.
    pub kind: String,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Interval {
    pub metric: Latency,
    pub warm_up: bool,
    /// Of the window, counted from 1; 0 where it has none.
    pub stage: usize,
    /// ns since the run's epoch.
    pub start_ns: u64,
    pub length_ns: u64,
    pub histogram: hdrhistogram::Histogram<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct CellOutput {
    pub record: CellRecord,
    pub windows: Vec<WindowRow>,
    pub events: Vec<Event>,
    pub intervals: Vec<Interval>,
    pub broker_log: String,
    /// Rows and intervals lie on disk already: see [`super::CellJournal`].
    pub journaled: bool,
    /// Of a shard's part of a cell: `books.json.zst`.
    pub books: Option<Books>,
}

impl CellOutput {
    /// A record alone: nothing was measured second by second.
    pub fn of_record(record: CellRecord) -> Self {
        Self { record, ..Self::default() }
    }

    /// The values of one latency over the measured window.
    pub fn merged(&self, metric: Latency) -> hdrhistogram::Histogram<u64> {
        let mut all = crate::record::new_histogram();
        for interval in
            self.intervals.iter().filter(|interval| interval.metric == metric && !interval.warm_up)
        {
            // Of the bounds that every recorder has: adding cannot fail.
            let _ = all.add(&interval.histogram);
        }
        all
    }
}
