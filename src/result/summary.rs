//! `summary.json`: the first public interface. Field names are fixed; an unmeasured value is
//! `null`, never 0. Versioned by [`SCHEMA`]; a change of meaning or a removed field raises it.

use super::latencies::Latencies;
use super::manifest::Storage;
use super::measure::Distributions;
use super::observation::Observation;
use super::restart::Restart;
use crate::model::{FaultKind, FaultTarget, Told};
use crate::record::{Counted, SILENCE_NS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;

/// Version of `summary.json`, `manifest.json` and the files of a cell.
pub const SCHEMA: u32 = 1;

/// One run of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    pub schema: u32,
    /// Name of the run folder.
    pub run: String,
    pub status: Status,
    /// The exit code that `run` ended with for this scenario.
    pub exit_code: u8,
    pub scenario: String,
    pub profile: Option<String>,
    /// `native`, `external`, `docker` or `fake`.
    pub environment: String,
    /// One per label × matrix point × block.
    pub cells: Vec<CellSummary>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Complete,
    /// At least one cell is spoilt by the harness, or a broker died that should not have.
    Invalid,
    Interrupted,
    #[default]
    Failed,
}

/// Which cell of a run, and which of its repeats. It stands in the JSON of a cell as fields of its
/// own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellId {
    pub label: String,
    pub system: String,
    /// What distinguishes this label from the plain one of its system's name, such as `nodes=3`.
    pub variant: Option<String>,
    /// The label that this one is the same as: one system twice, whose difference is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
    pub nodes: u16,
    /// Of a Redis Cluster, over which the nodes are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u16>,
    /// The matrix point, such as `load.rate=1k/s`.
    pub cell: String,
    /// Counted from 1.
    pub block: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellSummary {
    #[serde(flatten)]
    pub id: CellId,
    pub valid: bool,
    pub invalid_because: Vec<String>,
    /// Why windows before this one were spoilt by the harness and measured again, at most as often
    /// as was fixed beforehand; empty for the first.
    #[serde(default)]
    pub repeated_because: Vec<String>,
    pub outcome: CellOutcome,
    /// Why the outcome is not `ok`, in words.
    pub outcome_because: Vec<String>,
    pub survives: Survives,
    /// The setting of the generator that carried most of those tried (`load.best-of`), in words;
    /// `null` where there was no choice.
    #[serde(default)]
    pub setting: Option<String>,
    /// Whether the scenario's guarantee held; `null` for `guarantee: none`.
    pub judged: Option<Judged>,
    /// What speaks for that verdict, and what surprises, in words; broker loss and delivery loss
    /// told apart.
    #[serde(default)]
    pub judged_because: Vec<String>,
    pub counts: Counts,
    /// Messages that failed or were given up, by reason.
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
    /// What clients tried again, by reason: it is in no count above and may be the cause of a
    /// duplicate.
    #[serde(default)]
    pub retries: BTreeMap<String, u64>,
    pub latency: Latencies,
    /// For statistics that the file does not list.
    #[serde(skip)]
    pub distributions: Distributions,
    /// What the path costs without a broker: metric name → quantile name (`p50`, …) → ns. A
    /// quantile carries a verdict only where this is at most a quarter of it.
    pub floor: BTreeMap<String, BTreeMap<String, u64>>,
    pub rates: Rates,
    /// Of the messages planned in the window, the share that was acknowledged and received by all
    /// subscriptions by the end of the drain; `null` in the closed model.
    #[serde(default)]
    pub completed_of_planned: Option<f64>,
    /// Share of the window in which producers waited for consumers, since nearly as much was
    /// published and not consumed as `load.backlog` allows; `null` in the open model.
    #[serde(default)]
    pub held_by_consumers: Option<f64>,
    pub resources: Resources,
    pub faults: Vec<Fault>,
    /// The experiment that made this cell; `null` for plain load.
    #[serde(default)]
    pub experiment: Option<String>,
    /// What it observed; empty for plain load.
    #[serde(default)]
    pub observations: Vec<Observation>,
    /// Paths relative to the run folder, by kind: `latency`, `windows`, `events`, `accounting`,
    /// `broker_log`.
    pub files: BTreeMap<String, String>,
}

