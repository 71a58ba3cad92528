//! Keys of the experiment `poison`.

use super::{ExperimentKeys, Problem, is_kafka};
use crate::scenario::cell::Cell;
use crate::units::{Rate, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A share of messages fails at every try: retries, dead letters, a consumer that dies mid-batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Poison {
    /// Share of messages that fail at every try, 0 to 1: every n-th message. It is measured beside a flow without any.
    pub share: f64,
    /// How often a message is tried before it is set aside.
    pub retries: u32,
    /// How long a failed message waits for its next try; also how long a message lies idle at a dead consumer before a
    /// stream's other consumer may claim it.
    pub pause: Span,
    /// Messages a second.
    pub rate: Rate,
    /// How long each flow runs before it is measured.
    pub warm_up: Span,
    /// How long each flow, without and with poison, is measured.
    pub duration: Span,
    /// How long the flow runs in which a consumer is killed; it is killed in the middle.
    pub crash: Span,
    /// How long to wait after the last message, or after a dead consumer's place is taken, for what is still missing.
    pub drain: Span,
}

impl Default for Poison {
    fn default() -> Self {
        Self {
            share: 0.01,
            retries: 3,
            pause: Span::from_millis(100),
            rate: Rate::per_second(2000),
            warm_up: Span::from_secs(1),
            duration: Span::from_secs(10),
            crash: Span::from_secs(4),
            drain: Span::from_secs(10),
        }
    }
}

impl ExperimentKeys for Poison {
    const WARM: bool = true;

    /// Seconds, roughly: three flows and their ends; Kafka misses a dead member only after its session's time.
    fn estimate(&self, cell: &Cell) -> f64 {
        const AFTER_A_FLOW: f64 = 0.5;
        const SESSION: f64 = 6.0;
        let flow = self.warm_up.secs_f64() + self.duration.secs_f64();
        let tries = f64::from(self.retries) * self.pause.secs_f64();
        let takeover = if is_kafka(cell) { SESSION } else { self.pause.secs_f64() };
        2.0 * flow + tries + self.crash.secs_f64() + takeover + 3.0 * AFTER_A_FLOW
    }

    fn checked(self) -> Result<Self, Problem> {
        let refuse = |key: &str, what: &str, remedy: &str| Err(Problem::new([key], what, remedy));
        if !(self.share > 0.0 && self.share <= 0.5) {
            return refuse("share", "out of range, it is above 0 and at most 0.5", "write a share such as `0.01`");
        }
        if self.retries == 0 {
            return refuse("retries", "nothing would be tried at all", "write 1 or more");
        }
        if self.pause < Span::from_millis(1) {
            return refuse("pause", "shorter than the milliseconds in which Redis counts", "write `1ms` or more");
        }
        if self.rate.micro_per_s() == 0 {
            return refuse("rate", "a rate of zero sends nothing", "write a rate above zero, such as `2k/s`");
        }
        for (key, span) in [("duration", self.duration), ("crash", self.crash), ("drain", self.drain)] {
            if span.nanos() == 0 {
                return refuse(key, "zero leaves no time to measure or to finish", "write a duration such as `10s`");
            }
        }
        Ok(self)
    }
}
