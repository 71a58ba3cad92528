//! A topic of SNS and its queues of SQS, played by LocalStack behind a door of the tests that
//! checks signatures and rights, throttles, limits sizes and loses answers. Needs LocalStack, which
//! `scripts/lib/fetch-localstack.sh` puts into the cache:
//! `cargo test --features aws --test live sns:: -- --ignored --test-threads 2`
//!
//! Nobody plays the archive of a FIFO topic, `MaximumMessageSize`, the queue's policy, or what a
//! standard topic does at will: twice, and in another order. None of it is tested here.

use crate::secure::{holds, leaks};
use crate::secured::{PASSWORD, Process, ports};
use crate::support::door::{Door, KEY, REGION, Rules};
use crate::support::program::{BRIEFLY_WARMED, Ended, MACHINE, Run, start};
use brokerbench::environment::cache_dir;
use brokerbench::result::{CellSummary, Observation};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// Whatever has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(90);

struct Emulator {
    _process: Process,
    port: u16,
}

/// Whether a list has a queue or a topic of a run. The id of a request may hold `bb-` too.
fn names_ours(listed: &str) -> bool {
    listed.contains("/bb-") || listed.contains(":bb-")
}

impl Emulator {
    fn start() -> Self {
        let program = cache_dir().unwrap().join("localstack-2026.3.0/bin/python");
        assert!(program.exists(), "{} is missing: run scripts/test", program.display());
        let ([port], folder) = (ports::<1>(), tempfile::tempdir().unwrap());
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/loopback.py");
        command.args([here, "localstack.runtime.main"]).envs([
            ("FILESYSTEM_ROOT", folder.path().to_str().unwrap()),
            ("SERVICES", "sns,sqs"),
            ("STRICT_SERVICE_LOADING", "1"),
            ("DISABLE_EVENTS", "1"),
            ("SKIP_SSL_CERT_DOWNLOAD", "1"),
            ("DNS_ADDRESS", "0"),
            ("GATEWAY_LISTEN", address.as_str()),
            ("SQS_ENDPOINT_STRATEGY", "path"),
            ("LOCALSTACK_HOST", address.as_str()),
        ]);
        let emulator = Self { _process: Process::start(command, folder), port };
        emulator.until("to listen", |emulator| emulator.topics().contains("ListTopicsResponse"));
        emulator.is_on_loopback_alone();
        emulator
    }

    /// An action of either service, straight: the emulator asks for no signature.
    fn ask(&self, service: &str, form: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return String::new();
        };
        // On a busy machine it answers late.
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let request = format!(
            "POST / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nAuthorization: \
             AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, \
             SignedHeaders=host, Signature=0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            self.port,
            form.len()
        );
        let mut answer = String::new();
        let sent = stream.write_all(request.as_bytes());
        let _ = sent.and_then(|()| stream.read_to_string(&mut answer));
        answer
    }

    fn topics(&self) -> String {
        self.ask("sns", "Action=ListTopics&Version=2010-03-31")
    }

    fn queues(&self) -> String {
        self.ask("sqs", "Action=ListQueues&Version=2012-11-05")
    }

    fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < PATIENCE, "the emulator was never seen {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_empty(&self) {
        for listed in [self.topics(), self.queues()] {
            assert!(listed.contains("Response>"), "{listed}");
            assert!(!names_ours(&listed), "left behind: {listed}");
        }
    }

    fn is_on_loopback_alone(&self) {
        let port = format!(":{:04X}", self.port);
        let mut addresses = Vec::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            for line in std::fs::read_to_string(table).unwrap_or_default().lines() {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if let [_, address, _, "0A", ..] = fields[..]
                    && address.ends_with(&port)
                {
                    addresses.push(address.to_owned());
                }
            }
        }
        assert!(!addresses.is_empty());
        let zeros = |address: &str| address.bytes().all(|digit| digit == b'0');
        let everywhere = |address: &String| zeros(address.trim_end_matches(port.as_str()));
        assert!(!addresses.iter().any(everywhere), "{addresses:?}");
    }
}

const STANDARD: &str = "sns: {}";
const FIFO: &str = "fifo: {system: sns, topic: {config: {FifoTopic: true}}, keys: 4}";

fn scenario(systems: &str, load: &str) -> String {
    format!(
        "schema: 1\nname: sns\nquestion: Is every message accounted for?\nguarantee: none\n\
         systems: {{{systems}}}\nmessage: {{size: 100B}}\nload: {{model: open, warm-up: 1s, \
         warm-up-limit: 2s, broker-warm-up: 0s, drain: 30s, {load}}}\n"
    )
}

