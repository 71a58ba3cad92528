//! Publishers and consumers against servers that hang up, refuse, keep silent and go away: nothing is lost by the client,
//! nothing comes twice but what was sent twice, order is kept, deadlines are kept, and the pacing thread is never held.

use super::testing::{Act, Asked, Scripted, reply};
use super::*;
use crate::driver::redis::tests::{cell, target};
use crate::driver::{Completion, Driver, Incoming, Outcome, Paths, Subscriber, Target, open};
use crate::scenario::ListMode;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const MS: u64 = 1_000_000;

fn driver(system: System, address: &str, deadline_ms: u64) -> (Box<dyn Driver>, Clock) {
    driver_of(system, vec![address.to_owned()], Paths::default(), deadline_ms, ListMode::Pop)
}

fn driver_of(
    system: System,
    addresses: Vec<String>,
    paths: Paths,
    deadline_ms: u64,
    mode: ListMode,
) -> (Box<dyn Driver>, Clock) {
    let mut cell = cell(system);
    cell.load.deadline = Some(Span(deadline_ms * MS));
    (cell.load.connections, cell.load.in_flight) = (2, 32);
    (cell.config.keys, cell.config.consume.mode) = (1, mode);
    let target = Target { paths, ..target(addresses) };
    let clock = target.clock;
    (open(&cell, target).unwrap(), clock)
}

/// Sends `messages` numbers, each over connection n mod 2, at most 32 at once; how each ended.
fn publish(publisher: &mut dyn Publisher, clock: &Clock, messages: u32) -> Vec<Outcome> {
    let mut ended = vec![None; messages as usize];
    let mut slots = vec![0; 32];
    let mut free: [Vec<u32>; 2] = [(0..32).step_by(2).collect(), (1..32).step_by(2).collect()];
    let (mut next, mut left, mut completions) = (0, messages, vec![]);
    let deadline = clock.now_ns() + 20_000 * MS;
    while left > 0 {
        assert!(clock.now_ns() < deadline, "{left} never ended");
        while next < messages
            && let Some(slot) = free[(next % 2) as usize].pop()
        {
            slots[slot as usize] = next;
            let payload = next.to_string();
            let message = Outgoing { slot, connection: (next % 2) as u16, stream: 0, payload: payload.as_bytes() };
            assert_eq!(publisher.submit(message).unwrap(), Submitted::Taken);
            next += 1;
        }
        publisher.flush().unwrap();
        publisher.wait(clock.now_ns() + 20 * MS, &mut completions).unwrap();
        for completion in completions.drain(..) {
            let number = slots[completion.slot as usize];
            assert!(ended[number as usize].replace(completion.outcome).is_none(), "{number} ended twice");
            free[(completion.slot % 2) as usize].push(completion.slot);
            left -= 1;
        }
    }
    ended.into_iter().flatten().collect()
}

fn numbers(stored: &[Vec<u8>]) -> Vec<u32> {
    stored.iter().map(|payload| std::str::from_utf8(payload).unwrap().parse().unwrap()).collect()
}

/// Whether every number is there, and for the first time in order on each of the two connections.
fn whole_and_in_order(stored: &[u32], messages: u32) {
    let mut seen = BTreeSet::new();
    let first: Vec<u32> = stored.iter().copied().filter(|number| seen.insert(*number)).collect();
    assert_eq!(seen, (0..messages).collect());
    for lane in 0..2 {
        assert!(first.iter().filter(|number| *number % 2 == lane).is_sorted(), "{first:?}");
    }
}

fn all_acked(outcomes: &[Outcome]) {
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Acked), "{outcomes:?}");
}

#[test]
fn what_a_broken_connection_leaves_in_doubt_is_sent_again_and_nothing_is_lost() {
    let server = Scripted::start(|asked: &Asked| match asked.number {
        100 | 333 | 334 => Act::StoreAndHangUp,
        222 => Act::HangUp,
        _ => Act::Store,
    });
    let (driver, clock) = driver(System::RedisLists, &server.address, 10_000);
    let mut publisher = driver.publisher(0).unwrap();
    all_acked(&publish(publisher.as_mut(), &clock, 600));
    let stored = numbers(&server.stored());
    whole_and_in_order(&stored, 600);
    let twice = stored.len() - 600;
    let retries = publisher.retries();
    assert!(publisher.failures().is_empty(), "{:?}", publisher.failures());
    assert!((1..=48).contains(&twice), "{twice} of what was in flight, three times 16 at most");
    assert!((3..=4).contains(&retries["connection made again"]), "{retries:?}");
    let again: u64 = retries.iter().filter(|(why, _)| !why.starts_with("connect")).map(|(_, count)| count).sum();
    assert!(again >= twice as u64, "{retries:?}");
}

