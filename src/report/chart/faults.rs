//! What faults did to the load over time: rates above, latencies below, one panel per label.
//!
//! A band lasts from when a fault took effect until it was taken back; marks say when which part of the service was there
//! again. Panels share their axes. Shows one block: seconds of different blocks have nothing to do with each other.

use super::axis::Scale;
use super::canvas::{Align, BAD, BAND, Color, Dash, Figure, GOOD, GRID, INK, MUTED};
use super::fault_title::title;
use super::series::{self, Series};
use super::{letters, palette};
use crate::model::Marker;
use crate::report::fault_cost::name;
use crate::result::words::{TimeUnit, compact, grouped, significant};
use crate::result::{CellRecord, Fault, WindowRow};

/// The cell of one label.
pub struct FaultPanel<'a> {
    pub record: &'a CellRecord,
    pub windows: Vec<WindowRow>,
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 66.0;
const GAP: f64 = 62.0;
const RATES: f64 = 110.0;
const LATENCY: f64 = 80.0;
const SMALL: f64 = 11.0;
/// Height of a mark's own lane.
const LANE: f64 = 8.0;

const RATE_SERIES: [Series; 3] = [series::OFFERED, series::ACKNOWLEDGED, series::CONSUMED];
const TIME_SERIES: [Series; 2] = [
    Series { name: "publish p99", color: Some(INK), width: 1.4, dash: &[5.0, 3.0], of: |row| row.publish_p99_ns },
    Series { name: "end-to-end p99", color: None, width: 1.8, dash: &[], of: |row| row.end_to_end_p99_ns },
];

/// When a part of the service was there again, counted from the fault.
struct Mark {
    name: &'static str,
    shape: Marker,
    of: fn(&Fault) -> Option<u64>,
}

const MARKS: [Mark; 5] = [
    Mark { name: "taken again (RTO-publish)", shape: Marker::Triangle, of: |fault| fault.rto_publish_ns },
    Mark { name: "delivered again (RTO-deliver)", shape: Marker::Diamond, of: |fault| fault.rto_deliver_ns },
    Mark { name: "90 % of the rate", shape: Marker::Square, of: |fault| fault.rto_90_ns },
    Mark { name: "new client", shape: Marker::Cross, of: |fault| fault.probe_rto_ns },
    Mark { name: "all copies", shape: Marker::Circle, of: |fault| fault.redundancy_ns },
];

