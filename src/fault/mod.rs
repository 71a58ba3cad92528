//! What goes wrong on purpose: injected into brokers that we started, verified to have taken effect, and healed.
//!
//! Nothing here decides when or judges what followed.

pub mod disk;
