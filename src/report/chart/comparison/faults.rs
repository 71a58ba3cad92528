//! Fault × system × configuration: acknowledged messages that are gone (RPO), and how long nothing
//! was taken (RTO).
//!
//! Each fault has a part of its own, what loses a node for good first.

use super::super::canvas::{Figure, INK, MARGIN, SMALL};
use super::absences;
use super::matrix::{Matrix, MatrixEntry, MatrixRow, entry};
use crate::model::Point;
use crate::model::metric;
use crate::report::cells::Cells;
use crate::report::faults::{FAULT, of_whom, over_faults};
use crate::report::quantity;
use crate::result::fault_figures::{
    FaultFigure, PARTS_HEAD, REDUNDANCY, RPO, RPO_TIME, RTO_90, RTO_DURABLE, RTO_PUBLISH, SCRIPTED,
};
use crate::result::{ComparedCell, Kind};
use itertools::Itertools;

const FAULTS: [FaultFigure; 7] =
    [RPO, RPO_TIME, RTO_PUBLISH, RTO_DURABLE, RTO_90, SCRIPTED, REDUNDANCY];

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let mut faults =
        cells.metric(RPO.metric.name).iter().map(|cell| fault(&cell.cell)).unique().collect_vec();
    faults.sort_by_key(|name| !name.ends_with("for good"));
    let part = |name: &String| {
        let of_fault = |cell: &&ComparedCell| fault(&cell.cell) == *name;
        part(cells, cells.metric(RPO.metric.name).into_iter().filter(of_fault).collect())
    };
    let parts: Vec<Matrix<'_>> = faults.iter().map(part).collect();
    figure.width = parts.iter().map(Matrix::least_width).fold(figure.width, f64::max);
    let mut y = top - 6.0;
    for (name, matrix) in faults.iter().zip(&parts) {
        y = figure.wrapped((MARGIN, y + 8.0), name, SMALL, INK, figure.room(), true) - 2.0;
        y = matrix.draw(figure, y);
    }
    if !faults.is_empty() {
        let text = "From the moment a fault took effect, of the slowest partition or stream; \
            copies: of each message.";
        figure.notes.push(text.to_owned());
    }
    absences(figure, cells);
    y
}

/// A time of the plan that is none fills no column: the script went on at once.
fn says_something(cell: &ComparedCell) -> bool {
    cell.told().is_some()
        && (cell.metric != SCRIPTED.metric.name || cell.value.is_some_and(|ns| ns >= 1e6))
}

/// One matrix: a line for each of the cells of its first column.
fn part(cells: &Cells<'_>, mut first: Vec<&ComparedCell>) -> Matrix<'static> {
    let any = |metric: &str| {
        first.iter().any(|cell| cells.beside(cell, metric).is_some_and(says_something))
    };
    let shown: Vec<_> =
        FAULTS.iter().filter(|of| of.metric == RPO.metric || any(of.metric.name)).collect();
    let told = |cell: &ComparedCell, metric: &str| {
        let acked = cells.beside(cell, metric::FAULT_ACKED.name).and_then(|acked| acked.value);
        match cell.value.zip(acked).filter(|_| metric == cell.metric) {
            Some((gone, acked)) => {
                let (gone, acked) = (quantity::plain(gone), quantity::plain(acked));
                let text = format!("{gone} of {acked}{}", over_faults(cell));
                MatrixEntry { text, share: None, known: true }
            }
            None => words(cells.beside(cell, metric)),
        }
    };
    // In the order of the table's columns, plain labels first.
    let order: Vec<&str> = cells.labels().into_iter().map(|(label, _)| label).collect();
    first.sort_by_key(|cell| order.iter().position(|label| *label == cell.label));
    let parts = first.iter().any(|cell| !cells.restart_beside(cell).is_empty());
    let lines: Vec<MatrixRow> = (first.iter())
        .map(|cell| {
            let condition = Point::read(&cell.cell).without(&FAULT).values();
            MatrixRow {
                label: if condition.is_empty() {
                    cell.label.clone()
                } else {
                    format!("{}, {condition}", cell.label)
                },
                system: cell.system.clone(),
                entries: shown
                    .iter()
                    .map(|of| told(cell, of.metric.name))
                    .chain(parts.then(|| MatrixEntry {
                        text: cells.restart_beside(cell),
                        share: None,
                        known: true,
                    }))
                    .collect(),
            }
        })
        .collect();
    let head = shown.iter().map(|of| of.head).chain(parts.then_some(PARTS_HEAD)).collect();
    Matrix { head, lines }
}

/// A value, or in a word why there is none.
fn words(cell: Option<&ComparedCell>) -> MatrixEntry {
    match cell {
        Some(cell) if cell.told().is_none() && cell.metric.starts_with("fault.") => {
            MatrixEntry::reason(match cell.kind {
                Kind::Cannot => "nothing promised",
                _ if cell.text.contains("not measured") => "not measured",
                _ if cell.text.contains("invalid") => "invalid",
                _ => "not seen",
            })
        }
        cell => entry(cell),
    }
}

/// `kill of the leader, 1 copy, for good`.
fn fault(at: &str) -> String {
    let get = |key: &str| Point::read(at).get(key).unwrap_or_default();
    let copies = if get("copies") == "1" {
        "1 copy".to_owned()
    } else {
        format!("{} copies", get("copies"))
    };
    let for_good = if get("for") == "never" { ", for good" } else { "" };
    format!("{}, {copies}{for_good}", of_whom(get("fault"), get("target")))
}
