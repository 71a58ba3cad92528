//! `retention`: being written.

use super::Stage;
use crate::engine::TrialError;
use crate::result::CellOutput;
use crate::scenario::Retention;

pub fn run(stage: &mut Stage<'_>, _keys: &Retention) -> Result<CellOutput, TrialError> {
    stage.output(Vec::new())
}
