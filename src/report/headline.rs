//! The headline of a claim in words, as `claims.yaml` asks for it: what a table for a README has
//! room for.

use super::cells::{Cells, brief, reason, variant};
use super::faults::{FAULT, over_faults};
use super::marks;
use super::quantity;
use super::scaling::{FAN_OUT, SHARING, families};
use crate::claims::{self, Headline, Worded};
use crate::model::metric::{FAULT_GONE, FAULT_RTO_DURABLE, FAULT_RTO_PUBLISH, SPEED_UP};
use crate::model::{FaultKind, FaultTarget, Point, Told, Unit};
use crate::result::words::{TimeUnit, grouped, significant, time, told};
use crate::result::{ComparedCell, Kind};
use itertools::Itertools;

/// The sharing of work is told at this many consumers.
const CONSUMERS: f64 = 4.0;

pub fn lines(cells: &Cells<'_>, system: &str) -> Vec<String> {
    let parts = claims::headline(cells.claim);
    let labels: Vec<&str> = cells
        .labels()
        .into_iter()
        .filter(|(_, of)| *of == system)
        .map(|(label, _)| label)
        .collect();
    // A system that cannot says so once: its variants cannot either.
    let each: Vec<(&str, Vec<String>)> = (labels.into_iter())
        .map(|label| (label, of_label(parts, cells, label)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    let many = each.len() > 1;
    let place = |label: &str| match label == system {
        true if many => "plain: ".to_owned(),
        true => String::new(),
        false => format!("{}: ", variant(label, system)),
    };
    let mut told: Vec<String> = (each.into_iter())
        .flat_map(|(label, lines)| {
            lines.into_iter().map(|line| format!("{}{line}", place(label))).collect::<Vec<_>>()
        })
        .collect();
    if told.is_empty() {
        let own = || cells.all.iter().filter(|cell| cell.system == system);
        let first = own().find(|cell| cell.kind == Kind::Cannot).or_else(|| own().next());
        told.push(first.map_or_else(|| "not measured".to_owned(), |cell| reason(cell)));
    }
    told
}

fn of_label(parts: &[Headline], cells: &Cells<'_>, label: &str) -> Vec<String> {
    if parts.is_empty() {
        return values(
            cells,
            label,
            &cells.all.first().map_or(vec![], |cell| vec![cell.metric.clone()]),
        );
    }
    let of_part = |part: &Headline| match part {
        Headline::Values { of } => values(cells, label, of),
        Headline::ByPoint { of } => by_point(cells, label, of),
        Headline::Largest { of } => largest(cells, label, of).into_iter().collect(),
        Headline::Share { of, words } => share(cells, label, of, words).into_iter().collect(),
        Headline::Counts { of, above } => counts(cells, label, of, above).into_iter().collect(),
        Headline::SpeedUp => speed_up(cells, label),
        Headline::Faults => faults(cells, label),
    };
    parts.iter().flat_map(of_part).collect()
}

/// `up to 1.05 MB, 999 kB by the usual client`: uncompressed, by whichever got farthest.
fn largest(cells: &Cells<'_>, label: &str, metric: &str) -> Option<String> {
    let plain = cells.of_label(label, metric).into_iter();
    let plain = plain.filter(|cell| Point::read(&cell.cell).get("codec") == Some("none"));
    let (best, ways): (Vec<_>, Vec<_>) =
        plain.partition(|cell| Point::read(&cell.cell).get("payload").is_none());
    let best = best.first()?;
    let Some(size) = best.value else { return Some(brief(best)) };
    let usual = ways.iter().filter(|cell| Point::read(&cell.cell).get("client").is_none());
    let usual = usual.filter_map(|cell| cell.value).reduce(f64::max).filter(|own| *own < size);
    let usual = usual.map_or_else(String::new, |own| {
        format!(", {} by the usual client", quantity::decimal_bytes(own))
    });
    Some(format!("up to {}{usual}", quantity::decimal_bytes(size)))
}

/// `1/s · 10k/s: 1.00 · 0.920 requests a batch`; the points stand before the first line, a time has
/// its unit behind it.
fn by_point(cells: &Cells<'_>, label: &str, of: &[Worded]) -> Vec<String> {
    let line = |(at, Worded { metric, words }): (usize, &Worded)| {
        let mut own = cells.of_label(label, metric);
        own.retain(|cell| cell.value.is_some());
        own.sort_by_key(|cell| Point::read(&cell.cell));
        let first = own.first()?;
        let values = own.iter().filter_map(|cell| cell.value);
        let text = if Unit::from_name(&first.unit) == Some(Unit::Nanoseconds) {
            let unit =
                TimeUnit::for_column(cells.metric(metric).iter().filter_map(|cell| cell.value));
            format!("{words} {} {}", values.map(|ns| unit.of(ns)).join(" · "), unit.name())
        } else {
            format!("{} {words}", values.map(significant).join(" · "))
        };
        let points = own.iter().map(|cell| Point::read(&cell.cell).values()).join(" · ");
        Some(if at > 0 || points.is_empty() { text } else { format!("{points}: {text}") })
    };
    of.iter().enumerate().filter_map(line).collect()
}

fn share(cells: &Cells<'_>, label: &str, metric: &str, words: &str) -> Option<String> {
    let cell = cells.find(label, metric, &[])?;
    Some(
        cell.value
            .map_or_else(|| brief(cell), |share| format!("{} {words}", quantity::share(share))),
    )
}

fn counts(cells: &Cells<'_>, label: &str, of: &[Worded], above: &str) -> Option<String> {
    let count = |Worded { metric, words }: &Worded| {
        cells.above(label, metric, above).map(|value| format!("{} {words}", quantity::plain(value)))
    };
    Some(of.iter().filter_map(count).join(" · ")).filter(|counts| !counts.is_empty())
}

/// How far it fans out, which the verdict is on, and beside it how well consumers share.
fn speed_up(cells: &Cells<'_>, label: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for family in families(cells).into_iter().filter(|family| family.key == FAN_OUT) {
        // One alone shares nothing and is no fan-out: where there is no more, the reason is told
        // below.
        let own = family.curves.iter().find(|curve| curve.label == label);
        let Some(curve) = own.filter(|curve| curve.points.iter().any(|(n, ..)| *n > 1.0)) else {
            continue;
        };
        let condition = if family.condition.is_empty() {
            String::new()
        } else {
            format!(" at {}", family.condition)
        };
        let last = curve
            .points
            .iter()
            .filter(|(.., complete)| *complete)
            .map(|(n, ..)| *n)
            .reduce(f64::max);
        lines.push(match last {
            Some(n) => format!("complete on {} subscriptions{condition}", grouped(n as u64)),
            None => format!("complete on none{condition}"),
        });
    }
    let (fans_out, shared) = (!lines.is_empty(), shared(cells, label));
    let shares = shared.is_some();
    lines.extend(shared);
    for (what, told, fan_out) in [("fan-out", fans_out, true), ("sharing", shares, false)] {
        let unable = |cell: &&&ComparedCell| {
            cell.label == label
                && cell.kind == Kind::Cannot
                && Point::read(&cell.cell).get(FAN_OUT).is_some() == fan_out
        };
        if let Some(cell) = cells.all.iter().find(unable).filter(|_| !told) {
            lines.push(format!("{what} {}", reason(cell)));
        }
    }
    lines
}

/// The speed-up where the most work is shared: how long a message is worked on is what tells
/// consumers apart.
fn shared(cells: &Cells<'_>, label: &str) -> Option<String> {
    let own = cells.of_label(label, SPEED_UP.name);
    let number = |cell: &ComparedCell, key: &str| Point::read(&cell.cell).number(key);
    let told = own.into_iter().max_by(|a, b| {
        let rank = |cell: &ComparedCell| {
            let usual = number(cell, SHARING) == Some(CONSUMERS);
            (number(cell, "work").unwrap_or(0.0), f64::from(u8::from(usual)))
        };
        let ((work, usual), (other, others)) = (rank(a), rank(b));
        work.total_cmp(&other).then(usual.total_cmp(&others))
    })?;
    let work = Point::read(&told.cell).get("work").map_or_else(String::new, |w| format!(" at {w}"));
    let factor = told.value.map(|factor| format!("{}×", significant(factor)));
    let words = factor.or_else(|| told.text.split(':').next().map(str::to_owned))?;
    let consumers = quantity::plain(number(told, SHARING).unwrap_or(0.0));
    Some(format!("{consumers} consumers{work}: {words}"))
}

/// Values of some metrics at each point of the claim's plain scenario.
fn values(cells: &Cells<'_>, label: &str, metrics: &[String]) -> Vec<String> {
    let own = |metric: &str| {
        let mut own = cells.of_label(label, metric);
        own.retain(|cell| cells.condition(cell).is_empty());
        own
    };
    let all = || metrics.iter().flat_map(|metric| cells.metric(metric));
    let unit = TimeUnit::for_column(all().filter_map(|cell| cell.value));
    let mut lines = Vec::new();
    for first in metrics.first().map(|metric| own(metric)).unwrap_or_default() {
        let place = cells.place(first);
        let here =
            metrics.iter().flat_map(|metric| own(metric)).filter(|cell| cell.cell == first.cell);
        let mut values: Vec<String> = Vec::new();
        let (mut name, mut mark) = ("", "");
        for cell in here {
            mark = if mark.is_empty() { marks::of_cell(cell) } else { mark };
            values.push(match (cell.value, Unit::from_name(&cell.unit)) {
                (None, _) => reason(cell),
                (Some(value), Some(Unit::Nanoseconds)) => {
                    name = unit.name();
                    let quantile =
                        cell.metric.rsplit('.').next().unwrap_or_default().replace('_', ".");
                    format!("{quantile} {}{}", unit.of(value), marks::of_value(cell))
                }
                (Some(value), _) => {
                    name = &cell.unit;
                    super::table::number(value)
                }
            });
        }
        values.dedup();
        let place = if place.is_empty() { place } else { format!("{place}: ") };
        let line = format!("{place}{} {name}", values.join(" · "));
        let line = format!("{} {mark}", line.trim_end()).trim_end().to_owned();
        let with = |setting: &String| format!("{line} with {setting}");
        lines.push(first.setting.as_ref().map_or_else(|| line.clone(), with));
    }
    lines
}

/// `a node lost for good: 0 of 60,000 gone, back in 9.10 s`, and of an only node that was started
/// again `10,412 of 20,000 gone over 3 kills, back in 1.20 s`.
fn faults(cells: &Cells<'_>, label: &str) -> Vec<String> {
    let of = |conditions: &[(&str, &str)]| cells.find(label, FAULT_GONE.name, conditions);
    let gone =
        of(&[("for", "never")]).map(|cell| format!("a node lost for good: {}", cost(cells, cell)));
    let only =
        [("fault", FaultKind::Kill.name()), ("target", FaultTarget::Node.name()), ("copies", "1")];
    let killed = cells.of_label(label, FAULT_GONE.name).into_iter().filter(|cell| {
        let point = Point::read(&cell.cell);
        let such = only.iter().all(|(key, value)| point.get(key) == Some(*value));
        such && point.get("for").is_none() && cell.kind == Kind::Measured
    });
    let told = |cell: &ComparedCell| {
        let condition = Point::read(&cell.cell).without(&FAULT).values();
        let place = if condition.is_empty() { condition } else { format!("{condition}: ") };
        place + &cost(cells, cell)
    };
    gone.into_iter().chain(killed.map(told)).collect()
}

fn cost(cells: &Cells<'_>, gone: &ComparedCell) -> String {
    let Some(messages) = gone.value else { return brief(gone) };
    let value = |metric: &str| cells.beside(gone, metric).and_then(|cell| cell.value);
    let of = value("fault.acked")
        .map_or_else(String::new, |acked| format!(" of {}", quantity::plain(acked)));
    let found = |metric: &str| cells.beside(gone, metric).and_then(ComparedCell::told);
    let (rto, durable) = (found(FAULT_RTO_PUBLISH.name), found(FAULT_RTO_DURABLE.name));
    let back = match rto {
        Some(Told::Value(ns)) => format!(", back in {}", time(ns)),
        Some(Told::AtLeast(ns)) => format!(", back only once healed, after {}", time(ns)),
        Some(bound) => format!(", {}", told(bound, time)),
        None => ", not all back".to_owned(),
    };
    // Who throws away what it acknowledges is not back.
    let held = durable.filter(|_| durable != rto).and_then(Told::value);
    let held = held.map_or_else(String::new, |ns| format!(", durably in {}", time(ns)));
    let parts = match cells.restart_beside(gone) {
        parts if parts.is_empty() => parts,
        parts => format!(" ({parts})"),
    };
    format!("{}{of} gone{}{back}{held}{parts}", quantity::plain(messages), over_faults(gone))
}
