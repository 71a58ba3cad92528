//! One side of a load alone, and topics and streams that are there already: what was there stays,
//! and books are kept as far as they can be. Needs redis-server, Java and Kafka: `cargo test --test
//! live existing:: -- --ignored --test-threads 1`

use crate::support::harness::exe;
use crate::support::program::run;
use crate::support::redis::RedisServer;
use brokerbench::clock::Clock;
use brokerbench::driver::{self, Target};
use brokerbench::environment::{Broker, Environment, Native};
use brokerbench::model::System;
use brokerbench::result::CellSummary;
use brokerbench::scenario::{Overrides, SystemConfig, from_text};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Whatever the machine does meanwhile, it publishes once: what it published is counted.
fn scenario(systems: &str, load: &str) -> String {
    format!(
        "schema: 1\nname: existing\nquestion: What can my topic do?\nrepeat-spoilt: 0\n\
         systems: {systems}\nload: {{warm-up: 1s, warm-up-limit: 2s, broker-warm-up: \
         0s, floor: false, {load}}}\n\
         message: {{size: 100B}}\n"
    )
}

const OPEN: &str = "model: open, rate: 2k/s, duration: 4s";
const READ: &str = "model: closed, producers: 0, duration: 60s";

/// A Kafka with a topic `orders` of so many partitions.
fn kafka(partitions: u16) -> (Native, Box<dyn Broker>, String) {
    kafka_of(&SystemConfig::defaults(System::Kafka), &format!("partitions: {partitions}"))
}

/// The same, so set, with such a topic, which takes messages with keys.
fn kafka_of(config: &SystemConfig, topic: &str) -> (Native, Box<dyn Broker>, String) {
    let mut native = Native::new(exe());
    let broker = native.start(config).unwrap();
    let text = scenario(&format!("{{kafka: {{topic: {{{topic}}}}}}}"), OPEN);
    let text = text.replace("size: 100B", "size: 100B, key: {count: 10}");
    let cell = from_text("t", &text, &Overrides::default()).unwrap().cells().remove(0);
    let (addresses, routes, access) = (broker.addresses(), broker.routes(), broker.access());
    let (name, clock) = ("orders".to_owned(), Clock::start());
    let target = Target { addresses, routes, access, name, clock };
    driver::open(&cell, target).unwrap().prepare().unwrap();
    let address = broker.addresses()[0].clone();
    (native, broker, address)
}

fn one(text: &str, args: &[&str]) -> CellSummary {
    let mut summary = run(text, args, &[]).measured();
    assert_eq!(summary.cells.len(), 1);
    summary.cells.remove(0)
}

/// One command as a client types it; the first line of the answer.
fn redis(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut reply = [0; 4096];
    let read = stream.read(&mut reply).unwrap();
    String::from_utf8_lossy(&reply[..read]).lines().next().unwrap_or_default().to_owned()
}

#[test]
#[ignore = "needs real brokers"]
fn who_only_publishes_has_a_goodput_and_no_deliveries() {
    let text = scenario(
        "[kafka, redis-streams]",
        "model: closed, subscriptions: 0, messages: 20000, in-flight: 500",
    );
    for cell in run(&text, &[], &[]).measured().cells {
        assert_eq!((cell.counts.acked, cell.counts.broker_lost), (Some(20_000), Some(0)));
        assert!(cell.rates.goodput_per_s > Some(0.0), "{cell:#?}");
        assert_eq!(cell.rates.goodput_per_s, cell.rates.acked_per_s, "{cell:#?}");
        assert!(cell.latency.end_to_end.is_none(), "{cell:#?}");
    }
}

