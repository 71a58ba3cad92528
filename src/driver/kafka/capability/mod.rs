//! What Kafka can do beyond carrying messages: one file for each capability trait of the drivers,
//! and the two clients on bare sockets that some of them need.

pub mod audit;
pub mod cluster;
pub mod large;
pub mod large_socket;
pub mod record;
pub mod reflector;
mod replay;
pub mod requests;
pub mod socket_consumer;
pub mod stall;
pub mod work;
