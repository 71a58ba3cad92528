//! Panels over the seconds of a cell, one per label: what their lines stand for, how these, the
//! ground below them and the legend are drawn. A line is broken where a second has no value.
//!
//! Each shows one block: seconds of different blocks have nothing to do with each other.

use super::axis::Scale;
use super::canvas::{Align, Color, Dash, Figure, GRID, INK, MUTED, SHADE, SMALL, WIDTH};
use super::lines::LegendEntry;
use super::{letters, palette};
use crate::result::words::significant;
use crate::result::{CellRecord, WindowRow};

pub struct SecondsPanel<'a> {
    pub record: &'a CellRecord,
    pub windows: Vec<WindowRow>,
}

pub struct Series {
    pub name: &'static str,
    /// The system's own where there is none.
    pub color: Option<Color>,
    pub width: f64,
    pub dash: Dash,
    /// The value of one second; none where nothing was measured.
    pub of: fn(&WindowRow) -> Option<u64>,
}

/// Drawn first, and widest, so that it hides none.
pub const OFFERED: Series = Series {
    name: "offered",
    color: Some([0xC2, 0xC9, 0xD1]),
    width: 5.0,
    dash: &[],
    of: |row| row.offered_messages,
};
pub const ACKNOWLEDGED: Series = Series {
    name: "acknowledged",
    color: Some(INK),
    width: 1.4,
    dash: &[5.0, 3.0],
    of: |row| Some(row.acked_messages),
};
pub const CONSUMED: Series = Series {
    name: "consumed",
    color: None,
    width: 1.8,
    dash: &[],
    of: |row| Some(row.consumed_messages),
};

const LEFT: f64 = 66.0;
const GAP: f64 = 62.0;

impl Series {
    /// As a legend has it, with the colour of one of the systems.
    pub fn entry(&self, own: Color) -> LegendEntry {
        let system = if self.color.is_none() { " (the system's colour)" } else { "" };
        let line = Some((self.color.unwrap_or(own), self.width, self.dash));
        LegendEntry { name: format!("{}{system}", self.name), line, mark: None }
    }
}

impl SecondsPanel<'_> {
    pub fn color(&self) -> Color {
        palette::of(&self.record.system).color
    }
}

/// The panels of which there is more than a second.
pub fn long_enough<'a, 'b>(panels: &'b [SecondsPanel<'a>]) -> Vec<&'b SecondsPanel<'a>> {
    panels.iter().filter(|panel| panel.windows.len() > 1).collect()
}

/// All that some series have in some panels.
pub fn values(panels: &[&SecondsPanel<'_>], series: &[Series]) -> Vec<f64> {
    let rows = panels.iter().flat_map(|panel| &panel.windows);
    rows.flat_map(|row| series.iter().filter_map(|series| (series.of)(row)))
        .map(|value| value as f64)
        .collect()
}

/// Panels side by side below `top`, each drawn from left to right and its top down to where it says
/// that it ends; returns where the last ends.
pub fn grid<'b, 'a: 'b>(
    panels: &[&'b SecondsPanel<'a>],
    top: f64,
    mut draw: impl FnMut(&'b SecondsPanel<'a>, (f64, f64), f64) -> f64,
) -> f64 {
    let columns = panels.len().clamp(1, 2);
    let wide = (WIDTH - LEFT - 24.0 - GAP * (columns as f64 - 1.0)) / columns as f64;
    let mut y = top;
    for row in panels.chunks(columns) {
        let ends = row.iter().enumerate().map(|(column, panel)| {
            let left = LEFT + (wide + GAP) * column as f64;
            draw(panel, (left, left + wide), y)
        });
        y = ends.fold(y, f64::max) + 14.0;
    }
    y
}

pub fn label(figure: &mut Figure, panel: &SecondsPanel<'_>, (left, right): (f64, f64), top: f64) {
    let label = letters::fit(&panel.record.label, 12.0, true, right - left);
    figure.bold((left, top), label, 12.0, panel.color(), Align::Left);
}

/// The seconds that some panels share, from left to right.
pub fn axis(panels: &[&SecondsPanel<'_>], (left, right): (f64, f64)) -> Scale {
    let last =
        panels.iter().flat_map(|panel| &panel.windows).map(|row| f64::from(row.second) + 1.0);
    Scale::linear(last.fold(1.0, f64::max) / 1.08, left, right)
}

/// The line below a panel with its seconds; returns where the panel ends.
pub fn ground(figure: &mut Figure, x: &Scale, (left, right): (f64, f64), bottom: f64) -> f64 {
    let second =
        |value: f64| if value.fract() == 0.0 { format!("{value:.0}") } else { significant(value) };
    figure.line(vec![(left, bottom), (right, bottom)], GRID, 1.5, &[]);
    x.draw_labels(figure, bottom, second);
    figure.text(
        (right, bottom + 26.0),
        "s since the start of the load",
        SMALL,
        MUTED,
        Align::Right,
    );
    bottom + 44.0
}

/// Where a second stands: in its middle.
fn middle(x: &Scale, row: &WindowRow) -> f64 {
    x.at(f64::from(row.second) + 0.5)
}

pub fn lines(
    figure: &mut Figure,
    panel: &SecondsPanel<'_>,
    series: &[Series],
    x: &Scale,
    y: &Scale,
) {
    for series in series {
        let point = |row| (series.of)(row).map(|value| (middle(x, row), y.at(value as f64)));
        let points: Vec<Option<(f64, f64)>> = panel.windows.iter().map(point).collect();
        for part in points.split(Option::is_none) {
            let color = series.color.unwrap_or(panel.color());
            figure.line(part.iter().flatten().copied().collect(), color, series.width, series.dash);
        }
    }
}

/// What is outside of the measured window, as wide pale lines: canvas knows no rectangles.
pub fn shade(figure: &mut Figure, panel: &SecondsPanel<'_>, x: &Scale, (top, bottom): (f64, f64)) {
    for row in panel.windows.iter().filter(|row| row.phase != "measure") {
        let at = middle(x, row);
        figure.line(vec![(at, top), (at, bottom)], SHADE, x.at(1.0) - x.at(0.0) + 0.3, &[]);
    }
}
