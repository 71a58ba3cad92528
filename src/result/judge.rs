//! Judges a cell's delivery against the guarantee that its scenario declares: a pure function of
//! the record.
//!
//! It only judges. A system that cannot promise the guarantee is `cannot`, whatever it did; what
//! the harness spoilt, what no audit could settle and what may still come is `inconclusive`, never
//! a pass. Beside the verdict stand its reasons, and what is surprising either way: loss where the
//! system's own documentation rules it out, none where it was due.

use super::raw::CellRecord;
use super::summary::{CellOutcome, Fault, Judged, Survives};
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
    if !matches!(guarantee, "at-most-once" | "at-least-once" | "exactly-once-in-log") {
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
        _ => match (counts.broker_lost, counts.log_duplicate, counts.phantom) {
            (Some(lost), Some(twice), Some(phantom)) if lost.max(twice).max(phantom) > 0 => {
                (Judged::Fail, Vec::new())
            }
            (Some(_), Some(_), Some(_)) => passed(record),
            _ => (Judged::Inconclusive, vec!["the log was not read back".into()]),
        },
    })
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
        "exactly-once-in-log" if !keeps_a_log(record) => Some("it keeps no log"),
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
mod tests {
    use super::super::testing::cell;
    use super::*;
    use crate::model::FaultKind;
    use crate::record::Example;

    fn judged(record: &CellRecord, guarantee: &str) -> Option<Judged> {
        judge(record, guarantee, true).0
    }

    fn fault(kind: FaultKind, rpo: u64) -> Fault {
        Fault {
            kind: kind.name().into(),
            target: "leader".into(),
            took_effect_at_ns: Some(1),
            healed_at_ns: Some(2),
            rpo_messages: Some(rpo),
            ..Fault::default()
        }
    }

    #[test]
    fn guarantees_judge_and_never_ask_for_what_cannot_be() {
        let mut record = cell("kafka", "base", 1).record;
        assert_eq!(judged(&record, "none"), None);
        assert_eq!(judged(&record, "at-least-once"), Some(Judged::Pass));
        assert_eq!(judge(&record, "at-least-once", false).0, Some(Judged::Inconclusive));
        (record.counts.lost, record.counts.broker_lost) = (Some(1), Some(1));
        assert_eq!(judged(&record, "at-least-once"), Some(Judged::Fail));
        assert_eq!(judged(&record, "exactly-once-in-log"), Some(Judged::Fail));
        assert_eq!(judged(&record, "at-most-once"), Some(Judged::Pass));
        let unaudited = |undelivered| {
            let mut record = record.clone();
            (record.counts.lost, record.counts.broker_lost) = (None, None);
            record.counts.undelivered = undelivered;
            judge(&record, "at-least-once", true)
        };
        let (judged_so, because) = unaudited(Some(3));
        assert_eq!(judged_so, Some(Judged::Inconclusive));
        assert!(because[0].contains("no audit says whether they are kept"), "{because:?}");
        assert_eq!(unaudited(Some(0)).0, Some(Judged::Pass));
        assert_eq!(unaudited(None).0, Some(Judged::Inconclusive), "nobody counted");
        record.counts.acked = None;
        assert_eq!(
            judged(&record, "at-least-once"),
            Some(Judged::Cannot),
            "a reply that promises nothing"
        );
        let lists = cell("redis-lists", "base", 1).record;
        assert_eq!(judged(&lists, "exactly-once-in-log"), Some(Judged::Cannot), "a list is no log");
        let told = CellRecord {
            unpromised: Some("it needs idempotence".into()),
            ..cell("kafka", "base", 1).record
        };
        assert_eq!(
            judge(&told, "exactly-once-in-log", true),
            (Some(Judged::Cannot), vec!["it needs idempotence".into()])
        );
    }

