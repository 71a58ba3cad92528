//! Figures over one quantity that a run varied: the size ladder of an experiment, speed-up of a matrix.

use super::canvas::{DataTable, Figure, INK, MUTED};
use super::lines::{self, Curve, Plot};
use crate::model::{Point, Unit};
use crate::report::group::{Group, blocks};
use crate::report::observed::ObservedMetric;
use crate::report::quantity;
use crate::report::scaling::{FAN_OUT, SHARING, speedup};
use crate::result::words::{compact, significant, time};

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 16.0;
const HIGH: f64 = 320.0;
const GAP: f64 = 30.0;

/// Goodput against message size, with the p99 of small messages beside it.
pub fn ladder(seen: &[ObservedMetric<'_>]) -> Option<Figure> {
    let curves = |metric: &str| {
        let mut curves: Vec<Curve> = Vec::new();
        for seen in seen.iter().filter(|seen| seen.metric == metric) {
            let (Some(size), Some(value)) = (Point::read(seen.point).number("size"), seen.value()) else { continue };
            let filled = seen.label == seen.system;
            let at = curves.iter().position(|curve| curve.label == seen.label).unwrap_or_else(|| {
                curves.push(Curve { label: seen.label.into(), system: seen.system.into(), points: Vec::new() });
                curves.len() - 1
            });
            // Of several payloads or codecs at one size the fastest goes onto the chart; the table has all.
            match curves[at].points.iter_mut().find(|(known, ..)| *known == size) {
                Some((_, known, _)) => *known = known.max(value),
                None => curves[at].points.push((size, value, filled)),
            }
        }
        curves.iter_mut().for_each(|curve| curve.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
        curves
    };
    let goodput = curves("goodput_bytes");
    let best = goodput.iter().flat_map(|curve| curve.points.iter().map(move |point| (curve, point)));
    let (curve, (size, most, _)) = best.max_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
    let title = format!(
        "Most bytes a second: {} with {}, at messages of {}",
        curve.label,
        quantity::words(*most, Unit::BytesPerSecond.name()),
        quantity::bytes(*size)
    );
    let caption =
        "Payload bytes delivered a second, and the p99 of a stream of small messages beside; both axes logarithmic.";
    let bystander = curves("bystander.p99");
    let mut plots = vec![(
        &goodput,
        Plot {
            title: "Goodput".to_owned(),
            x_name: "message size",
            y_name: "bytes a second (log)".to_owned(),
            x_tick: &quantity::bytes,
            y_tick: &quantity::decimal_bytes,
            ideal: false,
        },
    )];
    if !bystander.is_empty() {
        plots.push((
            &bystander,
            Plot {
                title: "Small messages beside".to_owned(),
                x_name: "message size",
                y_name: "p99 (log)".to_owned(),
                x_tick: &quantity::bytes,
                y_tick: &time,
                ideal: false,
            },
        ));
    }
    let mut figure = compose(title, caption.to_owned(), &plots);
    figure.data.head = ["label", "message size", "goodput", "p99 of small messages beside"].map(str::to_owned).into();
    for curve in &goodput {
        for (size, value, _) in &curve.points {
            let beside = bystander.iter().filter(|other| other.label == curve.label).flat_map(|other| &other.points);
            let beside = beside.clone().find(|(other, ..)| other == size).map(|(_, ns, _)| time(*ns));
            figure.data.rows.push(vec![
                curve.label.clone(),
                quantity::bytes(*size),
                quantity::words(*value, Unit::BytesPerSecond.name()),
                beside.unwrap_or_else(|| "–".to_owned()),
            ]);
        }
    }
    Some(figure)
}

/// Speed-up over subscriptions (`fan-out`) or consumers (`sharing`) of the run's matrix, with the file's name.
pub fn scaling(groups: &[Group<'_>]) -> Vec<(&'static str, Figure)> {
    let named = [(FAN_OUT, "fan-out"), (SHARING, "sharing")];
    named.into_iter().filter_map(|(key, name)| Some((name, scaling_of(key, groups)?))).collect()
}

fn scaling_of(key: &'static str, groups: &[Group<'_>]) -> Option<Figure> {
    let mut families: Vec<(String, Vec<Curve>)> = Vec::new();
    let mut data = DataTable {
        head: ["condition", "label", key, "goodput, msg/s", "speed-up, ×", "complete"].map(str::to_owned).into(),
        rows: Vec::new(),
    };
    for group in groups.iter().filter(|group| Point::read(group.point).number(key).is_some()) {
        let condition = Point::read(group.point).without(&[key]).values();
        let known = families.iter().position(|(known, _)| *known == condition);
        let at = known.unwrap_or_else(|| {
            families.push((condition.clone(), Vec::new()));
            families.len() - 1
        });
        if families[at].1.iter().any(|curve| curve.label == group.label) {
            continue;
        }
        let own = || {
            let same = |other: &&Group<'_>| {
                other.label == group.label && Point::read(other.point).without(&[key]).values() == condition
            };
            groups.iter().filter(move |other| same(other)).filter_map(|other| {
                let rate = other.mean(|cell| cell.rates.goodput_per_s)?.value();
                Some((Point::read(other.point).number(key)?, rate, complete(other)))
            })
        };
        let steps = speedup(key, own().collect());
        for (step, (_, rate, complete)) in steps.iter().zip(own()) {
            let row = [
                condition.clone(),
                group.label.to_owned(),
                quantity::plain(step.n),
                significant(rate),
                significant(step.factor),
                if complete { "yes" } else { "no" }.to_owned(),
            ];
            data.rows.push(row.into());
        }
        let points = steps.iter().map(|step| (step.n, step.factor, step.complete)).collect();
        families[at].1.push(Curve { label: group.label.into(), system: group.system.into(), points });
    }
    families.iter_mut().for_each(|(_, curves)| curves.retain(|curve| curve.points.len() > 1));
    families.retain(|(_, curves)| !curves.is_empty());
    let last = |curve: &Curve| curve.points.last().map_or((0.0, 0.0), |(n, factor, _)| (*n, *factor));
    let all = || families.iter().flat_map(|(condition, curves)| curves.iter().map(move |curve| (condition, curve)));
    let best = all().max_by(|a, b| last(a.1).1.total_cmp(&last(b.1).1))?;
    let worst = all().min_by(|a, b| last(a.1).1.total_cmp(&last(b.1).1))?;
    let told = |(condition, curve): (&String, &Curve)| {
        let (n, factor) = last(curve);
        let at = if condition.is_empty() { String::new() } else { format!(", {}", worded(key, condition)) };
        format!("{}× ({}, {} {key}{at})", significant(factor), curve.label, quantity::plain(n))
    };
    let title = match told(best) == told(worst) {
        true => format!("Speed-up: {}", told(best)),
        false => format!("Speed-up from {} to {}", told(worst), told(best)),
    };
    let counted = groups.iter().map(|group| group.blocks.len()).min().unwrap_or(0);
    let caption = format!(
        "Messages delivered a second against the fewest {key}; dashed: the ideal; hollow: not everything arrived everywhere. {}.",
        blocks(counted)
    );
    let plots: Vec<(&Vec<Curve>, Plot<'_>)> = (families.iter())
        .map(|(condition, curves)| {
            let title = if condition.is_empty() { "All".to_owned() } else { worded(key, condition) };
            let y_name = "speed-up, ×".to_owned();
            (curves, Plot { title, x_name: key, y_name, x_tick: &whole, y_tick: &whole, ideal: true })
        })
        .collect();
    let mut figure = compose(title, caption, &plots);
    figure.data = data;
    Some(figure)
}

/// Plots beside each other, two in a row, with title, legend and caption.
pub fn compose(title: String, caption: String, plots: &[(&Vec<Curve>, Plot<'_>)]) -> Figure {
    let mut figure = Figure::new(WIDTH, title, caption);
    let room = WIDTH - 2.0 * MARGIN;
    let mut y = figure.wrapped((MARGIN, 24.0), &figure.title.clone(), 15.0, INK, room, true);
    let mut labels: Vec<(String, String)> = Vec::new();
    for row in plots.chunks(2) {
        let wide = (room - GAP * (row.len() as f64 - 1.0)) / row.len() as f64;
        for (at, (curves, plot)) in row.iter().enumerate() {
            let left = MARGIN + (wide + GAP) * at as f64;
            lines::draw(&mut figure, curves, plot, (left, left + wide, y, y + HIGH));
            let new = curves.iter().map(|curve| (curve.label.clone(), curve.system.clone()));
            labels.extend(new);
        }
        y += HIGH + 8.0;
    }
    let mut seen = Vec::new();
    labels.retain(|label| {
        !seen.contains(label) && {
            seen.push(label.clone());
            true
        }
    });
    let ideal = plots.iter().any(|(_, plot)| plot.ideal);
    y = lines::legend(&mut figure, &labels, ideal, (MARGIN, y + 8.0), room);
    let foot = figure.wrapped((MARGIN, y + 4.0), &figure.caption.clone(), 11.0, MUTED, room, false);
    figure.height = foot + 4.0;
    figure
}

/// The other keys of a matrix in words; with consumers that is the work on each message.
fn worded(key: &str, condition: &str) -> String {
    if key == SHARING { format!("{condition} of work each") } else { condition.to_owned() }
}

/// Whether every block delivered everything everywhere.
fn complete(group: &Group<'_>) -> bool {
    group.blocks.iter().all(|cell| cell.counts.lost.unwrap_or(0) == 0 && cell.counts.undelivered.unwrap_or(0) == 0)
}

fn whole(value: f64) -> String {
    if value.fract() == 0.0 { compact_whole(value) } else { significant(value) }
}

fn compact_whole(value: f64) -> String {
    if value < 1000.0 { format!("{value:.0}") } else { compact(value) }
}
