//! The systems that are compared, and the broker software that each runs on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is compared. Redis is never one column: its three primitives promise different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    Kafka,
    RedisPubsub,
    RedisStreams,
    RedisLists,
    /// The in-process broker of the self-check. Never accepted in a scenario file, never shown in a table.
    #[schemars(skip)]
    Fake,
}

/// The broker software that a system runs on: what an environment starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Software {
    Kafka,
    Redis,
    Fake,
}

impl System {
    /// Every system that a scenario may name, in the order of tables and legends.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::RedisPubsub, Self::RedisStreams, Self::RedisLists];

    /// Their names, for those that have only names: results, tables, charts.
    pub const NAMES: [&str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].name();
            at += 1;
        }
        names
    };

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::RedisPubsub => "redis-pubsub",
            Self::RedisStreams => "redis-streams",
            Self::RedisLists => "redis-lists",
            Self::Fake => "fake",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.name() == name)
    }

    pub const fn software(self) -> Software {
        match self {
            Self::Kafka => Software::Kafka,
            Self::RedisPubsub | Self::RedisStreams | Self::RedisLists => Software::Redis,
            Self::Fake => Software::Fake,
        }
    }

    /// Whether it keeps messages in their order, read or not, so that what was written can be read back.
    pub const fn keeps_a_log(self) -> bool {
        match self {
            Self::Kafka | Self::RedisStreams | Self::Fake => true,
            Self::RedisPubsub | Self::RedisLists => false,
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
