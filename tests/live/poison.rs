//! Failing messages, dying consumers and sessions, by the real binary on real brokers. Needs Java,
//! Maven (or `KAFKA_HOME`) and redis-server: `cargo test --test live poison:: -- --ignored
//! --test-threads 1`

use crate::support::program::{BRIEFLY_WARMED, run};
use brokerbench::result::{CellSummary, Kind, Observation};

/// Runs a scenario on `systems` and returns its cells.
fn cells(systems: &str, experiment: &str) -> Vec<CellSummary> {
    let scenario = format!(
        "schema: 1\nname: live\nquestion: Is every message accounted for?\nguarantee: none\n\
         systems: {{{systems}}}\nexperiment: {{{experiment}}}\n"
    );
    let summary = run(&scenario, &BRIEFLY_WARMED, &[]).measured();
    summary.cells
}

fn at<'a>(cell: &'a CellSummary, metric: &str, point: &str) -> &'a Observation {
    let found = cell.observations.iter().find(|seen| seen.metric == metric && seen.point == point);
    found.unwrap_or_else(|| {
        panic!("{} has no {metric} at `{point}`: {:#?}", cell.label, cell.observations)
    })
}

fn value(cell: &CellSummary, metric: &str, point: &str) -> f64 {
    let seen = at(cell, metric, point);
    seen.value.unwrap_or_else(|| panic!("{}: {seen:#?}", cell.label))
}

fn print(cell: &CellSummary) {
    for seen in &cell.observations {
        eprintln!(
            "{} {} [{}]: {:?} {} of {}; {}",
            cell.label, seen.metric, seen.point, seen.value, seen.unit, seen.n, seen.text
        );
    }
}

/// 0.5 s of warm-up and 2 s of load at 1000 a second are 2500 messages,
/// of which every hundredth is poison.
const POISON: &str = "kind: poison, rate: 1k/s, warm-up: 500ms, duration: 2s, crash: 2s, drain: 5s";
const POISONED: f64 = 25.0;

#[test]
#[ignore = "needs real brokers"]
fn poison_is_set_aside_exactly_and_nothing_else_is_lost() {
    let systems = "kafka: {client: {linger.ms: 0, session.timeout.ms: 6000}}, \
        kafka-share: {system: kafka, client: {linger.ms: 0}, consume: {mode: share-group}}, \
        redis-pubsub: {}, \
        redis-streams: {}, redis-lists: {consume: {mode: reliable}}, redis-lists-pop: \
        {system: redis-lists}";
    for cell in &cells(systems, POISON) {
        print(cell);
        for point in ["poison=0%", "poison=1%"] {
            assert!(
                value(cell, "healthy.goodput", point) > 0.0
                    && value(cell, "healthy.p99", point) > 0.0
            );
            assert_eq!(value(cell, "duplicated", point), 0.0, "{}", cell.label);
            assert_eq!(value(cell, "blocked", point), 0.0, "{}", cell.label);
        }
        assert_eq!(value(cell, "lost", "poison=0%"), 0.0, "{}", cell.label);
        if cell.label == "redis-pubsub" {
            assert_eq!(at(cell, "dead_lettered", "poison=1%").kind, Kind::Cannot);
            assert_eq!(value(cell, "lost", "poison=1%"), POISONED);
            assert!(value(cell, "crash.lost", "") > 0.0);
            continue;
        }
        assert_eq!(value(cell, "dead_lettered", "poison=1%"), POISONED, "{}", cell.label);
        assert_eq!(value(cell, "lost", "poison=1%"), 0.0, "{}", cell.label);
        // Three tries lie two pauses of 100 ms apart; what comes on top is the machine's.
        let set_aside = value(cell, "dead_letter.time_p50", "poison=1%");
        assert!(set_aside >= 200e6, "{} set aside after {set_aside} ns", cell.label);
        if cell.label == "redis-lists-pop" {
            assert!(value(cell, "crash.lost", "") > 0.0, "what was in hand is gone");
            assert_eq!(at(cell, "crash.takeover", "").kind, Kind::Cannot);
        } else {
            assert_eq!(value(cell, "crash.lost", ""), 0.0, "{}", cell.label);
            let again = at(cell, "crash.duplicated", "");
            assert!(again.value > Some(0.0), "{}: what was done comes again", cell.label);
            let told = "a kill, of 3: ";
            assert!(again.text.starts_with(told), "{}", again.text);
            assert!(again.text.contains("acknowledged with every batch"), "{}", again.text);
            assert!(
                value(cell, "crash.takeover", "") >= value(cell, "crash.gap", ""),
                "{}",
                cell.label
            );
        }
    }
}

#[test]
#[ignore = "needs real brokers"]
fn sessions_are_found_until_their_time_is_over() {
    let experiment =
        "kind: cache, sessions: 200, rate: 2k/s, ttl: 2s, warm-up: 500ms, duration: 2s";
    let cells = cells("kafka: {}, redis-strings: {system: redis-lists}", experiment);
    cells.iter().for_each(print);
    assert!(
        cells[0].observations.len() == 5
            && cells[0].observations.iter().all(|seen| seen.kind == Kind::Cannot)
    );
    let redis = &cells[1];
    assert!(value(redis, "operations", "") > 0.0);
    // Each of 200 sessions is written once a second: one in seven or so is not within two.
    let hits = value(redis, "hit_rate", "");
    assert!(hits > 0.0 && hits < 1.0 && at(redis, "hit_rate", "").text.is_empty(), "{hits}");
    assert_eq!((value(redis, "expired", ""), at(redis, "expired", "").n), (1.0, 200));
    assert!(value(redis, "get.p99", "") > 0.0);
}