#[test]
#[ignore = "needs real brokers"]
fn a_topic_of_somebody_is_written_to_and_read_and_nothing_else() {
    let (_native, _broker, address) = kafka(3);
    let systems = "{kafka: {topic: {name: orders, partitions: 3}}}";
    let first = one(&scenario(systems, OPEN), &["--kafka", &address]);
    assert_eq!((first.counts.lost, first.counts.broker_lost), (Some(0), Some(0)), "{first:#?}");
    assert_eq!(first.counts.delivered, first.counts.sent, "{first:#?}");
    // The second begins where the first ended: nothing of it is delivered again.
    let second = one(&scenario(systems, OPEN), &["--kafka", &address]);
    assert_eq!((second.counts.foreign, second.counts.duplicate), (Some(0), Some(0)), "{second:#?}");
    // Both are there, and are read from the oldest on.
    let read = one(&scenario(systems, READ), &["--kafka", &address]);
    let published = first.counts.sent.unwrap() + second.counts.sent.unwrap();
    assert_eq!(read.counts.delivered, Some(published), "{read:#?}");
    assert!(read.counts.lost.is_none() && read.counts.sent.is_none(), "{read:#?}");
    let (messages, bytes) = (read.rates.goodput_per_s, read.rates.goodput_bytes_per_s);
    assert!((bytes.unwrap() / messages.unwrap() - 100.0).abs() < 1.0, "{read:#?}");
    let more = "{kafka: {topic: {name: orders, partitions: 4}}}";
    let few = run(&scenario(more, OPEN), &["--kafka", &address], &[]);
    few.with(3, &["it has 3 partitions", "`topic.partitions` (4)"]);
    let none = "{kafka: {topic: {name: order}}}";
    let none = run(&scenario(none, OPEN), &["--kafka", &address], &[]);
    none.with(3, &["use the topic `order`", "not there", "`topic.name`"]);
}

#[test]
#[ignore = "needs redis-server"]
fn a_stream_of_somebody_is_written_to_and_read_and_nothing_else() {
    let server = RedisServer::start(&[]);
    let address = format!("redis://127.0.0.1:{}", server.port);
    for number in 0..50 {
        redis(server.port, &format!("XADD orders * customer {number} total 12"));
    }
    redis(server.port, "XGROUP CREATE orders billing $");
    redis(server.port, "SET precious 1");
    let systems = "{redis-streams: {stream: orders}}";
    let first = one(&scenario(systems, OPEN), &["--redis", &address]);
    assert_eq!((first.counts.lost, first.counts.broker_lost), (Some(0), Some(0)), "{first:#?}");
    assert_eq!(first.counts.delivered, first.counts.sent, "{first:#?}");
    let there = 50 + first.counts.sent.unwrap();
    assert_eq!(redis(server.port, "XLEN orders"), format!(":{there}"), "nothing is trimmed");
    let read = one(&scenario(systems, READ), &["--redis", &address]);
    assert_eq!(read.counts.delivered, Some(there), "{read:#?}");
    // The group of somebody else, and none of ours.
    assert_eq!(redis(server.port, "XINFO GROUPS orders"), "*1");
    assert_eq!(redis(server.port, "DBSIZE"), ":2");
    for (name, words) in [("order", "not there"), ("precious", "it is a string")] {
        let systems = format!("{{redis-streams: {{stream: {name}}}}}");
        let ended = run(&scenario(&systems, OPEN), &["--redis", &address], &[]);
        ended.with(3, &[words, "correct `stream`"]);
    }
}

/// Brokers that are started here have nothing that could be there already.
#[test]
#[ignore = "needs redis-server"]
fn what_is_there_already_is_not_looked_for_in_a_fresh_broker() {
    let ended = run(&scenario("{redis-streams: {stream: orders}}", OPEN), &[], &[]);
    ended.with(3, &["`orders`", "empty", "--redis"]);
}

/// What ends before anything is measured says each of these once and leaves no run behind.
fn refused_at_once(text: &str, args: &[&str], words: &[&str]) {
    let ended = run(text, args, &[]).with(3, words);
    for word in words {
        assert_eq!(ended.stderr.matches(word).count(), 1, "`{word}`: {}", ended.stderr);
    }
    assert!(!ended.results().join("runs").exists(), "{}", ended.stderr);
}

