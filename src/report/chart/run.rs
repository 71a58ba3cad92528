//! The charts of dots of one run: throughput with intervals, quantiles of latency.

use super::canvas::{Figure, INK, MUTED};
use super::rows::{self, Axis, Block, Marks, Row};
use crate::model::Point;
use crate::report::group::{Group, blocks};
use crate::result::words::{TimeUnit, compact, grouped, significant, survival, time};
use crate::stats::compare::GeometricMean;

const WIDTH: f64 = 900.0;

/// Goodput of the closed model, grouped by matrix point and survival class.
pub fn throughput(groups: &[Group<'_>]) -> Option<Figure> {
    let groups: Vec<&Group<'_>> = groups.iter().filter(|group| !group.open_loop()).collect();
    let goodput = |group: &&Group<'_>| group.mean(|cell| cell.rates.goodput_per_s);
    let measured: Vec<(&Group<'_>, GeometricMean)> =
        groups.iter().filter_map(|group| Some((*group, goodput(group)?))).collect();
    let least = measured.iter().min_by(|a, b| a.1.value().total_cmp(&b.1.value()))?;
    let most = measured.iter().max_by(|a, b| a.1.value().total_cmp(&b.1.value()))?;
    let title = format!(
        "Goodput from {} msg/s ({}) to {} msg/s ({})",
        compact(least.1.value()),
        named(least.0),
        compact(most.1.value()),
        named(most.0)
    );
    let count = measured.iter().map(|(_, mean)| mean.blocks()).min().unwrap_or(0);
    let delivered = measured
        .iter()
        .flat_map(|(group, _)| &group.blocks)
        .filter_map(|cell| cell.counts.delivered)
        .min()
        .unwrap_or(0);
    let caption = format!(
        "Messages acknowledged and received by every subscription, as fast as it goes (closed loop). Geometric mean of {}, n ≥ {} a block, {}.",
        blocks(count),
        grouped(delivered),
        if count >= 3 { "line: 95 % interval" } else { "small marks: single blocks; no interval below 3 blocks" }
    );
    let mut drawn: Vec<Block> = Vec::new();
    for group in &groups {
        let class = group.blocks.first().map(|cell| survival(&cell.survives)).unwrap_or_default();
        let header = format!("{} · {class}", group.point);
        let mean = goodput(group);
        let row = Row {
            label: group.label.to_owned(),
            system: group.system.to_owned(),
            marks: vec![Marks {
                value: mean.map(|mean| mean.value()),
                others: group
                    .values(|cell| cell.rates.goodput_per_s)
                    .into_iter()
                    .filter(|_| count < 3 && count > 1)
                    .collect(),
                bar: mean.and_then(|mean| mean.interval()).map(|[low, high]| (low, high)),
                text: mean.map_or_else(
                    || group.absent().unwrap_or_else(|| "no value".to_owned()),
                    |mean| format!("{} msg/s{}", compact(mean.value()), interval(&mean, compact)),
                ),
            }],
        };
        match drawn.iter_mut().find(|block| block.header == header) {
            Some(block) => block.rows.push(row),
            None => drawn.push(Block { header, rows: vec![row] }),
        }
    }
    let mut figure = finish(title, caption, &drawn, "goodput, messages a second (log)", compact);
    figure.data.head = ["matrix point", "label", "goodput, msg/s", "95 % interval", "blocks"].map(str::to_owned).into();
    figure.data.rows = (groups.iter())
        .map(|group| {
            let mean = goodput(group);
            vec![
                group.point.to_owned(),
                group.label.to_owned(),
                mean.map_or_else(|| group.absent().unwrap_or_else(|| "–".into()), |mean| significant(mean.value())),
                mean.and_then(|mean| mean.interval())
                    .map_or_else(|| "–".into(), |[low, high]| format!("{} to {}", significant(low), significant(high))),
                mean.map_or(0, |mean| mean.blocks()).to_string(),
            ]
        })
        .collect();
    Some(figure)
}

/// End-to-end p50, p99 and p99.9 of the open model, grouped by matrix point.
pub fn latency(groups: &[Group<'_>]) -> Option<Figure> {
    let groups: Vec<&Group<'_>> = groups.iter().filter(|group| group.open_loop()).collect();
    let p50 = |group: &Group<'_>| group.end_to_end(|q| q.p50_ns).map(|mean| mean.value());
    let p99 = |group: &Group<'_>| group.end_to_end(|q| q.p99_ns).map(|mean| mean.value());
    let p999 = |group: &Group<'_>| group.end_to_end(|q| q.p99_9_ns).map(|mean| mean.value());
    let measured: Vec<(&Group<'_>, f64)> =
        groups.iter().filter_map(|group| Some((*group, p99(group).or_else(|| p50(group))?))).collect();
    let best = measured.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let worst = measured.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let title =
        format!("End-to-end p99 from {} ({}) to {} ({})", time(best.1), named(best.0), time(worst.1), named(worst.0));
    let count = groups.iter().map(|group| group.blocks.len()).min().unwrap_or(0);
    let samples = |group: &&Group<'_>| group.values(|cell| cell.latency.end_to_end.as_ref().map(|q| q.count as f64));
    let least = measured.iter().flat_map(|(group, _)| samples(group)).fold(f64::INFINITY, f64::min) as u64;
    let caption = format!(
        "Received − planned send time at a fixed rate (open loop). Small marks p50 and p99.9, large mark p99; geometric mean of {}, n ≥ {} a block.",
        blocks(count),
        grouped(least)
    );
    let all = groups.iter().flat_map(|group| [p50(group), p99(group), p999(group)]).flatten();
    let unit = TimeUnit::for_column(all);
    let row = |group: &Group<'_>| {
        let values: Vec<f64> = [p50(group), p99(group), p999(group)].into_iter().flatten().collect();
        Row {
            label: group.label.to_owned(),
            system: group.system.to_owned(),
            marks: vec![Marks {
                value: p99(group),
                others: [p50(group), p999(group)].into_iter().flatten().collect(),
                bar: values.first().copied().zip(values.last().copied()),
                text: quantile_text(unit, [p50(group), p99(group), p999(group)])
                    .unwrap_or_else(|| group.absent().unwrap_or_else(|| "too few samples".to_owned())),
            }],
        }
    };
    let mut points: Vec<&str> = groups.iter().map(|group| group.point).collect();
    points.dedup();
    let drawn: Vec<Block> = points
        .into_iter()
        .map(|point| Block {
            header: point.to_owned(),
            rows: groups.iter().filter(|group| group.point == point).map(|group| row(group)).collect(),
        })
        .collect();
    let axis = format!("end-to-end latency, {} (log)", unit.name());
    let mut figure = finish(title, caption, &drawn, &axis, |ns| unit.of(ns));
    let head = |name: &str| format!("{name}, {}", unit.name());
    figure.data.head =
        vec!["matrix point".into(), "label".into(), head("p50"), head("p99"), head("p99.9"), "blocks".into()];
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |ns| unit.of(ns));
    figure.data.rows = (groups.iter())
        .map(|group| {
            vec![
                group.point.to_owned(),
                group.label.to_owned(),
                number(p50(group)),
                number(p99(group)),
                number(p999(group)),
                group.blocks.len().to_string(),
            ]
        })
        .collect();
    Some(figure)
}

/// `0.12 · 0.41 · 1.2 ms`, in the order p50, p99, p99.9; `None` without any.
pub fn quantile_text(unit: TimeUnit, values: [Option<f64>; 3]) -> Option<String> {
    values.iter().any(Option::is_some).then(|| {
        let texts = values.map(|value| value.map_or_else(|| "–".to_owned(), |ns| unit.of(ns)));
        format!("{} {}", texts.join(" · "), unit.name())
    })
}

pub fn interval(mean: &GeometricMean, print: fn(f64) -> String) -> String {
    mean.interval().map_or_else(String::new, |[low, high]| format!(" [{}, {}]", print(low), print(high)))
}

fn named(group: &Group<'_>) -> String {
    if Point::read(group.point).is_base() {
        group.label.to_owned()
    } else {
        format!("{}, {}", group.label, group.point)
    }
}

fn finish(title: String, caption: String, drawn: &[Block], axis: &str, label: impl Fn(f64) -> String) -> Figure {
    let mut figure = Figure::new(WIDTH, title, caption);
    let top = figure.wrapped((16.0, 24.0), &figure.title.clone(), 15.0, INK, WIDTH - 32.0, true);
    let axes = [Axis { name: axis.to_owned(), log: true, tick: &label }];
    let bottom = rows::draw(&mut figure, drawn, &axes, top + 4.0);
    let foot = figure.wrapped((16.0, bottom + 10.0), &figure.caption.clone(), 11.0, MUTED, WIDTH - 32.0, false);
    figure.height = foot + 4.0;
    figure
}
