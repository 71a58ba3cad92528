//! Requests between deliveries with the wake-up latency beside, a block for each rate; the stalled
//! reader in words.

use super::super::canvas::Figure;
use super::super::rows::{self, Axis, Block, Marks, Row};
use super::absences;
use crate::model::Point;
use crate::model::metric::{REQUESTS_PER_BATCH, WAKE_UP_P99};
use crate::report::cells::{Cells, reason};
use crate::report::quantity;
use crate::result::words::{TimeUnit, or_dash, significant};
use itertools::Itertools;

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let requests = cells.metric("requests_per_batch");
    let measured =
        requests.iter().filter(|cell| cell.value.is_some()).map(|cell| cell.cell.as_str());
    let points = measured.sorted_by_key(|point| Point::read(point)).dedup();
    let wake_ups =
        || ["wake_up.p50", "wake_up.p99"].into_iter().flat_map(|metric| cells.metric(metric));
    let unit = TimeUnit::for_column(wake_ups().filter_map(|cell| cell.value));
    let labels = cells.labels();
    let row = |label: &str, system: &str, at: &str| {
        let here =
            |metric: &str| cells.of_label(label, metric).into_iter().find(|cell| cell.cell == at);
        let asked = here("requests_per_batch")?;
        let [p50, p99] =
            ["wake_up.p50", "wake_up.p99"].map(|metric| here(metric).and_then(|cell| cell.value));
        let number = |value: Option<f64>| or_dash(value, |ns| unit.of(ns));
        Some(Row {
            label: label.to_owned(),
            system: system.to_owned(),
            marks: vec![
                Marks {
                    value: asked.value,
                    text: asked.value.map_or_else(|| reason(asked), significant),
                    ..Marks::default()
                },
                Marks {
                    value: p99.or(p50),
                    others: p99.and(p50).into_iter().collect(),
                    bar: p50.zip(p99),
                    text: format!("{} · {} {}", number(p50), number(p99), unit.name()),
                    ..Marks::default()
                },
            ],
        })
    };
    let blocks: Vec<Block> = points
        .map(|at| Block {
            header: Point::read(at)
                .get("rate")
                .map_or(Point::read(at).values(), |rate| format!("at {rate}")),
            rows: labels.iter().filter_map(|(label, system)| row(label, system, at)).collect(),
        })
        .collect();
    let tick = |ns: f64| unit.of(ns);
    let axes = [
        Axis {
            name: "requests per batch delivered".to_owned(),
            better: REQUESTS_PER_BATCH.better,
            log: false,
            tick: &significant,
        },
        Axis {
            name: format!("wake-up p50, p99, {} (log)", unit.name()),
            better: WAKE_UP_P99.better,
            log: true,
            tick: &tick,
        },
    ];
    let stalled = labels.iter().filter_map(|(label, _)| stalled(cells, label)).join("; ");
    if !stalled.is_empty() {
        figure.notes.push(format!("A consumer that stops reading: {stalled}."));
    }
    absences(figure, cells);
    rows::draw(figure, &blocks, &axes, top)
}

/// `redis-pubsub is cut off, 12,345 of 50,000 lost`.
fn stalled(cells: &Cells<'_>, label: &str) -> Option<String> {
    let value = |metric: &str| cells.value(label, metric, &[]);
    let lost = value("stalled.lost")?;
    let of = value("stalled.sent")
        .map_or_else(String::new, |sent| format!(" of {}", quantity::plain(sent)));
    let cut = if value("stalled.cut_off").is_some_and(|cut| cut > 0.5) {
        "is cut off, "
    } else {
        "stays, "
    };
    let lost = if lost == 0.0 {
        "nothing lost".to_owned()
    } else {
        format!("{}{of} lost", quantity::plain(lost))
    };
    Some(format!("{label} {cut}{lost}"))
}
