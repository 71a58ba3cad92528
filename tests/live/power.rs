//! Brokers whose power fails (simulated), and whose disks are slow or full: real redis-server and
//! Kafka with the library of `preload/shim.c` loaded. Needs Java, Maven (or `KAFKA_HOME`) and
//! redis-server: `cargo test --test live power:: -- --ignored --test-threads 1`

use crate::support::harness::exe;
use crate::support::program::run;
use brokerbench::clock::Clock;
use brokerbench::driver::{self, Driver, DriverError, Outcome, Outgoing, Publisher};
use brokerbench::environment::{Broker, Environment, EnvironmentError, Native};
use brokerbench::fault::disk::{DiskFault, Lost};
use brokerbench::result::CellSummary;
use brokerbench::scenario::{self, Cell, Overrides};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Whatever has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// The cell of each label, after its nodes have lost power so often.
fn powerless(systems: &str, seconds: u32, faults: &str) -> BTreeMap<String, CellSummary> {
    let text = format!(
        "schema: 1\nname: live\nquestion: What is gone when the power fails?\n\
         primary: counts.broker_lost\nguarantee: none\ncross-class: Each says what it keeps.\n\
         systems: {systems}\nmessage: {{size: 200B}}\n\
         faults: [{{kind: power-loss, target: all, at: 2s, for: 0s{faults}}}]\n\
         load: {{model: open, rate: 5k/s, warm-up: 1s, warm-up-limit: 3s, in-flight: 262144, \
         deadline: 30s, drain: 15s, duration: {seconds}s}}\n"
    );
    run(&text, &[], &[])
        .measured()
        .cells
        .into_iter()
        .map(|cell| (cell.label.clone(), cell))
        .collect()
}

#[test]
#[ignore = "needs real brokers"]
fn redis_keeps_what_it_synced() {
    let found = powerless(
        "{redis-streams: {broker: {appendonly: yes, appendfsync: always}, maxlen: none}, \
          everysec: {system: redis-streams, \
          broker: {appendonly: yes, appendfsync: everysec}, maxlen: none}, \
          no: {system: redis-streams, \
          broker: {appendonly: yes, appendfsync: \"no\"}, maxlen: none}, \
          none: {system: redis-streams, maxlen: none}}",
        18,
        ", every: 7s, times: 2",
    );
    for (label, cell) in &found {
        for fault in &cell.faults {
            let lost = fault.rpo_messages.unwrap();
            match label.as_str() {
                "redis-streams" => assert_eq!(lost, 0, "{fault:#?}"),
                // Once a second, as far as the disk lets it.
                "everysec" => {}
                _ => assert!(lost > 0, "{label}: all since the last loss: {fault:#?}"),
            }
        }
        assert_eq!(cell.faults.len(), 2, "{label}");
    }
    assert!(found["everysec"].counts.broker_lost > Some(0));
}

#[test]
#[ignore = "needs real brokers"]
fn kafka_keeps_nothing_unless_it_is_told_to_sync() {
    let found = powerless(
        "{kafka: {client: {acks: all}}, \
          flushed: {system: kafka, topic: {config: {flush.messages: \"1\"}}, client: {acks: all}}, \
          kafka-3: {system: kafka, nodes: 3, topic: {replicas: 3}, client: {acks: all}}}",
        60,
        "",
    );
    let lost = |label: &str| found[label].faults[0].rpo_messages.unwrap();
    assert!(lost("kafka") > 0);
    assert_eq!(lost("flushed"), 0);
    assert!(lost("kafka-3") > 0, "three copies are lost when the power of all three nodes fails");
}

/// A broker with the library loaded, and a driver of it.
struct Bench {
    clock: Clock,
    driver: Box<dyn Driver>,
    broker: Box<dyn Broker>,
    _native: Native,
}

fn cell(systems: &str) -> Cell {
    let text = format!(
        "schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\n\
         load: {{model: open, rate: 1k/s, in-flight: 1}}\nmessage: {{size: 1KiB}}\n"
    );
    let scenario = scenario::from_text("t", &text, &Overrides::default()).unwrap();
    let mut cell = scenario.cells().remove(0);
    cell.config.preloaded = true;
    cell
}

