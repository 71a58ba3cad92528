//! Load that looks like production, on real brokers: mixed sizes, keys, headers, lines of a file,
//! stages, both protocols of groups. What is held is what follows from what was asked for, and no
//! speed.

use crate::support::program::run;
use brokerbench::result::{CellSummary, Judged, Summary};

fn measured(systems: &str, load: &str, message: &str, args: &[&str]) -> Summary {
    let scenario = format!(
        "schema: 1\nname: live\nquestion: Is every message accounted for?\nsystems: {systems}\n\
         load: {{broker-warm-up: 1s, floor: false, {load}}}\nmessage: {{{message}}}\n"
    );
    run(&scenario, args, &[]).measured()
}

const SOME: &str = "model: open, rate: 2k/s, messages: 10000, in-flight: 4096";

/// Everything arrived, whole and in order.
fn is_complete(cell: &CellSummary) {
    let counts = &cell.counts;
    let none = [counts.lost, counts.undelivered, counts.corrupt, counts.foreign, counts.reordered];
    assert_eq!(none, [Some(0); 5], "{}: {counts:?}", cell.label);
    assert!(counts.sent.is_some_and(|sent| sent > 0), "{}: {counts:?}", cell.label);
    assert_eq!(counts.delivered, counts.sent, "{}: {counts:?}", cell.label);
}

fn hottest_partition(cell: &CellSummary) -> f64 {
    let found = cell.observations.iter().find(|one| one.metric == "hottest_partition");
    found.and_then(|one| one.value).unwrap_or_else(|| panic!("{:?}", cell.observations))
}

#[test]
#[ignore = "needs real brokers"]
fn mixed_sizes_with_keys_and_headers_are_accounted_for() {
    let systems = "{kafka: {topic: {partitions: 4}}, java-like: {system: kafka, topic: \
                   {partitions: 4}, client: {partitioner: murmur2_random}}, redis-streams: {keys: 4}}";
    let message = "size: 90% 100B to 1KiB + 10% 50KiB, headers: 3, key: {count: 1000, hot: 0.5}";
    for cell in &measured(systems, SOME, message, &[]).cells {
        is_complete(cell);
        let share = hottest_partition(cell);
        assert!((0.55..0.75).contains(&share), "half, and a fourth of the rest: {share}");
    }
}

#[test]
#[ignore = "needs real brokers"]
fn a_compacted_topic_takes_keyed_messages_and_nobody_calls_what_it_drops_a_loss() {
    let systems = "{kafka: {topic: {config: {cleanup.policy: compact}}}}";
    let summary = measured(systems, SOME, "size: 100B, key: {count: 100}", &[]);
    let counts = &summary.cells[0].counts;
    assert_eq!((counts.delivered, counts.broker_lost), (counts.sent, None), "{counts:?}");
}

#[test]
#[ignore = "needs real brokers"]
fn lines_of_a_file_reach_every_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.ndjson");
    let lines: Vec<String> =
        (0..500).map(|id| format!("{{\"id\": {id}, \"n\": \"{}\"}}", "x".repeat(id))).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let systems = "[kafka, redis-pubsub, redis-streams, redis-lists]";
    let args = ["--payload-file", path.to_str().unwrap()];
    for cell in &measured(systems, SOME, "payload: file", &args).cells {
        is_complete(cell);
    }
}

#[test]
#[ignore = "needs real brokers"]
fn every_stage_has_its_own_latencies_and_rates() {
    let load = "model: open, warm-up: 1s, warm-up-limit: 2s, stages: [{rate: 500/s, for: 3s}, {to: \
                1500/s, for: 10s}, {rate: 1k/s, for: 3s}]";
    let systems = "[kafka, redis-streams, redis-pubsub]";
    for cell in &measured(systems, load, "size: 100B", &[]).cells {
        let stages = &cell.stages;
        assert_eq!(stages.len(), 4, "a ramp of ten seconds has two parts: {stages:?}");
        let lengths: Vec<f64> = stages.iter().map(|stage| stage.length_s).collect();
        assert_eq!(lengths, [3.0, 5.0, 5.0, 3.0]);
        for (stage, due) in stages.iter().zip([1500.0, 3750.0, 6250.0, 3000.0]) {
            let planned = stage.rates.offered_per_s.unwrap() * stage.length_s;
            assert!((planned - due).abs() <= 2.0, "{}: {planned}, not {due}", cell.label);
            let end_to_end = stage.latency.end_to_end.as_ref().unwrap();
            let all = (end_to_end.count + end_to_end.censored) as f64;
            assert!((all - planned).abs() < 0.5, "{}: {all} of {planned}", cell.label);
        }
        let whole = cell.latency.end_to_end.as_ref().unwrap();
        let counted = stages.iter().map(|stage| stage.latency.end_to_end.as_ref().unwrap().count);
        assert_eq!(whole.count, counted.sum::<u64>(), "{}", cell.label);
    }
}

#[test]
#[ignore = "needs real brokers"]
fn both_protocols_of_groups_deliver_everything() {
    let systems = "{kafka: {topic: {partitions: 4}}, kafka-848: {system: kafka, topic: \
                   {partitions: 4}, client: {group.protocol: consumer}}, static: {system: kafka, \
                   topic: {partitions: 4}, client: {group.instance.id: orders, client.id: a}}}";
    let load = format!("{SOME}, consumers: 2");
    for cell in &measured(systems, &load, "size: 100B", &[]).cells {
        is_complete(cell);
    }
}

#[test]
#[ignore = "needs real brokers"]
fn transactions_are_exact_and_nobody_sees_what_was_aborted() {
    let systems = "{kafka-tx: {system: kafka, topic: {partitions: 4}, transaction: {messages: 50, \
                   abort: 0.2}}}";
    let load = format!("{SOME}, connections: 2, subscriptions: 2");
    let args = ["--set", "guarantee=exactly-once"];
    let summary = measured(systems, &load, "size: 100B, key: {count: 1000}", &args);
    let cell = &summary.cells[0];
    let counts = &cell.counts;
    assert_eq!(cell.judged, Some(Judged::Pass), "{:?}", cell.judged_because);
    let none =
        [counts.aborted_read, counts.lost, counts.broker_lost, counts.duplicate, counts.failed];
    assert_eq!(none, [Some(0); 5], "{counts:?}");
    let (acked, aborted) = (counts.acked.unwrap(), counts.aborted.unwrap());
    assert_eq!((acked + aborted, counts.indeterminate), (10_000, Some(0)));
    assert!((1000..=3000).contains(&aborted), "a fifth: {aborted}");
    assert_eq!(counts.delivered, Some(2 * acked), "to each subscription");
    let publish = cell.latency.publish.as_ref().unwrap();
    assert_eq!((publish.count, publish.censored), (acked, 0), "who was aborted waits for nothing");
}

#[test]
#[ignore = "needs real brokers"]
fn several_topics_are_filled_and_read_whole() {
    let systems = "{kafka: {topics: 3, topic: {partitions: 2}}, kafka-tx: {system: kafka, topics: \
                   3, topic: {partitions: 2}, transaction: {messages: 50}}}";
    for message in ["size: 100B", "size: 100B, headers: 2, key: {count: 1000}"] {
        let load = format!("{SOME}, consumers: 2");
        for cell in &measured(systems, &load, message, &[]).cells {
            is_complete(cell);
            assert_eq!(cell.counts.broker_lost, Some(0), "{}", cell.label);
        }
    }
}
