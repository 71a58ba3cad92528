//! Settings of systems that a run sweeps: each value reaches client or broker, and the other labels
//! run once. `cargo test --test live sweep:: -- --ignored --test-threads 1`

use crate::support::program::run;
use brokerbench::result::{CellRecord, Summary};

const SCENARIO: &str = "schema: 1\nname: sweep\nquestion: Which setting?\nsystems: \
    {kafka: {}, redis-streams: {broker: {appendonly: 'yes'}}}\nload: {model: closed, \
    warm-up: 1s, warm-up-limit: 2s, duration: 3s, broker-warm-up: 1s}\nmessage: {size: 100B}\n";

fn points(summary: &Summary, label: &str) -> Vec<String> {
    let cells = summary.cells.iter().filter(|cell| cell.label == label);
    cells.map(|cell| cell.cell.clone()).collect()
}

#[test]
#[ignore = "needs real brokers"]
fn what_is_swept_is_what_client_and_broker_say_that_they_have() {
    let ended = run(
        SCENARIO,
        &[
            "--sweep",
            "systems.kafka.client.linger.ms=0,5",
            "--sweep",
            "systems.redis-streams.broker.appendfsync=always,no",
        ],
        &[],
    );
    let summary = ended.measured();
    assert_eq!(points(&summary, "kafka"), ["client.linger.ms=0", "client.linger.ms=5"]);
    let synced = ["broker.appendfsync=always", "broker.appendfsync=no"];
    assert_eq!(points(&summary, "redis-streams"), synced);
    for cell in &summary.cells {
        let books = std::fs::read(ended.folder().join(&cell.files["accounting"])).unwrap();
        let record: CellRecord = serde_json::from_slice(&books).unwrap();
        let (key, value) = cell.cell.split_once('=').unwrap();
        let told = match key.split_once('.').unwrap() {
            ("client", key) => record.description.client_config.get(&format!("producer.{key}")),
            (_, key) => record.description.broker_config.get(key),
        };
        let told = told.unwrap_or_else(|| panic!("{key}: {:#?}", record.description));
        assert!(told.starts_with(value), "{key}: {told}");
    }
    let charts = std::fs::read_dir(ended.folder().join("charts")).unwrap().flatten();
    let names: Vec<String> =
        charts.map(|chart| chart.file_name().to_string_lossy().into_owned()).collect();
    for chart in ["by-linger-ms.svg", "by-appendfsync.svg"] {
        assert!(names.iter().any(|name| name == chart), "{names:?}");
    }
}

/// One value with which no server starts, wherever it comes.
#[test]
#[ignore = "needs redis-server"]
fn a_value_that_no_server_starts_with_ends_its_own_points_alone() {
    let scenario = "schema: 1\nname: sweep\nquestion: Which setting?\nsystems: \
        {redis-lists: {broker: {appendonly: 'yes'}}}\nload: {model: open, rate: 200/s, \
        warm-up: 1s, warm-up-limit: 2s, duration: 2s, broker-warm-up: 1s}\n\
        message: {size: 100B}\n";
    let sweep = "systems.redis-lists.broker.appendfsync=banana,always,no";
    for seed in ["1", "2", "42"] {
        let ended = run(scenario, &["--sweep", sweep, "--seed", seed], &[]);
        let ended = ended.with(13, &["redis-lists at broker.appendfsync=banana is not measured"]);
        for cell in ended.summary().cells {
            let measured = cell.counts.acked.is_some_and(|acked| acked > 0);
            assert_eq!(measured, !cell.cell.contains("banana"), "seed {seed}: {cell:#?}");
        }
    }
}
