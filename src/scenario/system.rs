//! The settings of a system, as drivers and environments consume them. Nothing here talks to a broker.

use crate::model::{Software, System};
use crate::units::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything one labelled system of a scenario is set to, defaults filled in. `Settings` says what the keys are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemConfig {
    pub system: System,
    pub nodes: u16,
    /// Clients reach every node, and the nodes each other, through fault proxies. Follows from the scenario's faults; no
    /// key of its own.
    #[serde(skip)]
    pub proxied: bool,
    /// The nodes run with the library that sees what they sync. Follows from what is done to them; no key of its own.
    #[serde(skip)]
    pub preloaded: bool,
    pub broker: BTreeMap<String, String>,
    pub sentinel: BTreeMap<String, String>,
    pub topic: Topic,
    pub client: BTreeMap<String, String>,
    pub heap: Bytes,
    pub keys: u16,
    /// Redis Streams only: `MAXLEN ~` of every XADD, in entries; `None` never trims.
    pub maxlen: Option<u64>,
    pub reply: Reply,
    pub consume: Consume,
}

/// What speaks to Redis for the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLibrary {
    /// RESP of our own over plain sockets, which costs as little as `redis-benchmark`.
    Direct,
    /// The `redis` crate's pipelined connection on tokio, as applications use it.
    RedisRs,
}

impl ClientLibrary {
    pub const ALL: [Self; 2] = [Self::Direct, Self::RedisRs];
    /// Its key below `client`.
    pub const KEY: &str = "library";

    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::RedisRs => "redis-rs",
        }
    }
}

/// Kafka's topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Topic {
    /// Partitions of the topic.
    pub partitions: u16,
    /// Copies of each partition (replication factor).
    pub replicas: u16,
    /// Raw topic settings, such as `flush.messages`.
    pub config: BTreeMap<String, String>,
}

/// How consumers take and acknowledge messages.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Consume {
    /// Most messages one request may bring: `COUNT` of XREADGROUP and BLMPOP, `max.poll.records` in Kafka's terms.
    pub batch: u32,
    /// Redis Lists only.
    pub mode: ListMode,
}

/// Whether Redis answers what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    On,
    /// `CLIENT REPLY OFF`: a message is done once its bytes are with the kernel. Promises nothing, reports no refusal.
    Off,
}

/// What happens to a list element when a consumer takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListMode {
    /// BLMPOP: taken and gone; lost if the consumer dies before it is processed.
    Pop,
    /// LMOVE to a processing list, removed from there after processing.
    Reliable,
}

impl Default for Topic {
    fn default() -> Self {
        Self { partitions: 1, replicas: 1, config: BTreeMap::new() }
    }
}

impl Default for Consume {
    fn default() -> Self {
        Self { batch: 500, mode: ListMode::Pop }
    }
}

impl SystemConfig {
    /// The defaults of `system`, before a scenario sets anything.
    pub fn defaults(system: System) -> Self {
        Self {
            system,
            nodes: 1,
            proxied: false,
            preloaded: false,
            broker: BTreeMap::new(),
            sentinel: BTreeMap::new(),
            topic: Topic::default(),
            client: match system.software() {
                Software::Redis => [(ClientLibrary::KEY.to_owned(), ClientLibrary::Direct.name().to_owned())].into(),
                _ => BTreeMap::new(),
            },
            // As Kafka's own start script has it.
            heap: Bytes(1 << 30),
            keys: 1,
            maxlen: system.has_key("maxlen").then_some(1_000_000),
            reply: Reply::On,
            consume: Consume::default(),
        }
    }

    /// Redis only; checked before anything runs.
    pub fn library(&self) -> ClientLibrary {
        let name = self.client.get(ClientLibrary::KEY).map(String::as_str);
        let named = ClientLibrary::ALL.into_iter().find(|library| Some(library.name()) == name);
        named.unwrap_or(ClientLibrary::Direct)
    }

    /// Kafka's `acks` as the scenario sets it, under either of its names; `None` for Redis and at librdkafka's default.
    pub fn acks(&self) -> Option<&str> {
        let acks = self.client.get("acks").or_else(|| self.client.get("request.required.acks"));
        acks.map(String::as_str)
    }

    /// Partitions, channels, streams or lists that one connection spreads its messages over.
    pub fn streams(&self) -> u16 {
        if self.system == System::Kafka { self.topic.partitions } else { self.keys }
    }
}
