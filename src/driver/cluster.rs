//! What fault injection must know of a running cluster: who leads, who is whole. Asked over connections of its own, so
//! that it also answers while the load's clients are cut off.

use super::DriverError;

/// A running system seen from outside. Every call is bounded by a few seconds.
pub trait Cluster: Send {
    /// `host:port` of the node that takes the writes of `stream` (a partition; any stream of Redis), as clients are told.
    fn leader(&mut self, stream: u16) -> Result<String, DriverError>;
    /// `host:port` of Kafka's active controller, as far as it is also a broker.
    fn controller(&mut self) -> Result<String, DriverError>;
    /// (copies in sync, copies wanted), summed over the cell's streams: full redundancy is restored once they are equal.
    fn redundancy(&mut self) -> Result<(u32, u32), DriverError>;
    /// Sets a broker setting at run time (`maxmemory`), on the leader; returns the value that stood there before.
    fn set(&mut self, name: &str, value: &str) -> Result<String, DriverError>;
}
