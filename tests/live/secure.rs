//! The binary against a real Kafka with SASL_SSL and a real Redis with TLS and an ACL: it measures,
//! it says what is wrong, and it keeps a secret. Needs Java, Maven (or `KAFKA_HOME`) and a
//! redis-server with TLS, such as Debian's. `cargo test --test live secure:: -- --ignored
//! --test-threads 1`

use crate::secured::{Certificates, Kafka, PASSWORD, Redis, USER};
use crate::support::program::{Ended, run, start};
use brokerbench::access::{Around, Reach, Targets, targets_from_text};
use brokerbench::clock::Clock;
use brokerbench::driver::{self, DriverError, LargeClient, Outcome, Outgoing, Routes, Target};
use brokerbench::environment::{Environment, External};
use brokerbench::scenario::{Cell, Overrides, from_text};
use std::path::Path;
use std::time::{Duration, Instant};

const LATENCY: &str = include_str!("../../scenarios/latency.yaml");
/// Seconds instead of minutes.
const SHORT: &[&str] = &[
    "--profile",
    "quick",
    "--sweep",
    "load.rate=500/s",
    "--set",
    "load.duration=3s",
    "--set",
    "load.warm-up=1s",
    "--set",
    "load.warm-up-limit=2s",
    "--set",
    "load.broker-warm-up=0s",
];
/// Whatever is wrong is told, and not waited out: a client that tries again does so for minutes.
const SOON: Duration = Duration::from_secs(60);

/// A targets file for one software: address, authority, password.
fn targets(kafka: Option<(&str, &Path)>, redis: Option<(&str, &Path)>) -> String {
    let mut text = "schema: 1\n".to_owned();
    if let Some((address, ca)) = kafka {
        text += &format!(
            "kafka:\n  brokers: ['{address}']\n  tls: {{ca: '{}'}}\n  sasl:\n    mechanism: \
             SCRAM-SHA-512\n    user: {USER}\n    password: ${{env:BENCH_PASSWORD}}\n",
            ca.display()
        );
    }
    if let Some((address, ca)) = redis {
        text += &format!(
            "redis:\n  address: '{address}'\n  tls: {{ca: '{}'}}\n  user: {USER}\n  password: \
            ${{env:BENCH_PASSWORD}}\n",
            ca.display()
        );
    }
    text
}

/// `run latency --targets`, one system of it, with this password.
fn attempt(text: &str, system: &str, password: Option<&str>) -> (Ended, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.yaml");
    std::fs::write(&file, text).unwrap();
    let args = [&["--targets", file.to_str().unwrap(), "--system", system], SHORT].concat();
    let begun = Instant::now();
    let ended = run(LATENCY, &args, &[("BENCH_PASSWORD", password)]);
    (ended, begun.elapsed())
}

/// Every file below `folder` whose content or name holds the password.
pub fn leaks(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            leaks(&path, found);
        } else if holds(&std::fs::read(&path).unwrap())
            || holds(path.as_os_str().as_encoded_bytes())
        {
            found.push(path.display().to_string());
        }
    }
}

pub fn holds(bytes: &[u8]) -> bool {
    bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes())
}

#[test]
#[ignore = "needs real brokers"]
fn a_secured_kafka_and_a_secured_redis_are_measured_and_the_password_shows_nowhere() {
    let certificates = Certificates::make();
    let (kafka, redis) = (Kafka::start(&certificates), Redis::start(&certificates, "good"));
    kafka.make_topic("precious");
    redis.set("precious");
    let file = certificates.folder().join("targets.yaml");
    let (kafka_at, redis_at) = (kafka.address("good"), redis.address());
    let ca = certificates.ca();
    std::fs::write(&file, targets(Some((&kafka_at, &ca)), Some((&redis_at, &ca)))).unwrap();

    let args = [&["--targets", file.to_str().unwrap(), "--json"], SHORT].concat();
    let running = start(LATENCY, &args, &[("BENCH_PASSWORD", Some(PASSWORD))]);
    // Another test may be making its Kafka, whose own tool takes passwords as arguments and in no
    // other way.
    let ours =
        |line: &[u8]| holds(line) && !line.windows(11).any(|window| window == b"StorageTool");
    let watched = crate::secured::watch_command_lines(ours);
    let ended = running.end();
    assert!(ended.stderr.contains("environment: external"), "{}", ended.stderr);
    let (looks, seen) = watched.end();
    assert!(looks > 2 && seen.is_empty(), "{looks} looks: {seen:?}");
    let mut found = Vec::new();
    leaks(ended.results(), &mut found);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!holds(ended.stdout.as_bytes()) && !holds(ended.stderr.as_bytes()));

    let summary = ended.measured();
    assert_eq!(summary.environment, "external");
    assert_eq!(summary.cells.len(), 6);
    for cell in &summary.cells {
        let counts = &cell.counts;
        assert_eq!(
            (counts.lost, counts.failed, counts.corrupt),
            (Some(0), Some(0), Some(0)),
            "{cell:#?}"
        );
        assert_eq!(counts.delivered, counts.sent, "{cell:#?}");
        eprintln!("{} {}: {:?}", cell.label, cell.cell, cell.latency.end_to_end);
    }
    // What the brokers were told is what the results say; of the scenario's wishes nothing was set.
    let manifest = std::fs::read_to_string(ended.folder().join("manifest.json")).unwrap();
    for words in [
        "sasl_ssl",
        "SCRAM-SHA-512",
        "yes, verified",
        "appendonly=no for redis-lists",
        "measured without",
    ] {
        assert!(manifest.contains(words), "{words}: {manifest}");
    }
    // Only what carried the run's name is gone.
    assert_eq!(kafka.topics(), ["precious"]);
    assert_eq!(redis.keys(), ["precious"]);
}

