//! How many nodes a label has: one quorum of so many, or the shards of a Redis Cluster; and whose
//! server it runs, where there are two.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A Redis Cluster: so many shards, each a primary with so many replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shards {
    #[schemars(range(min = 1, max = 6))]
    pub shards: u16,
    /// Of each shard.
    #[serde(default)]
    #[schemars(range(max = 2))]
    pub replicas: u16,
}

impl Shards {
    /// Processes that take messages, or may come to.
    pub const fn nodes(self) -> u16 {
        self.shards.saturating_mul(self.replicas.saturating_add(1))
    }
}

/// Which of the two servers that speak Redis's protocol.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ServerKind {
    Redis,
    Valkey,
}

/// `nodes` as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeCount {
    Count(u16),
    Cluster(Shards),
}

impl<'de> Deserialize<'de> for NodeCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeCountVisitor)
    }
}

struct NodeCountVisitor;

impl<'de> Visitor<'de> for NodeCountVisitor {
    type Value = NodeCount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of nodes, or `{shards: 3, replicas: 1}` of a Redis Cluster")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<NodeCount, E> {
        let count = u16::try_from(number).map(NodeCount::Count);
        count.map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NodeCount, A::Error> {
        Shards::deserialize(MapAccessDeserializer::new(map)).map(NodeCount::Cluster)
    }
}

impl JsonSchema for NodeCount {
    fn schema_name() -> Cow<'static, str> {
        "NodeCount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let shards = generator.subschema_for::<Shards>();
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1 }, shards] })
    }
}
