//! Figures over one quantity that a run varied: the size ladder of an experiment,
//! speed-up of a matrix.

use super::canvas::Figure;
use super::lines::{self, Curve, Plot};
use crate::model::metric::{BYSTANDER_P99, GOODPUT_BYTES, SPEED_UP};
use crate::model::{Metric, Point, Unit};
use crate::report::group::{Group, blocks, known_or_new};
use crate::report::observed::ObservedMetric;
use crate::report::quantity;
use crate::report::scaling::{SHARING, ScaledRate, SpeedupGroup, scaled, speedups};
use crate::report::table::DataTable;
use crate::result::words::{compact, or_dash, significant, time};

/// Goodput against message size, with the p99 of small messages beside it.
pub fn ladder(seen: &[ObservedMetric<'_>]) -> Option<Figure> {
    let curves = |metric: &Metric| {
        let mut curves: Vec<Curve> = Vec::new();
        for seen in seen.iter().filter(|seen| seen.metric == metric.name) {
            let (Some(size), Some(value)) = (Point::read(seen.point).number("size"), seen.value())
            else {
                continue;
            };
            let new = || Curve {
                label: seen.label.into(),
                system: seen.system.into(),
                points: Vec::new(),
            };
            let curve = known_or_new(&mut curves, |curve| curve.label == seen.label, new);
            // Of several payloads or codecs at one size the fastest goes onto the chart; the table
            // has all.
            let new = || (size, value, seen.label == seen.system);
            let point = known_or_new(&mut curve.points, |(known, ..)| *known == size, new);
            point.1 = point.1.max(value);
        }
        curves.iter_mut().for_each(|curve| curve.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
        curves
    };
    let goodput = curves(GOODPUT_BYTES);
    let best =
        goodput.iter().flat_map(|curve| curve.points.iter().map(move |point| (curve, point)));
    let (curve, (size, most, _)) = best.max_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
    let title = format!(
        "Most bytes a second: {} with {}, at messages of {}",
        curve.label,
        quantity::words(*most, Unit::BytesPerSecond.name()),
        quantity::bytes(*size)
    );
    let caption = "Payload bytes delivered a second, and the p99 of a stream of small messages \
        beside; both axes logarithmic.";
    let bystander = curves(BYSTANDER_P99);
    let plot = |title: &str, y_name, metric: &Metric, y_tick| {
        let (title, x_name, x_tick) = (title.to_owned(), "message size", &quantity::bytes as _);
        Plot { title, x_name, y_name, better: metric.better, x_tick, y_tick, ideal: false }
    };
    let bytes = plot("Goodput", "bytes a second (log)", GOODPUT_BYTES, &quantity::decimal_bytes);
    let mut plots = vec![(goodput.clone(), bytes)];
    if !bystander.is_empty() {
        let p99 = plot("Small messages beside", "p99 (log)", BYSTANDER_P99, &time);
        plots.push((bystander.clone(), p99));
    }
    let mut figure = compose(title, caption.to_owned(), plots);
    let beside = |label: &str, size: f64| {
        let own = bystander.iter().find(|curve| curve.label == label)?;
        own.points.iter().find(|(other, ..)| *other == size).map(|(_, ns, _)| time(*ns))
    };
    let row = |curve: &Curve, (size, value, _): &(f64, f64, bool)| {
        vec![
            curve.label.clone(),
            quantity::bytes(*size),
            quantity::words(*value, Unit::BytesPerSecond.name()),
            or_dash(beside(&curve.label, *size), |text| text),
        ]
    };
    let rows =
        goodput.iter().flat_map(|curve| curve.points.iter().map(move |point| row(curve, point)));
    let head = ["label", "message size", "goodput", "p99 of small messages beside"];
    figure.data = DataTable::new(head, rows.collect());
    Some(figure)
}

pub fn scaling(key: &'static str, groups: &[Group<'_>]) -> Option<Figure> {
    let rate =
        |group: &Group<'_>| group.mean(|cell| cell.rates.goodput_per_s).map(|mean| mean.value());
    let rates = groups.iter().filter_map(|group| {
        let place = (group.label, group.system, group.point);
        scaled(key, place, rate(group)?, complete(group), held_by_consumers(group))
    });
    let rates: Vec<ScaledRate<'_>> = rates.collect();
    let mut families = speedups(key, &rates);
    let row = |family: &SpeedupGroup, curve: &Curve, (n, factor, complete): (f64, f64, bool)| {
        let same = |one: &&ScaledRate<'_>| {
            (one.n, one.label, &one.condition) == (n, &*curve.label, &family.condition)
        };
        vec![
            family.condition.clone(),
            curve.label.clone(),
            quantity::plain(n),
            or_dash(rates.iter().find(same), |one| significant(one.rate)),
            significant(factor),
            if complete { "yes" } else { "no" }.to_owned(),
        ]
    };
    let curves =
        families.iter().flat_map(|family| family.curves.iter().map(move |curve| (family, curve)));
    let rows = curves.flat_map(|(family, curve)| {
        curve.points.iter().map(move |point| row(family, curve, *point))
    });
    let head = ["condition", "label", key, "goodput, msg/s", "speed-up, ×", "complete"];
    let data = DataTable::new(head, rows.collect());
    families.iter_mut().for_each(|family| family.curves.retain(|curve| curve.points.len() > 1));
    families.retain(|family| !family.curves.is_empty());
    let last =
        |curve: &Curve| curve.points.last().map_or((0.0, 0.0), |(n, factor, _)| (*n, *factor));
    let all = || {
        families
            .iter()
            .flat_map(|family| family.curves.iter().map(move |curve| (&family.condition, curve)))
    };
    let best = all().max_by(|a, b| last(a.1).1.total_cmp(&last(b.1).1))?;
    let worst = all().min_by(|a, b| last(a.1).1.total_cmp(&last(b.1).1))?;
    let told = |(condition, curve): (&String, &Curve)| {
        let (n, factor) = last(curve);
        let at = if condition.is_empty() {
            String::new()
        } else {
            format!(", {}", worded(key, condition))
        };
        format!("{}× ({}, {} {key}{at})", significant(factor), curve.label, quantity::plain(n))
    };
    let title = match told(best) == told(worst) {
        true => format!("Speed-up: {}", told(best)),
        false => format!("Speed-up from {} to {}", told(worst), told(best)),
    };
    let counted = groups.iter().map(|group| group.blocks.len()).min().unwrap_or(0);
    let caption = format!(
        "Messages delivered a second against the fewest {key}; dashed: the ideal; hollow: not \
        everything arrived everywhere. {}.",
        blocks(counted)
    );
    let plot = |condition: &str| Plot {
        title: if condition.is_empty() { "All".to_owned() } else { worded(key, condition) },
        x_name: key,
        y_name: "speed-up, ×",
        better: SPEED_UP.better,
        x_tick: &whole,
        y_tick: &whole,
        ideal: true,
    };
    let plots =
        families.into_iter().map(|family| (family.curves, plot(&family.condition))).collect();
    let mut figure = compose(title, caption, plots);
    figure.data = data;
    Some(figure)
}

