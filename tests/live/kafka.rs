//! The Kafka driver on a real broker that each test starts for itself; needs Java, and Maven or
//! `KAFKA_HOME`. `cargo test --test live kafka:: -- --ignored --test-threads 1`

use crate::support::harness::exe;
use brokerbench::clock::Clock;
use brokerbench::driver::{self, Audit, Driver, Incoming, Outcome, Outgoing, Publisher, Submitted};
use brokerbench::environment::{Broker, Environment, Native};
use brokerbench::model::System;
use brokerbench::scenario::{Cell, Load, Message, Transaction};
use brokerbench::units::{Bytes, Span};
use std::collections::BTreeSet;

const MESSAGES: u64 = 1_000_000;
const PARTITIONS: u16 = 4;

fn cell(subscriptions: u16) -> Cell {
    let load = Load {
        messages: Some(MESSAGES),
        subscriptions,
        connections: 2,
        batch: 10_000,
        backlog: Bytes(1 << 30),
        ..Load::closed(10_000)
    };
    let mut cell = Cell::plain(System::Kafka, load.brief(Span::from_secs(1)));
    cell.config.topic.partitions = PARTITIONS;
    cell.message = Message::random(100);
    cell
}

/// A driver and its broker, which goes when this is dropped.
pub struct Bench {
    pub driver: Box<dyn Driver>,
    pub clock: Clock,
    _broker: Box<dyn Broker>,
    _native: Native,
}

pub fn open(cell: &Cell) -> Bench {
    let mut native = Native::new(exe());
    let broker = native.start(&cell.config).unwrap();
    let clock = Clock::start();
    let target = broker.target("live", clock);
    Bench { driver: driver::open(cell, target).unwrap(), clock, _broker: broker, _native: native }
}

pub fn in_seconds(clock: Clock, seconds: u64) -> u64 {
    clock.now_ns() + seconds * 1_000_000_000
}

/// Connection and partition of a message: each pair is a lane with an order of its own.
fn lane(number: u64, cell: &Cell) -> (u16, u16) {
    let lane = number / 100 % u64::from(cell.lanes());
    ((lane / u64::from(PARTITIONS)) as u16, (lane % u64::from(PARTITIONS)) as u16)
}

fn publish(driver: &dyn Driver, cell: &Cell, clock: Clock) {
    let mut publisher = driver.publisher(0).unwrap();
    let mut free: Vec<u32> = (0..cell.load.in_flight).collect();
    let (mut sent, mut acked, mut completions) = (0, 0, Vec::new());
    let deadline = in_seconds(clock, 600);
    let mut payload = [0; 100];
    while acked < MESSAGES {
        assert!(clock.now_ns() < deadline, "{acked} acknowledged, {:?}", publisher.failures());
        while sent < MESSAGES {
            let Some(slot) = free.pop() else { break };
            payload[..8].copy_from_slice(&sent.to_be_bytes());
            let (connection, partition) = lane(sent, cell);
            let taken = publisher
                .submit(Outgoing {
                    slot,
                    connection,
                    partition,
                    payload: &payload,
                    ..Outgoing::default()
                })
                .unwrap();
            assert_eq!(taken, Submitted::Taken, "the in-flight limit binds first");
            sent += 1;
        }
        publisher.flush().unwrap();
        publisher.wait(in_seconds(clock, 1), &mut completions).unwrap();
        assert!(completions.iter().all(|completion| completion.outcome == Outcome::Acked));
        acked += completions.len() as u64;
        free.extend(completions.drain(..).map(|completion| completion.slot));
    }
}

/// Checks that each number comes once and in order within its lane.
struct Ledger<'a> {
    cell: &'a Cell,
    next: Vec<u64>,
    count: u64,
}

impl<'a> Ledger<'a> {
    fn new(cell: &'a Cell) -> Self {
        Self { cell, next: vec![0; usize::from(cell.lanes())], count: 0 }
    }
    fn add(&mut self, payload: &[u8]) {
        let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
        let (connection, partition) = lane(number, self.cell);
        let last = &mut self.next[usize::from(connection * PARTITIONS + partition)];
        assert!(number >= *last, "message {number} came behind {last}");
        *last = number + 1;
        self.count += 1;
    }
}

