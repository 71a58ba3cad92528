//! brokerbench: measures messaging on Apache Kafka and Redis and accounts for every message.
//!
//! # Layout
//! Each group imports only from groups above it; `tests/brokerless/layers.rs` checks that.
//!
//! - [`units`], [`clock`], [`random`], [`sanitize`]: quantities with units; the one monotonic epoch
//!   of a run; seeded randomness; text of others made harmless
//! - [`model`]: the shared vocabulary: systems, faults, guarantees, codecs, metrics
//! - [`schedule`], [`payload`], [`stats`], [`record`]: the measuring core: when to send, what to
//!   send, what to conclude, what happened
//! - [`result`]: what a run leaves on disk
//! - [`yaml`]: files of users as a tree in which every value knows its place
//! - [`scenario`]: what the user asks for
//! - [`access`]: how brokers may be reached: addresses judged, TLS verified, secrets kept
//! - [`wire`]: protocols of brokers: bytes into tokens, requests into bytes
//! - [`driver`]: speaks to one system; returns stamps and outcomes, records nothing
//! - [`fault`], [`environment`]: what goes wrong on links and disks; brokers provided and taken
//!   away again
//! - [`inject`]: faults done to brokers and consumers, proven, and reverted
//! - [`engine`]: runs one cell: pace, warm up, measure, drain, audit, judge its own instrument
//! - [`experiment`]: procedures that plain load cannot express, one file each
//! - [`study`]: cells, blocks and their order; the instrument's self-check
//! - [`claims`]: the claims as data and their verdict rules
//! - [`gate`]: what a run is held against: its thresholds, and an earlier run
//! - [`cli`]: arguments, progress, messages, exit codes
//!
//! `fuzz` (tests only) hands any bytes to everything that reads what others wrote.
//!
//! Beside that line, [`export`] and [`report`] read [`result`] (with `units`, `model`, `stats`, the
//! texts of `claims` and the findings of `gate`) only: they need no broker.
#![deny(unsafe_code)]

pub mod access;
pub mod claims;
pub mod cli;
pub mod clock;
pub mod driver;
pub mod engine;
pub mod environment;
pub mod experiment;
pub mod export;
pub mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gate;
pub mod inject;
pub mod model;
pub mod payload;
pub mod random;
pub mod record;
pub mod regular_file;
pub mod report;
pub mod result;
pub mod sanitize;
pub mod scenario;
pub mod schedule;
pub mod stats;
pub mod study;
pub mod units;
pub mod wire;
pub mod yaml;
