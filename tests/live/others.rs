//! Brokers that somebody else runs, and restarts: the load goes on as its clients do, and what
//! happened is told as injected faults are. Needs redis-server, Java and Kafka: `cargo test --test
//! live others:: -- --ignored --test-threads 1`

use crate::support::harness::exe;
use crate::support::program::{Ended, run, start};
use crate::support::redis::RedisServer;
use brokerbench::environment::{Environment, Native, NodeAction, NodeRole};
use brokerbench::result::{Fault, Summary};
use brokerbench::scenario::{Overrides, SystemConfig, from_text};
use std::path::Path;
use std::time::Duration;

fn scenario(rest: &str) -> String {
    format!("schema: 1\nname: others\nquestion: What does a restart cost me?\n{rest}")
}

/// What a scenario says of its only system.
fn config(text: &str) -> SystemConfig {
    from_text("t", text, &Overrides::default()).unwrap().systems.remove(0).1
}

/// All outages, each with the times that were seen.
fn outages(summary: &Summary) -> Vec<&Fault> {
    let faults: Vec<&Fault> = summary.cells[0].faults.iter().collect();
    for fault in &faults {
        assert_eq!(fault.kind, Fault::OUTAGE, "{fault:#?}");
        eprintln!(
            "{} from {:?} to {:?}: RTO {:?}, lost {:?}",
            fault.node,
            fault.took_effect_at_ns,
            fault.healed_at_ns,
            fault.rto_publish(),
            fault.rpo_messages
        );
    }
    faults
}

fn nothing_lost(ended: &Ended) -> Summary {
    let summary = ended.measured();
    let counts = &summary.cells[0].counts;
    assert_eq!((counts.lost, counts.broker_lost), (Some(0), Some(0)), "{summary:#?}");
    summary
}

/// Each of three nodes is restarted in turn, as an operator would.
#[test]
#[ignore = "needs real brokers"]
fn a_rolling_restart_by_hand_is_outlived_and_told_with_its_recovery() {
    let text = scenario(
        "systems: {kafka: {nodes: 3, topic: {partitions: 3, replicas: 3}, client: {acks: all}}}\n\
         guarantee: at-least-once\nload: {model: open, rate: 1k/s, duration: 120s, warm-up: 5s, \
         warm-up-limit: 10s, deadline: 60s, in-flight: 65536, broker-warm-up: 0s, floor: false}\n\
         message: {size: 200B}\n",
    );
    let mut native = Native::new(exe());
    let mut broker = native.start(&config(&text)).unwrap();
    let addresses = broker.addresses().join(",");
    let mut running = start(&text, &["--kafka", &addresses], &[]);
    running.await_words("kafka base block 1\n");
    std::thread::sleep(Duration::from_secs(20));
    for node in 0..3 {
        let nodes = broker.faultable().unwrap();
        nodes.act(node, NodeAction::Stop).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        nodes.act(node, NodeAction::Start).unwrap();
        std::thread::sleep(Duration::from_secs(10));
    }
    let ended = running.end();
    let summary = nothing_lost(&ended);
    assert_eq!(summary.cells[0].nodes, 3);
    let seen = outages(&summary);
    assert_eq!(seen.len(), 3, "{seen:#?}");
    for outage in seen {
        assert!(outage.healed_at_ns > outage.took_effect_at_ns, "{outage:#?}");
        assert!(outage.rto_publish().is_some(), "{outage:#?}");
        assert_eq!(outage.rpo_messages, Some(0), "{outage:#?}");
    }
    assert!(ended.code == Some(0) || !summary.cells[0].valid, "{}", ended.stderr);
}

/// Without a deadline a cluster of which one node is away goes on too.
#[test]
#[ignore = "needs real brokers"]
fn one_node_of_three_that_stays_away_is_not_the_end() {
    let text = scenario(
        "systems: {kafka: {nodes: 3, topic: {partitions: 3, replicas: 3}, client: {acks: all}}}\n\
         load: {model: open, rate: 500/s, duration: 40s, warm-up: 1s, warm-up-limit: 2s, \
         broker-warm-up: 0s, floor: false}\nmessage: {size: 200B}\n",
    );
    let mut native = Native::new(exe());
    let mut broker = native.start(&config(&text)).unwrap();
    let addresses = broker.addresses().join(",");
    let mut running = start(&text, &["--kafka", &addresses], &[]);
    running.await_words("kafka base block 1\n");
    std::thread::sleep(Duration::from_secs(10));
    broker.faultable().unwrap().act(2, NodeAction::Stop).unwrap();
    nothing_lost(&running.end());
}

