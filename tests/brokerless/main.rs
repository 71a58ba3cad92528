//! Tests through the public interface that need no broker: `cargo test --test brokerless`.

mod cli;
mod doctor;
mod hostile;
mod janitor;
mod layers;
mod packaging;
mod scenarios;
#[path = "../support/mod.rs"]
mod support;
