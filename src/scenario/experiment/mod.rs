//! Procedures that plain load cannot express, each with its own keys.
//!
//! `experiment: {kind: retention, messages: 10000}` in a scenario file. The keys of each kind stand in a file of their
//! own; what they do is the `experiment` group's business.

mod cache;
mod capacity;
mod delivery;
mod poison;
mod retention;
mod size_ladder;

pub use cache::Cache;
pub use capacity::Capacity;
pub use delivery::Delivery;
pub use poison::Poison;
pub use retention::Retention;
pub use size_ladder::SizeLadder;

use super::cell::Cell;
use crate::model::Software;
use crate::units::Span;
use crate::yaml::{Node, Problem, decode, suggest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A procedure in place of plain load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Experiment {
    /// Climbs a ladder of message sizes: what arrives intact, who refuses what, at which cost.
    SizeLadder(SizeLadder),
    /// Counts the requests between deliveries, and lets one consumer stop reading.
    Delivery(Delivery),
    /// What can still be read: late, twice, by time, after a restart, past a limit.
    Retention(Retention),
    /// A share of messages fails at every try: retries, dead letters, a consumer that dies mid-batch.
    Poison(Poison),
    /// Searches the highest fixed rate that keeps the tail below a limit.
    Capacity(Capacity),
    /// Values set and read by key, with a time to live.
    Cache(Cache),
}

impl Experiment {
    pub const KINDS: [&str; 6] = ["size-ladder", "delivery", "retention", "poison", "capacity", "cache"];

    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SizeLadder(_) => "size-ladder",
            Self::Delivery(_) => "delivery",
            Self::Retention(_) => "retention",
            Self::Poison(_) => "poison",
            Self::Capacity(_) => "capacity",
            Self::Cache(_) => "cache",
        }
    }

    /// Whether its figures need a broker that is warm, as every latency does.
    pub const fn needs_warm_broker(&self) -> bool {
        matches!(self, Self::Poison(_) | Self::Capacity(_) | Self::Delivery(_))
    }

    /// Whether plain load is a part of it, so that every key of `load` counts.
    pub const fn loads(&self) -> bool {
        matches!(self, Self::Capacity(_))
    }

    /// Whether this key of `load` changes anything. Some are the clients' own, whoever uses them.
    pub(super) fn reads_load(&self, key: &str) -> bool {
        match key {
            "connections" | "in-flight" | "batch" => true,
            "broker-warm-up" => self.needs_warm_broker(),
            _ => self.loads(),
        }
    }

    /// How long it takes on one broker that runs and is warm, roughly and rather too long than too short.
    pub(super) fn estimate(&self, cell: &Cell) -> Span {
        let kafka = cell.config.system.software() == Software::Kafka;
        let seconds = match self {
            Self::SizeLadder(keys) => keys.estimate(kafka),
            Self::Delivery(keys) => keys.estimate(),
            Self::Retention(keys) => keys.estimate(kafka),
            Self::Poison(keys) => keys.estimate(kafka),
            Self::Capacity(keys) => keys.estimate(&cell.load),
            Self::Cache(keys) => keys.estimate(kafka),
        };
        // Saturates.
        Span((seconds * 1e9) as u64)
    }
}

/// The experiment of a scenario, where it has one.
pub(super) fn experiment_of(tree: &Node) -> Result<Option<Experiment>, Problem> {
    let Some(node) = tree.get(&["experiment"]) else { return Ok(None) };
    let kind = node.get(&["kind"]).and_then(Node::scalar);
    let Some(kind) = kind else {
        let remedy = format!("write like `experiment: {{kind: {}}}`", Experiment::KINDS[0]);
        return Err(Problem::new(["experiment", "kind"], "this key is missing", &remedy));
    };
    let mut keys = node.clone();
    keys.remove(&["kind"]);
    let experiment = match kind.as_str() {
        "size-ladder" => decode(&keys).and_then(SizeLadder::checked).map(Experiment::SizeLadder),
        "delivery" => decode(&keys).map(Experiment::Delivery),
        "retention" => decode(&keys).map(Experiment::Retention),
        "poison" => decode(&keys).and_then(Poison::checked).map(Experiment::Poison),
        "capacity" => decode(&keys).map(Experiment::Capacity),
        "cache" => decode(&keys).and_then(Cache::checked).map(Experiment::Cache),
        _ => {
            return Err(Problem::new(
                ["experiment", "kind"],
                "no experiment has this name",
                &suggest(&kind, Experiment::KINDS),
            ));
        }
    };
    experiment.map(Some).map_err(|problem| problem.inside("experiment", node, &node.place))
}
