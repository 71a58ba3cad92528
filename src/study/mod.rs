//! Runs of scenarios: rates that are found first, blocks, order, fresh and warmed brokers; and the self-check of the
//! instrument.

mod order;
mod run;
pub mod selfcheck;
mod settle;
mod warm;

pub use run::{Finished, Study, StudyError, StudyObserver, is_refusal, run};
