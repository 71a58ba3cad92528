//! Configuration × what a killed broker cost: messages acknowledged and gone, and how long nothing could be published.

use super::super::canvas::{Figure, MUTED};
use super::matrix::{self, Entry, Line};
use super::{MARGIN, SMALL, absences};
use crate::report::cells::Cells;
use crate::report::{point, quantity};

const COLUMNS: [(&str, &str); 5] = [
    ("acknowledged and lost (RPO)", "rpo"),
    ("lost over the last", "rpo_time"),
    ("readable afterwards", "survivors"),
    ("kill to next ack (RTO)", "rto_publish"),
    ("of it down by plan", "down_time"),
];

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let shown: Vec<_> = COLUMNS.iter().filter(|(_, metric)| !cells.metric(metric).is_empty()).collect();
    let mut lines = Vec::new();
    for (label, system) in cells.labels() {
        let mut points: Vec<&str> =
            shown.iter().flat_map(|(_, metric)| cells.of_label(label, metric)).map(|cell| cell.cell.as_str()).collect();
        points.sort_unstable();
        points.dedup();
        for at in points {
            let of = |metric: &str| cells.of_label(label, metric).into_iter().find(|cell| cell.cell == at);
            let entry = |metric: &str| match (
                metric,
                of(metric).and_then(|cell| cell.value),
                of("acked").and_then(|c| c.value),
            ) {
                ("rpo", Some(lost), Some(acked)) => Entry {
                    text: format!("{} of {}", quantity::plain(lost), quantity::plain(acked)),
                    share: None,
                    known: true,
                },
                _ => matrix::entry(of(metric)),
            };
            let short = point::short(at);
            lines.push(Line {
                label: if short.is_empty() { label.to_owned() } else { format!("{label}, {short}") },
                system: system.to_owned(),
                entries: shown.iter().map(|(_, metric)| entry(metric)).collect(),
            });
        }
    }
    let head: Vec<String> = shown.iter().map(|(name, _)| (*name).to_owned()).collect();
    let y = matrix::draw(figure, &head, &lines, top + 4.0);
    let text = "One broker, killed under load and started again; messages, and time from the kill.";
    let y = figure.wrapped((MARGIN, y + 4.0), text, SMALL, MUTED, figure.width - 2.0 * MARGIN, false);
    absences(figure, cells, y)
}
