//! p99 of healthy messages without and with poison among them, as dumbbells; what was lost and held
//! up in words.

use super::super::canvas::Figure;
use super::super::rows::{self, Axis, Marks};
use crate::model::Point;
use crate::model::metric::HEALTHY_P99;
use crate::report::cells::{Cells, reason};
use crate::report::quantity;
use crate::result::ComparedCell;
use crate::result::words::{TimeUnit, time};
use itertools::Itertools;

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let all = cells.metric("healthy.p99");
    let unit = TimeUnit::for_column(all.iter().filter_map(|cell| cell.value));
    let mut blocks = Vec::new();
    for (label, system) in cells.labels() {
        let share = |cell: &ComparedCell| Point::read(&cell.cell).number("poison").unwrap_or(0.0);
        let own = |poisoned: bool| {
            let cell =
                all.iter().find(|cell| cell.label == label && (share(cell) > 0.0) == poisoned);
            cell.and_then(|cell| cell.value)
        };
        let (clean, value) = (own(false), own(true));
        let (others, bar, text) =
            (clean.into_iter().collect(), clean.zip(value), words(cells, label));
        let marks = Marks { value, others, bar, text, ..Marks::default() };
        rows::push(&mut blocks, String::new(), (label, system), marks);
    }
    let name = format!("healthy p99, {} (log): small without poison, large with", unit.name());
    let crashes =
        cells.labels().into_iter().filter_map(|(label, _)| crash(cells, label)).join("; ");
    if !crashes.is_empty() {
        figure.notes.push(format!("Consumers killed in mid-batch, for each: {crashes}."));
    }
    let tick = |ns: f64| unit.of(ns);
    let axis = Axis { name, better: HEALTHY_P99.better, log: true, tick: &tick };
    rows::draw(figure, &blocks, &[axis], top)
}

/// `0 lost, 12 twice, 340 held up; set aside within 3.1 ms`.
fn words(cells: &Cells<'_>, label: &str) -> String {
    let of = |metric: &str| cells.above(label, metric, "poison");
    let count = |metric: &str, word: &str| {
        of(metric).map(|value| format!("{} {word}", quantity::plain(value)))
    };
    let counts = [("lost", "lost"), ("duplicated", "twice"), ("blocked", "held up")];
    let counts = counts.into_iter().filter_map(|(metric, word)| count(metric, word)).join(", ");
    let aside = of("dead_letter.time_p50")
        .map(|ns| format!("p50 to dead letter {}", time(ns)))
        .or_else(|| {
            let unable =
                cells.find(label, "dead_letter.time_p50", &[]).filter(|cell| cell.value.is_none());
            unable
                .or(cells.find(label, "dead_lettered", &[]).filter(|cell| cell.value.is_none()))
                .map(reason)
        });
    let parts = Some(counts).filter(|text| !text.is_empty()).into_iter().chain(aside).join("; ");
    if parts.is_empty() {
        cells.absent(label).unwrap_or_else(|| "not measured".to_owned())
    } else {
        parts
    }
}

/// `kafka 0 lost, 12 twice`.
fn crash(cells: &Cells<'_>, label: &str) -> Option<String> {
    let lost = cells.value(label, "crash.lost", &[])?;
    let twice = cells.value(label, "crash.duplicated", &[]);
    let twice =
        twice.map_or_else(String::new, |count| format!(", {} twice", quantity::plain(count)));
    Some(format!("{label} {} lost{twice}", quantity::plain(lost)))
}
