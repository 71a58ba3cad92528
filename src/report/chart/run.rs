//! The charts of dots of one run: throughput with intervals, quantiles of latency.

use super::canvas::Figure;
use super::rows::{self, Axis, Block, Marks};
use crate::model::Point;
use crate::model::metric::{END_TO_END, GOODPUT};
use crate::report::group::{Group, blocks};
use crate::report::table::DataTable;
use crate::result::LatencyValue;
use crate::result::words::{TimeUnit, compact, grouped, or_dash, significant, survival, time};
use crate::stats::compare::GeometricMean;
use itertools::Itertools;

/// Goodput of the closed model, grouped by matrix point and survival class.
pub fn throughput(groups: &[Group<'_>]) -> Option<Figure> {
    let groups: Vec<&Group<'_>> = groups.iter().filter(|group| !group.open_loop()).collect();
    let goodput = |group: &Group<'_>| group.mean(|cell| cell.rates.goodput_per_s);
    let measured: Vec<(&Group<'_>, GeometricMean)> =
        groups.iter().filter_map(|group| Some((*group, goodput(group)?))).collect();
    let (least, most) =
        measured.iter().minmax_by(|a, b| a.1.value().total_cmp(&b.1.value())).into_option()?;
    let told = |(group, mean): &(&Group<'_>, GeometricMean)| {
        format!("{} msg/s ({})", compact(mean.value()), named(group))
    };
    let title = format!("Goodput from {} to {}", told(least), told(most));
    let count = measured.iter().map(|(_, mean)| mean.blocks()).min().unwrap_or(0);
    let delivered = measured
        .iter()
        .flat_map(|(group, _)| &group.blocks)
        .filter_map(|cell| cell.counts.delivered);
    let caption = format!(
        "Messages acknowledged and received by every subscription, as fast as it goes (closed \
        loop). Geometric mean of {}, n ≥ {} a block, {}.",
        blocks(count),
        grouped(delivered.min().unwrap_or(0)),
        if count >= 3 {
            "line: 95 % interval"
        } else {
            "small marks: single blocks; no interval below 3 blocks"
        }
    );
    let mut drawn: Vec<Block> = Vec::new();
    for group in &groups {
        let class = group.blocks.first().map(|cell| survival(&cell.survives)).unwrap_or_default();
        let mean = goodput(group);
        let single = group.values(|cell| cell.rates.goodput_per_s);
        let marks = Marks {
            value: mean.map(|mean| mean.value()),
            others: single.into_iter().filter(|_| count < 3 && count > 1).collect(),
            bar: mean.and_then(|mean| mean.interval()).map(|[low, high]| (low, high)),
            text: mean.map_or_else(
                || group.absent().unwrap_or_else(|| "no value".to_owned()),
                |mean| format!("{} msg/s{}", compact(mean.value()), interval(&mean)),
            ),
            ..Marks::default()
        };
        rows::push(
            &mut drawn,
            format!("{} · {class}", group.point),
            (group.label, group.system),
            marks,
        );
    }
    let head = ["matrix point", "label", "goodput, msg/s", "95 % interval", "blocks"];
    let row = |group: &&Group<'_>| {
        let mean = goodput(group);
        let value = mean.map(|mean| significant(mean.value())).or_else(|| group.absent());
        let interval = mean.and_then(|mean| mean.interval());
        vec![
            group.point.to_owned(),
            group.label.to_owned(),
            or_dash(value, |text| text),
            or_dash(interval, |[low, high]| {
                format!("{} to {}", significant(low), significant(high))
            }),
            mean.map_or(0, |mean| mean.blocks()).to_string(),
        ]
    };
    let data = DataTable::new(head, groups.iter().map(row).collect());
    let axis = Axis {
        name: "goodput, messages a second (log)".to_owned(),
        better: GOODPUT.better,
        log: true,
        tick: &compact,
    };
    Some(finish((title, caption), &drawn, axis, data))
}

/// End-to-end p50, p99 and p99.9 of the open model, grouped by matrix point.
pub fn latency(groups: &[Group<'_>]) -> Option<Figure> {
    let groups: Vec<&Group<'_>> = groups.iter().filter(|group| group.open_loop()).collect();
    let quantiles = |group: &Group<'_>| ["p50", "p99", "p99_9"].map(|name| group.end_to_end(name));
    let measured: Vec<(&Group<'_>, LatencyValue)> = (groups.iter())
        .filter_map(|group| {
            let [p50, p99, _] = quantiles(group);
            Some((*group, p99.or(p50)?))
        })
        .collect();
    let (best, worst) =
        measured.iter().minmax_by(|a, b| a.1.least().total_cmp(&b.1.least())).into_option()?;
    let told = |(group, value): &(&Group<'_>, LatencyValue)| {
        format!("{} ({})", value.words(time), named(group))
    };
    let title = format!("End-to-end p99 from {} to {}", told(best), told(worst));
    let count = groups.iter().map(|group| group.blocks.len()).min().unwrap_or(0);
    let samples = |group: &&Group<'_>| {
        group.values(|cell| cell.latency.end_to_end.as_ref().map(|q| q.count as f64))
    };
    let least =
        measured.iter().flat_map(|(group, _)| samples(group)).fold(f64::INFINITY, f64::min) as u64;
    let caption = format!(
        "Received − planned send time at a fixed rate (open loop). Small marks p50 and p99.9, \
        large mark p99; geometric mean of {}, n ≥ {} a block.",
        blocks(count),
        grouped(least)
    );
    let values = groups.iter().flat_map(|group| quantiles(group)).flatten();
    let unit = TimeUnit::for_column(values.map(LatencyValue::least));
    let mut drawn: Vec<Block> = Vec::new();
    for group in &groups {
        let without = || group.absent().unwrap_or_else(|| "too few samples".to_owned());
        let marks = Marks::quantiles(unit, quantiles(group), without);
        rows::push(&mut drawn, group.point.to_owned(), (group.label, group.system), marks);
    }
    let [p50, p99, p999] = ["p50", "p99", "p99.9"].map(|name| format!("{name}, {}", unit.name()));
    let head = ["matrix point".into(), "label".into(), p50, p99, p999, "blocks".into()];
    let row = |group: &&Group<'_>| {
        let words = |value: LatencyValue| value.words(|ns| unit.of(ns));
        let numbers = quantiles(group).map(|value| or_dash(value, words));
        let place = [group.point, group.label].map(str::to_owned).into_iter();
        place.chain(numbers).chain([group.blocks.len().to_string()]).collect()
    };
    let data = DataTable::new(head, groups.iter().map(row).collect());
    let name = format!("end-to-end latency, {} (log)", unit.name());
    let tick = |ns: f64| unit.of(ns);
    let axis = Axis { name, better: END_TO_END.better, log: true, tick: &tick };
    Some(finish((title, caption), &drawn, axis, data))
}

fn interval(mean: &GeometricMean) -> String {
    mean.interval()
        .map_or_else(String::new, |[low, high]| format!(" [{}, {}]", compact(low), compact(high)))
}

fn named(group: &Group<'_>) -> String {
    if Point::read(group.point).is_base() {
        group.label.to_owned()
    } else {
        format!("{}, {}", group.label, group.point)
    }
}

fn finish(
    (title, caption): (String, String),
    drawn: &[Block],
    axis: Axis<'_>,
    data: DataTable,
) -> Figure {
    let (mut figure, top) = Figure::titled(title, caption);
    figure.data = data;
    let bottom = rows::draw(&mut figure, drawn, &[axis], top + 4.0);
    figure.captioned(bottom + 10.0)
}
