//! Faults of links and disks: a TCP proxy and a library under the disk, each proven to have taken
//! effect and reverted.
//!
//! Nothing here decides when a fault comes, or judges what it led to.

pub mod disk;
pub mod proxy;
