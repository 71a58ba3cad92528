//! Keys of the experiment `crash`.

use crate::units::{Rate, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What ends the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CrashFault {
    /// SIGKILL: what the kernel holds survives.
    #[default]
    Kill,
    /// SIGKILL of all its processes, and what it had not synced to disk is cut off its files. A simulation: nothing but
    /// a sync counts, so it shows the most that can be lost.
    PowerLoss,
}

/// Kills the broker under load, starts it again on its data, and reads back what it still holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Crash {
    pub fault: CrashFault,
    /// Messages a second of one publisher, kept until the kill.
    pub rate: Rate,
    /// Load before the kill, at least.
    pub before: Span,
    /// The kill comes at a moment drawn evenly from this span after `before`, by the seed.
    pub spread: Span,
    /// How long the broker is left down before it is started again. Part of the recovery time.
    pub down: Span,
    /// How often, each time with a topic, stream or list of its own; the fault is the unit of repetition.
    #[schemars(range(min = 1))]
    pub kills: u16,
    /// How long a first acknowledgement, and then the reading back, may take.
    pub patience: Span,
}

impl Default for Crash {
    fn default() -> Self {
        Self {
            fault: CrashFault::Kill,
            rate: Rate::per_second(2000),
            before: Span::from_secs(5),
            spread: Span::from_secs(1),
            down: Span(0),
            kills: 3,
            patience: Span::from_secs(60),
        }
    }
}

impl Crash {
    /// Seconds, roughly: each kill with its start, first acknowledgement and reading back.
    pub(super) fn estimate(&self, kafka: bool) -> f64 {
        let again = if kafka { 8.0 } else { 1.0 };
        let spans = [self.before, self.spread, self.down];
        f64::from(self.kills) * (spans.map(Span::secs_f64).iter().sum::<f64>() + again)
    }
}
