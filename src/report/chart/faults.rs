//! What faults did to the load over time: rates above, latencies below, one panel per label.
//!
//! A band lasts from when a fault took effect until it was taken back; marks say when which part of
//! the service was there again. Panels share their axes. Shows one block: seconds of different
//! blocks have nothing to do with each other.

use super::axis::Scale;
use super::canvas::{Align, BAD, BAND, Color, Dash, Figure, GOOD, INK, MUTED, SMALL};
use super::letters;
use super::lines::{self, LegendEntry};
use super::series::{self, SecondsPanel, Series};
use crate::model::{FaultKind, FaultTarget, Marker, Point, Told};
use crate::report::faults::name;
use crate::report::table::DataTable;
use crate::result::words::{TimeUnit, compact, grouped, or_dash, significant, time, told};
use crate::result::{CellRecord, Fault};
use itertools::Itertools;

const RATES: f64 = 110.0;
const LATENCY: f64 = 80.0;
const LANE: f64 = 8.0;

const RATE_SERIES: [Series; 3] = [series::OFFERED, series::ACKNOWLEDGED, series::CONSUMED];
const TIME_SERIES: [Series; 2] = [
    Series {
        name: "publish p99",
        color: Some(INK),
        width: 1.4,
        dash: &[5.0, 3.0],
        of: |row| row.publish_p99_ns,
    },
    Series {
        name: "end-to-end p99",
        color: None,
        width: 1.8,
        dash: &[],
        of: |row| row.end_to_end_p99_ns,
    },
];

/// When a part of the service was there again, counted from the fault.
struct Mark {
    name: &'static str,
    shape: Marker,
    of: fn(&Fault) -> Option<Told>,
}

const MARKS: [Mark; 5] = [
    Mark { name: "taken again (RTO-publish)", shape: Marker::Triangle, of: Fault::rto_publish },
    Mark { name: "delivered again (RTO-deliver)", shape: Marker::Diamond, of: Fault::rto_deliver },
    Mark { name: "90 % of the rate", shape: Marker::Square, of: Fault::rto_90 },
    Mark { name: "new client", shape: Marker::Cross, of: Fault::rto_probe },
    Mark {
        name: "all copies",
        shape: Marker::Circle,
        of: |fault| fault.redundancy_ns.map(Told::Value),
    },
];

