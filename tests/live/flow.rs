//! The experiments `delivery` and `retention` with the real binary on real brokers: who pulls and
//! who is pushed to, what a consumer that does not read loses, and what is left of messages that
//! were read. Needs Java, Maven (or `KAFKA_HOME`) and redis-server: `cargo test --test live flow::
//! -- --ignored --test-threads 1`

use crate::support::program::{BRIEFLY_WARMED, run};
use brokerbench::result::{CellSummary, Kind, Observation, Summary};

const DELIVERY: &str = include_str!("../../scenarios/delivery.yaml");
const RETENTION: &str = include_str!("../../scenarios/retention.yaml");

fn quick() -> Vec<&'static str> {
    [&["--profile", "quick"], &BRIEFLY_WARMED[..]].concat()
}

fn cell<'a>(summary: &'a Summary, label: &str) -> &'a CellSummary {
    summary
        .cells
        .iter()
        .find(|cell| cell.label == label)
        .unwrap_or_else(|| panic!("no cell of {label}"))
}

fn all<'a>(cell: &'a CellSummary, metric: &str) -> Vec<&'a Observation> {
    let found: Vec<_> =
        cell.observations.iter().filter(|observation| observation.metric == metric).collect();
    assert!(!found.is_empty(), "{metric} is missing: {:#?}", cell.observations);
    found
}

/// The one value of a metric.
fn value(cell: &CellSummary, metric: &str) -> f64 {
    let [observation] = all(cell, metric)[..] else { panic!("{metric} has several points") };
    observation.value.unwrap_or_else(|| panic!("{observation:?}"))
}

#[test]
#[ignore = "needs real brokers"]
fn pulled_or_pushed_and_what_a_stalled_consumer_loses() {
    let summary = run(DELIVERY, &quick(), &[]).measured();
    for label in ["kafka", "redis-streams", "redis-lists"] {
        let cell = cell(&summary, label);
        for observation in all(cell, "requests_per_batch") {
            assert!(
                observation.value.is_some_and(|value| value >= 0.9),
                "{label}: {observation:?}"
            );
        }
        // One long poll of half a second after the other: a busy machine asks less often, and
        // nothing more often.
        let idle = value(cell, "idle_requests");
        assert!(idle > 0.0 && idle < 6.0, "{label}: {idle}");
        assert_eq!(value(cell, "stalled.lost"), 0.0, "{label}");
        assert_eq!(value(cell, "stalled.received"), value(cell, "stalled.sent"), "{label}");
        assert_eq!(value(cell, "stalled.cut_off"), 0.0, "{label}");
    }
    let pushed = cell(&summary, "redis-pubsub");
    assert!(
        all(pushed, "requests_per_batch").iter().all(|observation| observation.value == Some(0.0))
    );
    assert_eq!(value(pushed, "idle_requests"), 0.0);
    let [sent, received, lost] =
        ["sent", "received", "lost"].map(|what| value(pushed, &format!("stalled.{what}")));
    assert_eq!(value(pushed, "stalled.cut_off"), 1.0);
    assert_eq!(sent, received + lost);
    // What the kernel's sockets held arrives; the 32 MB in the server's buffer do not.
    assert!(received > 0.0 && lost * 1024.0 > 30e6, "{received} {lost}");
    let buffered = value(pushed, "stalled.buffered");
    assert!(buffered > 0.0 && buffered < 40e6, "{buffered}");
}

#[test]
#[ignore = "needs real brokers"]
fn what_is_left_of_messages_that_were_read() {
    let summary = run(RETENTION, &quick(), &[]).measured();
    let again = ["readable_after_ack", "share.late_joiner", "share.second_reader", "share.reread"];
    for (label, kept, after_restart) in [
        ("kafka", 1.0, 1.0),
        ("redis-streams", 1.0, 1.0),
        ("redis-streams-none", 1.0, 0.0),
        ("redis-lists", 0.0, 0.0),
    ] {
        let cell = cell(&summary, label);
        for metric in again {
            assert_eq!(value(cell, metric), kept, "{label}: {metric}");
        }
        assert_eq!(value(cell, "share.restart"), after_restart, "{label}");
        assert!(value(cell, "live.rate") > 0.0 && value(cell, "drain.time") > 0.0, "{label}");
        if kept == 1.0 {
            assert_eq!(value(cell, "share.seek"), 1.0, "{label}");
            // A quarter, and at most a segment or a node of the stream more.
            let left = value(cell, "share.limit");
            assert!((0.15..0.45).contains(&left), "{label}: {left}");
            assert!(value(cell, "replay.rate") > 0.0, "{label}");
        } else {
            assert!(
                ["share.seek", "share.limit"].iter().all(|m| all(cell, m)[0].kind == Kind::Cannot),
                "{label}"
            );
        }
    }
    let nothing = cell(&summary, "redis-pubsub");
    for metric in again.iter().chain(&[
        "share.seek",
        "share.limit",
        "share.restart",
        "replay.rate",
        "drain.time",
    ]) {
        let observation = all(nothing, metric)[0];
        assert!(
            observation.kind == Kind::Cannot && !observation.text.is_empty(),
            "{observation:?}"
        );
    }
}