impl Bench {
    fn start(systems: &str) -> Self {
        let (cell, clock) = (cell(systems), Clock::start());
        let mut native = Native::new(exe());
        let broker = native.start(&cell.config).unwrap();
        let target = broker.target("live-disk", clock);
        let driver = driver::open(&cell, target).unwrap();
        driver.prepare().unwrap();
        Self { clock, driver, broker, _native: native }
    }

    /// One message after the other: how each ended and how long it took.
    fn publish(
        &self,
        publisher: &mut dyn Publisher,
        count: u32,
    ) -> Result<Vec<(Outcome, Duration)>, DriverError> {
        let (mut ended, mut completions) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (begun, until_ns) =
                (self.clock.now_ns(), self.clock.now_ns() + PATIENCE.as_nanos() as u64);
            publisher.submit(Outgoing {
                slot: 0,
                payload: &[b'.'; 1024],
                ..Outgoing::default()
            })?;
            publisher.flush()?;
            while completions.is_empty() && self.clock.now_ns() < until_ns {
                publisher.wait(until_ns, &mut completions)?;
            }
            let completion = completions.pop().expect("an answer");
            ended.push((completion.outcome, Duration::from_nanos(completion.at_ns - begun)));
        }
        Ok(ended)
    }

    fn median(&self, publisher: &mut dyn Publisher) -> Duration {
        let mut ended = self.publish(publisher, 20).unwrap();
        assert!(ended.iter().all(|(outcome, _)| *outcome == Outcome::Acked), "{ended:?}");
        ended.sort_by_key(|(_, took)| *took);
        ended[10].1
    }
}

const EVERYSEC: &str = "{redis-streams: {broker: {appendonly: yes, appendfsync: everysec}}}";
const NEVER: &str = "{redis-streams: {broker: {appendonly: yes, appendfsync: \"no\"}}}";
const ALWAYS: &str = "{redis-streams: {broker: {appendonly: yes, appendfsync: always}}}";

