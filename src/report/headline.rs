//! The few figures of a row that answer its claim, in words: what a table for a README has room for.

use super::cells::{Cells, brief, reason, variant};
use super::scaling::{FAN_OUT, Family, families};
use super::{point, quantity};
use crate::result::words::{TimeUnit, grouped, significant, time};
use crate::result::{ComparedCell, Kind, compare_points};

/// Lines of one cell of the table.
const MOST: usize = 7;
/// The sharing of work is told at this many consumers.
const CONSUMERS: f64 = 4.0;

/// What one system did.
pub fn lines(claim: &str, cells: &Cells<'_>, system: &str) -> Vec<String> {
    let labels: Vec<&str> =
        cells.labels().into_iter().filter(|(_, of)| *of == system).map(|(label, _)| label).collect();
    // A system that cannot says so once: its variants cannot either.
    let each: Vec<(&str, Vec<String>)> = (labels.into_iter())
        .map(|label| (label, of_label(claim, cells, label)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    let many = each.len() > 1;
    let place = |label: &str| match label == system {
        true if many => "defaults: ".to_owned(),
        true => String::new(),
        false => format!("{}: ", variant(label, system)),
    };
    let mut told: Vec<String> = (each.into_iter())
        .flat_map(|(label, lines)| lines.into_iter().map(|line| format!("{}{line}", place(label))).collect::<Vec<_>>())
        .collect();
    if told.is_empty() {
        let first = cells.all.iter().filter(|cell| cell.system == system);
        let cannot = first.clone().find(|cell| cell.kind == Kind::Cannot);
        told.push(cannot.or(first.clone().next()).map_or_else(|| "not measured".to_owned(), |cell| reason(cell)));
    }
    if told.len() > MOST {
        let more = told.len() - (MOST - 1);
        told.truncate(MOST - 1);
        told.push(format!("… {more} more in the long form"));
    }
    told
}

fn of_label(claim: &str, cells: &Cells<'_>, label: &str) -> Vec<String> {
    match claim {
        "message-size" => largest(cells, label).into_iter().collect(),
        "delivery" => requests(cells, label),
        "retention" => kept(cells, label).into_iter().collect(),
        "error-handling" => accidents(cells, label).into_iter().collect(),
        "parallelism" => parallel(cells, label),
        "throughput" | "log-aggregation" => plain(cells, label, &["goodput"]),
        "latency" => plain(cells, label, &["end_to_end.p50", "end_to_end.p99"]),
        "realtime-stream" | "urgent-messages" => plain(cells, label, &["end_to_end.p99"]),
        "session-cache" => plain(cells, label, &["get.p99"]),
        "fault-tolerance" => faults(cells, label),
        _ => plain(cells, label, &[cells.all.first().map_or("", |cell| cell.metric.as_str())]),
    }
}

fn largest(cells: &Cells<'_>, label: &str) -> Option<String> {
    let best = |cell: &ComparedCell| point::short(&cell.cell).is_empty();
    let cell = cells.of_label(label, "largest_intact").into_iter().find(|cell| best(cell))?;
    Some(cell.value.map_or_else(|| brief(cell), |size| format!("up to {}", quantity::bytes(size))))
}

/// `1/s · 10k/s: 1.00 · 0.920 requests a batch`.
fn requests(cells: &Cells<'_>, label: &str) -> Vec<String> {
    let series = |metric: &str, print: &dyn Fn(f64) -> String| {
        let mut cells = cells.of_label(label, metric);
        cells.retain(|cell| cell.value.is_some());
        cells.sort_by(|a, b| compare_points(&a.cell, &b.cell));
        let points: Vec<String> = cells.iter().map(|cell| point::short(&cell.cell)).collect();
        let values: Vec<String> = cells.iter().filter_map(|cell| cell.value).map(print).collect();
        (!values.is_empty()).then(|| (points.join(" · "), values.join(" · ")))
    };
    let asked = series("requests_per_batch", &|value| significant(value));
    let unit = TimeUnit::for_column(cells.metric("wake_up.p99").iter().filter_map(|cell| cell.value));
    let woken = series("wake_up.p99", &|ns| unit.of(ns));
    let line = |found: Option<(String, String)>, what: &str| {
        found.map(|(points, values)| match points.as_str() {
            "" => format!("{values} {what}"),
            points => format!("{points}: {values} {what}"),
        })
    };
    let woken = woken.map(|(_, values)| format!("wake-up p99 {values} {}", unit.name()));
    line(asked, "requests a batch").into_iter().chain(woken).collect()
}

fn kept(cells: &Cells<'_>, label: &str) -> Option<String> {
    let cell = cells.find(label, "readable_after_ack", &[])?;
    Some(
        cell.value
            .map_or_else(|| brief(cell), |share| format!("{} readable after acknowledgement", quantity::share(share))),
    )
}

fn accidents(cells: &Cells<'_>, label: &str) -> Option<String> {
    let count = |metric: &str, word: &str| {
        let with = |cell: &&ComparedCell| point::number(&cell.cell, "poison").is_none_or(|share| share > 0.0);
        let cell = cells.of_label(label, metric).into_iter().filter(|cell| cell.value.is_some()).find(with)?;
        cell.value.map(|value| format!("{} {word}", quantity::plain(value)))
    };
    let counts = [count("lost", "lost"), count("duplicated", "twice"), count("blocked", "held up")];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    (!counts.is_empty()).then(|| counts.join(" · "))
}

fn parallel(cells: &Cells<'_>, label: &str) -> Vec<String> {
    let own = |family: &Family| family.curves.iter().find(|curve| curve.label == label).cloned();
    let mut lines = Vec::new();
    let mut told = [false, false];
    for family in families(cells) {
        // One alone shares nothing and is no fan-out: where there is no more, the reason is told below.
        let Some(curve) = own(&family).filter(|curve| curve.steps.iter().any(|step| step.n > 1.0)) else { continue };
        let condition = if family.condition.is_empty() { String::new() } else { format!(" at {}", family.condition) };
        if family.key == FAN_OUT {
            told[0] = true;
            let last = curve.steps.iter().filter(|step| step.complete).map(|step| step.n).reduce(f64::max);
            lines.push(match last {
                Some(n) => format!("complete on {} subscriptions{condition}", grouped(n as u64)),
                None => format!("complete on none{condition}"),
            });
        } else {
            told[1] = true;
            let at = curve.steps.iter().find(|step| step.n == CONSUMERS).or(curve.steps.last());
            lines.extend(at.map(|step| {
                format!("{} consumers{condition}: {}×", quantity::plain(step.n), significant(step.factor))
            }));
        }
    }
    for (what, told, fan_out) in [("fan-out", told[0], true), ("sharing", told[1], false)] {
        let unable = |cell: &&&ComparedCell| {
            cell.label == label && cell.kind == Kind::Cannot && point::get(&cell.cell, FAN_OUT).is_some() == fan_out
        };
        if let Some(cell) = cells.all.iter().find(unable).filter(|_| !told) {
            lines.push(format!("{what} {}", reason(cell)));
        }
    }
    lines
}

/// Values of some metrics at each point of the claim's plain scenario.
fn plain(cells: &Cells<'_>, label: &str, metrics: &[&str]) -> Vec<String> {
    let own = |metric: &str| {
        let mut own = cells.of_label(label, metric);
        own.retain(|cell| cells.condition(cell).is_empty());
        own
    };
    let all = || metrics.iter().flat_map(|metric| cells.metric(metric));
    let unit = TimeUnit::for_column(all().filter_map(|cell| cell.value));
    let mut lines = Vec::new();
    for first in own(metrics[0]) {
        let place = cells.place(first);
        let here = metrics.iter().flat_map(|metric| own(metric)).filter(|cell| cell.cell == first.cell);
        let mut values: Vec<String> = Vec::new();
        let mut name = "";
        for cell in here {
            values.push(match (cell.value, cell.unit.as_str()) {
                (None, _) => reason(cell),
                (Some(value), "ns") => {
                    name = unit.name();
                    format!(
                        "{} {}",
                        cell.metric.rsplit('.').next().unwrap_or_default().replace('_', "."),
                        unit.of(value)
                    )
                }
                (Some(value), unit) => {
                    name = unit;
                    super::table::number(value)
                }
            });
        }
        values.dedup();
        let place = if place.is_empty() { place } else { format!("{place}: ") };
        lines.push(format!("{place}{} {name}", values.join(" · ")).trim_end().to_owned());
    }
    lines
}

/// `a node lost for good: 0 of 60,000 lost, back in 9.10 s`, and of an only node that was started again
/// `10,412 of 20,000 lost, back in 1.20 s`.
fn faults(cells: &Cells<'_>, label: &str) -> Vec<String> {
    let of = |conditions: &[(&str, &str)]| cells.find(label, "fault.rpo", conditions);
    let gone = of(&[("for", "never")]).map(|cell| format!("a node lost for good: {}", cost(cells, cell)));
    let killed = of(&[("fault", "kill"), ("target", "node"), ("copies", "1")])
        .filter(|cell| point::get(&cell.cell, "for").is_none() && cell.value.is_some())
        .map(|cell| cost(cells, cell));
    gone.into_iter().chain(killed).collect()
}

/// What the fault of an RPO's cell cost.
fn cost(cells: &Cells<'_>, lost: &ComparedCell) -> String {
    let Some(messages) = lost.value else { return brief(lost) };
    let value = |metric: &str| {
        let same = |cell: &&ComparedCell| cell.cell == lost.cell;
        cells.of_label(&lost.label, metric).into_iter().find(same).and_then(|cell| cell.value)
    };
    let of = value("fault.acked").map_or_else(String::new, |acked| format!(" of {}", quantity::plain(acked)));
    let back = match value("fault.rto_publish") {
        Some(ns) => format!(", back in {}", time(ns)),
        None => ", not all back".to_owned(),
    };
    format!("{}{of} lost{back}", quantity::plain(messages))
}
