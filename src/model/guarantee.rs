//! The delivery guarantee that a scenario holds a system to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the scenario demands of delivery. It only judges; it sets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    None,
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnceInLog,
}
