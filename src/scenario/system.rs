//! The settings of a system, as drivers and environments consume them.
//! Nothing here talks to a broker.

use super::file::Settings;
use super::shards::{NodeCount, ServerKind, Shards};
use super::sns_check::MOST_RECEIVED;
use super::transaction::Transaction;
use crate::model::{Service, Software, System};
use crate::units::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything one labelled system of a scenario is set to, defaults filled in. `Settings` says what
/// the keys are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemConfig {
    pub system: System,
    /// The label whose settings these are: one system under two labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
    /// Processes that take messages, or may come to.
    pub nodes: u16,
    /// Of Amazon MSK only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_type: Option<ClusterType>,
    /// Redis only: they are a Cluster. Shown as `nodes`, where it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Shards>,
    /// Redis only: whose server; `None` for the one that is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerKind>,
    /// Redis Pub/Sub only: channels belong to shards.
    pub sharded: bool,
    /// Nothing is set but what the scenario sets and what the harness cannot do without.
    pub stock: bool,
    /// Faults are injected into it. Follows from the scenario's faults; no key of its own.
    #[serde(skip)]
    pub faulted: bool,
    /// Clients reach every node, and the nodes each other, through fault proxies. Follows from the
    /// scenario's faults; no key of its own.
    #[serde(skip)]
    pub proxied: bool,
    /// The nodes run with the library that sees what they sync. Follows from what is done to them;
    /// no key of its own.
    #[serde(skip)]
    pub preloaded: bool,
    pub broker: BTreeMap<String, String>,
    pub sentinel: BTreeMap<String, String>,
    pub topic: Topic,
    /// Kafka only: topics like this one that the load is spread over.
    #[serde(skip_serializing_if = "is_one")]
    pub topics: u16,
    /// Kafka only; `None`: each message stands for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Transaction>,
    pub client: BTreeMap<String, String>,
    pub heap: Bytes,
    pub keys: u16,
    /// Redis Streams only: of one that is there already and not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Redis Streams only: `MAXLEN ~` of every XADD, in entries; `None` never trims.
    pub maxlen: Option<u64>,
    pub reply: Reply,
    /// Redis Streams and Lists only: replicas that must have a message in memory before it counts
    /// as acknowledged (WAIT).
    pub wait: Option<u16>,
    /// Likewise, files that must have it on disk (WAITAOF).
    pub wait_aof: Option<WaitAof>,
    pub consume: Consume,
}

/// What a cluster of Amazon MSK is made of, which decides what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterType {
    Standard,
    Express,
    Serverless,
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
    /// Of one that is there already and not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Partitions of the topic; of one that is there already those that are written to.
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
    /// Most messages one request may bring: `COUNT` of XREADGROUP and BLMPOP, `max.poll.records` in
    /// Kafka's terms.
    pub batch: u32,
    pub mode: ConsumeMode,
}

/// Whether Redis answers what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    On,
    /// `CLIENT REPLY OFF`: a message is done once its bytes are with the kernel. Promises nothing,
    /// reports no refusal.
    Off,
}

/// Whose append-only files must have a message on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct WaitAof {
    /// 1: the primary's own; 0: not needed.
    #[schemars(range(max = 1))]
    pub local: u16,
    /// Those of so many replicas.
    pub replicas: u16,
}

/// How consumers come by their messages, where a system has several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumeMode {
    /// Redis Lists, BLMPOP: taken and gone; lost if the consumer dies before it is processed.
    Pop,
    /// Redis Lists, LMOVE to a processing list, removed from there after processing.
    Reliable,
    /// Kafka, a consumer group: each partition goes to one consumer, which keeps its position.
    Group,
    /// Kafka 4.2 and later, a share group: the broker hands single messages of a partition to any
    /// consumer and keeps count of each.
    ShareGroup,
}

impl ConsumeMode {
    /// Before a scenario sets anything.
    const fn of(system: System) -> Self {
        if matches!(system.software(), Software::Kafka) { Self::Group } else { Self::Pop }
    }

    /// Whether `system` has this way.
    pub fn fits(self, system: System) -> bool {
        let kafka = system.software() == Software::Kafka;
        kafka == matches!(self, Self::Group | Self::ShareGroup)
    }
}

fn is_one(topics: &u16) -> bool {
    *topics == 1
}

/// Of a cluster of MSK, which is spread over so many zones, whatever it has of them.
const MSK_NODES: u16 = 3;
/// MemoryDB is always a Cluster; the least that AWS makes by itself.
const MEMORYDB: Shards = Shards { shards: 1, replicas: 1 };

/// Copies that must have a message before it is acknowledged.
const MIN_INSYNC: &str = "min.insync.replicas";

impl SystemConfig {
    /// Before a scenario sets anything.
    pub fn defaults(system: System) -> Self {
        Self::of(system, &Settings::default())
    }

