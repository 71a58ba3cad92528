//! p99 of healthy messages without and with poison among them, as dumbbells; what was lost and held up in words.

use super::super::canvas::Figure;
use super::super::rows::{self, Axis, Marks};
use crate::model::Point;
use crate::report::cells::{Cells, reason};
use crate::report::quantity;
use crate::result::ComparedCell;
use crate::result::words::{TimeUnit, time};

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let all = cells.metric("healthy.p99");
    let unit = TimeUnit::for_column(all.iter().filter_map(|cell| cell.value));
    let mut blocks = Vec::new();
    for (label, system) in cells.labels() {
        let share = |cell: &ComparedCell| Point::read(&cell.cell).number("poison").unwrap_or(0.0);
        let own = |poisoned: bool| {
            let cell = all.iter().find(|cell| cell.label == label && (share(cell) > 0.0) == poisoned);
            cell.and_then(|cell| cell.value)
        };
        let (clean, value) = (own(false), own(true));
        let (others, bar, text) = (clean.into_iter().collect(), clean.zip(value), words(cells, label));
        rows::push(&mut blocks, String::new(), (label, system), Marks { value, others, bar, text });
    }
    let name = format!("healthy p99, {} (log): small without poison, large with", unit.name());
    let y = rows::draw(figure, &blocks, &[Axis { name, log: true, tick: &|ns| unit.of(ns) }], top + 4.0);
    let crashes: Vec<String> = cells.labels().into_iter().filter_map(|(label, _)| crash(cells, label)).collect();
    match &crashes[..] {
        [] => y,
        _ => figure.note(y + 4.0, &format!("Consumer killed in mid-batch: {}.", crashes.join("; "))),
    }
}

/// `0 lost, 12 twice, 340 held up; set aside within 3.1 ms`.
fn words(cells: &Cells<'_>, label: &str) -> String {
    // Of the load with poison in it, where that is told apart.
    let of = |metric: &str| {
        let with = |cell: &&ComparedCell| Point::read(&cell.cell).number("poison").is_none_or(|share| share > 0.0);
        cells.of_label(label, metric).into_iter().filter(|cell| cell.value.is_some()).find(with)
    };
    let count = |metric: &str, word: &str| {
        of(metric).and_then(|cell| cell.value).map(|value| format!("{} {word}", quantity::plain(value)))
    };
    let counts = [("lost", "lost"), ("duplicated", "twice"), ("blocked", "held up")];
    let counts: Vec<String> = counts.into_iter().filter_map(|(metric, word)| count(metric, word)).collect();
    let aside = of("dead_letter.time_p50")
        .and_then(|cell| cell.value)
        .map(|ns| format!("p50 to dead letter {}", time(ns)))
        .or_else(|| {
            let unable = cells.find(label, "dead_letter.time_p50", &[]).filter(|cell| cell.value.is_none());
            unable.or(cells.find(label, "dead_lettered", &[]).filter(|cell| cell.value.is_none())).map(reason)
        });
    let parts: Vec<String> = Some(counts.join(", ")).filter(|text| !text.is_empty()).into_iter().chain(aside).collect();
    if parts.is_empty() { cells.absent(label).unwrap_or_else(|| "not measured".to_owned()) } else { parts.join("; ") }
}

/// `kafka 0 lost, 12 twice`.
fn crash(cells: &Cells<'_>, label: &str) -> Option<String> {
    let lost = cells.value(label, "crash.lost", &[])?;
    let twice = cells.value(label, "crash.duplicated", &[]);
    let twice = twice.map_or_else(String::new, |count| format!(", {} twice", quantity::plain(count)));
    Some(format!("{label} {} lost{twice}", quantity::plain(lost)))
}
