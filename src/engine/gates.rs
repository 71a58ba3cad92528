//! The checks on a finished measurement, and whose fault a failure is.
//!
//! Caused by the harness: the cell is invalid, kept and shown, without a verdict. Caused by the
//! broker: a result.

use crate::record::Counted;
use crate::result::words::grouped;
use crate::result::{Blame, CellOutcome, Gate};
use crate::stats::{HALVES, SEEN_AFTER, Second, stayed, thirds};
use itertools::Itertools;
use std::collections::BTreeMap;

/// What the gates look at. All of the measured window unless said otherwise.
#[derive(Clone)]
pub struct Evidence {
    pub open: bool,
    /// Over the whole run.
    pub counted: Counted,
    /// Sent as the publishers' counters say, over the whole run: a second book.
    pub sent_by_counter: u64,
    pub window_planned: u64,
    /// By the clock: acknowledged during the window.
    pub acked_in_time: u64,
    pub subscriptions: u64,
    /// Backlog in messages at the start and the end of the window.
    pub backlog: (u64, u64),
    /// (quantile's name, generator's own lag there, value of the primary latency there), ns.
    pub lag: Option<(String, u64, u64)>,
    /// Share of the window that the busiest of the threads that pace and consume ran.
    pub busiest_share: Option<f64>,
    pub steal_share: Option<f64>,
    pub seconds: Vec<Second>,
    /// The last seconds of a warm-up that had settled; else none.
    pub before: Vec<Second>,
    /// `None` where the warm-up was too short to tell.
    pub settled: Option<bool>,
    pub acknowledges: bool,
    /// Others publish to the same topic or stream: what is theirs is no harm.
    pub shared: bool,
    pub unanswered: u64,
    /// Of the window: acknowledged, or received where a reply promises nothing.
    pub arrived: u64,
    /// Reasons of failed and indeterminate messages, over the whole run.
    pub failures: BTreeMap<String, u64>,
    /// Why clients were cut off or refused while the load went on.
    pub cut_off: BTreeMap<String, u64>,
    /// What the broker counted meanwhile of what it does to clients and messages by itself.
    pub toll: BTreeMap<String, u64>,
    /// Whether there were faults, or outages that were to be outlived: they were asked for, and
    /// what came of them has figures of its own.
    pub faults: bool,
}

/// The generator's own lag may be this share of the value it is part of.
const LAG_SHARE: f64 = 0.25;
/// So much lag is let pass whatever the value, ns: waking a thread takes as long now and then
/// (`scripts/peers --only paced` shows our p99), and no generator that sleeps is earlier. It counts
/// into the floor of that quantile, which is told beside the value.
const WAKE_NS: u64 = 100_000;
const STEAL_SHARE: f64 = 0.05;
const THREAD_SHARE: f64 = 0.95;
/// Acknowledged in time must be this share of what was offered.
const REACHED: f64 = 0.99;
/// This share of what was sent may be refused.
const REFUSED: f64 = 0.01;
/// So many reasons are told.
const REASONS: usize = 3;

/// Every gate with its value, the outcome, and why it is not `ok`.
pub fn judge(evidence: &Evidence) -> (Vec<Gate>, CellOutcome, Vec<String>) {
    let mut gates = harness_gates(evidence);
    let mut broker = broker_gates(evidence);
    let failed = broker.iter().find(|(gate, _)| gate.failed()).map(|(_, outcome)| *outcome);
    let outcome = failed.unwrap_or_default();
    if let Some(first) = left_alone(evidence, failed) {
        broker.insert(0, first);
    }
    let because = broker
        .iter()
        .filter(|(gate, _)| gate.failed())
        .map(|(gate, _)| format!("{}: {} (limit {})", gate.name, gate.found, gate.limit))
        .collect();
    gates.extend(broker.into_iter().map(|(gate, _)| gate));
    (gates, outcome, because)
}

fn gate(name: &str, blames: Blame, held: bool, found: String, limit: impl Into<String>) -> Gate {
    Gate { name: name.into(), held: Some(held), blames, found, limit: limit.into() }
}

fn harness_gates(e: &Evidence) -> Vec<Gate> {
    let harness = |name, held, found, limit: &str| gate(name, Blame::Harness, held, found, limit);
    let c = &e.counted;
    let owed = if e.acknowledges { c.acked } else { c.sent };
    let balanced = c.sent == e.sent_by_counter
        && c.sent == c.acked + c.failed + c.indeterminate
        && owed * e.subscriptions == c.delivered + c.undelivered + c.lost;
    let books = format!(
        "sent {} = acked {} + failed {} + indeterminate {}; {} × {} = delivered {} + undelivered \
        {} + lost {}",
        c.sent,
        c.acked,
        c.failed,
        c.indeterminate,
        owed,
        e.subscriptions,
        c.delivered,
        c.undelivered,
        c.lost
    );
    let mut gates = vec![harness("books-balance", balanced, books, "both sums exact")];
    if let Some((quantile, lag, value)) = &e.lag {
        let limit = ((*value as f64 * LAG_SHARE) as u64).max(WAKE_NS);
        let found = format!("{} µs at {quantile}, without back-pressure", lag / 1000);
        let words = format!(
            "{} µs: 25 % of the latency there, at least {} µs",
            limit / 1000,
            WAKE_NS / 1000
        );
        gates.push(harness("schedule-lag", *lag <= limit, found, &words));
    }
    if let Some(share) = e.busiest_share {
        let found = format!("{} by the busiest thread", percent(share));
        gates.push(harness("generator-cpu", share <= THREAD_SHARE, found, "95 % of one core"));
    }
    if let Some(share) = e.steal_share {
        gates.push(harness("steal-time", share <= STEAL_SHARE, percent(share), "5 %"));
    }
    gates
}

