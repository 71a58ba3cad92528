//! The driver against librdkafka's mock cluster: real clients, real TCP, no broker.

mod transactions;

use super::driver::MOCK;
use super::{open, reflector};
use crate::access::Access;
use crate::clock::Clock;
use crate::driver::{
    Audit, Completion, Driver, Incoming, LargeClient, Outcome, Outgoing, Reflector, Routes,
    Submitted, Subscriber, Target,
};
use crate::model::System;
use crate::scenario::{Cell, Load, Message};
use crate::units::{Bytes, Span};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A closed loop of small messages over two partitions.
pub fn cell() -> Cell {
    let load = Load { messages: Some(10_000), backlog: Bytes(1 << 26), ..Load::closed(1024) };
    let mut cell = Cell::plain(System::Kafka, load.brief(Span::from_secs(1)));
    cell.config.topic.partitions = 2;
    cell.message = Message::random(100);
    cell
}

struct Bench {
    _reflector: Box<dyn Reflector>,
    driver: Box<dyn Driver>,
    clock: Clock,
}

fn bench(name: &str, cell: &Cell) -> Bench {
    let reflector = reflector().unwrap();
    let clock = Clock::start();
    let target = Target {
        addresses: reflector.addresses(),
        routes: Routes::default(),
        access: Access::default(),
        name: name.into(),
        clock,
    };
    let driver = open(cell, target).unwrap();
    driver.prepare().unwrap();
    Bench { _reflector: reflector, driver, clock }
}

fn after(clock: Clock, seconds: u64) -> u64 {
    clock.now_ns() + seconds * 1_000_000_000
}

#[test]
fn a_probe_gives_a_silent_broker_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = vec![listener.local_addr().unwrap().to_string()];
    let target = Target {
        addresses,
        routes: Routes::default(),
        access: Access::default(),
        name: "silent".into(),
        clock: Clock::start(),
    };
    let mut patient = cell();
    patient.load.connections = 3;
    patient.load.deadline = Some(Span::from_secs(60));
    let driver = open(&patient, target).unwrap();
    let begun = Instant::now();
    assert!(driver.probe_publisher(Duration::from_millis(200)).is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(50),
        "not the deadline of the load: {:?}",
        begun.elapsed()
    );
}

#[test]
fn a_probe_is_answered() {
    let bench = bench("probe", &cell());
    let mut probe = bench.driver.probe_publisher(Duration::from_secs(5)).unwrap();
    probe.submit(Outgoing { slot: 0, payload: b"from nobody", ..Outgoing::default() }).unwrap();
    let mut completions = Vec::new();
    probe.wait(after(bench.clock, 10), &mut completions).unwrap();
    assert_eq!(completions.first().map(|end| end.outcome), Some(Outcome::Acked));
}

/// Publishes `count` numbered messages, spread over partitions and connections,
/// and waits for their ends.
fn publish(bench: &Bench, cell: &Cell, count: u64) -> Vec<Completion> {
    let mut publisher = bench.driver.publisher(0).unwrap();
    let (mut all, mut some) = (Vec::new(), Vec::new());
    let deadline = after(bench.clock, 20);
    let mut sent = 0;
    while (all.len() as u64) < count && bench.clock.now_ns() < deadline {
        while sent < count && sent - (all.len() as u64) < u64::from(cell.load.in_flight) {
            let message = Outgoing {
                slot: (sent % u64::from(cell.load.in_flight)) as u32,
                connection: (sent % u64::from(cell.load.connections)) as u16,
                partition: (sent % u64::from(cell.config.partitions())) as u16,
                payload: &sent.to_be_bytes(),
                ..Outgoing::default()
            };
            match publisher.submit(message).unwrap() {
                Submitted::Taken => sent += 1,
                Submitted::Full => break,
            }
        }
        publisher.flush().unwrap();
        publisher.wait(deadline, &mut some).unwrap();
        all.append(&mut some);
    }
    assert!(publisher.failures().is_empty(), "{:?}", publisher.failures());
    all
}

fn receive(bench: &Bench, subscriber: &mut Box<dyn Subscriber>, count: usize) -> Vec<u64> {
    let deadline = after(bench.clock, 20);
    let mut numbers = Vec::new();
    while numbers.len() < count && bench.clock.now_ns() < deadline {
        let mut sink = |message: Incoming<'_>| {
            assert!(message.received_ns <= bench.clock.now_ns());
            numbers.push(u64::from_be_bytes(message.payload.try_into().unwrap()));
        };
        subscriber.receive(bench.clock.now_ns() + 50_000_000, &mut sink).unwrap();
    }
    numbers
}