#[test]
#[ignore = "needs real brokers"]
fn whatever_is_wrong_is_named_at_once() {
    let certificates = Certificates::make();
    let kafka = Kafka::start(&certificates);
    let (good, stranger) = (certificates.ca(), certificates.stranger());
    for (listener, ca, password, words) in [
        (
            "good",
            &good,
            "wrong",
            &["the login was refused", "SCRAM-SHA-512", "correct the user, the password"][..],
        ),
        (
            "good",
            &stranger,
            PASSWORD,
            &["certificate is not trusted", "authority that is not known", "`tls.ca`"],
        ),
        ("expired", &good, PASSWORD, &["it expired on 2001-01-01", "renew it"]),
        ("named", &good, PASSWORD, &["made out for other.example, not for localhost"]),
        ("plain", &good, PASSWORD, &["does not speak TLS"]),
    ] {
        let address = kafka.address(listener);
        let (ended, took) = attempt(&targets(Some((&address, ca)), None), "kafka", Some(password));
        eprintln!("{listener}: {took:.2?}: {}", ended.stderr.lines().last().unwrap_or_default());
        let ended = ended.with(3, words).with(3, &[&address]);
        assert!(took < SOON && !holds(ended.stderr.as_bytes()), "{took:?}");
    }
    for (certificate, ca, password, words) in [
        (
            "good",
            &good,
            "wrong",
            &["the login was refused", "WRONGPASS", "correct the user or the password"][..],
        ),
        (
            "good",
            &stranger,
            PASSWORD,
            &["certificate is not trusted", "authority that is not known", "`tls.ca`"],
        ),
        ("expired", &good, PASSWORD, &["it expired on 2001-01-01", "renew it"]),
        ("named", &good, PASSWORD, &["made out for other.example, not for localhost"]),
    ] {
        let redis = Redis::start(&certificates, certificate);
        let address = redis.address();
        let (ended, took) =
            attempt(&targets(None, Some((&address, ca))), "redis-lists", Some(password));
        eprintln!(
            "redis {certificate}: {took:.2?}: {}",
            ended.stderr.lines().last().unwrap_or_default()
        );
        let ended = ended.with(3, words).with(3, &[&address]);
        assert!(took < SOON && !holds(ended.stderr.as_bytes()), "{took:?}");
    }
    let redis = Redis::start(&certificates, "good");
    let in_the_clear = format!("schema: 1\nredis: {{address: '{}'}}\n", redis.address());
    attempt(&in_the_clear, "redis-lists", None).0.with(3, &["speaks TLS there"]);
    let in_the_clear = format!("schema: 1\nkafka: {{brokers: ['{}']}}\n", kafka.address("good"));
    attempt(&in_the_clear, "kafka", None).0.with(3, &["TLS"]);
    let nameless = format!(
        "schema: 1\nredis: {{address: '{}', tls: {{ca: '{}'}}}}\n",
        redis.address(),
        good.display()
    );
    attempt(&nameless, "redis-lists", None).0.with(3, &["demands a login"]);
    let text = targets(Some((&kafka.address("good"), &good)), None);
    attempt(&text, "kafka", None).0.with(2, &["kafka.sasl.password", "BENCH_PASSWORD is not set"]);
}

fn reach(text: &str) -> Targets {
    let around = Around {
        remote: false,
        variable: &|name| (name == "BENCH_PASSWORD").then(|| PASSWORD.to_owned()),
    };
    targets_from_text("targets.yaml", text, Path::new(""), &around).unwrap()
}

fn cell(system: &str) -> Cell {
    let text = format!(
        "schema: 1\nname: x\nquestion: x?\nguarantee: none\nsystems: [{system}]\n\
         load: {{model: closed, messages: 1000, in-flight: 10}}\nmessage: {{size: 1KiB}}\n"
    );
    from_text("x", &text, &Overrides::default()).unwrap().cells()[0].clone()
}

