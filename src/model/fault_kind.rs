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
pub enum FaultTarget {
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

/// What a fault takes hold of. Of two that hold the same, the one that is taken back first takes the
/// other back too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grip {
    Consumers,
    Links,
    Connections,
    Disk,
    Memory,
    Processes,
}

/// What a fault may do to acknowledged messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threat {
    /// The process is asked to end, and writes out what it has.
    Shutdown,
    /// What the process had in its memory is gone.
    Crash,
    /// What no sync had covered is gone as well.
    PowerLoss,
    /// The node keeps what it has; another may take its place meanwhile and not have it.
    Absence,
    /// None: it is between a broker and its clients, or in front of a disk that is only slow.
    Delay,
    /// None: it befalls our own consumers. How often they receive a message, no promise says.
    Consumption,
    /// No promise says: messages are damaged or refused.
    Refusal,
}

/// All that is known of a kind beside how it is injected.
struct FaultKindSpec {
    kind: FaultKind,
    name: &'static str,
    grip: Grip,
    threat: Threat,
    /// Over as soon as it is done, unless a scenario says how long it lasts.
    brief: bool,
    /// What it did to its target, as the title of a chart says it; a whole sentence where it has none.
    done: &'static str,
}

const fn lasting(kind: FaultKind, name: &'static str, grip: Grip, threat: Threat, done: &'static str) -> FaultKindSpec {
    FaultKindSpec { kind, name, grip, threat, brief: false, done }
}

const fn brief(kind: FaultKind, name: &'static str, grip: Grip, threat: Threat, done: &'static str) -> FaultKindSpec {
    FaultKindSpec { kind, name, grip, threat, brief: true, done }
}

/// In the order of [`FaultKind`].
static SPECS: [FaultKindSpec; 16] = {
    use FaultKind::*;
    use Grip::*;
    use Threat::{Absence, Consumption, Crash, Delay, Refusal, Shutdown};
    [
        brief(Stop, "stop", Processes, Shutdown, "was stopped"),
        brief(Kill, "kill", Processes, Crash, "was killed"),
        lasting(Pause, "pause", Processes, Absence, "was paused"),
        brief(PowerLoss, "power-loss", Processes, Threat::PowerLoss, "lost its power (simulated)"),
        lasting(NetLatency, "net-latency", Connections, Delay, "was put behind a slow network"),
        lasting(NetBandwidth, "net-bandwidth", Connections, Delay, "was put behind a narrow network"),
        lasting(NetStall, "net-stall", Connections, Delay, "was cut off without a word"),
        brief(NetReset, "net-reset", Connections, Delay, "lost its connections"),
        lasting(NetRefuse, "net-refuse", Connections, Delay, "refused connections"),
        lasting(NetBitflip, "net-bitflip", Connections, Refusal, "was sent damaged messages"),
        lasting(NetPartition, "net-partition", Links, Absence, "was cut off from the other nodes"),
        lasting(DiskSlow, "disk-slow", Disk, Delay, "got a slow disk"),
        lasting(DiskFull, "disk-full", Disk, Refusal, "ran out of disk"),
        lasting(MemFull, "mem-full", Memory, Refusal, "ran out of memory"),
        lasting(SlowConsumer, "slow-consumer", Consumers, Consumption, "its consumers slowed down"),
        brief(ConsumerKill, "consumer-kill", Consumers, Consumption, "a consumer was cut off"),
    ]
};

impl FaultKind {
    pub fn all() -> impl Iterator<Item = Self> {
        SPECS.iter().map(|spec| spec.kind)
    }

    fn spec(self) -> &'static FaultKindSpec {
        &SPECS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.spec().name
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    pub fn grip(self) -> Grip {
        self.spec().grip
    }

    pub fn threat(self) -> Threat {
        self.spec().threat
    }

    pub fn done(self) -> &'static str {
        self.spec().done
    }

    pub fn is_brief(self) -> bool {
        self.spec().brief
    }

    /// Whether clients must reach the brokers through the fault proxy for it.
    pub fn on_the_wire(self) -> bool {
        self.grip() == Grip::Connections
    }

    /// Whether the brokers must run with the preload shim for it.
    pub fn on_the_disk(self) -> bool {
        self.grip() == Grip::Disk || self.threat() == Threat::PowerLoss
    }

    /// Whether the processes of the target are gone while it lasts.
    pub fn takes_down(self) -> bool {
        matches!(self.threat(), Threat::Shutdown | Threat::Crash | Threat::PowerLoss)
    }

    /// Whether it takes nothing that a broker has stored.
    pub fn spares_what_is_stored(self) -> bool {
        matches!(self.threat(), Threat::Delay | Threat::Consumption)
    }

    /// Whether it befalls our own consumers: then it has no target.
    pub fn is_ours(self) -> bool {
        self.grip() == Grip::Consumers
    }
}

impl Grip {
    pub const fn words(self) -> &'static str {
        match self {
            Self::Consumers => "our consumers",
            Self::Links => "the connections between nodes",
            Self::Connections => "the connections of clients",
            Self::Disk => "the disk",
            Self::Memory => "the memory",
            Self::Processes => "the processes",
        }
    }
}

impl FaultTarget {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_kinds() {
        for (at, kind) in FaultKind::all().enumerate() {
            assert_eq!(kind as usize, at, "{}", kind.name());
            let serde = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde, format!("\"{}\"", kind.name()));
        }
    }
}
