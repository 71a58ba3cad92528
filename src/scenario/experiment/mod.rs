//! Procedures that plain load cannot express, each with its own keys.
//!
//! `experiment: {kind: retention, messages: 10000}` in a scenario file. The keys of each kind stand
//! in a file of their own; what they do is the `experiment` group's business.

/// The keys of an experiment. Each stands once, with its meaning, type and default.
macro_rules! keys {
    (
        $(#[$about:meta])*
        pub struct $keys:ident {
            $($(#[$meaning:meta])* $key:ident: $type:ty = $default:expr,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct $keys {
            $($(#[$meaning])* pub $key: $type,)+
        }

        impl Default for $keys {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }
    };
}

mod cache;
mod capacity;
mod delivery;
mod poison;
mod retention;
mod size_ladder;

use super::cell::Cell;
use crate::model::Software;
use crate::units::{Rate, Span};
use crate::yaml::{Problem, YamlNode, decode, suggest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The keys of one kind, and what follows from them.
trait ExperimentKeys: Sized {
    /// Whether its figures need a broker that is warm, as every latency does.
    const WARM: bool = false;
    /// Whether plain load is a part of it, so that every key of `load` counts.
    const LOADS: bool = false;

    /// Seconds that it takes on one broker that runs and is warm, roughly and rather too long than
    /// too short.
    fn estimate(&self, cell: &Cell) -> f64;

    fn checked(self) -> Result<Self, Problem> {
        Ok(self)
    }
}

/// The experiments: each with its name and its keys. There is no other list of them.
macro_rules! experiments {
    ($($(#[$doc:meta])* $kind:literal => $module:ident::$keys:ident,)*) => {
        $(pub use $module::$keys;)*

        /// A procedure in place of plain load.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum Experiment {
            $($(#[$doc])* $keys($keys),)*
        }

        impl Experiment {
            pub const KINDS: &[&str] = &[$($kind),*];

            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$keys(_) => $kind,)*
                }
            }

            pub const fn needs_warm_broker(&self) -> bool {
                match self {
                    $(Self::$keys(_) => <$keys as ExperimentKeys>::WARM,)*
                }
            }

            pub const fn loads(&self) -> bool {
                match self {
                    $(Self::$keys(_) => <$keys as ExperimentKeys>::LOADS,)*
                }
            }

            fn seconds(&self, cell: &Cell) -> f64 {
                match self {
                    $(Self::$keys(keys) => keys.estimate(cell),)*
                }
            }

            /// `None` where no experiment has this name.
            fn decoded(kind: &str, keys: &YamlNode) -> Option<Result<Self, Problem>> {
                match kind {
                    $($kind => Some(decode(keys).and_then($keys::checked).map(Self::$keys)),)*
                    _ => None,
                }
            }
        }
    };
}

experiments! {
    /// Climbs a ladder of message sizes: what arrives intact, who refuses what, at which cost.
    "size-ladder" => size_ladder::SizeLadder,
    /// Counts the requests between deliveries, and lets one consumer stop reading.
    "delivery" => delivery::Delivery,
    /// What can still be read: late, twice, by time, after a restart, past a limit.
    "retention" => retention::Retention,
    /// A share of messages fails at every try: retries, dead letters,
    /// a consumer that dies mid-batch.
    "poison" => poison::Poison,
    /// Searches the highest fixed rate that keeps the tail below a limit.
    "capacity" => capacity::Capacity,
    /// Values set and read by key, with a time to live.
    "cache" => cache::Cache,
}

impl Experiment {
    /// Whether this key of `load` changes anything. Some are the clients' own, whoever uses them.
    pub(super) fn reads_load(&self, key: &str) -> bool {
        match key {
            "connections" | "in-flight" | "batch" => true,
            "broker-warm-up" => self.needs_warm_broker(),
            _ => self.loads(),
        }
    }

    /// How long it takes, see [`ExperimentKeys::estimate`].
    pub(super) fn estimate(&self, cell: &Cell) -> Span {
        // Saturates.
        Span((self.seconds(cell) * 1e9) as u64)
    }
}

fn is_kafka(cell: &Cell) -> bool {
    cell.config.system.software() == Software::Kafka
}

/// An error where `right` does not hold.
fn check(right: bool, key: &str, what: &str, remedy: &str) -> Result<(), Problem> {
    if right { Ok(()) } else { Err(Problem::new([key], what, remedy)) }
}

fn check_rate(rate: Rate, example: &str) -> Result<(), Problem> {
    let remedy = format!("write a rate above zero, such as `{example}`");
    check(rate.micro_per_s() > 0, "rate", "a rate of zero sends nothing", &remedy)
}

fn check_milliseconds(key: &str, span: Span) -> Result<(), Problem> {
    let what = "shorter than the milliseconds in which Redis counts";
    check(span >= Span::from_millis(1), key, what, "write `1ms` or more")
}

/// The experiment of a scenario, where it has one.
pub(super) fn experiment_of(tree: &YamlNode) -> Result<Option<Experiment>, Problem> {
    let Some(node) = tree.get(&["experiment"]) else { return Ok(None) };
    let kind = node.get(&["kind"]).and_then(YamlNode::scalar);
    let Some(kind) = kind else {
        let remedy = format!("write like `experiment: {{kind: {}}}`", Experiment::KINDS[0]);
        return Err(Problem::new(["experiment", "kind"], "this key is missing", &remedy));
    };
    let mut keys = node.clone();
    keys.remove(&["kind"]);
    let Some(experiment) = Experiment::decoded(&kind, &keys) else {
        let remedy = suggest(&kind, Experiment::KINDS.iter().copied());
        return Err(Problem::new(["experiment", "kind"], "no experiment has this name", &remedy));
    };
    experiment.map(Some).map_err(|problem| problem.inside(["experiment"]))
}
