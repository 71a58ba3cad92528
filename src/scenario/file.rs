//! The scenario file as written: which keys exist, of which type. Defaults and meaning come later.
//!
//! An absent key is `None`, so that `explain` can tell a default from a value that happens to equal
//! it. The JSON Schema for editors is generated from these types;
//! their comments are its descriptions.

use super::cell::PayloadKind;
use super::experiment::Experiment;
use super::fault::FaultKeys;
use super::keyed::Keys;
use super::load::LoadKeys;
use super::shards::{NodeCount, ServerKind};
use super::system::{ClusterType, ConsumeMode, Reply, WaitAof};
use super::transaction::Transaction;
use crate::model::{Codec, Guarantee, Latency, Measure, System};
use crate::payload::Sizes;
use crate::units::Bytes;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The only version of the format so far.
pub(super) const SCHEMA: u64 = 1;

/// A scenario of brokerbench: which load to put on which systems,
/// and which question the result answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    /// Version of this format.
    #[schemars(schema_with = "version")]
    #[allow(dead_code, reason = "checked in the tree, before any other key")]
    pub schema: u64,
    /// Names folders and topics: lower-case letters, digits and dashes.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]{0,39}$"))]
    pub name: String,
    /// What a reader will know after the run.
    pub question: String,
    /// The row of the comparison table that it serves.
    #[serde(default)]
    pub claim: Option<ClaimId>,
    /// The figure that carries the verdict.
    #[serde(default)]
    #[schemars(schema_with = "figures")]
    pub primary: Option<String>,
    /// What is demanded of delivery. It only judges; it sets nothing. `exactly-once-in-log`: each
    /// acknowledged message is once in the log, and none that was refused or aborted.
    /// `exactly-once`: and each subscription gets it once.
    #[serde(default)]
    pub guarantee: Option<Guarantee>,
    /// Why systems whose acknowledgements promise different things may be compared here. Printed
    /// beside the verdict.
    #[serde(default)]
    pub cross_class: Option<String>,
    /// A list of systems, or a map from label to settings, so that one system can stand twice.
    #[schemars(schema_with = "systems")]
    pub systems: BTreeMap<String, Settings>,
    /// How messages are offered; an experiment may do without.
    #[serde(default)]
    pub load: Option<LoadKeys>,
    /// A procedure in place of plain load, such as `{kind: retention}`.
    #[serde(default, rename = "experiment")]
    #[schemars(with = "Option<Experiment>")]
    pub _experiment: Option<IgnoredAny>,
    #[serde(default)]
    pub message: MessageKeys,
    /// What goes wrong while the load goes on,
    /// such as `{kind: kill, target: leader, at: 5s, for: 2s}`.
    #[serde(default)]
    pub faults: Vec<FaultKeys>,
    /// Dotted keys under `load` or `message`, each with the values to run: one cell per combination
    /// and label. A key such as `systems.kafka.client.linger.ms` varies that label alone.
    #[serde(default, rename = "matrix")]
    #[schemars(with = "BTreeMap<String, Vec<Scalar>>")]
    pub _matrix: Option<IgnoredAny>,
    /// Named sets of dotted keys that override this file, such as `quick: {load.duration: 10s}`.
    #[serde(default, rename = "profiles")]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    pub _profiles: Option<IgnoredAny>,
    /// Rules such as `kafka: end_to_end.p99 < 50ms`; a broken one ends the run with exit code 10.
    #[serde(default)]
    pub thresholds: Vec<String>,
    /// Repeats of every cell, fixed beforehand. Below 3 there is no verdict on speed.
    #[serde(default)]
    pub blocks: Option<u32>,
    /// How often in all its blocks the brokers are fresh, 3 at least for a verdict; meanwhile
    /// labels whose brokers have the same settings share a warm Kafka. Without it every label in
    /// every block has a fresh one.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub fresh_brokers: Option<u32>,
    /// How often a window that the harness spoilt (it sent late, its thread was saturated, the host
    /// took time away) is measured again: blind to what it measured, and counted. 2; plain load
    /// without faults only.
    #[serde(default)]
    pub repeat_spoilt: Option<u32>,
    /// Seed of arrivals, payloads and order.
    #[serde(default)]
    pub seed: Option<u64>,
}

