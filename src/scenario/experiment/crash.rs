//! Keys of the experiment `crash`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kills the broker under load, starts it again on its data, and reads back what it still holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Crash {}

impl Default for Crash {
    fn default() -> Self {
        Self {}
    }
}
