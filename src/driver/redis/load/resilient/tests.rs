//! Publishers against servers that hang up, refuse, keep silent and go away: nothing is lost by the
//! client, nothing comes twice but what was sent twice, order is kept, deadlines are kept, and the
//! pacing thread is never held.

use super::testing::{Act, Asked, Scripted, reply};
use super::*;
use crate::driver::redis::tests::{cell, target};
use crate::driver::timeouts::Backoff;
use crate::driver::{Completion, Driver, Outcome, Routes, Target, open};
use crate::model::System;
use crate::scenario::{Cell, ConsumeMode};
use crate::units::Span;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub const MS: u64 = 1_000_000;

pub fn driver(system: System, address: &str, deadline_ms: u64) -> (Box<dyn Driver>, Clock) {
    driver_of(system, vec![address.to_owned()], Routes::default(), deadline_ms, ConsumeMode::Pop)
}

pub fn driver_of(
    system: System,
    addresses: Vec<String>,
    routes: Routes,
    deadline_ms: u64,
    mode: ConsumeMode,
) -> (Box<dyn Driver>, Clock) {
    of_cell(cell(system), addresses, routes, deadline_ms, mode)
}

fn of_cell(
    mut cell: Cell,
    addresses: Vec<String>,
    routes: Routes,
    deadline_ms: u64,
    mode: ConsumeMode,
) -> (Box<dyn Driver>, Clock) {
    cell.load.deadline = Some(Span(deadline_ms * MS));
    (cell.load.connections, cell.load.in_flight) = (2, 32);
    (cell.config.keys, cell.config.consume.mode) = (1, mode);
    let target = Target { routes, ..target(addresses) };
    let clock = target.clock;
    (open(&cell, target).unwrap(), clock)
}

/// Sends `messages` numbers, each over connection n mod 2, at most 32 at once; how each ended.
fn publish(publisher: &mut dyn Publisher, clock: &Clock, messages: u32) -> Vec<Outcome> {
    let mut ended = vec![None; messages as usize];
    let mut slots = [0; 32];
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
            let message = Outgoing {
                slot,
                connection: (next % 2) as u16,
                partition: 0,
                payload: payload.as_bytes(),
            };
            assert_eq!(publisher.submit(message).unwrap(), Submitted::Taken);
            next += 1;
        }
        publisher.flush().unwrap();
        publisher.wait(clock.now_ns() + 20 * MS, &mut completions).unwrap();
        for completion in completions.drain(..) {
            let number = slots[completion.slot as usize];
            assert!(
                ended[number as usize].replace(completion.outcome).is_none(),
                "{number} ended twice"
            );
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
    assert!((1..=64).contains(&twice), "{twice} of what was in flight, four times 16 at most");
    assert!((3..=4).contains(&retries["connection made again"]), "{retries:?}");
    let again: u64 =
        retries.iter().filter(|(why, _)| !why.starts_with("connect")).map(|(_, count)| count).sum();
    assert!(again >= twice as u64, "{retries:?}");
}

/// A driver that waits for one replica, at a server whose WAIT number n is answered so.
fn waiting(deadline_ms: u64, replicas: fn(usize) -> u32) -> (Scripted, Box<dyn Driver>, Clock) {
    let waits = AtomicUsize::new(0);
    let server = Scripted::start(move |asked: &Asked| match asked.is("WAIT") {
        true => reply(&format!(":{}\r\n", replicas(waits.fetch_add(1, Relaxed)))),
        false => Act::Store,
    });
    let mut cell = cell(System::RedisLists);
    cell.config.wait = Some(1);
    let (addresses, routes) = (vec![server.address.clone()], Routes::default());
    let (driver, clock) = of_cell(cell, addresses, routes, deadline_ms, ConsumeMode::Pop);
    (server, driver, clock)
}

#[test]
fn too_few_copies_are_asked_again_and_nothing_is_stored_twice() {
    let (server, driver, clock) = waiting(10_000, |n| u32::from(n != 3 && n != 4));
    let mut publisher = driver.publisher(0).unwrap();
    all_acked(&publish(publisher.as_mut(), &clock, 600));
    let stored = numbers(&server.stored());
    whole_and_in_order(&stored, 600);
    assert_eq!(stored.len(), 600, "the primary is who it was");
    let retries = publisher.retries();
    assert!(retries["WAIT: 0 of 1 replicas within 2.5s"] >= 2, "{retries:?}");
    let waits = server.log().iter().filter(|(_, text)| text.starts_with("WAIT 1 2500")).count();
    assert!(waits > 4 && waits < 600, "one a turn, not one a message: {waits}");
}

