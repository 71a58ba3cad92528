//! A table in the panel: a line for each system, a column for each metric; below it why a system cannot.

use super::super::canvas::Figure;
use super::matrix::{self, MatrixRow};
use crate::claims::Worded;
use crate::report::cells::Cells;
use crate::report::group::known_or_new;
use crate::result::{ComparedCell, Kind};

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, (columns, note): (&[Worded], &str), top: f64) -> f64 {
    let shown: Vec<_> = columns.iter().filter(|column| !cells.metric(&column.metric).is_empty()).collect();
    let head: Vec<&str> = shown.iter().map(|column| column.words.as_str()).collect();
    let lines: Vec<MatrixRow> = (cells.labels().into_iter())
        .map(|(label, system)| MatrixRow {
            label: label.to_owned(),
            system: system.to_owned(),
            entries: shown.iter().map(|column| matrix::entry(cells.find(label, &column.metric, &[]))).collect(),
        })
        .collect();
    let mut y = matrix::draw(figure, &head, &lines, top + 4.0);
    y = figure.note(y + 4.0, note);
    // One line for each label and reason, with the columns that it speaks for.
    for (label, _) in cells.labels() {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for Worded { metric, words: name } in shown.iter().copied() {
            let unable = |cell: &&ComparedCell| cell.kind == Kind::Cannot && !cell.text.is_empty();
            let Some(cell) = cells.of_label(label, metric).into_iter().find(unable) else { continue };
            let new = || (cell.text.as_str(), Vec::new());
            known_or_new(&mut reasons, |(reason, _)| *reason == cell.text, new).1.push(name);
        }
        for (reason, names) in reasons {
            y = figure.note(y, &format!("{label} cannot ({}): {reason}.", names.join(", ")));
        }
    }
    y
}
