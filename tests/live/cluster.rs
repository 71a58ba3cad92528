//! Redis Clusters of six real servers: every message in the books, a primary that is killed under
//! load, a slot that moves under load, and nothing left behind. Needs redis-server:
//! `cargo test --test live cluster:: -- --ignored --test-threads 1`

use crate::support::harness::exe;
use crate::support::program::{Ended, run, start};
use brokerbench::clock::Clock;
use brokerbench::driver;
use brokerbench::environment::{Environment, Native, NodeAction};
use brokerbench::result::CellSummary;
use brokerbench::scenario::{self, Overrides};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const MESSAGES: u64 = 100_000;
const SHARDS: &str = "nodes: {shards: 3, replicas: 1}, keys: 3, \
    broker: {cluster-node-timeout: 1000, repl-diskless-sync-delay: 0}";
/// Whatever has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(120);

fn scenario(systems: &str, load: &str, more: &str) -> String {
    format!(
        "schema: 1\nname: live-cluster\nquestion: Is every message accounted for?\n\
         primary: goodput\nguarantee: none\nsystems: {systems}\nmessage: {{size: 200B}}\n\
         load: {{{load}}}\n{more}"
    )
}

fn all_there(cell: &CellSummary) {
    let counts = &cell.counts;
    assert_eq!((counts.sent, counts.delivered), (Some(MESSAGES), Some(MESSAGES)), "{cell:#?}");
    let none = [counts.failed, counts.indeterminate, counts.lost, counts.duplicate];
    assert_eq!(none, [Some(0); 4], "{cell:#?}");
    let none = [counts.phantom, counts.corrupt, counts.reordered, counts.foreign];
    assert_eq!(none, [Some(0); 4], "{cell:#?}");
}

#[test]
#[ignore = "needs a real redis-server"]
fn every_message_of_every_primitive_is_accounted_for() {
    let systems = format!(
        "{{redis-streams: {{{SHARDS}}}, redis-lists: {{{SHARDS}}}, redis-pubsub: {{{SHARDS}}}, \
         sharded: {{system: redis-pubsub, sharded: true, {SHARDS}}}, \
         reliable: {{system: redis-lists, consume: {{mode: reliable}}, {}}}}}",
        SHARDS.replace("keys: 3", "keys: 1")
    );
    let load =
        format!("model: closed, messages: {MESSAGES}, in-flight: 1000, batch: 100, connections: 2");
    let summary = run(&scenario(&systems, &load, ""), &[], &[]).measured();
    assert_eq!(summary.cells.len(), 5);
    for cell in &summary.cells {
        all_there(cell);
        assert_eq!((cell.nodes, cell.shards), (6, Some(3)), "{cell:#?}");
        assert!(cell.retries.is_empty(), "{:?}", cell.retries);
    }
}

#[test]
#[ignore = "needs a real redis-server"]
fn a_load_at_a_fixed_rate_has_its_latencies() {
    let load = "model: open, rate: 5k/s, warm-up: 1s, warm-up-limit: 2s, duration: 5s, \
                connections: 2";
    let systems = format!("{{redis-streams: {{{SHARDS}}}, redis-lists: {{{SHARDS}}}}}");
    let summary = run(&scenario(&systems, load, ""), &[], &[]).measured();
    for cell in &summary.cells {
        let counts = &cell.counts;
        assert_eq!((counts.lost, counts.undelivered), (Some(0), Some(0)), "{cell:#?}");
        assert_eq!(counts.planned, counts.delivered, "{cell:#?}");
        assert!(cell.latency.end_to_end.as_ref().is_some_and(|all| all.p50_ns.is_some()));
    }
}

const THROUGH_A_FAULT: &str = "model: open, rate: 5k/s, warm-up: 1s, warm-up-limit: 2s, \
    duration: 30s, in-flight: 262144, deadline: 60s, drain: 60s, connections: 2";

fn through(systems: &str, fault: &str) -> Ended {
    run(&scenario(systems, THROUGH_A_FAULT, &format!("faults: [{{{fault}}}]\n")), &[], &[])
}