#[test]
fn what_no_copy_ever_has_ends_in_doubt_at_its_deadline() {
    let (server, driver, clock) = waiting(300, |_| 0);
    let mut publisher = driver.publisher(0).unwrap();
    let outcomes = publish(publisher.as_mut(), &clock, 20);
    assert!(outcomes.iter().all(|end| *end == Outcome::Indeterminate), "{outcomes:?}");
    let told = publisher.failures().into_keys().collect::<Vec<_>>().join("; ");
    assert!(told.contains("by its deadline"), "{told}");
    assert!(server.stored().len() >= 20, "the primary has them");
}

#[test]
fn a_refused_message_is_sent_again_in_order_and_never_twice() {
    for (refusal, elsewhere) in [
        ("-LOADING Redis is loading the dataset in memory", true),
        ("-OOM no room", false),
        ("-NOREPLICAS Not enough good replicas to write.", false),
    ] {
        let begun = std::time::Instant::now();
        let server = Scripted::start(move |asked: &Asked| {
            let refused = begun.elapsed().as_millis() < 100 && (elsewhere || !asked.is("PING"));
            // A server that loads refuses everybody; one that begins with it refuses from some
            // command on.
            let early = asked.connection < 2 && asked.number < 10;
            if refused && !early && (asked.connection > 1 || !asked.is("PING")) {
                let refusal = format!("{refusal}\r\n");
                return if asked.is("PING") { Act::Pong(refusal) } else { reply(&refusal) };
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
        assert_eq!(
            retries.contains_key("connection made again"),
            !refusal.contains("OOM"),
            "asks who leads: {retries:?}"
        );
    }
}

#[test]
fn a_server_that_refuses_is_asked_with_one_message_not_with_all_that_waits() {
    let begun = std::time::Instant::now();
    let server = Scripted::start(move |_: &Asked| match begun.elapsed().as_millis() < 400 {
        true => reply("-OOM no room\r\n"),
        false => Act::Store,
    });
    let (driver, clock) = driver(System::RedisStreams, &server.address, 10_000);
    let mut publisher = driver.publisher(0).unwrap();
    all_acked(&publish(publisher.as_mut(), &clock, 300));
    whole_and_in_order(&numbers(&server.stored()), 300);
    let in_vain = server.log().iter().filter(|(_, text)| text.starts_with("XADD")).count() - 300;
    // All that was in flight once; so many pauses fit into the time at most,
    // on each of two connections.
    let (mut backoff, mut waited, mut pauses) = (Backoff::default(), 0, 1);
    while waited < 400_000_000 {
        waited += backoff.next();
        pauses += 1;
    }
    assert!((32..=32 + 2 * pauses).contains(&in_vain), "{in_vain}");
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
    assert!(took >= 500 * MS, "half the deadline: {took}");
    whole_and_in_order(&numbers(&server.stored()), 200);
    assert!(publisher.retries().contains_key("no answer for 0.5 s"), "{:?}", publisher.retries());
}

#[test]
fn deadlines_are_kept_and_tell_what_was_never_sent_from_what_is_in_doubt() {
    let server =
        Scripted::start(|asked: &Asked| if asked.is("PING") { Act::Store } else { Act::Ignore });
    let (driver, clock) = driver(System::RedisLists, &server.address, 400);
    let mut publisher = driver.publisher(0).unwrap();
    let mut completions: Vec<Completion> = vec![];
    let submit = |publisher: &mut dyn Publisher, slot| {
        publisher.submit(Outgoing { slot, connection: 0, partition: 0, payload: b"x" }).unwrap();
        publisher.flush().unwrap();
        clock.now_ns()
    };
    let written = submit(publisher.as_mut(), 0);
    publisher.wait(clock.now_ns() + 20 * MS, &mut completions).unwrap();
    drop(server);
    publisher.wait(clock.now_ns() + 50 * MS, &mut completions).unwrap();
    assert!(completions.is_empty());
    let unsent = submit(publisher.as_mut(), 1);
    while completions.len() < 2 && clock.now_ns() < unsent + 60_000 * MS {
        publisher.wait(clock.now_ns() + 20 * MS, &mut completions).unwrap();
    }
    let ended: Vec<_> =
        completions.iter().map(|completion| (completion.slot, completion.outcome)).collect();
    assert_eq!(ended, [(0, Outcome::Indeterminate), (1, Outcome::Failed)]);
    for (completion, sent) in completions.iter().zip([written, unsent]) {
        let after = completion.at_ns - sent;
        assert!(after >= 395 * MS, "{after}");
    }
    let failures: Vec<String> = publisher.failures().into_keys().collect();
    assert!(
        failures[0].starts_with("no answer by its deadline: ") && failures[0].contains("refused"),
        "{failures:?}"
    );
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
    assert!(clock.now_ns() - begun >= 195 * MS);
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

/// The server takes connections and says nothing, as one that is stopped: every call comes back in
/// time all the same.
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
        publisher
            .submit(Outgoing { slot, connection, partition: 0, payload: payload.as_bytes() })
            .unwrap();
        publisher.flush().unwrap();
        latest = latest.max(clock.now_ns() - before);
        while clock.now_ns() < due + 2 * MS {
            let until = clock.now_ns().max(due + 2 * MS);
            publisher.wait(due + 2 * MS, &mut completions).unwrap();
            latest = latest.max(clock.now_ns().saturating_sub(until));
        }
    }
    while ended < 600 && clock.now_ns() < begun + 60_000 * MS {
        publisher.wait(clock.now_ns() + 20 * MS, &mut completions).unwrap();
        ended += completions.len();
        acked +=
            completions.drain(..).filter(|completion| completion.outcome == Outcome::Acked).count();
    }
    assert_eq!((ended, acked), (600, 600), "{:?}", publisher.failures());
    // One that waits inside waits for half the deadline; a busy machine does not let this thread
    // lie as long.
    assert!(latest < 700 * MS, "{latest} ns late");
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
    let told: Vec<String> =
        (0..2).map(|at| format!("*2\r\n$9\r\n127.0.0.1\r\n$1\r\n{}\r\n", at + 1)).collect();
    let asked = AtomicUsize::new(0);
    let sentinel = Scripted::start(move |question: &Asked| match question.text().as_str() {
        "SENTINEL MASTER brokerbench" => reply("*2\r\n$12\r\nconfig-epoch\r\n$1\r\n7\r\n"),
        "SENTINEL get-master-addr-by-name brokerbench" => {
            let late = TURN.load(Relaxed) > 0 && asked.fetch_add(1, Relaxed) < 3;
            reply(&told[if late { 0 } else { TURN.load(Relaxed) % 2 }])
        }
        _ => Act::HangUp,
    });
    let routes = Routes {
        sentinels: vec!["127.0.0.1:1".into(), sentinel.address.clone()],
        advertised: (0..2)
            .map(|at| (format!("127.0.0.1:{}", at + 1), servers[at].address.clone()))
            .collect(),
        ..Routes::default()
    };
    let addresses = servers.iter().map(|server| server.address.clone()).collect();
    let (driver, clock) =
        driver_of(System::RedisLists, addresses, routes, 10_000, ConsumeMode::Pop);
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
    assert!(
        retries.contains_key(replica) && retries.keys().any(|why| why.starts_with("READONLY")),
        "{retries:?}"
    );
}

/// A primary that is cut off from the others, and not from its clients, goes on answering them. One
/// Sentinel has heard of the new one, the other has not.
#[test]
fn a_deposed_primary_that_still_answers_is_left() {
    let server = || {
        Scripted::start(|asked: &Asked| match asked.words[0].as_slice() {
            b"ROLE" => reply("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
            _ => Act::Store,
        })
    };
    let servers = [server(), server()];
    let ports = servers.each_ref().map(|one| one.address.rsplit_once(':').unwrap().1.to_owned());
    let sentinel = |told: bool| {
        let (ports, asked) = (ports.clone(), AtomicUsize::new(0));
        let named = format!("brokerbench 127.0.0.1 {} 127.0.0.1 {}", ports[0], ports[1]);
        Scripted::start(move |question: &Asked| {
            // The publisher's two connections come before the announcement.
            let new = told && asked.load(Relaxed) >= 2;
            let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
            match question.words[1].as_slice() {
                b"MASTER" => {
                    let epoch = bulk("config-epoch") + &bulk(if new { "8" } else { "7" });
                    reply(&format!("*2\r\n{epoch}"))
                }
                b"get-master-addr-by-name" => {
                    asked.fetch_add(1, Relaxed);
                    let port = bulk(&ports[usize::from(new)]);
                    reply(&format!("*2\r\n{}{port}", bulk("127.0.0.1")))
                }
                _ if told => {
                    let channel = bulk("+switch-master");
                    let confirmed = format!("*3\r\n{}{channel}:1\r\n", bulk("subscribe"));
                    let message = format!("*3\r\n{}{channel}{}", bulk("message"), bulk(&named));
                    reply(&(confirmed + &message))
                }
                _ => Act::HangUp,
            }
        })
    };
    let sentinels = [sentinel(false), sentinel(true)];
    let routes = Routes {
        sentinels: sentinels.iter().map(|one| one.address.clone()).collect(),
        ..Routes::default()
    };
    let addresses = servers.iter().map(|server| server.address.clone()).collect();
    let (driver, clock) =
        driver_of(System::RedisLists, addresses, routes, 10_000, ConsumeMode::Pop);
    let mut publisher = driver.publisher(0).unwrap();
    while servers[1].stored().is_empty() {
        assert!(clock.now_ns() < 20_000 * MS, "still with the deposed one");
        all_acked(&publish(publisher.as_mut(), &clock, 50));
    }
    assert!(publisher.retries().contains_key("connection made again"));
}