#[test]
fn a_refused_message_is_sent_again_in_order_and_never_twice() {
    for (refusal, elsewhere) in [("-LOADING Redis is loading the dataset in memory", true), ("-OOM no room", false)] {
        let begun = std::time::Instant::now();
        let server = Scripted::start(move |asked: &Asked| {
            let refused = begun.elapsed().as_millis() < 100 && (elsewhere || !asked.is("PING"));
            // A server that loads refuses everybody; one that begins with it refuses from some command on.
            let early = asked.connection < 2 && asked.number < 10;
            if refused && !early && (asked.connection > 1 || !asked.is("PING")) {
                return reply(&format!("{refusal}\r\n"));
            }
            Act::Store
        });
        let (driver, clock) = driver(System::RedisStreams, &server.address, 10_000);
        let mut publisher = driver.publisher(0).unwrap();
        all_acked(&publish(publisher.as_mut(), &clock, 300));
        let stored = numbers(&server.stored());
        whole_and_in_order(&stored, 300);
        assert_eq!(stored.len(), 300, "nothing was in doubt");
        let retries = publisher.retries();
        assert!(retries.keys().any(|why| why.starts_with(&refusal[1..4])), "{retries:?}");
        assert!(publisher.failures().is_empty());
    }
}

#[test]
fn a_silent_server_is_given_up_and_asked_anew() {
    let server = Scripted::start(|asked: &Asked| match asked.connection {
        0 | 1 if asked.number >= 40 => Act::Ignore,
        _ => Act::Store,
    });
    let (driver, clock) = driver(System::RedisLists, &server.address, 1000);
    let mut publisher = driver.publisher(0).unwrap();
    let begun = clock.now_ns();
    all_acked(&publish(publisher.as_mut(), &clock, 200));
    let took = clock.now_ns() - begun;
    assert!((500 * MS..900 * MS).contains(&took), "half the deadline: {took}");
    whole_and_in_order(&numbers(&server.stored()), 200);
    assert!(publisher.retries().contains_key("no answer for 0.5 s"), "{:?}", publisher.retries());
}

#[test]
fn deadlines_are_kept_and_tell_what_was_never_sent_from_what_is_in_doubt() {
    let server = Scripted::start(|asked: &Asked| if asked.is("PING") { Act::Store } else { Act::Ignore });
    let (driver, clock) = driver(System::RedisLists, &server.address, 400);
    let mut publisher = driver.publisher(0).unwrap();
    let mut completions: Vec<Completion> = vec![];
    let submit = |publisher: &mut dyn Publisher, slot| {
        publisher.submit(Outgoing { slot, connection: 0, stream: 0, payload: b"x" }).unwrap();
        publisher.flush().unwrap();
        clock.now_ns()
    };
    let written = submit(publisher.as_mut(), 0);
    publisher.wait(clock.now_ns() + 20 * MS, &mut completions).unwrap();
    drop(server);
    publisher.wait(clock.now_ns() + 50 * MS, &mut completions).unwrap();
    assert!(completions.is_empty());
    let unsent = submit(publisher.as_mut(), 1);
    while completions.len() < 2 && clock.now_ns() < unsent + 2000 * MS {
        publisher.wait(clock.now_ns() + 20 * MS, &mut completions).unwrap();
    }
    let ended: Vec<_> = completions.iter().map(|completion| (completion.slot, completion.outcome)).collect();
    assert_eq!(ended, [(0, Outcome::Indeterminate), (1, Outcome::Failed)]);
    for (completion, sent) in completions.iter().zip([written, unsent]) {
        let after = completion.at_ns - sent;
        assert!((395 * MS..450 * MS).contains(&after), "{after}");
    }
    let failures: Vec<String> = publisher.failures().into_keys().collect();
    assert!(failures[0].starts_with("no answer by its deadline: ") && failures[0].contains("refused"), "{failures:?}");
    assert!(failures[1].starts_with("not sent by its deadline: "), "{failures:?}");
}

#[test]
fn a_message_refused_until_its_deadline_has_failed_and_says_why() {
    let server = Scripted::start(|asked: &Asked| match asked.words.last().unwrap().as_slice() {
        b"3" => reply("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        _ => reply("-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
    });
    let (driver, clock) = driver(System::RedisLists, &server.address, 200);
    let mut publisher = driver.publisher(0).unwrap();
    let begun = clock.now_ns();
    let outcomes = publish(publisher.as_mut(), &clock, 8);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Failed), "{outcomes:?}");
    assert!((195 * MS..400 * MS).contains(&(clock.now_ns() - begun)));
    let failures = publisher.failures();
    let oom = "refused until its deadline: OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!((failures[oom], failures.len()), (7, 2), "{failures:?}");
    assert!(failures.keys().any(|why| why.starts_with("WRONGTYPE")));
}

