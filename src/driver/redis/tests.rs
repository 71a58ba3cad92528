//! The drivers against the loopback reflector: every message once, in order, on every system and
//! mode; and against scripted servers.

use super::load::resilient::testing::{Act, Asked, Scripted, reply};
use super::*;
use crate::access::Access;
use crate::clock::Clock;
use crate::driver::{
    Audit, Completion, Driver, DriverError, Incoming, Outcome, Outgoing, Publisher, Reflector,
    Routes, Submitted, Subscriber, Target,
};
use crate::model::System;
use crate::scenario::{Cell, ConsumeMode, Load, Message, Reply, SystemConfig, WaitAof};
use crate::units::{Bytes, Span};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

pub fn cell(system: System) -> Cell {
    let load = Load { connections: 3, batch: 16, backlog: Bytes(1 << 20), ..Load::closed(48) };
    Cell {
        config: SystemConfig { keys: 2, ..SystemConfig::defaults(system) },
        message: Message::random(100),
        ..Cell::plain(system, load.brief(Span::from_secs(1)))
    }
}

pub fn target(addresses: Vec<String>) -> Target {
    Target {
        addresses,
        routes: Routes::default(),
        access: Access::default(),
        name: "test".into(),
        clock: Clock::start(),
    }
}

/// Keeps `in_flight` slots busy until `messages` are acknowledged; message n goes to partition n
/// mod 2 over connection n mod 3 with n as its payload.
fn publish(cell: &Cell, publisher: &mut dyn Publisher, clock: &Clock, messages: u32) -> u32 {
    let mut free: Vec<u32> = (0..cell.load.in_flight).collect();
    let (mut next, mut acked, mut completions) = (0u32, 0, vec![]);
    let deadline = clock.now_ns() + 20 * SECOND;
    while acked < messages && clock.now_ns() < deadline {
        while next < messages
            && let Some(slot) = free.pop()
        {
            let (connection, partition) =
                ((next % 3) as u16, (next % u32::from(cell.config.keys)) as u16);
            let mut payload = [b'.'; 100];
            payload[..4].copy_from_slice(&next.to_le_bytes());
            match publisher
                .submit(Outgoing {
                    slot,
                    connection,
                    partition,
                    payload: &payload,
                    ..Outgoing::default()
                })
                .unwrap()
            {
                Submitted::Taken => next += 1,
                Submitted::Full => {
                    free.push(slot);
                    break;
                }
            }
        }
        publisher.flush().unwrap();
        publisher.wait(deadline, &mut completions).unwrap();
        for completion in completions.drain(..) {
            assert_eq!(completion.outcome, Outcome::Acked);
            assert!(completion.at_ns <= clock.now_ns());
            free.push(completion.slot);
            acked += 1;
        }
    }
    acked
}

fn number(payload: &[u8]) -> u32 {
    u32::from_le_bytes(payload[..4].try_into().unwrap())
}

/// Receives until `messages` came or five seconds passed; panics on disorder within a connection
/// and stream.
fn receive(subscriber: &mut dyn Subscriber, clock: &Clock, messages: usize) -> Vec<u32> {
    let mut seen = vec![];
    let deadline = clock.now_ns() + 5 * SECOND;
    while seen.len() < messages && clock.now_ns() < deadline {
        let until = clock.now_ns() + SECOND / 10;
        let mut sink = |incoming: Incoming<'_>| {
            assert_eq!(incoming.payload.len(), 100);
            seen.push(number(incoming.payload));
        };
        subscriber.receive(until, &mut sink).unwrap();
    }
    let mut last = [-1i64; 6];
    for n in &seen {
        let lane = &mut last[(*n % 6) as usize];
        assert!(i64::from(*n) > *lane, "message {n} after {lane}");
        *lane = i64::from(*n);
    }
    seen
}