fn consume(driver: &dyn Driver, cell: &Cell, clock: Clock, subscription: u16) -> u64 {
    let mut subscriber = driver.subscriber(subscription, 0).unwrap();
    let mut ledger = Ledger::new(cell);
    let deadline = in_seconds(clock, 600);
    while ledger.count < MESSAGES && clock.now_ns() < deadline {
        let mut sink = |message: Incoming<'_>| ledger.add(message.payload);
        subscriber.receive(in_seconds(clock, 1), &mut sink).unwrap();
    }
    subscriber.close().unwrap();
    ledger.count
}

#[test]
#[ignore = "needs a broker"]
fn a_million_messages_reach_two_subscriptions_and_the_audit() {
    let cell = cell(2);
    let bench = open(&cell);
    let (driver, clock) = (&bench.driver, bench.clock);
    driver.prepare().unwrap();
    std::thread::scope(|scope| {
        let consumers: Vec<_> = (0..2)
            .map(|subscription| {
                let (driver, cell) = (&**driver, &cell);
                scope.spawn(move || consume(driver, cell, clock, subscription))
            })
            .collect();
        publish(&**driver, &cell, clock);
        for consumer in consumers {
            assert_eq!(consumer.join().unwrap(), MESSAGES);
        }
    });
    let mut ledger = Ledger::new(&cell);
    let audit = driver.audit(in_seconds(clock, 600), &mut |payload| ledger.add(payload)).unwrap();
    assert_eq!(
        (audit, ledger.count),
        (Audit::Retains { trimmed: false, unreadable: Vec::new() }, MESSAGES)
    );

    let description = driver.describe().unwrap();
    println!("{description:#?}\n{:#?}", driver.survives());
    assert_eq!(description.topic_config["min.insync.replicas"], "1");
    assert!(description.broker_config.contains_key("num.io.threads"));
    driver.clean_up().unwrap();
    driver.clean_up().unwrap();
}

fn transactional(messages: u32, abort: f64) -> Cell {
    let mut cell = cell(1);
    cell.load.connections = 1;
    let within = Span::from_millis(100);
    cell.config.transaction = Some(Transaction { messages, within, abort });
    cell
}

/// Half of them are aborted: they are in the log, as who reads everything sees, and nobody who
/// waits for commits is given one.
#[test]
#[ignore = "needs a broker"]
fn what_was_aborted_is_in_the_log_and_nobody_reads_it() {
    const SENT: u32 = 200;
    let cell = transactional(10, 0.5);
    let mut native = Native::new(exe());
    let broker = native.start(&cell.config).unwrap();
    let clock = Clock::start();
    let target = broker.target("live", clock);
    let driver = driver::open(&cell, target.clone()).unwrap();
    driver.prepare().unwrap();
    let mut publisher = driver.publisher(0).unwrap();
    let (mut sent, mut completions, mut acked) = (0, Vec::new(), BTreeSet::new());
    let (mut ended, deadline) = (0, in_seconds(clock, 60));
    while ended < SENT {
        assert!(clock.now_ns() < deadline, "{ended} ended: {:?}", publisher.failures());
        while sent < SENT {
            let (payload, partition) = (&sent.to_be_bytes(), sent as u16 % PARTITIONS);
            let message = Outgoing { slot: sent, partition, payload, ..Outgoing::default() };
            if publisher.submit(message).unwrap() == Submitted::Full {
                break;
            }
            sent += 1;
        }
        publisher.wait(in_seconds(clock, 1), &mut completions).unwrap();
        ended += completions.len() as u32;
        for completion in completions.drain(..) {
            match completion.outcome {
                Outcome::Acked => assert!(acked.insert(completion.slot)),
                outcome => assert_eq!(outcome, Outcome::Aborted),
            }
        }
    }
    drop(publisher);
    assert_eq!(acked.len() as u32, SENT / 2);
    let number = |payload: &[u8]| u32::from_be_bytes(payload[..4].try_into().unwrap());
    let mut delivered = BTreeSet::new();
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    let until = in_seconds(clock, 3);
    while clock.now_ns() < until {
        let mut sink = |message: Incoming<'_>| assert!(delivered.insert(number(message.payload)));
        subscriber.receive(until, &mut sink).unwrap();
    }
    subscriber.close().unwrap();
    assert_eq!(delivered, acked);
    let audited = |driver: &dyn Driver| {
        let mut found = BTreeSet::new();
        let mut sink = |payload: &[u8]| assert!(found.insert(number(payload)));
        driver.audit(in_seconds(clock, 60), &mut sink).unwrap();
        found
    };
    assert_eq!(audited(&*driver), acked);
    let mut plain = cell.clone();
    plain.config.transaction = None;
    let all = driver::open(&plain, target).unwrap();
    assert_eq!(audited(&*all), (0..SENT).collect(), "the others were really written");
    driver.clean_up().unwrap();
    broker.stop().unwrap();
}

