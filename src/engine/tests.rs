//! Tests only: the checker held against a broker that lies on a known schedule. What it finds is
//! what was done, no more and no less: every count, the verdict under every guarantee, the named
//! examples, RTO and RPO.

use super::cell_run::CellRun;
use crate::clock::Clock;
use crate::driver::fake::{Behaviour, Fake, Harm, Outage};
use crate::model::{Latency, System, Told};
use crate::record::SILENCE_NS;
use crate::result::{CellOutput, CellRecord, Counts, Fault, Judged, judge};
use crate::scenario::{Cell, FaultAction, FaultPlan, Load, Message, SystemConfig};
use crate::units::{Rate, Span};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const MS: u64 = 1_000_000;
const RATE: u64 = 5000;

fn cell(messages: u64, partitions: u16, faults: Vec<FaultPlan>) -> Cell {
    let load =
        Load { messages: Some(messages), in_flight: 20_000, ..Load::open(Rate::per_second(RATE)) };
    Cell {
        config: SystemConfig { keys: partitions, ..SystemConfig::defaults(System::Fake) },
        message: Message::random(100),
        faults,
        primary: "publish.p99".into(),
        seed: 7,
        ..Cell::plain(
            System::Fake,
            Load { drain: Span::from_secs(1), ..load.brief(Span::from_secs(1)) },
        )
    }
}

fn plan() -> FaultPlan {
    FaultPlan::new(FaultAction::Pause, Span(0))
}

/// A machine that stands still for a while is an outage too: what it spoilt is done again.
fn run(behaviour: Behaviour, messages: u64, partitions: u16) -> CellOutput {
    for _ in 0..20 {
        let over = AtomicBool::new(false);
        let (output, paused) = thread::scope(|scope| {
            let pauses = scope.spawn(|| longest_pause(&over));
            let output = run_once(behaviour.clone(), messages, partitions);
            over.store(true, Relaxed);
            (output, pauses.join().unwrap())
        });
        let late = output.intervals.iter().filter(|one| one.metric == Latency::ScheduleLag);
        if paused.max(late.map(|one| one.histogram.max()).max().unwrap_or(0)) < SILENCE_NS / 2 {
            return output;
        }
    }
    run_once(behaviour, messages, partitions)
}

