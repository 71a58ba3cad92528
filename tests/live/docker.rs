//! Brokers in containers. Needs a container engine, a compose, and images (`export
//! $(scripts/local-images)` makes some): `cargo test --test live docker:: -- --ignored
//! --test-threads 1`

use crate::support::harness::{Harness, PART, exe, processes};
use crate::support::program::{run, send, start};
use brokerbench::environment::{Broker, Docker, Environment, NodeAction, NodeRole, usage};
use brokerbench::fault::proxy::Condition;
use brokerbench::model::System;
use brokerbench::result::{Manifest, Status};
use brokerbench::scenario::{Shards, SystemConfig};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// After the harness was killed: three looks at a loaded engine, and what it removes.
const LIMIT: Duration = Duration::from_secs(120);
const MESSAGES: u64 = 50_000;

fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Containers, volumes and networks of runs below this folder.
fn left(folder: &Path) -> Vec<String> {
    let format = ["--format", "{{.Label \"brokerbench.folder\"}} {{json .}}"];
    let lists = [["ps", "--all"], ["volume", "ls"], ["network", "ls"]];
    let all: String = lists.iter().map(|list| docker(&[&list[..], &format].concat())).collect();
    all.lines().filter(|line| Path::new(line).starts_with(folder)).map(str::to_owned).collect()
}

fn gone_within(folder: &Path, limit: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let left = left(folder);
        if left.is_empty() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < limit, "left after {limit:?}: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn config(system: System, nodes: u16) -> SystemConfig {
    SystemConfig { nodes, ..SystemConfig::defaults(system) }
}

fn answers(broker: &mut dyn Broker, node: usize) -> bool {
    TcpStream::connect(&broker.faultable().unwrap().nodes()[node].address).is_ok()
}

#[test]
#[ignore = "needs a container engine"]
fn one_node_of_each_is_killed_stopped_paused_and_started() {
    let mut environment = Docker::new(exe()).unwrap();
    for system in [System::RedisStreams, System::Kafka] {
        let begun = Instant::now();
        let mut broker = environment.start(&config(system, 1)).unwrap();
        eprintln!("{system}: ready after {:.2?}, {:?}", begun.elapsed(), broker.version());
        assert!(
            broker.version().is_some_and(|version| version.contains('.') && !version.contains('/'))
        );
        assert!(broker.addresses()[0].starts_with("127.0.0.1:"));
        let pid = broker.pids()[0];
        assert!(usage(pid).unwrap().rss_bytes > 1 << 20);
        assert!(!broker.log_tail(5).is_empty());

        broker.faultable().unwrap().act(0, NodeAction::Pause).unwrap();
        assert!(brokerbench::environment::is_stopped(pid).unwrap());
        broker.faultable().unwrap().act(0, NodeAction::Resume).unwrap();
        assert!(!brokerbench::environment::is_stopped(pid).unwrap());
        for deed in [NodeAction::Kill, NodeAction::Stop] {
            let begun = Instant::now();
            broker.faultable().unwrap().act(0, deed).unwrap();
            let gone = begun.elapsed();
            assert!(!answers(broker.as_mut(), 0) && broker.pids().is_empty());
            broker.check().unwrap();
            broker.faultable().unwrap().act(0, NodeAction::Start).unwrap();
            eprintln!("{deed:?}: gone after {gone:.2?}, back after {:.2?}", begun.elapsed());
            assert!(answers(broker.as_mut(), 0) && broker.pids() != [pid]);
        }
        // A death that nobody meant is told.
        let name = docker(&[
            "ps",
            "--filter",
            "label=brokerbench.folder",
            "--format",
            "{{.ID}} {{.Names}}",
        ]);
        // Of this process alone: other runs may have theirs.
        let own = format!(" brokerbench-{}-", std::process::id());
        let (id, _) =
            name.lines().find(|line| line.contains(&own)).unwrap().split_once(' ').unwrap();
        docker(&["kill", id]);
        let died = broker.check().unwrap_err().to_string();
        assert!(died.contains("died") && died.contains("137"), "{died}");
        broker.stop().unwrap();
    }
    eprintln!("{} {:?}", environment.network_path(), environment.facts());
    assert!(environment.network_path().contains("round trip"));
    assert!(
        environment
            .facts()
            .iter()
            .any(|(key, value)| key.starts_with("image") && value.starts_with("sha256:"))
    );
    drop(environment);
    gone_within(&std::env::temp_dir(), Duration::ZERO);
}

