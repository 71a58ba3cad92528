//! The real binary against real brokers: every message accounted for, good days and bad ones. Needs
//! Java, Maven (or `KAFKA_HOME`) and redis-server: `cargo test --test live run:: -- --ignored
//! --test-threads 1`

use crate::support::harness::exe;
use crate::support::program::{MACHINE, run, send, start, start_into};
use brokerbench::result::{CellOutcome, Status, parse_windows};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const MESSAGES: u64 = 200_000;

fn scenario(systems: &str, load: &str) -> String {
    format!(
        "schema: 1\nname: live\nquestion: Is every message accounted for?\nguarantee: none\n\
         systems: {systems}\nload: {{broker-warm-up: 1s, {load}}}\nmessage: {{size: 100B}}\n"
    )
}

/// A load on one system that lasts for `seconds` after a warm-up of one.
fn load_of(system: &str, seconds: u32) -> String {
    let load =
        format!("model: open, rate: 500/s, warm-up: 1s, warm-up-limit: 2s, duration: {seconds}s");
    scenario(&format!("[{system}]"), &load)
}

/// One that comes to its end.
fn short(system: &str) -> String {
    load_of(system, 4)
}

/// One whose end comes before its time.
fn long(system: &str) -> String {
    load_of(system, 60)
}

#[test]
#[ignore = "needs real brokers"]
fn every_message_of_every_system_is_accounted_for() {
    let systems = ["kafka", "redis-pubsub", "redis-streams", "redis-lists"];
    let load = format!("model: closed, messages: {MESSAGES}, in-flight: 1000, batch: 100");
    let ended = run(&scenario(&format!("[{}]", systems.join(", ")), &load), &["--json"], &[]);
    let summary = ended.measured();
    let printed: serde_json::Value =
        serde_json::from_str(ended.stdout.trim()).expect("one line of JSON");
    assert_eq!(printed, serde_json::to_value(&summary).unwrap());
    assert_eq!(summary.cells.iter().map(|cell| cell.label.as_str()).collect::<Vec<_>>(), systems);
    for cell in &summary.cells {
        let counts = &cell.counts;
        let acked = (cell.label != "redis-pubsub").then_some(MESSAGES);
        assert_eq!((counts.sent, counts.acked), (Some(MESSAGES), acked), "{cell:#?}");
        assert_eq!(counts.delivered, Some(MESSAGES), "{cell:#?}");
        let none = [
            counts.failed,
            counts.indeterminate,
            counts.undelivered,
            counts.lost,
            counts.duplicate,
        ];
        assert_eq!(none, [Some(0); 5], "{cell:#?}");
        let none = [counts.phantom, counts.corrupt, counts.reordered, counts.foreign];
        assert_eq!(none, [Some(0); 4], "{cell:#?}");
        // What is read again after the load: Kafka and Streams keep everything, a list what is left
        // of it.
        let audited = matches!(cell.label.as_str(), "kafka" | "redis-streams");
        assert!(!audited || counts.broker_lost == Some(0), "{cell:#?}");
        let publish = &cell.latency.publish;
        assert!(publish.is_none(), "closed: no latency against a schedule: {cell:#?}");
    }
    assert_rendered_again(ended.results(), &ended.folder());
}

/// Tables and charts are functions of the raw files: rendered again, they are the same bytes.
fn assert_rendered_again(results: &Path, folder: &Path) {
    let before = content(folder);
    let output =
        Command::new(exe()).args(["report", "latest", "--results"]).arg(results).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = content(folder);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, bytes) in &before {
        assert!(after[path] == *bytes, "{} differs", path.display());
    }
}

fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.insert(path, bytes);
        }
    }
    files
}

