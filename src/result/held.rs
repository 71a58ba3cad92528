//! What a run was held against, in `summary.json`: the thresholds of its scenario, and an earlier
//! run. Types only; `gate` decides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A threshold: how it came out, by which value, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    /// As written.
    pub rule: String,
    /// `null` where there was nothing to judge by, which is no pass.
    pub held: Option<bool>,
    /// Where the value was found that decided: in the first cell that fails, else in the one
    /// nearest to failing. `null` where none decided.
    pub label: Option<String>,
    pub cell: Option<String>,
    /// `null` of a ratio, which is over all blocks.
    pub block: Option<u32>,
    pub value: Option<f64>,
    /// 95 %, of a ratio over three blocks or more.
    pub interval: Option<[f64; 2]>,
    /// `null` of a rule that cannot be read.
    pub limit: Option<f64>,
    /// Of value and limit: `ns`, `msg/s`, `×` …
    pub unit: String,
    /// One line for people: the value, its place, and why.
    pub text: String,
}

/// A run beside an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineResult {
    /// As the user called it.
    pub name: String,
    /// The earlier run, and when it began.
    pub run: String,
    pub started_at: String,
    /// Up to this share a change is none.
    pub tolerance: f64,
    /// The label by whose figures all others were divided, block by block.
    pub relative_to: Option<String>,
    /// Why the two are not alike, where they were compared all the same.
    pub unlike: Vec<String>,
    /// What differs between them beside their figures.
    pub settings: Vec<SettingChange>,
    /// Whether a figure that counts is shown to be worse: exit code 11.
    pub worse: bool,
    pub figures: Vec<FigureChange>,
}

/// A setting, a version or a property of the machine that is not the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingChange {
    pub key: String,
    /// `null` where only the other run has it.
    pub before: Option<String>,
    pub now: Option<String>,
}

/// One figure of both runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FigureChange {
    pub label: String,
    pub cell: String,
    pub metric: String,
    /// Of `before` and `now`.
    pub unit: String,
    pub before: Option<f64>,
    pub now: Option<f64>,
    /// `now` ÷ `before`; `null` of what has no geometric mean.
    pub ratio: Option<f64>,
    /// 95 %; `null` where a side has fewer than three blocks.
    pub interval: Option<[f64; 2]>,
    pub change: Change,
    /// Why it is open or not measured, and what would have been seen.
    pub because: String,
    /// Whether it may end the run with exit code 11.
    pub counts: bool,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Shown to be worse by more than the tolerance.
    Worse,
    Better,
    /// Shown to have changed by no more than the tolerance.
    Same,
    /// Shown to be worse by no more than the tolerance; it may be better.
    NotWorse,
    /// The measurement does not decide it.
    Open,
    /// Another value of what has no interval, or no better direction.
    Changed,
    /// One of the runs has no value.
    #[default]
    Missing,
}
