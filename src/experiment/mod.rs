//! Procedures that plain load cannot express: one file each, every one a function from a [`Stage`] to a cell's raw
//! result.
//!
//! An experiment observes and never judges: it returns [`Observation`]s, and says `cannot` with a reason where a system
//! has no such thing by its nature. It speaks to systems through [`crate::driver`] only, and to their processes through
//! [`Broker`].

mod cache;
mod capacity;
mod delivery;
mod findings;
mod flow;
mod poison;
mod retention;
mod size_ladder;
mod stage;

pub use stage::Stage;

use crate::engine::TrialError;
use crate::result::CellOutput;
use crate::scenario::Experiment;

/// Runs the experiment of `stage.cell`.
pub fn run(stage: &mut Stage<'_>, experiment: &Experiment) -> Result<CellOutput, TrialError> {
    match experiment {
        Experiment::SizeLadder(keys) => size_ladder::run(stage, keys),
        Experiment::Delivery(keys) => delivery::run(stage, keys),
        Experiment::Retention(keys) => retention::run(stage, keys),
        Experiment::Poison(keys) => poison::run(stage, keys),
        Experiment::Capacity(keys) => capacity::run(stage, keys),
        Experiment::Cache(keys) => cache::run(stage, keys),
    }
}