/// `None` where nothing was injected, or no second of the load is known.
pub fn draw(point: &str, panels: &[SecondsPanel<'_>]) -> Option<Figure> {
    let panels = series::long_enough(panels);
    let own = panels.first()?.color();
    let (least, most) = panels.iter().map(|panel| panel.record.block).minmax().into_option()?;
    let blocks =
        if least == most { format!("Block {most}") } else { format!("Blocks {least} to {most}") };
    let caption = format!(
        "{blocks}, each second. Red band: from the moment the fault took effect, verified, until \
         it was taken back; dashed: when it was planned. Marks end a line that begins with the \
         fault. Grey: outside the measured window."
    );
    let (mut figure, top) = Figure::titled(title(point, &panels), caption);
    let mark = |mark: &Mark| LegendEntry {
        name: mark.name.to_owned(),
        line: None,
        mark: Some((mark.shape, INK)),
    };
    let names = RATE_SERIES.iter().chain(&TIME_SERIES).map(|series| series.entry(own));
    let names: Vec<LegendEntry> = names.chain(MARKS.iter().map(mark)).collect();
    let top = lines::legend(&mut figure, &names, top + 4.0) + 14.0;
    let axes = Axes::of(&panels);
    let end = series::grid(&panels, top, |panel, sides, top| {
        let x = series::axis(&panels, sides);
        panel_at(&mut figure, panel, &axes, &x, sides, top)
    });
    figure.data = DataTable::new(HEAD, rows(&panels));
    Some(figure.captioned(end))
}

struct Axes {
    most: f64,
    times: Vec<f64>,
    unit: TimeUnit,
}

impl Axes {
    fn of(panels: &[&SecondsPanel<'_>]) -> Self {
        let times = series::values(panels, &TIME_SERIES);
        let most = series::values(panels, &RATE_SERIES).into_iter().fold(1.0, f64::max);
        Self { most, unit: TimeUnit::for_column(times.iter().copied()), times }
    }
}

fn panel_at(
    figure: &mut Figure,
    panel: &SecondsPanel<'_>,
    axes: &Axes,
    x: &Scale,
    (left, right): (f64, f64),
    top: f64,
) -> f64 {
    let SecondsPanel { record, windows } = panel;
    let epoch = windows.first().map_or(0, |row| row.start_ns);
    let at = |ns: u64| x.at((ns as f64 - epoch as f64) / 1e9);
    series::label(figure, panel, (left, right), top);
    let lanes = top + 14.0;
    let from = lanes + LANE * MARKS.len() as f64 + 20.0;
    let rates = (from, from + RATES);
    let times = (!axes.times.is_empty()).then_some((rates.1 + 24.0, rates.1 + 24.0 + LATENCY));
    let plots = || [Some(rates), times].into_iter().flatten();
    for (from, to) in plots() {
        series::shade(figure, panel, x, (from, to));
        for (begins, ends) in record.faults.iter().filter_map(|fault| band(fault, &at, right)) {
            let middle = f64::midpoint(begins, ends);
            figure.line(vec![(middle, from), (middle, to)], BAND, (ends - begins).max(1.5), &[]);
        }
    }
    let y = Scale::linear(axes.most, rates.1, rates.0);
    y.draw_left(figure, left, right, compact);
    figure.text((left, rates.0 - 9.0), "messages/s", SMALL, MUTED, Align::Left);
    series::lines(figure, panel, &RATE_SERIES, x, &y);
    if let Some((from, to)) = times {
        let y = Scale::log(axes.times.iter().copied(), to, from);
        y.draw_left(figure, left, right, |ns| axes.unit.of(ns));
        let text = format!("p99 of each second, {} (log)", axes.unit.name());
        figure.text((left, from - 9.0), text, SMALL, MUTED, Align::Left);
        series::lines(figure, panel, &TIME_SERIES, x, &y);
    }
    for fault in &record.faults {
        plots().for_each(|plot| moments(figure, fault, &at, plot, right));
        recovery(figure, fault, &at, lanes, right);
    }
    let mut end = series::ground(figure, x, (left, right), times.unwrap_or(rates).1);
    for note in notes(record) {
        for line in letters::wrap(&note, SMALL, false, right - left) {
            figure.text((left, end), line, SMALL, INK, Align::Left);
            end += SMALL * 1.35;
        }
    }
    end
}

fn band(fault: &Fault, at: &impl Fn(u64) -> f64, right: f64) -> Option<(f64, f64)> {
    let begins = at(fault.took_effect_at_ns?);
    Some((begins, fault.healed_at_ns.map_or(right, at).max(begins)))
}

/// Planned, took effect, taken back, as upright lines.
fn moments(
    figure: &mut Figure,
    fault: &Fault,
    at: &impl Fn(u64) -> f64,
    (top, bottom): (f64, f64),
    right: f64,
) {
    let mut upright = |ns: Option<u64>, color: Color, dash: Dash| {
        if let Some(x) = ns.map(at).filter(|x| *x <= right) {
            figure.line(vec![(x, top), (x, bottom)], color, 1.2, dash);
        }
    };
    upright(fault.planned_at_ns, MUTED, &[3.0, 3.0]);
    upright(fault.took_effect_at_ns, BAD, &[]);
    upright(fault.healed_at_ns, GOOD, &[6.0, 2.0]);
}

/// A line for each part of the service, from the fault to when it was there again; one that does
/// not end has no mark.
fn recovery(figure: &mut Figure, fault: &Fault, at: &impl Fn(u64) -> f64, top: f64, right: f64) {
    let Some(effect) = fault.took_effect_at_ns else { return };
    for (lane, mark) in MARKS.iter().enumerate() {
        // What was never interrupted never came back.
        let Some(Told::Value(back)) = (mark.of)(fault) else { continue };
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
        Some(_) => format!("acknowledged and gone from the broker: {}", count(counts.broker_lost)),
        None => "its replies promise nothing".to_owned(),
    };
    let mut notes = vec![format!(
        "{lost} · never delivered: {} · delivered twice: {} · refused or unanswered: {}",
        count(counts.lost),
        count(counts.duplicate),
        count(
            counts
                .failed
                .zip(counts.indeterminate)
                .map(|(failed, unknown)| failed.saturating_add(unknown))
        ),
    )];
    let each: Vec<String> =
        record.faults.iter().filter_map(|fault| fault.rpo_messages).map(grouped).collect();
    if each.len() > 1 && counts.broker_lost.is_some_and(|lost| lost > 0) {
        notes.push(format!("gone with each fault: {}", each.join(" · ")));
    }
    for fault in &record.faults {
        let failed = [("not applied", &fault.not_applied), ("not taken back", &fault.not_healed)];
        let told = failed
            .into_iter()
            .filter_map(|(what, why)| Some(format!("{} {what}: {}", name(fault), why.as_ref()?)));
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
    "gone from the broker",
    "not applied",
];

/// One line per injection; moments since the start of the load, as in the picture.
fn rows(panels: &[&SecondsPanel<'_>]) -> Vec<Vec<String>> {
    let row = |panel: &SecondsPanel<'_>, fault: &Fault| {
        let epoch = panel.windows.first().map_or(0, |row| row.start_ns);
        let at = |ns: Option<u64>| or_dash(ns, |ns| significant((ns as f64 - epoch as f64) / 1e9));
        let long = |ns: Option<u64>| or_dash(ns, |ns| significant(ns as f64 / 1e9));
        let healed = if fault.for_good() { "never".to_owned() } else { at(fault.healed_at_ns) };
        let mut row = vec![
            panel.record.label.clone(),
            name(fault),
            fault.node.clone(),
            at(fault.took_effect_at_ns),
            healed,
        ];
        row.extend(MARKS.iter().map(|mark| {
            or_dash((mark.of)(fault), |one| {
                told(one.map(|ns| ns as f64), |ns| significant(ns / 1e9))
            })
        }));
        row.push(long(fault.scripted_ns));
        row.push(or_dash(fault.rpo_messages, grouped));
        row.push(or_dash(fault.not_applied.clone(), |why| why));
        row
    };
    panels
        .iter()
        .flat_map(|panel| panel.record.faults.iter().map(|fault| row(panel, fault)))
        .collect()
}

/// The finding: who took longest to take messages again, and what of the acknowledged ones is gone.
fn title(point: &str, panels: &[&SecondsPanel<'_>]) -> String {
    let at = if Point::read(point).is_base() { String::new() } else { format!(", at {point}") };
    let hit: Vec<&SecondsPanel<'_>> =
        panels.iter().copied().filter(|panel| struck(panel.record).next().is_some()).collect();
    let Some(slowest) = hit.iter().copied().max_by_key(|panel| recovered(panel.record)) else {
        let named = panels.iter().map(|panel| &panel.record.label).join(", ");
        return format!("No fault was applied to {named}{at}");
    };
    format!("{}; {}{at}", recovery_in_words(slowest.record), loss_in_words(&hit))
}

fn struck(record: &CellRecord) -> impl Iterator<Item = &Fault> {
    record.faults.iter().filter(|fault| fault.took_effect_at_ns.is_some())
}

/// How long until messages were taken again after every fault, in an order where never is longest.
fn recovered(record: &CellRecord) -> (bool, Option<Told>) {
    let never = struck(record).any(|fault| fault.rto_publish().is_none());
    (never, struck(record).filter_map(Fault::rto_publish).max())
}

/// `kafka took messages again 8.91 s after its leader was killed`.
fn recovery_in_words(record: &CellRecord) -> String {
    let Some(first) = struck(record).next() else { return String::new() };
    let label = &record.label;
    let done = done_to(first);
    let (never, longest) = recovered(record);
    let (at_most, each) = match struck(record).count() {
        1 => ("", String::new()),
        count => ("at most ", format!(" (the longest of {count} times)")),
    };
    match longest.filter(|_| !never) {
        None => format!(
            "{label} was not seen to take messages on every partition or stream again after {done}"
        ),
        Some(Told::AtMost(ns)) => format!(
            "{label} was never interrupted for more than {} when {done}{each}",
            time(ns as f64)
        ),
        Some(Told::Value(ns) | Told::AtLeast(ns)) => {
            format!("{label} took messages again {at_most}{} after {done}{each}", time(ns as f64))
        }
    }
}

/// `its leader was killed`.
fn done_to(fault: &Fault) -> String {
    let whom = match FaultTarget::from_name(&fault.target) {
        Some(FaultTarget::Node) => "a node of it",
        Some(FaultTarget::Replica) => "a replica",
        Some(FaultTarget::All) => "every node",
        Some(FaultTarget::Controller) => "its controller",
        Some(FaultTarget::Primary) => "its primary",
        Some(FaultTarget::Leader) | None => "its leader",
    };
    match fault.fault_kind() {
        Some(FaultKind::Kill) if fault.for_good() => format!("{whom} was lost for good"),
        Some(kind) if kind.is_ours() => kind.done().to_owned(),
        Some(kind) => format!("{whom} {}", kind.done()),
        None => format!("{} of {whom}", fault.kind),
    }
}

/// `nothing acknowledged was lost`, or who lost most.
fn loss_in_words(hit: &[&SecondsPanel<'_>]) -> String {
    let several =
        if hit.len() > 1 { format!(", the most of {} labels", hit.len()) } else { String::new() };
    let lost = |panel: &SecondsPanel<'_>| {
        panel.record.counts.broker_lost.filter(|_| panel.record.counts.acked.is_some())
    };
    let most =
        hit.iter().filter_map(|panel| Some((lost(panel)?, panel))).max_by_key(|(lost, _)| *lost);
    let unknown = hit.iter().filter(|panel| lost(panel).is_none()).count();
    match most {
        Some((count, panel)) if count > 0 => {
            format!("{} lost {} acknowledged messages{several}", panel.record.label, grouped(count))
        }
        Some(_) if unknown > 0 => {
            format!("nothing acknowledged was lost where that is known ({unknown} not)")
        }
        Some(_) => "nothing acknowledged was lost".to_owned(),
        None => match hit
            .iter()
            .filter_map(|panel| Some((panel.record.counts.lost?, panel)))
            .max_by_key(|(n, _)| *n)
        {
            Some((count, panel)) => {
                format!("{} messages sent by {} never arrived", grouped(count), panel.record.label)
            }
            None => "what was lost is not known".to_owned(),
        },
    }
}