/// Publishes and consumes at once; the reflector lives as long as what is returned.
pub fn once_and_in_order(cell: &Cell, messages: u32) -> (Box<dyn Reflector>, Box<dyn Driver>) {
    let reflector = reflector().unwrap();
    let target = target(reflector.addresses());
    let clock = target.clock;
    let driver = open(cell, target).unwrap();
    driver.prepare().unwrap();
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    let mut publisher = driver.publisher(0).unwrap();
    let receiver = std::thread::spawn(move || {
        let seen = receive(subscriber.as_mut(), &clock, messages as usize);
        subscriber.close().unwrap();
        seen
    });
    assert_eq!(publish(cell, publisher.as_mut(), &clock, messages), messages);
    let mut seen = receiver.join().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..messages).collect::<Vec<_>>());
    assert!(publisher.failures().is_empty());
    (reflector, driver)
}

#[test]
fn every_primitive_and_mode_delivers_once_and_in_order() {
    for (system, mode, keys) in [
        (System::RedisPubsub, ConsumeMode::Pop, 2),
        (System::RedisStreams, ConsumeMode::Pop, 2),
        (System::RedisLists, ConsumeMode::Pop, 2),
        (System::RedisLists, ConsumeMode::Reliable, 1),
    ] {
        let mut cell = cell(system);
        (cell.config.consume.mode, cell.config.keys) = (mode, keys);
        let (_reflector, driver) = once_and_in_order(&cell, 20_000);
        if system == System::RedisPubsub {
            assert!(!driver.acknowledges() && driver.survives().copies == 0);
            assert_eq!(driver.audit(u64::MAX / 2, &mut |_| ()).unwrap(), Audit::Nothing);
        }
    }
}

fn audited(
    script: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    cell: &Cell,
) -> (Audit, Vec<Vec<u8>>) {
    let server = Scripted::start(script);
    let driver = open(cell, target(vec![server.address.clone()])).unwrap();
    let mut found = vec![];
    (driver.audit(u64::MAX / 2, &mut |payload| found.push(payload.to_vec())).unwrap(), found)
}

#[test]
fn a_stream_is_read_page_by_page_and_says_that_it_was_trimmed() {
    let mut cell = cell(System::RedisStreams);
    (cell.config.keys, cell.config.maxlen) = (1, Some(1000));
    for (added, trimmed) in [(3, false), (4, true)] {
        let (audit, found) = audited(
            move |asked| match asked.text().as_str() {
                // A dead letter says more behind its message; the last entry was trimmed away
                // meanwhile.
                "XRANGE test-0 - + COUNT 1000" => reply(
                    "*3\r\n*2\r\n$3\r\n1-0\r\n*4\r\n$1\r\nd\r\n$2\r\nhi\r\n$1\r\nx\r\n$1\r\ny\r\n\
                     *2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nd\r\n$2\r\nho\r\n*2\r\n$3\r\n3-0\r\n*-1\r\n",
                ),
                "XRANGE test-0 (3-0 + COUNT 1000" => reply("*0\r\n"),
                "XINFO STREAM test-0" => reply(&format!(
                    "*6\r\n$6\r\nlength\r\n:3\r\n$13\r\nentries-added\r\n:{added}\r\n\
                     $6\r\ngroups\r\n*0\r\n"
                )),
                other => panic!("{other}"),
            },
            &cell,
        );
        assert_eq!(audit, Audit::Retains { trimmed, unreadable: Vec::new() });
        assert_eq!(found, [b"hi".to_vec(), b"ho".to_vec()]);
    }
}

#[test]
fn what_a_reliable_consumer_did_not_finish_is_still_there() {
    let mut cell = cell(System::RedisLists);
    (cell.config.consume.mode, cell.config.keys) = (ConsumeMode::Reliable, 1);
    let script = |asked: &Asked| match asked.text().as_str() {
        "LRANGE test-0 0 999" => reply("*1\r\n$1\r\nb\r\n"),
        "LRANGE test-0-processing-0-0 0 999" => reply("*1\r\n$1\r\na\r\n"),
        other => panic!("{other}"),
    };
    assert_eq!(audited(script, &cell), (Audit::Remainder, vec![b"b".to_vec(), b"a".to_vec()]));
}

