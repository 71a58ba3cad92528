//! Why a run, or one cell of it, has no result.

use crate::driver::DriverError;
use crate::engine::TrialError;
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
    Trial { label: String, cause: TrialError },
    #[error("{label}: the probe of its capacity failed: {cause}")]
    Probe { label: String, cause: String },
    #[error("interrupted before anything was measured")]
    Interrupted,
}

/// Of one cell: what ends it, or what ends the run.
pub enum CellError {
    Trial(TrialError),
    Result(ResultError),
}
impl From<TrialError> for CellError {
    fn from(error: TrialError) -> Self {
        Self::Trial(error)
    }
}

/// Whether an error says that the scenario, not the broker, must change.
pub fn is_refusal(error: &StudyError) -> bool {
    matches!(error, StudyError::Trial { cause: TrialError::Driver(DriverError::Setting { .. }), .. })
}
