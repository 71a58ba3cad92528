//! Runs one cell: connect, warm up, measure, drain, audit, and judge the own instrument. Never prints.

mod collect;
mod consume;
mod control;
mod floor;
mod gates;
mod health;
mod inflight;
mod publish;
mod trial;

pub use floor::floor;
pub use trial::{Observer, Phase, Progress, Trial, TrialError, Unobserved};