#[test]
#[ignore = "needs a real redis-server"]
fn a_primary_that_is_killed_is_replaced_and_what_is_gone_is_told() {
    let systems = format!("{{redis-streams: {{maxlen: none, {SHARDS}}}}}");
    let ended = through(&systems, "kind: kill, target: leader, at: 5s, for: 10s");
    let summary = ended.measured();
    let cell = &summary.cells[0];
    let counts = &cell.counts;
    assert_eq!(counts.planned, counts.sent, "the load went on: {cell:#?}");
    // It is retried until somebody takes it.
    assert_eq!((counts.failed, counts.indeterminate), (Some(0), Some(0)), "{cell:#?}");
    let fault = &cell.faults[0];
    assert!(!fault.failed() && fault.took_effect_at_ns.is_some(), "{fault:#?}");
    // Replicas follow later: what only the dead primary had is gone, and told to the message.
    assert_eq!(fault.rpo_messages, counts.broker_lost, "{cell:#?}");
    assert!(fault.rpo_messages < Some(5_000), "not more than a second of it: {fault:#?}");
    // Nobody is missed before its time-out is over.
    assert!(fault.rto_publish_ns > Some(1_000_000_000), "{fault:#?}");
    assert!(fault.rto_publish_ns < Some(10_000_000_000), "before it comes back: {fault:#?}");
    assert!(fault.redundancy_ns.is_some(), "all six are whole again: {fault:#?}");
    assert!(!cell.retries.is_empty());
}

/// It goes on acknowledging until it misses the others itself.
#[test]
#[ignore = "needs a real redis-server"]
fn a_primary_that_is_cut_off_is_left_and_what_it_took_alone_is_told() {
    let systems = format!("{{redis-streams: {{maxlen: none, {SHARDS}}}}}");
    let summary = through(&systems, "kind: net-partition, target: leader, at: 5s, for: 15s");
    let summary = summary.measured();
    let cell = &summary.cells[0];
    assert_eq!((cell.counts.failed, cell.counts.indeterminate), (Some(0), Some(0)), "{cell:#?}");
    let fault = &cell.faults[0];
    assert!(!fault.failed() && fault.took_effect_at_ns.is_some(), "{fault:#?}");
    assert_eq!(fault.rpo_messages, cell.counts.broker_lost, "{cell:#?}");
    assert!(fault.rto_publish_ns < Some(15_000_000_000), "before it is let back in: {fault:#?}");
    assert!(fault.redundancy_ns.is_some(), "all six are whole again: {fault:#?}");
}

#[test]
#[ignore = "needs a real redis-server"]
fn what_a_replica_confirmed_outlives_its_primary() {
    let systems = format!("{{redis-streams: {{maxlen: none, wait: 1, {SHARDS}}}}}");
    let summary = through(&systems, "kind: kill, target: leader, at: 5s, for: 10s").measured();
    let cell = &summary.cells[0];
    assert_eq!((cell.counts.broker_lost, cell.counts.lost), (Some(0), Some(0)), "{cell:#?}");
    assert!(cell.survives.node_loss && cell.survives.copies == 2, "{:?}", cell.survives);
}

#[test]
#[ignore = "needs a real redis-server"]
fn a_slot_that_moves_under_load_loses_nothing_and_redirections_are_counted() {
    for systems in [
        format!("{{redis-streams: {{maxlen: none, {SHARDS}}}}}"),
        format!("{{redis-lists: {{consume: {{mode: pop}}, {SHARDS}}}}}"),
    ] {
        let fault = "kind: reshard, target: leader, at: 5s, every: 8s, times: 2";
        let summary = through(&systems, fault).measured();
        let cell = &summary.cells[0];
        let counts = &cell.counts;
        assert_eq!((counts.lost, counts.undelivered), (Some(0), Some(0)), "{cell:#?}");
        assert!(counts.broker_lost.is_none_or(|lost| lost == 0), "{cell:#?}");
        assert_eq!((counts.failed, counts.indeterminate), (Some(0), Some(0)), "{cell:#?}");
        let redirected: u64 = cell
            .retries
            .iter()
            .filter_map(|(why, count)| why.contains("redirected (").then_some(*count))
            .sum();
        assert!(redirected > 0, "{:?}", cell.retries);
        for fault in &cell.faults {
            assert!(fault.text.contains(" moved from "), "{fault:#?}");
        }
    }
}

