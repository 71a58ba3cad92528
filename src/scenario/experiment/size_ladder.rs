//! Keys of the experiment `size-ladder`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Climbs a ladder of message sizes: what arrives intact, who refuses what, at which cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SizeLadder {}

impl Default for SizeLadder {
    fn default() -> Self {
        Self {}
    }
}