fn broker_gates(e: &Evidence) -> Vec<(Gate, CellOutcome)> {
    let c = &e.counted;
    let broker = |otherwise: CellOutcome, name, held, found, limit: &str| {
        (gate(name, Blame::Broker, held, found, limit), otherwise)
    };
    let foreign = if e.shared { 0 } else { c.foreign };
    let harm = c.lost + c.broker_lost.unwrap_or(0) + c.corrupt + c.reordered + foreign + c.phantom;
    let broker_lost = c.broker_lost.map_or("unknown".into(), |lost| lost.to_string());
    let found = format!(
        "lost {}, broker_lost {broker_lost}, corrupt {}, reordered {}, foreign {}, phantom {}",
        c.lost, c.corrupt, c.reordered, c.foreign, c.phantom
    );
    let mut gates = vec![
        arrived(e),
        broker(CellOutcome::Violated, "nothing-lost-or-disordered", harm == 0, found, "0 of each"),
    ];
    if e.faults {
        return gates;
    }
    gates.push(broker(
        CellOutcome::Overloaded,
        "refused",
        c.failed as f64 <= REFUSED * c.sent as f64,
        reasons(&e.failures, c.failed),
        "1 % of what was sent",
    ));
    if e.open {
        let share = e.acked_in_time as f64 / (e.window_planned as f64).max(1.0);
        let found = format!("{} of the offered load in time", percent(share));
        gates.push(broker(
            CellOutcome::Overloaded,
            "rate-reached",
            share >= REACHED,
            found,
            "99 %",
        ));
        let growth = e.backlog.1.saturating_sub(e.backlog.0);
        // Half a per cent of what was offered, and never less than what one fetch may hold back.
        let limit = (e.window_planned / 200).max(1000);
        let found = format!("grew by {growth} messages");
        let words = format!("{limit} messages");
        gates.push(broker(
            CellOutcome::Overloaded,
            "backlog-bounded",
            growth <= limit,
            found,
            &words,
        ));
    }
    let drained = e.unanswered == 0 && c.undelivered == 0;
    let found = format!("{} unanswered, {} undelivered", e.unanswered, c.undelivered);
    gates.push(broker(
        CellOutcome::Overloaded,
        "drained",
        drained,
        found,
        "0 of each by the deadline",
    ));
    gates.push((steady(e), CellOutcome::Unsteady));
    gates
}

/// Whether it had come to rest before the window, and stayed so.
fn steady(e: &Evidence) -> Gate {
    let (before, first, second) = thirds(&e.before, &e.seconds);
    let held = match (e.settled, stayed(&e.before, &e.seconds)) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        (None, _) | (_, None) => None,
    };
    let found = match (e.settled, held) {
        (Some(false), _) => "not settled within the warm-up limit".to_owned(),
        (None, None) => format!("cannot tell: a warm-up of less than {SEEN_AFTER}"),
        (_, None) => format!("cannot tell: a window of less than {HALVES} s"),
        _ => {
            let [first, second] = [first, second].map(|ns| ns / 1000);
            let before = before.map(|ns| format!("of the warm-up's end {}, ", ns / 1000));
            let before = before.unwrap_or_default();
            format!("medians {before}of the window's halves {first} and {second} µs")
        }
    };
    let limit = "settled in warm-up; its end and the window's halves within 25 %";
    Gate { held, ..gate("steady", Blame::Broker, true, found, limit) }
}

/// Something must come through, also where faults were injected.
fn arrived(e: &Evidence) -> (Gate, CellOutcome) {
    // The closed model always has one to send.
    let asked = !e.open || e.window_planned > 0;
    let told = e.acknowledges || e.subscriptions > 0;
    let what = if e.acknowledges { "acknowledged" } else { "received" };
    let held = !asked || !told || e.arrived > 0;
    let found = if held {
        format!("{} {what}", grouped(e.arrived))
    } else {
        let why = if e.failures.is_empty() { String::new() } else { ": ".to_owned() };
        format!("nothing was {what}{why}{}", words(&e.failures))
    };
    (gate("carried", Blame::Broker, held, found, "at least one message"), CellOutcome::Stalled)
}

/// Whether the broker left clients and messages alone. Where it did not and something came of it
/// (`followed`), that is the first of all reasons, in its own words. A client that was cut off and
/// came back without harm is told and blamed on nobody; so is what faults that were asked for do.
fn left_alone(e: &Evidence, followed: Option<CellOutcome>) -> Option<(Gate, CellOutcome)> {
    let told = [words(&e.cut_off), words(&e.toll)];
    let found = told.iter().filter(|words| !words.is_empty()).join("; ");
    if found.is_empty() || e.faults {
        return None;
    }
    let limit = "nobody cut off, refused or held back, nothing evicted";
    let gate = gate("left-alone", Blame::Broker, followed.is_none(), found, limit);
    Some((gate, followed.unwrap_or_default()))
}

/// `OOM command not allowed ×12,345`; the most frequent reasons.
fn words(failures: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<(&String, &u64)> = failures.iter().collect();
    all.sort_by(|a, b| b.1.cmp(a.1));
    let told = all.iter().take(REASONS);
    let told = told.map(|(reason, count)| format!("{reason} ×{}", grouped(**count))).join(", ");
    match all.len().saturating_sub(REASONS) {
        0 => told,
        more => format!("{told}, {more} more reasons"),
    }
}

fn reasons(failures: &BTreeMap<String, u64>, failed: u64) -> String {
    match words(failures) {
        none if none.is_empty() => format!("{} messages", grouped(failed)),
        words => words,
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests;