/// Alone, each label would run at half of its own capacity: together they run at one rate, and the
/// results say whose.
#[test]
#[ignore = "needs real brokers"]
fn half_of_the_slowest_capacity_is_one_rate_for_all() {
    let load = "model: open, rate: half-capacity, warm-up: 1s, warm-up-limit: 2s, duration: 2s, \
        batch: 100";
    let ended = run(&scenario("[redis-pubsub, redis-lists]", load), &["--set", "blocks=2"], &[]);
    // A build for tests on a loaded machine may send too late, which makes cells invalid (13) and
    // changes nothing here.
    assert!(matches!(ended.code, Some(0 | 13)), "{}", ended.stderr);
    let (summary, manifest) = (ended.summary(), content(&ended.folder()));
    let manifest: serde_json::Value =
        serde_json::from_slice(&manifest[&ended.folder().join("manifest.json")]).unwrap();
    assert_eq!(
        (&manifest["environment"], &manifest["environment_because"]),
        (&"native".into(), &"asked for".into())
    );
    let found = &manifest["rates_found"]["base"];
    let Some(rate) = found["rate"].as_str() else {
        let because = found["because"].as_str().unwrap();
        assert!(
            MACHINE.iter().any(|gate| because.contains(&format!("was spoilt: {gate}"))),
            "{found:#}"
        );
        eprintln!("NOT TESTED: {because}");
        return;
    };
    let carried = |label: &str| found["carried"][label]["low_per_s"].as_f64().unwrap();
    let slowest = carried("redis-pubsub").min(carried("redis-lists"));
    let rate = rate.parse::<brokerbench::units::Rate>().unwrap().per_s();
    assert!((0.45..=0.5).contains(&(rate / slowest)), "{found:#}");
    assert_eq!(summary.cells.len(), 4);
    for cell in &summary.cells {
        assert!((cell.rates.offered_per_s.unwrap() / rate - 1.0).abs() < 0.01, "{cell:#?}");
        let metrics: Vec<&str> =
            cell.observations.iter().map(|seen| seen.metric.as_str()).collect();
        let expected = ["capacity.half", "capacity.low", "utilisation"];
        let seen = |name: &&str| metrics.contains(name);
        let once = if cell.block == 1 { expected.iter().all(seen) } else { metrics.is_empty() };
        assert!(once, "the search was made once: {metrics:?}");
    }
    assert_rendered_again(ended.results(), &ended.folder());
}

#[test]
#[ignore = "needs real brokers"]
fn a_broker_that_dies_under_the_search_ends_the_run_and_says_so() {
    let load = "model: open, rate: half-capacity, warm-up: 1s, duration: 2s";
    let mut running = start(&scenario("[redis-lists]", load), &[], &[]);
    running.await_words("redis-lists base: capacity search\n");
    std::thread::sleep(Duration::from_secs(2));
    send(running.broker("redis-server"), Signal::KILL);
    running.end().with(3, &["redis-lists: the search for its capacity failed", "died", "SIGKILL"]);
}

/// What was due and never answered does not leave the histogram, and no threshold on a latency
/// holds on the few that were served before.
#[test]
#[ignore = "needs real brokers"]
fn a_broker_that_stops_for_good_fails_a_threshold_on_latency() {
    let load = "model: open, rate: 2k/s, warm-up: 1s, warm-up-limit: 1s, duration: 6s, drain: 1s, \
                audit: false, floor: false";
    let rule = ["--threshold", "end_to_end.p99 < 50ms", "-v"];
    let mut running = start(&scenario("[redis-lists]", load), &rule, &[]);
    running.await_words("redis-lists base block 1\n");
    std::thread::sleep(Duration::from_secs(3));
    send(running.broker("redis-server"), Signal::STOP);
    let ended = running.end().with(10, &[]);
    let summary = ended.summary();
    let cell = &summary.cells[0];
    // An element that was popped and not written out when the server stopped is lost as well.
    let outcome = match cell.outcome {
        CellOutcome::Violated => "violated",
        _ => "overloaded",
    };
    let told = [
        format!("{outcome}: redis-lists base block 1: "),
        "> ".into(),
        format!("the cell was {outcome} ("),
        "% of the offered load in time".into(),
    ];
    for words in told {
        assert!(ended.stdout.contains(&words), "`{words}` is missing in: {}", ended.stdout);
    }
    let latency = cell.latency.end_to_end.as_ref().unwrap();
    assert_eq!(latency.p99_ns, None, "{cell:#?}");
    assert_eq!(latency.count + latency.censored, 12_000, "all that the window planned");
    assert!(latency.at_least_ns["p99"] >= 1_000_000_000, "the drain at least: {latency:#?}");
    let completed = cell.completed_of_planned.unwrap();
    assert!((completed - latency.count as f64 / 12_000.0).abs() < 0.01, "{completed}");
    assert_rendered_again(ended.results(), &ended.folder());
}

