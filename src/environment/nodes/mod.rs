//! Brokers that are started here, whatever runs them: which nodes there are, where each listens and how it is configured
//! ([`kafka`], [`redis`], [`sentinel`]), and a broker made of running nodes ([`NodesBroker`]).
//!
//! Invariant: processes and containers are laid out and configured by the same lines, so that what differs between the
//! two environments is only what runs the nodes.

pub mod age;
mod broker;
pub mod files;
pub mod kafka;
mod node;
pub mod port;
pub mod redis;
pub mod sentinel;
mod settings;
pub mod step;

pub use broker::{LaunchSpec, NodeHost, NodesBroker};
pub use node::{LOG_LINES, Node, Plan, Runner};

use super::EnvironmentError;
use crate::scenario::SystemConfig;

/// How many nodes a broker may have: a quorum of one or of three; two would stand still with either gone.
const SIZES: [u16; 2] = [1, 3];
const MOST_NODES: usize = 3;

/// Refuses what cannot be started as it stands.
pub fn check(config: &SystemConfig) -> Result<(), EnvironmentError> {
    if !SIZES.contains(&config.nodes) {
        return Err(EnvironmentError::Refused(format!(
            "nodes: {} of {} cannot be started: it runs with 1 or 3 nodes",
            config.nodes, config.system
        )));
    }
    settings::check(config)
}
