//! What each guarantee demands of a record, and what cannot be told.

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
        because.contains("broker loss: 312") && because.contains("200 of them delivered before"),
        "{because}"
    );
    assert!(because.contains("number 17 of producer 0, lane 2"), "{because}");
    let (judged, because) =
        with(|r| (r.counts.undelivered, r.counts.passed_over) = (Some(5), Some(3)));
    assert!(judged == Judged::Fail && because.contains("delivery loss: 3"), "{because}");
    let (judged, because) = with(|r| r.counts.undelivered = Some(5));
    assert!(
        judged == Judged::Inconclusive && because.contains("5 messages were still in the broker"),
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
    assert_eq!(with(|r| r.counts.aborted_read = Some(1)), Judged::Fail);
    assert_eq!(with(|r| r.counts.log_duplicate = None), Judged::Inconclusive);
}

#[test]
fn exactly_once_is_neither_too_much_nor_too_little_and_nothing_that_was_aborted() {
    let sound = cell("kafka", "base", 1).record;
    let with = |change: fn(&mut CellRecord)| {
        let mut record = sound.clone();
        change(&mut record);
        let (judged, because) = judge(&record, "exactly-once", true);
        (judged.unwrap(), because.join("; "))
    };
    assert_eq!(with(|r| r.counts.aborted = Some(500)).0, Judged::Pass, "none of them was seen");
    let (judged, because) = with(|r| {
        r.counts.aborted_read = Some(2);
        r.examples =
            vec![Example { harm: "aborted_read".into(), producer: 0, lane: 1, sequence: 9 }];
    });
    assert_eq!(judged, Judged::Fail);
    assert!(because.contains("aborted reads: 2 messages of aborted transactions"), "{because}");
    assert!(because.contains("number 9 of producer 0, lane 1"), "{because}");
    assert_eq!(with(|r| r.counts.duplicate = Some(1)).0, Judged::Fail);
    assert_eq!(with(|r| r.counts.log_duplicate = Some(1)).0, Judged::Fail);
    assert_eq!(with(|r| r.counts.phantom = Some(1)).0, Judged::Fail);
    let lost = |r: &mut CellRecord| (r.counts.lost, r.counts.broker_lost) = (Some(1), Some(1));
    assert_eq!(with(lost).0, Judged::Fail);
    assert_eq!(with(|r| r.counts.undelivered = Some(1)).0, Judged::Inconclusive);
    assert_eq!(with(|r| r.counts.log_duplicate = None).0, Judged::Inconclusive);
    let lists = cell("redis-lists", "base", 1).record;
    assert_eq!(judge(&lists, "exactly-once", true).0, Some(Judged::Cannot));
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
    record.faults[3] = Fault { not_healed: Some("no answer".into()), ..fault(FaultKind::Pause, 0) };
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
    assert!(told(FaultKind::PowerLoss, 9, copies).contains("should survive"), "one node of three");
    assert_eq!(told(FaultKind::MemFull, 9, |_| ()), "");
    assert_eq!(told(FaultKind::Pause, 9, |r| r.id.nodes = 3), "", "no promise either way");
}