/// Where producers waited for consumers through so much of the window, those were what limited.
pub const LIMITED: f64 = 0.9;

/// As in the JSON: `cell.label` is `cell.id.label`.
impl Deref for CellSummary {
    type Target = CellId;
    fn deref(&self) -> &CellId {
        &self.id
    }
}

/// What the broker did; a result, whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CellOutcome {
    #[default]
    Ok,
    /// The offered rate was not reached or the backlog grew.
    Overloaded,
    /// No steady state within the warm-up limit, or the window's halves disagree.
    Unsteady,
    /// Lost, corrupt, duplicate or disordered beyond what the system promises.
    Violated,
    /// Nothing was acknowledged (nothing received, where a reply promises nothing).
    Stalled,
}

impl CellOutcome {
    /// Whether the latencies of such a cell are no property of its system.
    pub fn spoils_latency(self) -> bool {
        matches!(self, Self::Overloaded | Self::Violated | Self::Stalled)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    Pass,
    Fail,
    Inconclusive,
    /// The system cannot promise the guarantee at these settings.
    Cannot,
}

/// Survival class: what an acknowledged message survives by the system's own documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Survives {
    pub process_kill: bool,
    pub power_loss: bool,
    pub node_loss: bool,
    /// Without a consensus: a copy that lacks it may be the one that takes over. Absent where not
    /// so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nearly: bool,
    pub copies: u16,
    /// The settings that decide it and the consumer's acknowledge policy, in words. Absent in
    /// `comparison.json`: there they stand with the run, once for each label.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
}

impl Survives {
    /// With the data on this storage: what is synced to memory is not on a disk.
    pub fn on(&self, storage: &Storage) -> Self {
        if !storage.in_memory || !self.power_loss {
            return self.clone();
        }
        let because =
            format!("{}; the data lies in memory ({})", self.because, storage.file_system);
        Self { power_loss: false, because, ..*self }
    }
}

/// Messages over the whole run, warm-up included. Per (message, subscription) pair from `delivered`
/// on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Counts {
    /// Scheduled by the load model; `null` in the closed model.
    pub planned: Option<u64>,
    pub sent: Option<u64>,
    /// `null` where a reply promises nothing (Pub/Sub, acks=0).
    pub acked: Option<u64>,
    pub failed: Option<u64>,
    pub indeterminate: Option<u64>,
    pub delivered: Option<u64>,
    /// Still in the broker, or nobody looked; not delivered by the deadline.
    pub undelivered: Option<u64>,
    /// Neither delivered nor in the broker; `null` where some are undelivered and nobody looked.
    pub lost: Option<u64>,
    /// Acknowledged and absent from the audit though it should be there; `null` without an audit.
    pub broker_lost: Option<u64>,
    /// Of the undelivered: a later message of the same producer and lane was delivered.
    #[serde(default)]
    pub passed_over: Option<u64>,
    /// Deliveries too many.
    pub duplicate: Option<u64>,
    /// Found more than once by the audit; `null` where no log could be read back.
    #[serde(default)]
    pub log_duplicate: Option<u64>,
    /// Failed, yet seen.
    pub phantom: Option<u64>,
    pub corrupt: Option<u64>,
    /// First deliveries behind a later one of the same producer and lane.
    pub reordered: Option<u64>,
    /// Messages of another run or of nobody.
    pub foreign: Option<u64>,
    /// Sends delayed by the in-flight limit or a full client queue.
    pub backpressured: Option<u64>,
}

impl Counts {
    /// From the books of a cell; `planned` is none in the closed model.
    pub fn of(
        counted: &Counted,
        planned: Option<u64>,
        backpressured: u64,
        acknowledges: bool,
    ) -> Self {
        Self {
            planned,
            sent: Some(counted.sent),
            acked: acknowledges.then_some(counted.acked),
            failed: Some(counted.failed),
            indeterminate: Some(counted.indeterminate),
            delivered: Some(counted.delivered),
            undelivered: Some(counted.undelivered),
            lost: (!counted.unaudited || counted.undelivered == 0).then_some(counted.lost),
            broker_lost: counted.broker_lost,
            passed_over: Some(counted.passed_over),
            duplicate: Some(counted.duplicate),
            log_duplicate: counted.log_duplicate,
            phantom: Some(counted.phantom),
            corrupt: Some(counted.corrupt),
            reordered: Some(counted.reordered),
            foreign: Some(counted.foreign),
            // The closed model waits for answers by design; only a plan can be held up.
            backpressured: planned.map(|_| backpressured),
        }
    }
}