/// An emulator, the door before it, and a targets file that leads there.
struct Stage {
    emulator: Emulator,
    door: Door,
    folder: tempfile::TempDir,
}

impl Stage {
    fn set() -> Self {
        let emulator = Emulator::start();
        let door = Door::open(&format!("127.0.0.1:{}", emulator.port), PASSWORD);
        let folder = tempfile::tempdir().unwrap();
        let targets = format!(
            "schema: 1\nsns:\n  iam: {{region: {REGION}}}\n  endpoints: ['http://{}']\n",
            door.address
        );
        std::fs::write(folder.path().join("targets.yaml"), targets).unwrap();
        Self { emulator, door, folder }
    }

    fn begin(&self, scenario: &str, (key, secret): (&str, &str), args: &[&str]) -> Run {
        let targets = self.folder.path().join("targets.yaml");
        let args = [&["--targets", targets.to_str().unwrap(), "--json"], args].concat();
        let environment = [
            ("AWS_ACCESS_KEY_ID", Some(key)),
            ("AWS_SECRET_ACCESS_KEY", Some(secret)),
            ("AWS_SESSION_TOKEN", None),
            ("AWS_PROFILE", None),
            ("AWS_REGION", None),
            ("AWS_EC2_METADATA_DISABLED", Some("true")),
        ];
        start(scenario, &args, &environment)
    }

    fn run(&self, scenario: &str, args: &[&str]) -> Ended {
        self.begin(scenario, (KEY, PASSWORD), args).end()
    }
}

/// The one cell of a run whose end does not matter.
fn cell(ended: &Ended) -> CellSummary {
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let mut cells = ended.summary().cells;
    assert_eq!(cells.len(), 1, "{}", ended.stderr);
    cells.remove(0)
}

#[test]
#[ignore = "needs real brokers"]
fn every_queue_gets_every_message_and_nothing_is_left() {
    let stage = Stage::set();
    let load = "rate: 50/s, duration: 8s, subscriptions: 2";
    let ended = stage.run(&scenario(&format!("{STANDARD}, {FIFO}"), load), &[]);
    let summary = ended.measured();
    assert_eq!(summary.cells.len(), 2);
    for cell in &summary.cells {
        let counts = &cell.counts;
        let none = Some(0);
        assert_eq!((counts.lost, counts.failed, counts.foreign), (none, none, none), "{cell:#?}");
        assert_eq!(counts.delivered, counts.sent.map(|sent| 2 * sent), "{cell:#?}");
        if cell.label == "fifo" {
            assert_eq!((counts.duplicate, counts.reordered), (none, none), "{cell:#?}");
        }
    }
    let manifest = std::fs::read_to_string(ended.folder().join("manifest.json")).unwrap();
    for words in ["an emulator of SNS and SQS", "aws-sdk-sns 1.", "RawMessageDelivery"] {
        assert!(manifest.contains(words), "`{words}` is missing in: {manifest}");
    }
    let mut found = Vec::new();
    leaks(ended.results(), &mut found);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!holds(ended.stdout.as_bytes()) && !holds(ended.stderr.as_bytes()));
    stage.emulator.is_empty();
}

#[test]
#[ignore = "needs real brokers"]
fn what_keeps_a_run_out_is_told_with_what_to_do() {
    let stage = Stage::set();
    let short = scenario(STANDARD, "rate: 10/s, duration: 1s");
    let denied = |denied: &'static str| Rules { denied, ..Rules::default() };
    let ahead = Rules { ahead_s: 420, ..Rules::default() };
    let (right, wrong) = ((KEY, PASSWORD), (KEY, "another secret"));
    for (rules, keys, words) in [
        (Rules::default(), wrong, &["the secret access key", "AWS_SECRET_ACCESS_KEY"][..]),
        (Rules::default(), ("AKIDNOBODY", PASSWORD), &["does not know the access key id"]),
        (ahead, right, &["7 minutes behind", "timedatectl"]),
        (denied("sns:ListTopics"), right, &["grant `sns:ListTopics`", "docs/sns.md"]),
        (denied("sns:CreateTopic"), right, &["make the topic", "grant `sns:CreateTopic`"]),
        (denied("sqs:CreateQueue"), right, &["make a queue", "grant `sqs:CreateQueue`"]),
        (denied("sns:Publish"), right, &["probe message", "grant `sns:Publish`"]),
        (denied("sqs:ReceiveMessage"), right, &["receive", "grant `sqs:ReceiveMessage`"]),
    ] {
        stage.door.set(rules);
        let ended = stage.begin(&short, keys, &[]).end();
        assert_ne!(ended.code, Some(0), "{words:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "`{word}` is missing in: {}", ended.stderr);
        }
        assert!(!holds(ended.stdout.as_bytes()) && !holds(ended.stderr.as_bytes()));
    }
    stage.emulator.is_empty();
}

