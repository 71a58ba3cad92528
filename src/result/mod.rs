//! What a run leaves on disk: types of every file, and how they are written and read.

mod manifest;
mod raw;
mod summary;

pub use manifest::{ColdStart, Host, Manifest, Origin, ScenarioInfo};
pub use raw::{Blame, CellOutput, CellRecord, Description, Event, Gate, Interval, Metric, WindowRow};
pub use summary::{
    CellSummary, Counts, Fault, Judged, Latencies, Outcome, Quantiles, Rates, Resources, SCHEMA, Status, Summary,
    Survives,
};
