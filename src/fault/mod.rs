//! What is done to brokers and to the links to them, on purpose and reversibly.
//!
//! Every fault says when it took effect and how it is taken back. Nothing here decides when a fault comes, or judges
//! what it led to.

pub mod proxy;