/// The older of two producers with one id is fenced: it says so, and nothing of it is committed.
#[test]
#[ignore = "needs a broker"]
fn a_producer_that_comes_again_fences_the_one_before() {
    let cell = transactional(10, 0.0);
    let bench = open(&cell);
    let (driver, clock) = (&bench.driver, bench.clock);
    driver.prepare().unwrap();
    let send = |publisher: &mut dyn Publisher, payload: &[u8]| {
        let message = Outgoing { slot: 0, payload, ..Outgoing::default() };
        assert_eq!(publisher.submit(message).unwrap(), Submitted::Taken);
    };
    let mut old = driver.publisher(0).unwrap();
    send(&mut *old, b"of the old one");
    let mut new = driver.publisher(0).unwrap();
    let (mut completions, deadline) = (Vec::new(), in_seconds(clock, 90));
    let error = loop {
        match old.wait(in_seconds(clock, 1), &mut completions) {
            Err(error) => break error.to_string().to_lowercase(),
            Ok(()) => assert!(clock.now_ns() < deadline && completions.is_empty()),
        }
    };
    assert!(error.contains("fenced") || error.contains("epoch"), "{error}");
    send(&mut *new, b"of the new one");
    while completions.is_empty() {
        new.wait(in_seconds(clock, 1), &mut completions).unwrap();
    }
    assert_eq!(completions[0].outcome, Outcome::Acked);
    drop((old, new));
    let mut found = Vec::new();
    driver.audit(in_seconds(clock, 60), &mut |payload| found.push(payload.to_vec())).unwrap();
    assert_eq!(found, [b"of the new one".to_vec()]);
    driver.clean_up().unwrap();
}

/// What a consumer has processed stays acknowledged:
/// the next member of its group goes on behind it.
#[test]
#[ignore = "needs a broker"]
fn a_closed_consumer_has_committed() {
    for topics in [1, 2] {
        let mut cell = cell(1);
        (cell.config.topics, cell.config.topic.partitions) = (topics, 1);
        cell.load.connections = 1;
        let bench = open(&cell);
        let (driver, clock) = (&bench.driver, bench.clock);
        driver.prepare().unwrap();
        let mut publisher = driver.publisher(0).unwrap();
        let mut completions = Vec::new();
        for slot in 0..10 {
            let (payload, partition) = (&[slot as u8], slot as u16 % topics);
            let message = Outgoing { slot, partition, payload, ..Outgoing::default() };
            publisher.submit(message).unwrap();
        }
        while completions.len() < 10 {
            publisher.wait(in_seconds(clock, 5), &mut completions).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut subscriber = driver.subscriber(0, 0).unwrap();
            let until = in_seconds(clock, 2);
            while seen.len() < 10 || clock.now_ns() < until {
                subscriber.receive(until, &mut |message| seen.push(message.payload[0])).unwrap();
            }
            subscriber.close().unwrap();
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<u8>>(), "{topics} topics");
        driver.clean_up().unwrap();
    }
}

/// Consumers that join one after the other, more than there are partitions, and share the work.
#[test]
#[ignore = "needs a broker"]
fn five_consumers_share_four_partitions() {
    let mut cell = cell(1);
    cell.load.consumers = 5;
    let bench = open(&cell);
    let (driver, clock) = (&bench.driver, bench.clock);
    driver.prepare().unwrap();
    let mut consumers: Vec<_> =
        (0..5).map(|consumer| driver.subscriber(0, consumer).unwrap()).collect();
    println!("five joined after {} ms", clock.now_ns() / 1_000_000);
    publish(&**driver, &cell, clock);
    let mut shares = [0; 5];
    let deadline = in_seconds(clock, 600);
    while shares.iter().sum::<u64>() < MESSAGES && clock.now_ns() < deadline {
        for (consumer, share) in consumers.iter_mut().zip(&mut shares) {
            consumer.receive(clock.now_ns() + 1_000_000, &mut |_| *share += 1).unwrap();
        }
    }
    shares.sort_unstable();
    assert_eq!(shares, [0, MESSAGES / 4, MESSAGES / 4, MESSAGES / 4, MESSAGES / 4]);
    drop(consumers);
    driver.clean_up().unwrap();
}
