//! What a run leaves on disk: types of every file, and how they are written and read.

pub mod archive;
mod build;
mod compared;
mod comparison;
mod distribution;
mod error;
pub mod fault_figures;
pub mod files;
mod folder;
pub mod hlog;
mod judge;
mod latencies;
mod manifest;
mod measure;
mod names;
mod observation;
mod raw;
mod restart;
pub mod shard;
mod summarize;
mod summary;
mod tally;
#[cfg(test)]
pub(crate) mod testing;
pub mod words;

pub use build::{Build, sha256};
pub use compared::{ComparedEnvironment, EMULATED, FAKE, NotCompared};
pub use comparison::{
    BlockValue, CellResources, Claim, ComparedCell, Comparison, Decision, Finding, Kind, RunInfo,
    Verdict,
};
pub use distribution::{Censored, Distribution, LatencyValue};
pub use error::ResultError;
pub use folder::{RunFolder, StoredCell, parse_windows};
pub use judge::judge;
pub use latencies::{Latencies, Quantiles};
pub use manifest::{
    Carried, ColdStart, Host, Manifest, Origin, RateFound, ScenarioInfo, SettingFound, Storage,
    SyncCost, TriedSetting,
};
pub use measure::{latency_value, measured};
pub use names::slug;
pub use observation::Observation;
pub use raw::{Blame, CellOutput, CellRecord, Description, Event, Gate, Interval, WindowRow};
pub use restart::{Restart, parts_in_words};
pub use summarize::{invalid_because, rates, summarize};
pub use summary::{
    CellId, CellOutcome, CellSummary, Counts, Fault, Judged, LIMITED, PartitionRecovery, Rates,
    Resources, SCHEMA, Status, Summary, Survives, Unavailable,
};
pub use tally::Tally;