#[test]
fn consumers_of_one_group_share_and_groups_each_get_all() {
    let cell = cell(System::RedisStreams);
    let reflector = reflector().unwrap();
    let target = target(reflector.addresses());
    let clock = target.clock;
    let driver = open(&cell, target).unwrap();
    driver.prepare().unwrap();
    let mut consumers: Vec<_> = [(0, 0), (0, 1), (1, 0)]
        .into_iter()
        .map(|(group, consumer)| driver.subscriber(group, consumer).unwrap())
        .collect();
    publish(&cell, driver.publisher(0).unwrap().as_mut(), &clock, 3000);
    let mut counts = [0; 3];
    for _ in 0..10 {
        for (consumer, count) in consumers.iter_mut().zip(&mut counts) {
            consumer.receive(clock.now_ns(), &mut |_| *count += 1).unwrap();
        }
    }
    assert_eq!((counts[0] + counts[1], counts[2]), (3000, 3000));
    assert!(counts[0] > 0 && counts[1] > 0);
}

#[test]
fn receive_returns_on_time_when_nothing_comes() {
    for (system, mode) in [
        (System::RedisPubsub, ConsumeMode::Pop),
        (System::RedisStreams, ConsumeMode::Pop),
        (System::RedisLists, ConsumeMode::Pop),
        (System::RedisLists, ConsumeMode::Reliable),
    ] {
        let mut cell = cell(system);
        (cell.config.consume.mode, cell.config.keys) = (mode, 1);
        let reflector = reflector().unwrap();
        let target = target(reflector.addresses());
        let clock = target.clock;
        let driver = open(&cell, target).unwrap();
        let mut subscriber = driver.subscriber(0, 0).unwrap();
        for wait_ns in [0, 20_000_000] {
            let started = clock.now_ns();
            subscriber.receive(started + wait_ns, &mut |_| panic!("nothing was sent")).unwrap();
            let took = clock.now_ns() - started;
            assert!(took + 1_000_000 >= wait_ns, "{system}: {took} ns");
        }
        subscriber.close().unwrap();
    }
}

#[test]
fn error_replies_fail_their_message_and_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cell = cell(System::RedisLists);
    let target = target(vec![address]);
    let clock = target.clock;
    let driver = open(&cell, target).unwrap();
    let server = std::thread::spawn(move || {
        let mut peers: Vec<_> = (0..3).map(|_| listener.accept().unwrap().0).collect();
        peers[0].read_exact(&mut [0; 64]).unwrap();
        peers[0]
            .write_all(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n:1\r\n")
            .unwrap();
        std::thread::sleep(Duration::from_millis(20));
    });
    let mut publisher = driver.publisher(0).unwrap();
    for slot in 0..3 {
        publisher
            .submit(Outgoing { slot, payload: b"a payload of some length", ..Outgoing::default() })
            .unwrap();
    }
    publisher.flush().unwrap();
    let mut completions: Vec<Completion> = vec![];
    let mut error = None;
    for _ in 0..20 {
        if let Err(found) = publisher.wait(clock.now_ns() + SECOND, &mut completions) {
            error = Some(found);
            break;
        }
    }
    server.join().unwrap();
    let outcomes: Vec<_> =
        completions.iter().map(|completion| (completion.slot, completion.outcome)).collect();
    assert_eq!(outcomes, [(0, Outcome::Failed), (1, Outcome::Acked), (2, Outcome::Indeterminate)]);
    assert!(matches!(error, Some(DriverError::Disconnected { .. })), "{error:?}");
    let failures = publisher.failures();
    assert_eq!(failures.values().sum::<u64>(), 2);
    assert!(failures.keys().any(|reason| reason.starts_with("OOM")), "{failures:?}");
    assert!(publisher.flush().is_err(), "a lost connection must go on saying so");
}

