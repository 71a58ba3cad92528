//! Loads beyond a producer and a consumer, on real brokers: fan-out, shared work, no replies,
//! power-loss class, capacity.
//!
//! What runs are the scenarios of the table, shortened; needs what `brokerbench run` needs.

use crate::support::program::run;
use brokerbench::result::{CellSummary, Kind, LIMITED, Summary};

fn quick(scenario: &str, more: &[&str]) -> Summary {
    // A broker is warmed for a figure that others compare with, and not for these.
    let args: Vec<&str> =
        [&["--profile", "quick", "--set", "load.broker-warm-up=1s"], more].concat();
    let text = std::fs::read_to_string(format!("scenarios/{scenario}.yaml")).unwrap();
    run(&text, &args, &[]).measured()
}

fn cannot(cell: &CellSummary) -> Option<&str> {
    cell.observations.iter().find(|one| one.kind == Kind::Cannot).map(|one| one.text.as_str())
}

/// Every subscription has everything, and nothing else.
fn is_complete(cell: &CellSummary, subscriptions: u64) -> bool {
    let counts = &cell.counts;
    counts.sent.is_some_and(|sent| sent > 0)
        && counts.delivered == counts.sent.map(|sent| sent * subscriptions)
        && (counts.lost, counts.undelivered, counts.duplicate) == (Some(0), Some(0), Some(0))
}

#[test]
#[ignore = "starts real brokers"]
fn every_subscription_is_complete_and_a_list_has_one() {
    let summary = quick("parallelism-fanout", &[]);
    assert_eq!(summary.cells.len(), 12);
    for cell in &summary.cells {
        let subscriptions = cell.cell.rsplit('=').next().unwrap().parse().unwrap();
        if cell.system == "redis-lists" && subscriptions > 1 {
            assert!(cannot(cell).is_some_and(|why| why.contains("one list per reader")));
            assert_eq!(
                (cell.counts.sent, cell.rates.goodput_per_s, cell.latency.publish.as_ref()),
                (None, None, None)
            );
        } else {
            assert!(
                cannot(cell).is_none() && is_complete(cell, subscriptions),
                "{}: {:?}",
                cell.label,
                cell.counts
            );
        }
    }
}

#[test]
#[ignore = "starts real brokers, measures time"]
fn four_consumers_share_work_and_are_faster_than_one() {
    let summary = quick("parallelism-sharing", &[]);
    for label in ["kafka", "redis-streams", "redis-lists"] {
        let cells: Vec<_> = summary.cells.iter().filter(|cell| cell.label == label).collect();
        assert!(cells.iter().all(|cell| is_complete(cell, 1)), "{label}");
        // That one held the producers back, which find more room than work.
        let held = cells[0].held_by_consumers.unwrap();
        assert!(held >= LIMITED, "{label}: {held}");
        let speeds: Vec<f64> = cells.iter().filter_map(|cell| cell.rates.goodput_per_s).collect();
        // 1 ms of work each, which no machine shortens: no more than a thousand a second alone, and
        // a batch of ten that was begun before. It is slept, so that several share it on two cores
        // too, and on busy ones.
        assert!(speeds[0] <= 1010.0, "{label}: {speeds:?}");
        assert!(speeds[1] > 1.2 * speeds[0], "{label}: {speeds:?}");
    }
    let pubsub: Vec<_> = summary.cells.iter().filter(|cell| cell.label == "redis-pubsub").collect();
    assert!(cannot(pubsub[0]).is_none() && cannot(pubsub[1]).is_some());
}

#[test]
#[ignore = "starts real brokers"]
fn without_replies_nothing_is_promised_and_the_books_balance() {
    for cell in &quick("throughput-noreply", &[]).cells {
        assert_eq!(cell.counts.acked, None, "{}", cell.label);
        assert!(!cell.survives.process_kill && !cell.survives.power_loss, "{}", cell.label);
        assert!(is_complete(cell, 1), "{}: {:?}", cell.label, cell.counts);
    }
}

#[test]
#[ignore = "starts real brokers"]
fn what_survives_a_power_loss_says_so_and_pubsub_cannot() {
    for cell in &quick("throughput-durable", &[]).cells {
        match cannot(cell) {
            Some(_) => assert_eq!(cell.system, "redis-pubsub"),
            None => assert!(
                cell.survives.power_loss && is_complete(cell, 1),
                "{}: {:?}",
                cell.label,
                cell.survives
            ),
        }
    }
}

#[test]
#[ignore = "starts real brokers, measures time"]
fn a_capacity_is_a_bracket_of_confirmed_ends() {
    let more =
        ["--system", "redis-lists", "--set", "load.duration=1s", "--set", "experiment.most=16k/s"];
    let summary = quick("capacity", &more);
    let cell = &summary.cells[0];
    let found = |metric: &str| cell.observations.iter().find(|one| one.metric == metric).unwrap();
    let (low, high) = (found("capacity.low"), found("capacity.high"));
    assert!(low.text.contains("8000/s"), "{}", low.text);
    match (low.value, high.value) {
        (Some(low), Some(high)) => assert!(low < high && high <= low * 1.51, "{low} {high}"),
        (Some(low), None) => assert!(low == 16_000.0 || !high.text.is_empty()),
        // Not even where the search begins.
        (None, Some(high)) => assert!(high <= 8000.0, "{high}"),
        (None, None) => assert!(!low.text.is_empty() && !high.text.is_empty()),
    }
}

#[test]
#[ignore = "starts a real broker, measures time"]
fn a_label_is_measured_at_the_setting_that_carried_most() {
    // One in flight waits for every reply; five hundred wait together.
    let text = "schema: 1\nname: choice\nquestion: Q?\nsystems: [redis-lists]\nload: {model: \
                closed, warm-up: 500ms, warm-up-limit: 1s, duration: 1s, best-of: [{in-flight: 1}, \
                {in-flight: 500}]}\nblocks: 2\n";
    let summary = run(text, &[], &[]).measured();
    assert_eq!(summary.cells.len(), 2, "what was tried is no cell");
    for cell in &summary.cells {
        assert_eq!(cell.setting.as_deref(), Some("500 in flight"));
        assert!(is_complete(cell, 1) && cell.resources.client_share.is_some(), "{cell:?}");
        let tried = cell.observations.iter().filter(|one| one.metric == "setting.goodput");
        let tried: Vec<_> = tried.map(|one| one.point.as_str()).collect();
        let both = ["setting=1 in flight", "setting=500 in flight"];
        assert_eq!(tried, if cell.block == 1 { &both[..] } else { &[] });
    }
}

#[test]
#[ignore = "starts real brokers"]
fn compressed_messages_arrive_whole_and_are_read_back() {
    for codec in ["lz4", "zstd"] {
        let key = format!("message.codec={codec}");
        let summary = quick("log-aggregation", &["--set", &key, "--set", "load.producers=2"]);
        for cell in &summary.cells {
            let counts = &cell.counts;
            assert!(is_complete(cell, 1), "{} {codec}: {counts:?}", cell.label);
            assert_eq!((counts.corrupt, counts.foreign), (Some(0), Some(0)), "{}", cell.label);
            // What keeps what it delivered was read back whole.
            let kept = ["kafka", "redis-streams"].contains(&cell.system.as_str());
            assert!(!kept || counts.broker_lost == Some(0), "{}: {counts:?}", cell.label);
        }
    }
}
