//! Tests through the public interface that need no broker: `cargo test --test brokerless`.

mod action;
mod cli;
mod doctor;
mod hostile;
mod janitor;
mod layers;
mod packaging;
mod regression;
mod scenarios;
#[path = "../support/mod.rs"]
mod support;
