//! Kafka of three nodes, and brokers that are killed under load and started again on their data.
//! Needs Java, Maven (or `KAFKA_HOME`) and redis-server: `cargo test --test live nodes:: --
//! --ignored --test-threads 1`

use crate::support::harness::exe;
use crate::support::program::{run, send, start};
use brokerbench::clock::Clock;
use brokerbench::driver;
use brokerbench::engine::CellRun;
use brokerbench::environment::{Environment, Native, usage};
use brokerbench::inject::Shared;
use brokerbench::result::{CellSummary, Status};
use brokerbench::scenario::{self, Overrides};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

const MESSAGES: u64 = 10_000;

#[test]
#[ignore = "needs real brokers"]
fn three_nodes_take_and_return_every_message_and_a_dead_one_is_named() {
    let text = format!(
        "schema: 1\nname: t\nquestion: Q?\nprimary: goodput\n\
         systems: {{kafka-3: {{system: kafka, nodes: 3, topic: {{partitions: 2, replicas: 3}}, \
         client: {{acks: all}}}}}}\n\
         load: {{model: closed, messages: {MESSAGES}, in-flight: 500}}\nmessage: {{size: 1KiB}}\n"
    );
    let scenario = scenario::from_text("t", &text, &Overrides::default()).unwrap();
    let cell = scenario.cells().remove(0);
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell.config).unwrap();
    let (pids, clock) = (broker.pids(), Clock::start());
    eprintln!("three nodes answer after {:.1} s", broker.started_in_ns().unwrap() as f64 / 1e9);
    assert_eq!((pids.len(), broker.addresses().len()), (3, 3));
    for pid in &pids {
        eprintln!("resident: {} MB", usage(*pid).unwrap().rss_bytes / 1_000_000);
    }
    let driver = driver::open(&cell, broker.target("live-three", clock)).unwrap();
    let shared: Shared<'_> = Mutex::new(broker.as_mut());
    let run = CellRun { run: 7, broker: Some(&shared), ..CellRun::new(&cell, clock) };
    let record = run.run(driver.as_ref()).unwrap().record;
    let survives = &record.survives;
    assert!(survives.node_loss && survives.copies == 3, "{survives:?}");
    let counts = &record.counts;
    assert_eq!((counts.acked, counts.delivered), (Some(MESSAGES), Some(MESSAGES)), "{record:#?}");
    assert_eq!((counts.lost, counts.broker_lost, counts.duplicate), (Some(0), Some(0), Some(0)));
    assert!(
        record.resources.broker_peak_rss_bytes > Some(600_000_000),
        "of all three: {:?}",
        record.resources
    );
    let description = driver.describe().unwrap();
    assert_eq!(description.topic_config["min.insync.replicas"], "2");
    assert_eq!(description.broker_config["brokers"], "3");

    send(pids[1], Signal::KILL);
    let begun = std::time::Instant::now();
    let error = loop {
        match broker.check() {
            Err(error) => break error.to_string(),
            Ok(()) => assert!(begun.elapsed() < Duration::from_secs(60), "nobody noticed"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(error.contains("node 2 (127.0.0.1:"), "{error}");
    broker.stop().unwrap();
    assert!(pids.iter().all(|pid| usage(*pid).is_none()));
}

/// A load whose only node is killed, as `faults` says.
fn scenario(systems: &str, seconds: u32, faults: &str) -> String {
    format!(
        "schema: 1\nname: live\nquestion: What is gone after a kill?\n\
         primary: counts.broker_lost\nguarantee: none\n\
         systems: {systems}\nmessage: {{size: 200B}}\n\
         faults: [{{kind: kill, target: node, at: 1s, {faults}}}]\n\
         load: {{model: open, rate: 2k/s, warm-up: 1s, warm-up-limit: 3s, in-flight: 262144, \
         deadline: 30s, drain: 15s, duration: {seconds}s}}\n"
    )
}

/// The cell of each label.
fn killed(systems: &str, seconds: u32, faults: &str) -> BTreeMap<String, CellSummary> {
    run(&scenario(systems, seconds, faults), &[], &[])
        .measured()
        .cells
        .into_iter()
        .map(|cell| (cell.label.clone(), cell))
        .collect()
}

#[test]
#[ignore = "needs real brokers"]
fn redis_keeps_after_a_kill_what_its_settings_promise() {
    let found = killed(
        "{redis-streams: {broker: {appendonly: yes, appendfsync: always}, maxlen: none}, \
          none: {system: redis-streams, maxlen: none}, \
          redis-lists: {broker: {appendonly: yes, appendfsync: \"no\"}, \
          consume: {mode: reliable}}, redis-pubsub: {}}",
        17,
        "for: 0s, every: 7s, times: 2",
    );
    for (label, cell) in &found {
        assert_eq!(cell.faults.len(), 2, "{label}");
        assert!(
            cell.faults.iter().all(|fault| fault.rto_publish().is_some()),
            "{label}: {:#?}",
            cell.faults
        );
        for fault in &cell.faults {
            match label.as_str() {
                "none" => {
                    assert!(fault.rpo_messages > Some(0) && fault.rpo_ns > Some(0), "{fault:#?}")
                }
                "redis-pubsub" => {
                    assert_eq!(fault.rpo_messages, None, "its replies promise nothing")
                }
                _ => assert_eq!((fault.rpo_messages, fault.rpo_ns), (Some(0), Some(0)), "{label}"),
            }
        }
    }
}

#[test]
#[ignore = "needs real brokers"]
fn kafka_keeps_every_acknowledged_message_after_a_kill() {
    let found = killed("{kafka: {topic: {partitions: 2}}}", 40, "for: 0s");
    let (cell, fault) = (&found["kafka"], &found["kafka"].faults[0]);
    assert!(cell.counts.acked > Some(0) && fault.rto_publish().is_some(), "{fault:#?}");
    assert_eq!((fault.rpo_messages, cell.counts.broker_lost), (Some(0), Some(0)));
}

#[test]
#[ignore = "needs real brokers"]
fn ctrl_c_between_kill_and_restart_leaves_nothing() {
    let mut running = start(&scenario("[redis-lists]", 70, "for: 60s"), &[], &[]);
    running.await_words("redis-lists base block 1\n");
    let broker = running.broker("redis-server");
    let begun = std::time::Instant::now();
    while usage(broker).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it was never killed");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.signal(Signal::INT);
    let ended = running.end().with(130, &["interrupted"]);
    assert_eq!(ended.summary().status, Status::Interrupted);
}
