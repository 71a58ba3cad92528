//! What goes wrong between us and a Redis server, as [`DriverError`]s that name the server.

use super::endpoint::Endpoint;
use crate::driver::DriverError;
use crate::wire::redis::Malformed;
use std::time::Duration;

impl Endpoint {
    pub fn lost(&self, cause: impl Into<String>) -> DriverError {
        DriverError::Disconnected { system: self.system, address: self.address(), cause: cause.into() }
    }

    pub fn refused(&self, action: impl Into<String>, cause: impl Into<String>) -> DriverError {
        DriverError::Refused { system: self.system, action: action.into(), cause: cause.into() }
    }

    pub fn timed_out(&self, action: impl Into<String>, limit: Duration) -> DriverError {
        DriverError::TimedOut { system: self.system, action: action.into(), seconds: limit.as_secs() }
    }

    pub fn malformed(&self, cause: Malformed) -> DriverError {
        DriverError::Protocol { system: self.system, cause: cause.0 }
    }
}

/// Why something must be tried again, in words that are the same each time: without the address, which is known.
pub fn reason(error: &DriverError) -> String {
    match error {
        DriverError::Disconnected { cause, .. } => cause.clone(),
        DriverError::Refused { action, cause, .. } => format!("{action} refused: {cause}"),
        DriverError::Setting { key, cause, .. } => format!("client setting `{key}` refused: {cause}"),
        DriverError::TimedOut { action, .. } => format!("{action} got no answer"),
        DriverError::Protocol { cause, .. } => format!("unreadable reply: {cause}"),
        DriverError::Cannot { because, .. } => because.clone(),
    }
}