#[test]
fn publish_is_never_sent_twice() {
    let server = Scripted::start(|asked: &Asked| match asked.number {
        60 => Act::StoreAndHangUp,
        90 => reply("-LOADING Redis is loading the dataset in memory\r\n"),
        _ => Act::Store,
    });
    let (driver, clock) = driver(System::RedisPubsub, &server.address, 5000);
    let mut publisher = driver.publisher(0).unwrap();
    let outcomes = publish(publisher.as_mut(), &clock, 200);
    let stored = numbers(&server.stored());
    let distinct: BTreeSet<u32> = stored.iter().copied().collect();
    assert_eq!(distinct.len(), stored.len(), "{stored:?}");
    let doubtful = outcomes.iter().filter(|outcome| **outcome == Outcome::Indeterminate).count();
    assert!((1..=16).contains(&doubtful), "what was in flight on one connection: {doubtful}");
    for (number, outcome) in (0..).zip(&outcomes) {
        assert!(*outcome != Outcome::Acked || distinct.contains(&number), "{number}");
        assert!(*outcome != Outcome::Failed, "{number}");
    }
}

/// The server takes connections and says nothing, as one that is stopped: every call comes back in time all the same.
#[test]
fn the_pacing_thread_is_never_held() {
    let server = Scripted::start(|_: &Asked| Act::Store);
    let (driver, clock) = driver(System::RedisLists, &server.address, 1500);
    let mut publisher = driver.publisher(0).unwrap();
    let address = server.address.clone();
    let (mut completions, mut latest, mut ended, mut acked) = (vec![], 0, 0, 0);
    let begun = clock.now_ns();
    let (mut server, mut mute) = (Some(server), None);
    for slot in 0..600u32 {
        let due = begun + u64::from(slot) * 2 * MS;
        if slot == 50 {
            drop(server.take());
            // Never accepts; the kernel does.
            mute = Some(TcpListener::bind(&address).unwrap());
        }
        if slot == 300 {
            drop(mute.take());
            server = Some(Scripted::start_at(&address, |_: &Asked| Act::Store));
        }
        let before = clock.now_ns();
        let payload = slot.to_string();
        let connection = (slot % 2) as u16;
        publisher.submit(Outgoing { slot, connection, stream: 0, payload: payload.as_bytes() }).unwrap();
        publisher.flush().unwrap();
        latest = latest.max(clock.now_ns() - before);
        while clock.now_ns() < due + 2 * MS {
            let until = clock.now_ns().max(due + 2 * MS);
            publisher.wait(due + 2 * MS, &mut completions).unwrap();
            latest = latest.max(clock.now_ns().saturating_sub(until));
        }
    }
    while ended < 600 && clock.now_ns() < begun + 10_000 * MS {
        publisher.wait(clock.now_ns() + 20 * MS, &mut completions).unwrap();
        ended += completions.len();
        acked += completions.drain(..).filter(|completion| completion.outcome == Outcome::Acked).count();
    }
    assert_eq!((ended, acked), (600, 600), "{:?}", publisher.failures());
    assert!(latest < 20 * MS, "{latest} ns late");
}

