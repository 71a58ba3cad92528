//! Several processes that run one load together, as an engine would start them, against a real
//! Kafka and a real Redis: merged, every message is there; one that is killed, at whatever moment,
//! is named by all others, and nothing is left. `cargo test --test live shards:: -- --ignored
//! --test-threads 1`

use crate::support::harness::exe;
use crate::support::program::MACHINE;
use crate::support::redis::RedisServer;
use brokerbench::environment::{Environment, Native};
use brokerbench::model::System;
use brokerbench::result::{Status, Summary};
use brokerbench::scenario::SystemConfig;
use itertools::Itertools;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SHARDS: u16 = 4;
const RATE: u64 = 8_000;
/// Whoever has not ended by then never will.
const LIMIT: Duration = Duration::from_secs(300);

fn scenario(system: &str, seconds: u64) -> String {
    format!(
        "schema: 1\nname: together\nquestion: Is every message accounted for?\n\
         guarantee: at-least-once\nsystems: {{{system}}}\nload: {{model: open, rate: {RATE}/s, \
         arrivals: poisson, warm-up: 2s, warm-up-limit: 4s, duration: {seconds}s, producers: 8, \
         consumers: 8, broker-warm-up: 0s, floor: false}}\nmessage: {{size: 100B}}\n"
    )
}

const STREAMS: &str = "redis-streams: {keys: 8, maxlen: none}";
const KAFKA: &str = "kafka: {topic: {partitions: 8}}";

struct Together {
    folder: tempfile::TempDir,
    flag: [String; 2],
}

struct Ended {
    code: Option<i32>,
    text: String,
}

impl Together {
    fn new(scenario: &str, flag: [&str; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("scenario.yaml"), scenario).unwrap();
        Self { folder, flag: flag.map(str::to_owned) }
    }

    fn results(&self) -> PathBuf {
        self.folder.path().join("results")
    }

    fn output(&self, index: u16) -> PathBuf {
        self.folder.path().join(format!("shard-{index}.txt"))
    }

    fn start(&self, index: u16, more: &[&str]) -> Child {
        let output = std::fs::File::create(self.output(index)).unwrap();
        Command::new(exe())
            .arg("run")
            .arg(self.folder.path().join("scenario.yaml"))
            .args(["--shard", &format!("{index}/{SHARDS}"), "--run-id", "night-1"])
            .args(&self.flag)
            .arg("--results")
            .arg(self.results())
            .args(more)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap()
    }

    fn start_all(&self) -> Vec<Child> {
        (0..SHARDS).map(|index| self.start(index, &["--wait", "60s"])).collect()
    }

    fn told(&self, index: u16) -> String {
        std::fs::read_to_string(self.output(index)).unwrap_or_default()
    }

