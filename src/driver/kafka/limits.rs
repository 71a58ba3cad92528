//! How long the parts of the Kafka driver wait.

use std::time::Duration;

/// How long the first message may take, produced and consumed; a fresh broker takes some seconds.
pub const PROBE: Duration = Duration::from_secs(30);
/// How long settings are asked for, where clients outlive what is broken.
pub const PATIENT: Duration = Duration::from_secs(30);
