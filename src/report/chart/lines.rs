//! Lines over a measured quantity, one for each label: speed-up, the size ladder. Also their common legend.

use super::axis::Scale;
use super::canvas::{Align, Figure, GRID, INK, MUTED};
use super::{letters, palette};

pub struct Curve {
    pub label: String,
    pub system: String,
    /// x, y, and whether the mark is filled.
    pub points: Vec<(f64, f64, bool)>,
}

pub struct Plot<'a> {
    pub title: String,
    pub x_name: &'a str,
    pub y_name: String,
    pub x_tick: &'a dyn Fn(f64) -> String,
    pub y_tick: &'a dyn Fn(f64) -> String,
    /// Dashes where y is x.
    pub ideal: bool,
}

/// Left, right, top and bottom of the room for a plot, names and ticks included.
pub type Room = (f64, f64, f64, f64);

const SMALL: f64 = 11.0;

/// One plot with both axes logarithmic.
pub fn draw(figure: &mut Figure, curves: &[Curve], plot: &Plot<'_>, (left, right, top, bottom): Room) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let mut steps: Vec<f64> = points().map(|(x, ..)| *x).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    let ideal = steps.iter().copied().filter(|_| plot.ideal);
    let mut y = Scale::log(points().map(|(_, y, _)| *y).chain(ideal), bottom - 46.0, top + 38.0);
    if plot.ideal {
        y = y.with_ticks((-6..=10).map(|power| 2f64.powi(power)).collect());
    }
    let widest = y.ticks().iter().map(|tick| letters::width(&(plot.y_tick)(*tick), SMALL, false)).fold(0.0, f64::max);
    let from = left + widest + 8.0;
    let mut x = Scale::log(steps.iter().copied(), from, right);
    if steps.len() <= 8 {
        x = x.with_ticks(steps.clone());
    }
    let title = letters::fit(&plot.title, SMALL, true, right - left);
    figure.bold((left, top + 6.0), title, SMALL, INK, Align::Left);
    let name = letters::fit(&plot.y_name, SMALL, false, right - left);
    figure.text((left, top + 21.0), name, SMALL, MUTED, Align::Left);
    y.draw_left(figure, from, right, plot.y_tick);
    figure.line(vec![(from, bottom - 46.0), (right, bottom - 46.0)], GRID, 1.5, &[]);
    x.draw_labels(figure, bottom - 46.0, plot.x_tick);
    figure.centred(((from + right) / 2.0, bottom - 19.0), plot.x_name, SMALL, MUTED, right - left);
    if let (true, Some(first), Some(last)) = (plot.ideal, steps.first(), steps.last()) {
        let ends = [*first, *last].map(|n| (x.at(n), y.at(n)));
        figure.line(ends.into(), MUTED, 1.2, &[3.0, 3.0]);
    }
    for curve in curves {
        let look = palette::of(&curve.system);
        let at = |point: &(f64, f64, bool)| (x.at(point.0), y.at(point.1));
        figure.line(curve.points.iter().map(at).collect(), look.color, 2.0, look.dash);
        for point in curve.points.iter().filter(|point| point.1 > 0.0) {
            figure.marker(at(point), look.shape, 3.8, look.color, point.2);
        }
    }
}

/// Names of the labels with their lines, side by side as far as there is room; returns where the next row would stand.
pub fn legend(figure: &mut Figure, labels: &[(String, String)], ideal: bool, at: (f64, f64), room: f64) -> f64 {
    let (mut x, mut y) = at;
    let dashes: super::canvas::Dash = &[3.0, 3.0];
    let ideal = ideal.then_some((None, "ideal"));
    let names = labels.iter().map(|(label, system)| (Some(palette::of(system)), label.as_str())).chain(ideal);
    for (look, name) in names {
        let name = letters::fit(name, SMALL, false, room - 40.0);
        let wide = 38.0 + letters::width(&name, SMALL, false);
        if x > at.0 && x + wide > at.0 + room {
            (x, y) = (at.0, y + 16.0);
        }
        match look {
            Some(look) => {
                figure.line(vec![(x, y), (x + 26.0, y)], look.color, 2.0, look.dash);
                figure.marker((x + 13.0, y), look.shape, 3.8, look.color, true);
            }
            None => figure.line(vec![(x, y), (x + 26.0, y)], MUTED, 1.2, dashes),
        }
        figure.text((x + 32.0, y), name, SMALL, INK, Align::Left);
        x += wide + 14.0;
    }
    y + 16.0
}
