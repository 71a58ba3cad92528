//! Keys of the experiment `retention`.

use super::{ExperimentKeys, is_kafka};
use crate::scenario::cell::Cell;
use crate::units::Rate;

keys! {
    /// What can still be read: late, twice, by time, after a restart, past a limit.
    pub struct Retention {
        /// How many messages are published, read and acknowledged; as many again for the limit and
        /// for the backlog.
        messages: u64 = 100_000,
        /// The share of the messages that the retention limit leaves room for.
        limit: f64 = 0.25,
        /// Rate of the live load while the backlog is drained.
        drain_rate: Rate = Rate::per_second(1000),
    }
}

impl ExperimentKeys for Retention {
    /// Seconds, roughly: the messages pass eight times; then the limit and a restart, which Kafka
    /// takes longer for.
    fn estimate(&self, cell: &Cell) -> f64 {
        const PASSES: f64 = 8.0;
        const PER_SECOND: f64 = 50_000.0;
        self.messages as f64 * PASSES / PER_SECOND + if is_kafka(cell) { 12.0 } else { 2.0 }
    }
}