fn open(system: &str, Reach { addresses, access, .. }: Reach) -> Box<dyn driver::Driver> {
    let (name, routes) = (format!("bb-live-{system}"), Routes::default());
    let target = Target { addresses, routes, access, name, clock: Clock::start() };
    driver::open(&cell(system), target).unwrap()
}

/// The other ways in: each by librdkafka and by our own connections.
#[test]
#[ignore = "needs real brokers"]
fn every_login_and_a_certificate_of_ours_let_all_clients_in() {
    let certificates = Certificates::make();
    let kafka = Kafka::start(&certificates);
    let ca = certificates.ca();
    let scram = targets(Some((&kafka.address("good"), &ca)), None);
    let mutual = format!(
        "schema: 1\nkafka:\n  brokers: ['{}']\n  tls: {{ca: '{}', certificate: '{}', key: '{}'}}\n",
        kafka.address("mutual"),
        ca.display(),
        certificates.file("client.pem").display(),
        certificates.file("client.key").display()
    );
    for text in [
        scram.clone(),
        scram.replace("512", "256"),
        scram.replace("SCRAM-SHA-512", "PLAIN"),
        mutual.clone(),
    ] {
        let targets = reach(&text);
        External::new(targets.clone()).start(&cell("kafka").config).unwrap();
        let driver = open("kafka", targets.kafka.unwrap());
        driver.prepare().unwrap();
        everything(driver.as_ref(), "kafka");
    }
    let bare = mutual.lines().map(|line| line.split(", certificate").next().unwrap().to_owned());
    let bare =
        bare.map(
            |line| if line.contains("tls:") { format!("{line}}}\n") } else { format!("{line}\n") },
        );
    let error = External::new(reach(&bare.collect::<String>()))
        .start(&cell("kafka").config)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("`tls.certificate`"), "{error}");
    let unknown = scram
        .replace("SCRAM-SHA-512", "PLAIN")
        .replace(&kafka.address("good"), &kafka.address("scram"));
    let error =
        External::new(reach(&unknown)).start(&cell("kafka").config).err().unwrap().to_string();
    assert!(error.contains("no login by PLAIN, but by SCRAM-SHA-512"), "{error}");

    let redis = Redis::start(&certificates, "good");
    for system in ["redis-pubsub", "redis-streams", "redis-lists"] {
        let targets = reach(&targets(None, Some((&redis.address(), &ca))));
        let driver = open(system, targets.redis.unwrap());
        driver.prepare().unwrap();
        everything(driver.as_ref(), system);
    }
    assert_eq!(redis.keys(), Vec::<String>::new());
}

/// A large message there and back by each client, and a consumer that stops reading.
fn everything(driver: &dyn driver::Driver, system: &str) {
    let clock = Clock::start();
    let payload: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let small = &payload[..100_000];
    for client in [LargeClient::Usual, LargeClient::Second] {
        let mut large = match driver.large(client) {
            Ok(large) => large,
            Err(DriverError::Cannot { .. }) => continue,
            Err(error) => panic!("{system}, {client:?}: {error}"),
        };
        for payload in [small, &payload] {
            let trip = large.round_trip(payload, clock.now_ns() + 60_000_000_000);
            // The topic is at its defaults: above a megabyte, Kafka refuses and Redis does not.
            let refused = trip.end.as_ref().err().map(|refusal| refusal.words.clone());
            let refuses = system == "kafka" && payload.len() > 1 << 20;
            assert_eq!(
                refused.is_some(),
                refuses,
                "{system}, {client:?}, {} B: {refused:?}",
                payload.len()
            );
        }
    }
    let mut stalled = driver.stalled(0).unwrap();
    (stalled.ask)().unwrap();
    // What it asked for before it stopped reading is answered by this.
    let (mut publisher, mut ends) = (driver.publisher(0).unwrap(), Vec::new());
    publisher.submit(Outgoing { slot: 0, payload: small, ..Outgoing::default() }).unwrap();
    publisher.flush().unwrap();
    let deadline = clock.now_ns() + 60_000_000_000;
    while ends.is_empty() && clock.now_ns() < deadline {
        publisher.wait(clock.now_ns() + 1_000_000_000, &mut ends).unwrap();
    }
    assert_eq!(
        ends.iter().map(|end| end.outcome).collect::<Vec<_>>(),
        [Outcome::Acked],
        "{system}"
    );
    let mut consumer = stalled.subscriber;
    let mut received = 0;
    let deadline = clock.now_ns() + 60_000_000_000;
    while received == 0 && clock.now_ns() < deadline {
        consumer
            .receive(deadline, &mut |message| received += usize::from(message.payload == small))
            .unwrap();
    }
    assert_eq!(received, 1);
    consumer.close().unwrap();
    driver.clean_up().unwrap();
}