/// Two servers and who is the primary of them.
#[test]
fn the_sentinels_are_asked_for_the_primary_and_it_must_be_one() {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let role = |of: usize| {
        move |asked: &Asked| {
            let primary = TURN.load(Relaxed) % 2 == of;
            match asked.words[0].as_slice() {
                b"ROLE" if primary => reply("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
                b"ROLE" => reply("*1\r\n$5\r\nslave\r\n"),
                b"PING" => Act::Store,
                _ if primary => Act::Store,
                _ => reply("-READONLY You can't write against a read only replica.\r\n"),
            }
        }
    };
    let servers = [Scripted::start(role(0)), Scripted::start(role(1))];
    // What the Sentinel says is late by a few questions.
    let told: Vec<String> = (0..2).map(|at| format!("*2\r\n$9\r\n127.0.0.1\r\n$1\r\n{}\r\n", at + 1)).collect();
    let asked = AtomicUsize::new(0);
    let sentinel = Scripted::start(move |question: &Asked| {
        assert_eq!(question.text(), "SENTINEL get-master-addr-by-name brokerbench");
        let late = TURN.load(Relaxed) > 0 && asked.fetch_add(1, Relaxed) < 3;
        reply(&told[if late { 0 } else { TURN.load(Relaxed) % 2 }])
    });
    let paths = Paths {
        sentinels: vec!["127.0.0.1:1".into(), sentinel.address.clone()],
        told: (0..2).map(|at| (format!("127.0.0.1:{}", at + 1), servers[at].address.clone())).collect(),
        ..Paths::default()
    };
    let addresses = servers.iter().map(|server| server.address.clone()).collect();
    let (driver, clock) = driver_of(System::RedisLists, addresses, paths, 10_000, ListMode::Pop);
    let mut publisher = driver.publisher(0).unwrap();
    all_acked(&publish(publisher.as_mut(), &clock, 50));
    TURN.store(1, Relaxed);
    all_acked(&publish(publisher.as_mut(), &clock, 50));
    for server in &servers {
        let stored = numbers(&server.stored());
        assert_eq!(stored.len(), 50);
        whole_and_in_order(&stored, 50);
    }
    let retries = publisher.retries();
    let replica = "connecting: the server that the Sentinels name is a replica";
    assert!(retries.contains_key(replica) && retries.keys().any(|why| why.starts_with("READONLY")), "{retries:?}");
}

/// Receives for `ms`, never later than told.
fn receive(subscriber: &mut dyn Subscriber, clock: &Clock, ms: u64) -> Vec<String> {
    let mut seen = vec![];
    let deadline = clock.now_ns() + ms * MS;
    while clock.now_ns() < deadline {
        let until = clock.now_ns() + 10 * MS;
        subscriber
            .receive(until, &mut |incoming: Incoming<'_>| {
                seen.push(String::from_utf8_lossy(incoming.payload).into_owned());
            })
            .unwrap();
        let late = clock.now_ns().saturating_sub(until);
        assert!(late < 40 * MS, "{late} ns late");
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
                return if greeted.lock().unwrap().insert(asked.connection) { Act::Store } else { Act::Ignore };
            }
            let push = format!("*3\r\n$7\r\nmessage\r\n$6\r\ntest-0\r\n$1\r\n{}\r\n", asked.connection);
            reply(&format!("*3\r\n$9\r\nsubscribe\r\n$6\r\ntest-0\r\n:1\r\n{push}"))
        }
    });
    // A second of quiet, then 0.2 s for an answer.
    assert_eq!(receive(subscriber.as_mut(), &clock, 2000), ["0", "1"]);
    assert!(subscriber.retries()["connection made again"] == 2, "{:?}", subscriber.retries());
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
            (_, b"XREADGROUP") if text.ends_with(" 0") && asked.number == 5 => reply(&batch(&["3-0"])),
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
    assert!(read(second[4]) && second[4].ends_with(" 0") && second[5].ends_with(" >"), "{second:#?}");
    assert_eq!(of(2)[0], "XGROUP CREATE test-0 g0 0 MKSTREAM", "NOGROUP");
}

#[test]
fn a_reliable_consumer_takes_up_what_it_had_moved() {
    let server = Scripted::start(|asked: &Asked| match (asked.connection, asked.words[0].as_slice()) {
        (0, b"LMOVE") if asked.number == 0 => reply("$1\r\na\r\n"),
        (0, b"DEL") => reply(":1\r\n"),
        (0, b"LMOVE") if asked.number == 2 => reply("$1\r\nb\r\n"),
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
    let (addresses, mode) = (vec![server.address.clone()], ListMode::Reliable);
    let (driver, clock) = driver_of(System::RedisLists, addresses, Paths::default(), 10_000, mode);
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    let seen = receive(subscriber.as_mut(), &clock, 200);
    // The first time `b` is known.
    assert_eq!(seen, ["a", "b", "c", "b", "c"], "{:#?}", server.log());
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
    assert!(subscriber.retries().keys().any(|why| why.contains("UNBLOCKED")), "{:?}", subscriber.retries());
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
    (cell.load.deadline, cell.config.keys, cell.config.maxlen) = (Some(Span::from_secs(10)), 1, None);
    let target = target(vec![server.address.clone()]);
    let (clock, driver) = (target.clock, open(&cell, target).unwrap());
    let mut seen = vec![];
    driver.audit(clock.now_ns() + 10_000 * MS, &mut |payload| seen.push(payload.to_vec())).unwrap();
    assert_eq!(seen, [b"1-0".to_vec(), b"2-0".to_vec(), b"3-0".to_vec()]);
    assert!(server.log()[1..4].iter().all(|(_, text)| text.starts_with("XRANGE test-0 (2-0 ")), "{:?}", server.log());
}

#[test]
fn patience_leaves_time_for_a_second_try() {
    assert_eq!(patience(Span::from_secs(30)), 5_000 * MS);
    assert_eq!(patience(Span::from_secs(2)), 1_000 * MS);
}