#[test]
#[ignore = "needs a real redis-server"]
fn sharded_channels_are_followed_to_their_new_shard() {
    let systems = format!("{{sharded: {{system: redis-pubsub, sharded: true, {SHARDS}}}}}");
    let summary = through(&systems, "kind: reshard, target: leader, at: 5s").measured();
    let cell = &summary.cells[0];
    // Whoever is not subscribed at that moment misses what is published then, and no more.
    assert!(cell.counts.lost < Some(5_000), "{cell:#?}");
    assert!(cell.retries.keys().any(|why| why.starts_with("consume: ")), "{:?}", cell.retries);
}

#[test]
#[ignore = "needs a real redis-server"]
fn streams_lie_on_all_shards_and_one_that_is_down_leads_no_more() {
    let text = scenario(
        &format!("{{redis-streams: {{{SHARDS}}}}}"),
        "model: closed, messages: 100, deadline: 60s",
        "",
    );
    let scenario = scenario::from_text("t", &text, &Overrides::default()).unwrap();
    let cell = scenario.cells().remove(0);
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell.config).unwrap();
    eprintln!("six nodes stand after {:.1} s", broker.started_in_ns().unwrap() as f64 / 1e9);
    assert_eq!((broker.pids().len(), broker.addresses().len()), (6, 6));
    let driver = driver::open(&cell, broker.target("live-cluster", Clock::start())).unwrap();
    driver.prepare().unwrap();
    let description = driver.describe().unwrap();
    assert_eq!(description.topic_config["shards"], "3");
    assert!(description.topic_config["stream 1"].contains("shard 1 ("), "{description:#?}");
    let mut cluster = driver.cluster().unwrap();
    let leaders: BTreeSet<String> = (0..3).map(|stream| cluster.leader(stream).unwrap()).collect();
    assert_eq!(leaders.len(), 3, "one on each shard");
    assert_eq!(cluster.redundancy().unwrap(), (6, 6));
    let first = cluster.leader(0).unwrap();
    let faultable = broker.faultable().unwrap();
    let index = faultable.nodes().iter().position(|node| node.advertised == first).unwrap();
    faultable.act(index, NodeAction::Kill).unwrap();
    let begun = Instant::now();
    while cluster.leader(0).is_ok_and(|leader| leader == first) || cluster.leader(0).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody was promoted");
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!("another leads after {:.2?}", begun.elapsed());
    driver.clean_up().unwrap();
    broker.stop().unwrap();
}

#[test]
#[ignore = "needs a real redis-server"]
fn nothing_is_left_of_a_run_on_six_nodes_killed_at_any_moment() {
    let load = "model: open, rate: 500/s, warm-up: 1s, warm-up-limit: 2s, duration: 60s";
    let text = scenario(&format!("{{redis-streams: {{{SHARDS}}}}}"), load, "");
    for moment in [0.2, 1.0, 3.0, 8.0] {
        let running = start(&text, &[], &[]);
        std::thread::sleep(Duration::from_secs_f64(moment));
        running.signal(Signal::KILL);
        // Which also sees that no process and no folder is left.
        assert_eq!(running.end().code, None);
    }
}

/// Any one node is enough to find the others, a replica too.
#[test]
#[ignore = "needs a real redis-server"]
fn a_cluster_that_runs_already_is_loaded_and_one_that_the_scenario_mistakes_is_refused() {
    let load = format!("model: closed, messages: {MESSAGES}, in-flight: 1000, batch: 100");
    let text = scenario(&format!("{{redis-streams: {{{SHARDS}}}}}"), &load, "");
    let cell = scenario::from_text("t", &text, &Overrides::default()).unwrap().cells().remove(0);
    let mut native = Native::new(exe());
    let broker = native.start(&cell.config).unwrap();
    let redis = format!("redis://{}", broker.addresses().last().unwrap());
    let given = ["--redis", redis.as_str()];
    let summary = run(&text, &given, &[]).measured();
    assert_eq!((summary.environment.as_str(), summary.cells.len()), ("external", 1));
    all_there(&summary.cells[0]);
    let two = text.replace("shards: 3", "shards: 2");
    run(&two, &given, &[]).with(3, &["has 3 shards", "the scenario says 2", "{shards: 3}"]);
    let alone = text.replace("nodes: {shards: 3, replicas: 1}", "nodes: 1");
    run(&alone, &given, &[]).with(3, &["node of a Redis Cluster", "nodes: {shards: 3}"]);
    let valkey = text.replace("keys: 3", "keys: 3, server: valkey");
    if broker.version().is_some_and(|version| version.starts_with("Redis")) {
        run(&valkey, &given, &[]).with(3, &["the scenario says `server: valkey`"]);
    }
    broker.stop().unwrap();
}

