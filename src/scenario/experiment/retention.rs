//! Keys of the experiment `retention`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can still be read: late, twice, by time, after a restart, past a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Retention {}

impl Default for Retention {
    fn default() -> Self {
        Self {}
    }
}
