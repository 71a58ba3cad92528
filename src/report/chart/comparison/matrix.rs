//! A small table inside a panel: rows of labels, columns of figures in words, a bar under a share.

use super::super::canvas::{Align, Figure, GRID, INK, MARGIN, MUTED, SMALL};
use super::super::{letters, palette};
use crate::claims::Worded;
use crate::model::Unit;
use crate::report::cells::{Cells, brief};
use crate::report::group::known_or_new;
use crate::report::quantity;
use crate::result::words::told;
use crate::result::{ComparedCell, Kind};

pub struct MatrixEntry {
    pub text: String,
    /// From 0 to 1: drawn as a bar below the text.
    pub share: Option<f64>,
    /// A value, not a reason for having none.
    pub known: bool,
}

impl MatrixEntry {
    pub fn reason(text: impl Into<String>) -> Self {
        Self { text: text.into(), share: None, known: false }
    }
}

pub struct MatrixRow {
    pub label: String,
    pub system: String,
    pub entries: Vec<MatrixEntry>,
}

const LABEL: f64 = 11.5;
const TEXT: f64 = 10.5;
const STEP: f64 = 12.5;
const GAP: f64 = 8.0;
/// Lines of an entry: as many as the parts of a restart take in a narrow column.
const DEEPEST: usize = 8;

pub fn draw(figure: &mut Figure, head: &[&str], lines: &[MatrixRow], top: f64) -> f64 {
    let widest =
        lines.iter().map(|line| letters::width(&line.label, LABEL, false)).fold(0.0, f64::max);
    let labels = widest.min(figure.room() * 0.32);
    let first = MARGIN + labels + 14.0;
    let places = places(head, lines, first, figure.width - MARGIN);
    let heads: Vec<Vec<String>> = head
        .iter()
        .zip(&places)
        .map(|(text, (left, right))| letters::wrap(text, SMALL, true, right - left))
        .collect();
    let deepest = heads.iter().map(Vec::len).max().unwrap_or(1) as f64;
    for (texts, (left, _)) in heads.iter().zip(&places) {
        // Heads stand on the line below them.
        let from = top + 4.0 + 14.0 * (deepest - texts.len() as f64);
        for (row, text) in texts.iter().enumerate() {
            figure.bold((*left, from + 14.0 * row as f64), text, SMALL, MUTED, Align::Left);
        }
    }
    let mut y = top + 4.0 + 14.0 * deepest;
    for line in lines {
        figure.line(vec![(MARGIN, y - 4.0), (figure.width - MARGIN, y - 4.0)], GRID, 1.0, &[]);
        let texts: Vec<Vec<String>> = line
            .entries
            .iter()
            .zip(&places)
            .map(|(entry, (left, right))| {
                letters::wrap_to(&entry.text, TEXT, false, right - left, DEEPEST)
            })
            .collect();
        let bars = line.entries.iter().any(|entry| entry.share.is_some());
        let deepest = texts.iter().map(Vec::len).max().unwrap_or(1) as f64;
        let height = STEP * deepest + if bars { 13.0 } else { 7.0 };
        let color = palette::of(&line.system).color;
        let label = letters::fit(&line.label, LABEL, false, labels + 1.0);
        figure.text((MARGIN, y + 6.0), label, LABEL, INK, Align::Left);
        for ((entry, texts), &(left, right)) in line.entries.iter().zip(&texts).zip(&places) {
            let ink = if entry.known { INK } else { MUTED };
            figure.lines((left, y + 6.0), STEP, texts, TEXT, ink);
            if let Some(share) = entry.share {
                let (bar, wide) = (y + 6.0 + STEP * deepest - 2.0, (right - left).min(64.0));
                figure.line(vec![(left, bar), (left + wide, bar)], GRID, 4.0, &[]);
                if share > 0.0 {
                    let end = left + wide * share.clamp(0.02, 1.0);
                    figure.line(vec![(left, bar), (end, bar)], color, 4.0, &[]);
                }
            }
        }
        y += height;
    }
    figure.line(vec![(MARGIN, y - 4.0), (figure.width - MARGIN, y - 4.0)], GRID, 1.0, &[]);
    y + 6.0
}

/// From where to where each column reaches: as wide as its longest word or text needs, and an equal
/// part of the rest.
fn places(head: &[&str], lines: &[MatrixRow], from: f64, to: f64) -> Vec<(f64, f64)> {
    let word = |text: &str| {
        text.split(' ').map(|word| letters::width(word, SMALL, true)).fold(0.0, f64::max)
    };
    let needs: Vec<f64> = (head.iter().enumerate())
        .map(|(at, text)| {
            let entries = lines.iter().filter_map(|line| line.entries.get(at));
            let widest =
                entries.map(|entry| letters::width(&entry.text, TEXT, false)).fold(0.0, f64::max);
            word(text).max(widest.min(70.0)) + 1.0
        })
        .collect();
    let count = head.len().max(1) as f64;
    let total: f64 = needs.iter().sum();
    let room = to - from - GAP * count;
    let (scale, rest) =
        if total > room { (room / total, 0.0) } else { (1.0, (room - total) / count) };
    let mut left = from;
    let place = |need: &f64| {
        let right = left + need * scale + rest;
        let place = (left, right);
        left = right + GAP;
        place
    };
    needs.iter().map(place).collect()
}

/// The entry of a cell: its value in words, or why there is none.
pub fn entry(cell: Option<&ComparedCell>) -> MatrixEntry {
    let Some(cell) = cell else { return MatrixEntry::reason("–") };
    let Some(one) = cell.told() else { return MatrixEntry::reason(brief(cell)) };
    let share = cell.value.filter(|_| cell.unit == Unit::Share.name());
    MatrixEntry { text: told(one, |value| quantity::words(value, &cell.unit)), share, known: true }
}

/// A matrix of a line for each label and a column for each metric; below it why a label cannot.
pub fn columns(
    figure: &mut Figure,
    cells: &Cells<'_>,
    (columns, note): (&[Worded], &str),
    top: f64,
) -> f64 {
    let shown: Vec<_> =
        columns.iter().filter(|column| !cells.metric(&column.metric).is_empty()).collect();
    let head: Vec<&str> = shown.iter().map(|column| column.words.as_str()).collect();
    let lines: Vec<MatrixRow> = (cells.labels().into_iter())
        .map(|(label, system)| MatrixRow {
            label: label.to_owned(),
            system: system.to_owned(),
            entries: shown
                .iter()
                .map(|column| entry(cells.find(label, &column.metric, &[])))
                .collect(),
        })
        .collect();
    let mut y = draw(figure, &head, &lines, top + 4.0);
    y = figure.note(y + 4.0, note);
    // One line for each label and reason, with the columns that it speaks for.
    for (label, _) in cells.labels() {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for Worded { metric, words: name } in shown.iter().copied() {
            let unable = |cell: &&ComparedCell| cell.kind == Kind::Cannot && !cell.text.is_empty();
            let Some(cell) = cells.of_label(label, metric).into_iter().find(unable) else {
                continue;
            };
            let new = || (cell.text.as_str(), Vec::new());
            known_or_new(&mut reasons, |(reason, _)| *reason == cell.text, new).1.push(name);
        }
        for (reason, names) in reasons {
            y = figure.note(y, &format!("{label} cannot ({}): {reason}.", names.join(", ")));
        }
    }
    y
}
