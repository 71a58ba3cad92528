//! What goes wrong on purpose: done to brokers that we started, to their links, their disks and our own consumers;
//! verified to have taken effect, and taken back.
//!
//! Nothing here decides when a fault comes, or judges what it led to.

pub mod disk;
pub mod inject;
pub mod proxy;