#[test]
#[ignore = "needs real brokers"]
fn what_is_missing_is_told_before_anything_is_measured_and_all_of_it() {
    let (_native, _broker, kafka) = kafka(3);
    let server = RedisServer::start(&[]);
    let redis = format!("redis://127.0.0.1:{}", server.port);
    let dead = ["--kafka", &kafka, "--redis", "redis://127.0.0.1:1"];
    let words = ["Redis at 127.0.0.1:1 cannot be used"];
    refused_at_once(&scenario("[kafka, redis-lists, redis-streams]", OPEN), &dead, &words);
    let systems = "{redis-lists: {}, redis-streams: {stream: order}, \
                    two: {system: redis-streams, stream: order, consume: {batch: 7}}, \
                    kafka: {topic: {name: orders, partitions: 4}}, \
                    none: {system: kafka, topic: {name: order}}}";
    refused_at_once(
        &scenario(systems, OPEN),
        &["--kafka", &kafka, "--redis", &redis],
        &[
            "redis-streams, two: use the stream `order` refused: it is not there",
            "kafka: use the topic `orders` refused: it has 3 partitions",
            "none: use the topic `order` refused: it is not there",
        ],
    );
}

/// What Kafka says of it stands there, and the key: before anything is measured where it runs
/// already, and as soon as it is asked where it is started here.
#[test]
#[ignore = "needs real brokers"]
fn a_topic_that_kafka_refuses_is_told_in_its_words_with_the_key() {
    let (_native, _broker, address) = kafka(1);
    for (topic, words) in [
        ("replicas: 3", ["only 1 broker(s) are registered", "correct `topic.replicas`"]),
        (
            "config: {retention.ms: banana}",
            [
                "Invalid value banana for configuration retention.ms",
                "correct `topic.config.retention.ms`",
            ],
        ),
        ("config: {nope: 1}", ["Unknown topic config name: nope", "correct `topic.config.nope`"]),
    ] {
        let systems = format!("{{redis-lists: {{}}, kafka: {{topic: {{{topic}}}}}}}");
        let server = RedisServer::start(&[]);
        let redis = format!("redis://127.0.0.1:{}", server.port);
        let args = ["--kafka", &address, "--redis", &redis];
        refused_at_once(&scenario(&systems, OPEN), &args, &words);
    }
    let systems = "{kafka: {topic: {config: {retention.ms: banana}}}}";
    let words = ["Invalid value banana", "correct `topic.config.retention.ms`"];
    run(&scenario(systems, OPEN), &[], &[]).with(3, &words);
}

#[test]
#[ignore = "needs real brokers"]
fn what_is_compacted_takes_messages_with_keys_and_that_is_told_before_the_load() {
    let mut config = SystemConfig::defaults(System::Kafka);
    config.broker.insert("log.cleanup.policy".into(), "compact".into());
    let (_native, _broker, address) = kafka_of(&config, "partitions: 2");
    let args = ["--kafka", &*address];
    for (topic, words) in [
        ("name: orders, partitions: 2", ["use the topic `orders`", "add `message: {key:"]),
        ("partitions: 2", ["make a topic refused", "cleanup.policy: delete"]),
    ] {
        let systems = format!("{{kafka: {{topic: {{{topic}}}}}}}");
        refused_at_once(&scenario(&systems, OPEN), &args, &words);
        let keyed = scenario(&systems, OPEN);
        run(&keyed.replace("size: 100B", "size: 100B, key: {count: 10}"), &args, &[]).measured();
    }
    let read = "{kafka: {topic: {name: orders, partitions: 2}}}";
    run(&scenario(read, READ), &args, &[]).measured();
    let deleted = "{kafka: {topic: {config: {cleanup.policy: delete}}}}";
    run(&scenario(deleted, OPEN), &args, &[]).measured();
}
