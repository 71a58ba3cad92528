//! Drivers: each speaks to one system, returns stamps and outcomes, and records nothing. Here, and
//! nowhere else, systems are matched to their drivers.

pub mod capability;
pub mod codec;
mod error;
pub mod fake;
mod kafka;
mod large;
mod mailbox;
mod packing;
mod redis;
#[cfg(feature = "aws")]
mod sns;
#[cfg(not(feature = "aws"))]
#[path = "no_sns.rs"]
mod sns;
mod target;
mod timeouts;
mod traits;
pub mod work;

use crate::access::Access;
use crate::model::{Software, System};
use crate::scenario::Cell;
use crate::yaml::Problem;
use std::collections::BTreeSet;
use std::path::PathBuf;

pub use capability::Reflector;
pub use error::DriverError;
pub use large::{LargeClient, LargeMessages, LargeRefusal, PayloadComparison, Times, Trip, Who};
#[cfg(any(test, fuzzing))]
pub use redis::fuzz::any as fuzz;
pub use redis::{
    Member, redis_cluster_formed, redis_cluster_stands, redis_linked, redis_pings,
    sentinel_content, watched,
};
pub use target::{Routes, Target};
pub use timeouts::Backoff;
pub use traits::{
    Audit, Completion, Crowd, Driver, Incoming, Outcome, Outgoing, Publisher, Submitted, Subscriber,
};

/// What speaks to the systems, with its versions.
pub fn client_versions() -> Vec<String> {
    let versions = [Some(kafka::client_version()), Some(redis::client_version())];
    versions.into_iter().chain([sns::client_version()]).flatten().collect()
}

/// Opens the driver for a cell.
pub fn open(cell: &Cell, target: Target) -> Result<Box<dyn Driver>, DriverError> {
    let mut cell = cell.clone();
    if !target.access.is_ours() {
        // Nobody gave these settings to a broker that ran before:
        // nothing may be concluded from them.
        cell.config.broker.clear();
    }
    match cell.config.system.software() {
        Software::Kafka => kafka::open(&cell, target),
        Software::Redis => redis::open(&cell, target),
        Software::Sns => sns::open(&cell, target),
        Software::Fake => Err(fake::refused("open", "the fake broker serves the self-check only")),
    }
}

/// Whether the clients of a cell's system take what the scenario sets on them, as the client library
/// says. Nobody is contacted.
pub fn judge(cell: &Cell) -> Result<(), Problem> {
    match cell.config.system.software() {
        Software::Kafka => kafka::judge(cell),
        // The scenario knows the only setting that there is.
        Software::Redis | Software::Sns | Software::Fake => Ok(()),
    }
}

/// Whether a broker answers at `address` (`host:port`), behind TLS and logged in to where `access`
/// says so, and to which addresses it sends clients: to be judged before anything else connects
/// there. The error is a cause and a remedy in words, without the address.
pub fn ping(software: Software, address: &str, access: &Access) -> Result<Vec<String>, String> {
    match software {
        Software::Kafka => kafka::ping(address, access),
        Software::Redis => redis::ping(address, access).map(|()| Vec::new()),
        Software::Sns => sns::ping(address, access).map(|()| Vec::new()),
        Software::Fake => Err("the fake broker has no address".into()),
    }
}

/// Deletes what the runs left behind of whose cells these are names; returns what that was, in part
/// or whole.
pub fn sweep(
    software: Software,
    addresses: &[String],
    access: &Access,
    cells: &[String],
) -> Result<Vec<String>, DriverError> {
    let runs: BTreeSet<String> = cells.iter().filter_map(|cell| target::run_prefix(cell)).collect();
    match software {
        Software::Kafka => kafka::sweep(addresses, access, &runs),
        Software::Redis => redis::sweep(addresses, access, &runs),
        Software::Sns => sns::sweep(addresses, access, &runs),
        Software::Fake => Ok(Vec::new()),
    }
}

/// Where a broker says that it keeps its data, and by what one sees whether that is this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder {
    pub folder: PathBuf,
    pub of: FolderOwner,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderOwner {
    /// Its process id.
    Process(u32),
    /// The name of Kafka's cluster, which stands in a file of the folder.
    Cluster(String),
}

/// `None` where the broker does not tell.
pub fn data_folder(software: Software, address: &str, access: &Access) -> Option<DataFolder> {
    let (folder, of) = match software {
        Software::Kafka => kafka::data_folder(address, access)
            .map(|(folder, cluster)| (folder, FolderOwner::Cluster(cluster))),
        Software::Redis => redis::data_folder(address, access)
            .map(|(folder, pid)| (folder, FolderOwner::Process(pid))),
        Software::Sns | Software::Fake => None,
    }?;
    Some(DataFolder { folder: folder.into(), of })
}

/// Starts the reflector for a system.
pub fn reflector(system: System) -> Result<Box<dyn Reflector>, DriverError> {
    match system.software() {
        Software::Kafka => kafka::reflector(),
        Software::Redis => redis::reflector(),
        Software::Sns => sns::reflector(),
        Software::Fake => Err(fake::refused("reflect", "the fake broker needs no reflector")),
    }
}
