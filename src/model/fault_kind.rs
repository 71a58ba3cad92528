//! The kinds of faults and whom they hit, by the names that scenarios, results and tables use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

named! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum FaultKind {
        /// SIGTERM, as an operator would.
        Stop = "stop",
        /// SIGKILL.
        Kill = "kill",
        /// SIGSTOP, later SIGCONT: the process is there and says nothing.
        Pause = "pause",
        /// SIGKILL, and whatever was not synced to disk is gone. Simulated.
        PowerLoss = "power-loss",
        NetLatency = "net-latency",
        NetBandwidth = "net-bandwidth",
        /// Nothing passes, nothing is lost, nobody is told.
        NetStall = "net-stall",
        /// Every connection ends with a reset; new ones are let through.
        NetReset = "net-reset",
        /// Every connection ends with a reset and new ones are refused.
        NetRefuse = "net-refuse",
        /// One bit of a message's body is turned over on its way to the broker.
        NetBitflip = "net-bitflip",
        /// The target is cut off from the other nodes, and not from clients.
        NetPartition = "net-partition",
        /// A slot of a Redis Cluster moves to another shard, with all that it holds.
        Reshard = "reshard",
        DiskSlow = "disk-slow",
        DiskFull = "disk-full",
        /// Redis' `maxmemory` set below what it holds.
        MemFull = "mem-full",
        /// Our consumers take their time.
        SlowConsumer = "slow-consumer",
        /// One consumer's connection is closed with messages unacknowledged.
        ConsumerKill = "consumer-kill",
    }
}

named! {
    /// Whom a fault hits. Resolved when it is injected, not before.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum FaultTarget {
        /// The first node.
        #[default]
        Node = "node",
        /// The node that leads the load's first partition (Kafka) or is the primary (Redis).
        Leader = "leader",
        /// Kafka's active controller.
        Controller = "controller",
        /// As `leader`, by Redis' name.
        Primary = "primary",
        /// A node that is not the leader.
        Replica = "replica",
        /// Every broker node at once.
        All = "all",
    }
}

named! {
    /// What a fault takes hold of, in words. Of two that hold the same, the one that is taken back
    /// first takes the other back too.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Grip {
        Consumers = "our consumers",
        Links = "the connections between nodes",
        Connections = "the connections of clients",
        Slots = "the slots",
        Disk = "the disk",
        Memory = "the memory",
        Processes = "the processes",
    }
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

/// All that is known of a kind beside its name and how it is injected.
struct FaultKindSpec {
    grip: Grip,
    threat: Threat,
    /// Over as soon as it is done, unless a scenario says how long it lasts.
    brief: bool,
    /// What it did to its target, as the title of a chart says it;
    /// a whole sentence where it has none.
    done: &'static str,
}

impl FaultKind {
    fn spec(self) -> FaultKindSpec {
        use Grip::*;
        use Threat::{Absence, Consumption, Crash, Delay, Refusal, Shutdown};
        let lasting = |grip, threat, done| FaultKindSpec { grip, threat, brief: false, done };
        let brief =
            |grip, threat, done| FaultKindSpec { brief: true, ..lasting(grip, threat, done) };
        match self {
            Self::Stop => brief(Processes, Shutdown, "was stopped"),
            Self::Kill => brief(Processes, Crash, "was killed"),
            Self::Pause => lasting(Processes, Absence, "was paused"),
            Self::PowerLoss => brief(Processes, Threat::PowerLoss, "lost its power (simulated)"),
            Self::NetLatency => lasting(Connections, Delay, "was put behind a slow network"),
            Self::NetBandwidth => lasting(Connections, Delay, "was put behind a narrow network"),
            Self::NetStall => lasting(Connections, Delay, "was cut off without a word"),
            Self::NetReset => brief(Connections, Delay, "lost its connections"),
            Self::NetRefuse => lasting(Connections, Delay, "refused connections"),
            Self::NetBitflip => lasting(Connections, Refusal, "was sent damaged messages"),
            Self::NetPartition => lasting(Links, Absence, "was cut off from the other nodes"),
            Self::Reshard => brief(Slots, Delay, "gave a slot away"),
            Self::DiskSlow => lasting(Disk, Delay, "got a slow disk"),
            Self::DiskFull => lasting(Disk, Refusal, "ran out of disk"),
            Self::MemFull => lasting(Memory, Refusal, "ran out of memory"),
            Self::SlowConsumer => lasting(Consumers, Consumption, "its consumers slowed down"),
            Self::ConsumerKill => brief(Consumers, Consumption, "a consumer was cut off"),
        }
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

    /// Whether the brokers must run with the preload shim for it.
    pub fn on_the_disk(self) -> bool {
        self.grip() == Grip::Disk || self.threat() == Threat::PowerLoss
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_by_its_name() {
        for kind in FaultKind::ALL {
            let serde = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde, format!("\"{}\"", kind.name()));
        }
    }
}
