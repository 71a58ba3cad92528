//! Keys of the experiment `cache`.

use super::{ExperimentKeys, Problem, check, check_milliseconds, check_rate, is_kafka};
use crate::scenario::cell::Cell;
use crate::units::{Rate, Span};

keys! {
    /// Values set and read by key, with a time to live.
    pub struct Cache {
        /// Keys in use. Each is set once before the load.
        sessions: u32 = 1000,
        /// Share of requests that read, 0 to 1; the others write.
        reads: f64 = 0.9,
        /// Exponent of the Zipf distribution over the keys; 0 draws them evenly.
        skew: f64 = 0.0,
        /// Requests a second.
        rate: Rate = Rate::per_second(10_000),
        /// How long each value lives after it was last set.
        ttl: Span = Span::from_secs(5),
        /// How long the load runs before it is measured.
        warm_up: Span = Span::from_secs(1),
        /// How long it is measured.
        duration: Span = Span::from_secs(10),
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
        2.0 + 2.0 * f64::from(self.sessions) / FILLED_PER_SECOND
            + spans.map(Span::secs_f64).iter().sum::<f64>()
    }

    fn checked(self) -> Result<Self, Problem> {
        let sessions = (1..=MOST_SESSIONS).contains(&self.sessions);
        let (reads, skew) = ((0.0..=1.0).contains(&self.reads), (0.0..=4.0).contains(&self.skew));
        check(
            sessions,
            "sessions",
            "out of range, it is 1 to 10000000",
            "write a number such as `1000`",
        )?;
        check(reads, "reads", "out of range, it is 0 to 1", "write a share such as `0.9`")?;
        check(
            skew,
            "skew",
            "out of range, it is 0 to 4",
            "write 0 for even, 0.99 for a usual skew",
        )?;
        check_rate(self.rate, "10k/s")?;
        check_milliseconds("ttl", self.ttl)?;
        let measured = self.duration.nanos() > 0;
        check(
            measured,
            "duration",
            "zero leaves no time to measure",
            "write a duration such as `10s`",
        )?;
        Ok(self)
    }
}