/// For how long at most a thread that wants to run every few milliseconds did not, ns.
fn longest_pause(over: &AtomicBool) -> u64 {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    while !over.load(Relaxed) {
        thread::sleep(Duration::from_millis(5));
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    longest.as_nanos() as u64
}

fn run_once(behaviour: Behaviour, messages: u64, partitions: u16) -> CellOutput {
    let clock = Clock::start();
    let faults = if behaviour.outages.is_empty() { Vec::new() } else { vec![plan()] };
    let cell = cell(messages, partitions, faults);
    let fake = Fake::new(Behaviour { keep: true, ..behaviour }, 1, clock);
    CellRun { run: 0xBAD, ..CellRun::new(&cell, clock) }.run(&fake).unwrap()
}

/// Several at once: they sleep most of the time.
fn run_all(behaviours: &[Behaviour], messages: u64) -> Vec<CellOutput> {
    thread::scope(|scope| {
        let start = |behaviour: &Behaviour| {
            let behaviour = behaviour.clone();
            scope.spawn(move || run(behaviour, messages, 1))
        };
        let all: Vec<_> = behaviours.iter().map(start).collect();
        all.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

const HARMS: [Harm; 11] = [
    Harm::AckThenLose,
    Harm::Withhold,
    Harm::DuplicateDelivery,
    Harm::Swap,
    Harm::CorruptDelivery,
    Harm::Refuse,
    Harm::RefuseYetDeliver,
    Harm::StoreTwice,
    Harm::StoreCorrupt,
    Harm::DropUnanswered,
    Harm::KeepUnanswered,
];

/// Message number → what is done to it. Every third number at most, so that each has an unharmed
/// successor.
type Schedule = BTreeMap<u64, Harm>;

const MESSAGES: u64 = 500;

fn schedule() -> impl Strategy<Value = Schedule> {
    let harm = prop::sample::select(HARMS.to_vec());
    prop::collection::btree_map(0..MESSAGES / 3 - 5, harm, 0..40)
        .prop_map(|harms| harms.into_iter().map(|(place, harm)| (place * 3 + 1, harm)).collect())
}

fn liar(schedule: &Schedule) -> Behaviour {
    Behaviour { delay_ns: MS, harms: schedule.clone(), ..Behaviour::default() }
}

/// What the books must say, written down from the schedule alone.
fn truth(schedule: &Schedule) -> Counts {
    let n = |harms: &[Harm]| schedule.values().filter(|harm| harms.contains(harm)).count() as u64;
    // Damaged in the store: it is no longer the message that was acknowledged.
    let gone = n(&[Harm::AckThenLose, Harm::StoreCorrupt]);
    // Damaged on its way: the broker still has it, and the consumer is past it.
    let missed = n(&[Harm::Withhold, Harm::CorruptDelivery]);
    let failed = n(&[Harm::Refuse, Harm::RefuseYetDeliver]);
    let indeterminate = n(&[Harm::DropUnanswered, Harm::KeepUnanswered]);
    let acked = MESSAGES - failed - indeterminate;
    Counts {
        planned: Some(MESSAGES),
        sent: Some(MESSAGES),
        acked: Some(acked),
        failed: Some(failed),
        indeterminate: Some(indeterminate),
        delivered: Some(acked - gone - missed),
        undelivered: Some(missed),
        lost: Some(gone),
        broker_lost: Some(gone),
        passed_over: Some(missed),
        duplicate: Some(n(&[Harm::DuplicateDelivery, Harm::StoreTwice])),
        log_duplicate: Some(n(&[Harm::StoreTwice])),
        phantom: Some(n(&[Harm::RefuseYetDeliver])),
        corrupt: Some(n(&[Harm::CorruptDelivery, Harm::StoreCorrupt])),
        reordered: Some(n(&[Harm::Swap])),
        foreign: Some(0),
        // What a busy machine delays is no lie of the broker's.
        backpressured: None,
    }
}

fn verdict(broken: bool) -> Option<Judged> {
    Some(if broken { Judged::Fail } else { Judged::Pass })
}

/// Holds a finished run against its schedule.
fn check(schedule: &Schedule, record: &CellRecord) -> Result<(), TestCaseError> {
    let any = |harms: &[Harm]| schedule.values().any(|harm| harms.contains(harm));
    prop_assert_eq!(&Counts { backpressured: None, ..record.counts.clone() }, &truth(schedule));
    let judged = |guarantee: &str| judge(record, guarantee, true).0;
    prop_assert_eq!(judged("none"), None);
    prop_assert_eq!(
        judged("at-most-once"),
        verdict(any(&[Harm::DuplicateDelivery, Harm::StoreTwice]))
    );
    let missing = [Harm::AckThenLose, Harm::StoreCorrupt, Harm::Withhold, Harm::CorruptDelivery];
    prop_assert_eq!(judged("at-least-once"), verdict(any(&missing)));
    let in_the_log =
        [Harm::AckThenLose, Harm::StoreCorrupt, Harm::StoreTwice, Harm::RefuseYetDeliver];
    prop_assert_eq!(judged("exactly-once-in-log"), verdict(any(&in_the_log)));
    // Every example was really harmed so, and a harm that was done has its example.
    let culprits: [(&str, &[Harm]); 6] = [
        ("broker_lost", &[Harm::AckThenLose, Harm::StoreCorrupt]),
        ("lost", &[Harm::AckThenLose, Harm::StoreCorrupt]),
        ("passed_over", &[Harm::Withhold, Harm::CorruptDelivery]),
        ("phantom", &[Harm::RefuseYetDeliver]),
        ("duplicate", &[Harm::DuplicateDelivery, Harm::StoreTwice]),
        ("log_duplicate", &[Harm::StoreTwice]),
    ];
    for (column, harms) in culprits {
        let done: Vec<u64> =
            schedule.iter().filter(|(_, harm)| harms.contains(harm)).map(|(n, _)| *n).collect();
        let of = record.examples.iter().filter(|example| example.harm == column);
        let named: Vec<u64> = of.map(|example| example.sequence).collect();
        prop_assert_eq!(&named[..], &done[..done.len().min(5)], "{}", column);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 6,
        max_shrink_iters: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_harm_is_found_and_nothing_else(schedules in prop::collection::vec(schedule(), 4)) {
        let liars: Vec<Behaviour> = schedules.iter().map(liar).collect();
        for (schedule, output) in schedules.iter().zip(run_all(&liars, MESSAGES)) {
            check(schedule, &output.record)?;
        }
    }
}

#[test]
fn one_harm_alone_is_found_and_none_is_none() {
    let single = |(harm, place): (Harm, u64)| Schedule::from([(place * 3 + 1, harm)]);
    let mut schedules: Vec<Schedule> = HARMS.into_iter().zip(7..).map(single).collect();
    schedules.push(Schedule::new());
    let liars: Vec<Behaviour> = schedules.iter().map(liar).collect();
    for (schedule, output) in schedules.iter().zip(run_all(&liars, MESSAGES)) {
        check(schedule, &output.record).unwrap_or_else(|error| panic!("{schedule:?}: {error}"));
    }
}

/// How far a time may be off on a busy machine.
const SLACK: u64 = 150 * MS;

fn near(found: Option<u64>, truth: u64) -> bool {
    found.is_some_and(|found| found.abs_diff(truth) <= SLACK)
}

fn outage() -> impl Strategy<Value = Outage> {
    (300u64..600, 150u64..600, any::<bool>(), 0usize..800).prop_map(
        |(from, length, cuts, forgets)| Outage {
            from_ns: from * MS,
            length_ns: length * MS,
            partition: None,
            cuts,
            forgets,
        },
    )
}

fn interrupted(outages: Vec<Outage>) -> Behaviour {
    Behaviour { delay_ns: MS, outages, ..Behaviour::default() }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2,
        max_shrink_iters: 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_outage_is_timed_and_what_it_took_is_counted(
        outages in prop::collection::vec(outage(), 3),
    ) {
        let brokers: Vec<Behaviour> =
            outages.iter().map(|outage| interrupted(vec![outage.clone()])).collect();
        for (outage, output) in outages.iter().zip(run_all(&brokers, 12_500)) {
            let record = &output.record;
            let fault = &record.faults[0];
            let told = format!("{outage:?} {fault:?}");
            prop_assert!(near(fault.rto_publish_ns, outage.length_ns), "{}", told);
            prop_assert_eq!(fault.rto_durable(), fault.rto_publish(), "{}", told);
            prop_assert!(near(fault.rto_deliver_ns, outage.length_ns), "{}", told);
            prop_assert!(near(fault.rto_90_ns, outage.length_ns), "{}", told);
            let unscripted = fault.unscripted(fault.rto_publish_ns, 1);
            prop_assert!(unscripted.is_some_and(|ns| ns <= SLACK), "{}", told);
            prop_assert_eq!(fault.rpo_messages, Some(outage.forgets as u64));
            prop_assert!(near(fault.rpo_ns, outage.forgets as u64 * 1_000 * MS / RATE), "{}", told);
            let silence = &fault.unavailable[0];
            prop_assert!(near(Some(silence.from_ns), fault.took_effect_at_ns.unwrap()), "{}", told);
            prop_assert!(near(silence.to_ns, fault.healed_at_ns.unwrap()), "{}", told);
            let counts = &record.counts;
            prop_assert_eq!(counts.broker_lost, Some(outage.forgets as u64));
            let others = [counts.lost, counts.duplicate, counts.phantom, counts.undelivered];
            prop_assert_eq!(others, [Some(0); 4]);
            let unanswered = if outage.cuts { outage.length_ns * RATE / 1_000 / MS } else { 0 };
            let off = counts.indeterminate.unwrap().abs_diff(unanswered);
            prop_assert!(off <= SLACK * RATE / 1_000 / MS, "{} unanswered: {}", unanswered, told);
            prop_assert_eq!(judge(record, "at-least-once", true).0, verdict(outage.forgets > 0));
        }
    }
}

fn one_fault(behaviour: Behaviour, messages: u64, partitions: u16) -> (Vec<Fault>, CellRecord) {
    let record = run(behaviour, messages, partitions).record;
    (record.faults.clone(), record)
}

#[test]
fn the_outage_of_one_stream_is_its_own() {
    let outage =
        Outage { from_ns: 400 * MS, length_ns: 500 * MS, partition: Some(1), ..Outage::default() };
    let (faults, _) = one_fault(interrupted(vec![outage]), 12_500, 3);
    let found: Vec<_> =
        faults[0].partitions.iter().map(|s| (s.rto_publish_ns, s.rto_deliver_ns)).collect();
    assert_eq!((found[0], found[2]), ((None, None), (None, None)), "{faults:?}");
    let whole = |partition: usize| {
        let found = &faults[0].partitions[partition];
        (found.rto_publish_at_most_ns, found.rto_deliver_at_most_ns)
    };
    let bound = Some(SILENCE_NS);
    assert_eq!([whole(0), whole(1), whole(2)], [(bound, bound), (None, None), (bound, bound)]);
    assert!(near(found[1].0, 500 * MS) && near(found[1].1, 500 * MS), "{faults:?}");
    assert!(
        near(faults[0].rto_publish_ns, 500 * MS) && near(faults[0].rto_90_ns, 500 * MS),
        "{faults:?}"
    );
    assert!(faults[0].unavailable.iter().all(|silence| silence.partition == 1), "{faults:?}");
}

#[test]
fn each_of_two_faults_answers_for_its_own_losses() {
    let first = Outage {
        from_ns: 300 * MS,
        length_ns: 200 * MS,
        cuts: true,
        forgets: 40,
        ..Outage::default()
    };
    let second =
        Outage { from_ns: 1_800 * MS, length_ns: 300 * MS, forgets: 300, ..Outage::default() };
    let (faults, record) = one_fault(interrupted(vec![first, second]), 17_500, 1);
    let lost: Vec<_> = faults.iter().map(|fault| fault.rpo_messages).collect();
    assert_eq!((lost, record.counts.broker_lost), (vec![Some(40), Some(300)], Some(340)));
    assert!(
        near(faults[0].rto_publish_ns, 200 * MS) && near(faults[1].rto_publish_ns, 300 * MS),
        "{faults:?}"
    );
    let because = judge(&record, "at-least-once", true).1.join("; ");
    assert!(
        because.contains("broker loss: 340") && because.contains("340 of them delivered before"),
        "{because}"
    );
    assert!(because.contains("surprising: 40 acknowledged messages lost to `kill`"), "{because}");
}

#[test]
fn what_never_comes_back_has_no_time_and_what_is_not_touched_has_none_to_speak_of() {
    let for_good = Outage { from_ns: 400 * MS, length_ns: 60_000 * MS, ..Outage::default() };
    let (faults, record) = one_fault(interrupted(vec![for_good]), 5_000, 1);
    assert_eq!(
        (faults[0].rto_publish_ns, faults[0].rto_deliver_ns, faults[0].rto_90_ns),
        (None, None, None)
    );
    assert!(
        faults[0].text.contains("no acknowledgement any more until the end"),
        "{}",
        faults[0].text
    );
    assert_eq!(faults[0].unavailable[0].to_ns, None);
    assert!(
        record.outcome_because.is_empty(),
        "an outage brands nobody: {:?}",
        record.outcome_because
    );
    let trifle = Outage { from_ns: 400 * MS, length_ns: 5 * MS, ..Outage::default() };
    let (faults, _) = one_fault(interrupted(vec![trifle]), 10_000, 1);
    assert_eq!(
        (faults[0].rto_publish(), faults[0].rpo_messages, faults[0].rpo_ns),
        (Some(Told::AtMost(SILENCE_NS)), Some(0), Some(0))
    );
}

#[test]
fn a_window_need_not_be_of_whole_seconds() {
    let clock = Clock::start();
    let load = Load::open(Rate::per_second(1000)).brief(Span::from_millis(1400));
    let load = Load { drain: Span::from_secs(1), ..load };
    let cell = Cell { primary: "publish.p99".into(), ..Cell::plain(System::Fake, load) };
    let record = CellRun::new(&cell, clock).run(&Fake::new(Behaviour::default(), 1, clock));
    let gates = record.unwrap().record.gates;
    let reached = gates.iter().find(|gate| gate.name == "rate-reached").unwrap();
    assert_eq!(reached.held, Some(true), "{reached:?}");
}
