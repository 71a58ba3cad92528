//! Keys of the experiment `capacity`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Searches the highest fixed rate that keeps the tail below a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Capacity {}

impl Default for Capacity {
    fn default() -> Self {
        Self {}
    }
}