/// Settings of one labelled system.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Settings {
    /// The system behind this label; not needed where the label is its name.
    pub system: Option<System>,
    /// What tables and charts call this label, at most 40 characters; the label where it is
    /// missing.
    pub title: Option<String>,
    /// Another label, with all of its settings and none of its own: the same system twice. What the
    /// two differ by is no difference, and the margin of every ratio of the study.
    pub same_as: Option<String>,
    /// Brokers of the cluster: 1 or 3. Three of Redis are a primary and two replicas, with three
    /// Sentinels beside them; `{shards: 3, replicas: 1}` is a Redis Cluster.
    pub nodes: Option<NodeCount>,
    /// Amazon MSK only: `standard`, `express` or `serverless`, which differ in what they allow.
    pub cluster_type: Option<ClusterType>,
    /// Redis only: whose server, `redis` or `valkey`; the one that is found where it is missing.
    pub server: Option<ServerKind>,
    /// Redis Pub/Sub only: SPUBLISH and SSUBSCRIBE, which a Redis Cluster keeps inside the shard of
    /// the channel's slot.
    pub sharded: Option<bool>,
    /// As it comes: what the harness would set by itself is left at the defaults of broker and
    /// client (snapshots of Redis stay on; librdkafka's limits in flight, batches and waits are its
    /// own). Settings below this label still count.
    pub stock: Option<bool>,
    /// Raw broker settings: `server.properties` keys for Kafka, `redis.conf` directives for Redis.
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub broker: BTreeMap<String, String>,
    /// Redis with more than one node only: settings of the Sentinels, such as
    /// `{down-after-milliseconds: 1000}`; what is not set is stock.
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub sentinel: BTreeMap<String, String>,
    /// Kafka; of SNS, `config` alone.
    #[schemars(with = "Option<TopicKeys>")]
    pub topic: TopicKeys,
    /// Kafka only: so many topics, each made as `topic` says, that the messages are spread over in
    /// turn; with `message.key`, each key has one of them. Plain load without faults only.
    #[schemars(range(min = 1))]
    pub topics: Option<u16>,
    /// Kafka only: messages are sent in transactions, such as `{messages: 100, abort: 0.05}`, and
    /// read once they are committed (`isolation.level: read_committed`). A message is acknowledged
    /// by the commit of its transaction. Plain load only.
    pub transaction: Option<Transaction>,
    /// Kafka: raw librdkafka settings of every client. Redis: `library`, which is `direct` (RESP of
    /// the harness, the default) or `redis-rs` (the crate that applications use, for plain load).
    /// SNS: parameters of ReceiveMessage, `WaitTimeSeconds` and `VisibilityTimeout`.
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub client: BTreeMap<String, String>,
    /// Kafka only: the largest heap of each broker's JVM,
    /// and the most that it may hold outside of it.
    pub heap: Option<Bytes>,
    /// How many channels, streams or lists of Redis, or message groups of a FIFO topic of SNS, the
    /// load is spread over.
    #[schemars(range(min = 1))]
    pub keys: Option<u16>,
    /// Redis Streams only: a stream that is there already, of a server that runs already. It is
    /// neither made nor deleted nor trimmed.
    pub stream: Option<String>,
    /// Redis Streams only: `MAXLEN ~` of every XADD, in entries; `none` never trims.
    #[schemars(schema_with = "max_len")]
    pub maxlen: Option<MaxLen>,
    /// Redis only: `off` publishes under `CLIENT REPLY OFF`, so that nothing is answered and
    /// nothing promised.
    pub reply: Option<Reply>,
    /// Redis Streams and Lists with `nodes: 3` only: a message counts as acknowledged once so many
    /// replicas have it in memory (WAIT); in doubt where they do not confirm it in time.
    #[schemars(range(min = 1))]
    pub wait: Option<u16>,
    /// Likewise, once files have it on disk (WAITAOF, Redis 7.2 or newer): the primary's own where
    /// `local` is 1, and those of so many `replicas`.
    pub wait_aof: Option<WaitAof>,
    #[schemars(with = "Option<ConsumeKeys>")]
    pub consume: ConsumeKeys,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct TopicKeys {
    /// One that is there already, of brokers that run already: it is neither made nor deleted, and
    /// the load uses so many of its partitions.
    pub name: Option<String>,
    #[schemars(range(min = 1))]
    pub partitions: Option<u16>,
    /// Copies of each partition (replication factor).
    #[schemars(range(min = 1))]
    pub replicas: Option<u16>,
    /// Raw topic settings, such as `flush.messages`; attributes of a topic of SNS: `FifoTopic`,
    /// `FifoThroughputScope`, `ArchivePolicy`, `MaximumMessageSize`.
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub config: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct ConsumeKeys {
    /// Most messages one request of a consumer may bring; of SQS, 10 at most.
    #[schemars(range(min = 1))]
    pub batch: Option<u32>,
    /// Redis Lists: `pop` loses what a dying consumer held, `reliable` keeps it in a processing
    /// list. Kafka: `group` gives each partition to one consumer, `share-group` each message.
    pub mode: Option<ConsumeMode>,
}

/// What a message is made of.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct MessageKeys {
    /// Size of the whole message as the broker stores it, envelope included, uncompressed. Of
    /// several sizes a range such as `100B to 10KiB`, or shares such as `90% 1KiB + 10% 100KiB`.
    pub size: Option<Sizes>,
    /// Each message has one of these keys, such as `{count: 10000, skew: 0.99}`: it decides the
    /// partition, in Kafka by the client's own partitioner. Plain load only.
    pub key: Option<Keys>,
    pub payload: Option<PayloadKind>,
    /// Never here: a scenario may come from a stranger.
    #[schemars(skip)]
    pub file: Option<String>,
    /// Headers of so many small values beside each message: Kafka's own, further fields of a
    /// stream's entry. Plain load only.
    #[schemars(range(max = 100))]
    pub headers: Option<u16>,
    /// zstd ratio that a `mixed` payload reaches.
    pub compressibility: Option<f64>,
    /// How messages are compressed: by Kafka's client in batches (`compression.type`); around
    /// Redis's, which has no compression, one by one (`lz4` and `zstd`, plain load only).
    pub codec: Option<Codec>,
}

