//! What goes wrong between a driver and its system: a broker's fault or a refusal,
//! in words for the user.

use crate::model::System;

/// A broker's fault or a refusal, in words for the user.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DriverError {
    /// The broker cannot be reached or went away.
    #[error("{system}: connection lost to {address}: {cause}")]
    Disconnected { system: System, address: String, cause: String },
    /// The broker or the client library refused what was asked.
    #[error("{system}: {action} refused: {cause}")]
    Refused { system: System, action: String, cause: String },
    /// The client library refused a setting: the scenario, not the broker, must change.
    #[error("{system}: client setting `{key}` refused: {cause}")]
    Setting { system: System, key: String, cause: String },
    /// Nothing came in time.
    #[error("{system}: {action} got no answer within {seconds} s")]
    TimedOut { system: System, action: String, seconds: u64 },
    /// A reply that the protocol does not allow.
    #[error("{system}: unreadable reply: {cause}")]
    Protocol { system: System, cause: String },
    /// The system has no such operation by its nature.
    #[error("{system} cannot {action}: {because}")]
    Cannot { system: System, action: String, because: String },
}

impl DriverError {
    /// Why a client gave out, in words that are the same each time: without the system and the
    /// address, which are known.
    pub fn reason(&self) -> String {
        match self {
            Self::Disconnected { cause, .. } => cause.clone(),
            Self::Refused { action, cause, .. } => format!("{action} refused: {cause}"),
            Self::TimedOut { action, .. } => format!("{action} got no answer"),
            Self::Protocol { cause, .. } => format!("unreadable reply: {cause}"),
            other => other.to_string(),
        }
    }
}
