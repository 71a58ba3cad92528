//! Loads that are long or wide: hours in the memory of minutes, what a killed run leaves, thousands
//! of subscriptions and partitions, hundreds of connections, a message every other second.
//! `SOAK_SECONDS=1200 cargo test --release --test live soak:: -- --ignored --test-threads 1`

use crate::support::harness::exe;
use crate::support::program::{Run, run, start_into};
use brokerbench::environment::usage;
use brokerbench::result::{CellOutcome, CellSummary, Status, Summary};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub fn scenario(systems: &str, load: &str) -> String {
    format!(
        "schema: 1\nname: soak\nquestion: Does it last?\nsystems: {systems}\nload: {{model: open, \
         warm-up: 1s, warm-up-limit: 6s, broker-warm-up: 1s, floor: false, {load}}}\nmessage: \
         {{size: 100B}}\n"
    )
}

/// Started, with the folder of its results.
fn started(scenario: &str) -> (Run, PathBuf) {
    let results = tempfile::tempdir().unwrap();
    let path = results.path().to_owned();
    (start_into(&path, results, scenario, &[], &[]), path)
}

/// Seconds of the window that are on disk.
fn measured(results: &Path) -> usize {
    let folders = std::fs::read_dir(results.join("runs")).into_iter().flatten();
    let tables = folders.flatten().flat_map(|run| {
        let cells = std::fs::read_dir(run.path().join("cells")).into_iter().flatten();
        cells.flatten().map(|label| label.path().join("base/block-1/windows.csv"))
    });
    let rows = |table: PathBuf| {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        text.lines().filter(|line| line.contains(",measure,")).count()
    };
    tables.map(rows).max().unwrap_or(0)
}

pub fn await_measured(results: &Path, seconds: usize) {
    let begun = Instant::now();
    while measured(results) < seconds {
        assert!(begun.elapsed() < Duration::from_secs(300 + 2 * seconds as u64), "nothing on disk");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs real brokers"]
fn what_a_killed_run_has_measured_is_reported() {
    let (run, results) = started(&scenario("[redis-lists]", "rate: 2k/s, duration: 120s"));
    await_measured(&results, 8);
    run.signal(Signal::KILL);
    let ended = run.end();
    assert_eq!(ended.code, None);
    let report = Command::new(exe()).args(["report", "--results"]).arg(&results).output().unwrap();
    let text = String::from_utf8_lossy(&report.stdout);
    assert!(text.contains("s until interrupted: "), "{text}");
    let summary: Summary = ended.summary();
    assert_eq!(summary.status, Status::Interrupted);
    let cell = &summary.cells[0];
    let seconds = cell.interrupted_after_ns.unwrap() / 1_000_000_000;
    assert!((8..120).contains(&seconds), "{seconds}");
    // Of the last seconds the log may have less than the table, and neither has more than was sent.
    let timed = cell.latency.publish.as_ref().unwrap().count;
    assert!(timed >= 2_000 * (seconds - 4) && timed <= 2_000 * (seconds + 4), "{timed}");
    assert!(cell.counts.acked.unwrap() >= 2_000 * seconds && cell.counts.lost.is_none());
    let charts = std::fs::read_dir(ended.folder().join("charts")).unwrap().flatten();
    let rates = charts.filter(|chart| chart.file_name().to_string_lossy().starts_with("rates"));
    assert_eq!(rates.count(), 1, "what happened over time is drawn");
}

#[test]
#[ignore = "needs real brokers"]
fn memory_does_not_grow_with_time() {
    let seconds: usize =
        std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    for system in ["redis-lists: {}", "kafka: {topic: {config: {retention.ms: 60000}}}"] {
        let load = format!("rate: 20k/s, audit: false, duration: {seconds}s");
        let (run, results) = started(&scenario(&format!("{{{system}}}"), &load));
        let rss = || usage(run.id()).unwrap().rss_bytes;
        await_measured(&results, seconds / 2);
        let half = rss();
        await_measured(&results, seconds - 5);
        let grown = rss().saturating_sub(half);
        eprintln!("{system}: {half} B after {} s, {grown} B more at the end", seconds / 2);
        assert!(grown < 5_000_000, "{system}: {grown} B in {} s", seconds / 2);
        let summary = run.end().measured();
        assert!(summary.cells[0].counts.acked.unwrap() > 10_000 * seconds as u64);
    }
}

/// Everything arrived that was sent, at every subscription.
fn assert_whole(cell: &CellSummary, subscriptions: u64) {
    let counts = &cell.counts;
    let sent = counts.sent.unwrap();
    assert!(sent > 0);
    assert_eq!(counts.delivered, Some(sent * subscriptions), "{cell:#?}");
    assert_eq!((counts.failed, counts.lost, counts.duplicate), (Some(0), Some(0), Some(0)));
}

#[test]
#[ignore = "needs real brokers"]
fn a_thousand_subscriptions_receive_everything_on_few_threads() {
    for system in ["redis-pubsub", "redis-streams"] {
        let load = "rate: 10/s, subscriptions: 1000, drain: 30s, duration: 8s";
        let (run, results) = started(&scenario(&format!("[{system}]"), load));
        await_measured(&results, 2);
        let threads = std::fs::read_dir(format!("/proc/{}/task", run.id())).unwrap().count();
        assert!(threads < 40, "{system}: {threads} threads");
        assert_whole(&run.end().measured().cells[0], 1000);
    }
}

#[test]
#[ignore = "needs real brokers"]
fn four_hundred_connections_need_no_preparation() {
    let results = tempfile::tempdir().unwrap();
    let file = results.path().join("scenario.yaml");
    let load = "rate: 2k/s, connections: 400, duration: 5s";
    std::fs::write(&file, scenario("[redis-streams]", load)).unwrap();
    // As where a shell allows a process no more than this.
    let output = Command::new("sh")
        .args(["-c", "ulimit -Sn 256 && exec \"$0\" \"$@\""])
        .arg(exe())
        .args(["run", "--env", "native", "--json", "--results"])
        .args([results.path(), &file])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 13)), "{told}");
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    assert_whole(&summary.cells[0], 1);
}

#[test]
#[ignore = "needs real brokers"]
fn a_message_every_other_second_is_measured_too() {
    let load = "rate: 0.5/s, duration: 12s";
    let summary = run(&scenario("[redis-lists]", load), &[], &[]).measured();
    let cell = &summary.cells[0];
    assert_eq!(cell.outcome, CellOutcome::Ok, "{:?}", cell.outcome_because);
    assert!(cell.latency.publish.as_ref().is_some_and(|publish| (5..=7).contains(&publish.count)));
    assert_whole(cell, 1);
}

#[test]
#[ignore = "needs real brokers"]
fn five_thousand_partitions_are_made_loaded_and_read_back() {
    let systems = "{kafka: {topic: {partitions: 5000}, heap: 2GiB}}";
    let load = "rate: 10k/s, duration: 20s, in-flight: 65536, drain: 60s";
    let summary = run(&scenario(systems, load), &[], &[]).measured();
    let cell = &summary.cells[0];
    assert_whole(cell, 1);
    assert_eq!(cell.counts.broker_lost, Some(0), "the audit was done");
}
