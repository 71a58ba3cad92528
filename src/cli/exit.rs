//! The one place that decides exit codes, and the only one that turns errors into words on stderr.
//!
//! Below 10 there is nothing to read; from 10 on there is a result. Where several apply: 130, 15, 13, 14, 11, 10.

use crate::environment::EnvironmentError;
use crate::result::{Fault, Judged, ResultError, Status, Summary};
use crate::study::{StudyError, is_refusal};
use crate::yaml::ScenarioError;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Fine = 0,
    Internal = 1,
    Usage = 2,
    Environment = 3,
    Results = 4,
    Threshold = 10,
    TableStale = 12,
    Invalid = 13,
    Guarantee = 14,
    /// A fault was not applied, or not taken back.
    Fault = 15,
    Interrupted = 130,
}

impl Code {
    /// The code that an earlier command ended with; what we never end with is an internal error.
    pub fn from_number(number: u8) -> Self {
        let known = [
            Self::Fine,
            Self::Usage,
            Self::Environment,
            Self::Results,
            Self::Threshold,
            Self::TableStale,
            Self::Invalid,
            Self::Guarantee,
            Self::Fault,
            Self::Interrupted,
        ];
        known.into_iter().find(|code| *code as u8 == number).unwrap_or(Self::Internal)
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
            StudyError::Environment(_) | StudyError::Trial { .. } | StudyError::Probe { .. } => Code::Environment,
        };
        Self::new(code, error)
    }
}

/// How a run with results ends. `thresholds_held` is false if any threshold failed or was unmeasured.
pub fn of_run(status: Status, summary: &Summary, thresholds_held: bool) -> Code {
    match status {
        Status::Interrupted => Code::Interrupted,
        _ if summary.cells.iter().flat_map(|cell| &cell.faults).any(Fault::failed) => Code::Fault,
        Status::Invalid | Status::Failed => Code::Invalid,
        Status::Complete if summary.cells.iter().any(|cell| !cell.valid) => Code::Invalid,
        Status::Complete if summary.cells.iter().any(|cell| cell.judged == Some(Judged::Fail)) => Code::Guarantee,
        Status::Complete if !thresholds_held => Code::Threshold,
        Status::Complete => Code::Fine,
    }
}

/// The one that counts where several commands of one call end differently.
pub fn worst(codes: impl IntoIterator<Item = Code>) -> Code {
    let order = [
        Code::Interrupted,
        Code::Fault,
        Code::Invalid,
        Code::Guarantee,
        Code::TableStale,
        Code::Threshold,
        Code::Results,
        Code::Environment,
        Code::Usage,
        Code::Internal,
    ];
    let codes: Vec<Code> = codes.into_iter().collect();
    order.into_iter().find(|code| codes.contains(code)).unwrap_or(Code::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_design_section_7() {
        assert_eq!(worst([Code::Threshold, Code::Invalid, Code::Fine]), Code::Invalid);
        assert_eq!(worst([Code::Guarantee, Code::Interrupted]), Code::Interrupted);
        assert_eq!(worst([Code::Invalid, Code::Fault, Code::Guarantee]), Code::Fault);
        assert_eq!(worst([]), Code::Fine);
        assert_eq!(Code::from_number(Code::Guarantee as u8), Code::Guarantee);
        assert_eq!(Code::from_number(99), Code::Internal);
    }
}
