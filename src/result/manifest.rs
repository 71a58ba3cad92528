//! `manifest.json`: what was run, on what, with which settings. Written first, rewritten when the
//! run ends.

use super::summary::{CellOutcome, Status};
use crate::units::Rate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: u32,
    pub run: String,
    pub status: Status,
    pub exit_code: u8,
    /// RFC 3339, UTC.
    pub started_at: String,
    pub finished_at: Option<String>,
    /// As typed, secrets removed.
    pub command_line: Vec<String>,
    pub brokerbench_version: String,
    pub scenario: ScenarioInfo,
    pub profile: Option<String>,
    pub environment: String,
    /// Why that one, such as `asked for`; empty where an older version did not say.
    #[serde(default)]
    pub environment_because: String,
    /// Such as `loopback`.
    pub network_path: String,
    pub seed: u64,
    /// Order in which the cells ran: `label/point/block`.
    pub order: Vec<String>,
    /// Blocks fixed beforehand.
    pub blocks: u32,
    pub host: Host,
    /// Broker and client per label, as read back.
    pub systems: BTreeMap<String, super::raw::Description>,
    /// Result of the self-check of this binary: `passed`, `failed: …` or `not run`.
    pub selfcheck: String,
    /// Time from process start to the first message produced and consumed, and the latencies of the
    /// first seconds, per label: the cold start as its own figure.
    pub cold_start: BTreeMap<String, ColdStart>,
    /// Rates that were found before the first block (`load.rate: half-capacity`), by matrix point.
    #[serde(default)]
    pub rates_found: BTreeMap<String, RateFound>,
    pub warnings: Vec<String>,
    /// What the environment was made of: engine, compose, digests of images, limits.
    #[serde(default)]
    pub provided: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateFound {
    /// Offered to every label in every block; `None` where a probe was spoilt.
    pub rate: Option<Rate>,
    pub carried: BTreeMap<String, Carried>,
    /// Why that rate, or why none, in words.
    pub because: String,
}

/// What a label carried as fast as it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    pub goodput_per_s: f64,
    pub messages: u64,
    pub outcome: CellOutcome,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScenarioInfo {
    pub name: String,
    pub question: String,
    pub claim: Option<String>,
    pub primary: String,
    pub guarantee: String,
    pub cross_class: Option<String>,
    /// Labels in the scenario's order, with their system.
    pub systems: Vec<(String, String)>,
    pub thresholds: Vec<String>,
    /// Every key with its value and where the value came from (`default`, `file`, `profile quick`,
    /// `--set`).
    pub resolved: Vec<Origin>,
    /// Path of the scenario file, or its built-in name.
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    pub key: String,
    pub value: String,
    pub origin: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct Host {
    pub name: String,
    pub kernel: String,
    pub cpu: String,
    pub cores: u32,
    pub memory_bytes: u64,
    pub clock_source: String,
    pub clock_cost_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct ColdStart {
    /// Process start to a message produced and consumed.
    pub ready_ns: u64,
    /// Publish p50 and p99 of the first 5 s of load on the fresh broker.
    pub publish_p50_ns: Option<u64>,
    pub publish_p99_ns: Option<u64>,
    /// How long the broker was warmed before its first measured cell.
    pub warmed_ns: u64,
}