/// Every number once, and in order within each of `lanes` lanes.
fn whole_and_in_order(numbers: &[u64], count: u64, lanes: u64) {
    for lane in 0..lanes {
        let of_lane: Vec<u64> =
            numbers.iter().copied().filter(|number| number % lanes == lane).collect();
        let expected: Vec<u64> = (0..count).filter(|number| number % lanes == lane).collect();
        assert_eq!(of_lane, expected, "lane {lane}");
    }
    assert_eq!(numbers.len() as u64, count);
}

#[test]
fn everything_published_is_acked_delivered_to_each_subscription_and_audited() {
    let mut cell = cell();
    cell.load.subscriptions = 2;
    let bench = bench("t-whole", &cell);
    let mut subscribers: Vec<_> = (0..2).map(|s| bench.driver.subscriber(s, 0).unwrap()).collect();

    let completions = publish(&bench, &cell, 10_000);
    assert_eq!(completions.len(), 10_000);
    assert!(completions.iter().all(|c| c.outcome == Outcome::Acked && c.at_ns > 0));

    for subscriber in &mut subscribers {
        whole_and_in_order(&receive(&bench, subscriber, 10_000), 10_000, 2);
        subscriber.close().unwrap();
    }
    let mut audited = Vec::new();
    let mut sink = |payload: &[u8]| audited.push(u64::from_be_bytes(payload.try_into().unwrap()));
    let audit = bench.driver.audit(after(bench.clock, 20), &mut sink).unwrap();
    assert_eq!(audit, Audit::Retains { trimmed: false, unreadable: Vec::new() });
    whole_and_in_order(&audited, 10_000, 2);
}

#[test]
fn several_topics_are_one_row_of_partitions_each_in_order() {
    let mut cell = cell();
    cell.config.topics = 3;
    let bench = bench("t-topics", &cell);
    let mut subscriber = bench.driver.subscriber(0, 0).unwrap();
    assert_eq!(publish(&bench, &cell, 6000).len(), 6000);
    whole_and_in_order(&receive(&bench, &mut subscriber, 6000), 6000, 6);
    subscriber.close().unwrap();
    let mut audited = Vec::new();
    let mut sink = |payload: &[u8]| audited.push(u64::from_be_bytes(payload.try_into().unwrap()));
    bench.driver.audit(after(bench.clock, 20), &mut sink).unwrap();
    whole_and_in_order(&audited, 6000, 6);
    let place = |key: &[u8]| bench.driver.partition_of(key, 6);
    let places: BTreeSet<u16> = (0..200u32).map(|key| place(&key.to_be_bytes())).collect();
    assert_eq!(places, (0..6).collect());
}

#[test]
fn connections_are_spread_and_no_slot_is_lost() {
    let mut cell = cell();
    cell.load.connections = 3;
    let bench = bench("t-connections", &cell);
    let mut slots: Vec<u32> =
        publish(&bench, &cell, 1024).iter().map(|completion| completion.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..1024).collect::<Vec<_>>());
}

/// More consumers than partitions, joined one after the other on one thread: none may hang, and
/// the partitions are shared. Rounds, because the mock cluster puts a member out that misses a
/// heartbeat on a busy machine: one of the others has everything until that member is back.
#[test]
fn consumers_of_one_subscription_share_it() {
    let mut cell = cell();
    cell.load.consumers = 3;
    // The mock cluster makes a joining member wait for the others by the session time-out, not for
    // their answer.
    cell.config.client.insert("session.timeout.ms".into(), "6000".into());
    cell.config.client.insert("heartbeat.interval.ms".into(), "200".into());
    let bench = bench("t-share", &cell);
    let mut consumers: Vec<_> = (0..3).map(|c| bench.driver.subscriber(0, c).unwrap()).collect();
    let deadline = after(bench.clock, 90);
    let mut shares = [0; 3];
    while shares != [0, 100, 100] {
        assert!(bench.clock.now_ns() < deadline, "no round is shared: {shares:?}");
        publish(&bench, &cell, 200);
        let mut counts = [0; 3];
        let mut missing: BTreeSet<u64> = (0..200).collect();
        while !missing.is_empty() && bench.clock.now_ns() < deadline {
            for (consumer, count) in consumers.iter_mut().zip(&mut counts) {
                let mut sink = |message: Incoming<'_>| {
                    *count += 1;
                    missing.remove(&u64::from_be_bytes(message.payload.try_into().unwrap()));
                };
                consumer.receive(bench.clock.now_ns() + 10_000_000, &mut sink).unwrap();
            }
        }
        assert!(missing.is_empty(), "{} of 200 reached nobody", missing.len());
        counts.sort_unstable();
        shares = counts;
    }
}

