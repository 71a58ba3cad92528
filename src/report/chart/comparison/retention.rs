//! System × way of reading again, with the share that was readable in words; how fast a backlog is read.

use super::super::canvas::{Figure, MUTED};
use super::matrix::{self, Line};
use super::{MARGIN, SMALL};
use crate::report::cells::Cells;
use crate::result::{ComparedCell, Kind};

const COLUMNS: [(&str, &str); 8] = [
    ("late joiner", "share.late_joiner"),
    ("second reader", "share.second_reader"),
    ("re-read", "share.reread"),
    ("seek by time", "share.seek"),
    ("after restart", "share.restart"),
    ("limit reached", "share.limit"),
    ("replay rate", "replay.rate"),
    ("backlog read in", "drain.time"),
];

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let shown: Vec<_> = COLUMNS.iter().filter(|(_, metric)| !cells.metric(metric).is_empty()).collect();
    let head: Vec<String> = shown.iter().map(|(name, _)| (*name).to_owned()).collect();
    let lines: Vec<Line> = (cells.labels().into_iter())
        .map(|(label, system)| Line {
            label: label.to_owned(),
            system: system.to_owned(),
            entries: shown.iter().map(|(_, metric)| matrix::entry(cells.find(label, metric, &[]))).collect(),
        })
        .collect();
    let mut y = matrix::draw(figure, &head, &lines, top + 4.0);
    let room = figure.width - 2.0 * MARGIN;
    let text = "Share of messages that could be read; limit reached: after retention has cut.";
    y = figure.wrapped((MARGIN, y + 4.0), text, SMALL, MUTED, room, false);
    // One line for each label and reason, with the columns that it speaks for.
    for (label, _) in cells.labels() {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, metric) in &shown {
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
