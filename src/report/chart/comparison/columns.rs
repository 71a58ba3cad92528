//! A table in the panel: a line for each system, a column for each metric; below it why a system cannot.

use super::super::canvas::{Figure, MUTED};
use super::matrix::{self, MatrixRow};
use super::{MARGIN, SMALL};
use crate::claims::Worded;
use crate::report::cells::Cells;
use crate::result::{ComparedCell, Kind};

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, (columns, note): (&[Worded], &str), top: f64) -> f64 {
    let shown: Vec<_> = columns.iter().filter(|column| !cells.metric(&column.metric).is_empty()).collect();
    let head: Vec<String> = shown.iter().map(|column| column.words.clone()).collect();
    let lines: Vec<MatrixRow> = (cells.labels().into_iter())
        .map(|(label, system)| MatrixRow {
            label: label.to_owned(),
            system: system.to_owned(),
            entries: shown.iter().map(|column| matrix::entry(cells.find(label, &column.metric, &[]))).collect(),
        })
        .collect();
    let mut y = matrix::draw(figure, &head, &lines, top + 4.0);
    let room = figure.width - 2.0 * MARGIN;
    y = figure.wrapped((MARGIN, y + 4.0), note, SMALL, MUTED, room, false);
    // One line for each label and reason, with the columns that it speaks for.
    for (label, _) in cells.labels() {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for Worded { metric, words: name } in shown.iter().copied() {
            let unable = |cell: &&ComparedCell| cell.kind == Kind::Cannot && !cell.text.is_empty();
            let Some(cell) = cells.of_label(label, metric).into_iter().find(unable) else { continue };
            match reasons.iter_mut().find(|(reason, _)| *reason == cell.text) {
                Some((_, names)) => names.push(name),
                None => reasons.push((&cell.text, vec![name])),
            }
        }
        for (reason, names) in reasons {
            let text = format!("{label} cannot ({}): {reason}.", names.join(", "));
            y = figure.wrapped((MARGIN, y), &text, SMALL, MUTED, room, false);
        }
    }
    y
}
