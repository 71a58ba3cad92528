//! Keys of the experiment `delivery`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Counts the requests between deliveries, and lets one consumer stop reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Delivery {}

impl Default for Delivery {
    fn default() -> Self {
        Self {}
    }
}
