//! The way of the load through Kafka: librdkafka's producers and consumers,
//! with nothing in between.

pub mod client_log;
pub mod ffi;
pub mod publisher;
pub mod share;
pub mod subscriber;
pub mod throttle;
