//! `comparison.json`: the second public interface. The table of claims, with every input of every
//! verdict, so that the verdicts can be computed again from this file alone.

use super::build::Build;
use super::compared::ComparedEnvironment;
use super::error::ResultError;
use super::fault_figures::{RTO_90, RTO_DELIVER, RTO_PUBLISH};
use super::files;
use super::summary::{CellOutcome, Status, Survives};
use crate::model::{Told, metric};
use crate::record::SILENCE_NS;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The comparison table of one profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    pub schema: u32,
    /// `quick`, `standard` or `full`.
    pub profile: String,
    /// The runs that the cells come from; a scenario that could not run stands here too, with
    /// status `failed` and the reason as its warning.
    pub runs: Vec<RunInfo>,
    /// In the order of the table.
    pub claims: Vec<Claim>,
    /// The same questions to the services of AWS; nothing is judged there.
    #[serde(default)]
    pub managed: Vec<Claim>,
    /// What each system is recommended for, judged likewise.
    pub uses: Vec<Claim>,
}

const FILE: &str = "comparison.json";

impl Comparison {
    pub fn write(&self, dir: &Path) -> Result<(), ResultError> {
        files::write_json(&dir.join(FILE), self)
    }

    pub fn read(dir: &Path) -> Result<Self, ResultError> {
        let mut read: Self = files::read_json(&dir.join(FILE))?;
        let rows = read.claims.iter_mut().chain(&mut read.uses).chain(&mut read.managed);
        rows.flat_map(|row| &mut row.cells).for_each(ComparedCell::told_apart);
        Ok(read)
    }
}

/// Where numbers come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunInfo {
    /// Name of the run folder.
    pub run: String,
    pub scenario: String,
    /// The claim that the run serves.
    pub claim: Option<String>,
    #[schemars(with = "String")]
    pub environment: ComparedEnvironment,
    pub network_path: String,
    pub status: Status,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The services of AWS that were measured, by the names of their blocks in a targets file, and
    /// where: region and what they run on, as far as that is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, String>,
    /// Blocks fixed beforehand.
    pub blocks: u32,
    /// Why a verdict across survival classes is allowed, in the scenario's words.
    pub cross_class: Option<String>,
    /// Broker and client versions per label.
    pub versions: BTreeMap<String, String>,
    /// The settings that decide what an acknowledged message survives, and the consumer's
    /// acknowledge policy, per label.
    #[serde(default)]
    pub promises: BTreeMap<String, String>,
    /// What tables and charts call a label, of those whose scenario says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub titles: BTreeMap<String, String>,
    /// Processor, cores and kernel.
    pub host: String,
    /// Cores of the machine that ran harness and brokers; `null` where a scenario could not run.
    #[serde(default)]
    pub cores: Option<u32>,
    pub selfcheck: String,
    pub warnings: Vec<String>,
    /// What the environment says of its parts and where they come from, such as the JVM.
    #[serde(default)]
    pub provided: BTreeMap<String, String>,
    /// Under the data of the brokers; `null` where they ran already, or where it is not seen.
    #[serde(default)]
    pub storage: Option<String>,
    /// The program that measured; `null` where an older version did not say.
    #[serde(default)]
    pub build: Option<Build>,
    /// Measured by another binary than the newest run of the table, which is to be of one.
    #[serde(default)]
    pub other_build: bool,
}

impl RunInfo {
    /// Notes those of another binary than the newest run of the same table that tells its own. What
    /// could not run is of none.
    pub fn mark_builds(runs: &mut [Self]) {
        let newest = [false, true].map(|managed| {
            let own = runs.iter().filter(|run| run.managed() == managed);
            let told = own.filter(|run| run.measured() && run.build.is_some());
            told.max_by(|a, b| a.started_at.cmp(&b.started_at)).and_then(|run| run.build.clone())
        });
        for run in runs {
            let newest = &newest[usize::from(run.managed())];
            run.other_build = newest.is_some()
                && run.measured()
                && !Build::same(run.build.as_ref(), newest.as_ref());
        }
    }

    /// Whether it measured services of AWS: it stands in their table, and in no other.
    pub fn managed(&self) -> bool {
        !self.services.is_empty()
    }

