//! The Redis drivers against a real redis-server: a million messages each, all delivered once and
//! in order.
//!
//! Run with `cargo test --test live redis:: -- --ignored`; needs `redis-server` 7 or newer.

use crate::support::redis::{RedisServer, cell};
use brokerbench::access::{Login, Mechanism, SecretString, Terms};
use brokerbench::clock::Clock;
use brokerbench::driver::{
    Audit, Driver, Incoming, Outcome, Outgoing, Publisher, Submitted, Subscriber,
};
use brokerbench::model::System;
use brokerbench::scenario::{Cell, ConsumeMode};

const MESSAGES: u32 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const CONNECTIONS: usize = 10;

/// Message n carries n and goes over connection n mod 10.
fn publish(cell: &Cell, publisher: &mut dyn Publisher, clock: &Clock) {
    let mut free: Vec<u32> = (0..cell.load.in_flight).collect();
    let (mut next, mut acked, mut completions) = (0, 0, vec![]);
    let deadline = clock.now_ns() + 600 * SECOND;
    let mut payload = [b'.'; 100];
    while acked < MESSAGES {
        assert!(clock.now_ns() < deadline, "{acked} acknowledged");
        while next < MESSAGES
            && let Some(slot) = free.pop()
        {
            payload[..4].copy_from_slice(&next.to_le_bytes());
            let connection = (next as usize % CONNECTIONS) as u16;
            match publisher
                .submit(Outgoing { slot, connection, payload: &payload, ..Outgoing::default() })
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
            free.push(completion.slot);
            acked += 1;
        }
    }
}

fn consume(subscriber: &mut dyn Subscriber, clock: &Clock) {
    let mut last = [-1i64; CONNECTIONS];
    let mut seen = 0;
    let deadline = clock.now_ns() + 600 * SECOND;
    while seen < MESSAGES {
        let now = clock.now_ns();
        assert!(now < deadline, "{seen} received");
        let mut sink = |incoming: Incoming<'_>| {
            let n = u32::from_le_bytes(incoming.payload[..4].try_into().unwrap());
            assert_eq!(incoming.payload.len(), 100);
            // Each connection's messages come without gap, repetition or disorder.
            let lane = &mut last[n as usize % CONNECTIONS];
            let expected =
                if *lane < 0 { n as i64 % CONNECTIONS as i64 } else { *lane + CONNECTIONS as i64 };
            assert_eq!(i64::from(n), expected);
            *lane = n.into();
            seen += 1;
        };
        subscriber.receive(now + SECOND / 10, &mut sink).unwrap();
    }
    subscriber.close().unwrap();
}

fn a_million(cell: &Cell) -> (RedisServer, Box<dyn Driver>) {
    let server = RedisServer::start(&["--client-output-buffer-limit", "pubsub 0 0 0"]);
    let clock = Clock::start();
    let driver = server.driver(cell, clock);
    driver.prepare().unwrap();
    let mut subscriber = driver.subscriber(0, 0).unwrap();
    let mut publisher = driver.publisher(0).unwrap();
    let consumer = std::thread::spawn(move || consume(subscriber.as_mut(), &clock));
    let started = clock.now_ns();
    publish(cell, publisher.as_mut(), &clock);
    consumer.join().unwrap();
    let seconds = (clock.now_ns() - started) as f64 / 1e9;
    eprintln!(
        "{}: {:.0} messages/s published and consumed",
        cell.config.system,
        f64::from(MESSAGES) / seconds
    );
    (server, driver)
}

fn audited(driver: &dyn Driver) -> (Audit, u32) {
    let mut found = 0;
    (driver.audit(u64::MAX / 2, &mut |_| found += 1).unwrap(), found)
}

#[test]
#[ignore = "needs redis-server"]
fn pubsub() {
    let (_server, driver) = a_million(&cell(System::RedisPubsub, 10, 16));
    assert_eq!(audited(driver.as_ref()), (Audit::Nothing, 0));
}

#[test]
#[ignore = "needs redis-server"]
fn streams() {
    let (_server, driver) = a_million(&cell(System::RedisStreams, 10, 16));
    assert_eq!(
        audited(driver.as_ref()),
        (Audit::Retains { trimmed: false, unreadable: Vec::new() }, MESSAGES)
    );
    driver.clean_up().unwrap();
    assert_eq!(
        audited(driver.as_ref()),
        (Audit::Retains { trimmed: false, unreadable: Vec::new() }, 0)
    );
}

#[test]
#[ignore = "needs redis-server"]
fn trimmed_streams() {
    let mut cell = cell(System::RedisStreams, 10, 16);
    cell.config.maxlen = Some(500_000);
    let (_server, driver) = a_million(&cell);
    let (audit, found) = audited(driver.as_ref());
    assert_eq!(audit, Audit::Retains { trimmed: true, unreadable: Vec::new() });
    assert!((500_000..500_200).contains(&found), "{found}");
}

#[test]
#[ignore = "needs redis-server"]
fn lists() {
    let (_server, driver) = a_million(&cell(System::RedisLists, 10, 16));
    assert_eq!(audited(driver.as_ref()), (Audit::Remainder, 0));
}

#[test]
#[ignore = "needs redis-server"]
fn reliable_lists() {
    let mut cell = cell(System::RedisLists, 10, 16);
    cell.config.consume.mode = ConsumeMode::Reliable;
    let (_server, driver) = a_million(&cell);
    assert_eq!(audited(driver.as_ref()), (Audit::Remainder, 0));
}