#[test]
fn with_copies_waited_for_every_message_still_comes_once_and_in_order() {
    for (system, wait, wait_aof) in [
        (System::RedisStreams, Some(2), None),
        (System::RedisLists, None, Some(WaitAof { local: 1, replicas: 1 })),
    ] {
        let mut cell = cell(system);
        (cell.config.wait, cell.config.wait_aof) = (wait, wait_aof);
        let (_reflector, driver) = once_and_in_order(&cell, 20_000);
        assert!(driver.survives().node_loss && driver.survives().nearly);
    }
}

/// Refusals are told at once; what was taken waits for its copies, and is in doubt without them.
#[test]
fn a_message_is_acknowledged_with_its_copies_and_in_doubt_without() {
    let waits = std::sync::atomic::AtomicU32::new(1);
    let server = Scripted::start(move |asked: &Asked| match asked.text() {
        text if text.starts_with("WAIT 1 ") => {
            reply(&format!(":{}\r\n", waits.fetch_sub(1, std::sync::atomic::Ordering::Relaxed)))
        }
        text if text.ends_with(" no") => reply("-OOM full\r\n"),
        _ => Act::Store,
    });
    let mut cell = cell(System::RedisStreams);
    (cell.config.keys, cell.config.wait) = (1, Some(1));
    let target = target(vec![server.address.clone()]);
    let clock = target.clock;
    let driver = open(&cell, target).unwrap();
    let mut publisher = driver.publisher(0).unwrap();
    let mut turn = |payloads: &[&[u8]]| {
        for (slot, payload) in (0..).zip(payloads) {
            let message = Outgoing { slot, payload, ..Outgoing::default() };
            assert_eq!(publisher.submit(message).unwrap(), Submitted::Taken);
        }
        publisher.flush().unwrap();
        let (mut ended, deadline) = (vec![], clock.now_ns() + 5 * SECOND);
        while ended.len() < payloads.len() && clock.now_ns() < deadline {
            publisher.wait(deadline, &mut ended).unwrap();
        }
        ended.sort_by_key(|end| end.slot);
        (ended.iter().map(|end| end.outcome).collect::<Vec<_>>(), publisher.failures())
    };
    let (outcomes, failures) = turn(&[b"yes", b"no", b"yes"]);
    assert_eq!(outcomes, [Outcome::Acked, Outcome::Failed, Outcome::Acked]);
    assert_eq!(failures.len(), 1, "{failures:?}");
    let (outcomes, failures) = turn(&[b"yes", b"yes"]);
    assert_eq!(outcomes, [Outcome::Indeterminate; 2]);
    assert_eq!(failures["WAIT: 0 of 1 replicas within 4s"], 2, "{failures:?}");
}

#[test]
fn without_replies_every_message_is_done_when_written_and_delivered() {
    for system in [System::RedisPubsub, System::RedisStreams, System::RedisLists] {
        let mut cell = cell(system);
        cell.config.reply = Reply::Off;
        let (_reflector, driver) = once_and_in_order(&cell, 20_000);
        assert!(!driver.acknowledges());
        let survives = driver.survives();
        assert!(!survives.process_kill && !survives.power_loss);
    }
}

