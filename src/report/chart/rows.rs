//! Rows of marks on one horizontal log axis, in groups: throughput with intervals, quantiles of latency.

use super::axis::Scale;
use super::canvas::{Align, Figure, GRID, INK, MUTED, shorten};
use super::palette;

pub struct Row {
    pub label: String,
    pub system: String,
    /// The main value, drawn large.
    pub value: Option<f64>,
    /// Further values: `bar` joins them.
    pub others: Vec<f64>,
    /// A line behind the marks: an interval, or from the lowest to the highest quantile.
    pub bar: Option<(f64, f64)>,
    /// At the right end; says why when there is no value.
    pub text: String,
}

pub struct Block {
    pub header: String,
    pub rows: Vec<Row>,
}

pub const ROW: f64 = 21.0;
const HEADER: f64 = 22.0;
const LEFT: f64 = 128.0;
const RIGHT: f64 = 190.0;

/// Draws the blocks from `top` down and returns where the axis' own name ends.
pub fn draw(figure: &mut Figure, blocks: &[Block], top: f64, axis: &str, label: impl Fn(f64) -> String) -> f64 {
    let height: f64 = blocks.iter().map(|block| HEADER + ROW * block.rows.len() as f64).sum();
    let rows = || blocks.iter().flat_map(|block| &block.rows);
    let values = rows().flat_map(|row| {
        row.others.iter().copied().chain(row.value).chain(row.bar.map(|b| b.0)).chain(row.bar.map(|b| b.1))
    });
    let right = figure.width - RIGHT;
    let scale = Scale::log(values, LEFT, right);
    let bottom = top + height + 4.0;
    scale.draw_labels(figure, bottom, label);
    let mut y = top;
    for block in blocks {
        let rows_end = y + HEADER + ROW * block.rows.len() as f64;
        scale.draw_grid(figure, y + HEADER, rows_end);
        let room = ((figure.width - 32.0) / 7.0) as usize;
        let header = shorten(&block.header, room);
        figure.line(vec![(16.0, y + 2.0), (figure.width - 16.0, y + 2.0)], GRID, 1.0, &[]);
        figure.bold((16.0, y + HEADER / 2.0 + 2.0), header, 11.0, MUTED, Align::Left);
        y += HEADER;
        for row in &block.rows {
            let middle = y + ROW / 2.0;
            let look = palette::of(&row.system);
            figure.text((LEFT - 10.0, middle), shorten(&row.label, 16), 12.0, INK, Align::Right);
            if let Some((low, high)) = row.bar {
                figure.line(vec![(scale.at(low), middle), (scale.at(high), middle)], look.color, 2.0, &[]);
            }
            for other in &row.others {
                figure.marker((scale.at(*other), middle), look.shape, 3.0, look.color, false);
            }
            if let Some(value) = row.value {
                figure.marker(
                    (scale.at(value), middle),
                    look.shape,
                    5.0,
                    look.color,
                    palette::filled(&row.label, &row.system),
                );
            }
            figure.text(
                (right + 12.0, middle),
                shorten(&row.text, 27),
                11.5,
                if row.value.is_some() { INK } else { MUTED },
                Align::Left,
            );
            y += ROW;
        }
    }
    figure.text(((LEFT + right) / 2.0, bottom + 27.0), axis, 11.0, MUTED, Align::Middle);
    bottom + 36.0
}
