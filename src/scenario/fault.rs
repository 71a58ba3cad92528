//! Faults on a timeline, as a scenario asks for them: what, to whom, when, for how long. Data only: `fault` injects.

use crate::model::{FaultKind, Target};
use crate::units::{Bytes, Rate, Span};
use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One fault of the timeline, injected once or again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultPlan {
    pub kind: FaultKind,
    #[serde(default)]
    pub target: Target,
    /// After the start of the measured window.
    pub at: Span,
    /// Until it is healed: resumed, started again, let through. Without it a kill is followed by a start at once and
    /// every other fault lasts to the end of the window; `never` loses a node for good.
    #[serde(rename = "for", default)]
    pub lasts: Option<Lasts>,
    /// Injected again at this distance, each time at a phase drawn from the first tenth of it by the seed.
    #[serde(default)]
    pub every: Option<Span>,
    /// How often in all; needs `every`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub times: Option<u16>,
    /// `net-latency`: added in each direction. `disk-slow`: added to each sync.
    #[serde(default)]
    pub delay: Option<Span>,
    /// `net-latency`: evenly drawn, added to `delay` or taken from it.
    #[serde(default)]
    pub jitter: Option<Span>,
    /// `net-bandwidth`: bytes a second in each direction.
    #[serde(default)]
    pub bandwidth: Option<Bytes>,
    /// `disk-full`: bytes that still fit. `mem-full`: `maxmemory`.
    #[serde(default)]
    pub room: Option<Bytes>,
    /// `net-bitflip`: one damaged message in so many.
    #[serde(default)]
    pub one_in: Option<u32>,
    /// `slow-consumer`: messages a second that it still takes.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Lasts {
    For(Span),
    Never(Never),
}

/// Not healed before everything has been read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Never {
    Never,
}

impl<'de> Deserialize<'de> for Lasts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Self::Never(Never::Never));
        }
        text.parse().map(Self::For).map_err(|error| D::Error::custom(format!("{error}, or `never`")))
    }
}

/// When a fault is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heal {
    /// So long after it took effect.
    After(Span),
    /// When the measured window ends.
    AtEnd,
    /// Not before everything has been read back.
    Never,
}

impl FaultPlan {
    const DELAY: Span = Span::from_millis(100);
    const ONE_IN: u32 = 1000;
    const RATE: Rate = Rate::per_second(100);

    /// With what its kind needs and the file leaves out.
    pub(super) fn resolved(mut self) -> Self {
        match self.kind {
            FaultKind::NetLatency => {
                self.delay.get_or_insert(Self::DELAY);
                self.jitter.get_or_insert(Span(0));
            }
            FaultKind::DiskSlow => drop(self.delay.get_or_insert(Self::DELAY)),
            FaultKind::NetBitflip => drop(self.one_in.get_or_insert(Self::ONE_IN)),
            FaultKind::SlowConsumer => drop(self.rate.get_or_insert(Self::RATE)),
            _ => {}
        }
        self
    }

    pub fn heal(&self) -> Heal {
        match self.lasts {
            Some(Lasts::For(span)) => Heal::After(span),
            Some(Lasts::Never(_)) => Heal::Never,
            None if self.kind.is_brief() => Heal::After(Span(0)),
            None => Heal::AtEnd,
        }
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        if !self.kind.is_ours() {
            write!(f, " of {}", self.target.name())?;
        }
        write!(f, " at {}", self.at)?;
        match self.lasts {
            Some(Lasts::For(span)) => write!(f, " for {span}")?,
            Some(Lasts::Never(_)) => f.write_str(" for good")?,
            None => {}
        }
        if let (Some(every), Some(times)) = (self.every, self.times) {
            write!(f, ", {times} times, every {every}")?;
        }
        let texts = [
            ("delay", self.delay.map(|value| value.to_string())),
            ("jitter", self.jitter.filter(|span| span.0 > 0).map(|value| value.to_string())),
            ("bandwidth", self.bandwidth.map(|value| format!("{value}/s"))),
            ("room", self.room.map(|value| value.to_string())),
            ("one in", self.one_in.map(|value| value.to_string())),
            ("rate", self.rate.map(|value| value.to_string())),
        ];
        texts.iter().try_for_each(|(name, text)| text.as_ref().map_or(Ok(()), |text| write!(f, ", {name} {text}")))
    }
}
