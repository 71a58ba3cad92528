//! The claim that a scenario serves: one of the ids in `claims.yaml`, of which nothing else is read here.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, EnumAccess, Error, VariantAccess, Visitor};
use std::fmt;
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
    #[derive(Deserialize)]
    struct Rows {
        claims: Vec<ListedClaim>,
        uses: Vec<ListedClaim>,
    }
    #[derive(Deserialize)]
    struct ListedClaim {
        id: String,
    }
    static IDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let rows = serde_saphyr::from_str::<Rows>(include_str!("../claims/claims.yaml"));
        let rows = rows.map(|rows| rows.claims.into_iter().chain(rows.uses)).into_iter().flatten();
        rows.map(|row| &*row.id.leak()).collect()
    });
    &IDS
}

impl<'de> Deserialize<'de> for ClaimId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum("Claim", claim_ids(), ClaimWord)
    }
}

/// One word that must be an id: read as the name of a variant, so that a wrong one gets the same answer.
struct ClaimWord;

impl<'de> Visitor<'de> for ClaimWord {
    type Value = ClaimId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a claim")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<ClaimId, A::Error> {
        let (name, rest) = data.variant::<String>()?;
        rest.unit_variant()?;
        let known = claim_ids().iter().find(|id| **id == name);
        known.map(|id| ClaimId(id)).ok_or_else(|| A::Error::unknown_variant(&name, claim_ids()))
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
