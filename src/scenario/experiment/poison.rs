//! Keys of the experiment `poison`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A share of messages fails at every try: retries, dead letters, a consumer that dies mid-batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Poison {}

impl Default for Poison {
    fn default() -> Self {
        Self {}
    }
}