/// Above what a system carries, its rates are those of the clock, as the seconds say them.
#[test]
#[ignore = "needs real brokers"]
fn the_rates_of_an_overload_are_those_of_its_seconds() {
    let load = "model: open, rate: 600k/s, warm-up: 1s, warm-up-limit: 1s, duration: 3s, \
                in-flight: 10000, drain: 10s, floor: false";
    let ended = run(&scenario("[redis-streams]", load), &[], &[]);
    let folder = ended.folder();
    let summary = ended.summary();
    let cell = &summary.cells[0];
    let path = folder.join(&cell.files["windows"]);
    let rows = parse_windows(&fs::read(&path).unwrap(), &path).unwrap();
    let rows = || rows.iter().filter(|row| row.phase == "measure");
    let acked = rows().map(|row| row.acked_messages).sum::<u64>() as f64 / rows().count() as f64;
    let told = cell.rates.acked_per_s.unwrap();
    assert!((told / acked - 1.0).abs() < 1e-9, "{told} and {acked}");
    assert!(cell.rates.goodput_per_s.unwrap() <= told);
}

/// What a server refuses is told with its words, and a cell that it refused as a whole is not
/// green.
#[test]
#[ignore = "needs real brokers"]
fn what_a_broker_refuses_is_told_in_its_words() {
    let systems = "{redis-streams: {broker: {maxmemory: 3mb, maxmemory-policy: noeviction}}}";
    let load = "model: closed, warm-up: 1s, warm-up-limit: 1s, duration: 2s, drain: 1s";
    let ended = run(&scenario(systems, load), &[], &[]);
    let summary = ended.summary();
    let cell = &summary.cells[0];
    let because = cell.outcome_because.join("; ");
    assert!(because.contains("OOM command not allowed"), "{cell:#?}");
    assert!(cell.failures.keys().any(|reason| reason.starts_with("OOM")), "{cell:#?}");
    assert!(ended.stdout.contains("OOM command not allowed"), "{}", ended.stdout);
    match cell.outcome {
        CellOutcome::Stalled => assert_eq!(ended.code, Some(13), "{}", ended.stderr),
        outcome => assert_eq!(outcome, CellOutcome::Overloaded, "{cell:#?}"),
    }
}

/// A broker that stands still for S in a run of D delays every message that was due meanwhile:
/// quantile q of all messages is S − (1 − q)·D at least. An instrument that waits for its answers
/// before it counts on sees nothing of it. How long the broker then takes to work off what waited
/// is its own affair, and seen in when it acknowledged: in order, so that those behind the one that
/// waited longest waited less by no more than they were due later.
fn a_pause_is_seen_in_full(system: &str, program: &str) {
    let load = "model: open, rate: 500/s, messages: 5000, duration: 10s, in-flight: 4096";
    let mut running = start(&scenario(&format!("[{system}]"), load), &[], &[]);
    // The cell itself, behind the warming of the broker and the instrument's floor.
    running.await_words(&format!("{system} base block 1\n"));
    let broker = running.broker(program);
    std::thread::sleep(Duration::from_secs(3));
    send(broker, Signal::STOP);
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let stall = begun.elapsed().as_secs_f64();
    send(broker, Signal::CONT);
    let ended = running.end();
    let summary = ended.summary();
    let (cell, hundredth, at_most) =
        (&summary.cells[0], 0.01 * 10.0, longest_owed(&ended.folder()));
    assert_eq!(
        (cell.counts.sent, cell.counts.delivered, cell.counts.lost),
        (Some(5000), Some(5000), Some(0))
    );
    for (name, quantiles) in
        [("publish", &cell.latency.publish), ("end_to_end", &cell.latency.end_to_end)]
    {
        let quantiles = quantiles.as_ref().unwrap();
        let [p99, longest] =
            [quantiles.p99_ns, quantiles.max_ns].map(|found| found.unwrap() as f64 / 1e9);
        eprintln!(
            "{system}: paused for {stall:.3} s, {name} p99 {p99:.3} s, max {longest:.3} s of \
            {at_most:.3} s"
        );
        assert!(longest > 0.99 * stall && longest < at_most, "{name}: {cell:#?}");
        assert!(
            p99 > 0.99 * (stall - hundredth) && p99 > 0.99 * (longest - hundredth),
            "{name}: {cell:#?}"
        );
    }
}