#[test]
#[ignore = "needs a container engine"]
fn three_nodes_stand_behind_their_proxies_and_lose_one() {
    let mut environment = Docker::new(exe()).unwrap();
    for system in [System::RedisStreams, System::Kafka] {
        let begun = Instant::now();
        let mut broker =
            environment.start(&SystemConfig { proxied: true, ..config(system, 3) }).unwrap();
        eprintln!("{system}: three nodes after {:.2?}", begun.elapsed());
        let nodes = broker.faultable().unwrap().nodes();
        assert_eq!(nodes.iter().filter(|node| node.role == NodeRole::Data).count(), 3);
        assert!(
            nodes
                .iter()
                .all(|node| node.role == NodeRole::Sentinel || node.advertised != node.address),
            "{nodes:?}"
        );
        // A replica of Redis follows its primary through one; a node of Kafka has two listeners for
        // each of two others, and they have as many for it.
        let links = if system == System::RedisStreams { 1 } else { 2 * 2 * 2 };
        assert_eq!(broker.faultable().unwrap().links(1).len(), links);
        let refused = broker.faultable().unwrap().proxy(1).unwrap().apply(Condition::Refuse);
        assert!(refused.is_ok());
        broker.faultable().unwrap().act(2, NodeAction::Kill).unwrap();
        broker.faultable().unwrap().act(2, NodeAction::Start).unwrap();
        broker.check().unwrap();
        broker.stop().unwrap();
    }
}

/// That it was started says that each of them finds the cluster whole.
#[test]
#[ignore = "needs a container engine"]
fn six_containers_make_a_redis_cluster_that_loses_a_node_and_gets_it_back() {
    let mut environment = Docker::new(exe()).unwrap();
    let cluster = Some(Shards { shards: 3, replicas: 1 });
    for proxied in [false, true] {
        let begun = Instant::now();
        let config = SystemConfig { cluster, proxied, ..config(System::RedisStreams, 6) };
        let mut broker = environment.start(&config).unwrap();
        eprintln!("six nodes after {:.2?}", begun.elapsed());
        assert_eq!((broker.addresses().len(), broker.pids().len()), (6, 6));
        broker.faultable().unwrap().act(1, NodeAction::Kill).unwrap();
        broker.faultable().unwrap().act(1, NodeAction::Start).unwrap();
        broker.check().unwrap();
        broker.stop().unwrap();
    }
    drop(environment);
    gone_within(&std::env::temp_dir(), Duration::ZERO);
}

#[test]
#[ignore = "needs a container engine"]
fn the_power_of_containers_fails_as_that_of_processes() {
    let mut environment = Docker::new(exe()).unwrap();
    let mut kept = config(System::RedisStreams, 1);
    kept.preloaded = true;
    kept.broker = [("appendonly", "yes"), ("appendfsync", "no")]
        .map(|(key, value)| (key.into(), value.into()))
        .into();
    let mut broker = environment.start(&kept).unwrap();
    let mut connection = redis(&broker.addresses()[0]);
    for n in 0..1000 {
        ask(&mut connection, &format!("RPUSH list {n}"));
    }
    std::thread::sleep(Duration::from_secs(2));
    let lost = broker.faultable().unwrap().lose_power(&[0]).unwrap();
    assert!(
        lost.bytes() > 10_000 && lost.files.iter().all(|cut| cut.path.is_relative()),
        "{lost:?}"
    );
    broker.faultable().unwrap().restart().unwrap();
    let mut connection = redis(&broker.addresses()[0]);
    let length = ask(&mut connection, "LLEN list");
    assert!(length < 1000, "{length}");
    broker.stop().unwrap();

    let mut broker =
        environment.start(&SystemConfig { preloaded: true, ..config(System::Kafka, 1) }).unwrap();
    assert!(broker.faultable().unwrap().disk(0).unwrap().syncs > 0);
    broker.faultable().unwrap().lose_power(&[0]).unwrap();
    broker.faultable().unwrap().restart().unwrap();
    broker.stop().unwrap();

    // Without the library there is nothing to do it with, and it is said.
    let mut broker = environment.start(&config(System::RedisLists, 1)).unwrap();
    let refused = broker.faultable().unwrap().lose_power(&[0]).unwrap_err().to_string();
    assert!(refused.contains("without the library"), "{refused}");
}

fn redis(address: &str) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(address).unwrap())
}

/// The number that Redis answers.
fn ask(connection: &mut BufReader<TcpStream>, command: &str) -> u64 {
    connection.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_line(&mut answer).unwrap();
    let number =
        answer.trim_end().strip_prefix(':').unwrap_or_else(|| panic!("{command}: {answer}"));
    number.parse().unwrap()
}

