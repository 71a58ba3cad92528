//! `manifest.json`: what was run, on what, with which settings. Written first, rewritten when the
//! run ends.

use super::build::Build;
use super::shard::Sharded;
use super::summary::Status;
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
    /// What the user calls the run by (`--tag`).
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    pub brokerbench_version: String,
    /// `None` where an older version did not say.
    #[serde(default)]
    pub build: Option<Build>,
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
    /// Rates that were found before the first block (`load.rate: half-capacity` and
    /// `own-half-capacity`), by matrix point.
    #[serde(default)]
    pub rates_found: BTreeMap<String, RateFound>,
    /// Settings of the generator that were chosen before the first block (`load.best-of`), by label
    /// and matrix point.
    #[serde(default)]
    pub settings_found: BTreeMap<String, BTreeMap<String, SettingFound>>,
    pub warnings: Vec<String>,
    /// Under the data of the brokers that we started; `None` where they ran already, or where it is
    /// not seen from here.
    #[serde(default)]
    pub storage: Option<Storage>,
    /// Of a run on several machines; `None` of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharded: Option<Sharded>,
    /// What the environment was made of: engine, compose, digests of images, limits.
    #[serde(default)]
    pub provided: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateFound {
    /// Offered to every label in every block; `None` where each has its own, and where a search
    /// found none.
    pub rate: Option<Rate>,
    /// Offered to one label in every block, where each has its own.
    #[serde(default)]
    pub own: BTreeMap<String, Rate>,
    pub carried: BTreeMap<String, Carried>,
    /// Why that rate, or why none, in words.
    pub because: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingFound {
    /// In words; `None` where every try was spoilt.
    pub setting: Option<String>,
    pub tried: Vec<TriedSetting>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TriedSetting {
    pub setting: String,
    /// `None` where the try tells nothing of the system.
    pub goodput_per_s: Option<f64>,
    pub messages: u64,
    /// Why it tells nothing; empty where it does.
    pub spoilt: String,
}

/// The rates between which the most lies that a label sustains with its tail below a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    #[serde(alias = "goodput_per_s")]
    pub low_per_s: f64,
    /// `None` where the generator gave out first, or the search ended before.
    #[serde(default)]
    pub high_per_s: Option<f64>,
    /// Of the search.
    #[serde(default)]
    pub probes: u64,
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
    /// What tables and charts call a label, of those that say so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub titles: BTreeMap<String, String>,
    pub thresholds: Vec<String>,
    /// Every key with its value and where the value came from (`default`, `file`,
    /// `profile quick`, `--set`).
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

/// A file system, and what it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Such as `ext4`.
    pub file_system: String,
    /// As mounted, without paths.
    pub options: String,
    pub device: String,
    /// Gone with the power, and no write of it waits for a disk.
    pub in_memory: bool,
    /// `None` where it was not tried.
    pub fdatasync: Option<SyncCost>,
}

/// What an append of 4 KiB and its fdatasync(2) take, one after the other on an idle machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCost {
    pub appends: u32,
    pub p50_ns: u64,
    pub p99_ns: u64,
}

impl Storage {
    /// What a reader must know before any figure of writing.
    pub fn warning(&self) -> Option<String> {
        let Self { file_system, .. } = self;
        self.in_memory.then(|| {
            format!(
                "the brokers' data lies in memory ({file_system}): it is gone with the power, and \
                 a sync waits for no disk; no cell survives a loss of power"
            )
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Survives, words};

    #[test]
    fn what_is_synced_to_memory_does_not_survive_a_loss_of_power() {
        let disk = Storage {
            file_system: "ext4".into(),
            options: "rw,relatime".into(),
            device: "/dev/vda1".into(),
            in_memory: false,
            fdatasync: Some(SyncCost { appends: 200, p50_ns: 1_200_000, p99_ns: 3_000_000 }),
        };
        let words = words::storage(&disk);
        assert_eq!(
            words,
            "ext4 on /dev/vda1 (rw,relatime); fdatasync of 4 KiB: p50 1.20 ms, p99 3.00 ms \
             over 200 appends"
        );
        let memory = Storage { file_system: "tmpfs".into(), in_memory: true, ..disk.clone() };
        let synced = Survives { process_kill: true, power_loss: true, ..Survives::default() };
        assert_eq!((synced.on(&disk), disk.warning()), (synced.clone(), None));
        let volatile = synced.on(&memory);
        assert!(volatile.process_kill && !volatile.power_loss, "{volatile:?}");
        assert!(volatile.because.contains("tmpfs"), "{volatile:?}");
        assert!(memory.warning().is_some_and(|warning| warning.contains("in memory (tmpfs)")));
        assert_eq!(Survives::default().on(&memory), Survives::default(), "it had none to lose");
    }
}
