//! Kafka's protocol, as far as we speak it ourselves and not by librdkafka.
//!
//! [`link`] is a connection that is logged in, [`answers`] what a node tells on it, read by
//! [`fields`], which trust nobody's counts. [`frame`] is what every request and answer is wrapped in.

pub mod answers;
pub mod fields;
pub mod frame;
pub mod link;
pub mod sasl;
