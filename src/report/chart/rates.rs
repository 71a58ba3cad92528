//! What happened over time: offered, sent, acknowledged and consumed messages a second, one panel
//! per label.

use super::axis::Scale;
use super::canvas::{Align, Figure, MUTED, SMALL};
use super::lines::legend;
use super::series::{self, SecondsPanel, Series};
use crate::model::Point;
use crate::report::table::DataTable;
use crate::result::WindowRow;
use crate::result::words::{compact, or_dash, significant};

const HIGH: f64 = 150.0;

const SERIES: [Series; 4] = [
    series::OFFERED,
    Series {
        name: "sent",
        color: Some(MUTED),
        width: 2.5,
        dash: &[],
        of: |row| Some(row.sent_messages),
    },
    series::ACKNOWLEDGED,
    series::CONSUMED,
];

pub fn draw(point: &str, panels: &[SecondsPanel<'_>]) -> Option<Figure> {
    let panels = series::long_enough(panels);
    let own = panels.first()?.color();
    let caption = "Messages in each second of the first valid block. Shaded: warm-up and drain, \
        outside the measured window.";
    let (mut figure, top) = Figure::titled(title(point, &panels), caption.to_owned());
    let top =
        legend(&mut figure, &SERIES.each_ref().map(|series| series.entry(own)), top + 4.0) + 14.0;
    let most = series::values(&panels, &SERIES).into_iter().fold(1.0, f64::max);
    let end = series::grid(&panels, top, |panel, (left, right), top| {
        let (from, to) = (top + 26.0, top + 26.0 + HIGH);
        let (x, y) = (series::axis(&panels, (left, right)), Scale::linear(most, to, from));
        series::label(&mut figure, panel, (left, right), top);
        series::shade(&mut figure, panel, &x, (from, to));
        y.draw_left(&mut figure, left, right, compact);
        figure.text((left, from - 9.0), "messages/s", SMALL, MUTED, Align::Left);
        series::lines(&mut figure, panel, &SERIES, &x, &y);
        series::ground(&mut figure, &x, (left, right), to)
    });
    let row = |panel: &SecondsPanel<'_>, row: &WindowRow| {
        let numbers =
            SERIES.iter().map(|series| or_dash((series.of)(row), |count| count.to_string()));
        [panel.record.label.clone(), row.second.to_string(), row.phase.clone()]
            .into_iter()
            .chain(numbers)
            .collect()
    };
    let rows =
        panels.iter().flat_map(|panel| panel.windows.iter().map(move |second| row(panel, second)));
    let head =
        ["label", "second", "phase"].into_iter().chain(SERIES.iter().map(|series| series.name));
    figure.data = DataTable::new(head, rows.collect());
    Some(figure.captioned(end))
}

/// The finding: who consumed least of what was offered,
/// or how much was consumed where nothing was offered.
fn title(point: &str, panels: &[&SecondsPanel<'_>]) -> String {
    let at = Point::read(point).at();
    let measured = |panel: &SecondsPanel<'_>, of: fn(&WindowRow) -> u64| {
        panel
            .windows
            .iter()
            .filter(|row| row.phase == "measure")
            .map(|row| of(row) as f64)
            .sum::<f64>()
    };
    let seconds = |panel: &SecondsPanel<'_>| {
        panel.windows.iter().filter(|row| row.phase == "measure").count().max(1) as f64
    };
    let share = |panel: &&&SecondsPanel<'_>| {
        let offered = measured(panel, |row| row.offered_messages.unwrap_or(0));
        if offered > 0.0 {
            measured(panel, |row| row.consumed_messages) / offered
        } else {
            f64::INFINITY
        }
    };
    let rate =
        |panel: &&&SecondsPanel<'_>| measured(panel, |row| row.consumed_messages) / seconds(panel);
    let least = panels.iter().min_by(|a, b| share(a).total_cmp(&share(b)));
    match least {
        Some(least) if share(&least).is_finite() && share(&least) < 0.99 => {
            format!(
                "{} consumed {} % of what was offered{at}, the least of all",
                least.record.label,
                significant(100.0 * share(&least))
            )
        }
        Some(least) if share(&least).is_finite() => {
            format!("Every label consumed what was offered{at}, within 1 %")
        }
        _ => {
            let most = panels.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)));
            most.map_or_else(String::new, |most| {
                format!(
                    "{} consumed most{at}: {} messages a second",
                    most.record.label,
                    compact(rate(&most))
                )
            })
        }
    }
}