    fn await_words(&self, index: u16, words: &str) {
        let begun = Instant::now();
        while !self.told(index).contains(words) {
            let told = self.told(index);
            assert!(begun.elapsed() < LIMIT, "it never said `{words}`: {told}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&self, index: u16, mut child: Child) -> Ended {
        let begun = Instant::now();
        loop {
            match child.try_wait().unwrap() {
                Some(status) => return Ended { code: status.code(), text: self.told(index) },
                None if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(50)),
                None => {
                    let _ = child.kill();
                    panic!("shard {index} did not end: {}", self.told(index));
                }
            }
        }
    }

    fn merge(&self, more: &[&str]) -> (Option<i32>, String, String) {
        let merged = Command::new(exe())
            .arg("merge")
            .arg(self.results().join("shards/night-1"))
            .arg("--json")
            .arg("--results")
            .arg(self.results())
            .args(more)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (merged.status.code(), text(&merged.stdout), text(&merged.stderr))
    }
}

fn is_whole(together: &Together) {
    let children = together.start_all();
    for (index, child) in (0..).zip(children) {
        let ended = together.end(index, child);
        assert_eq!(ended.code, Some(0), "{}", ended.text);
    }
    let (code, stdout, stderr) = together.merge(&[]);
    assert!(matches!(code, Some(0 | 13)), "{code:?}: {stderr}");
    let summary: Summary = serde_json::from_str(&stdout).unwrap();
    let cell = &summary.cells[0];
    let ours = |why: &String| !MACHINE.iter().any(|gate| why.starts_with(gate));
    assert!(!cell.invalid_because.iter().any(ours), "{:?}", cell.invalid_because);
    let counts = &cell.counts;
    assert!(counts.planned.is_some_and(|planned| planned > 5 * RATE), "{counts:?}");
    assert_eq!([counts.sent, counts.acked, counts.delivered], [counts.planned; 3], "{counts:?}");
    let none = [counts.lost, counts.undelivered, counts.foreign, counts.broker_lost];
    assert_eq!(none, [Some(0); 4], "{counts:?}");
    // One machine is one clock: every way is timed.
    assert_eq!(
        cell.latency.end_to_end.as_ref().unwrap().count,
        cell.latency.publish.as_ref().unwrap().count
    );
}

#[test]
#[ignore = "starts a real redis-server"]
fn four_processes_on_redis_account_for_every_message() {
    let server = RedisServer::start(&[]);
    let address = format!("redis://127.0.0.1:{}", server.port);
    is_whole(&Together::new(&scenario(STREAMS, 5), ["--redis", &address]));
    assert_eq!(keys(server.port), "");
}

#[test]
#[ignore = "starts a real Kafka"]
fn four_processes_on_kafka_account_for_every_message() {
    let mut native = Native::new(exe());
    let mut config = SystemConfig::defaults(System::Kafka);
    config.topic.partitions = 8;
    let broker = native.start(&config).unwrap();
    let address = broker.addresses().join(",");
    is_whole(&Together::new(&scenario(KAFKA, 5), ["--kafka", &address]));
    broker.stop().unwrap();
}

/// What keys there are, by the server's own client.
fn keys(port: u16) -> String {
    let port = port.to_string();
    let listed = Command::new("redis-cli").args(["-p", &port, "--scan"]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).trim().to_owned()
}

/// Kills one shard of a run on Redis once it has said these words, and so many seconds later.
fn one_dies(victim: u16, words: &str, after: Duration) {
    let server = RedisServer::start(&[]);
    let address = format!("redis://127.0.0.1:{}", server.port);
    let together = Together::new(&scenario(STREAMS, 10), ["--redis", &address]);
    is_named(&together, victim, words, after);
    assert_eq!(keys(server.port), "", "nothing is left on the server");
    is_marked(&together, victim);
}

/// All others name the one that is killed.
fn is_named(together: &Together, victim: u16, words: &str, after: Duration) {
    let mut children = together.start_all();
    together.await_words(victim, words);
    std::thread::sleep(after);
    children[usize::from(victim)].kill().unwrap();
    children.remove(usize::from(victim)).wait().unwrap();
    let others: Vec<u16> = (0..SHARDS).filter(|index| *index != victim).collect();
    let named = format!("shard {victim}/{SHARDS}");
    for (index, child) in others.iter().zip(children) {
        let ended = together.end(*index, child);
        assert_eq!(ended.code, Some(13), "shard {index}: {}", ended.text);
        assert!(ended.text.contains(&named), "shard {index} does not name it: {}", ended.text);
    }
}

/// What the others have is merged by force only, and stays invalid.
fn is_marked(together: &Together, victim: u16) {
    let (code, _, stderr) = together.merge(&[]);
    assert_eq!(code, Some(4), "{stderr}");
    let named = format!("shard {victim}/{SHARDS} (on ");
    assert!(stderr.contains(&named) && stderr.contains("has not finished"), "{stderr}");
    let (code, stdout, _) = together.merge(&["--force"]);
    assert_eq!(code, Some(13));
    let summary: Summary = serde_json::from_str(&stdout).unwrap();
    assert_eq!(summary.status, Status::Invalid);
}

const BEGINS: &str = "redis-streams base block 1";

#[test]
#[ignore = "starts a real redis-server"]
fn one_that_dies_in_warm_up_is_named() {
    one_dies(2, BEGINS, Duration::from_secs(6));
}

#[test]
#[ignore = "starts a real redis-server"]
fn one_that_dies_in_the_window_is_named() {
    one_dies(1, BEGINS, Duration::from_secs(14));
}

#[test]
#[ignore = "starts a real redis-server"]
fn the_first_that_dies_is_named_and_the_others_clear_up() {
    one_dies(0, BEGINS, Duration::from_secs(10));
}

#[test]
#[ignore = "starts a real Kafka"]
fn one_that_dies_on_kafka_is_named_and_no_topic_stays() {
    let mut native = Native::new(exe());
    let broker = native.start(&SystemConfig::defaults(System::Kafka)).unwrap();
    let address = broker.addresses().join(",");
    let before = topics(&address);
    for (victim, after) in [(3, Duration::from_millis(1500)), (0, Duration::from_secs(12))] {
        let together = Together::new(&scenario(KAFKA, 10), ["--kafka", &address]);
        is_named(&together, victim, "kafka base block 1", after);
        assert_eq!(topics(&address), before, "nothing is left on the broker");
        is_marked(&together, victim);
    }
    broker.stop().unwrap();
}

/// All topics, by a client of the test's own.
fn topics(address: &str) -> Vec<String> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
    let names = metadata.topics().iter().map(|topic| topic.name());
    names.filter(|name| !name.starts_with("__")).map(str::to_owned).sorted().collect()
}

#[test]
#[ignore = "starts a real redis-server"]
fn one_that_never_comes_is_named() {
    let server = RedisServer::start(&[]);
    let address = format!("redis://127.0.0.1:{}", server.port);
    let together = Together::new(&scenario(STREAMS, 5), ["--redis", &address]);
    let children: Vec<Child> =
        (0..SHARDS - 1).map(|index| together.start(index, &["--wait", "5s"])).collect();
    for (index, child) in (0..).zip(children) {
        let ended = together.end(index, child);
        assert_eq!(ended.code, Some(13), "{}", ended.text);
        assert!(ended.text.contains("shard 3/4 did not come"), "{}", ended.text);
    }
    assert_eq!(keys(server.port), "");
}

#[test]
#[ignore = "starts a real redis-server"]
fn the_first_shard_merges_what_all_have_left() {
    let server = RedisServer::start(&[]);
    let address = format!("redis://127.0.0.1:{}", server.port);
    let together = Together::new(&scenario(STREAMS, 5), ["--redis", &address]);
    let results = together.results();
    let into = ["--merge-into", results.to_str().unwrap()];
    let children: Vec<Child> = (0..SHARDS).map(|index| together.start(index, &into)).collect();
    for (index, child) in (0..).zip(children) {
        let ended = together.end(index, child);
        assert!(matches!(ended.code, Some(0 | 13)), "{}", ended.text);
    }
    let runs: Vec<_> = std::fs::read_dir(results.join("runs")).unwrap().flatten().collect();
    assert_eq!(runs.len(), 1);
    assert!(Path::new(&runs[0].path()).join("report.html").is_file());
}
