//! Keys of the experiment `delivery`.

use super::ExperimentKeys;
use crate::scenario::cell::Cell;
use crate::units::{Bytes, Rate, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Counts the requests between deliveries, and lets one consumer stop reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Delivery {
    /// Rates at which requests are counted and the wake-up is timed.
    pub rates: Vec<Rate>,
    /// How long each rate lasts.
    pub duration: Span,
    /// How long the consumer is counted while nothing is published.
    pub idle: Span,
    /// How long one request may wait at the broker while nothing comes: BLOCK on Redis. Kafka's is its client's
    /// `fetch.wait.max.ms`, 500 ms unless the label sets it: keep the two equal.
    pub wait: Span,
    /// How much is published while one consumer does not read.
    pub stalled: Bytes,
    /// Size of those messages.
    pub stalled_message: Bytes,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            rates: vec![Rate::per_second(1), Rate::per_second(100), Rate::per_second(10_000)],
            duration: Span::from_secs(10),
            idle: Span::from_secs(10),
            wait: Span::from_millis(500),
            stalled: Bytes(60_000_000),
            stalled_message: Bytes(1024),
        }
    }
}

impl ExperimentKeys for Delivery {
    const WARM: bool = true;

    /// Seconds, roughly: idle, each rate, and what is published while nobody reads.
    fn estimate(&self, _: &Cell) -> f64 {
        const STALLED_BYTES_PER_SECOND: f64 = 30e6;
        /// Until the last of a rate has come, and until a stalled consumer is believed to get nothing more.
        const AFTER_A_RATE: f64 = 0.5;
        const AFTER_THE_STALL: f64 = 3.0;
        let rates = self.rates.len() as f64 * (self.duration.secs_f64() + AFTER_A_RATE);
        let stalled = self.stalled.0 as f64 / STALLED_BYTES_PER_SECOND + AFTER_THE_STALL;
        self.idle.secs_f64() + rates + stalled
    }
}
