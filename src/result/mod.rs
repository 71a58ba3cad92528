//! What a run leaves on disk: types of every file, and how they are written and read.

mod comparison;
mod error;
pub mod fault_figures;
pub mod files;
mod folder;
pub mod hlog;
mod judge;
mod manifest;
mod measure;
mod names;
mod observation;
mod raw;
mod summarize;
mod summary;
#[cfg(test)]
pub(crate) mod testing;
pub mod words;

pub use comparison::{
    BlockValue, Claim, ComparedCell, Comparison, Decision, Finding, Kind, RunInfo, Verdict,
};
pub use error::ResultError;
pub use folder::{RunFolder, StoredCell, parse_windows};
pub use judge::judge;
pub use manifest::{
    Carried, ColdStart, Host, Manifest, Origin, RateFound, ScenarioInfo, Storage, SyncCost,
};
pub use measure::measured;
pub use names::slug;
pub use observation::Observation;
pub use raw::{Blame, CellOutput, CellRecord, Description, Event, Gate, Interval, WindowRow};
pub use summarize::{invalid_because, quantiles, rates, summarize};
pub use summary::{
    CellId, CellOutcome, CellSummary, Counts, Fault, Judged, Latencies, PartitionRecovery,
    Quantiles, Rates, Resources, SCHEMA, Status, Summary, Survives, Unavailable,
};
