//! A panel for each claim in the form that suits it, drawn for each width of screen.
//!
//! A page sets title, verdict and sentences around it: a panel is the picture alone.

mod curves;
mod dots;
mod dumbbells;
mod faults;
pub mod matrix;
mod requests;
mod sizes;

use super::canvas::Figure;
use crate::claims::{self, Drawing};
use crate::model::System;
use crate::report::cells::Cells;
use crate::report::group::blocks;
use crate::report::headline::lines;
use crate::report::marks;
use crate::report::provenance::{self, marked_title};
use crate::report::table::DataTable;
use crate::result::words::grouped;
use crate::result::{Claim, Comparison, RunInfo};
use itertools::Itertools;

/// Of a phone, of a tablet or paper, of a desk. A panel that needs more to say it whole takes it.
pub const WIDTHS: [f64; 3] = [376.0, 700.0, 1120.0];

/// One claim, for each width.
pub type Panels = [Figure; WIDTHS.len()];

/// `None` where there is nothing to draw.
pub fn panels(comparison: &Comparison) -> Vec<Option<Panels>> {
    let titled = comparison.claims.iter().map(|claim| titled(claim, &comparison.runs));
    titled.map(|claim| of_claim(&claim, &comparison.runs)).collect()
}

/// With labels by the titles that their scenarios give them.
fn titled(claim: &Claim, runs: &[RunInfo]) -> Claim {
    let mut claim = claim.clone();
    for cell in &mut claim.cells {
        let title = provenance::run_of(cell, runs).and_then(|run| run.titles.get(&cell.label));
        if let Some(title) = title.cloned() {
            cell.label = title;
        }
    }
    claim
}

fn of_claim(claim: &Claim, runs: &[RunInfo]) -> Option<Panels> {
    let cells = Cells::of(claim, runs);
    let drawing = claims::drawing(&claim.id).filter(|_| cells.any())?;
    let marks = marks::meaning(cells.all.iter().copied());
    let caption = [sample(&cells), from(claim, runs)].into_iter().chain(marks);
    let caption = caption.chain(filled(drawing, &cells));
    let caption = caption.filter(|text| !text.is_empty()).join(" ");
    let title = format!("{}: {}", marked_title(claim, runs), claim.verdict);
    let row = |system: &str| vec![system.to_owned(), lines(&cells, system).join("; ")];
    let data = DataTable::new(["system", "figures"], System::NAMES.map(row).into());
    Some(WIDTHS.map(|width| {
        let mut figure = Figure::new(width, title.clone(), caption.clone());
        figure.height = draw_as(drawing, &mut figure, &cells, 8.0) + 6.0;
        figure.data = data.clone();
        figure
    }))
}

/// What a filled mark is, where the picture has no legend that says it.
fn filled(drawing: &Drawing, cells: &Cells<'_>) -> Option<String> {
    let plain = matches!(
        drawing,
        Drawing::Dots { .. } | Drawing::Quantiles { .. } | Drawing::Requests | Drawing::Dumbbells
    );
    let variants = cells.labels().iter().any(|(label, system)| label != system);
    let text = "Large marks are filled for a system's plain label, hollow for its variants.";
    (plain && variants).then(|| text.to_owned())
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

/// Notes what could not be done, a sentence for each label.
fn absences(figure: &mut Figure, cells: &Cells<'_>) {
    let absent = |(label, _): (&str, &str)| Some(format!("{label}: {}.", cells.absent(label)?));
    figure.notes.extend(cells.labels().into_iter().filter_map(absent));
}
