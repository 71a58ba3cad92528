//! How bad the tail is: the percentile spectrum, one line per label, on an axis of nines.
//!
//! A line stops where fewer than 10 samples lie beyond. Blocks are merged into one histogram, never averaged.

use super::axis::{Scale, spread};
use super::canvas::{Align, Figure, GRID, INK, MUTED};
use super::{letters, palette};
use crate::model::Point;
use crate::result::words::{TimeUnit, grouped, time};
use hdrhistogram::Histogram;

pub struct SpectrumCurve {
    pub label: String,
    pub system: String,
    pub histogram: Histogram<u64>,
}

const WIDTH: f64 = 900.0;
/// Where a line has a marker and the table a number.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
const PLOT: (f64, f64, f64, f64) = (66.0, 760.0, 66.0, 386.0);

/// `None` when no line has enough samples. `absent`: labels without a line, with the reason.
pub fn draw(point: &str, lines: &[SpectrumCurve], absent: &[String]) -> Option<Figure> {
    let lines: Vec<&SpectrumCurve> = lines.iter().filter(|line| highest(&line.histogram) > 0.5).collect();
    let mut figure = Figure::new(WIDTH, title(point, &lines)?, caption(&lines, absent));
    figure.wrapped((16.0, 24.0), &figure.title.clone(), 15.0, INK, WIDTH - 32.0, true);
    let (left, right, top, bottom) = PLOT;
    let end = lines.iter().map(|line| highest(&line.histogram)).fold(0.9, f64::max);
    let x = Scale::nines(end, left, right);
    let curves: Vec<Vec<(f64, f64)>> = lines.iter().map(|line| curve(&line.histogram)).collect();
    let values = || curves.iter().flatten().map(|(_, value)| *value);
    let y = Scale::log(values(), bottom, top);
    let unit = TimeUnit::for_column(values());
    y.draw_left(&mut figure, left, right, |ns| unit.of(ns));
    x.draw_grid(&mut figure, top, bottom);
    x.draw_labels(&mut figure, bottom, |q| if q == 0.0 { "0".into() } else { format!("p{}", trim(q * 100.0)) });
    figure.line(vec![(left, bottom), (right, bottom)], GRID, 1.5, &[]);
    figure.text((left, top - 14.0), format!("end-to-end latency, {} (log)", unit.name()), 11.0, MUTED, Align::Left);
    figure.text(
        ((left + right) / 2.0, bottom + 28.0),
        "percentile (each step adds a nine)",
        11.0,
        MUTED,
        Align::Middle,
    );
    let ends: Vec<f64> = curves.iter().map(|curve| curve.last().map_or(bottom, |(_, value)| y.at(*value))).collect();
    let places = spread(&ends, 15.0, top, bottom);
    for (((line, curve), end), place) in lines.iter().zip(&curves).zip(ends).zip(places) {
        let last = (curve.last().map_or(right, |(q, _)| x.at(*q)), end);
        draw_line(&mut figure, line, curve, (&x, &y));
        figure.line(vec![(last.0 + 3.0, last.1), (right + 8.0, place)], GRID, 1.0, &[]);
        let label = letters::fit(&line.label, 12.0, false, WIDTH - right - 20.0);
        figure.text((right + 12.0, place), label, 12.0, palette::of(&line.system).color, Align::Left);
    }
    let foot = figure.wrapped((16.0, bottom + 52.0), &figure.caption.clone(), 11.0, MUTED, WIDTH - 32.0, false);
    figure.height = foot + 4.0;
    tabulate(&mut figure, &lines, unit);
    Some(figure)
}

/// The finding: which label is best at p99, and which is worst.
fn title(point: &str, lines: &[&SpectrumCurve]) -> Option<String> {
    let p99 = |line: &SpectrumCurve| line.histogram.value_at_quantile(0.99f64.min(highest(&line.histogram))) as f64;
    let best = lines.iter().min_by(|a, b| p99(a).total_cmp(&p99(b)))?;
    let worst = lines.iter().max_by(|a, b| p99(a).total_cmp(&p99(b)))?;
    let at = Point::read(point).at();
    Some(if lines.len() == 1 {
        format!("End-to-end p99{at}: {} ({})", time(p99(best)), best.label)
    } else {
        format!(
            "End-to-end p99{at}: from {} ({}) to {} ({})",
            time(p99(best)),
            best.label,
            time(p99(worst)),
            worst.label
        )
    })
}

fn caption(lines: &[&SpectrumCurve], absent: &[String]) -> String {
    let least = lines.iter().map(|line| line.histogram.len()).min().unwrap_or(0);
    let mut caption = format!(
        "Received − planned send time; all blocks merged; n ≥ {} per line; a line stops where fewer than 10 samples lie beyond.",
        grouped(least)
    );
    for reason in absent {
        caption.push_str(&format!(" No line: {reason}."));
    }
    caption
}

/// One label's curve, with a marker at each quantile that it reaches.
fn draw_line(figure: &mut Figure, line: &SpectrumCurve, curve: &[(f64, f64)], (x, y): (&Scale, &Scale)) {
    let look = palette::of(&line.system);
    figure.line(curve.iter().map(|(q, value)| (x.at(*q), y.at(*value))).collect(), look.color, 2.0, look.dash);
    let filled = palette::filled(&line.label, &line.system);
    for quantile in QUANTILES.into_iter().filter(|quantile| *quantile <= highest(&line.histogram)) {
        let value = line.histogram.value_at_quantile(quantile) as f64;
        figure.marker((x.at(quantile), y.at(value)), look.shape, 4.0, look.color, filled);
    }
}

/// The numbers beside the drawing.
fn tabulate(figure: &mut Figure, lines: &[&SpectrumCurve], unit: TimeUnit) {
    let unit_head = |name: &str| format!("{name}, {}", unit.name());
    figure.data.head = ["label", "n"]
        .map(str::to_owned)
        .into_iter()
        .chain(["p50", "p90", "p99", "p99.9", "p99.99"].map(unit_head))
        .collect();
    figure.data.rows = (lines.iter())
        .map(|line| {
            let of = |q: f64| {
                if q <= highest(&line.histogram) {
                    unit.of(line.histogram.value_at_quantile(q) as f64)
                } else {
                    "–".into()
                }
            };
            let numbers = QUANTILES.map(of);
            [line.label.clone(), grouped(line.histogram.len())].into_iter().chain(numbers).collect()
        })
        .collect();
}

/// The highest quantile with 10 samples beyond it.
fn highest(histogram: &Histogram<u64>) -> f64 {
    if histogram.len() <= 10 { 0.0 } else { 1.0 - 10.0 / histogram.len() as f64 }
}

/// Points of the spectrum, evenly over the nines.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let nines = -(1.0 - highest(histogram)).log10();
    let steps = 160;
    (0..=steps)
        .map(|step| 1.0 - 10f64.powf(-nines * f64::from(step) / f64::from(steps)))
        .map(|quantile| (quantile, histogram.value_at_quantile(quantile).max(1) as f64))
        .collect()
}

fn trim(percent: f64) -> String {
    let text = format!("{percent:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