#[test]
#[ignore = "needs a real redis-server"]
fn what_runs_already_and_is_no_cluster_is_refused_where_the_scenario_says_one() {
    let text = scenario("{redis-streams: {nodes: 1}}", "model: closed, messages: 1000", "");
    let cell = scenario::from_text("t", &text, &Overrides::default()).unwrap().cells().remove(0);
    let mut native = Native::new(exe());
    let broker = native.start(&cell.config).unwrap();
    let redis = format!("redis://{}", broker.addresses()[0]);
    let cluster = text.replace("nodes: 1", "nodes: {shards: 3}");
    run(&cluster, &["--redis", &redis], &[]).with(3, &["no node of a Redis Cluster"]);
    broker.stop().unwrap();
}

/// Each of them asks whoever has what it asks for.
#[test]
#[ignore = "needs a real redis-server"]
fn every_experiment_runs_on_three_shards() {
    for (experiment, keys) in [
        ("kind: retention, messages: 5000", 3),
        ("kind: delivery, rates: [1/s, 100/s], duration: 1s, idle: 1s, stalled: 1MB", 3),
        ("kind: poison, duration: 2s, crash: 2s, kills: 1", 1),
        ("kind: cache, duration: 2s, ttl: 1s", 1),
        ("kind: size-ladder, sizes: [1KiB, 1MiB], codecs: [none]", 1),
    ] {
        let text = format!(
            "schema: 1\nname: live-cluster\nquestion: Q?\nguarantee: none\n\
             systems: {{redis-streams: {{nodes: {{shards: 3}}, keys: {keys}}}}}\n\
             experiment: {{{experiment}}}\n"
        );
        let summary = run(&text, &[], &[]).measured();
        let cell = &summary.cells[0];
        let seen = |name: &str| {
            let found = cell.observations.iter().find(|seen| seen.metric == name);
            found.and_then(|seen| seen.value).unwrap_or_else(|| panic!("{name}: {cell:#?}"))
        };
        match cell.experiment.as_deref() {
            Some("retention") => {
                for name in ["readable_after_ack", "share.reread", "share.late_joiner"] {
                    assert_eq!(seen(name), 1.0, "{name}");
                }
            }
            Some("delivery") => assert!(seen("requests_per_batch") > 0.0),
            // What is asked for may have expired by then.
            Some("cache") => assert!(seen("hit_rate") > 0.0 && seen("expired") == 1.0),
            Some("poison" | "size-ladder") => assert!(!cell.observations.is_empty()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
#[ignore = "needs a real redis-server and a real valkey-server"]
fn valkey_stands_beside_redis_under_its_own_name() {
    let there = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    };
    if std::env::var_os("VALKEY_SERVER").is_none() && !there("valkey-server") {
        eprintln!("NOT TESTED, there is no valkey-server here");
        return;
    }
    let systems = "{redis-streams: {server: redis}, \
                    valkey-streams: {system: redis-streams, server: valkey}}";
    let load = format!("model: closed, messages: {MESSAGES}, in-flight: 1000, batch: 100");
    let ended = run(&scenario(systems, &load, ""), &[], &[]);
    let summary = ended.measured();
    let labels: Vec<&str> = summary.cells.iter().map(|cell| cell.label.as_str()).collect();
    assert_eq!(labels, ["redis-streams", "valkey-streams"]);
    summary.cells.iter().for_each(all_there);
    // A server of the other kind is no answer to the question.
    if let Ok(valkey) = std::env::var("VALKEY_SERVER") {
        let text = scenario("{redis-streams: {server: redis}}", &load, "");
        run(&text, &[], &[("REDIS_SERVER", Some(&valkey))])
            .with(3, &["is Valkey", "server: redis"]);
    }
}
