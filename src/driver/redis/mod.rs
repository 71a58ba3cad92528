//! Redis behind the driver's traits: Pub/Sub, Streams and Lists, which promise different things.
//!
//! [`load`] is the hot path: our own RESP over plain sockets, so that the harness costs no more
//! than `redis-benchmark` does. [`redis_rs`] is the same by the library that applications use,
//! where a scenario asks for it. [`capability`] is what experiments and faults ask beyond messages.
//! [`primitive`] says what each of the three does in its own way.

mod capability;
mod clients;
mod control;
mod driver;
mod endpoint;
mod existing;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod load;
mod primary;
mod primitive;
mod redis_rs;
mod slots;
mod survival;
mod sweep;
#[cfg(test)]
mod tests;
mod toll;

pub use capability::cluster::{redis_linked, redis_pings, sentinel_content};
pub use capability::form::{Member, redis_cluster_formed, redis_cluster_stands};
pub use capability::reflector::start as reflector;
pub use control::{client_version, data_folder, ping};
pub use driver::open;
pub use primary::watched;
pub use sweep::sweep;

use std::time::Duration;

/// How long a connection may take to be made, and a set-up command to be answered.
const SET_UP: Duration = Duration::from_secs(5);
/// How long a consumer may take to acknowledge what is left and leave.
const CLOSE: Duration = Duration::from_secs(3);
/// How long a consumer waits beyond its time for the answer to a request that the server should
/// have ended by then.
const GRACE_NS: u64 = 1_000_000_000;
/// The same for one that must come back whatever the server does.
const ON_TIME_NS: u64 = 10_000_000;
/// How long the control path goes on trying, where clients outlive their connections.
const RETRY: Duration = Duration::from_secs(30);
/// How long the probe message of `prepare` may take.
const PROBE: Duration = Duration::from_secs(5);
