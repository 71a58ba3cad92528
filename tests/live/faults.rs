//! Faults under load on real brokers: what is promised is kept, the load keeps its schedule, and
//! whatever becomes of the harness leaves nothing behind, paused or running. Needs redis-server:
//! `cargo test --test live faults:: -- --ignored --test-threads 1`

use crate::support::program::{run, start};
use brokerbench::result::{CellSummary, Fault, Summary};
use rustix::process::Signal;

const RATE: u64 = 5_000;
const SECONDS: u64 = 15;

fn scenario(systems: &str, faults: &str) -> String {
    format!(
        "schema: 1\nname: live-faults\nquestion: Is what was promised kept?\n\
         guarantee: at-least-once\n\
         systems: {systems}\nfaults: {faults}\nmessage: {{size: 100B}}\n\
         load: {{model: open, rate: {RATE}/s, warm-up: 1s, warm-up-limit: 2s, \
         duration: {SECONDS}s, in-flight: 65536}}\n"
    )
}

fn only(summary: &Summary) -> (&CellSummary, &Fault) {
    assert_eq!((summary.cells.len(), summary.cells[0].faults.len()), (1, 1), "{summary:#?}");
    (&summary.cells[0], &summary.cells[0].faults[0])
}

/// Everything that the window owed went out, also what was due while nobody answered.
fn schedule_kept(cell: &CellSummary) {
    let counts = &cell.counts;
    assert_eq!(counts.planned, counts.sent, "{counts:#?}");
    let offered = cell.rates.offered_per_s.unwrap();
    assert!((offered / RATE as f64 - 1.0).abs() < 0.001, "{offered}");
}

#[test]
#[ignore = "needs real brokers"]
fn a_kill_under_load_loses_nothing_that_was_synced_and_the_schedule_holds() {
    let text = scenario(ONE, "[{kind: kill, at: 3s, for: 1s}]");
    let summary = run(&text, &[], &[]).measured();
    let (cell, fault) = only(&summary);
    schedule_kept(cell);
    let counts = &cell.counts;
    assert_eq!(
        (counts.lost, counts.broker_lost, counts.failed),
        (Some(0), Some(0), Some(0)),
        "{counts:#?}"
    );
    let (at, healed) = (fault.took_effect_at_ns.unwrap(), fault.healed_at_ns.unwrap());
    assert!(at >= fault.planned_at_ns.unwrap() && healed > at + 1_000_000_000, "{fault:#?}");
    assert!(fault.scripted_ns >= Some(1_000_000_000), "{fault:#?}");
    // Nobody could be answered while it was down.
    assert!(fault.probe_rto_ns > Some(1_000_000_000), "{fault:#?}");
    assert!(fault.rto_publish_ns > Some(1_000_000_000), "{fault:#?}");
    assert!(fault.redundancy_ns.is_some(), "{fault:#?}");
}

#[test]
#[ignore = "needs real brokers"]
fn a_pause_under_load_delays_and_loses_nothing() {
    let text = scenario("{redis-streams: {maxlen: none}}", "[{kind: pause, at: 3s, for: 2s}]");
    let summary = run(&text, &[], &[]).measured();
    let (cell, fault) = only(&summary);
    schedule_kept(cell);
    assert_eq!((cell.counts.lost, cell.counts.broker_lost), (Some(0), Some(0)), "{cell:#?}");
    assert!(fault.probe_rto_ns > Some(1_500_000_000), "{fault:#?}");
    let late = cell.latency.publish.as_ref().unwrap().max_ns.unwrap();
    assert!(late > 1_900_000_000, "a message that was due when it was paused waited: {late}");
}

#[test]
#[ignore = "needs real brokers"]
fn a_fault_that_is_repeated_is_told_each_time() {
    let text = scenario(ONE, "[{kind: kill, at: 1s, for: 100ms, every: 6s, times: 2}]");
    let summary = run(&text, &["--set", "load.duration=16s"], &[]).measured();
    let faults = &summary.cells[0].faults;
    assert_eq!(faults.len(), 2);
    assert!(faults[1].took_effect_at_ns > faults[0].healed_at_ns, "{faults:#?}");
    assert!(
        faults.iter().all(|fault| fault.probe_rto_ns.is_some() && !fault.failed()),
        "{faults:#?}"
    );
}

#[test]
#[ignore = "needs real brokers"]
fn our_own_consumers_are_slowed_and_killed() {
    let text = scenario(
        "{redis-streams: {maxlen: none}}",
        "[{kind: slow-consumer, at: 2s, for: 2s}, {kind: consumer-kill, at: 6s}]",
    );
    let summary = run(&text, &[], &[]).measured();
    let cell = &summary.cells[0];
    assert!(cell.faults.iter().all(|fault| fault.healed_at_ns.is_some()), "{:#?}", cell.faults);
    // Nobody took the broker away: where no silence was seen there is a bound, and no time.
    for fault in &cell.faults {
        let (time, bound) = (fault.rto_publish_ns, fault.rto_publish_at_most_ns);
        assert!(time.is_some() != bound.is_some(), "{fault:#?}");
    }
    assert_eq!((cell.counts.lost, cell.counts.undelivered), (Some(0), Some(0)), "{cell:#?}");
    let late = cell.latency.end_to_end.as_ref().unwrap().max_ns.unwrap();
    assert!(late > 1_000_000_000, "{late}");
}