/// Seconds from the beginning of the first one at whose end many messages had been due and not
/// acknowledged until the end of the first after the last such one: by the acknowledgements' own
/// clock, none waited for longer.
fn longest_owed(folder: &Path) -> f64 {
    let files = content(folder);
    let (path, text) = files.iter().find(|(path, _)| path.ends_with("windows.csv")).unwrap();
    let rows = parse_windows(text, path).unwrap();
    let (mut due, mut acked, mut span) = (0, 0, None);
    for (at, row) in rows.iter().enumerate() {
        due += row.offered_messages.unwrap_or(0);
        acked += row.acked_messages;
        if due > acked + 25 {
            span = Some((span.map_or(at, |(first, _)| first), at));
        }
    }
    let (first, last) = span.expect("messages waited");
    (last + 2 - first) as f64
}

#[test]
#[ignore = "needs real brokers"]
fn a_pause_of_redis_is_seen_in_full() {
    a_pause_is_seen_in_full("redis-streams", "redis-server");
}

#[test]
#[ignore = "needs real brokers"]
fn a_pause_of_kafka_is_seen_in_full() {
    a_pause_is_seen_in_full("kafka", "kafka.Kafka");
}

#[test]
#[ignore = "needs real brokers"]
fn a_broker_that_dies_mid_run_leaves_partial_results() {
    for (system, program) in [
        ("redis-pubsub", "redis-server"),
        ("redis-streams", "redis-server"),
        ("redis-lists", "redis-server"),
        ("kafka", "kafka.Kafka"),
    ] {
        let mut running = start(&long(system), &[], &[]);
        running.await_words(&format!("{system} base block 1\n"));
        std::thread::sleep(Duration::from_secs(2));
        send(running.broker(program), Signal::KILL);
        let ended = running.end().with(13, &["died", "SIGKILL"]);
        let summary = ended.summary();
        assert_eq!(
            (summary.status, summary.exit_code, summary.cells.len()),
            (Status::Invalid, 13, 1)
        );
        assert!(summary.cells[0].counts.sent > Some(0), "{summary:#?}");
        assert_rendered_again(ended.results(), &ended.folder());
    }
}

#[test]
#[ignore = "needs real brokers"]
fn the_first_ctrl_c_keeps_what_was_measured() {
    for (words, seconds, kept) in [
        ("warming the broker", 1, false),
        ("redis-lists base block 1\n", 1, true),
        ("redis-lists base block 1\n", 4, true),
    ] {
        let mut running = start(&long("redis-lists"), &[], &[]);
        running.await_words(words);
        std::thread::sleep(Duration::from_secs(seconds));
        running.signal(Signal::INT);
        let ended = running.end().with(130, &["interrupted"]);
        if kept {
            let summary = ended.summary();
            assert_eq!((summary.status, summary.exit_code), (Status::Interrupted, 130));
            let counts = &summary.cells[0].counts;
            let none_lost = counts.lost.is_none_or(|lost| lost == 0);
            assert!(counts.sent > Some(0) && none_lost, "{counts:#?}");
            assert_rendered_again(ended.results(), &ended.folder());
        }
    }
}

#[test]
#[ignore = "needs real brokers"]
fn nothing_is_left_of_a_run_killed_at_any_moment() {
    for moment in [0.05, 0.5, 2.0, 5.0, 8.0] {
        let running = start(&long("redis-streams"), &[], &[]);
        std::thread::sleep(Duration::from_secs_f64(moment));
        running.signal(Signal::KILL);
        assert_eq!(running.end().code, None);
    }
}

