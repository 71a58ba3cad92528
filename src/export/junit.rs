//! A run as test cases: cells, thresholds, and the figures that were held against a baseline.
//!
//! What fails here is what ends the run with another code than 0; what decides nothing is skipped.

use crate::gate::judged;
use crate::result::words::name;
use crate::result::{
    CellOutcome, CellSummary, Change, Fault, FigureChange, Judged, ResultError, RunFolder, Summary,
    ThresholdResult,
};
use crate::sanitize;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

pub fn junit(folder: &RunFolder) -> Result<String, ResultError> {
    let summary = judged(folder)?;
    let mut report = Report::new(sanitize::line(&summary.scenario));
    let figures = summary.baseline.iter().flat_map(|result| &result.figures);
    let suites: [(&str, Vec<TestCase>); 3] = [
        ("cells", summary.cells.iter().map(case_of_cell).collect()),
        ("thresholds", summary.thresholds.iter().map(of_threshold).map(case).collect()),
        ("baseline", figures.filter(|one| one.counts).map(of_figure).map(case).collect()),
    ];
    for (name, cases) in suites {
        if !cases.is_empty() {
            report.add_test_suite(suite(&summary, name, cases));
        }
    }
    report.to_string().map_err(|error| ResultError::corrupt(folder.path(), error))
}

fn case((name, status): (String, TestCaseStatus)) -> TestCase {
    TestCase::new(sanitize::line(&name), status)
}

/// What a cell found stands there also where it fails nothing.
fn case_of_cell(cell: &CellSummary) -> TestCase {
    let mut case = case((cell.place(), of_cell(cell)));
    if !cell.outcome_because.is_empty() {
        let found = format!("{}: {}", name(&cell.outcome), cell.outcome_because.join("; "));
        case.set_system_out(sanitize::line(&found));
    }
    case
}

fn suite(summary: &Summary, name: &str, cases: Vec<TestCase>) -> TestSuite {
    let mut suite = TestSuite::new(sanitize::line(&format!("{} {name}", summary.scenario)));
    for mut case in cases {
        case.set_classname(sanitize::line(&summary.scenario));
        suite.add_test_case(case);
    }
    suite
}

fn failed(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(sanitize::line(message));
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(sanitize::line(message));
    status
}

/// A load that was not carried is a result; a threshold may say that it must be.
fn of_cell(cell: &CellSummary) -> TestCaseStatus {
    let error = |message: &str| failed(NonSuccessKind::Error, message);
    if let Some(why) = cell.cannot() {
        return skipped(why);
    }
    if !cell.valid {
        return error(&format!("invalid: {}", cell.invalid_because.join("; ")));
    }
    if let Some(fault) = cell.faults.iter().find(|fault| Fault::failed(fault)) {
        return error(&format!("the fault {} was not applied, or not taken back", fault.kind));
    }
    if cell.outcome == CellOutcome::Stalled {
        return error(&format!("stalled: {}", cell.outcome_because.join("; ")));
    }
    match cell.judged {
        Some(Judged::Fail) => failed(NonSuccessKind::Failure, &cell.judged_because.join("; ")),
        _ => TestCaseStatus::success(),
    }
}

fn of_threshold(result: &ThresholdResult) -> (String, TestCaseStatus) {
    let status = match result.held {
        Some(true) => TestCaseStatus::success(),
        Some(false) => failed(NonSuccessKind::Failure, &result.text),
        None => failed(NonSuccessKind::Error, &result.text),
    };
    (result.rule.clone(), status)
}

fn of_figure(one: &FigureChange) -> (String, TestCaseStatus) {
    let numbers = || {
        let value = |value: Option<f64>| {
            value.map_or_else(|| "none".to_owned(), |value| format!("{value} {}", one.unit))
        };
        let interval = one.interval.map(|[low, high]| format!(" [{low:.3}, {high:.3}]"));
        let ratio = one.ratio.map(|ratio| format!(", {ratio:.3}×{}", interval.unwrap_or_default()));
        format!("{} → {}{}", value(one.before), value(one.now), ratio.unwrap_or_default())
    };
    let status = match one.change {
        Change::Worse => {
            failed(NonSuccessKind::Failure, format!("{} {}", numbers(), one.because).trim())
        }
        Change::Open | Change::Missing => skipped(&one.because),
        Change::Better | Change::Same | Change::NotWorse | Change::Changed => {
            TestCaseStatus::success()
        }
    };
    (format!("{} {} {} not worse", one.label, one.cell, one.metric), status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cell_lost_stands_in_its_case_though_nothing_failed() {
        let cell = CellSummary {
            valid: true,
            outcome: CellOutcome::Violated,
            outcome_because: vec!["56995 lost".to_owned()],
            ..CellSummary::default()
        };
        let mut report = Report::new("t");
        let mut suite = TestSuite::new("t cells");
        suite.add_test_case(case_of_cell(&cell));
        report.add_test_suite(suite);
        let text = report.to_string().unwrap();
        assert!(text.contains("<system-out>violated: 56995 lost</system-out>"), "{text}");
        assert!(text.contains("failures=\"0\""), "{text}");
    }
}
