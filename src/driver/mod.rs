//! Drivers: each speaks to one system, returns stamps and outcomes, and records nothing.

pub mod capability;
pub mod codec;
mod error;
pub mod fake;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod kafka;
mod large;
mod open;
mod redis;
mod target;
mod timeouts;
mod traits;
pub mod work;

pub use capability::Reflector;
pub use error::DriverError;
pub use large::{LargeClient, LargeMessages, LargeRefusal, PayloadComparison, Times, Trip, Who};
pub use open::{client_versions, open, ping, reflector};
pub use target::{Routes, Target};
pub use traits::{Audit, Completion, Driver, Incoming, Outcome, Outgoing, Publisher, Submitted, Subscriber};