/// The Sentinels are the address; their primary is killed under the load.
#[test]
#[ignore = "needs redis-server"]
fn a_fail_over_behind_sentinels_is_followed() {
    let text = scenario(
        "systems: {redis-streams: {nodes: 3, sentinel: {down-after-milliseconds: 1000}}}\n\
         load: {model: open, rate: 500/s, duration: 40s, warm-up: 1s, warm-up-limit: 2s, \
         deadline: 30s, in-flight: 65536, broker-warm-up: 0s, floor: false}\n\
         message: {size: 200B}\n",
    );
    let mut native = Native::new(exe());
    let mut broker = native.start(&config(&text)).unwrap();
    let sentinel = format!("redis://{}", broker.routes().sentinels[0]);
    let mut running = start(&text, &["--redis", &sentinel], &[]);
    running.await_words("redis-streams base block 1\n");
    std::thread::sleep(Duration::from_secs(10));
    let nodes = broker.faultable().unwrap();
    let primary = nodes.nodes().iter().position(|node| node.role == NodeRole::Data).unwrap();
    nodes.act(primary, NodeAction::Kill).unwrap();
    let summary = running.end().measured();
    let seen = outages(&summary);
    assert_eq!(seen.len(), 1, "{seen:#?}");
    let told = (seen[0].healed_at_ns, seen[0].rto_publish());
    assert!(told.0.is_some() && told.1.is_some_and(|rto| rto.value().is_some()), "{seen:#?}");
    assert!(seen[0].node.contains("brokerbench"), "as the Sentinels call it: {seen:#?}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_unix_socket_is_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let _server = RedisServer::start(&["--unixsocket", socket.to_str().unwrap()]);
    within(&socket);
    let address = format!("unix://{}", socket.display());
    let text = scenario(
        "systems: [redis-pubsub, redis-streams, redis-lists]\nload: {model: open, rate: 1k/s, \
         duration: 4s, warm-up: 1s, warm-up-limit: 2s, floor: false}\nmessage: {size: 100B}\n",
    );
    let summary = run(&text, &["--redis", &address], &[]).measured();
    for cell in &summary.cells {
        assert_eq!(cell.counts.delivered, cell.counts.sent, "{cell:#?}");
    }
}

fn within(socket: &Path) {
    for _ in 0..500 {
        if socket.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no {}", socket.display());
}

/// A managed Redis that tells no settings survives what it tells of, which is nothing.
#[test]
#[ignore = "needs redis-server"]
fn settings_that_are_not_told_promise_nothing() {
    let user = "bench on >pw ~bb-* &bb-* +@all -@admin -@dangerous +info";
    let settings: Vec<_> =
        ["--appendonly", "no", "--user"].into_iter().chain(user.split(' ')).collect();
    let server = RedisServer::start(&settings);
    let address = format!("redis://bench:${{env:PW}}@127.0.0.1:{}", server.port);
    let text = scenario(
        "systems: {redis-streams: {broker: {appendonly: \"yes\", appendfsync: always}, maxlen: \
         50000}}\nguarantee: at-least-once\nload: {model: open, rate: 1k/s, duration: 4s, \
         warm-up: 1s, warm-up-limit: 2s, floor: false}\nmessage: {size: 100B}\n",
    );
    let ended = run(&text, &["--redis", &address], &[("PW", Some("pw"))]);
    let summary = ended.measured();
    let cell = &summary.cells[0];
    assert!(!cell.survives.process_kill && !cell.survives.power_loss, "{cell:#?}");
    assert_ne!(cell.judged, Some(brokerbench::result::Judged::Pass), "{cell:#?}");
    let folder = std::fs::read_to_string(ended.folder().join("manifest.json")).unwrap();
    assert!(folder.contains("was not set: appendfsync=always"), "{folder}");
}

/// The quota of a broker is shown beside what follows from it.
#[test]
#[ignore = "needs real brokers"]
fn a_quota_is_told_beside_the_overload_that_it_makes() {
    let text = scenario(
        "systems: [kafka]\nload: {model: open, rate: 5k/s, duration: 15s, warm-up: 1s, \
         warm-up-limit: 2s, broker-warm-up: 0s, floor: false}\nmessage: {size: 1KiB}\n",
    );
    let mut native = Native::new(exe());
    let broker = native.start(&config(&text)).unwrap();
    let address = broker.addresses()[0].clone();
    quota(&address, 1_048_576.0);
    let ended = run(&text, &["--kafka", &address], &[]);
    let summary = ended.measured();
    let because = &summary.cells[0].outcome_because;
    let words = "ms for which a quota held producers back";
    assert!(because.iter().any(|why| why.contains(words)), "{because:#?}");
}

/// Sets the default of all clients, as `kafka-configs.sh` would, whose class is in none of the jars
/// that a broker needs: by Kafka's own client.
fn quota(address: &str, bytes_per_s: f64) {
    use brokerbench::environment::supply::{Supply, look};
    use brokerbench::model::Software;
    const PROGRAM: &str = r#"
        import java.util.*;
        import org.apache.kafka.clients.admin.Admin;
        import org.apache.kafka.common.quota.*;
        class Quota {
            public static void main(String[] args) throws Exception {
                var all = new ClientQuotaEntity(
                    Collections.singletonMap(ClientQuotaEntity.CLIENT_ID, null));
                var rate = new ClientQuotaAlteration.Op(
                    "producer_byte_rate", Double.valueOf(args[1]));
                var change = new ClientQuotaAlteration(all, List.of(rate));
                try (var admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
                    admin.alterClientQuotas(List.of(change)).all().get();
                }
            }
        }"#;
    let Supply::Here(kafka) = look(Software::Kafka, None, Duration::from_secs(60)).unwrap() else {
        panic!("no Kafka")
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Quota.java");
    std::fs::write(&file, PROGRAM).unwrap();
    let mut java = std::process::Command::new("java");
    java.arg("-cp").arg(kafka.place.join("*")).arg(file).arg(address).arg(bytes_per_s.to_string());
    let set = java.output().unwrap();
    assert!(set.status.success(), "{set:?}");
}