fn scenario(systems: &str, messages: u64) -> String {
    format!(
        "schema: 1\nname: live\nquestion: Is every message accounted for?\nguarantee: none\n\
         systems: [{systems}]\n\
         load: {{model: closed, messages: {messages}, in-flight: 1000, batch: 100, \
         broker-warm-up: 2s}}\n\
         message: {{size: 100B}}\n"
    )
}

#[test]
#[ignore = "needs a container engine"]
fn every_message_is_accounted_for_on_both_network_paths() {
    let all = "kafka, redis-pubsub, redis-streams, redis-lists";
    for (network, words, systems) in
        [("host", "host networking", all), ("published", "ports published", "kafka, redis-streams")]
    {
        let ended = run(
            &scenario(systems, MESSAGES),
            &["--env", "docker"],
            &[("BROKERBENCH_DOCKER_NETWORK", Some(network))],
        )
        .with(0, &["environment: docker"]);
        let summary = ended.summary();
        assert_eq!(summary.status, Status::Complete);
        for cell in &summary.cells {
            let counts = &cell.counts;
            assert_eq!(
                (counts.sent, counts.delivered),
                (Some(MESSAGES), Some(MESSAGES)),
                "{cell:#?}"
            );
            let none = [
                counts.failed,
                counts.indeterminate,
                counts.undelivered,
                counts.lost,
                counts.duplicate,
            ];
            assert_eq!(none, [Some(0); 5], "{cell:#?}");
        }
        let text = std::fs::read_to_string(ended.folder().join("manifest.json")).unwrap();
        let manifest: Manifest = serde_json::from_str(&text).unwrap();
        eprintln!("{}: {:?}", manifest.network_path, manifest.provided);
        assert!(manifest.network_path.contains(words) && manifest.network_path.contains("PING"));
        assert!(manifest.provided.contains_key("compose") && manifest.environment == "docker");
        assert_eq!(manifest.systems.len(), systems.split(',').count());
    }
}

/// Not a test of its own: the part of the harness that is about to die.
#[test]
#[ignore = "played in another process"]
fn the_part_of_the_harness() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let mut environment = Docker::new(exe()).unwrap();
    let _redis = environment.start(&config(System::RedisStreams, 1)).unwrap();
    let _kafka = environment.start(&config(System::Kafka, 1)).unwrap();
    println!("\nready ");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
#[ignore = "needs a container engine"]
fn nothing_is_left_of_a_harness_killed_at_any_moment() {
    for n in 1..=5 {
        let moment = Duration::from_secs_f64((f64::from(n) * 0.618_034).fract() * 6.0);
        let mut harness = Harness::start(module_path!());
        std::thread::sleep(moment);
        harness.kill();
        let clean = harness.clean_within(LIMIT);
        gone_within(harness.temporary.path(), Duration::ZERO);
        eprintln!("killed after {moment:.2?}: clean after {clean:.2?}");
    }
    let mut harness = Harness::start(module_path!());
    harness.await_line("ready ");
    assert!(left(harness.temporary.path()).iter().any(|line| line.contains("kafka")));
    harness.kill();
    eprintln!("killed when all was running: clean after {:.2?}", harness.clean_within(LIMIT));
    gone_within(harness.temporary.path(), Duration::ZERO);
}

#[test]
#[ignore = "needs a container engine"]
fn what_a_killed_janitor_leaves_is_swept_by_the_next_run() {
    let mut harness = Harness::start(module_path!());
    harness.await_line("ready ");
    let janitor = processes(harness.temporary.path())
        .into_iter()
        .find(|(_, line)| line.contains("__janitor"));
    send(janitor.unwrap().0, rustix::process::Signal::KILL);
    harness.kill();
    assert!(!left(harness.temporary.path()).is_empty(), "nobody was left to take them away");
    let mut environment = Docker::new(exe()).unwrap();
    let mut living = environment.start(&config(System::RedisLists, 1)).unwrap();
    gone_within(harness.temporary.path(), Duration::ZERO);
    assert!(answers(living.as_mut(), 0));
}

#[test]
#[ignore = "needs a container engine"]
fn an_image_that_is_nowhere_says_what_to_do() {
    let none = [("REDIS_IMAGE", Some("brokerbench/there-is-no-such-image:0"))];
    let text = scenario("redis-lists", 1000);
    run(&text, &["--env", "docker"], &none)
        .with(3, &["there-is-no-such-image", "scripts/local-images", "--env native"]);
    let odd = [("REDIS_IMAGE", Some("--privileged"))];
    start(&text, &["--env", "docker"], &odd).end().with(3, &["REDIS_IMAGE"]);
}
