//! The comparison table as one figure: a panel for each claim in the form that suits it, its
//! verdict in words above.
//!
//! Panels are figures of their own: a page shows each beside its numbers,
//! the picture shows them all.

mod curves;
mod dots;
mod dumbbells;
mod faults;
pub mod matrix;
mod requests;
mod sizes;

use super::canvas::{Align, Figure, GRID, INK, MARGIN, MUTED};
use crate::claims::{self, Drawing};
use crate::model::System;
use crate::report::cells::Cells;
use crate::report::group::blocks;
use crate::report::headline::lines;
use crate::report::marks;
use crate::report::provenance::{self, marked_title};
use crate::report::table::DataTable;
use crate::result::words::grouped;
use crate::result::{Claim, Comparison, RunInfo, Verdict};
use itertools::Itertools;

const WIDTH: f64 = 600.0;

pub fn panels(comparison: &Comparison) -> Vec<Figure> {
    comparison.claims.iter().map(|claim| panel(claim, &comparison.runs)).collect()
}

pub fn draw(comparison: &Comparison, panels: &[Figure]) -> Figure {
    let verdict =
        |claim: &Claim| format!("{}: {}", marked_title(claim, &comparison.runs), claim.verdict);
    let versions = provenance::software(&comparison.runs);
    let days = comparison
        .runs
        .iter()
        .filter_map(|run| run.started_at.get(..10))
        .sorted()
        .dedup()
        .join(", ");
    let caption = format!(
        "Profile {}; {}; {}. {} Filled marks: a system's plain label; hollow: variants, unless a \
        panel says otherwise.",
        comparison.profile,
        if versions.is_empty() { "nothing measured" } else { &versions },
        if days.is_empty() { "no runs" } else { &days },
        provenance::notes(comparison).join(" "),
    );
    let mut figure =
        Figure::new(2.0 * WIDTH, comparison.claims.iter().map(verdict).join(" · "), caption);
    let title = "Kafka against Redis Pub/Sub, Streams and Lists, claim by claim";
    let top = figure.wrapped((MARGIN, 28.0), title, 18.0, INK, figure.room(), true) - 2.0;
    // Each panel goes to the column that ends higher: in the table's order, with little left empty.
    let mut ends = [top, top];
    for panel in panels {
        let column = usize::from(ends[1] < ends[0]);
        let (left, y) = (WIDTH * column as f64, ends[column]);
        figure.line(vec![(left + MARGIN, y), (left + WIDTH - MARGIN, y)], GRID, 1.5, &[]);
        figure.place(panel, (left, y));
        ends[column] = y + panel.height + 6.0;
    }
    let y = ends[0].max(ends[1]);
    figure.line(vec![(MARGIN, y), (figure.width - MARGIN, y)], GRID, 1.5, &[]);
    figure.height = figure.note(y + 16.0, &figure.caption.clone());
    figure
}

fn panel(claim: &Claim, runs: &[RunInfo]) -> Figure {
    let cells = Cells::of(claim, runs);
    let title = marked_title(claim, runs);
    let marks = marks::meaning(cells.all.iter().copied());
    let caption = [sample(&cells), from(claim, runs)].into_iter().chain(marks);
    let caption = caption.filter(|text| !text.is_empty()).join(" ");
    let mut figure = Figure::new(WIDTH, format!("{title}: {}", claim.verdict), caption);
    figure.bold((MARGIN, 20.0), &title, 15.0, INK, Align::Left);
    let claimed =
        format!("Claimed of Kafka: {}. Of Redis: {}.", claim.kafka_claim, claim.redis_claim);
    let mut y = figure.note(40.0, &claimed);
    y = figure.wrapped(
        (MARGIN, y + 3.0),
        &format!("Verdict: {}", claim.verdict),
        12.5,
        INK,
        figure.room(),
        true,
    );
    if cells.any() {
        y = claims::drawing(&claim.id)
            .map_or(y, |drawing| draw_as(drawing, &mut figure, &cells, y));
        y = figure.note(y + 6.0, &figure.caption.clone());
    } else if claim.answer != Verdict::NotMeasured {
        figure.text((MARGIN, y + 6.0), "not measured", 12.5, MUTED, Align::Left);
        y += 22.0;
    }
    figure.height = y + 2.0;
    let row = |system: &str| vec![system.to_owned(), lines(&cells, system).join("; ")];
    figure.data = DataTable::new(["system", "figures"], System::NAMES.map(row).into());
    figure
}

/// Draws the cells in the form that the claim's data ask for; returns where it ends.
fn draw_as(drawing: &Drawing, figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    match drawing {
        Drawing::Dots { of, axis, bracket } => {
            dots::draw(figure, cells, (of, axis, bracket.as_ref()), top)
        }
        Drawing::Quantiles { of } => dots::quantiles(figure, cells, of, top),
        Drawing::Columns { of, note } => matrix::columns(figure, cells, (of, note), top),
        Drawing::Sizes => sizes::draw(figure, cells, top),
        Drawing::Requests => requests::draw(figure, cells, top),
        Drawing::Dumbbells => dumbbells::draw(figure, cells, top),
        Drawing::Curves => curves::draw(figure, cells, top),
        Drawing::Faults => faults::draw(figure, cells, top),
    }
}

fn sample(cells: &Cells<'_>) -> String {
    let shown = || cells.all.iter().filter(|cell| cell.value.is_some());
    let counts = shown().map(|cell| cell.blocks).minmax().into_option();
    let Some((fewest, most)) = counts else { return "No figure was measured.".to_owned() };
    // What is counted differs: the least of each.
    let counted = shown().filter(|cell| cell.n > 0).into_group_map_by(|cell| &cell.n_unit);
    let least = counted.into_iter().sorted_by_key(|(unit, _)| *unit);
    let mut least = least.filter_map(|(unit, cells)| {
        let least = grouped(cells.iter().map(|cell| cell.n).min()?);
        Some(format!("n ≥ {least} {unit}").trim_end().to_owned())
    });
    let least = least.join(", ");
    let repeated = if fewest == most {
        blocks(most as usize)
    } else {
        format!("{fewest} to {}", blocks(most as usize))
    };
    match least.is_empty() {
        false => format!("{repeated}; behind each figure {least}."),
        true => format!("{repeated}."),
    }
}

/// `Scenarios: latency (invalid), latency-copies.`
fn from(claim: &Claim, runs: &[RunInfo]) -> String {
    match provenance::scenarios(claim, runs) {
        none if none.is_empty() => none,
        named => format!("Scenarios: {named}."),
    }
}

/// What could not be done, a line for each label; returns where the next line would stand.
fn absences(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let mut y = top;
    for (label, _) in cells.labels() {
        if let Some(reason) = cells.absent(label) {
            y = figure.note(y, &format!("{label}: {reason}."));
        }
    }
    y
}
