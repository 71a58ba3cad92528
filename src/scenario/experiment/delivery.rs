//! Keys of the experiment `delivery`.

use super::ExperimentKeys;
use crate::scenario::cell::Cell;
use crate::units::{Bytes, Rate, Span};

keys! {
    /// Counts the requests between deliveries, and lets one consumer stop reading.
    pub struct Delivery {
        /// Rates at which requests are counted and the wake-up is timed.
        rates: Vec<Rate> = [1, 100, 10_000].map(Rate::per_second).into(),
        /// How long each rate lasts.
        duration: Span = Span::from_secs(10),
        /// How long the consumer is counted while nothing is published.
        idle: Span = Span::from_secs(10),
        /// How long one request may wait at the broker while nothing comes: BLOCK on Redis. Kafka's
        /// is its client's `fetch.wait.max.ms`, 500 ms unless the label sets it:
        /// keep the two equal.
        wait: Span = Span::from_millis(500),
        /// How much is published while one consumer does not read.
        stalled: Bytes = Bytes(60_000_000),
        /// Size of those messages.
        stalled_message: Bytes = Bytes(1024),
    }
}

impl ExperimentKeys for Delivery {
    const WARM: bool = true;

    /// Seconds, roughly: idle, each rate, and what is published while nobody reads.
    fn estimate(&self, _: &Cell) -> f64 {
        const STALLED_BYTES_PER_SECOND: f64 = 30e6;
        /// Until the last of a rate has come, and until a stalled consumer is believed to get
        /// nothing more.
        const AFTER_A_RATE: f64 = 0.5;
        const AFTER_THE_STALL: f64 = 3.0;
        let rates = self.rates.len() as f64 * (self.duration.secs_f64() + AFTER_A_RATE);
        let stalled = self.stalled.0 as f64 / STALLED_BYTES_PER_SECOND + AFTER_THE_STALL;
        self.idle.secs_f64() + rates + stalled
    }
}
