//! Keys of the experiment `retention`.

use super::{ExperimentKeys, is_kafka};
use crate::scenario::cell::Cell;
use crate::units::Rate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can still be read: late, twice, by time, after a restart, past a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Retention {
    /// How many messages are published, read and acknowledged; as many again for the limit and for the backlog.
    pub messages: u64,
    /// The share of the messages that the retention limit leaves room for.
    pub limit: f64,
    /// Rate of the live load while the backlog is drained.
    pub drain_rate: Rate,
}

impl Default for Retention {
    fn default() -> Self {
        Self { messages: 100_000, limit: 0.25, drain_rate: Rate::per_second(1000) }
    }
}

impl ExperimentKeys for Retention {
    /// Seconds, roughly: the messages pass eight times; then the limit and a restart, which Kafka takes longer for.
    fn estimate(&self, cell: &Cell) -> f64 {
        const PASSES: f64 = 8.0;
        const PER_SECOND: f64 = 50_000.0;
        self.messages as f64 * PASSES / PER_SECOND + if is_kafka(cell) { 12.0 } else { 2.0 }
    }
}
