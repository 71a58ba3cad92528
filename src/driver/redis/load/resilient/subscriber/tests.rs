//! Consumers and the audit against servers that hang up, refuse, keep silent and go away: they go
//! on where they were, and `receive` comes back when it was told to.

use super::super::testing::{Act, Asked, Scripted, reply};
use super::super::tests::{MS, driver, driver_of};
use crate::clock::Clock;
use crate::driver::redis::tests::{cell, target};
use crate::driver::{Incoming, Routes, Subscriber, open};
use crate::model::System;
use crate::scenario::ConsumeMode;
use crate::units::Span;
use std::collections::BTreeSet;

/// How long this thread was ready to run and had no processor, ns: what a busy machine takes.
fn starved_ns() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Receives for `ms`, never later than told.
fn receive(subscriber: &mut dyn Subscriber, clock: &Clock, ms: u64) -> Vec<String> {
    let mut seen = vec![];
    let deadline = clock.now_ns() + ms * MS;
    while clock.now_ns() < deadline {
        let (until, starved) = (clock.now_ns() + 10 * MS, starved_ns());
        subscriber
            .receive(until, &mut |incoming: Incoming<'_>| {
                seen.push(String::from_utf8_lossy(incoming.payload).into_owned());
            })
            .unwrap();
        let late = clock.now_ns().saturating_sub(until + starved_ns() - starved);
        assert!(late < 195 * MS, "half the deadline: {late} ns late");
    }
    seen
}

#[test]
fn a_subscriber_subscribes_again_and_a_silent_server_is_noticed() {
    let server = Scripted::start(|asked: &Asked| {
        if asked.is("PING") {
            return Act::Store;
        }
        let push = format!("*3\r\n$7\r\nmessage\r\n$6\r\ntest-0\r\n$1\r\n{}\r\n", asked.connection);
        reply(&format!("*3\r\n$9\r\nsubscribe\r\n$6\r\ntest-0\r\n:1\r\n{push}"))
    });
    let (driver, clock) = driver(System::RedisPubsub, &server.address, 400);
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    assert_eq!(receive(subscriber.as_mut(), &clock, 50), ["0"]);
    let address = server.address.clone();
    drop(server);
    assert!(receive(subscriber.as_mut(), &clock, 100).is_empty());
    // Answers the greeting of each connection, and no question after that.
    let server = Scripted::start_at(&address, {
        let greeted = std::sync::Mutex::new(BTreeSet::new());
        move |asked: &Asked| {
            if asked.is("PING") {
                return if greeted.lock().unwrap().insert(asked.connection) {
                    Act::Store
                } else {
                    Act::Ignore
                };
            }
            let push =
                format!("*3\r\n$7\r\nmessage\r\n$6\r\ntest-0\r\n$1\r\n{}\r\n", asked.connection);
            reply(&format!("*3\r\n$9\r\nsubscribe\r\n$6\r\ntest-0\r\n:1\r\n{push}"))
        }
    });
    // A second of quiet, then 0.2 s for an answer.
    let seen = receive(subscriber.as_mut(), &clock, 2000);
    // A machine that stands still for a while makes the server look silent once more.
    let again = subscriber.retries()["connection made again"];
    assert!(seen.starts_with(&["0".into(), "1".into()]) && seen.len() <= 3, "{seen:?}");
    assert!((2..=3).contains(&again), "{:?}", subscriber.retries());
    drop(server);
    subscriber.close().unwrap();
}

#[test]
fn a_stream_consumer_acknowledges_again_and_reads_what_it_was_given() {
    let batch = |ids: &[&str]| {
        let entry = |id: &&str| format!("*2\r\n$3\r\n{id}\r\n*2\r\n$1\r\nd\r\n$3\r\n{id}\r\n");
        let entries: String = ids.iter().map(entry).collect();
        format!("*1\r\n*2\r\n$6\r\ntest-0\r\n*{}\r\n{entries}", ids.len())
    };
    let server = Scripted::start(move |asked: &Asked| {
        let text = asked.text();
        match (asked.connection, asked.words[0].as_slice()) {
            (_, b"XGROUP") => reply("+OK\r\n"),
            (0, b"XREADGROUP") if asked.number == 1 => reply(&batch(&["1-0", "2-0"])),
            (0, b"XACK") => Act::HangUp,
            (_, b"XACK") => reply(":2\r\n"),
            // Given to us and never received.
            (_, b"XREADGROUP") if text.ends_with(" 0") && asked.number == 5 => {
                reply(&batch(&["3-0"]))
            }
            (_, b"XREADGROUP") if text.ends_with(" 0") => reply(&batch(&[])),
            (_, b"XREADGROUP") if asked.number == 10 => reply("-NOGROUP No such key\r\n"),
            (2, b"XREADGROUP") if !text.ends_with(" 0") => reply(&batch(&["4-0"])),
            _ => reply("*-1\r\n"),
        }
    });
    let (driver, clock) = driver(System::RedisStreams, &server.address, 10_000);
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    let seen = receive(subscriber.as_mut(), &clock, 150);
    assert_eq!(seen[..4], ["1-0", "2-0", "3-0", "4-0"]);
    let log = server.log();
    let read = |text: &str| text.starts_with("XREADGROUP");
    let of = |connection: usize| -> Vec<&str> {
        log.iter().filter(|(of, _)| *of == connection).map(|(_, text)| text.as_str()).collect()
    };
    let second = of(1);
    assert_eq!(second[0], "XGROUP CREATE test-0 g0 0 MKSTREAM");
    assert_eq!(second[1], "XACK test-0 g0 1-0 2-0");
    assert!(read(second[2]) && second[2].ends_with(" 0"), "{second:#?}");
    assert_eq!(second[3], "XACK test-0 g0 3-0");
    assert!(
        read(second[4]) && second[4].ends_with(" 0") && second[5].ends_with(" >"),
        "{second:#?}"
    );
    assert_eq!(of(2)[0], "XGROUP CREATE test-0 g0 0 MKSTREAM", "NOGROUP");
}

