//! What Redis can do beyond carrying messages: one file for each capability trait of the drivers.

pub mod audit;
pub mod board;
pub mod cache;
pub mod cluster;
pub mod form;
pub mod large;
pub mod reflector;
pub mod requests;
mod reshard;
pub mod stall;
pub mod work;