#[test]
fn waiting_ends_in_time_and_a_single_ack_ends_it_early() {
    let mut cell = cell();
    cell.config.client.insert("linger.ms".into(), "0".into());
    let bench = bench("t-wait", &cell);
    let mut publisher = bench.driver.publisher(0).unwrap();
    let mut completions = Vec::new();

    let until = bench.clock.now_ns() + 20_000_000;
    publisher.wait(until, &mut completions).unwrap();
    assert!(completions.is_empty() && bench.clock.now_ns() >= until);

    publisher.submit(Outgoing { slot: 7, payload: b"one", ..Outgoing::default() }).unwrap();
    let until = after(bench.clock, 60);
    publisher.wait(until, &mut completions).unwrap();
    let now = bench.clock.now_ns();
    assert_eq!(completions.len(), 1);
    assert_eq!((completions[0].slot, completions[0].outcome), (7, Outcome::Acked));
    assert!(now < until && completions[0].at_ns <= now);
}

#[test]
fn a_message_above_the_limit_fails_and_says_why() {
    let mut cell = cell();
    cell.config.client.insert("message.max.bytes".into(), "1000".into());
    let bench = bench("t-limit", &cell);
    let mut publisher = bench.driver.publisher(0).unwrap();
    let mut completions = Vec::new();
    publisher
        .submit(Outgoing { slot: 3, partition: 1, payload: &[0; 2000], ..Outgoing::default() })
        .unwrap();
    publisher.wait(after(bench.clock, 20), &mut completions).unwrap();
    assert_eq!((completions[0].slot, completions[0].outcome), (3, Outcome::Failed));
    assert_eq!(publisher.failures(), [("MessageSizeTooLarge".to_owned(), 1)].into());
}