#[test]
#[ignore = "needs real brokers"]
fn a_setting_that_kills_the_broker_at_its_start_is_shown_with_its_last_words() {
    for (system, setting, value) in
        [("kafka", "num.io.threads", "many"), ("redis-lists", "maxmemory-policy", "none")]
    {
        let systems = format!("{{{system}: {{broker: {{{setting}: {value}}}}}}}");
        let load = "model: open, rate: 500/s, duration: 2s";
        run(&scenario(&systems, load), &[], &[]).with(3, &["did not start", "log", setting, value]);
    }
}

#[test]
#[ignore = "needs real brokers"]
fn a_disk_that_fills_up_is_told_with_a_remedy() {
    let results = tempfile::tempdir().unwrap();
    let disk = results.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=32k", "tmpfs"]).arg(&disk).output();
    if !mount.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("NOT TESTED, a small disk cannot be mounted here: {mount:?}");
        return;
    }
    let ended = std::panic::catch_unwind(|| {
        start_into(&disk, results, &short("redis-lists"), &[], &[])
            .end()
            .with(4, &["No space left", "free some space"])
    });
    let unmounted = Command::new("umount").arg(&disk).status();
    assert!(ended.is_ok() && unmounted.is_ok_and(|status| status.success()));
}

#[test]
#[ignore = "needs real brokers"]
fn a_taken_port_is_named_with_its_variable() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (system, variable) in
        [("kafka", "BROKERBENCH_KAFKA_PORT"), ("redis-lists", "BROKERBENCH_REDIS_PORT")]
    {
        run(&short(system), &[], &[(variable, Some(&port))]).with(3, &[&port, variable, "taken"]);
        run(&short(system), &[], &[(variable, Some("many"))]).with(3, &["many", variable, "65535"]);
    }
}

#[test]
#[ignore = "needs real brokers"]
fn what_is_missing_or_too_old_is_named_with_a_remedy() {
    let tools = tempfile::tempdir().unwrap();
    let only = tools.path().to_str().unwrap();
    let kafka = |environment: &[(&str, Option<&str>)], words: &[&str]| {
        run(&short("kafka"), &[], environment).with(3, words);
    };
    let redis = |environment: &[(&str, Option<&str>)], words: &[&str]| {
        run(&short("redis-lists"), &[], environment).with(3, words);
    };
    redis(
        &[("PATH", Some(only)), ("REDIS_SERVER", None), ("BROKERBENCH_CACHE", Some(only))],
        &["redis-server", "install it", "REDIS_SERVER"],
    );
    redis(&[("REDIS_SERVER", Some("/no/such/server"))], &["REDIS_SERVER=/no/such/server", "unset"]);
    redis(&[("REDIS_SERVER", Some("/bin/echo"))], &["/bin/echo", "Redis server"]);
    kafka(&[("PATH", Some(only)), ("JAVA_HOME", None)], &["Java 17", "install it", "JAVA_HOME"]);
    kafka(&[("JAVA_HOME", Some(only))], &[&format!("JAVA_HOME={only}"), "unset"]);
    kafka(&[("KAFKA_HOME", Some(only))], &[&format!("KAFKA_HOME={only}"), "unset"]);

    let java = tools.path().join("java");
    fs::write(&java, "#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n").unwrap();
    fs::set_permissions(&java, fs::Permissions::from_mode(0o755)).unwrap();
    kafka(&[("PATH", Some(only)), ("JAVA_HOME", None)], &["11.0.2", "too old", "17", "install it"]);

    // A good Java, no Maven, and nothing in the cache.
    fs::write(&java, "#!/bin/sh\necho 'openjdk version \"17.0.1\" 2021-10-19' >&2\n").unwrap();
    let bare = [
        ("PATH", Some(only)),
        ("JAVA_HOME", None),
        ("KAFKA_HOME", None),
        ("BROKERBENCH_CACHE", Some(only)),
    ];
    kafka(&bare, &["mvn", "maven", "KAFKA_HOME"]);
}