#[test]
#[ignore = "needs real brokers"]
fn a_full_disk_makes_redis_refuse_until_there_is_room() {
    let mut bench = Bench::start(EVERYSEC);
    let mut publisher = bench.driver.publisher(0).unwrap();
    let acked = |ended: &[(Outcome, Duration)]| {
        ended.iter().filter(|(how, _)| *how == Outcome::Acked).count()
    };
    assert_eq!(acked(&bench.publish(publisher.as_mut(), 20).unwrap()), 20);
    bench.broker.faultable().unwrap().set_disk(0, DiskFault::Full { room: 50 * 1024 }).unwrap();
    let ended = bench.publish(publisher.as_mut(), 200).unwrap();
    let fit = acked(&ended);
    eprintln!(
        "{fit} of 200 fit; {:?}; {:?}",
        publisher.failures(),
        bench.broker.faultable().unwrap().disk(0).unwrap()
    );
    assert!((30..60).contains(&fit), "{fit}");
    assert!(
        publisher.failures().keys().any(|why| why.contains("MISCONF")),
        "{:?}",
        publisher.failures()
    );
    let seen = bench.broker.faultable().unwrap().disk(0).unwrap();
    assert!(seen.arrived && seen.refused > 0, "{seen:?}");
    bench.broker.check().unwrap();

    bench.broker.faultable().unwrap().set_disk(0, DiskFault::None).unwrap();
    let begun = Instant::now();
    while acked(&bench.publish(publisher.as_mut(), 1).unwrap()) == 0 {
        assert!(begun.elapsed() < PATIENCE, "it never recovers");
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("takes messages again {:.2?} after there is room", begun.elapsed());
}

/// Redis writes its snapshots by another way than its append-only file, and in a child.
#[test]
#[ignore = "needs real brokers"]
fn a_full_disk_fails_the_snapshots_of_redis() {
    let mut bench = Bench::start("{redis-streams: {broker: {save: 1 1, appendonly: \"no\"}}}");
    let mut publisher = bench.driver.publisher(0).unwrap();
    bench.publish(publisher.as_mut(), 20).unwrap();
    bench.broker.faultable().unwrap().set_disk(0, DiskFault::Full { room: 0 }).unwrap();
    let begun = Instant::now();
    while !publisher.failures().keys().any(|why| why.contains("MISCONF")) {
        bench.publish(publisher.as_mut(), 1).unwrap();
        let mut told = || {
            format!("{:?} {}", bench.broker.faultable().unwrap().disk(0), bench.broker.log_tail(5))
        };
        assert!(begun.elapsed() < PATIENCE, "{}", told());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(bench.broker.faultable().unwrap().disk(0).unwrap().refused > 0);
}

#[test]
#[ignore = "needs real brokers"]
fn a_full_disk_ends_kafka() {
    let mut bench = Bench::start("{kafka: {client: {acks: all, message.timeout.ms: 3000}}}");
    let mut publisher = bench.driver.publisher(0).unwrap();
    bench.publish(publisher.as_mut(), 20).unwrap();
    bench.broker.faultable().unwrap().set_disk(0, DiskFault::Full { room: 50 * 1024 }).unwrap();
    let begun = Instant::now();
    let died = loop {
        let _ = bench.publish(publisher.as_mut(), 1);
        match bench.broker.check() {
            Err(error @ EnvironmentError::Died { .. }) => break error.to_string(),
            _ => assert!(
                begun.elapsed() < PATIENCE,
                "{:?}",
                bench.broker.faultable().unwrap().disk(0)
            ),
        }
    };
    eprintln!("gone after {:.2?}: {died}", begun.elapsed());
    assert!(bench.broker.faultable().unwrap().disk(0).unwrap().refused > 0);
    // Half a batch lies at the end of its log.
    bench.broker.faultable().unwrap().set_disk(0, DiskFault::None).unwrap();
    bench.broker.faultable().unwrap().restart().unwrap();
    bench.broker.check().unwrap();
}

#[test]
#[ignore = "needs real brokers"]
fn a_slow_disk_is_felt_where_each_write_is_synced() {
    let slow = DiskFault::Slow { sync: Duration::from_millis(50) };
    let mut bench = Bench::start(ALWAYS);
    let mut publisher = bench.driver.publisher(0).unwrap();
    let before = bench.median(publisher.as_mut());
    bench.broker.faultable().unwrap().set_disk(0, slow).unwrap();
    let during = bench.median(publisher.as_mut());
    let seen = bench.broker.faultable().unwrap().disk(0).unwrap();
    bench.broker.faultable().unwrap().set_disk(0, DiskFault::None).unwrap();
    let healed = bench.broker.faultable().unwrap().disk(0).unwrap();
    let after = bench.median(publisher.as_mut());
    eprintln!("always: {before:.2?}, slow {during:.2?}, healed {after:.2?}; {seen:?}");
    assert!(seen.arrived && seen.delayed >= 20, "{seen:?}");
    assert!(during >= Duration::from_millis(50));
    assert_eq!(
        bench.broker.faultable().unwrap().disk(0).unwrap().delayed,
        healed.delayed,
        "nothing is slowed any more"
    );
}

#[test]
#[ignore = "needs real brokers"]
fn what_a_loss_of_power_cuts_is_told_file_by_file() {
    let mut bench = Bench::start(NEVER);
    let mut publisher = bench.driver.publisher(0).unwrap();
    bench.publish(publisher.as_mut(), 50).unwrap();
    let Lost { files } = bench.broker.faultable().unwrap().lose_power(&[0]).unwrap();
    eprintln!("{files:#?}");
    let [cut] = files.as_slice() else { panic!("{files:?}") };
    assert!(cut.path.starts_with("data/appendonlydir") && cut.to < cut.from, "{cut:?}");
    assert!(bench.broker.pids().is_empty());
    bench.broker.check().unwrap();
    bench.broker.faultable().unwrap().restart().unwrap();
    bench.driver.publisher(0).unwrap();
}

#[test]
#[ignore = "needs real brokers"]
fn a_broker_without_the_library_says_so_before_it_is_killed() {
    let mut native = Native::new(exe());
    let mut config = cell(EVERYSEC).config;
    config.preloaded = false;
    let mut broker = native.start(&config).unwrap();
    let error = broker.faultable().unwrap().lose_power(&[0]).unwrap_err().to_string();
    assert!(error.contains("without the library"), "{error}");
    assert_eq!(broker.pids().len(), 1);
    broker.check().unwrap();
}
