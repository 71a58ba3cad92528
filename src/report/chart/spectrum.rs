//! How bad the tail is: the percentile spectrum, one line per label, on an axis of nines.
//!
//! A line stops where fewer than 10 messages lie beyond, and ends in an arrow where those begin
//! that have no time (censored). Blocks are merged into one histogram, never averaged.

use super::axis::{Scale, spread};
use super::canvas::{Align, Figure, GRID, MUTED, SMALL, WIDTH};
use super::{letters, palette};
use crate::model::{Point, Quantile, Statistic};
use crate::report::table::DataTable;
use crate::result::words::{TimeUnit, grouped, or_dash, time};
use crate::result::{Censored, Distribution, LatencyValue};
use hdrhistogram::Histogram;
use itertools::Itertools;
use std::cmp::Ordering;

pub struct SpectrumCurve {
    pub label: String,
    pub system: String,
    pub histogram: Histogram<u64>,
    pub censored: Censored,
}

impl SpectrumCurve {
    fn total(&self) -> u64 {
        self.histogram.len() + self.censored.count
    }

    /// Share of the messages that have a time.
    fn recorded(&self) -> f64 {
        self.histogram.len() as f64 / self.total().max(1) as f64
    }

    /// The highest quantile with 10 messages beyond it.
    fn highest(&self) -> f64 {
        if self.total() <= 10 { 0.0 } else { 1.0 - 10.0 / self.total() as f64 }
    }

    /// Whether its line ends where the censored begin.
    fn ends_early(&self) -> bool {
        self.recorded() < self.highest()
    }

    fn end(&self) -> f64 {
        self.highest().min(self.recorded())
    }

    /// The time of a quantile up to the end.
    fn at(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile((quantile / self.recorded()).min(1.0)).max(1) as f64
    }

    /// Points of the spectrum, evenly over the nines.
    fn points(&self) -> Vec<(f64, f64)> {
        let nines = -(1.0 - self.end().min(1.0 - 1e-9)).log10();
        let steps = 160;
        (0..=steps)
            .map(|step| 1.0 - 10f64.powf(-nines * f64::from(step) / f64::from(steps)))
            .map(|quantile| (quantile, self.at(quantile)))
            .collect()
    }

    fn quantile(&self, quantile: Quantile) -> Option<LatencyValue> {
        Distribution::of(&self.histogram, self.censored).statistic(Statistic::Quantile(quantile))
    }
}

/// How far the arrow of a line points beyond its end.
const ARROW: f64 = 14.0;
const PLOT: (f64, f64, f64, f64) = (66.0, 760.0, 66.0, 386.0);

/// `None` when no line has enough samples. `absent`: labels without a line, with the reason.
pub fn draw(point: &str, lines: &[SpectrumCurve], absent: &[String]) -> Option<Figure> {
    let lines: Vec<&SpectrumCurve> =
        lines.iter().filter(|line| line.end() > 0.0 && line.highest() > 0.5).collect();
    let (mut figure, _) = Figure::titled(title(point, &lines)?, caption(&lines, absent));
    let (left, right, top, bottom) = PLOT;
    let end = lines.iter().map(|line| line.end()).fold(0.9, f64::max);
    let x = Scale::nines(end, left, right);
    let curves: Vec<Vec<(f64, f64)>> = lines.iter().map(|line| line.points()).collect();
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
        let highest = LatencyValue::Exact(line.at(line.end()));
        line.quantile(Quantile::P99).unwrap_or(highest)
    };
    let order = |a: &&&SpectrumCurve, b: &&&SpectrumCurve| {
        let key = |value: LatencyValue| (value.exact().is_none(), value.least());
        key(p99(a)).partial_cmp(&key(p99(b))).unwrap_or(Ordering::Equal)
    };
    let (best, worst) = lines.iter().minmax_by(order).into_option()?;
    let at = Point::read(point).at();
    let told = |line: &SpectrumCurve| format!("{} ({})", p99(line).words(time), line.label);
    Some(match lines.len() {
        1 => format!("End-to-end p99{at}: {}", told(best)),
        _ => format!("End-to-end p99{at}: from {} to {}", told(best), told(worst)),
    })
}