#[test]
#[ignore = "needs real brokers"]
fn a_fault_that_cannot_be_proven_ends_in_15() {
    // A slow consumer is proven by a message that it took its time over: there is none.
    let text = scenario("[redis-streams]", "[{kind: slow-consumer, at: 1s, for: 1s}]");
    let summary = run(&text, &["--set", "load.rate=0.001/s"], &[])
        .with(15, &["slow-consumer not applied"])
        .summary();
    let (_, fault) = only(&summary);
    assert!(
        fault.not_applied.is_some()
            && fault.took_effect_at_ns.is_none()
            && fault.rto_publish_ns.is_none()
    );
    assert_eq!(summary.exit_code, 15);
}

#[test]
#[ignore = "needs Kafka"]
fn a_broker_that_ends_of_its_full_disk_is_started_again_and_the_load_goes_on() {
    let text = scenario(
        "{kafka: {client: {acks: all}}}",
        "[{kind: disk-full, at: 3s, for: 6s, room: 64KiB}]",
    );
    let keys = ["load.rate=1k/s", "load.duration=40s", "load.broker-warm-up=1s"];
    let keys: Vec<&str> = keys.iter().flat_map(|key| ["--set", *key]).collect();
    let summary = run(&text, &keys, &[]).measured();
    let (cell, fault) = only(&summary);
    assert!(
        fault.took_effect_at_ns.is_some() && fault.healed_at_ns.is_some() && !fault.failed(),
        "{fault:#?}"
    );
    assert!(fault.text.contains("the broker ended by itself and was started again"), "{fault:#?}");
    assert!(fault.probe_rto_ns.is_some(), "{fault:#?}");
    assert_eq!(
        cell.counts.planned, cell.counts.sent,
        "the load went on to its end: {:#?}",
        cell.counts
    );
}

/// Every kind, with what it needs, and what it is done to.
const EVERY: [(&str, &str); 17] = [
    ("kind: stop", ONE),
    ("kind: kill", ONE),
    ("kind: pause", ONE),
    ("kind: power-loss", ONE),
    ("kind: net-latency", ONE),
    ("kind: net-bandwidth, bandwidth: 64KiB", ONE),
    ("kind: net-stall", ONE),
    ("kind: net-reset", ONE),
    ("kind: net-refuse", ONE),
    ("kind: net-bitflip, one-in: 10", ONE),
    ("kind: net-partition, target: primary", THREE),
    ("kind: reshard, target: leader", CLUSTER),
    ("kind: disk-slow", ONE),
    ("kind: disk-full, room: 64KiB", ONE),
    ("kind: mem-full, room: 1GiB", ONE),
    ("kind: slow-consumer", ONE),
    ("kind: consumer-kill", ONE),
];
const ONE: &str =
    "{redis-streams: {maxlen: none, broker: {appendonly: 'yes', appendfsync: always, save: ''}}}";
const CLUSTER: &str = "{redis-streams: {nodes: {shards: 3}, maxlen: none}}";
const THREE: &str = "{redis-streams: {nodes: 3, maxlen: none}}";

#[test]
#[ignore = "needs real brokers"]
fn whatever_ends_the_harness_during_any_fault_leaves_nothing() {
    let signals = [(Signal::INT, Some(130)), (Signal::TERM, Some(130)), (Signal::KILL, None)];
    let all: Vec<_> = EVERY
        .iter()
        .flat_map(|fault| signals.iter().map(move |signal| (*fault, *signal)))
        .collect();
    // What is tested are ends, not times: several at once, with a load that leaves room for them.
    for some in all.chunks(4) {
        std::thread::scope(|scope| {
            for ((fault, systems), (signal, code)) in some {
                scope.spawn(move || ends_clean(fault, systems, *signal, *code));
            }
        });
    }
}

fn ends_clean(fault: &str, systems: &str, signal: Signal, code: Option<i32>) {
    let brief = ["consumer-kill", "net-reset", "reshard"].iter().any(|kind| fault.contains(kind));
    let lasts = if brief { "" } else { ", for: 8s" };
    let text = scenario(systems, &format!("[{{{fault}, at: 500ms{lasts}}}]"));
    let mut running = start(&text, &["--set", "load.rate=500/s"], &[]);
    running.await_words("took effect");
    running.signal(signal);
    // Which also sees that no process and no folder is left.
    let ended = running.end();
    assert_eq!(ended.code, code, "{fault}, {signal:?}: {}", ended.stderr);
    if code.is_some() {
        let events = events(&ended.folder());
        // Of one that is over at once there is nothing to take back, and its end may not have been
        // seen yet.
        let unseen = brief && events.contains("not healed: interrupted before it was seen");
        assert!(events.contains("took effect"), "{fault}, {signal:?}: {events}");
        assert!(events.contains("taken back") || unseen, "{fault}, {signal:?}: {events}");
        assert!(!events.contains("not healed") || unseen, "{fault}, {signal:?}: {events}");
    }
}

/// The events of the one cell, as they lie there.
fn events(folder: &std::path::Path) -> String {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "events.ndjson") {
                return std::fs::read_to_string(path).unwrap();
            }
        }
    }
    panic!("no events")
}
