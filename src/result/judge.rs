//! Judges a cell's delivery against the guarantee that its scenario declares: a pure function of
//! the record.
//!
//! It only judges. A system that cannot promise the guarantee is `cannot`, whatever it did; what
//! the harness spoilt, what no audit could settle and what may still come is `inconclusive`, never
//! a pass. Beside the verdict stand its reasons, and what is surprising either way: loss where the
//! system's own documentation rules it out, none where it was due.

use super::raw::CellRecord;
use super::summary::{CellOutcome, Counts, Fault, Judged, Survives};
use super::words::grouped;
use crate::model::{MessageStore, System, Threat};
use crate::stats::chance_of_unseen;
use itertools::Itertools;

/// The verdict, `None` for `guarantee: none`, and what there is to say about it.
pub fn judge(record: &CellRecord, guarantee: &str, valid: bool) -> (Option<Judged>, Vec<String>) {
    let found = verdict(record, guarantee, valid);
    let mut because: Vec<String> = found.iter().flat_map(|(_, because)| because.clone()).collect();
    // Where a guarantee was broken or a fault was injected, what was found is told, also when
    // nothing is judged.
    if found.as_ref().is_some_and(|(judged, _)| *judged == Judged::Fail)
        || !record.faults.is_empty()
    {
        because.extend(harm(record));
        because.extend(record.faults.iter().filter_map(|fault| surprise(fault, record)));
    }
    (found.map(|(judged, _)| judged), because)
}

type Finding = (Judged, Vec<String>);

fn verdict(record: &CellRecord, guarantee: &str, valid: bool) -> Option<Finding> {
    let with = |judged, because: &str| Some((judged, vec![because.to_owned()]));
    const JUDGED: [&str; 4] =
        ["at-most-once", "at-least-once", "exactly-once-in-log", "exactly-once"];
    if !JUDGED.contains(&guarantee) {
        return None;
    }
    if record.outcome == CellOutcome::Stalled && record.counts.sent.is_none() {
        return with(Judged::Inconclusive, "the cell could not begin");
    }
    if let Some(why) = cannot(record, guarantee) {
        return with(Judged::Cannot, why);
    }
    if !valid {
        return with(Judged::Inconclusive, "the measurement is invalid");
    }
    if let Some(fault) = record.faults.iter().find(|fault| fault.failed()) {
        let what = if fault.not_applied.is_some() { "applied" } else { "taken back" };
        return with(Judged::Inconclusive, &format!("fault `{}` was not {what}", fault.kind));
    }
    let counts = &record.counts;
    Some(match guarantee {
        "at-most-once" => match counts.duplicate {
            None => (Judged::Inconclusive, vec!["nobody counted duplicates".into()]),
            Some(0) => passed(record),
            Some(_) => (Judged::Fail, Vec::new()),
        },
        "at-least-once" => at_least_once(record),
        "exactly-once" => exactly_once(record),
        _ => match (counts.broker_lost, too_many_in_log(counts)) {
            (Some(lost), Some(many)) if lost.max(many) > 0 => (Judged::Fail, Vec::new()),
            (Some(_), Some(_)) => passed(record),
            _ => (Judged::Inconclusive, vec!["the log was not read back".into()]),
        },
    })
}

/// What should not be in the log: second copies, what was refused, what was aborted. `None` where
/// nobody looked.
fn too_many_in_log(counts: &Counts) -> Option<u64> {
    // Only where there are transactions is anything aborted.
    Some(counts.log_duplicate? + counts.phantom? + counts.aborted_read.unwrap_or(0))
}

/// Nothing too much, neither in the log nor at a subscription, and nothing too little.
fn exactly_once(record: &CellRecord) -> Finding {
    match (record.counts.duplicate, too_many_in_log(&record.counts)) {
        (Some(twice), Some(many)) if twice.max(many) > 0 => (Judged::Fail, Vec::new()),
        (Some(_), Some(_)) => at_least_once(record),
        _ => (Judged::Inconclusive, vec!["the log was not read back".into()]),
    }
}

/// Why the system cannot promise the guarantee at these settings.
fn cannot<'a>(record: &'a CellRecord, guarantee: &str) -> Option<&'a str> {
    let told = record.cannot().or(record.unpromised.as_deref());
    match guarantee {
        _ if told.is_some() => told,
        "at-most-once" => None,
        _ if record.counts.acked.is_none() => Some("its replies promise nothing"),
        _ if !record.survives.process_kill => {
            Some("what it acknowledges does not outlive its process")
        }
        "exactly-once-in-log" | "exactly-once" if !keeps_a_log(record) => Some("it keeps no log"),
        _ => None,
    }
}

/// The fake of the self-check as well.
fn system(record: &CellRecord) -> Option<System> {
    if record.system == System::Fake.name() {
        Some(System::Fake)
    } else {
        System::from_name(&record.system)
    }
}

fn keeps_a_log(record: &CellRecord) -> bool {
    system(record).is_some_and(System::keeps_a_log)
}

