//! Rows of marks on one or two horizontal axes, in groups: throughput with intervals, quantiles of
//! latency, sizes that were tried.
//!
//! Where there is room for it, names, axes and words stand side by side. Where there is not, each
//! axis has the whole width, and a row its words above its marks.

use super::axis::{Scale, better};
use super::canvas::{Align, Color, Figure, GRID, INK, MARGIN, MUTED, SMALL as TEXT};
use super::{letters, palette};
use crate::model::{Direction, Marker};
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
    /// What was tried step by step.
    pub tries: Vec<(f64, Went)>,
    /// A line behind the marks: an interval, or from the lowest to the highest quantile.
    pub bar: Option<(f64, f64)>,
    /// At the right end of the axis; says why when there is no value.
    pub text: String,
}

/// How a step went: filled, hollow with a core, hollow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Went {
    Well,
    Partly,
    Badly,
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
    /// As the registry says of its metric.
    pub better: Direction,
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
            ..Self::default()
        }
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let ends = self.bar.into_iter().flat_map(|(low, high)| [low, high]);
        let tried = self.tries.iter().map(|(value, _)| *value);
        self.others.iter().copied().chain(self.value).chain(ends).chain(tried)
    }

    fn drawn(&self) -> bool {
        self.values().next().is_some()
    }

    fn ink(&self) -> Color {
        if self.drawn() { INK } else { MUTED }
    }
}

impl Row {
    fn on(&self, axis: usize) -> Marks {
        self.marks.get(axis).cloned().unwrap_or_default()
    }
}

/// The least width at which everything stands side by side.
const WIDE: f64 = 700.0;
const HEADER: f64 = 20.0;
const LINE: f64 = 15.0;
const GAP: f64 = 10.0;
/// Half the height of the marks of a row that has them for itself.
const LANE: f64 = 9.0;

