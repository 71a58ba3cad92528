//! Keys of the experiment `poison`.

use super::{ExperimentKeys, Problem, check, check_milliseconds, check_rate, is_kafka};
use crate::scenario::cell::Cell;
use crate::units::{Rate, Span};

/// Each takes seconds.
const MOST_KILLS: u32 = 1000;

keys! {
    /// A share of messages fails at every try: retries, dead letters,
    /// a consumer that dies mid-batch.
    pub struct Poison {
        /// Share of messages that fail at every try, 0 to 1: every n-th message. It is measured
        /// beside a flow without any.
        share: f64 = 0.01,
        /// How often a message is tried before it is set aside.
        retries: u32 = 3,
        /// How long a failed message waits for its next try; also how long a message lies idle at a
        /// dead consumer before a stream's other consumer may claim it.
        pause: Span = Span::from_millis(100),
        /// How often a consumer tells the broker what is done: `0s` is with every batch, and
        /// anything else less than `pause`, after which a stream's other consumer takes an entry
        /// for abandoned. The same for all: Kafka commits, Streams get XACK, reliable Lists LREM.
        acknowledge: Span = Span(0),
        /// Messages a second.
        rate: Rate = Rate::per_second(2000),
        /// How long each flow runs before it is measured.
        warm_up: Span = Span::from_secs(1),
        /// How long each flow, without and with poison, is measured.
        duration: Span = Span::from_secs(10),
        /// Consumers that are killed, each in a flow of its own, at a moment and with a share of
        /// its batch done that follow from the seed.
        kills: u32 = 3,
        /// How long the flow runs in which a consumer is killed.
        crash: Span = Span::from_secs(4),
        /// How long to wait after the last message, or after a dead consumer's place is taken, for
        /// what is still missing.
        drain: Span = Span::from_secs(10),
    }
}

impl ExperimentKeys for Poison {
    const WARM: bool = true;

    /// Seconds, roughly: two flows, one for each kill, and their ends; Kafka misses a dead member
    /// only after its session's time.
    fn estimate(&self, cell: &Cell) -> f64 {
        const AFTER_A_FLOW: f64 = 0.5;
        const SESSION: f64 = 6.0;
        let flow = self.warm_up.secs_f64() + self.duration.secs_f64();
        let tries = f64::from(self.retries) * self.pause.secs_f64();
        let takeover = if is_kafka(cell) { SESSION } else { self.pause.secs_f64() };
        let crash = self.crash.secs_f64() + takeover + AFTER_A_FLOW;
        2.0 * (flow + AFTER_A_FLOW) + tries + f64::from(self.kills) * crash
    }

    fn checked(self) -> Result<Self, Problem> {
        let share = self.share > 0.0 && self.share <= 0.5;
        check(
            share,
            "share",
            "out of range, it is above 0 and at most 0.5",
            "write a share such as `0.01`",
        )?;
        check(self.retries > 0, "retries", "nothing would be tried at all", "write 1 or more")?;
        check_milliseconds("pause", self.pause)?;
        check(
            self.acknowledge < self.pause,
            "acknowledge",
            "not less than `pause`: a stream would hand out again what is done",
            "write `0s` for every batch, or less than `pause`",
        )?;
        check(self.kills <= MOST_KILLS, "kills", "more than 1000", "write a number such as `3`")?;
        check_rate(self.rate, "2k/s")?;
        for (key, span) in
            [("duration", self.duration), ("crash", self.crash), ("drain", self.drain)]
        {
            let what = "zero leaves no time to measure or to finish";
            check(span.nanos() > 0, key, what, "write a duration such as `10s`")?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_acknowledged_before_it_counts_as_abandoned() {
        let every = |ms| Poison { acknowledge: Span::from_millis(ms), ..Poison::default() };
        assert!(every(0).checked().is_ok() && every(99).checked().is_ok());
        assert_eq!(every(100).checked().unwrap_err().key(), "acknowledge");
    }
}
