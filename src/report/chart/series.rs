//! Lines over the seconds of a cell, for every figure that has time on its x axis: what each stands for, how it is drawn
//! and named. A line is broken where a second has no value.

use super::axis::Scale;
use super::canvas::{Align, Color, Dash, Figure, INK, MUTED, SHADE};
use super::letters;
use crate::result::WindowRow;
use crate::result::words::significant;

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
    color: Some(Color(0xC2, 0xC9, 0xD1)),
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
pub const CONSUMED: Series =
    Series { name: "consumed", color: None, width: 1.8, dash: &[], of: |row| Some(row.consumed_messages) };

const SAMPLE: f64 = 26.0;
const SIZE: f64 = 11.0;

impl Series {
    /// As a legend has it.
    fn called(&self) -> String {
        if self.color.is_none() { format!("{} (the system's colour)", self.name) } else { self.name.to_owned() }
    }

    /// How wide its entry in a legend is.
    pub fn room(&self) -> f64 {
        SAMPLE + 6.0 + letters::width(&self.called(), SIZE, false)
    }

    /// Its entry in a legend.
    pub fn explain(&self, figure: &mut Figure, (x, y): (f64, f64), own: Color) {
        figure.line(vec![(x, y), (x + SAMPLE, y)], self.color.unwrap_or(own), self.width, self.dash);
        figure.text((x + SAMPLE + 6.0, y), self.called(), SIZE, MUTED, Align::Left);
    }
}

/// Where a second stands: in its middle.
pub fn middle(x: &Scale, row: &WindowRow) -> f64 {
    x.at(f64::from(row.second) + 0.5)
}

pub fn lines(figure: &mut Figure, windows: &[WindowRow], series: &[Series], own: Color, x: &Scale, y: &Scale) {
    for series in series {
        let points: Vec<Option<(f64, f64)>> =
            windows.iter().map(|row| (series.of)(row).map(|value| (middle(x, row), y.at(value as f64)))).collect();
        for part in points.split(Option::is_none) {
            let color = series.color.unwrap_or(own);
            figure.line(part.iter().flatten().copied().collect(), color, series.width, series.dash);
        }
    }
}

/// What is outside of the measured window, as wide pale lines: canvas knows no rectangles.
pub fn shade(figure: &mut Figure, windows: &[WindowRow], x: &Scale, (top, bottom): (f64, f64)) {
    for row in windows.iter().filter(|row| row.phase != "measure") {
        let at = middle(x, row);
        figure.line(vec![(at, top), (at, bottom)], SHADE, x.at(1.0) - x.at(0.0) + 0.3, &[]);
    }
}

/// A second on the x axis.
pub fn second(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { significant(value) }
}