/// `None` where nothing was injected, or no second of the load is known.
pub fn draw(point: &str, panels: &[FaultPanel<'_>]) -> Option<Figure> {
    let panels: Vec<&FaultPanel<'_>> = panels.iter().filter(|panel| panel.windows.len() > 1).collect();
    panels.first()?;
    let (least, most) =
        panels.iter().map(|panel| panel.record.block).fold((u32::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
    let blocks = if least == most { format!("Block {most}") } else { format!("Blocks {least} to {most}") };
    let caption = format!(
        "{blocks}, each second. Red band: from the moment the fault took effect, verified, until it was taken back; \
         dashed: when it was planned. Marks end a line that begins with the fault. Grey: outside the measured window."
    );
    let mut figure = Figure::new(WIDTH, title(point, &panels), caption);
    let below = figure.wrapped((16.0, 24.0), &figure.title.clone(), 15.0, INK, WIDTH - 32.0, true);
    let top = legend(&mut figure, palette::of(&panels[0].record.system).color, below + 4.0);
    let axes = Axes::of(&panels);
    let columns = if panels.len() == 1 { 1 } else { 2 };
    let wide = (WIDTH - LEFT - 24.0 - GAP * (columns as f64 - 1.0)) / columns as f64;
    let mut y = top;
    for row in panels.chunks(columns) {
        let mut end = y;
        for (column, panel) in row.iter().enumerate() {
            let left = LEFT + (wide + GAP) * column as f64;
            end = end.max(panel_at(&mut figure, panel, &axes, (left, left + wide), y));
        }
        y = end + 14.0;
    }
    figure.height = figure.wrapped((16.0, y), &figure.caption.clone(), SMALL, MUTED, WIDTH - 32.0, false) + 4.0;
    figure.data = super::canvas::DataTable { head: HEAD.map(str::to_owned).into(), rows: rows(&panels) };
    Some(figure)
}

/// Names of lines and marks; returns where the panels begin.
fn legend(figure: &mut Figure, own: Color, top: f64) -> f64 {
    let (mut x, mut y) = (16.0, top);
    let mut place = |wide: f64| {
        if x > 16.0 && x + wide > WIDTH - 16.0 {
            (x, y) = (16.0, y + 17.0);
        }
        let at = (x, y);
        x += wide + 16.0;
        at
    };
    for series in RATE_SERIES.iter().chain(&TIME_SERIES) {
        series.explain(figure, place(series.room()), own);
    }
    for mark in &MARKS {
        let (x, y) = place(14.0 + letters::width(mark.name, SMALL, false));
        figure.marker((x + 4.0, y), mark.shape, 3.4, INK, true);
        figure.text((x + 14.0, y), mark.name, SMALL, MUTED, Align::Left);
    }
    y + 30.0
}

/// What the panels share.
struct Axes {
    seconds: f64,
    most: f64,
    times: Vec<f64>,
    unit: TimeUnit,
}

impl Axes {
    fn of(panels: &[&FaultPanel<'_>]) -> Self {
        let all = || panels.iter().flat_map(|panel| &panel.windows);
        let most = all().flat_map(|row| RATE_SERIES.iter().filter_map(|series| (series.of)(row))).max().unwrap_or(1);
        let times: Vec<f64> = all()
            .flat_map(|row| TIME_SERIES.iter().filter_map(|series| (series.of)(row)))
            .map(|ns| ns as f64)
            .collect();
        Self {
            seconds: all().map(|row| f64::from(row.second + 1)).fold(1.0, f64::max),
            most: most as f64,
            unit: TimeUnit::for_column(times.iter().copied()),
            times,
        }
    }
}

/// Draws one panel and returns where it ends.
fn panel_at(figure: &mut Figure, panel: &FaultPanel<'_>, axes: &Axes, (left, right): (f64, f64), top: f64) -> f64 {
    let FaultPanel { record, windows } = panel;
    let x = Scale::linear(axes.seconds / 1.08, left, right);
    let epoch = windows.first().map_or(0, |row| row.start_ns);
    let at = |ns: u64| x.at((ns as f64 - epoch as f64) / 1e9);
    let look = palette::of(&record.system);
    let label = letters::fit(&record.label, 12.0, true, right - left);
    figure.bold((left, top), label, 12.0, look.color, Align::Left);
    let lanes = top + 14.0;
    let rates = (lanes + LANE * MARKS.len() as f64 + 20.0, lanes + LANE * MARKS.len() as f64 + 20.0 + RATES);
    let times = (!axes.times.is_empty()).then_some((rates.1 + 24.0, rates.1 + 24.0 + LATENCY));
    let bottom = times.map_or(rates.1, |(_, bottom)| bottom);
    for (from, to) in [Some(rates), times].into_iter().flatten() {
        series::shade(figure, windows, &x, (from, to));
        for (begins, ends) in record.faults.iter().filter_map(|fault| band(fault, &at, right)) {
            let middle = f64::midpoint(begins, ends);
            figure.line(vec![(middle, from), (middle, to)], BAND, (ends - begins).max(1.5), &[]);
        }
    }
    let y = Scale::linear(axes.most, rates.1, rates.0);
    y.draw_left(figure, left, right, compact);
    figure.text((left, rates.0 - 9.0), "messages/s", SMALL, MUTED, Align::Left);
    series::lines(figure, windows, &RATE_SERIES, look.color, &x, &y);
    if let Some((from, to)) = times {
        let y = Scale::log(axes.times.iter().copied(), to, from);
        y.draw_left(figure, left, right, |ns| axes.unit.of(ns));
        let text = format!("p99 of each second, {} (log)", axes.unit.name());
        figure.text((left, from - 9.0), text, SMALL, MUTED, Align::Left);
        series::lines(figure, windows, &TIME_SERIES, look.color, &x, &y);
    }
    for fault in &record.faults {
        moments(figure, fault, &at, (rates.0, rates.1), right);
        if let Some((from, to)) = times {
            moments(figure, fault, &at, (from, to), right);
        }
        recovery(figure, fault, &at, lanes, right);
    }
    figure.line(vec![(left, bottom), (right, bottom)], GRID, 1.5, &[]);
    x.draw_labels(figure, bottom, series::second);
    figure.text((right, bottom + 26.0), "s since the start of the load", SMALL, MUTED, Align::Right);
    let mut end = bottom + 44.0;
    for note in notes(record) {
        for line in letters::wrap_to(&note, SMALL, false, right - left, 3) {
            figure.text((left, end), line, SMALL, INK, Align::Left);
            end += SMALL * 1.35;
        }
    }
    end
}

/// From where to where a fault lasted.
fn band(fault: &Fault, at: &impl Fn(u64) -> f64, right: f64) -> Option<(f64, f64)> {
    let begins = at(fault.took_effect_at_ns?);
    Some((begins, fault.healed_at_ns.map_or(right, at).max(begins)))
}

/// Planned, took effect, taken back, as upright lines.
fn moments(figure: &mut Figure, fault: &Fault, at: &impl Fn(u64) -> f64, (top, bottom): (f64, f64), right: f64) {
    let mut upright = |ns: Option<u64>, color: Color, dash: Dash| {
        if let Some(x) = ns.map(at).filter(|x| *x <= right) {
            figure.line(vec![(x, top), (x, bottom)], color, 1.2, dash);
        }
    };
    upright(fault.planned_at_ns, MUTED, &[3.0, 3.0]);
    upright(fault.took_effect_at_ns, BAD, &[]);
    upright(fault.healed_at_ns, GOOD, &[6.0, 2.0]);
}

/// A line for each part of the service, from the fault to when it was there again; one that does not end has no mark.
fn recovery(figure: &mut Figure, fault: &Fault, at: &impl Fn(u64) -> f64, top: f64, right: f64) {
    let Some(effect) = fault.took_effect_at_ns else { return };
    for (lane, mark) in MARKS.iter().enumerate() {
        let Some(back) = (mark.of)(fault) else { continue };
        let y = top + LANE * (lane as f64 + 0.5);
        let end = at(effect.saturating_add(back)).min(right);
        figure.line(vec![(at(effect), y), (end, y)], MUTED, 1.0, &[]);
        figure.marker((end, y), mark.shape, 3.2, INK, true);
    }
}

/// What the books say, and what went wrong with the faults themselves.
fn notes(record: &CellRecord) -> Vec<String> {
    let counts = &record.counts;
    let count = |count: Option<u64>| count.map_or_else(|| "not known".to_owned(), grouped);
    let lost = match counts.acked {
        Some(_) => format!("acknowledged and gone: {}", count(counts.broker_lost)),
        None => "its replies promise nothing".to_owned(),
    };
    let mut notes = vec![format!(
        "{lost} · never delivered: {} · delivered twice: {} · refused or unanswered: {}",
        count(counts.lost),
        count(counts.duplicate),
        count(counts.failed.zip(counts.indeterminate).map(|(failed, unknown)| failed + unknown)),
    )];
    let each: Vec<String> = record.faults.iter().filter_map(|fault| fault.rpo_messages).map(grouped).collect();
    if each.len() > 1 && counts.broker_lost.is_some_and(|lost| lost > 0) {
        notes.push(format!("gone with each fault: {}", each.join(" · ")));
    }
    for fault in &record.faults {
        let failed = [("not applied", &fault.not_applied), ("not taken back", &fault.not_healed)];
        let told =
            failed.into_iter().filter_map(|(what, why)| Some(format!("{} {what}: {}", name(fault), why.as_ref()?)));
        notes.extend(told);
    }
    notes.dedup();
    notes
}

const HEAD: [&str; 13] = [
    "label",
    "fault",
    "node",
    "took effect, s",
    "healed, s",
    "RTO-publish, s",
    "RTO-deliver, s",
    "RTO-90 %, s",
    "new client, s",
    "all copies, s",
    "scripted, s",
    "acknowledged and gone",
    "not applied",
];

/// One line per injection; moments since the start of the load, as in the picture.
fn rows(panels: &[&FaultPanel<'_>]) -> Vec<Vec<String>> {
    let none = || "–".to_owned();
    let row = |panel: &FaultPanel<'_>, fault: &Fault| {
        let epoch = panel.windows.first().map_or(0, |row| row.start_ns);
        let at = |ns: Option<u64>| ns.map_or_else(none, |ns| significant((ns as f64 - epoch as f64) / 1e9));
        let long = |ns: Option<u64>| ns.map_or_else(none, |ns| significant(ns as f64 / 1e9));
        let healed = if fault.for_good() { "never".to_owned() } else { at(fault.healed_at_ns) };
        let mut row =
            vec![panel.record.label.clone(), name(fault), fault.node.clone(), at(fault.took_effect_at_ns), healed];
        row.extend(MARKS.iter().map(|mark| long((mark.of)(fault))));
        row.push(long(fault.scripted_ns));
        row.push(fault.rpo_messages.map_or_else(none, grouped));
        row.push(fault.not_applied.clone().unwrap_or_else(none));
        row
    };
    panels.iter().flat_map(|panel| panel.record.faults.iter().map(|fault| row(panel, fault))).collect()
}
