//! Runs of scenarios: rates that are found first, blocks, order, fresh and warmed brokers; and the self-check of the
//! instrument.

mod broker;
mod run;
pub mod selfcheck;

pub use run::{FinishedStudy, Study, StudyError, StudyObserver, is_refusal, run};