fn at_least_once(record: &CellRecord) -> Finding {
    let counts = &record.counts;
    let open = |why: String| (Judged::Inconclusive, vec![why]);
    let Some(undelivered) = counts.undelivered else {
        return open("nobody counted deliveries".into());
    };
    let lost = counts.lost.unwrap_or(0);
    // Without an audit what did not arrive may be kept all the same.
    let absent = counts.lost.unwrap_or(undelivered);
    // A log's reader moves on and does not come back; elsewhere another consumer may still take the
    // message over.
    let skipped = counts
        .passed_over
        .filter(|_| system(record).map(System::store) == Some(MessageStore::Log))
        .unwrap_or(0);
    match counts.broker_lost {
        Some(broker_lost) if broker_lost > 0 || lost > 0 || skipped > 0 => {
            (Judged::Fail, Vec::new())
        }
        Some(_) if undelivered > 0 => open(format!(
            "{} messages were still in the broker when the drain ended",
            grouped(undelivered)
        )),
        None if absent > 0 => open(format!(
            "{} messages did not arrive, and no audit says whether they are kept",
            grouped(absent)
        )),
        Some(_) => passed(record),
        None => {
            let (judged, mut because) = passed(record);
            because.push("no audit: judged by what live consumers received".into());
            (judged, because)
        }
    }
}

/// A pass, with how much it says.
fn passed(record: &CellRecord) -> Finding {
    let faults = record.faults.iter().filter(|fault| fault.took_effect_at_ns.is_some()).count();
    let bound = (faults > 0).then(|| {
        let chance = 100.0 * chance_of_unseen(faults as u64);
        format!(
            "no violation in {faults} faults: at 95 % confidence fewer than {chance:.0} % of \
            such faults cause one"
        )
    });
    (Judged::Pass, bound.into_iter().collect())
}

fn harm(record: &CellRecord) -> Vec<String> {
    let counts = &record.counts;
    let owed = if counts.acked.is_some() { "acknowledged" } else { "sent" };
    let before = counts.broker_lost.unwrap_or(0).saturating_sub(counts.lost.unwrap_or(0));
    let before = match record.subscriptions {
        1 => format!(", {} of them delivered before", grouped(before)),
        _ => String::new(),
    };
    // What is taken is gone: nobody can tell whether the broker or the consumer
    // that took it lost it.
    let (gone, where_from) = match keeps_a_log(record) {
        true => {
            ("broker loss", format!("acknowledged messages are no longer in the broker{before}"))
        }
        false => ("lost", "acknowledged messages neither arrived nor are in the broker".to_owned()),
    };
    let never = format!("{owed} messages were never delivered");
    let skipped = "messages are in the broker, yet consumers were past them and had none";
    let unseen = counts.undelivered.filter(|_| counts.lost.is_none());
    let all = [
        ("broker_lost", counts.broker_lost, gone, where_from.as_str()),
        ("lost", counts.lost.filter(|_| counts.broker_lost.is_none()), "lost", &never),
        (
            "undelivered",
            unseen,
            "undelivered",
            "messages did not arrive, and nobody looked further",
        ),
        ("passed_over", counts.passed_over, "delivery loss", skipped),
        ("duplicate", counts.duplicate, "duplicates", "deliveries too many"),
        (
            "log_duplicate",
            counts.log_duplicate,
            "duplicates in the log",
            "messages stored once too often",
        ),
        ("phantom", counts.phantom, "phantoms", "refused messages turned up all the same"),
        (
            "aborted_read",
            counts.aborted_read,
            "aborted reads",
            "messages of aborted transactions turned up all the same",
        ),
        ("corrupt", counts.corrupt, "corrupt", "messages arrived damaged"),
        ("reordered", counts.reordered, "disorder", "messages came behind a later one"),
    ];
    let told = all.into_iter().filter_map(|(column, count, what, words)| {
        let count = count.filter(|count| *count > 0)?;
        Some(format!("{what}: {} {words}{}", grouped(count), first_of(record, column)))
    });
    let again = record
        .retries
        .iter()
        .map(|(reason, count)| format!("{reason} {}", grouped(*count)))
        .join(", ");
    told.chain((!again.is_empty()).then(|| format!("tried again: {again}"))).collect()
}

fn first_of(record: &CellRecord, column: &str) -> String {
    record.examples.iter().find(|example| example.harm == column).map_or_else(
        String::new,
        |first| {
            format!(
                " (first: number {} of producer {}, lane {})",
                first.sequence, first.producer, first.lane
            )
        },
    )
}

/// Whether what a fault did to acknowledged messages is not what the system's own promise says.
fn surprise(fault: &Fault, record: &CellRecord) -> Option<String> {
    let lost = fault.rpo_messages?;
    match (expects_loss(fault, &record.survives, record.nodes)?, lost > 0) {
        (false, true) => Some(format!(
            "surprising: {} acknowledged messages lost to `{}`, which they should survive",
            grouped(lost),
            fault.kind
        )),
        (true, false) => Some(format!(
            "surprising: nothing lost to `{}`, which nothing promises to survive: the fault may \
            have been too weak",
            fault.kind
        )),
        _ => None,
    }
}

/// Whether acknowledged messages should be lost to this fault; `None` where the survival class does
/// not say.
fn expects_loss(fault: &Fault, survives: &Survives, nodes: u16) -> Option<bool> {
    let kind = fault.fault_kind()?;
    let for_good = fault.healed_at_ns.is_none();
    let everywhere = nodes == 1 || fault.everywhere();
    match kind.threat() {
        _ if kind.takes_down() && !everywhere => survives.node_loss.then_some(false),
        // Nothing ever comes back: there is nothing left to lose from.
        _ if kind.takes_down() && for_good => None,
        Threat::PowerLoss => Some(!survives.power_loss),
        Threat::Crash => Some(!survives.process_kill),
        Threat::Shutdown => survives.process_kill.then_some(false),
        Threat::Absence | Threat::Delay => (nodes == 1 || survives.node_loss).then_some(false),
        Threat::Refusal | Threat::Consumption => None,
    }
}

#[cfg(test)]
mod tests;