#[test]
#[ignore = "needs real brokers"]
fn what_is_throttled_is_tried_again_and_counted() {
    let stage = Stage::set();
    let load = scenario(STANDARD, "rate: 20/s, duration: 6s, connections: 1");
    for (action, reason) in
        [("PublishBatch", "publish: Throttling"), ("ReceiveMessage", "consume: RequestThrottled")]
    {
        stage.door.set(Rules { throttled: Some((action, 4)), ..Rules::default() });
        let ended = stage.run(&load, &[]);
        let cell = ended.measured().cells.remove(0);
        let counts = &cell.counts;
        assert_eq!((counts.lost, counts.failed), (Some(0), Some(0)), "{cell:#?}");
        let counted = cell.retries.iter().find(|(why, _)| why.contains(reason));
        assert!(counted.is_some_and(|(_, count)| *count > 0), "{reason}: {:?}", cell.retries);
    }
}

/// Of one call all three attempts are carried out and none is answered.
#[test]
#[ignore = "needs real brokers"]
fn what_was_taken_without_an_answer_is_in_doubt_and_in_the_books() {
    let stage = Stage::set();
    let load = "rate: 20/s, duration: 8s, connections: 1";
    for systems in [STANDARD, FIFO] {
        stage.door.set(Rules { cut: Some(("PublishBatch", 10..=12)), ..Rules::default() });
        let ended = stage.run(&scenario(systems, load), &[]);
        let cell = cell(&ended);
        let counts = &cell.counts;
        let doubtful = counts.indeterminate.unwrap();
        assert!((1..=10).contains(&doubtful), "{cell:#?}");
        assert_eq!((counts.lost, counts.failed), (Some(0), Some(0)), "{cell:#?}");
        // Taken three times; a FIFO topic knows them by their marks.
        let twice = counts.duplicate.unwrap();
        let expected = if systems == FIFO { 0 } else { 2 * doubtful };
        assert_eq!(twice, expected, "{cell:#?}");
        let others = cell.invalid_because.iter();
        let others: Vec<_> =
            others.filter(|why| !MACHINE.iter().any(|gate| why.starts_with(gate))).collect();
        assert!(others.is_empty(), "{others:?}");
    }
    stage.emulator.is_empty();
}

/// As a policy or a filter drops that nobody is told of.
#[test]
#[ignore = "needs real brokers"]
fn what_is_acknowledged_and_goes_nowhere_is_found_by_the_books() {
    let stage = Stage::set();
    stage.door.set(Rules { dropped: Some(10..=11), ..Rules::default() });
    let ended = stage.run(&scenario(STANDARD, "rate: 20/s, duration: 4s, connections: 1"), &[]);
    let cell = cell(&ended);
    let counts = &cell.counts;
    assert!(counts.lost.is_some_and(|lost| (2..=20).contains(&lost)), "{cell:#?}");
    assert_eq!((counts.failed, counts.acked), (Some(0), counts.sent), "{cell:#?}");
    // Every one of them is dropped: then the run does not begin.
    stage.door.set(Rules { dropped: Some(1..=u32::MAX), ..Rules::default() });
    let ended = stage.run(&scenario(STANDARD, "rate: 20/s, duration: 4s"), &[]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("consuming a probe message"), "{}", ended.stderr);
    stage.emulator.is_empty();
}

fn find<'a>(cell: &'a CellSummary, metric: &str, point: &str) -> &'a Observation {
    let found = cell.observations.iter().find(|seen| seen.metric == metric && seen.point == point);
    found.unwrap_or_else(|| panic!("no {metric} at `{point}`: {:#?}", cell.observations))
}

