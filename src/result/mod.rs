//! What a run leaves on disk: types of every file, and how they are written and read.

pub mod archive;
mod baseline;
mod build;
mod compared;
mod comparison;
mod cut_off;
mod distribution;
mod error;
pub mod fault_figures;
pub mod files;
mod folder;
mod held;
pub mod hlog;
mod journal;
mod judge;
mod latencies;
mod manifest;
mod measure;
mod names;
mod observation;
mod raw;
mod restart;
pub mod shard;
mod stages;
mod summarize;
mod summary;
mod tally;
#[cfg(test)]
pub(crate) mod testing;
mod windows;
pub mod words;

pub use baseline::{Baseline, BaselineFigure, ComparisonTerms, HeldAgainst};
pub use build::{Build, sha256};
pub use compared::{ComparedEnvironment, EMULATED, FAKE, NotCompared};
pub use comparison::{
    BlockValue, CellResources, Claim, ComparedCell, Comparison, Decision, Finding, Kind, RunInfo,
    Verdict,
};
pub use distribution::{Censored, Distribution, LatencyValue};
pub use error::ResultError;
pub use folder::{RunFolder, StoredCell};
pub use held::{BaselineResult, Change, FigureChange, SettingChange, ThresholdResult};
pub use journal::CellJournal;
pub use judge::judge;
pub use latencies::{Latencies, Quantiles};
pub use manifest::{
    Carried, ColdStart, Host, Manifest, Origin, RateFound, ScenarioInfo, SettingFound, Storage,
    SyncCost, TriedSetting,
};
pub use measure::{latency_value, measured, usable};
pub use names::{check_label, slug};
pub use observation::Observation;
pub use raw::{
    Blame, CellOutput, CellRecord, Description, Event, Gate, Interval, StageRecord, WindowRow,
};
pub use restart::{Restart, parts_in_words};
pub use stages::StageSummary;
pub use summarize::{invalid_because, rates, summarize};
pub use summary::{
    CellId, CellOutcome, CellSummary, Counts, Fault, Judged, LIMITED, PartitionRecovery, Rates,
    Resources, SCHEMA, Status, Summary, Survives, Unavailable,
};
pub use tally::Tally;
pub use windows::{drawn, parse_windows, with_measured};
