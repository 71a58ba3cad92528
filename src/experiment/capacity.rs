//! `capacity`: being written.

use super::Stage;
use crate::engine::TrialError;
use crate::result::CellOutput;
use crate::scenario::Capacity;

pub fn run(stage: &mut Stage<'_>, _keys: &Capacity) -> Result<CellOutput, TrialError> {
    stage.output(Vec::new())
}
