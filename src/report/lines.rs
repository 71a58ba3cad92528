//! A run in few lines, for a terminal: one for each label and matrix point, its blocks put
//! together, and what is wrong with some of them, in words.

use super::faults::{FaultCost, fault_costs};
use super::group::{Group, blocks, groups};
use super::observed::{ObservedMetric, gather};
use crate::claims::{Headline, headline};
use crate::model::Point;
use crate::result::fault_figures::RTO_PUBLISH;
use crate::result::words::{compact, grouped, name, time};
use crate::result::{CellOutcome, CellSummary, Judged, Summary};
use crate::sanitize;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, presets};
use itertools::Itertools;
use std::collections::BTreeMap;

/// The first says how it ended, the last what else there is to know. A column that is empty in all
/// rows is left out.
const HEAD: [&str; 7] = ["", "system", "point", "goodput", "e2e p50", "e2e p99", ""];
/// Of those, the last that is a figure or a name: only what comes behind gives way to the width.
const LAST: usize = 5;
/// A line has room for few.
const MOST: usize = 12;

type Count = fn(&CellSummary) -> Option<u64>;
/// In a word, and at length.
type Reason = (String, String);

/// A line for each label at each matrix point. Of an experiment, what the headline of its claim is
/// made of comes first.
pub fn lines(summary: &Summary, claim: Option<&str>, width: u16) -> String {
    let rows = rows(summary, claim);
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.max(60))
        .set_header(HEAD);
    for row in &rows {
        let mut row = Row::from(row.each_ref().map(|text| sanitize::line(text)));
        row.max_height(1);
        table.add_row(row);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        if at == 0 {
            column.set_padding((0, 0));
        }
        if rows.iter().all(|row| row[at].is_empty()) {
            column.set_constraint(ColumnConstraint::Hidden);
        } else if at <= LAST {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if (3..=LAST).contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let most = groups(summary).iter().map(|group| group.blocks.len()).max().unwrap_or(0);
    let over = if most > 1 { format!("   over {}\n", blocks(most)) } else { String::new() };
    format!("{}\n{over}", table.trim_fmt())
}

/// The same, a text for each column.
pub(super) fn rows(summary: &Summary, claim: Option<&str>) -> Vec<[String; 7]> {
    let groups = groups(summary);
    let (seen, costs) = (gather(&groups), fault_costs(&groups));
    let first: Vec<&str> =
        claim.map_or(&[][..], headline).iter().flat_map(Headline::metrics).collect();
    groups.iter().map(|group| row(group, &seen, &costs, &first)).collect()
}

fn row(
    group: &Group<'_>,
    seen: &[ObservedMetric<'_>],
    costs: &[FaultCost<'_>],
    first: &[&str],
) -> [String; 7] {
    let loaded = |cell: &CellSummary| cell.rates.goodput_per_s.filter(|_| plain(cell));
    let goodput = group.mean(loaded).map(|mean| format!("{}/s", compact(mean.value())));
    let quantile = |name: &str| {
        let value = group.end_to_end(name).filter(|_| group.blocks.iter().any(|cell| plain(cell)));
        value.map_or_else(String::new, |value| value.words(time))
    };
    let mut notes = notes(group);
    let own = costs.iter().filter(|cost| (cost.label, cost.point) == (group.label, group.point));
    // Of what did not strike, or was spoilt, the reasons tell.
    let own = own.filter(|cost| cost.struck().next().is_some());
    notes.extend(own.map(|cost| {
        let (lost, back) = (cost.lost_in_words(), cost.time_in_words(&RTO_PUBLISH));
        format!("{}: {lost} gone, taken again after {back}", cost.fault)
    }));
    if group.blocks.iter().any(|cell| !plain(cell)) {
        notes.push(observed(group, seen, first));
    }
    [
        mark(group).to_owned(),
        group.label.to_owned(),
        Point::read(group.point).values(),
        goodput.unwrap_or_default(),
        quantile("p50"),
        quantile("p99"),
        notes.join(" · "),
    ]
}

fn plain(cell: &CellSummary) -> bool {
    cell.experiment.is_none()
}

/// Without a word what the line is worth: `–` where the system cannot, `✗` where there is no figure
/// to use or a promise was broken, `?` where a figure is no property of the system.
fn mark(group: &Group<'_>) -> &'static str {
    let any = |of: fn(&CellSummary) -> bool| group.blocks.iter().any(|cell| of(cell));
    let broken = |cell: &CellSummary| {
        matches!(cell.outcome, CellOutcome::Violated | CellOutcome::Stalled)
            || cell.judged == Some(Judged::Fail)
            || cell.faults.iter().any(crate::result::Fault::failed)
    };
    if any(|cell| cell.cannot().is_some()) {
        "–"
    } else if any(|cell| !cell.valid) || any(broken) {
        "✗"
    } else if any(|cell| {
        cell.outcome != CellOutcome::Ok || cell.judged == Some(Judged::Inconclusive)
    }) {
        "?"
    } else {
        "✓"
    }
}

/// What was seen of a cell before somebody ended it: no figure to judge by, and hours of work.
fn until_interrupted(cell: &CellSummary) -> Option<String> {
    let after = cell.interrupted_after_ns?;
    let goodput = cell.rates.goodput_per_s.map(|rate| format!("{}/s", compact(rate)));
    let of = |name: &str| {
        let value = cell.latency.end_to_end.as_ref()?.value(name)?;
        Some(format!("{name} {}", value.words(time)))
    };
    let seen = goodput.into_iter().chain(of("p50")).chain(of("p99")).join(", ");
    Some(format!("{} until interrupted: {seen}", time(after as f64)))
}

/// What became of the blocks and of their messages, in few words.
fn notes(group: &Group<'_>) -> Vec<String> {
    if let Some(why) = group.blocks.iter().find_map(|cell| cell.cannot()) {
        return vec![format!("cannot: {why}")];
    }
    let all = group.blocks.len();
    let in_blocks = |what: &str, of: &dyn Fn(&CellSummary) -> bool| match group
        .blocks
        .iter()
        .filter(|cell| of(cell))
        .count()
    {
        0 => None,
        count if count == all => Some(what.to_owned()),
        count => Some(format!("{what} in {count} of {all}")),
    };
    let outcomes = [
        CellOutcome::Violated,
        CellOutcome::Stalled,
        CellOutcome::Overloaded,
        CellOutcome::Unsteady,
    ];
    let of_outcome = |outcome: CellOutcome| {
        in_blocks(&name(&outcome), &|cell: &CellSummary| cell.valid && cell.outcome == outcome)
    };
    let judged = [
        (Judged::Fail, "guarantee broken"),
        (Judged::Inconclusive, "guarantee open"),
        (Judged::Cannot, "cannot promise the guarantee"),
    ];
    let of_judged = |(judged, words): (Judged, &str)| {
        in_blocks(words, &|cell: &CellSummary| cell.judged == Some(judged))
    };
    let counts: [(&str, Count); 3] = [
        ("lost", |cell| cell.counts.lost),
        ("twice", |cell| cell.counts.duplicate),
        ("failed", |cell| cell.counts.failed),
    ];
    let of_count = |(words, of): (&str, Count)| {
        let count: u64 = group.blocks.iter().filter_map(|cell| of(cell)).sum();
        (count > 0).then(|| format!("{} {words}", grouped(count)))
    };
    let invalid = in_blocks("invalid", &|cell: &CellSummary| !cell.valid);
    let interrupted = group.blocks.iter().find_map(|cell| until_interrupted(cell));
    let outcomes = outcomes.into_iter().filter_map(of_outcome);
    let judged = judged.into_iter().filter_map(of_judged);
    invalid
        .into_iter()
        .chain(interrupted)
        .chain(outcomes)
        .chain(judged)
        .chain(counts.into_iter().filter_map(of_count))
        .collect()
}

/// The figures of an experiment, as many as a line may hold.
fn observed(group: &Group<'_>, seen: &[ObservedMetric<'_>], first: &[&str]) -> String {
    let own = || seen.iter().filter(move |one| (one.label, one.cell) == (group.label, group.point));
    let place = |one: &&ObservedMetric<'_>| {
        first.iter().position(|metric| *metric == one.metric).unwrap_or(first.len())
    };
    let word = |one: &ObservedMetric<'_>| {
        let condition = Point::read(one.point).values();
        let condition = if condition.is_empty() { condition } else { format!(" ({condition})") };
        format!("{}{condition} {}", one.metric, one.value_in_words())
    };
    // That a system cannot do what the claim is about is a finding too.
    let told = |one: &&ObservedMetric<'_>| one.value().is_some() || first.contains(&one.metric);
    let known = own().filter(told).sorted_by_key(place);
    let words = known.take(MOST).map(word).join(" · ");
    match own().next() {
        None => "nothing was observed".to_owned(),
        Some(one) if words.is_empty() => one.value_in_words(),
        Some(_) => words,
    }
}

/// What is wrong, a line for each kind of it at each label and matrix point: the first reason, and
/// in how many blocks more there is one.
pub fn reasons(summary: &Summary) -> Vec<String> {
    let kinds: [fn(&CellSummary) -> Option<Reason>; 4] = [invalid, outcome, broken, fault];
    let mut told = Vec::new();
    for group in groups(summary) {
        let point = Point::read(group.point).values();
        let place = format!("{} {point}", group.label);
        for kind in kinds {
            let mut found = group.blocks.iter().filter_map(|cell| kind(cell));
            if let Some((word, because)) = found.next() {
                let more = match found.count() {
                    0 => String::new(),
                    more => format!(" (and in {} more)", blocks(more)),
                };
                told.push(format!("{word}: {}: {because}{more}", place.trim_end()));
            }
        }
        told.extend(failed(&group).map(|what| format!("failed: {}: {what}", place.trim_end())));
    }
    told
}

fn invalid(cell: &CellSummary) -> Option<Reason> {
    let because = cell.invalid_because.join("; ");
    (!because.is_empty()).then(|| ("invalid".to_owned(), because))
}

/// Why the outcome of a cell is not `ok`: the outcome, and the reasons.
pub fn outcome(cell: &CellSummary) -> Option<Reason> {
    let because = cell.outcome_because.join("; ");
    let told = cell.outcome != CellOutcome::Ok && !because.is_empty();
    told.then(|| (name(&cell.outcome), because))
}

/// A guarantee that did not hold, or of which it is not known.
fn broken(cell: &CellSummary) -> Option<Reason> {
    let wrong = matches!(cell.judged, Some(Judged::Fail | Judged::Inconclusive));
    judged(cell).filter(|_| wrong && cell.valid)
}

/// How a cell was judged, where there is something to say about it.
pub fn judged(cell: &CellSummary) -> Option<Reason> {
    let because = cell.judged_because.join("; ");
    let word = match cell.judged {
        None | Some(Judged::Pass) if because.is_empty() => return None,
        // Said already.
        Some(Judged::Cannot) if cell.cannot().is_some() => return None,
        None => "found",
        Some(Judged::Pass) => "pass",
        Some(Judged::Fail) => "FAIL",
        Some(Judged::Inconclusive) => "inconclusive",
        Some(Judged::Cannot) => "cannot",
    };
    Some((word.to_owned(), because))
}

/// A fault that was not done, or not undone.
fn fault(cell: &CellSummary) -> Option<Reason> {
    let because = cell.faults.iter().find_map(|fault| {
        let why = [("not applied", &fault.not_applied), ("not healed", &fault.not_healed)];
        let mut why = why.into_iter().filter_map(|(what, why)| Some((what, why.as_ref()?)));
        why.next().map(|(what, why)| format!("{} {what}: {why}", fault.kind))
    })?;
    Some(("FAIL".to_owned(), because))
}

/// Why most of the messages failed that did.
fn failed(group: &Group<'_>) -> Option<String> {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in group.blocks.iter().flat_map(|cell| &cell.failures) {
        *reasons.entry(reason).or_default() += count;
    }
    let (reason, count) = reasons.iter().max_by_key(|(_, count)| **count)?;
    let others = match reasons.len() - 1 {
        0 => String::new(),
        1 => " (and for one other reason)".to_owned(),
        others => format!(" (and for {others} other reasons)"),
    };
    Some(format!("{reason} ×{}{others}", grouped(*count)))
}

#[cfg(test)]
mod tests;
