//! What Kafka can do beyond carrying messages: one file for each capability of the drivers, and the
//! second client, on a bare socket.

pub mod audit;
pub mod board;
pub mod cluster;
pub mod large;
pub mod large_socket;
pub mod reflector;
pub mod share_work;
pub mod stall;
pub mod work;
