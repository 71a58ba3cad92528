//! How long the parts of the Redis driver wait.

use std::time::Duration;

/// How long a connection may take to be made, and a set-up command to be answered.
pub const SET_UP: Duration = Duration::from_secs(5);
/// How long a consumer may take to acknowledge what is left and leave.
pub const CLOSE: Duration = Duration::from_secs(3);
/// How long a consumer waits beyond its time for the answer to a request that the server should
/// have ended by then.
pub const GRACE_NS: u64 = 1_000_000_000;
/// The same for one that must come back whatever the server does.
pub const ON_TIME_NS: u64 = 10_000_000;
/// How long the control path goes on trying, where clients outlive their connections.
pub const RETRY: Duration = Duration::from_secs(30);
/// How long the probe message of `prepare` may take.
pub const PROBE: Duration = Duration::from_secs(5);
