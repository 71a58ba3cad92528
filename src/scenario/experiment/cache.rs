//! Keys of the experiment `cache`.

use super::{ExperimentKeys, Problem, is_kafka};
use crate::scenario::cell::Cell;
use crate::units::{Rate, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Values set and read by key, with a time to live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cache {
    /// Keys in use. Each is set once before the load.
    pub sessions: u32,
    /// Share of requests that read, 0 to 1; the others write.
    pub reads: f64,
    /// Exponent of the Zipf distribution over the keys; 0 draws them evenly.
    pub skew: f64,
    /// Requests a second.
    pub rate: Rate,
    /// How long each value lives after it was last set.
    pub ttl: Span,
    /// How long the load runs before it is measured.
    pub warm_up: Span,
    /// How long it is measured.
    pub duration: Span,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            sessions: 1000,
            reads: 0.9,
            skew: 0.0,
            rate: Rate::per_second(10_000),
            ttl: Span::from_secs(5),
            warm_up: Span::from_secs(1),
            duration: Span::from_secs(10),
        }
    }
}

/// Bounds the table of the distribution.
const MOST_SESSIONS: u32 = 10_000_000;

impl ExperimentKeys for Cache {
    /// Seconds, roughly: filled, read and written, expired. Kafka has no such thing.
    fn estimate(&self, cell: &Cell) -> f64 {
        const FILLED_PER_SECOND: f64 = 100_000.0;
        if is_kafka(cell) {
            return 0.0;
        }
        let spans = [self.warm_up, self.duration, self.ttl];
        2.0 + 2.0 * f64::from(self.sessions) / FILLED_PER_SECOND + spans.map(Span::secs_f64).iter().sum::<f64>()
    }

    fn checked(self) -> Result<Self, Problem> {
        let refuse = |key: &str, what: &str, remedy: &str| Err(Problem::new([key], what, remedy));
        if !(1..=MOST_SESSIONS).contains(&self.sessions) {
            return refuse("sessions", "out of range, it is 1 to 10000000", "write a number such as `1000`");
        }
        if !(0.0..=1.0).contains(&self.reads) {
            return refuse("reads", "out of range, it is 0 to 1", "write a share such as `0.9`");
        }
        if !(0.0..=4.0).contains(&self.skew) {
            return refuse("skew", "out of range, it is 0 to 4", "write 0 for even, 0.99 for a usual skew");
        }
        if self.rate.micro_per_s() == 0 {
            return refuse("rate", "a rate of zero sends nothing", "write a rate above zero, such as `10k/s`");
        }
        if self.ttl < Span::from_millis(1) {
            return refuse("ttl", "shorter than the milliseconds in which Redis counts", "write `1ms` or more");
        }
        if self.duration.nanos() == 0 {
            return refuse("duration", "zero leaves no time to measure", "write a duration such as `10s`");
        }
        Ok(self)
    }
}