#[test]
fn nobody_listening_is_an_error_in_time() {
    let mut cell = cell();
    cell.config.client.insert("socket.connection.setup.timeout.ms".into(), "1000".into());
    let driver = |address: &str| {
        let target = Target {
            addresses: vec![address.into()],
            routes: Routes::default(),
            access: Access::default(),
            name: "t-nobody".into(),
            clock: Clock::start(),
        };
        open(&cell, target).unwrap()
    };
    let error = driver("127.0.0.1:1").clean_up().unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

#[test]
fn the_description_names_client_and_settings() {
    let cell = cell();
    let bench = bench("t-describe", &cell);
    let description = bench.driver.describe().unwrap();
    assert!(
        description.client_version.starts_with("librdkafka 2."),
        "{}",
        description.client_version
    );
    assert_eq!(description.broker_version, MOCK);
    assert_eq!(description.client_config["producer.batch.num.messages"], "1000");
    assert!(bench.driver.acknowledges());
}

/// A broker that dies leaves messages unanswered, not the harness: waiting, closing and dropping
/// all come back.
#[test]
fn a_dead_broker_does_not_hold_anybody() {
    let cell = cell();
    let Bench { _reflector: reflector, driver, clock } = bench("t-dead", &cell);
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    let mut publisher = driver.publisher(0).unwrap();
    drop(reflector);

    for slot in 0..10 {
        publisher.submit(Outgoing { slot, payload: b"lost", ..Outgoing::default() }).unwrap();
    }
    let (mut completions, mut received) = (Vec::new(), 0);
    publisher.wait(clock.now_ns() + 300_000_000, &mut completions).unwrap();
    assert!(completions.iter().all(|completion| completion.outcome != Outcome::Acked));
    subscriber.receive(clock.now_ns() + 300_000_000, &mut |_| received += 1).unwrap();
    assert_eq!(received, 0);
    drop(publisher);
    let _ = subscriber.close();
    drop(subscriber);
}

/// Under a deadline nothing ends but messages: what could not be sent by then has failed, and all
/// goes on afterwards.
#[test]
fn an_outage_ends_messages_at_their_deadline_and_nobody_else() {
    let mock = rdkafka::mocking::MockCluster::new(1).unwrap();
    mock.create_topic("t-outage", 2, 1).unwrap();
    let mut cell = cell();
    cell.load.deadline = Some(Span(1_500_000_000));
    cell.config.client.insert("linger.ms".into(), "0".into());
    let (addresses, clock) = (vec![mock.bootstrap_servers()], Clock::start());
    let target = Target {
        addresses,
        routes: Routes::default(),
        access: Access::default(),
        name: "t-outage".into(),
        clock,
    };
    let driver = open(&cell, target).unwrap();
    let mut publisher = driver.publisher(0).unwrap();
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    let mut send = |range: std::ops::Range<u64>| {
        for number in range.clone() {
            let (slot, partition) = (number as u32, (number % 2) as u16);
            let message =
                Outgoing { slot, partition, payload: &number.to_be_bytes(), ..Outgoing::default() };
            assert_eq!(publisher.submit(message).unwrap(), Submitted::Taken);
        }
        let (mut all, limit) = (Vec::new(), after(clock, 60));
        while (all.len() as u64) < range.end - range.start && clock.now_ns() < limit {
            publisher.wait(after(clock, 1), &mut all).unwrap();
        }
        let outcomes: Vec<Outcome> = all.into_iter().map(|completion| completion.outcome).collect();
        assert_eq!(outcomes.len() as u64, range.end - range.start);
        (outcomes, publisher.failures(), publisher.retries())
    };
    assert_eq!(send(0..10).0, [Outcome::Acked; 10]);
    mock.broker_down(1).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let begun = clock.now_ns();
    let (outcomes, failures, retries) = send(10..20);
    let took = clock.now_ns() - begun;
    assert_eq!(outcomes, [Outcome::Failed; 10], "{failures:?}");
    assert_eq!(failures, [("MessageTimedOut".to_owned(), 10)].into());
    assert!(retries["BrokerTransportFailure"] >= 1, "{retries:?}");
    assert!(took > 1_400_000_000, "{took}");
    let mut seen = Vec::new();
    let mut receive = |seen: &mut Vec<u64>| {
        let mut sink = |message: Incoming<'_>| {
            seen.push(u64::from_be_bytes(message.payload.try_into().unwrap()))
        };
        subscriber.receive(clock.now_ns() + 50_000_000, &mut sink).unwrap();
    };
    receive(&mut seen);
    mock.broker_up(1).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(send(20..30).0, [Outcome::Acked; 10]);
    let limit = after(clock, 20);
    while seen.len() < 20 && clock.now_ns() < limit {
        receive(&mut seen);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).chain(20..30).collect::<Vec<_>>());
}

#[test]
fn requests_are_counted_and_what_a_stalled_consumer_misses_is_seen() {
    let mut cell = cell();
    cell.load.in_flight = 8;
    let bench = bench("t-watched", &cell);
    let mut counted = bench.driver.counted(0, 0).unwrap();
    let mut stalled = bench.driver.stalled(1).unwrap();
    assert_eq!((stalled.ask)().unwrap().bytes, 0);
    let before = (counted.ask)().unwrap();
    publish(&bench, &cell, 40);
    whole_and_in_order(&receive(&bench, &mut counted.subscriber, 40), 40, 2);
    let sent = (counted.ask)().unwrap() - before;
    assert!(sent.fetch > 0 && sent.all() >= sent.fetch, "{sent:?}");
    assert_eq!((stalled.ask)().unwrap().bytes, 40 * cell.message.size.0);
    counted.subscriber.close().unwrap();
}

/// Both clients, though the mock cluster is no broker: what they send it reads, and what it stored
/// they read.
#[test]
fn a_large_message_comes_back_by_either_client() {
    let mut cell = cell();
    cell.config.topic.partitions = 1;
    let bench = bench("t-large", &cell);
    for client in [LargeClient::Usual, LargeClient::Second] {
        let mut large = bench.driver.large(client).unwrap();
        for size in [1, 100, 900_000] {
            let payload: Vec<u8> = (0..size as u32).map(|n| (n % 251) as u8).collect();
            let trip = large.round_trip(&payload, after(bench.clock, 30));
            let times =
                trip.end.unwrap_or_else(|refusal| panic!("{client:?}, {size} B: {refusal}"));
            assert!(times.acked <= times.received && trip.wire_bytes.unwrap() > size, "{client:?}");
        }
    }
}
