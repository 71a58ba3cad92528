//! The claim that a scenario serves: one of the ids in `claims.yaml`, of which nothing else is read here.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::sync::LazyLock;

/// A row of the comparison table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimId(&'static str);

impl ClaimId {
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// Every id, in the order of the table.
pub fn claim_ids() -> &'static [&'static str] {
    static IDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let text = include_str!("../claims/claims.yaml");
        let claims: serde_json::Value = serde_saphyr::from_str(text).unwrap_or_default();
        let rows = ["claims", "uses"].into_iter().filter_map(|list| claims[list].as_array()).flatten();
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
        json_schema!({ "description": "A row of the comparison table.", "type": "string", "enum": claim_ids() })
    }
}
