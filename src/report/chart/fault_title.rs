//! The finding of a figure of faults over time, in one sentence. Computed from the records, never typed.

use super::faults::FaultPanel;
use crate::model::{FaultKind, Point};
use crate::result::words::{grouped, time};
use crate::result::{CellRecord, Fault};

/// The finding: who took longest to take messages again, and what of the acknowledged ones is gone.
pub fn title(point: &str, panels: &[&FaultPanel<'_>]) -> String {
    let at = if Point::read(point).is_base() { String::new() } else { format!(", at {point}") };
    let struck = |panel: &FaultPanel<'_>| panel.record.faults.iter().any(|fault| fault.took_effect_at_ns.is_some());
    let hit: Vec<&FaultPanel<'_>> = panels.iter().copied().filter(|panel| struck(panel)).collect();
    let Some(slowest) = hit.iter().copied().max_by_key(|panel| recovered(panel.record)) else {
        return format!("No fault was applied to {}{at}", named(panels));
    };
    format!("{}; {}{at}", recovery_in_words(slowest.record), loss_in_words(&hit))
}

/// How long until messages were taken again after every fault, in an order where never is longest.
fn recovered(record: &CellRecord) -> (bool, u64) {
    let times = || record.faults.iter().filter(|fault| fault.took_effect_at_ns.is_some());
    let never = times().any(|fault| fault.rto_publish_ns.is_none());
    (never, times().filter_map(|fault| fault.rto_publish_ns).max().unwrap_or(0))
}

/// `kafka took messages again 8.91 s after its leader was killed`.
fn recovery_in_words(record: &CellRecord) -> String {
    const QUIET_NS: u64 = 100_000_000;
    let struck: Vec<&Fault> = record.faults.iter().filter(|fault| fault.took_effect_at_ns.is_some()).collect();
    let Some(first) = struck.first() else { return String::new() };
    let label = &record.label;
    let done = done_to(first);
    let (never, longest) = recovered(record);
    let (at_most, each) = match struck.len() {
        1 => ("", String::new()),
        count => ("at most ", format!(" (the longest of {count} times)")),
    };
    match never {
        true => format!("{label} was not seen to take messages on every partition or stream again after {done}"),
        false if longest <= QUIET_NS => {
            format!("{label} was never without an acknowledgement for more than 0.1 s when {done}{each}")
        }
        false => format!("{label} took messages again {at_most}{} after {done}{each}", time(longest as f64)),
    }
}

/// `its leader was killed`.
fn done_to(fault: &Fault) -> String {
    let whom = match fault.target.as_str() {
        "node" => "a node of it",
        "replica" => "a replica",
        "all" => "every node",
        "controller" => "its controller",
        "primary" => "its primary",
        _ => "its leader",
    };
    match fault.fault_kind() {
        Some(FaultKind::Kill) if fault.for_good() => format!("{whom} was lost for good"),
        Some(kind) if kind.is_ours() => kind.done().to_owned(),
        Some(kind) => format!("{whom} {}", kind.done()),
        None => format!("{} of {whom}", fault.kind),
    }
}

/// `nothing acknowledged was lost`, or who lost most.
fn loss_in_words(hit: &[&FaultPanel<'_>]) -> String {
    let several = if hit.len() > 1 { format!(", the most of {} labels", hit.len()) } else { String::new() };
    let lost = |panel: &FaultPanel<'_>| panel.record.counts.broker_lost.filter(|_| panel.record.counts.acked.is_some());
    let most = hit.iter().filter_map(|panel| Some((lost(panel)?, panel))).max_by_key(|(lost, _)| *lost);
    let unknown = hit.iter().filter(|panel| lost(panel).is_none()).count();
    match most {
        Some((count, panel)) if count > 0 => {
            format!("{} lost {} acknowledged messages{several}", panel.record.label, grouped(count))
        }
        Some(_) if unknown > 0 => format!("nothing acknowledged was lost where that is known ({unknown} not)"),
        Some(_) => "nothing acknowledged was lost".to_owned(),
        None => match hit.iter().filter_map(|panel| Some((panel.record.counts.lost?, panel))).max_by_key(|(n, _)| *n) {
            Some((count, panel)) => format!("{} messages sent by {} never arrived", grouped(count), panel.record.label),
            None => "what was lost is not known".to_owned(),
        },
    }
}

fn named(panels: &[&FaultPanel<'_>]) -> String {
    panels.iter().map(|panel| panel.record.label.as_str()).collect::<Vec<_>>().join(", ")
}
