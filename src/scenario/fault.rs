//! Faults on a timeline, as a scenario asks for them: what, to whom, when, for how long. Data only:
//! `fault` injects.

use crate::model::{FaultKind, FaultTarget};
use crate::random::SplitMix64;
use crate::units::{Bytes, Rate, Span};
use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One fault of the timeline, injected once or again and again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "FaultPlan")]
pub(super) struct FaultKeys {
    pub kind: FaultKind,
    #[serde(default)]
    pub target: FaultTarget,
    /// After the start of the measured window.
    pub at: Span,
    /// Until it is healed: resumed, started again, let through. Without it a kill is followed by a
    /// start at once and every other fault lasts to the end of the window;
    /// `never` loses a node for good.
    #[serde(rename = "for", default)]
    pub lasts: Option<Lasts>,
    /// Injected again at this distance.
    #[serde(default)]
    pub every: Option<Span>,
    /// Each time the seed draws a moment so much later at most; a tenth of `every` where it is not
    /// written.
    #[serde(default)]
    pub phase: Option<Span>,
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
        text.parse()
            .map(Self::For)
            .map_err(|error| D::Error::custom(format!("{error}, or `never`")))
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

/// One fault of the timeline, every value resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    pub action: FaultAction,
    pub target: FaultTarget,
    /// After the start of the measured window.
    pub at: Span,
    pub lasts: Option<Lasts>,
    pub every: Option<Span>,
    pub phase: Option<Span>,
    pub times: Option<u16>,
}

/// What a fault does, with what its kind needs and no other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultAction {
    Stop,
    Kill,
    Pause,
    PowerLoss,
    NetLatency { delay: Span, jitter: Span },
    NetBandwidth { bandwidth: Bytes },
    NetStall,
    NetReset,
    NetRefuse,
    NetBitflip { one_in: u32 },
    NetPartition,
    Reshard,
    DiskSlow { delay: Span },
    DiskFull { room: Bytes },
    MemFull { room: Bytes },
    SlowConsumer { rate: Rate },
    ConsumerKill,
}

const DELAY: Span = Span::from_millis(100);
const ONE_IN: u32 = 1000;
const RATE: Rate = Rate::per_second(100);

/// A key that a kind cannot do without: its name, its meaning, and a value as an example.
pub(super) type Missing = (&'static str, &'static str, &'static str);

impl FaultKeys {
    /// What `kind` takes of the keys, which are then gone from them.
    pub fn take(&mut self, kind: FaultKind) -> Result<FaultAction, Missing> {
        use FaultAction as Action;
        Ok(match kind {
            FaultKind::Stop => Action::Stop,
            FaultKind::Kill => Action::Kill,
            FaultKind::Pause => Action::Pause,
            FaultKind::PowerLoss => Action::PowerLoss,
            FaultKind::NetLatency => Action::NetLatency {
                delay: self.delay.take().unwrap_or(DELAY),
                jitter: self.jitter.take().unwrap_or(Span(0)),
            },
            FaultKind::NetBandwidth => {
                let needed = ("bandwidth", "bytes that pass in a second", "1MiB");
                Action::NetBandwidth { bandwidth: self.bandwidth.take().ok_or(needed)? }
            }
            FaultKind::NetStall => Action::NetStall,
            FaultKind::NetReset => Action::NetReset,
            FaultKind::NetRefuse => Action::NetRefuse,
            FaultKind::NetBitflip => {
                Action::NetBitflip { one_in: self.one_in.take().unwrap_or(ONE_IN) }
            }
            FaultKind::NetPartition => Action::NetPartition,
            FaultKind::Reshard => Action::Reshard,
            FaultKind::DiskSlow => Action::DiskSlow { delay: self.delay.take().unwrap_or(DELAY) },
            FaultKind::DiskFull => {
                let needed = ("room", "the bytes that still fit on the disk", "16MiB");
                Action::DiskFull { room: self.room.take().ok_or(needed)? }
            }
            FaultKind::MemFull => {
                let needed = ("room", "Redis' `maxmemory`", "16MiB");
                Action::MemFull { room: self.room.take().ok_or(needed)? }
            }
            FaultKind::SlowConsumer => {
                Action::SlowConsumer { rate: self.rate.take().unwrap_or(RATE) }
            }
            FaultKind::ConsumerKill => Action::ConsumerKill,
        })
    }

    /// The first key of some kind that is still there.
    pub fn left(&self) -> Option<&'static str> {
        let there = [
            ("delay", self.delay.is_some()),
            ("jitter", self.jitter.is_some()),
            ("bandwidth", self.bandwidth.is_some()),
            ("room", self.room.is_some()),
            ("one-in", self.one_in.is_some()),
            ("rate", self.rate.is_some()),
        ];
        there.into_iter().find(|(_, there)| *there).map(|(key, _)| key)
    }

    pub fn plan(&self, action: FaultAction) -> FaultPlan {
        let Self { target, at, lasts, every, phase, times, .. } = *self;
        FaultPlan { action, target, at, lasts, every, phase, times }
    }
}

impl FaultAction {
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::Stop => FaultKind::Stop,
            Self::Kill => FaultKind::Kill,
            Self::Pause => FaultKind::Pause,
            Self::PowerLoss => FaultKind::PowerLoss,
            Self::NetLatency { .. } => FaultKind::NetLatency,
            Self::NetBandwidth { .. } => FaultKind::NetBandwidth,
            Self::NetStall => FaultKind::NetStall,
            Self::NetReset => FaultKind::NetReset,
            Self::NetRefuse => FaultKind::NetRefuse,
            Self::NetBitflip { .. } => FaultKind::NetBitflip,
            Self::NetPartition => FaultKind::NetPartition,
            Self::Reshard => FaultKind::Reshard,
            Self::DiskSlow { .. } => FaultKind::DiskSlow,
            Self::DiskFull { .. } => FaultKind::DiskFull,
            Self::MemFull { .. } => FaultKind::MemFull,
            Self::SlowConsumer { .. } => FaultKind::SlowConsumer,
            Self::ConsumerKill => FaultKind::ConsumerKill,
        }
    }
}

