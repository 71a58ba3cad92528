//! Redis behind the driver's traits: Pub/Sub, Streams and Lists, which promise different things.
//!
//! [`load`] is the hot path: our own RESP over plain sockets, so that the harness costs no more
//! than `redis-benchmark` does. [`redis_rs`] is the same by the library that applications use, where
//! a scenario asks for it. [`capability`] is what experiments and faults ask beyond messages.
//! [`primitive`] says what each of the three does in its own way.

mod capability;
mod control;
mod driver;
mod endpoint;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod limits;
mod load;
mod primary;
mod primitive;
mod redis_rs;
#[cfg(test)]
mod tests;

pub use capability::reflector::start as reflector;
pub use control::{client_version, ping};
pub use driver::open;