    #[test]
    fn broker_loss_delivery_loss_and_what_may_still_come_are_told_apart() {
        let sound = cell("kafka", "base", 1).record;
        let with = |change: fn(&mut CellRecord)| {
            let mut record = sound.clone();
            change(&mut record);
            let (judged, because) = judge(&record, "at-least-once", true);
            (judged.unwrap(), because.join("; "))
        };
        let (judged, because) = with(|r| {
            (r.counts.broker_lost, r.counts.lost) = (Some(312), Some(112));
            r.examples =
                vec![Example { harm: "broker_lost".into(), producer: 0, lane: 2, sequence: 17 }];
        });
        assert_eq!(judged, Judged::Fail);
        assert!(
            because.contains("broker loss: 312")
                && because.contains("200 of them delivered before"),
            "{because}"
        );
        assert!(because.contains("number 17 of producer 0, lane 2"), "{because}");
        let (judged, because) =
            with(|r| (r.counts.undelivered, r.counts.passed_over) = (Some(5), Some(3)));
        assert!(judged == Judged::Fail && because.contains("delivery loss: 3"), "{because}");
        let (judged, because) = with(|r| r.counts.undelivered = Some(5));
        assert!(
            judged == Judged::Inconclusive
                && because.contains("5 messages were still in the broker"),
            "{because}"
        );
        let (judged, _) = with(|r| {
            r.id.system = "redis-streams".into();
            (r.counts.undelivered, r.counts.passed_over) = (Some(5), Some(3));
        });
        assert_eq!(
            judged,
            Judged::Inconclusive,
            "another consumer may still take a pending entry over"
        );
        let (judged, because) = with(|r| (r.counts.broker_lost, r.counts.lost) = (None, Some(1)));
        assert!(judged == Judged::Inconclusive && because.contains("no audit"), "{because}");
        let (judged, because) = with(|r| {
            r.id.system = "redis-lists".into();
            (r.counts.broker_lost, r.counts.lost) = (Some(4), Some(4));
        });
        assert!(
            judged == Judged::Fail && !because.contains("broker loss"),
            "popped and lost by whom? {because}"
        );
        let (judged, because) = with(|r| r.counts.broker_lost = None);
        assert!(judged == Judged::Pass && because.contains("live consumers"), "{because}");
    }

    #[test]
    fn exactly_once_is_judged_in_the_log_alone() {
        let sound = cell("kafka", "base", 1).record;
        let with = |change: fn(&mut CellRecord)| {
            let mut record = sound.clone();
            change(&mut record);
            judged(&record, "exactly-once-in-log").unwrap()
        };
        assert_eq!(with(|_| ()), Judged::Pass);
        assert_eq!(
            with(|r| r.counts.duplicate = Some(4)),
            Judged::Pass,
            "delivered again is not stored again"
        );
        assert_eq!(with(|r| r.counts.log_duplicate = Some(1)), Judged::Fail);
        assert_eq!(with(|r| r.counts.phantom = Some(1)), Judged::Fail);
        assert_eq!(with(|r| r.counts.log_duplicate = None), Judged::Inconclusive);
    }

    #[test]
    fn a_fault_that_was_not_applied_settles_nothing_and_passes_say_how_much_they_say() {
        let mut record = cell("kafka", "base", 1).record;
        record.faults = vec![fault(FaultKind::Pause, 0); 10];
        let (judged, because) = judge(&record, "at-least-once", true);
        assert_eq!(judged, Some(Judged::Pass));
        assert!(because[0].contains("10 faults") && because[0].contains("26 %"), "{because:?}");
        record.faults[3].not_applied = Some("no such node".into());
        assert_eq!(judge(&record, "at-least-once", true).0, Some(Judged::Inconclusive));
        record.faults[3] =
            Fault { not_healed: Some("no answer".into()), ..fault(FaultKind::Pause, 0) };
        assert_eq!(judge(&record, "at-least-once", true).0, Some(Judged::Inconclusive));
    }

    #[test]
    fn surprises_are_told_both_ways_also_where_nothing_is_judged() {
        let told = |kind, rpo, change: fn(&mut CellRecord)| {
            let mut record = cell("kafka", "base", 1).record;
            change(&mut record);
            record.faults = vec![fault(kind, rpo)];
            judge(&record, "none", true).1.join("; ")
        };
        assert!(
            told(FaultKind::Kill, 3, |_| ())
                .contains("surprising: 3 acknowledged messages lost to `kill`")
        );
        assert_eq!(told(FaultKind::Kill, 0, |_| ()), "");
        assert!(told(FaultKind::PowerLoss, 0, |_| ()).contains("may have been too weak"));
        assert_eq!(told(FaultKind::PowerLoss, 9, |_| ()), "", "documented");
        let copies = |record: &mut CellRecord| {
            (record.id.nodes, record.survives.node_loss, record.survives.copies) = (3, true, 3);
        };
        assert!(
            told(FaultKind::PowerLoss, 9, copies).contains("should survive"),
            "one node of three"
        );
        assert_eq!(told(FaultKind::MemFull, 9, |_| ()), "");
        assert_eq!(told(FaultKind::Pause, 9, |r| r.id.nodes = 3), "", "no promise either way");
    }
}