impl fmt::Display for FaultAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetLatency { delay, jitter: Span(0) } | Self::DiskSlow { delay } => {
                write!(f, ", delay {delay}")
            }
            Self::NetLatency { delay, jitter } => write!(f, ", delay {delay}, jitter {jitter}"),
            Self::NetBandwidth { bandwidth } => write!(f, ", bandwidth {bandwidth}/s"),
            Self::DiskFull { room } | Self::MemFull { room } => write!(f, ", room {room}"),
            Self::NetBitflip { one_in } => write!(f, ", one in {one_in}"),
            Self::SlowConsumer { rate } => write!(f, ", rate {rate}"),
            _ => Ok(()),
        }
    }
}

impl FaultPlan {
    /// Once, on the first node, for as long as its kind lasts by itself.
    pub fn new(action: FaultAction, at: Span) -> Self {
        let (target, lasts, every, phase, times) = (FaultTarget::Node, None, None, None, None);
        Self { action, target, at, lasts, every, phase, times }
    }

    pub const fn kind(&self) -> FaultKind {
        self.action.kind()
    }

    /// In which the moment of each injection is drawn.
    pub fn phase(&self) -> Span {
        let tenth = Span(self.every.unwrap_or(Span(0)).nanos() / PHASE);
        self.phase.unwrap_or(tenth)
    }

    pub fn heal(&self) -> Heal {
        match self.lasts {
            Some(Lasts::For(span)) => Heal::After(span),
            Some(Lasts::Never(_)) => Heal::Never,
            None if self.kind().is_brief() => Heal::After(Span(0)),
            None => Heal::AtEnd,
        }
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind().name())?;
        if !self.kind().is_ours() {
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
        if let Some(phase) = self.phase {
            write!(f, ", at a phase of up to {phase}")?;
        }
        write!(f, "{}", self.action)
    }
}

/// One injection. Times count from the start of the measured window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    pub plan: usize,
    pub at: Span,
    pub heal: Heal,
}

/// The part of `every` in which the phase is drawn, if nothing else is said.
pub(super) const PHASE: u64 = 10;

/// Every injection, in order of time: pure arithmetic. The same scenario, seed and block give the
/// same moments for ever; another block gives others, so that a fault meets the broker at every
/// phase of what it does periodically.
pub fn timeline(plans: &[FaultPlan], seed: u64, block: u32) -> Vec<Injection> {
    let mut all: Vec<Injection> = plans
        .iter()
        .enumerate()
        .flat_map(|(plan, fault)| {
            let mut rng = SplitMix64::stream(seed, u64::from(block) << 32 | plan as u64);
            (0..fault.times.unwrap_or(1)).map(move |number| {
                let every = fault.every.unwrap_or(Span(0)).nanos();
                let phase = (fault.phase().nanos() as f64 * rng.unit()) as u64;
                let at = Span(fault.at.nanos() + every * u64::from(number) + phase);
                Injection { plan, at, heal: fault.heal() }
            })
        })
        .collect();
    all.sort_by_key(|injection| (injection.at, injection.plan));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(action: FaultAction, at_s: u64) -> FaultPlan {
        FaultPlan::new(action, Span::from_secs(at_s))
    }

    #[test]
    fn a_fault_that_comes_once_comes_when_it_says() {
        let plans = [plan(FaultAction::Pause, 9), plan(FaultAction::Kill, 5)];
        let found = timeline(&plans, 42, 1);
        let expected = [
            Injection { plan: 1, at: Span::from_secs(5), heal: Heal::After(Span(0)) },
            Injection { plan: 0, at: Span::from_secs(9), heal: Heal::AtEnd },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn repeated_ones_keep_their_distance_and_meet_every_phase() {
        let repeated = FaultPlan {
            every: Some(Span::from_secs(20)),
            times: Some(200),
            lasts: Some(Lasts::For(Span::from_secs(2))),
            ..plan(FaultAction::Kill, 5)
        };
        let found = timeline(std::slice::from_ref(&repeated), 7, 1);
        assert_eq!(found.len(), 200);
        let phases: Vec<u64> =
            (0..).zip(&found).map(|(n, at)| at.at.nanos() - (5 + 20 * n) * 1_000_000_000).collect();
        assert!(phases.iter().all(|phase| *phase <= 2_000_000_000), "within the first tenth");
        // Evenly: a tenth of them in each tenth of the phase, give or take what chance gives.
        for tenth in 0..10 {
            let hit = phases.iter().filter(|phase| *phase * 10 / 2_000_000_001 == tenth).count();
            assert!((5..=40).contains(&hit), "{tenth}: {hit}");
        }
        assert_eq!(found, timeline(std::slice::from_ref(&repeated), 7, 1), "the same for ever");
        assert_ne!(
            found,
            timeline(std::slice::from_ref(&repeated), 7, 2),
            "other moments in another block"
        );
        assert_ne!(found, timeline(std::slice::from_ref(&repeated), 8, 1), "and with another seed");
        let wide = FaultPlan { phase: Some(Span::from_secs(12)), ..repeated };
        let phases: Vec<u64> = (0..)
            .zip(timeline(&[wide], 7, 1))
            .map(|(n, at)| at.at.nanos() - (5 + 20 * n) * 1_000_000_000)
            .collect();
        let most = phases.iter().max().unwrap();
        assert!((10_000_000_000..=12_000_000_000).contains(most), "as wide as it says: {most}");
    }
}