/// Of the measured window by the clock: what was acknowledged and received in it, whenever it was
/// planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Rates {
    /// `null` in the closed model.
    pub offered_per_s: Option<f64>,
    pub sent_per_s: Option<f64>,
    pub acked_per_s: Option<f64>,
    /// Pairs of message and subscription.
    pub consumed_per_s: Option<f64>,
    /// Acknowledged and received by all subscriptions.
    pub goodput_per_s: Option<f64>,
    pub goodput_bytes_per_s: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Resources {
    pub client_cpu_ns_per_message: Option<f64>,
    /// Of all processor time of the machine, the part that the harness took.
    #[serde(default)]
    pub client_share: Option<f64>,
    pub client_peak_rss_bytes: Option<u64>,
    pub broker_cpu_ns_per_message: Option<f64>,
    pub broker_peak_rss_bytes: Option<u64>,
    /// What there was no more of: `generator-cpu` (a pacing thread), `machine-cpu`, `broker-cpu`
    /// (Redis's one thread), `client-linger` (a client's wait for batches times our limit on
    /// unanswered messages), `consumers` (ours); `null` for none of these.
    pub saturated: Option<String>,
    /// Of the machine's page cache in the window: bytes made dirty, and bytes written to disks.
    #[serde(default)]
    pub dirtied_bytes: Option<u64>,
    #[serde(default)]
    pub written_back_bytes: Option<u64>,
}

impl Resources {
    /// Whether the load generator took more CPU a message than the broker.
    pub fn client_heavy(&self) -> bool {
        super::comparison::client_heavy(
            self.client_cpu_ns_per_message,
            self.broker_cpu_ns_per_message,
        )
    }
}

/// A fault and the recovery from it. None in plain load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Fault {
    pub kind: String,
    /// As the scenario says it.
    pub target: String,
    /// Which node or nodes that was when it was injected.
    pub node: String,
    /// Why it could not be injected, or took no effect; then nothing below is known.
    pub not_applied: Option<String>,
    pub planned_at_ns: Option<u64>,
    pub took_effect_at_ns: Option<u64>,
    pub healed_at_ns: Option<u64>,
    /// Why it could not be taken back.
    #[serde(default)]
    pub not_healed: Option<String>,
    /// From taking effect until messages were acknowledged again. `null` where that was not seen,
    /// and where they always were: then it is so long at most, 100 ms or the longest pause.
    pub rto_publish_ns: Option<u64>,
    #[serde(default)]
    pub rto_publish_at_most_ns: Option<u64>,
    pub rto_deliver_ns: Option<u64>,
    #[serde(default)]
    pub rto_deliver_at_most_ns: Option<u64>,
    pub rto_90_ns: Option<u64>,
    #[serde(default)]
    pub rto_90_at_most_ns: Option<u64>,
    /// Until an acknowledgement held: the first after the last of those that this fault took.
    /// The RTO where it took none that was given after it. `null` where that was not seen, and
    /// without an audit.
    #[serde(default)]
    pub rto_durable_ns: Option<u64>,
    #[serde(default)]
    pub rto_durable_at_most_ns: Option<u64>,
    pub rpo_messages: Option<u64>,
    pub rpo_ns: Option<u64>,
    /// Of a simulated power loss, which takes the most that can be lost: the least, where the
    /// kernel had written back by itself what was older than 30 s (`vm.dirty_expire_centisecs` as
    /// Linux comes). `null` for any other fault.
    #[serde(default)]
    pub rpo_least_messages: Option<u64>,
    /// Why the losses say nothing of the settings: killed before two of the snapshots were due by
    /// which alone it keeps its data.
    #[serde(default)]
    pub too_early: Option<String>,
    /// How long the target was down because the scenario says so: part of every time above.
    pub scripted_ns: Option<u64>,
    /// Other copies could take over from what was hit: a summary knows.
    #[serde(default)]
    pub redundant: bool,
    /// From taking effect until every partition or stream had all its copies in sync again.
    pub redundancy_ns: Option<u64>,
    /// From taking effect to the first message that a client with fresh connections got
    /// acknowledged.
    pub probe_rto_ns: Option<u64>,
    /// Of a broker that is alone: what its recovery is made of.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// Longest times without an acknowledgement, of each partition or stream: from, to.
    pub unavailable: Vec<Unavailable>,
    /// Recovery of each partition or stream; the slowest of them are the times above.
    #[serde(default)]
    #[serde(rename = "streams")]
    pub partitions: Vec<PartitionRecovery>,
    /// Words on what was done and seen: bytes cut, connections hit.
    pub text: String,
}

