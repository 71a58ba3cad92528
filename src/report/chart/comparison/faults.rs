//! Fault × system × configuration: acknowledged messages that are gone (RPO), and how long nothing was taken (RTO).
//!
//! Each fault has a part of its own, what loses a node for good first.

use super::super::canvas::{Figure, INK, MUTED};
use super::matrix::{self, MatrixEntry, MatrixRow};
use super::{MARGIN, SMALL, absences};
use crate::model::Point;
use crate::report::cells::Cells;
use crate::report::quantity;
use crate::result::{ComparedCell, Kind};

const FAULTS: [(&str, &str); 6] = [
    ("acknowledged and lost (RPO)", "fault.rpo"),
    ("lost over the last", "fault.rpo_time"),
    ("taken again after (RTO)", "fault.rto_publish"),
    ("90 % of the rate after", "fault.rto_90"),
    ("of it by the script", "fault.scripted"),
    ("all copies after", "fault.redundancy"),
];
/// Conditions that name a fault; the others are the matrix'.
const FAULT: [&str; 4] = ["fault", "target", "copies", "for"];

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let room = figure.width - 2.0 * MARGIN;
    let mut y = top;
    let mut faults: Vec<String> = Vec::new();
    for cell in cells.metric("fault.rpo") {
        let name = fault(&cell.cell);
        if !faults.contains(&name) {
            faults.push(name);
        }
    }
    faults.sort_by_key(|name| !name.ends_with("for good"));
    for name in &faults {
        let of_fault = |cell: &&ComparedCell| fault(&cell.cell) == *name;
        let here: Vec<&ComparedCell> = cells.metric("fault.rpo").into_iter().filter(of_fault).collect();
        y = figure.wrapped((MARGIN, y + 8.0), name, 11.5, INK, room, true) - 4.0;
        y = part(figure, cells, &here, y);
    }
    if !faults.is_empty() {
        let text = "From the moment a fault took effect, of the slowest partition or stream; copies: of each message.";
        y = figure.wrapped((MARGIN, y + 4.0), text, SMALL, MUTED, room, false);
    }
    absences(figure, cells, y)
}

/// A time of the plan that is none fills no column: the script went on at once.
fn says_something(cell: &ComparedCell) -> bool {
    cell.value.is_some_and(|ns| cell.metric != "fault.scripted" || ns >= 1e6)
}

/// One matrix: a line for each of the cells of its first column.
fn part(figure: &mut Figure, cells: &Cells<'_>, first: &[&ComparedCell], top: f64) -> f64 {
    let of = |cell: &ComparedCell, metric: &str| {
        cells.of_label(&cell.label, metric).into_iter().find(|other| other.cell == cell.cell && other.run == cell.run)
    };
    let any = |metric: &str| first.iter().any(|cell| of(cell, metric).is_some_and(says_something));
    let shown: Vec<_> = FAULTS.iter().zip(0..).filter(|((_, metric), at)| *at == 0 || any(metric)).collect();
    let entry = |cell: &ComparedCell, metric: &str, at: usize| match (
        at,
        cell.value,
        of(cell, "fault.acked").and_then(|c| c.value),
    ) {
        (0, Some(lost), Some(acked)) => MatrixEntry {
            text: format!("{} of {}", quantity::plain(lost), quantity::plain(acked)),
            share: None,
            known: true,
        },
        _ => words(of(cell, metric)),
    };
    // In the order of the table's columns, defaults first.
    let order: Vec<&str> = cells.labels().into_iter().map(|(label, _)| label).collect();
    let mut first: Vec<&ComparedCell> = first.to_vec();
    first.sort_by_key(|cell| order.iter().position(|label| *label == cell.label));
    let lines: Vec<MatrixRow> = (first.iter())
        .map(|cell| {
            let condition = Point::read(&cell.cell).without(&FAULT).values();
            MatrixRow {
                label: if condition.is_empty() { cell.label.clone() } else { format!("{}, {condition}", cell.label) },
                system: cell.system.clone(),
                entries: shown.iter().map(|((_, metric), at)| entry(cell, metric, *at)).collect(),
            }
        })
        .collect();
    let head: Vec<String> = shown.iter().map(|((name, _), _)| (*name).to_owned()).collect();
    matrix::draw(figure, &head, &lines, top)
}

/// A value, or in a word why there is none.
fn words(cell: Option<&ComparedCell>) -> MatrixEntry {
    let without = |text: &str| MatrixEntry { text: text.to_owned(), ..MatrixEntry::default() };
    match cell {
        Some(cell) if cell.value.is_none() && cell.metric.starts_with("fault.") => match cell.kind {
            Kind::Cannot => without("nothing promised"),
            _ if cell.text.contains("not measured") => without("not measured"),
            _ if cell.text.contains("invalid") => without("invalid"),
            _ => without("not seen"),
        },
        cell => matrix::entry(cell),
    }
}

/// `kill of the leader, 1 copy, for good`.
fn fault(at: &str) -> String {
    let get = |key: &str| Point::read(at).get(key).unwrap_or_default();
    let whom = match get("target") {
        "all" => "every node".to_owned(),
        "node" => "a node".to_owned(),
        other => format!("the {other}"),
    };
    let kind = if get("fault") == "power-loss" { "power-loss (simulated)" } else { get("fault") };
    let copies = if get("copies") == "1" { "1 copy".to_owned() } else { format!("{} copies", get("copies")) };
    let for_good = if get("for") == "never" { ", for good" } else { "" };
    format!("{kind} of {whom}, {copies}{for_good}")
}