/// A row of the comparison table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimId(&'static str);

impl ClaimId {
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// Every id, in the order of the table: of `claims.yaml`, nothing else is read here.
pub fn claim_ids() -> &'static [&'static str] {
    static IDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let text = include_str!("../claims/claims.yaml");
        let claims: serde_json::Value = serde_saphyr::from_str(text).unwrap_or_default();
        let rows =
            ["claims", "uses"].into_iter().filter_map(|list| claims[list].as_array()).flatten();
        rows.filter_map(|row| row["id"].as_str()).map(|id| &*id.to_owned().leak()).collect()
    });
    &IDS
}

impl<'de> Deserialize<'de> for ClaimId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = claim_ids().iter().find(|id| **id == name);
        known.map(|id| Self(id)).ok_or_else(|| D::Error::unknown_variant(&name, claim_ids()))
    }
}

impl JsonSchema for ClaimId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Claim".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A row of the comparison table.",
            "type": "string",
            "enum": claim_ids()
        })
    }
}

/// A limit in entries, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaxLen(pub Option<u64>);

impl<'de> Deserialize<'de> for MaxLen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse::<u64>() {
            Ok(entries) if entries > 0 => Ok(Self(Some(entries))),
            _ if text == "none" => Ok(Self(None)),
            _ => Err(D::Error::custom(
                "expected a number of entries above zero, or `none` to never trim",
            )),
        }
    }
}

/// Of an optional one.
fn max_len(_: &mut SchemaGenerator) -> Schema {
    let entries =
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "none" }] });
    json_schema!({ "anyOf": [entries, { "type": "null" }] })
}

/// A raw setting: text, or a number or flag that is taken as text. Exists for the schema only.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[allow(dead_code, reason = "a shape for the JSON Schema")]
enum Scalar {
    Text(String),
    Number(f64),
    Flag(bool),
}

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "const": SCHEMA })
}

fn figures(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<String> = Measure::usual().map(|measure| measure.to_string()).collect();
    let any =
        format!(r"^({})\.p\d{{1,2}}([._]\d{{1,4}})?$", Latency::ALL.map(Latency::name).join("|"));
    json_schema!({ "type": "string", "anyOf": [{ "enum": names }, { "pattern": any }] })
}

fn systems(generator: &mut SchemaGenerator) -> Schema {
    let names = generator.subschema_for::<System>();
    let settings = generator.subschema_for::<Option<Settings>>();
    json_schema!({ "anyOf": [
        { "type": "array", "items": names, "minItems": 1, "uniqueItems": true },
        { "type": "object", "additionalProperties": settings, "minProperties": 1 },
    ] })
}

/// The JSON Schema for editors, as it stands in `schema/scenario.json`. Draft 7:
/// yaml-language-server knows no later one.
pub fn schema() -> String {
    // Where our comments break their lines is nothing to an editor.
    let on_one_line = RecursiveTransform(|schema: &mut Schema| {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
    });
    let settings = SchemaSettings::draft07().with_transform(on_one_line);
    let schema = settings.into_generator().into_root_schema_for::<File>();
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    /// After a change of the format: `UPDATE_SCHEMA=1 cargo test --lib scenario::file`.
    #[test]
    fn the_committed_schema_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/scenario.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, super::schema()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), super::schema());
    }

    #[test]
    fn editors_refuse_unknown_keys_and_know_every_figure() {
        let schema: serde_json::Value = serde_json::from_str(&super::schema()).unwrap();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert_eq!(schema["additionalProperties"], false);
        assert!(
            schema["properties"]["matrix"].is_object()
                && schema["properties"]["cross-class"].is_object()
        );
        let figures = schema["properties"]["primary"]["anyOf"][0]["enum"].as_array().unwrap();
        assert!(figures.contains(&"end_to_end.p99".into()));
    }
}