#[test]
fn a_reliable_consumer_takes_up_what_it_had_moved() {
    let server =
        Scripted::start(|asked: &Asked| match (asked.connection, asked.words[0].as_slice()) {
            // Whoever was here before left nothing.
            (0, b"LRANGE") => reply("*0\r\n"),
            (0, b"LMOVE") if asked.number == 1 => reply("$1\r\na\r\n"),
            (0, b"DEL") => reply(":1\r\n"),
            (0, b"LMOVE") if asked.number == 3 => reply("$1\r\nb\r\n"),
            // `c` was moved and its answer lost.
            (0, _) => Act::HangUp,
            (1, b"LRANGE") => reply("*2\r\n$1\r\nc\r\n$1\r\nb\r\n"),
            (1, b"DEL") => Act::HangUp,
            // Whether the deletion was done nobody knows: all that is there is handed out.
            (2, b"LRANGE") => reply("*2\r\n$1\r\nc\r\n$1\r\nb\r\n"),
            (_, b"DEL") => reply(":2\r\n"),
            (_, b"LRANGE") => reply("*0\r\n"),
            _ => reply("$-1\r\n"),
        });
    let (addresses, mode) = (vec![server.address.clone()], ConsumeMode::Reliable);
    let (driver, clock) = driver_of(System::RedisLists, addresses, Routes::default(), 10_000, mode);
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    let seen = receive(subscriber.as_mut(), &clock, 200);
    // The first time `b` is known.
    assert_eq!(seen, ["a", "b", "c", "b", "c"], "{:?}", &server.log()[..12]);
}

#[test]
fn a_popping_consumer_asks_again() {
    let server = Scripted::start(|asked: &Asked| match asked.number {
        0 => reply("*2\r\n$6\r\ntest-0\r\n*1\r\n$1\r\na\r\n"),
        1 => Act::HangUp,
        2 => reply("-UNBLOCKED force unblock from blocking operation, instance state changed\r\n"),
        3 => reply("*2\r\n$6\r\ntest-0\r\n*1\r\n$1\r\nb\r\n"),
        _ => Act::Ignore,
    });
    let (driver, clock) = driver(System::RedisLists, &server.address, 10_000);
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    assert_eq!(receive(subscriber.as_mut(), &clock, 150), ["a", "b"]);
    assert_eq!(subscriber.retries()["connection made again"], 2);
    assert!(
        subscriber.retries().keys().any(|why| why.contains("UNBLOCKED")),
        "{:?}",
        subscriber.retries()
    );
}

#[test]
fn an_audit_goes_on_where_it_was_cut_off() {
    let entry = |id: &str| format!("*2\r\n$3\r\n{id}\r\n*2\r\n$1\r\nd\r\n$3\r\n{id}\r\n");
    let server = Scripted::start(move |asked: &Asked| match asked.number {
        0 => reply(&format!("*2\r\n{}{}", entry("1-0"), entry("2-0"))),
        1 => Act::HangUp,
        2 => reply("-LOADING Redis is loading the dataset in memory\r\n"),
        3 => reply(&format!("*1\r\n{}", entry("3-0"))),
        _ => reply("*0\r\n"),
    });
    let mut cell = cell(System::RedisStreams);
    (cell.load.deadline, cell.config.keys, cell.config.maxlen) =
        (Some(Span::from_secs(10)), 1, None);
    let target = target(vec![server.address.clone()]);
    let (clock, driver) = (target.clock, open(&cell, target).unwrap());
    let mut seen = vec![];
    driver.audit(clock.now_ns() + 10_000 * MS, &mut |payload| seen.push(payload.to_vec())).unwrap();
    assert_eq!(seen, [b"1-0".to_vec(), b"2-0".to_vec(), b"3-0".to_vec()]);
    assert!(
        server.log()[1..4].iter().all(|(_, text)| text.starts_with("XRANGE test-0 (2-0 ")),
        "{:?}",
        server.log()
    );
}
