//! What goes wrong between us and a Kafka cluster, as [`DriverError`]s that name the cluster.

use super::settings::ClientSettings;
use crate::driver::DriverError;
use crate::model::System;
use std::fmt::Display;
use std::time::Duration;

pub fn refused(action: impl Into<String>, cause: impl Display) -> DriverError {
    DriverError::Refused { system: System::Kafka, action: action.into(), cause: cause.to_string() }
}

pub fn timed_out(action: &str, after: Duration) -> DriverError {
    DriverError::TimedOut { system: System::Kafka, action: action.into(), seconds: after.as_secs() }
}

pub fn lost(settings: &ClientSettings, cause: impl Display) -> DriverError {
    DriverError::Disconnected { system: System::Kafka, address: settings.addresses(), cause: cause.to_string() }
}