    pub fn measured(&self) -> bool {
        self.status != Status::Failed
    }
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    pub id: String,
    /// What is claimed of Kafka and of Redis, in our words.
    pub kafka_claim: String,
    pub redis_claim: String,
    /// Where both are claimed.
    #[serde(default)]
    pub source: String,
    /// Whether the claim is right, in words: `✓ right`, `✗ wrong`, `◐ right for … · wrong for … ·
    /// open for …`, `? open: <what is missing>`, `documented` or `not measured`.
    pub verdict: String,
    /// The same in one word.
    #[serde(default)]
    pub answer: Verdict,
    /// What the verdict is made of.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// How the verdict follows from the cells.
    pub because: String,
    /// The rule that the verdict was computed by.
    pub rule: String,
    pub cells: Vec<ComparedCell>,
}

/// Whether the claim of a row is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Of every primitive that was judged.
    Right,
    Wrong,
    /// Right, wrong or open: not the same for all.
    Mixed,
    Open,
    /// Documents decide it, not what was measured.
    Documented,
    #[default]
    NotMeasured,
}

/// Whether a claim is right of one primitive under one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Shown.
    Right,
    /// The opposite is shown.
    Wrong,
    Open,
    /// One of the two sides could not run: no evidence for either.
    #[serde(rename = "n/a")]
    NotApplicable,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub primitive: String,
    /// With its preposition: `at load.rate=1k/s`, `with share groups`; empty where there is only
    /// one.
    pub condition: String,
    pub decision: Decision,
    /// What an open decision needs; else empty.
    pub missing: String,
}

/// One figure of a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedCell {
    pub label: String,
    pub system: String,
    /// What distinguishes this label from the plain one of its system's name.
    pub variant: Option<String>,
    /// The label that this one is the same as: one system twice, whose difference is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
    /// Brokers; `null` for ratios and unmeasured cells.
    #[serde(default)]
    pub nodes: Option<u16>,
    /// The matrix point, such as `load.rate=1k/s`.
    pub cell: String,
    /// Such as `goodput`, `end_to_end.p99` or `ratio(goodput, kafka, redis-streams)`.
    pub metric: String,
    pub kind: Kind,
    /// Over the blocks that count; `null` when none does: the geometric mean of speeds, times and
    /// ratios; the worst of what is yes or no and of sizes; the largest of peaks; else the
    /// arithmetic mean.
    pub value: Option<f64>,
    /// Of a recovery where service was never interrupted: for so long at most; then there is no
    /// value.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Of a latency of which some block tells only what it is at least, because the quantile is
    /// among messages that had not come to their end: the same mean over values and bounds. Of a
    /// recovery that came only once the fault was taken back: how long the fault lasted. Then there
    /// is no value.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Such as `msg/s`, `ns` or `×`.
    pub unit: String,
    /// 95 % interval over the blocks; `null` below 3 blocks.
    pub interval: Option<[f64; 2]>,
    /// What is behind the value, over all blocks that count.
    pub n: u64,
    /// What `n` counts: `messages`, `faults`, `probes`, `tries`, `batches` …; empty where that is
    /// not known.
    #[serde(default)]
    pub n_unit: String,
    /// Blocks that count.
    pub blocks: u32,
    /// Survival class, how it was loaded and what ran out, what was left out and why, or why there
    /// is no value.
    pub text: String,
    /// The setting of the generator that carried most of those tried before the first block; `null`
    /// where there was no choice.
    #[serde(default)]
    pub setting: Option<String>,
    /// Of what was loaded as fast as it goes: what ran out, the generator's share of the machine,
    /// whether the page cache absorbed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Name of the run folder.
    pub run: Option<String>,
    /// The address of the document; `null` for what is not documented.
    #[serde(default)]
    pub source: Option<String>,
    /// What an acknowledged message survives; `null` for ratios and unmeasured cells.
    pub survives: Option<Survives>,
    /// What the load took of its machine; `null` of what is no plain load.
    #[serde(default)]
    pub resources: Option<CellResources>,
    /// The value of each block: the input of every verdict. Empty for ratios and unmeasured cells.
    pub per_block: Vec<BlockValue>,
}

/// Means over the blocks that the harness did not spoil; over all, where it spoilt all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellResources {
    pub client_cpu_ns_per_message: Option<f64>,
    /// `null` where the broker's processes are not seen.
    pub broker_cpu_ns_per_message: Option<f64>,
    /// Of all processor time of the machine, the part that the load generator took.
    pub client_share: Option<f64>,
    /// What ran out, such as `machine-cpu`: in how many blocks.
    pub saturated: BTreeMap<String, u32>,
}