fn caption(lines: &[&SpectrumCurve], absent: &[String]) -> String {
    let least = lines.iter().map(|line| line.total()).min().unwrap_or(0);
    let mut caption = format!(
        "Received − planned send time; all blocks merged; n ≥ {} per line; a line stops where \
        fewer than 10 messages lie beyond.",
        grouped(least)
    );
    if lines.iter().any(|line| line.ends_early()) {
        caption.push_str(" An arrow: those beyond failed, or had not come when the run ended.");
    }
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
    let reached = Quantile::REPORTED.map(Quantile::share).into_iter();
    for quantile in reached.filter(|quantile| *quantile <= line.end()) {
        let value = line.at(quantile);
        figure.marker((x.at(quantile), y.at(value)), look.marker, 4.0, look.color, filled);
    }
    if let Some((quantile, value)) = curve.last().filter(|_| line.ends_early()) {
        let (at, from) = (x.at(*quantile), y.at(*value));
        let tip = from - ARROW;
        figure.line(vec![(at, from), (at, tip)], look.color, 2.0, &[]);
        let head = [(at - 4.0, tip + 5.0), (at, tip), (at + 4.0, tip + 5.0)];
        figure.line(head.to_vec(), look.color, 2.0, &[]);
    }
}

fn table(lines: &[&SpectrumCurve], unit: TimeUnit) -> DataTable {
    let quantiles = Quantile::REPORTED.map(|quantile| format!("{quantile}, {}", unit.name()));
    let row = |line: &&SpectrumCurve| {
        let words = |value: LatencyValue| value.words(|ns| unit.of(ns));
        let numbers = Quantile::REPORTED.map(|q| or_dash(line.quantile(q), words));
        [line.label.clone(), grouped(line.total())].into_iter().chain(numbers).collect()
    };
    let head = ["label", "n"].map(str::to_owned).into_iter().chain(quantiles);
    DataTable::new(head, lines.iter().map(row).collect())
}

fn trim(percent: f64) -> String {
    let text = format!("{percent:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, censored: u64) -> SpectrumCurve {
        let mut histogram = Histogram::new(3).unwrap();
        (1..=1000u64).for_each(|value| histogram.record(value * 1000).unwrap());
        let censored = Censored { count: censored, at_least_ns: 2_000_000_000 };
        SpectrumCurve { label: label.into(), system: label.into(), histogram, censored }
    }

    #[test]
    fn a_line_ends_in_an_arrow_where_the_censored_begin() {
        let lines = [line("kafka", 0), line("redis-lists", 250)];
        assert!(!lines[0].ends_early() && lines[1].ends_early());
        let end = lines[1].points().last().copied().unwrap();
        assert!((end.0 - 0.8).abs() < 1e-9 && (end.1 / 1e6 - 1.0).abs() < 0.01, "{end:?}");
        let figure = draw("load.rate=1k/s", &lines, &[]).unwrap();
        assert!(figure.title.ends_with("to > 2.00 s (redis-lists)"), "{}", figure.title);
        assert!(figure.caption.contains("An arrow"), "{}", figure.caption);
        let row = &figure.data.rows[1];
        assert_eq!((row[1].as_str(), &row[3][..2]), ("1,250", "> "), "{row:?}");
        let whole = draw("load.rate=1k/s", &lines[..1], &[]).unwrap();
        assert!(!whole.caption.contains("An arrow"));
        let none = [SpectrumCurve { histogram: Histogram::new(3).unwrap(), ..line("kafka", 99) }];
        assert!(draw("load.rate=1k/s", &none, &[]).is_none(), "nothing to draw a line of");
    }
}
