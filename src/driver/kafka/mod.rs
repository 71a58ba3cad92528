//! Kafka behind the driver's traits, by librdkafka. Nothing outside this folder names the library.
//!
//! [`load`] is the hot path: librdkafka by FFI, with one thread for the sender and its
//! acknowledgements. [`capability`] is what experiments and faults ask beyond messages. [`clients`]
//! makes what both speak through. What librdkafka logs goes to `load::client_log`,
//! never to the terminal.

mod admin;
mod capability;
mod client_keys;
mod clients;
mod driver;
mod existing;
mod judge;
mod load;
mod settings;
mod survival;
#[cfg(test)]
mod tests;
mod topics;
mod wish;

pub use crate::wire::kafka::link::{data_folder, ping};
pub use admin::sweep;
pub use capability::reflector::start as reflector;
pub use driver::{client_version, open};
pub use judge::judge;
