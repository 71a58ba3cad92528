//! The kinds of faults and whom they hit, by the names that scenarios, results and tables use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
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