/// Whether the load generator took more CPU a message than the broker.
pub(super) fn client_heavy(client: Option<f64>, broker: Option<f64>) -> bool {
    client.zip(broker).is_some_and(|(client, broker)| client > broker)
}

impl ComparedCell {
    /// From this share of a value on, the instrument's floor is marked.
    pub const LARGE_FLOOR: f64 = 0.5;

    /// Whether the load generator took more CPU a message than the broker.
    pub fn client_heavy(&self) -> bool {
        self.resources.as_ref().is_some_and(|of| {
            client_heavy(of.client_cpu_ns_per_message, of.broker_cpu_ns_per_message)
        })
    }

    /// What part of the value the path costs without a broker, the mean over the blocks; above 1
    /// it is no floor. `None` where it was not measured.
    pub fn floor_share(&self) -> Option<f64> {
        let shares = self.per_block.iter().filter_map(|block| Some(block.floor? / block.value?));
        let shares: Vec<f64> = shares.filter(|share| share.is_finite()).collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }

    pub fn told(&self) -> Option<Told<f64>> {
        Told::read(self.value, self.at_most, self.at_least)
    }

    /// Earlier tables have the bound in place of the value, and called both kinds of loss lost.
    fn told_apart(&mut self) {
        match self.metric.as_str() {
            "fault.rpo" => self.metric = metric::FAULT_GONE.name.to_owned(),
            "fault.lost" => self.metric = metric::FAULT_NEVER_DELIVERED.name.to_owned(),
            _ => {}
        }
        let bound = SILENCE_NS as f64;
        let mut times = [RTO_PUBLISH, RTO_DELIVER, RTO_90].into_iter();
        if times.any(|figure| figure.metric.name == self.metric) {
            let blocks = self.per_block.iter_mut().map(|one| (&mut one.value, &mut one.at_most));
            for (value, at_most) in blocks.chain([(&mut self.value, &mut self.at_most)]) {
                if *value == Some(bound) {
                    (*value, *at_most) = (None, Some(bound));
                }
            }
        }
    }
}

impl BlockValue {
    pub fn told(&self) -> Option<Told<f64>> {
        Told::read(self.value, self.at_most, self.at_least)
    }
}

/// One block of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlockValue {
    pub block: u32,
    /// `null` when the block has none that may be shown: spoilt by the harness, or a latency under
    /// overload.
    pub value: Option<f64>,
    /// As those of the cell.
    #[serde(default)]
    pub at_most: Option<f64>,
    #[serde(default)]
    pub at_least: Option<f64>,
    /// What the path costs without a broker, in the same unit; `null` where it was not measured.
    pub floor: Option<f64>,
    /// Samples behind a latency; behind a rate, messages delivered over the whole run.
    pub n: u64,
    pub valid: bool,
    pub outcome: CellOutcome,
    /// Why the block is invalid or its outcome not `ok`, and what an experiment says beside its
    /// value; may be empty.
    pub because: String,
}

/// Where a figure comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Measured,
    Documented,
    /// The system cannot do it; the text says why.
    Cannot,
    #[default]
    NotMeasured,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_tables_called_both_kinds_of_loss_lost() {
        let read = |metric: &str| {
            let mut cell = ComparedCell { metric: metric.into(), ..ComparedCell::default() };
            cell.told_apart();
            cell.metric
        };
        assert_eq!(
            ["fault.rpo", "fault.lost", "crash.lost"].map(read),
            ["fault.gone_from_broker", "fault.never_delivered", "crash.lost"]
        );
    }

    /// The schemas are the documented interface: a changed field shows here.
    #[test]
    fn schemas_of_both_interfaces() {
        let fields = |schema: schemars::Schema, path: &[&str]| {
            let mut value = serde_json::to_value(&schema).unwrap();
            for key in path {
                value = value[*key].take();
            }
            value["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
        };
        let comparison = || schemars::schema_for!(Comparison);
        let summary = || schemars::schema_for!(super::super::Summary);
        insta::assert_snapshot!(
            [
                fields(summary(), &[]),
                fields(summary(), &["$defs", "CellSummary"]),
                fields(summary(), &["$defs", "Counts"]),
                fields(summary(), &["$defs", "Quantiles"]),
                fields(summary(), &["$defs", "Rates"]),
                fields(comparison(), &[]),
                fields(comparison(), &["$defs", "RunInfo"]),
                fields(comparison(), &["$defs", "Claim"]),
                fields(comparison(), &["$defs", "ComparedCell"]),
            ]
            .join("\n")
        );
    }
}