#[test]
#[ignore = "needs real brokers"]
fn the_largest_message_is_found_and_who_refuses_more_is_named() {
    let stage = Stage::set();
    let ladder = "schema: 1\nname: sns\nquestion: Q?\nsystems: {sns: {}}\nexperiment: \
        {kind: size-ladder, sizes: [1KiB, 64KiB, 256KiB], codecs: [none], payloads: [random], \
        repeat: 50ms}\n";
    let cell = stage.run(ladder, &[]).measured().cells.remove(0);
    // 256 KiB of base64 are the limit, found to a thousandth.
    let limit = 196_608.0;
    let largest = find(&cell, "largest_intact", "codec=none").value.unwrap();
    let first = find(&cell, "first_refused", "codec=none");
    let refused = first.value.unwrap();
    assert!(largest <= limit && limit < refused, "{largest} to {refused}");
    assert!(refused - largest <= 1.0 + largest / 1000.0, "{largest} to {refused}");
    for words in ["broker: ", "base64", "MaximumMessageSize"] {
        assert!(first.text.contains(words), "`{words}` is missing in: {}", first.text);
    }
    stage.emulator.is_empty();
}

/// A limit of the topic below that of its clients, which one message keeps and two do not: whole
/// batches are refused, and counted.
#[test]
#[ignore = "needs real brokers"]
fn what_is_above_the_limit_fails_and_is_not_lost() {
    let stage = Stage::set();
    stage.door.set(Rules { largest: Some(200), ..Rules::default() });
    let ended = stage.run(&scenario(STANDARD, "rate: 150/s, duration: 4s, connections: 1"), &[]);
    let cell = cell(&ended);
    let counts = &cell.counts;
    assert!(counts.failed.unwrap() > 0 && counts.acked.unwrap() > 0, "{cell:#?}");
    assert_eq!((counts.lost, counts.phantom), (Some(0), Some(0)), "{cell:#?}");
    stage.emulator.is_empty();
}

#[test]
#[ignore = "needs real brokers"]
fn what_fails_thrice_is_a_dead_letter_and_what_was_read_is_gone() {
    let stage = Stage::set();
    let of = |experiment: &str| {
        format!(
            "schema: 1\nname: sns\nquestion: Q?\nguarantee: none\nsystems: {{sns: {{client: \
             {{VisibilityTimeout: 5}}}}}}\nexperiment: {{{experiment}}}\n"
        )
    };
    let poison = "kind: poison, rate: 80/s, warm-up: 500ms, duration: 2s, crash: 8s, drain: 20s";
    let cell = stage.run(&of(poison), &BRIEFLY_WARMED).measured().cells.remove(0);
    let value = |metric: &str, point: &str| find(&cell, metric, point).value;
    // Every hundredth of 200.
    assert_eq!(value("dead_lettered", "poison=1%"), Some(2.0), "{cell:#?}");
    assert_eq!(value("lost", "poison=1%"), Some(0.0), "{cell:#?}");
    assert_eq!(value("crash.lost", ""), Some(0.0), "{cell:#?}");
    stage.emulator.is_empty();

    let retention = "kind: retention, messages: 500, drain-rate: 100/s";
    let cell = stage.run(&of(retention), &BRIEFLY_WARMED).measured().cells.remove(0);
    let told = format!("{:#?}", cell.observations);
    assert!(told.contains("ArchivePolicy"), "{told}");
    stage.emulator.is_empty();
}

#[test]
#[ignore = "needs real brokers"]
fn what_a_killed_run_left_is_deleted_by_the_next_and_nothing_else_is() {
    let stage = Stage::set();
    // Somebody else's: one of them is called as ours are, and not tagged.
    for name in ["orders", "bb-abc123-sns-base"] {
        stage.emulator.ask("sns", &format!("Action=CreateTopic&Version=2010-03-31&Name={name}"));
    }
    let long = scenario(STANDARD, "rate: 10/s, duration: 600s");
    let killed = stage.begin(&long, (KEY, PASSWORD), &[]);
    stage.emulator.until("to have a queue", |emulator| names_ours(&emulator.queues()));
    killed.signal(Signal::KILL);
    assert_eq!(killed.end().code, None);
    let left = stage.emulator.queues();
    assert!(names_ours(&left), "it was cleared up before it was swept: {left}");

    let ended = stage.run(&scenario(STANDARD, "rate: 10/s, duration: 3s"), &[]);
    ended.measured();
    let manifest = std::fs::read_to_string(ended.folder().join("manifest.json")).unwrap();
    assert!(manifest.contains("a run that was killed had left behind was deleted"), "{manifest}");
    let queues = stage.emulator.queues();
    assert!(queues.contains("Response>") && !names_ours(&queues), "{queues}");
    let topics = stage.emulator.topics();
    assert!(topics.contains(":orders") && topics.contains(":bb-abc123-sns-base"), "{topics}");
    assert_eq!(topics.matches("<TopicArn>").count(), 2, "{topics}");
}