    /// What a scenario sets, and the defaults of the rest.
    pub(super) fn of(system: System, settings: &Settings) -> Self {
        let Settings { topic, consume, .. } = settings;
        let msk = system.service() == Some(Service::Msk);
        let (nodes, cluster) = match settings.nodes {
            Some(NodeCount::Count(nodes)) => (nodes, None),
            Some(NodeCount::Cluster(shards)) => (shards.nodes(), Some(shards)),
            None if system.service() == Some(Service::Memorydb) => {
                (MEMORYDB.nodes(), Some(MEMORYDB))
            }
            None => (if msk { MSK_NODES } else { 1 }, None),
        };
        // Of a topic that is there already nobody here says how many.
        let ours = topic.name.is_none();
        let replicas = topic.replicas.unwrap_or(if msk && ours { MSK_NODES } else { 1 });
        let cluster_type = settings.cluster_type.or(msk.then_some(ClusterType::Standard));
        // Elsewhere AWS sets it, and it is 2.
        let open = cluster_type.is_none_or(|kind| kind == ClusterType::Standard);
        let (mut client, mut config) = (settings.client.clone(), topic.config.clone());
        if system.software() == Software::Redis {
            client
                .entry(ClientLibrary::KEY.into())
                .or_insert_with(|| ClientLibrary::Direct.name().into());
        }
        // Kafka's own default of 1 acknowledges with a lone leader, whatever the number of copies.
        if replicas >= 3 && open && !settings.broker.contains_key(MIN_INSYNC) {
            config.entry(MIN_INSYNC.into()).or_insert_with(|| "2".into());
        }
        // As Kafka's own start script has it; three nodes of one machine share what one would have.
        let heap = Bytes(if nodes > 1 { 1 << 29 } else { 1 << 30 });
        let stock = settings.stock.unwrap_or(false);
        let trims = system.has_key("maxlen") && !stock && settings.stream.is_none();
        let maxlen = trims.then_some(1_000_000);
        let batch = if system.software() == Software::Sns { MOST_RECEIVED } else { 500 };
        let (name, partitions) = (topic.name.clone(), topic.partitions.unwrap_or(1));
        Self {
            system,
            same_as: None,
            nodes,
            cluster_type,
            cluster,
            server: settings.server,
            sharded: settings.sharded.unwrap_or(false),
            stock,
            faulted: false,
            proxied: false,
            preloaded: false,
            broker: settings.broker.clone(),
            sentinel: settings.sentinel.clone(),
            topic: Topic { name, partitions, replicas, config },
            topics: settings.topics.unwrap_or(1),
            transaction: settings.transaction,
            client,
            heap: settings.heap.unwrap_or(heap),
            keys: settings.keys.unwrap_or(1),
            stream: settings.stream.clone(),
            maxlen: settings.maxlen.map_or(maxlen, |maxlen| maxlen.0),
            reply: settings.reply.unwrap_or(Reply::On),
            wait: settings.wait,
            wait_aof: settings.wait_aof,
            consume: Consume {
                batch: consume.batch.unwrap_or(batch),
                mode: consume.mode.unwrap_or(ConsumeMode::of(system)),
            },
        }
    }

    /// Redis only; checked before anything runs.
    pub fn library(&self) -> ClientLibrary {
        let name = self.client.get(ClientLibrary::KEY).map(String::as_str);
        let named = ClientLibrary::ALL.into_iter().find(|library| Some(library.name()) == name);
        named.unwrap_or(ClientLibrary::Direct)
    }

    /// Replicas that must confirm a message before it counts as acknowledged.
    pub fn awaited_replicas(&self) -> u16 {
        self.wait.or(self.wait_aof.map(|files| files.replicas)).unwrap_or(0)
    }

    /// Replicas that a primary has while all is well.
    pub fn replicas(&self) -> u16 {
        self.cluster.map_or(self.nodes.saturating_sub(1), |shards| shards.replicas)
    }

    /// Kafka's `acks` as the scenario sets it, under either of its names; `None` for Redis and at
    /// librdkafka's default.
    pub fn acks(&self) -> Option<&str> {
        let acks = self.client.get("acks").or_else(|| self.client.get("request.required.acks"));
        acks.map(String::as_str)
    }

    /// For how long Kafka's client waits for more messages of a batch, under either of its names;
    /// 5 ms as librdkafka comes, and nothing of Redis.
    pub fn linger_ms(&self) -> f64 {
        let set = |key: &str| self.client.get(key)?.parse().ok();
        match self.system.software() {
            Software::Kafka => {
                set("linger.ms").or_else(|| set("queue.buffering.max.ms")).unwrap_or(5.0)
            }
            _ => 0.0,
        }
    }

    /// The topic or stream that is there already: nothing of it is made, deleted or trimmed.
    pub fn existing(&self) -> Option<&str> {
        self.topic.name.as_deref().or(self.stream.as_deref())
    }

    /// Why no such brokers can be started here; those that run already are as many as they are.
    pub fn only_elsewhere(&self) -> Option<String> {
        let (nodes, copies) = (self.nodes, self.topic.replicas);
        if let Some(name) = self.existing() {
            return Some(format!("`{name}`, and brokers that are started here are empty"));
        }
        // Of a Redis Cluster as many as it takes are started.
        if self.cluster.is_none() && !matches!(nodes, 1 | 3) {
            return Some(format!(
                "`nodes: {nodes}`, and brokers are started here with 1 node or with 3"
            ));
        }
        (copies > nodes).then(|| {
            format!("`topic.replicas: {copies}`, more copies than the brokers have nodes ({nodes})")
        })
    }

    /// As [`SystemConfig::partitions`], however many.
    pub fn streams(&self) -> u64 {
        match self.system.software() {
            Software::Kafka => u64::from(self.topics) * u64::from(self.topic.partitions),
            _ => u64::from(self.keys),
        }
    }

    /// Partitions, channels, streams or lists that one connection spreads its messages over: of all
    /// topics, one after the other.
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.streams()).unwrap_or(u16::MAX)
    }
}
