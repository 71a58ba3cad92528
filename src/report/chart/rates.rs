//! What happened over time: offered, sent, acknowledged and consumed messages a second, one panel per label.
//!
//! Panels share both axes. Shows one block: seconds of different blocks have nothing to do with each other.

use super::axis::Scale;
use super::canvas::{Align, Figure, GRID, INK, MUTED};
use super::palette;
use super::series::{self, Series};
use crate::model::Point;
use crate::result::WindowRow;
use crate::result::words::{compact, significant};

pub struct RatesPanel {
    pub label: String,
    pub system: String,
    pub windows: Vec<WindowRow>,
}

const WIDTH: f64 = 900.0;
const PANEL: f64 = 150.0;

const SERIES: [Series; 4] = [
    series::OFFERED,
    Series { name: "sent", color: Some(MUTED), width: 2.5, dash: &[], of: |row| Some(row.sent_messages) },
    series::ACKNOWLEDGED,
    series::CONSUMED,
];

pub fn draw(point: &str, panels: &[RatesPanel]) -> Option<Figure> {
    let panels: Vec<&RatesPanel> = panels.iter().filter(|panel| panel.windows.len() > 1).collect();
    if panels.is_empty() {
        return None;
    }
    let title = title(point, &panels);
    let caption =
        "Messages in each second of the first valid block. Shaded: warm-up and drain, outside the measured window."
            .to_owned();
    let mut figure = Figure::new(WIDTH, title, caption);
    let below = figure.wrapped((16.0, 24.0), &figure.title.clone(), 15.0, INK, WIDTH - 32.0, true);
    let mut legend = 66.0;
    for series in &SERIES {
        series.explain(&mut figure, (legend, below + 4.0), palette::of(&panels[0].system).color);
        legend += series.room() + 26.0;
    }
    let all = || panels.iter().flat_map(|panel| &panel.windows);
    let most = all().flat_map(|row| SERIES.iter().filter_map(|series| (series.of)(row))).max().unwrap_or(1);
    let seconds = all().map(|row| row.second.saturating_add(1)).max().unwrap_or(1);
    let top = below + 40.0;
    let columns = 2;
    let wide = (WIDTH - 66.0 - 24.0 - 56.0) / f64::from(columns);
    for (at, panel) in panels.iter().enumerate() {
        let (column, line) = (at % columns as usize, at / columns as usize);
        let left = 66.0 + (wide + 56.0) * column as f64;
        let upper = top + (PANEL + 52.0) * line as f64;
        panel_at(&mut figure, panel, (left, left + wide), (upper, upper + PANEL), most as f64, seconds);
    }
    let lines = panels.len().div_ceil(columns as usize) as f64;
    let foot = top + (PANEL + 52.0) * lines + 6.0;
    let foot = figure.wrapped((16.0, foot), &figure.caption.clone(), 11.0, MUTED, WIDTH - 32.0, false);
    figure.height = foot + 4.0;
    figure.data.head = ["label", "second", "phase"]
        .into_iter()
        .chain(SERIES.iter().map(|series| series.name))
        .map(str::to_owned)
        .collect();
    figure.data.rows = panels
        .iter()
        .flat_map(|panel| panel.windows.iter().map(move |row| (panel, row)))
        .map(|(panel, row)| {
            let numbers =
                SERIES.iter().map(|series| (series.of)(row).map_or_else(|| "–".to_owned(), |count| count.to_string()));
            [panel.label.clone(), row.second.to_string(), row.phase.clone()].into_iter().chain(numbers).collect()
        })
        .collect();
    Some(figure)
}

fn panel_at(
    figure: &mut Figure,
    panel: &RatesPanel,
    (left, right): (f64, f64),
    (top, bottom): (f64, f64),
    most: f64,
    seconds: u32,
) {
    let x = Scale::linear(f64::from(seconds) / 1.08, left, right);
    let y = Scale::linear(most, bottom, top);
    series::shade(figure, &panel.windows, &x, (top, bottom));
    y.draw_left(figure, left, right, compact);
    for tick in x.ticks() {
        figure.text((x.at(tick), bottom + 11.0), series::second(tick), 11.0, MUTED, Align::Middle);
    }
    figure.line(vec![(left, bottom), (right, bottom)], GRID, 1.5, &[]);
    let look = palette::of(&panel.system);
    figure.bold((left, top - 12.0), &panel.label, 12.0, look.color, Align::Left);
    figure.text((right, top - 12.0), "messages/s", 11.0, MUTED, Align::Right);
    figure.text((right, bottom + 25.0), "s since the start of the load", 11.0, MUTED, Align::Right);
    series::lines(figure, &panel.windows, &SERIES, look.color, &x, &y);
}

/// The finding: who consumed least of what was offered, or how much was consumed where nothing was offered.
fn title(point: &str, panels: &[&RatesPanel]) -> String {
    let at = Point::read(point).at();
    let measured = |panel: &RatesPanel, of: fn(&WindowRow) -> u64| {
        panel.windows.iter().filter(|row| row.phase == "measure").map(|row| of(row) as f64).sum::<f64>()
    };
    let seconds = |panel: &RatesPanel| panel.windows.iter().filter(|row| row.phase == "measure").count().max(1) as f64;
    let share = |panel: &&&RatesPanel| {
        let offered = measured(panel, |row| row.offered_messages.unwrap_or(0));
        if offered > 0.0 { measured(panel, |row| row.consumed_messages) / offered } else { f64::INFINITY }
    };
    let rate = |panel: &&&RatesPanel| measured(panel, |row| row.consumed_messages) / seconds(panel);
    let least = panels.iter().min_by(|a, b| share(a).total_cmp(&share(b)));
    match least {
        Some(least) if share(&least).is_finite() && share(&least) < 0.99 => {
            format!(
                "{} consumed {} % of what was offered{at}, the least of all",
                least.label,
                significant(100.0 * share(&least))
            )
        }
        Some(least) if share(&least).is_finite() => format!("Every label consumed what was offered{at}, within 1 %"),
        _ => {
            let most = panels.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)));
            most.map_or_else(String::new, |most| {
                format!("{} consumed most{at}: {} messages a second", most.label, compact(rate(&most)))
            })
        }
    }
}
