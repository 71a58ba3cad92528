//! For fuzzing: everything that is drawn or written from a result, without its files.
//!
//! What cannot be drawn may end in an error, never in a panic.

use super::{chart, faults, figures, group, html, observed, text};
use crate::result::{Comparison, Summary, WindowRow};
use std::path::Path;

pub fn summary(summary: &Summary) {
    for (_, figure) in figures(summary, &[]).unwrap_or_default() {
        let _ = figure.svg();
    }
    let _ = (observed::observations(summary, 80), faults::fault_costs(&group::groups(summary)));
}

pub fn windows(windows: Vec<WindowRow>) {
    let record = crate::result::CellRecord::empty();
    let panels = [chart::series::SecondsPanel { record: &record, windows }];
    let (struck, rates) =
        (chart::faults::draw("base", &panels), chart::rates::draw("base", &panels));
    for figure in struck.into_iter().chain(rates) {
        let _ = figure.svg();
    }
}

pub fn comparison(comparison: &Comparison) {
    let _ = html::comparison(comparison, &|_| false);
    let _ = chart::overview::draw(comparison).svg();
    let _ = text::csv(comparison, Path::new("comparison.csv"));
    let _ = (text::markdown(comparison), text::terminal(comparison, 80));
}