#[test]
fn without_replies_an_unwritten_message_is_not_done_and_a_lost_connection_shows() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut cell = cell(System::RedisLists);
    cell.config.reply = Reply::Off;
    cell.load.connections = 1;
    let target = target(vec![listener.local_addr().unwrap().to_string()]);
    let (clock, driver) = (target.clock, open(&cell, target).unwrap());
    let server = std::thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let mut ping = [0; 14];
        socket.read_exact(&mut ping).unwrap();
        socket.write_all(b"+PONG\r\n").unwrap();
        socket
    });
    let mut publisher = driver.publisher(0).unwrap();
    let socket = server.join().unwrap();
    let (payload, mut completions) = (vec![0; 4 << 20], vec![]);
    let mut submit = |slot| {
        publisher.submit(Outgoing { slot, payload: &payload, ..Outgoing::default() }).unwrap()
    };
    assert!((0..8).all(|slot| submit(slot) == Submitted::Taken) || submit(8) == Submitted::Full);
    publisher.flush().unwrap();
    publisher.wait(clock.now_ns() + SECOND / 10, &mut completions).unwrap();
    // 4 MiB each: a socket's buffers hold some of them, never all.
    assert!(completions.len() < 4, "{completions:?}");
    let written = completions.len();
    drop(socket);
    let deadline = clock.now_ns() + 5 * SECOND;
    while publisher.flush().is_ok() && clock.now_ns() < deadline {
        let _ = publisher.wait(clock.now_ns() + SECOND / 10, &mut completions);
    }
    assert!(publisher.flush().is_err(), "a lost connection must be told");
    assert!(
        completions[written..]
            .iter()
            .all(|completion| completion.outcome == Outcome::Indeterminate)
    );
    assert!(completions.len() > written);
}

#[test]
fn a_socket_that_takes_nothing_is_back_pressure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let driver =
        open(&cell(System::RedisLists), target(vec![listener.local_addr().unwrap().to_string()]))
            .unwrap();
    let mut publisher = driver.publisher(0).unwrap();
    let payload = vec![0; 256 * 1024];
    let full = (0..1000).find(|slot| {
        let taken = publisher
            .submit(Outgoing { slot: *slot, payload: &payload, ..Outgoing::default() })
            .unwrap();
        publisher.flush().unwrap();
        taken == Submitted::Full
    });
    assert!(full.is_some());
}

#[test]
fn a_probe_gives_a_silent_server_up_and_is_answered_by_any_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut patient = cell(System::RedisStreams);
    patient.load.deadline = Some(Span::from_secs(60));
    let driver = open(&patient, target(vec![listener.local_addr().unwrap().to_string()])).unwrap();
    let begun = std::time::Instant::now();
    assert!(driver.probe_publisher(Duration::from_millis(100)).is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(50),
        "not the deadline of the load: {:?}",
        begun.elapsed()
    );

    for reply in [Reply::On, Reply::Off] {
        let mut cell = cell(System::RedisStreams);
        cell.config.reply = reply;
        let reflector = reflector().unwrap();
        let target = target(reflector.addresses());
        let clock = target.clock;
        let driver = open(&cell, target).unwrap();
        let mut probe = driver.probe_publisher(Duration::from_secs(2)).unwrap();
        probe
            .submit(Outgoing { slot: 0, payload: &0u32.to_le_bytes(), ..Outgoing::default() })
            .unwrap();
        probe.flush().unwrap();
        let mut completions = vec![];
        while completions.is_empty() && begun.elapsed() < Duration::from_secs(120) {
            probe.wait(clock.now_ns() + SECOND, &mut completions).unwrap();
        }
        assert_eq!(completions.iter().map(|end| end.outcome).collect::<Vec<_>>(), [Outcome::Acked]);
    }
}

#[test]
fn impossible_cells_are_refused_with_the_remedy() {
    let refused = |change: &dyn Fn(&mut Cell), system| {
        let mut cell = cell(system);
        change(&mut cell);
        open(&cell, target(vec!["127.0.0.1:1".into()]))
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert!(
        refused(&|cell| cell.load.consumers = 2, System::RedisPubsub).contains("load.consumers: 1")
    );
    assert!(
        refused(&|cell| cell.load.subscriptions = 2, System::RedisLists)
            .contains("load.subscriptions: 1")
    );
    assert!(
        refused(&|cell| cell.config.consume.mode = ConsumeMode::Reliable, System::RedisLists)
            .contains("keys: 1")
    );
    let closed = open(&cell(System::RedisLists), target(vec!["127.0.0.1:1".into()])).unwrap();
    assert!(matches!(
        closed.prepare(),
        Err(DriverError::Disconnected { .. } | DriverError::Refused { .. })
    ));
}
