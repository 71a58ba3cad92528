//! Rows of marks on one or two horizontal axes side by side, in groups: throughput with intervals,
//! quantiles of latency.

use super::axis::Scale;
use super::canvas::{Align, Figure, GRID, INK, MARGIN, MUTED, SMALL as TEXT};
use super::{letters, palette};
use crate::report::group::known_or_new;
use crate::result::LatencyValue;
use crate::result::words::{TimeUnit, or_dash};

/// One label's marks on one axis.
#[derive(Clone, Default)]
pub struct Marks {
    /// The main value, drawn large.
    pub value: Option<f64>,
    /// Further values, drawn small and hollow.
    pub others: Vec<f64>,
    /// A line behind the marks: an interval, or from the lowest to the highest quantile.
    pub bar: Option<(f64, f64)>,
    /// At the right end of the axis; says why when there is no value.
    pub text: String,
}

pub struct Row {
    pub label: String,
    pub system: String,
    /// One for each axis.
    pub marks: Vec<Marks>,
}

pub struct Block {
    /// Empty for none.
    pub header: String,
    pub rows: Vec<Row>,
}

pub struct Axis<'a> {
    pub name: String,
    pub log: bool,
    pub tick: &'a dyn Fn(f64) -> String,
}

/// Puts a row of one axis into the block with this header, the last one if there is none.
pub fn push(blocks: &mut Vec<Block>, header: String, (label, system): (&str, &str), marks: Marks) {
    let row = Row { label: label.to_owned(), system: system.to_owned(), marks: vec![marks] };
    let same = |block: &Block| block.header == header;
    let new = || Block { header: header.clone(), rows: Vec::new() };
    known_or_new(blocks, same, new).rows.push(row);
}

impl Marks {
    /// p50, p99 and p99.9 of a latency; `without` says why there is none.
    pub fn quantiles(
        unit: TimeUnit,
        values: [Option<LatencyValue>; 3],
        without: impl FnOnce() -> String,
    ) -> Self {
        let exact = values.map(|value| value.and_then(LatencyValue::exact));
        let known: Vec<f64> = exact.into_iter().flatten().collect();
        let words = |value: LatencyValue| value.words(|ns| unit.of(ns));
        let texts = values.map(|value| or_dash(value, words));
        Self {
            value: exact[1],
            others: [exact[0], exact[2]].into_iter().flatten().collect(),
            bar: known.first().copied().zip(known.last().copied()),
            text: if values.iter().all(Option::is_none) {
                without()
            } else {
                format!("{} {}", texts.join(" · "), unit.name())
            },
        }
    }
}

const HEADER: f64 = 20.0;
const LABEL: f64 = 11.5;
const LINE: f64 = 13.5;
const GAP: f64 = 10.0;

/// Draws the blocks from `top` down and returns where the axis' own name ends.
pub fn draw(figure: &mut Figure, blocks: &[Block], axes: &[Axis<'_>], top: f64) -> f64 {
    let rows = || blocks.iter().flat_map(|block| &block.rows);
    let widest =
        |texts: &mut dyn Iterator<Item = f64>, most: f64| texts.fold(0.0, f64::max).min(most);
    let labels = widest(
        &mut rows().map(|row| letters::width(&row.label, LABEL, false)),
        figure.width * 0.26,
    );
    let share = (figure.room() - labels - GAP) / axes.len().max(1) as f64;
    let marks = |row: &Row, at: usize| row.marks.get(at).cloned().unwrap_or_default();
    // Each axis: from, to, and the room of the texts behind it.
    let places: Vec<(f64, f64, f64)> = (0..axes.len())
        .map(|at| {
            let text = widest(
                &mut rows().map(|row| letters::width(&marks(row, at).text, TEXT, false) + 1.0),
                share * 0.46,
            );
            let from = MARGIN + labels + GAP + share * at as f64;
            let gap = if text > 0.0 { GAP } else { 0.0 };
            (from, from + share - text - gap - if at + 1 < axes.len() { GAP } else { 0.0 }, text)
        })
        .collect();
    let scales: Vec<Scale> = (axes.iter().zip(&places).enumerate())
        .map(|(at, (axis, (from, to, _)))| {
            let values = rows().flat_map(|row| {
                let marks = marks(row, at);
                let ends = marks.bar.into_iter().flat_map(|(low, high)| [low, high]);
                marks.others.iter().copied().chain(marks.value).chain(ends).collect::<Vec<_>>()
            });
            match axis.log {
                true => Scale::log(values, *from + 6.0, *to - 6.0),
                false => Scale::linear(values.fold(0.0, f64::max), *from + 6.0, *to - 6.0),
            }
        })
        .collect();
    let mut y = top;
    for block in blocks {
        figure.line(vec![(MARGIN, y), (figure.width - MARGIN, y)], GRID, 1.0, &[]);
        if !block.header.is_empty() {
            let header = letters::fit(&block.header, TEXT, true, figure.room());
            figure.bold((MARGIN, y + HEADER / 2.0 + 1.0), header, TEXT, MUTED, Align::Left);
            y += HEADER;
        }
        for row in &block.rows {
            let texts: Vec<Vec<String>> = (places.iter().enumerate())
                .map(|(at, (.., room))| {
                    letters::wrap_to(&marks(row, at).text, TEXT, false, *room, 3)
                })
                .collect();
            let lines = texts.iter().map(Vec::len).max().unwrap_or(1);
            let height = LINE * lines as f64 + 5.0;
            let middle = y + height / 2.0;
            scales.iter().for_each(|scale| scale.draw_grid(figure, y, y + height));
            let label = letters::fit(&row.label, LABEL, false, labels + 1.0);
            figure.text((MARGIN + labels, middle), label, LABEL, INK, Align::Right);
            for (at, (scale, (_, to, _))) in scales.iter().zip(&places).enumerate() {
                let marks = marks(row, at);
                draw_marks(figure, row, &marks, scale, middle);
                let color = if marks.value.is_some() || marks.bar.is_some() { INK } else { MUTED };
                let first = middle - LINE * (texts[at].len() as f64 - 1.0) / 2.0;
                figure.lines((to + GAP, first), LINE, &texts[at], TEXT, color);
            }
            y += height;
        }
    }
    let mut end = y;
    for (axis, (scale, (from, to, text))) in axes.iter().zip(scales.iter().zip(&places)) {
        scale.draw_labels(figure, y, axis.tick);
        end = end.max(figure.centred(
            ((from + to) / 2.0, y + 27.0),
            &axis.name,
            TEXT,
            MUTED,
            to - from + text.min(60.0),
        ));
    }
    end
}

fn draw_marks(figure: &mut Figure, row: &Row, marks: &Marks, scale: &Scale, y: f64) {
    let look = palette::of(&row.system);
    if let Some((low, high)) = marks.bar {
        figure.line(vec![(scale.at(low), y), (scale.at(high), y)], look.color, 2.0, &[]);
    }
    for other in &marks.others {
        figure.marker((scale.at(*other), y), look.marker, 3.0, look.color, false);
    }
    if let Some(value) = marks.value {
        figure.marker(
            (scale.at(value), y),
            look.marker,
            5.0,
            look.color,
            palette::filled(&row.label, &row.system),
        );
    }
}