/// Draws the blocks from `top` down and returns where the names of the axes end.
pub fn draw(figure: &mut Figure, blocks: &[Block], axes: &[Axis<'_>], top: f64) -> f64 {
    if figure.width >= WIDE {
        return beside(figure, blocks, axes, top);
    }
    let mut y = top;
    for (at, axis) in axes.iter().enumerate() {
        y = stacked(figure, blocks, (at, axis), y);
    }
    y
}

/// One axis over the whole width, its ticks below all blocks.
fn stacked(figure: &mut Figure, blocks: &[Block], (at, axis): (usize, &Axis<'_>), top: f64) -> f64 {
    let sides = (MARGIN, figure.width - MARGIN);
    let scale = scale(axis, blocks, at, sides);
    let mut y = top;
    for block in blocks {
        y = header(figure, &block.header, y);
        for row in &block.rows {
            let marks = row.on(at);
            y = words_above(figure, &row.label, &marks, y + 10.0) - LINE / 2.0;
            if marks.drawn() {
                let middle = y + LANE;
                scale.draw_grid(figure, y, y + 2.0 * LANE);
                figure.line(vec![(sides.0, middle), (sides.1, middle)], GRID, 1.0, &[]);
                draw_marks(figure, row, &marks, &scale, middle);
                y += 2.0 * LANE;
            }
            y += 3.0;
        }
    }
    ends(figure, axis, &scale, sides, y)
}

/// The label and its words on one line if they have room there; returns where the next would stand.
fn words_above(figure: &mut Figure, label: &str, marks: &Marks, top: f64) -> f64 {
    let room = figure.room();
    let wide = letters::width(label, TEXT, false) + GAP + letters::width(&marks.text, TEXT, false);
    if wide <= room {
        figure.text((MARGIN, top), label, TEXT, INK, Align::Left);
        figure.text((MARGIN + room, top), &marks.text, TEXT, marks.ink(), Align::Right);
        return top + LINE;
    }
    let mut y = top;
    for (text, color) in [(label, INK), (marks.text.as_str(), marks.ink())] {
        let lines = letters::wrap(text, TEXT, false, room);
        figure.lines((MARGIN, y), LINE, &lines, TEXT, color);
        y += LINE * lines.len() as f64;
    }
    y
}

fn beside(figure: &mut Figure, blocks: &[Block], axes: &[Axis<'_>], top: f64) -> f64 {
    let columns = Columns::of(figure, blocks, axes.len());
    let scaled = |(at, axis): (usize, &Axis<'_>)| scale(axis, blocks, at, columns.axes[at].sides);
    let scales: Vec<Scale> = axes.iter().enumerate().map(scaled).collect();
    let mut y = top;
    for block in blocks {
        y = header(figure, &block.header, y);
        for row in &block.rows {
            y = row_beside(figure, row, &columns, &scales, y);
        }
    }
    let mut end = y;
    for ((axis, scale), column) in axes.iter().zip(&scales).zip(&columns.axes) {
        end = end.max(ends(figure, axis, scale, column.sides, y));
    }
    end
}

struct Columns {
    /// The room of the labels.
    labels: f64,
    axes: Vec<AxisColumn>,
}

/// From where to where an axis reaches, and the room of the words behind it.
struct AxisColumn {
    sides: (f64, f64),
    words: f64,
}

impl Columns {
    fn of(figure: &Figure, blocks: &[Block], axes: usize) -> Self {
        let widest = |of: &dyn Fn(&Row) -> f64, most: f64| {
            rows(blocks).map(of).fold(0.0, f64::max).min(most)
        };
        let label = |row: &Row| letters::width(&row.label, TEXT, false) + 1.0;
        let labels = widest(&label, figure.width * 0.26);
        let share = (figure.room() - labels - GAP) / axes.max(1) as f64;
        let axis = |at: usize| {
            let text = |row: &Row| letters::width(&row.on(at).text, TEXT, false) + 1.0;
            let words = widest(&text, share * 0.46);
            let from = MARGIN + labels + GAP + share * at as f64;
            let behind = if at + 1 < axes { GAP } else { 0.0 };
            AxisColumn { sides: (from, from + share - words - GAP - behind), words }
        };
        Self { labels, axes: (0..axes).map(axis).collect() }
    }
}

fn row_beside(
    figure: &mut Figure,
    row: &Row,
    columns: &Columns,
    scales: &[Scale],
    top: f64,
) -> f64 {
    let words = |(at, column): (usize, &AxisColumn)| {
        letters::wrap(&row.on(at).text, TEXT, false, column.words)
    };
    let words: Vec<Vec<String>> = columns.axes.iter().enumerate().map(words).collect();
    let label = letters::wrap(&row.label, TEXT, false, columns.labels);
    let most = words.iter().chain([&label]).map(Vec::len).max().unwrap_or(1);
    let height = LINE * most as f64 + 4.0;
    let middle = top + height / 2.0;
    let first = |lines: &[String]| middle - LINE * (lines.len() as f64 - 1.0) / 2.0;
    scales.iter().for_each(|scale| scale.draw_grid(figure, top, top + height));
    for (at, line) in label.iter().enumerate() {
        let place = (MARGIN + columns.labels, first(&label) + LINE * at as f64);
        figure.text(place, line, TEXT, INK, Align::Right);
    }
    for (at, (scale, column)) in scales.iter().zip(&columns.axes).enumerate() {
        let marks = row.on(at);
        draw_marks(figure, row, &marks, scale, middle);
        let place = (column.sides.1 + GAP, first(&words[at]));
        figure.lines(place, LINE, &words[at], TEXT, marks.ink());
    }
    top + height
}

fn rows(blocks: &[Block]) -> impl Iterator<Item = &Row> {
    blocks.iter().flat_map(|block| &block.rows)
}

fn scale(axis: &Axis<'_>, blocks: &[Block], at: usize, (from, to): (f64, f64)) -> Scale {
    let values = rows(blocks).filter_map(|row| row.marks.get(at)).flat_map(Marks::values);
    let (from, to) = (from + 6.0, to - 6.0);
    match axis.log {
        true => Scale::log(values, from, to),
        false => Scale::linear(values.fold(0.0, f64::max), from, to),
    }
}

/// A line above a block, and its header where it has one; returns where its rows begin.
fn header(figure: &mut Figure, text: &str, top: f64) -> f64 {
    figure.line(vec![(MARGIN, top), (figure.width - MARGIN, top)], GRID, 1.0, &[]);
    if text.is_empty() {
        return top;
    }
    let (at, room) = ((MARGIN, top + HEADER / 2.0 + 1.0), figure.room());
    figure.wrapped(at, text, TEXT, MUTED, room, true) - HEADER / 2.0 + 3.0
}

/// Below an axis its ticks, its name, and where it is better; returns where these end.
fn ends(
    figure: &mut Figure,
    axis: &Axis<'_>,
    scale: &Scale,
    (from, to): (f64, f64),
    y: f64,
) -> f64 {
    scale.draw_labels(figure, y, axis.tick);
    let (mark, mut below) = (better(axis.better), y + 28.0);
    if !mark.is_empty() {
        let (at, align) = match axis.better {
            Direction::Lower => (from, Align::Left),
            _ => (to, Align::Right),
        };
        figure.text((at, below), mark, TEXT, MUTED, align);
        let taken = 2.0 * (letters::width(mark, TEXT, false) + GAP);
        if letters::width(&axis.name, TEXT, false) + taken > to - from {
            below += LINE;
        }
    }
    figure.centred((f64::midpoint(from, to), below), &axis.name, TEXT, MUTED, to - from)
}

fn draw_marks(figure: &mut Figure, row: &Row, marks: &Marks, scale: &Scale, y: f64) {
    let look = palette::of(&row.system);
    if let Some((low, high)) = marks.bar {
        figure.line(vec![(scale.at(low), y), (scale.at(high), y)], look.color, 2.0, &[]);
    }
    for other in &marks.others {
        figure.marker((scale.at(*other), y), look.marker, 3.0, look.color, false);
    }
    for (value, went) in &marks.tries {
        draw_try(figure, (scale.at(*value), y), (look.marker, look.color), *went);
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

pub fn draw_try(figure: &mut Figure, at: (f64, f64), (shape, color): (Marker, Color), went: Went) {
    figure.marker(at, shape, 4.5, color, went == Went::Well);
    if went == Went::Partly {
        figure.marker(at, shape, 1.8, color, true);
    }
}