/// Plots beside each other, two in a row, with title, legend and caption.
pub fn compose(title: String, caption: String, plots: Vec<(Vec<Curve>, Plot<'_>)>) -> Figure {
    let (mut figure, top) = Figure::titled(title, caption);
    let y = lines::plots(&mut figure, &plots, (2, 30.0, 320.0), top);
    let curves = plots.iter().flat_map(|(curves, _)| curves.iter());
    let ideal = plots.iter().any(|(_, plot)| plot.ideal);
    let labels = curves.map(|curve| (curve.label.as_str(), curve.system.as_str()));
    let y = lines::legend_of(&mut figure, labels, ideal, y + 12.0);
    figure.captioned(y + 4.0)
}

/// The other keys of a matrix in words; with consumers that is the work on each message.
fn worded(key: &str, condition: &str) -> String {
    if key == SHARING { format!("{condition} of work each") } else { condition.to_owned() }
}

/// Whether every block delivered everything everywhere.
fn complete(group: &Group<'_>) -> bool {
    group
        .blocks
        .iter()
        .all(|cell| cell.counts.lost.unwrap_or(0) == 0 && cell.counts.undelivered.unwrap_or(0) == 0)
}

/// The least of its blocks; `None` where one does not say.
fn held_by_consumers(group: &Group<'_>) -> Option<f64> {
    let shares: Option<Vec<f64>> = group.blocks.iter().map(|cell| cell.held_by_consumers).collect();
    shares?.into_iter().reduce(f64::min)
}

fn whole(value: f64) -> String {
    match value {
        value if value.fract() != 0.0 => significant(value),
        value if value < 1000.0 => format!("{value:.0}"),
        value => compact(value),
    }
}
