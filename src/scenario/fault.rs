//! Faults on a timeline, as a scenario asks for them: what, to whom, when, for how long. Data only: `fault` injects.

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGTERM, as an operator would.
    Stop,
    /// SIGKILL.
    Kill,
    /// SIGSTOP, later SIGCONT: the process is there and says nothing.
    Pause,
    /// SIGKILL, and whatever was not synced to disk is gone. Simulated.
    PowerLoss,
    NetLatency,
    NetBandwidth,
    /// Nothing passes, nothing is lost, nobody is told.
    NetStall,
    /// Every connection ends with a reset; new ones are let through.
    NetReset,
    /// Every connection ends with a reset and new ones are refused.
    NetRefuse,
    /// One bit of a message's body is turned over on its way to the broker.
    NetBitflip,
    /// The target is cut off from the other nodes, and not from clients.
    NetPartition,
    DiskSlow,
    DiskFull,
    /// Redis' `maxmemory` set below what it holds.
    MemFull,
    /// Our consumers take their time.
    SlowConsumer,
    /// One consumer's connection is closed with messages unacknowledged.
    ConsumerKill,
}

/// Whom a fault hits. Resolved when it is injected, not before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The first node.
    #[default]
    Node,
    /// The node that leads the load's first partition (Kafka) or is the primary (Redis).
    Leader,
    /// Kafka's active controller.
    Controller,
    /// As `leader`, by Redis' name.
    Primary,
    /// A node that is not the leader.
    Replica,
    /// Every broker node at once.
    All,
}

impl FaultKind {
    pub const ALL: [Self; 16] = [
        Self::Stop,
        Self::Kill,
        Self::Pause,
        Self::PowerLoss,
        Self::NetLatency,
        Self::NetBandwidth,
        Self::NetStall,
        Self::NetReset,
        Self::NetRefuse,
        Self::NetBitflip,
        Self::NetPartition,
        Self::DiskSlow,
        Self::DiskFull,
        Self::MemFull,
        Self::SlowConsumer,
        Self::ConsumerKill,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::PowerLoss => "power-loss",
            Self::NetLatency => "net-latency",
            Self::NetBandwidth => "net-bandwidth",
            Self::NetStall => "net-stall",
            Self::NetReset => "net-reset",
            Self::NetRefuse => "net-refuse",
            Self::NetBitflip => "net-bitflip",
            Self::NetPartition => "net-partition",
            Self::DiskSlow => "disk-slow",
            Self::DiskFull => "disk-full",
            Self::MemFull => "mem-full",
            Self::SlowConsumer => "slow-consumer",
            Self::ConsumerKill => "consumer-kill",
        }
    }

    /// Whether clients must reach the brokers through the fault proxy for it.
    pub const fn on_the_wire(self) -> bool {
        matches!(
            self,
            Self::NetLatency
                | Self::NetBandwidth
                | Self::NetStall
                | Self::NetReset
                | Self::NetRefuse
                | Self::NetBitflip
        )
    }

    /// Whether the brokers must run with the preload shim for it.
    pub const fn on_the_disk(self) -> bool {
        matches!(self, Self::PowerLoss | Self::DiskSlow | Self::DiskFull)
    }

    /// Whether the processes of the target are gone while it lasts.
    pub const fn takes_down(self) -> bool {
        matches!(self, Self::Stop | Self::Kill | Self::PowerLoss)
    }

    /// What it takes hold of. Of two faults that hold the same, the one that is taken back first takes the other back too.
    pub const fn holds(self) -> &'static str {
        match self {
            Self::Stop | Self::Kill | Self::Pause | Self::PowerLoss => "the processes",
            Self::NetLatency
            | Self::NetBandwidth
            | Self::NetStall
            | Self::NetReset
            | Self::NetRefuse
            | Self::NetBitflip => "the connections of clients",
            Self::NetPartition => "the connections between nodes",
            Self::DiskSlow | Self::DiskFull => "the disk",
            Self::MemFull => "the memory",
            Self::SlowConsumer | Self::ConsumerKill => "our consumers",
        }
    }

    /// Whether it is over as soon as it is done, unless a scenario says how long it lasts.
    pub const fn is_brief(self) -> bool {
        self.takes_down() || matches!(self, Self::NetReset | Self::ConsumerKill)
    }

    /// Whether it befalls our own consumers: then it has no target.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::SlowConsumer | Self::ConsumerKill)
    }
}

impl Target {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Leader => "leader",
            Self::Controller => "controller",
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::All => "all",
        }
    }
}
