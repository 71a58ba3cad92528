//! A small finished run on disk, made without any broker.

use brokerbench::model::Latency;
use brokerbench::result::{
    CellOutput, CellRecord, Event, Interval, Manifest, RunFolder, WindowRow,
};
use hdrhistogram::Histogram;
use serde_json::json;
use std::path::Path;

const SECOND: u64 = 1_000_000_000;

/// Writes the run and returns its folder.
pub fn run(results: &Path) -> RunFolder {
    let folder = RunFolder::create(results, "latency").unwrap();
    folder.write_manifest(&manifest(&folder)).unwrap();
    folder.write_cell(&cell()).unwrap();
    folder
}

fn manifest(folder: &RunFolder) -> Manifest {
    let manifest = json!({
        "schema": 1, "run": folder.name(), "status": "complete", "exit_code": 0,
        "started_at": folder.epoch().to_string(), "finished_at": null,
        "command_line": ["brokerbench", "run", "latency"], "brokerbench_version": "0.1.0",
        "scenario": {
            "name": "latency", "question": "How long?", "claim": "latency",
            "primary": "end_to_end.p99", "guarantee": "none", "cross_class": null,
            "systems": [["redis-lists", "redis-lists"]], "thresholds": [], "resolved": [],
            "source": "scenarios/latency.yaml",
        },
        "profile": null, "environment": "native", "network_path": "loopback", "seed": 1,
        "order": [], "blocks": 1,
        "host": {"name": "host", "kernel": "Linux", "cpu": "CPU", "cores": 2, "memory_bytes": 1,
                 "clock_source": "tsc", "clock_cost_ns": 30},
        "systems": {}, "selfcheck": "passed", "cold_start": {}, "warnings": [],
    });
    serde_json::from_value(manifest).unwrap()
}

fn cell() -> CellOutput {
    let record: CellRecord = serde_json::from_value(json!({
        "schema": 1, "label": "redis-lists", "system": "redis-lists", "variant": null, "nodes": 1,
        "cell": "load.rate=1k/s", "block": 1, "open_loop": true, "subscriptions": 1,
        "message_bytes": 100, "window_start_ns": 0, "window_end_ns": 2 * SECOND, "warm_up_ns": 0,
        "outcome": "ok", "outcome_because": [],
        "survives": {"process_kill": false, "power_loss": false, "node_loss": false, "copies": 1,
                     "because": "defaults"},
        "counts": {
            "planned": 2000, "sent": 2000, "acked": 2000, "failed": 0, "indeterminate": 0,
            "delivered": 2000, "undelivered": 0, "lost": 0, "broker_lost": null, "duplicate": 0,
            "phantom": 0, "corrupt": 0, "reordered": 0, "foreign": 0, "backpressured": 0,
        },
        "subscriptions_counts": [], "failures": {},
        "resources": {
            "client_cpu_ns_per_message": null, "client_peak_rss_bytes": null,
            "broker_cpu_ns_per_message": null, "broker_peak_rss_bytes": null, "saturated": null,
        },
        "gates": [], "floor": {}, "saturated_samples": 0, "censored": {}, "window_acked": 2000,
        "window_consumed": 2000, "window_sent": 2000, "window_planned": 2000,
        "description": {"broker_version": "Redis 8", "broker_config": {}, "topic_config": {},
                        "client_version": "redis 1", "client_config": {}},
        "interrupted": false, "error": null,
    }))
    .unwrap();
    let intervals = Latency::ALL
        .map(|metric| {
            let mut histogram = Histogram::new_with_bounds(1, 60 * SECOND, 3).unwrap();
            (1..=2000).for_each(|at| histogram.record(at * 1000).unwrap());
            Interval {
                metric,
                warm_up: false,
                stage: 0,
                start_ns: 0,
                length_ns: 2 * SECOND,
                histogram,
            }
        })
        .into();
    let windows = (0..2).map(|second| WindowRow {
        second,
        phase: "measure".into(),
        start_ns: u64::from(second) * SECOND,
        offered_messages: Some(1000),
        sent_messages: 1000,
        acked_messages: 1000,
        consumed_messages: 1000,
        ..WindowRow::default()
    });
    let events = vec![Event { at_ns: 0, kind: "phase".into(), text: "measure".into() }];
    CellOutput {
        record,
        windows: windows.collect(),
        events,
        intervals,
        broker_log: "started\n".into(),
        ..CellOutput::default()
    }
}
