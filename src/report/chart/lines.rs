//! Lines over a measured quantity, one for each label: speed-up, the size ladder. Also the legend
//! of every chart.

use super::axis::Scale;
use super::canvas::{Align, Color, Dash, Figure, GRID, INK, MARGIN, MUTED, SMALL};
use super::{letters, palette};
use crate::model::{Direction, Marker};
use itertools::Itertools;

#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    pub label: String,
    pub system: String,
    /// x, y, and whether the mark is filled.
    pub points: Vec<(f64, f64, bool)>,
}

pub struct Plot<'a> {
    pub title: String,
    pub x_name: &'a str,
    pub y_name: &'a str,
    /// Of what stands on the vertical axis.
    pub better: Direction,
    pub x_tick: &'a dyn Fn(f64) -> String,
    pub y_tick: &'a dyn Fn(f64) -> String,
    /// Dashes where y is x.
    pub ideal: bool,
}

/// Left, right, top and bottom of the room for a plot, names and ticks included.
type Room = (f64, f64, f64, f64);

/// From one line of a legend to the next.
const LINE: f64 = 16.0;

/// A name in a legend, with what is drawn for it.
pub struct LegendEntry {
    pub name: String,
    pub line: Option<(Color, f64, Dash)>,
    pub mark: Option<(Marker, Color)>,
}

/// The least width of a plot.
const LEAST: f64 = 250.0;
const IDEAL: (Color, f64, Dash) = (MUTED, 1.2, &[3.0, 3.0]);

/// One plot with both axes logarithmic, below its title.
fn draw(figure: &mut Figure, curves: &[Curve], plot: &Plot<'_>, (left, right, top, bottom): Room) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let mut steps: Vec<f64> = points().map(|(x, ..)| *x).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    let ideal = steps.iter().copied().filter(|_| plot.ideal);
    let mut y = Scale::log(points().map(|(_, y, _)| *y).chain(ideal), bottom - 46.0, top + 38.0);
    if plot.ideal {
        y = y.with_ticks((-6..=10).map(|power| 2f64.powi(power)).collect());
    }
    let widest = y
        .ticks()
        .iter()
        .map(|tick| letters::width(&(plot.y_tick)(*tick), SMALL, false))
        .fold(0.0, f64::max);
    let from = left + widest + 8.0;
    let mut x = Scale::log(steps.iter().copied(), from, right);
    if steps.len() <= 8 {
        x = x.with_ticks(steps.clone());
    }
    let better = match plot.better {
        Direction::Higher => ", higher is better",
        Direction::Lower => ", lower is better",
        Direction::Neutral => "",
    };
    let name = format!("{}{better}", plot.y_name);
    figure.text((left, top + 21.0), name, SMALL, MUTED, Align::Left);
    y.draw_left(figure, from, right, plot.y_tick);
    figure.line(vec![(from, bottom - 46.0), (right, bottom - 46.0)], GRID, 1.5, &[]);
    x.draw_labels(figure, bottom - 46.0, plot.x_tick);
    figure.centred(((from + right) / 2.0, bottom - 19.0), plot.x_name, SMALL, MUTED, right - left);
    if let (true, Some(first), Some(last)) = (plot.ideal, steps.first(), steps.last()) {
        let ends = [*first, *last].map(|n| (x.at(n), y.at(n)));
        figure.line(ends.into(), IDEAL.0, IDEAL.1, IDEAL.2);
    }
    for curve in curves {
        let look = palette::of(&curve.system);
        let at = |point: &(f64, f64, bool)| (x.at(point.0), y.at(point.1));
        figure.line(curve.points.iter().map(at).collect(), look.color, 2.0, look.dash);
        for point in curve.points.iter().filter(|point| point.1 > 0.0) {
            figure.marker(at(point), look.marker, 3.8, look.color, point.2);
        }
    }
}

/// Plots beside each other, at most so many in a row, so far apart and so high; returns where the
/// last row ends.
pub fn plots(
    figure: &mut Figure,
    plots: &[(Vec<Curve>, Plot<'_>)],
    (most, gap, high): (usize, f64, f64),
    top: f64,
) -> f64 {
    let columns = ((figure.room() + gap) / (LEAST + gap)) as usize;
    let mut y = top;
    for row in plots.chunks(columns.clamp(1, most)) {
        let wide = (figure.room() - gap * (row.len() as f64 - 1.0)) / row.len() as f64;
        let left = |at: usize| MARGIN + (wide + gap) * at as f64;
        let mut below = y;
        for (at, (_, plot)) in row.iter().enumerate() {
            let end = figure.wrapped((left(at), y + 6.0), &plot.title, SMALL, INK, wide, true);
            below = below.max(end - 22.0);
        }
        for (at, (curves, plot)) in row.iter().enumerate() {
            draw(figure, curves, plot, (left(at), left(at) + wide, below, below + high));
        }
        y = below + high + 4.0;
    }
    y
}

/// The legend of labels with their systems, each once, and of the ideal where one is drawn.
pub fn legend_of<'a>(
    figure: &mut Figure,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    ideal: bool,
    top: f64,
) -> f64 {
    let entry = |(label, system): (&str, &str)| {
        let look = palette::of(system);
        LegendEntry {
            name: label.to_owned(),
            line: Some((look.color, 2.0, look.dash)),
            mark: Some((look.marker, look.color)),
        }
    };
    let ideal =
        ideal.then(|| LegendEntry { name: "ideal".to_owned(), line: Some(IDEAL), mark: None });
    let entries: Vec<LegendEntry> = labels.unique().map(entry).chain(ideal).collect();
    legend(figure, &entries, top)
}

/// Names with what they stand for, side by side as far as there is room; returns where the next row
/// would stand.
pub fn legend(figure: &mut Figure, entries: &[LegendEntry], top: f64) -> f64 {
    let room = figure.room();
    let (mut x, mut y, mut deepest) = (MARGIN, top, 0);
    for entry in entries {
        let name = letters::wrap(&entry.name, SMALL, false, room - 40.0);
        let widest = name.iter().map(|line| letters::width(line, SMALL, false));
        let wide = 38.0 + widest.fold(0.0, f64::max);
        if x > MARGIN && x + wide > MARGIN + room {
            (x, y, deepest) = (MARGIN, y + LINE * deepest as f64, 0);
        }
        deepest = deepest.max(name.len());
        if let Some((color, width, dash)) = entry.line {
            figure.line(vec![(x, y), (x + 26.0, y)], color, width, dash);
        }
        if let Some((shape, color)) = entry.mark {
            figure.marker((x + 13.0, y), shape, 3.8, color, true);
        }
        figure.lines((x + 32.0, y), LINE, &name, SMALL, INK);
        x += wide + 14.0;
    }
    y + LINE * deepest.max(1) as f64
}
