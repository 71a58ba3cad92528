//! Runs of scenarios: rates that are found first, blocks, order, fresh and warmed brokers; and the
//! self-check of the instrument.

mod broker;
pub mod merge;
mod missing;
mod run;
pub mod selfcheck;

pub use missing::{missing, unanswered};
pub use run::{FinishedStudy, RunPart, Step, Study, StudyObserver, can_shard, run};

use crate::driver::DriverError;
use crate::engine::CellRunError;
use crate::environment::EnvironmentError;
use crate::result::ResultError;

/// Why a run has no result at all.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Result(#[from] ResultError),
    #[error("{label}: {cause}")]
    CellRun { label: String, cause: CellRunError },
    #[error("{label}: the search for its capacity failed: {cause}")]
    Search { label: String, cause: String },
    #[error("interrupted before anything was measured")]
    Interrupted,
}

/// Whether an error says that the scenario, not the broker, must change.
pub fn is_refusal(error: &StudyError) -> bool {
    matches!(
        error,
        StudyError::CellRun { cause: CellRunError::Driver(DriverError::Setting { .. }), .. }
    )
}
