//! `size-ladder`: one message of each size, there and back; who refuses what, in which words, and at which cost.
//!
//! [`plan`] says what is tried on each rung, [`preflight`] what it would need, [`climb`] tries it, [`bystander`] is the
//! small-message stream beside it, [`report`] turns attempts into observations. Refusals are results: the climb ends
//! only when the broker is gone or the user says so.

mod bystander;
mod climb;
mod plan;
mod preflight;
mod report;

use self::bystander::Bystander;
use self::climb::Climb;
use super::ExperimentContext;
use crate::engine::TrialError;
use crate::result::CellOutput;
use crate::scenario::SizeLadder;

pub fn run(context: &mut ExperimentContext<'_>, keys: &SizeLadder) -> Result<CellOutput, TrialError> {
    let beside = keys.sizes.iter().any(|size| *size >= keys.bystander_from);
    let bystander = if beside { Some(Bystander::start(context)?) } else { None };
    let mut climb = Climb::new(context, keys);
    let climbed = climb.up();
    let attempts = climb.end();
    let samples = bystander.map(Bystander::stop).unwrap_or_default();
    climbed?;
    context.output(report::observations(keys, &attempts, &samples))
}
