//! The way of the load through Redis: sockets, publishers and consumers, with nothing in between.

pub mod connection;
pub mod epoll;
pub mod lists;
pub mod publisher;
pub mod pubsub;
pub mod reconnect;
pub mod resilient;
pub mod streams;
