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

/// What each label has in each column.
pub struct Matrix<'a> {
    pub head: Vec<&'a str>,
    pub lines: Vec<MatrixRow>,
}

const STEP: f64 = 15.0;
const GAP: f64 = 12.0;
/// The least that labels leave to columns that need it, and the most that one text claims.
const LABELS: f64 = 110.0;
const MOST: f64 = 140.0;
const WANTED: f64 = 300.0;
/// As wide as `212k msg/s`.
const SHORT: f64 = 70.0;

impl Matrix<'_> {
    pub fn draw(&self, figure: &mut Figure, top: f64) -> f64 {
        let (labels, places) = self.places(figure);
        let heads: Vec<Vec<String>> = (self.head.iter().zip(&places))
            .map(|(text, (left, right))| letters::wrap(text, SMALL, true, right - left))
            .collect();
        let deepest = heads.iter().map(Vec::len).max().unwrap_or(1) as f64;
        for (texts, (left, _)) in heads.iter().zip(&places) {
            // Heads stand on the line below them.
            let from = top + 4.0 + STEP * (deepest - texts.len() as f64);
            for (row, text) in texts.iter().enumerate() {
                let at = (*left, from + STEP * row as f64);
                figure.bold(at, text, SMALL, MUTED, Align::Left);
            }
        }
        let mut y = top + 2.0 + STEP * deepest;
        for line in &self.lines {
            ground(figure, y - 4.0);
            y = line.draw(figure, labels, &places, y);
        }
        ground(figure, y - 4.0);
        y + 6.0
    }

    pub fn least_width(&self) -> f64 {
        2.0 * MARGIN + self.widest_label().min(LABELS) + self.columns_in_two()
    }

    /// The columns, where most texts stand on two lines.
    fn columns_in_two(&self) -> f64 {
        let columns = self.each(in_two, |text| in_two(text).max(least(text)));
        columns.iter().map(|column| column + GAP).sum::<f64>() + GAP
    }

    fn widest_label(&self) -> f64 {
        let label = |line: &MatrixRow| letters::width(&line.label, SMALL, false) + 1.0;
        self.lines.iter().map(label).fold(0.0, f64::max)
    }

    /// What each column takes by a measure of its head and one of its entries.
    fn each(&self, head: impl Fn(&str) -> f64, entry: impl Fn(&str) -> f64) -> Vec<f64> {
        let widest = |at: usize| {
            let entries = self.lines.iter().filter_map(|line| line.entries.get(at));
            entries.map(|own| entry(&own.text)).fold(0.0, f64::max)
        };
        let columns = self.head.iter().enumerate();
        columns.map(|(at, text)| head(text).max(widest(at)) + 1.0).collect()
    }

    /// The room of the labels, and from where to where each column reaches: what it needs for its
    /// longest word, then what it wants for texts on one line, then an equal part of the rest.
    fn places(&self, figure: &Figure) -> (f64, Vec<(f64, f64)>) {
        let needs = self.each(least_head, least);
        let wants = self.each(in_two, |text| letters::width(text, SMALL, false).min(WANTED));
        let [need, want] = [&needs, &wants].map(|all| all.iter().sum::<f64>());
        let gaps = GAP * self.head.len() as f64;
        let left = (figure.room() - self.columns_in_two()).max(LABELS);
        let labels = self.widest_label().min(figure.room() * 0.32).min(left);
        let room = figure.room() - labels - GAP - gaps;
        let share = ((room - need) / (want - need).max(1.0)).clamp(0.0, 1.0);
        let rest = (room - want).max(0.0) / self.head.len().max(1) as f64;
        let scale = (room / need.max(1.0)).min(1.0);
        let mut from = MARGIN + labels + GAP;
        let place = |(need, want): (&f64, &f64)| {
            let to = from + need * scale + (want - need).max(0.0) * share + rest;
            let place = (from, to);
            from = to + GAP;
            place
        };
        (labels, needs.iter().zip(&wants).map(place).collect())
    }
}

impl MatrixRow {
    fn draw(&self, figure: &mut Figure, labels: f64, places: &[(f64, f64)], y: f64) -> f64 {
        let entries = || self.entries.iter().zip(places);
        let texts: Vec<Vec<String>> = entries()
            .map(|(entry, (left, right))| letters::wrap(&entry.text, SMALL, false, right - left))
            .collect();
        let label = letters::wrap(&self.label, SMALL, false, labels);
        figure.lines((MARGIN, y + 6.0), STEP, &label, SMALL, INK);
        let bars = self.entries.iter().any(|entry| entry.share.is_some());
        let deepest = texts.iter().map(Vec::len).max().unwrap_or(1) as f64;
        let color = palette::of(&self.system).color;
        for ((entry, &(left, right)), texts) in entries().zip(&texts) {
            let ink = if entry.known { INK } else { MUTED };
            figure.lines((left, y + 6.0), STEP, texts, SMALL, ink);
            if let Some(share) = entry.share {
                let (bar, wide) = (y + 4.0 + STEP * deepest, (right - left).min(64.0));
                figure.line(vec![(left, bar), (left + wide, bar)], GRID, 4.0, &[]);
                if share > 0.0 {
                    let end = left + wide * share.clamp(0.02, 1.0);
                    figure.line(vec![(left, bar), (end, bar)], color, 4.0, &[]);
                }
            }
        }
        let below = if bars { 13.0 } else { 7.0 };
        y + (STEP * deepest + below).max(STEP * label.len() as f64 + 7.0)
    }
}

fn least_head(text: &str) -> f64 {
    letters::widest_piece(text, SMALL, true).min(MOST)
}

/// What is short stays on one line.
fn least(text: &str) -> f64 {
    match letters::width(text, SMALL, false) {
        short if short <= SHORT => short,
        _ => letters::widest_piece(text, SMALL, false).min(MOST),
    }
}

fn in_two(text: &str) -> f64 {
    let half = letters::width(text, SMALL, true) / 2.0 + GAP;
    half.min(MOST).max(least_head(text))
}

fn ground(figure: &mut Figure, y: f64) {
    figure.line(vec![(MARGIN, y), (figure.width - MARGIN, y)], GRID, 1.0, &[]);
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
    let matrix = Matrix { head, lines };
    figure.width = figure.width.max(matrix.least_width());
    figure.notes.push(note.to_owned());
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
            figure.notes.push(format!("{label} cannot ({}): {reason}.", names.join(", ")));
        }
    }
    matrix.draw(figure, top)
}
