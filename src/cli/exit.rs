//! The one place that decides exit codes, and the only one that turns errors into words on stderr.
//!
//! Below 10 there is nothing to read; from 10 on there is a result. Where several apply, the first
//! of [`Code`] counts.

use crate::environment::EnvironmentError;
use crate::result::{CellOutcome, CellSummary, Fault, Judged, ResultError, Status, Summary};
use crate::study::merge::MergeError;
use crate::study::{StudyError, is_refusal};
use crate::yaml::ScenarioError;
use clap::ValueEnum;
use std::fmt;

/// The gravest first; what each means is what `--help` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[repr(u8)]
pub enum Code {
    /// interrupted; partial results are kept
    Interrupted = 130,
    /// a fault was not applied, or not taken back
    Fault = 15,
    /// measurement invalid, nothing carried at all, or a broker died
    Invalid = 13,
    /// the declared guarantee was violated
    Guarantee = 14,
    /// the generated table is out of date
    TableStale = 12,
    /// worse than the baseline
    Regression = 11,
    /// a threshold failed
    Threshold = 10,
    /// results cannot be read or written
    Results = 4,
    /// no environment: something is missing, or a broker did not start (`doctor` says what)
    Environment = 3,
    /// usage, or a scenario that is not valid
    Usage = 2,
    /// internal error
    Internal = 1,
    /// fine; an open verdict is fine too
    Fine = 0,
}

impl Code {
    /// The code that an earlier command ended with; what we never end with is an internal error.
    pub fn from_number(number: u8) -> Self {
        Self::value_variants()
            .iter()
            .copied()
            .find(|code| *code as u8 == number)
            .unwrap_or(Self::Internal)
    }

    /// Every code by number, with what it means.
    pub fn list() -> Vec<(u8, String)> {
        let meaning = |code: &Self| code.to_possible_value()?.get_help().map(ToString::to_string);
        let mut list: Vec<_> = Self::value_variants()
            .iter()
            .filter_map(|code| Some((*code as u8, meaning(code)?)))
            .collect();
        list.sort();
        list
    }
}

/// An error on its way out: what to say and how to end.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }
}

impl From<ScenarioError> for Failure {
    fn from(error: ScenarioError) -> Self {
        Self::new(Code::Usage, error)
    }
}
impl From<ResultError> for Failure {
    fn from(error: ResultError) -> Self {
        Self::new(Code::Results, error)
    }
}
impl From<EnvironmentError> for Failure {
    fn from(error: EnvironmentError) -> Self {
        Self::new(Code::Environment, error)
    }
}
impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        let code = match &error {
            StudyError::Interrupted => Code::Interrupted,
            StudyError::Result(_) => Code::Results,
            error if is_refusal(error) => Code::Usage,
            StudyError::Environment(_) | StudyError::CellRun { .. } | StudyError::Search { .. } => {
                Code::Environment
            }
        };
        Self::new(code, error)
    }
}

impl From<MergeError> for Failure {
    fn from(error: MergeError) -> Self {
        Self::new(Code::Results, error)
    }
}

/// How a run with results ends. A threshold of which nothing is known did not hold; a comparison
/// with a baseline that decides nothing is no failure.
pub fn of_run(status: Status, summary: &Summary) -> Code {
    match status {
        Status::Interrupted => Code::Interrupted,
        _ if summary.cells.iter().flat_map(|cell| &cell.faults).any(Fault::failed) => Code::Fault,
        Status::Invalid | Status::Failed => Code::Invalid,
        Status::Complete if summary.cells.iter().any(spoilt) => Code::Invalid,
        Status::Complete if summary.cells.iter().any(|cell| cell.judged == Some(Judged::Fail)) => {
            Code::Guarantee
        }
        Status::Complete if summary.baseline.as_ref().is_some_and(|result| result.worse) => {
            Code::Regression
        }
        Status::Complete if summary.thresholds.iter().any(|rule| rule.held != Some(true)) => {
            Code::Threshold
        }
        Status::Complete => Code::Fine,
    }
}

/// Nothing was measured: by the harness's fault, or as nothing came through.
fn spoilt(cell: &CellSummary) -> bool {
    !cell.valid || cell.outcome == CellOutcome::Stalled
}

/// The one that counts where several commands of one call end differently.
pub fn worst(codes: impl IntoIterator<Item = Code>) -> Code {
    let codes: Vec<Code> = codes.into_iter().collect();
    Code::value_variants().iter().copied().find(|code| codes.contains(code)).unwrap_or(Code::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{BaselineResult, ThresholdResult};

    #[test]
    fn the_gravest_counts() {
        assert_eq!(worst([Code::Threshold, Code::Invalid, Code::Fine]), Code::Invalid);
        assert_eq!(worst([Code::Guarantee, Code::Interrupted]), Code::Interrupted);
        assert_eq!(worst([Code::Invalid, Code::Fault, Code::Guarantee]), Code::Fault);
        assert_eq!(worst([]), Code::Fine);
        assert_eq!(Code::from_number(Code::Guarantee as u8), Code::Guarantee);
        assert_eq!(Code::from_number(99), Code::Internal);
    }

    #[test]
    fn a_cell_through_which_nothing_came_is_never_green() {
        let summary = |outcome| Summary {
            cells: vec![CellSummary { valid: true, outcome, ..CellSummary::default() }],
            ..Summary::default()
        };
        let code = |outcome| of_run(Status::Complete, &summary(outcome));
        assert_eq!(code(CellOutcome::Stalled), Code::Invalid);
        assert_eq!(code(CellOutcome::Overloaded), Code::Fine);
    }

    #[test]
    fn a_regression_goes_before_a_threshold_and_what_is_unmeasured_does_not_hold() {
        let code = |held: Option<bool>, worse: Option<bool>| {
            let baseline = worse.map(|worse| BaselineResult { worse, ..BaselineResult::default() });
            let thresholds = vec![ThresholdResult { held, ..ThresholdResult::default() }];
            of_run(Status::Complete, &Summary { thresholds, baseline, ..Summary::default() })
        };
        assert_eq!(code(Some(true), None), Code::Fine);
        assert_eq!((code(Some(false), None), code(None, None)), (Code::Threshold, Code::Threshold));
        assert_eq!(code(Some(true), Some(false)), Code::Fine);
        assert_eq!(code(Some(false), Some(true)), Code::Regression);
    }

    #[test]
    fn the_docs_have_every_code_as_the_help_has() {
        let docs = include_str!("../../docs/commands.md");
        let table = docs
            .split("| exit code | meaning |\n|---|---|\n")
            .nth(1)
            .unwrap()
            .split("\n\n")
            .next()
            .unwrap();
        let rows: Vec<String> =
            Code::list().iter().map(|(code, meaning)| format!("| {code} | {meaning} |")).collect();
        assert_eq!(table.lines().collect::<Vec<_>>(), rows);
    }
}
