//! `size-ladder`: being written.

use super::Stage;
use crate::engine::TrialError;
use crate::result::CellOutput;
use crate::scenario::SizeLadder;

pub fn run(stage: &mut Stage<'_>, _keys: &SizeLadder) -> Result<CellOutput, TrialError> {
    stage.output(Vec::new())
}
