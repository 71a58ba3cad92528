//! `size-ladder`: one message of each size, there and back; who refuses what, in which words, and
//! at which cost.
//!
//! [`plan`] says what is tried on each rung and what it would need, [`search`] what is tried
//! between two rungs to find a limit, [`climb`] tries it, [`bystander`] is the small-message stream
//! beside it, [`report`] turns attempts into observations. Refusals are results: the climb ends
//! only when the broker is gone or the user says so.

mod bystander;
mod climb;
mod plan;
mod report;
mod search;
#[cfg(test)]
mod testing;

use self::climb::climb;
use super::ExperimentContext;
use crate::engine::CellRunError;
use crate::result::CellOutput;
use crate::scenario::SizeLadder;

pub fn run(
    context: &mut ExperimentContext<'_>,
    keys: &SizeLadder,
) -> Result<CellOutput, CellRunError> {
    let beside = keys.sizes.iter().any(|size| *size >= keys.bystander_from);
    let (attempts, samples) = if beside {
        bystander::beside(context, |context| climb(context, keys))?
    } else {
        (climb(context, keys), Vec::new())
    };
    context.output(report::observations(keys, &attempts?, &samples))
}
