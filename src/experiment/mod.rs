//! Procedures that plain load cannot express: one file each, every one a function from an
//! [`ExperimentContext`] to a cell's raw result.
//!
//! An experiment observes and never judges: it returns [`Observation`]s, and says `cannot` with a reason where a system
//! has no such thing by its nature. It speaks to systems through [`crate::driver`] only, and to their processes through
//! [`Broker`].

mod cache;
mod capacity;
mod context;
mod delivery;
mod findings;
mod poison;
mod receiver;
mod retention;
mod sender;
mod size_ladder;

pub use context::ExperimentContext;

use crate::engine::TrialError;
use crate::result::CellOutput;
use crate::scenario::Experiment;

/// Runs the experiment of `context.cell`.
pub fn run(context: &mut ExperimentContext<'_>, experiment: &Experiment) -> Result<CellOutput, TrialError> {
    match experiment {
        Experiment::SizeLadder(keys) => size_ladder::run(context, keys),
        Experiment::Delivery(keys) => delivery::run(context, keys),
        Experiment::Retention(keys) => retention::run(context, keys),
        Experiment::Poison(keys) => poison::run(context, keys),
        Experiment::Capacity(keys) => capacity::run(context, keys),
        Experiment::Cache(keys) => cache::run(context, keys),
    }
}
