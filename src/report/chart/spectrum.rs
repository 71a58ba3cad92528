//! How bad the tail is: the percentile spectrum, one line per label, on an axis of nines.
//!
//! A line stops where fewer than 10 samples lie beyond.
//! Blocks are merged into one histogram, never averaged.

use super::axis::{Scale, spread};
use super::canvas::{Align, Figure, GRID, MUTED, SMALL, WIDTH};
use super::{letters, palette};
use crate::model::Point;
use crate::report::table::DataTable;
use crate::result::words::{TimeUnit, grouped, or_dash, time};
use hdrhistogram::Histogram;
use itertools::Itertools;

pub struct SpectrumCurve {
    pub label: String,
    pub system: String,
    pub histogram: Histogram<u64>,
}

/// Where a line has a marker and the table a number.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
const PLOT: (f64, f64, f64, f64) = (66.0, 760.0, 66.0, 386.0);

/// `None` when no line has enough samples. `absent`: labels without a line, with the reason.
pub fn draw(point: &str, lines: &[SpectrumCurve], absent: &[String]) -> Option<Figure> {
    let lines: Vec<&SpectrumCurve> =
        lines.iter().filter(|line| highest(&line.histogram) > 0.5).collect();
    let (mut figure, _) = Figure::titled(title(point, &lines)?, caption(&lines, absent));
    let (left, right, top, bottom) = PLOT;
    let end = lines.iter().map(|line| highest(&line.histogram)).fold(0.9, f64::max);
    let x = Scale::nines(end, left, right);
    let curves: Vec<Vec<(f64, f64)>> = lines.iter().map(|line| curve(&line.histogram)).collect();
    let values = || curves.iter().flatten().map(|(_, value)| *value);
    let y = Scale::log(values(), bottom, top);
    let unit = TimeUnit::for_column(values());
    y.draw_left(&mut figure, left, right, |ns| unit.of(ns));
    x.draw_grid(&mut figure, top, bottom);
    x.draw_labels(&mut figure, bottom, |q| {
        if q == 0.0 { "0".into() } else { format!("p{}", trim(q * 100.0)) }
    });
    figure.line(vec![(left, bottom), (right, bottom)], GRID, 1.5, &[]);
    figure.text(
        (left, top - 14.0),
        format!("end-to-end latency, {} (log)", unit.name()),
        SMALL,
        MUTED,
        Align::Left,
    );
    let below = ((left + right) / 2.0, bottom + 28.0);
    figure.text(below, "percentile (each step adds a nine)", SMALL, MUTED, Align::Middle);
    let ends: Vec<f64> =
        curves.iter().map(|curve| curve.last().map_or(bottom, |(_, value)| y.at(*value))).collect();
    let places = spread(&ends, 15.0, top, bottom);
    for (((line, curve), end), place) in lines.iter().zip(&curves).zip(ends).zip(places) {
        let last = (curve.last().map_or(right, |(q, _)| x.at(*q)), end);
        draw_line(&mut figure, line, curve, (&x, &y));
        figure.line(vec![(last.0 + 3.0, last.1), (right + 8.0, place)], GRID, 1.0, &[]);
        let label = letters::fit(&line.label, 12.0, false, WIDTH - right - 20.0);
        figure.text(
            (right + 12.0, place),
            label,
            12.0,
            palette::of(&line.system).color,
            Align::Left,
        );
    }
    figure.data = table(&lines, unit);
    Some(figure.captioned(bottom + 52.0))
}

/// The finding: which label is best at p99, and which is worst.
fn title(point: &str, lines: &[&SpectrumCurve]) -> Option<String> {
    let p99 = |line: &SpectrumCurve| {
        line.histogram.value_at_quantile(0.99f64.min(highest(&line.histogram))) as f64
    };
    let (best, worst) = lines.iter().minmax_by(|a, b| p99(a).total_cmp(&p99(b))).into_option()?;
    let at = Point::read(point).at();
    let told = |line: &SpectrumCurve| format!("{} ({})", time(p99(line)), line.label);
    Some(match lines.len() {
        1 => format!("End-to-end p99{at}: {}", told(best)),
        _ => format!("End-to-end p99{at}: from {} to {}", told(best), told(worst)),
    })
}

fn caption(lines: &[&SpectrumCurve], absent: &[String]) -> String {
    let least = lines.iter().map(|line| line.histogram.len()).min().unwrap_or(0);
    let mut caption = format!(
        "Received − planned send time; all blocks merged; n ≥ {} per line; a line stops where \
        fewer than 10 samples lie beyond.",
        grouped(least)
    );
    for reason in absent {
        caption.push_str(&format!(" No line: {reason}."));
    }
    caption
}

/// One label's curve, with a marker at each quantile that it reaches.
fn draw_line(
    figure: &mut Figure,
    line: &SpectrumCurve,
    curve: &[(f64, f64)],
    (x, y): (&Scale, &Scale),
) {
    let look = palette::of(&line.system);
    figure.line(
        curve.iter().map(|(q, value)| (x.at(*q), y.at(*value))).collect(),
        look.color,
        2.0,
        look.dash,
    );
    let filled = palette::filled(&line.label, &line.system);
    for quantile in QUANTILES.into_iter().filter(|quantile| *quantile <= highest(&line.histogram)) {
        let value = line.histogram.value_at_quantile(quantile) as f64;
        figure.marker((x.at(quantile), y.at(value)), look.marker, 4.0, look.color, filled);
    }
}

fn table(lines: &[&SpectrumCurve], unit: TimeUnit) -> DataTable {
    let quantiles =
        ["p50", "p90", "p99", "p99.9", "p99.99"].map(|name| format!("{name}, {}", unit.name()));
    let row = |line: &&SpectrumCurve| {
        let reached =
            |q: f64| (q <= highest(&line.histogram)).then(|| line.histogram.value_at_quantile(q));
        let numbers = QUANTILES.map(|q| or_dash(reached(q), |ns| unit.of(ns as f64)));
        [line.label.clone(), grouped(line.histogram.len())].into_iter().chain(numbers).collect()
    };
    let head = ["label", "n"].map(str::to_owned).into_iter().chain(quantiles);
    DataTable::new(head, lines.iter().map(row).collect())
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
