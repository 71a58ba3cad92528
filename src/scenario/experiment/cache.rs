//! Keys of the experiment `cache`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Values set and read by key, with a time to live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cache {}

impl Default for Cache {
    fn default() -> Self {
        Self {}
    }
}