impl Fault {
    /// The kind of one that nobody injected: a node was away by somebody else's hand.
    pub const OUTAGE: &str = "outage";

    /// Not applied, or not taken back.
    pub fn failed(&self) -> bool {
        self.not_applied.is_some() || self.not_healed.is_some()
    }

    /// `None` of an outage, and of a kind of another version.
    pub fn fault_kind(&self) -> Option<FaultKind> {
        FaultKind::from_name(&self.kind)
    }

    /// It hit every node at once.
    pub fn everywhere(&self) -> bool {
        self.target == FaultTarget::All.name()
    }

    /// Taken away and never brought back, as the scenario says.
    pub fn for_good(&self) -> bool {
        self.took_effect_at_ns.is_some() && self.healed_at_ns.is_none() && self.not_healed.is_none()
    }

    /// Another of `copies` can take over from what was hit.
    pub fn redundant_of(&self, copies: u16) -> bool {
        copies > 1 && !self.everywhere() && !self.fault_kind().is_some_and(FaultKind::is_ours)
    }

    /// A recovery that came only once the fault was taken back says nothing of a system that could
    /// have gone on without what was hit, but how long it did not.
    pub fn censored(&self, recovery: Told) -> Told {
        match (recovery, self.scripted_ns) {
            (Told::Value(ns), Some(lasted))
                if self.redundant && lasted > SILENCE_NS && ns >= lasted =>
            {
                Told::AtLeast(lasted)
            }
            (told, _) => told,
        }
    }

    /// A time since the fault took effect without the part that the scenario prescribes; `None`
    /// where it prescribes none of it, because one of `copies` can take over from the one that was
    /// hit.
    pub fn unscripted(&self, since_effect_ns: Option<u64>, copies: u16) -> Option<u64> {
        since_effect_ns
            .filter(|_| !self.redundant_of(copies))
            .map(|ns| ns.saturating_sub(self.scripted_ns.unwrap_or(0)))
    }

    pub fn rto_publish(&self) -> Option<Told> {
        rto(self.rto_publish_ns, self.rto_publish_at_most_ns)
    }

    pub fn rto_durable(&self) -> Option<Told> {
        rto(self.rto_durable_ns, self.rto_durable_at_most_ns)
    }

    pub fn rto_deliver(&self) -> Option<Told> {
        rto(self.rto_deliver_ns, self.rto_deliver_at_most_ns)
    }

    pub fn rto_probe(&self) -> Option<Told> {
        self.probe_rto_ns.map(Told::Value)
    }

    pub fn rto_90(&self) -> Option<Told> {
        rto(self.rto_90_ns, self.rto_90_at_most_ns)
    }
}

/// Earlier results have the bound in place of the value.
fn rto(ns: Option<u64>, at_most_ns: Option<u64>) -> Option<Told> {
    Told::read(ns, at_most_ns.or(ns.filter(|ns| *ns == SILENCE_NS)), None)
}

/// How one partition or stream recovered from a fault: times and bounds as those of the fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct PartitionRecovery {
    #[serde(rename = "stream")]
    pub partition: u16,
    pub rto_publish_ns: Option<u64>,
    #[serde(default)]
    pub rto_publish_at_most_ns: Option<u64>,
    /// Of the slowest subscription.
    pub rto_deliver_ns: Option<u64>,
    #[serde(default)]
    pub rto_deliver_at_most_ns: Option<u64>,
}

/// A time without acknowledgements on one partition or stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Unavailable {
    #[serde(rename = "stream")]
    pub partition: u16,
    pub from_ns: u64,
    pub to_ns: Option<u64>,
}