#[test]
#[ignore = "needs redis-server"]
fn what_a_reliable_consumer_did_not_finish_is_still_there() {
    let mut cell = cell(System::RedisLists, 1, 16);
    cell.config.consume.mode = ConsumeMode::Reliable;
    let (server, clock) = (RedisServer::start(&[]), Clock::start());
    let driver = server.driver(&cell, clock);
    let mut publisher = driver.publisher(0).unwrap();
    for slot in 0..10 {
        publisher.submit(Outgoing { slot, payload: &[b'x'; 100], ..Outgoing::default() }).unwrap();
    }
    publisher.flush().unwrap();
    let (mut subscriber, mut completions, mut seen) = (driver.subscriber(0, 0).unwrap(), vec![], 0);
    while completions.len() < 10 {
        publisher.wait(clock.now_ns() + SECOND, &mut completions).unwrap();
    }
    // 1, 2 and 4 of them; the first three are acknowledged by then.
    for _ in 0..3 {
        subscriber.receive(clock.now_ns(), &mut |_| seen += 1).unwrap();
    }
    drop(subscriber);
    assert_eq!((seen, audited(driver.as_ref())), (7, (Audit::Remainder, 7)));
}

/// By the library that applications use: the same books.
#[test]
#[ignore = "needs redis-server"]
fn redis_rs() {
    for system in [System::RedisPubsub, System::RedisStreams, System::RedisLists] {
        let mut cell = cell(system, 10, 16);
        cell.config.client.insert("library".into(), "redis-rs".into());
        let (_server, driver) = a_million(&cell);
        let left = if system == System::RedisStreams { MESSAGES } else { 0 };
        assert_eq!(audited(driver.as_ref()).1, left, "{system}");
        let client = driver.describe().unwrap().client_version;
        assert!(client.starts_with("redis-rs 1."), "{client}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn settings_are_read_back_and_secrets_are_not() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always", "--requirepass", "hunter2"];
    let server = RedisServer::start(&settings);
    let cell = cell(System::RedisStreams, 1, 1);
    let target = |password: &str| {
        let (password, mechanism) = (SecretString::from(password), Mechanism::Plain);
        let login = Some(Login { user: None, password, mechanism });
        let access = Terms { login, database: 1, ..Terms::default() }.into();
        brokerbench::driver::Target {
            addresses: vec![format!("127.0.0.1:{}", server.port)],
            routes: Default::default(),
            access,
            name: "bench".into(),
            clock: Clock::start(),
        }
    };
    let driver = brokerbench::driver::open(&cell, target("hunter2")).unwrap();
    driver.prepare().unwrap();
    let description = driver.describe().unwrap();
    assert_eq!(description.broker_config["appendfsync"], "always");
    assert!(
        description.broker_version.starts_with("Redis ")
            || description.broker_version.starts_with("Valkey ")
    );
    let survives = driver.survives();
    assert!(
        survives.process_kill && survives.power_loss && !survives.node_loss && survives.copies == 1
    );
    let stranger = brokerbench::driver::open(&cell, target("hunter3")).unwrap();
    let refused = stranger.prepare().unwrap_err();
    for text in
        [format!("{description:?}"), survives.because, refused.to_string(), format!("{refused:?}")]
    {
        assert!(!text.contains("hunter"), "{text}");
    }
    let nobody = server.driver(&cell, Clock::start()).prepare().unwrap_err().to_string();
    assert!(nobody.contains("NOAUTH") || nobody.contains("Authentication"), "{nobody}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_frozen_server_delays_and_loses_nothing() {
    for (system, mode) in [
        (System::RedisPubsub, ConsumeMode::Pop),
        (System::RedisStreams, ConsumeMode::Pop),
        (System::RedisLists, ConsumeMode::Pop),
        (System::RedisLists, ConsumeMode::Reliable),
    ] {
        let mut cell = cell(system, 1, 1);
        cell.config.consume.mode = mode;
        let (server, clock) = (RedisServer::start(&[]), Clock::start());
        let driver = server.driver(&cell, clock);
        driver.prepare().unwrap();
        let (mut subscriber, mut publisher) =
            (driver.subscriber(0, 0).unwrap(), driver.publisher(0).unwrap());
        let mut seen = 0;
        subscriber.receive(clock.now_ns() + SECOND / 100, &mut |_| seen += 1).unwrap();
        server.signal(rustix::process::Signal::STOP);
        publisher
            .submit(Outgoing { slot: 0, payload: &[b'x'; 100], ..Outgoing::default() })
            .unwrap();
        publisher.flush().unwrap();
        for _ in 0..2 {
            let started = clock.now_ns();
            subscriber.receive(started + SECOND / 10, &mut |_| seen += 1).unwrap();
            // Far less than a client waits for one answer: it does not wait for the server.
            assert!(clock.now_ns() - started < 8 * SECOND, "{system}");
        }
        let mut completions = vec![];
        publisher.wait(clock.now_ns() + SECOND / 100, &mut completions).unwrap();
        assert_eq!((seen, completions.len()), (0, 0));
        server.signal(rustix::process::Signal::CONT);
        let deadline = clock.now_ns() + 60 * SECOND;
        while (seen == 0 || completions.is_empty()) && clock.now_ns() < deadline {
            publisher.wait(clock.now_ns() + SECOND / 10, &mut completions).unwrap();
            subscriber.receive(clock.now_ns() + SECOND / 10, &mut |_| seen += 1).unwrap();
        }
        assert_eq!((seen, completions.len()), (1, 1), "{system} {mode:?}");
        subscriber.close().unwrap();
    }
}
