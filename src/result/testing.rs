//! Tests only: run folders whose raw files, and so whose every number, are known.

use super::raw::{CellOutput, CellRecord, Event, Interval, WindowRow};
use super::summary::{CellId, CellOutcome, Counts, Resources, Status, Survives};
use super::{ColdStart, Description, Gate, Host, Manifest, RunFolder, SCHEMA, ScenarioInfo};
use crate::model::Latency;
use crate::result::Blame;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::path::Path;

pub const SYSTEMS: [&str; 4] = crate::model::System::NAMES;

const SECOND: u64 = 1_000_000_000;

/// End-to-end p50 of each system at 1k/s, ns.
fn base_latency(system: &str) -> u64 {
    match system {
        "kafka" => 1_600_000,
        "redis-pubsub" => 120_000,
        "redis-streams" => 240_000,
        _ => 200_000,
    }
}

fn survives(system: &str) -> Survives {
    let kept = system != "redis-pubsub";
    Survives {
        process_kill: kept,
        power_loss: false,
        node_loss: false,
        nearly: false,
        copies: 1,
        because: format!("settings of {system}"),
    }
}

/// A quiet cell of 4 s warm-up and 10 s window at 1k/s; latencies rise linearly from half to twice
/// the system's own, and a few per cent from block to block.
pub fn cell(label: &str, point: &str, block: u32) -> CellOutput {
    let system = SYSTEMS
        .into_iter()
        .filter(|system| label.starts_with(system))
        .max_by_key(|s| s.len())
        .unwrap_or("kafka");
    let rate: u64 = if point.contains("10k") { 10_000 } else { 1_000 };
    let center = base_latency(system) * (100 + 2 * u64::from(block)) / 100
        * if rate > 1_000 { 3 } else { 2 }
        / 2;
    let mut intervals = Vec::new();
    // Three lines of the log a metric are enough: warm-up, and the window in two halves.
    for (start, length) in [(0, 4), (4, 5), (9, 5)] {
        for metric in Latency::ALL {
            let mut histogram = Histogram::new_with_bounds(1, 120 * SECOND, 3).unwrap();
            for at in 0..rate * length {
                let share = (at * 7919 % rate) as f64 / rate as f64;
                let tail = if at % 500 == start { 8.0 } else { 1.0 };
                let metric_scale = match metric {
                    Latency::EndToEnd => 1.0,
                    Latency::Publish => 0.8,
                    Latency::Service => 0.75,
                    Latency::ScheduleLag => 0.05,
                };
                let value = center as f64 * metric_scale * tail * (0.5 + 1.5 * share * share);
                histogram.record(value as u64).unwrap();
            }
            let (start_ns, length_ns) = (start * SECOND, length * SECOND);
            intervals.push(Interval {
                metric,
                warm_up: start == 0,
                stage: 0,
                start_ns,
                length_ns,
                histogram,
            });
        }
    }
    let total = 14 * rate;
    let acked = (system != "redis-pubsub").then_some(total);
    let windows = (0..15u32)
        .map(|second| WindowRow {
            second,
            phase: if second < 4 {
                "warm-up"
            } else if second < 14 {
                "measure"
            } else {
                "drain"
            }
            .into(),
            start_ns: u64::from(second) * SECOND,
            offered_messages: Some(if second < 14 { rate } else { 0 }),
            sent_messages: if second < 14 { rate } else { 0 },
            acked_messages: if second < 14 { rate - u64::from(second % 3) * rate / 100 } else { 0 },
            consumed_messages: if second < 14 {
                rate - u64::from(second % 4) * rate / 50
            } else {
                0
            },
            offered_bytes: Some(rate * 1024),
            sent_bytes: rate * 1024,
            publish_p50_ns: Some(center),
            client_cpu_percent: Some(12.5),
            ..WindowRow::default()
        })
        .collect();
    let gate = Gate {
        name: "schedule-lag".into(),
        held: Some(true),
        blames: Blame::Harness,
        found: "4 % of p99".into(),
        limit: "25 %".into(),
    };
    CellOutput {
        record: CellRecord {
            repeated_because: Vec::new(),
            schema: SCHEMA,
            id: CellId {
                label: label.into(),
                system: system.into(),
                variant: (label != system).then(|| "nodes=3".into()),
                same_as: None,
                nodes: 1,
                shards: None,
                cell: point.into(),
                block,
            },
            open_loop: true,
            subscriptions: 1,
            message_bytes: 1024,
            setting: None,
            window_start_ns: Some(4 * SECOND),
            window_end_ns: Some(14 * SECOND),
            warm_up_ns: 4 * SECOND,
            outcome: CellOutcome::Ok,
            outcome_because: vec![],
            survives: survives(system),
            counts: Counts {
                planned: Some(total),
                sent: Some(total),
                acked,
                failed: Some(0),
                aborted: Some(0),
                indeterminate: Some(0),
                delivered: Some(total),
                undelivered: Some(0),
                lost: Some(0),
                broker_lost: acked.map(|_| 0),
                passed_over: Some(0),
                duplicate: Some(0),
                log_duplicate: acked.map(|_| 0),
                phantom: Some(0),
                aborted_read: Some(0),
                corrupt: Some(0),
                reordered: Some(0),
                foreign: Some(0),
                backpressured: Some(0),
            },
            subscriptions_counts: vec![],
            failures: BTreeMap::new(),
            retries: BTreeMap::new(),
            resources: Resources {
                client_cpu_ns_per_message: Some(1800.0),
                ..Resources::default()
            },
            gates: vec![gate],
            floor: BTreeMap::from([(
                "end_to_end".into(),
                BTreeMap::from([("p50".into(), 20_000), ("p99".into(), 45_000)]),
            )]),
            saturated_samples: 0,
            censored: BTreeMap::new(),
            experiment: None,
            observations: vec![],
            faults: vec![],
            unpromised: None,
            examples: vec![],
            window_acked: 10 * rate,
            window_consumed: 10 * rate,
            window_bytes: None,
            window_sent: 10 * rate,
            window_planned: Some(10 * rate),
            stages: vec![],
            held_by_consumers: None,
            description: description(system),
            interrupted: false,
            error: None,
            shard: None,
        },
        windows,
        events: vec![Event {
            at_ns: 4 * SECOND,
            kind: "steady".into(),
            text: "p50 settled".into(),
        }],
        intervals,
        broker_log: "INFO started\n".into(),
        journaled: false,
        books: None,
    }
}

/// A cell of the closed model: `per_s` messages a second of 100 B carried end to end.
pub fn capacity_cell(label: &str, point: &str, block: u32, per_s: u64) -> CellOutput {
    let mut output = cell(label, point, block);
    let record = &mut output.record;
    record.open_loop = false;
    record.counts.planned = None;
    record.window_planned = None;
    record.message_bytes = 100;
    record.window_acked = 10 * per_s;
    record.window_consumed = 10 * per_s;
    record.window_sent = 10 * per_s;
    output.intervals.clear();
    for row in &mut output.windows {
        row.offered_messages = None;
    }
    output
}

fn description(system: &str) -> Description {
    let kafka = system.starts_with("kafka");
    Description {
        broker_version: if kafka { "Apache Kafka 4.4.0" } else { "Redis 8.2.3" }.into(),
        client_version: if kafka { "librdkafka 2.12.1" } else { "redis-rs 1.8.0" }.into(),
        broker_config: BTreeMap::from([("appendonly".into(), "yes".into())]),
        ..Description::default()
    }
}

pub fn manifest(folder: &RunFolder, claim: &str, blocks: u32) -> Manifest {
    Manifest {
        schema: SCHEMA,
        run: folder.name().into(),
        status: Status::Complete,
        exit_code: 0,
        started_at: folder.epoch().to_string(),
        finished_at: Some("2026-11-22T19:10:00Z".into()),
        command_line: vec!["brokerbench".into(), "run".into(), format!("scenarios/{claim}.yaml")],
        tags: BTreeMap::new(),
        brokerbench_version: "0.1.0".into(),
        build: None,
        scenario: ScenarioInfo {
            name: claim.into(),
            question: "How long does a message take at a rate that every system can carry?".into(),
            claim: Some(claim.into()),
            primary: "end_to_end.p99".into(),
            guarantee: "at-least-once".into(),
            cross_class: Some("Pub/Sub keeps nothing; shown because the claim compares it.".into()),
            systems: SYSTEMS.iter().map(|system| ((*system).into(), (*system).into())).collect(),
            titles: BTreeMap::new(),
            thresholds: vec![],
            resolved: vec![],
            source: format!("scenarios/{claim}.yaml"),
        },
        profile: Some("standard".into()),
        environment: "native".into(),
        environment_because: String::new(),
        network_path: "loopback".into(),
        seed: 1,
        order: vec![],
        blocks,
        host: Host { cpu: "Test CPU".into(), cores: 2, kernel: "6.1".into(), ..Host::default() },
        systems: SYSTEMS.iter().map(|system| ((*system).into(), description(system))).collect(),
        selfcheck: "passed".into(),
        cold_start: BTreeMap::from([(
            "kafka".into(),
            ColdStart {
                ready_ns: 3 * SECOND,
                publish_p50_ns: Some(2_000_000),
                publish_p99_ns: Some(1_500_000_000),
                warmed_ns: 30 * SECOND,
            },
        )]),
        rates_found: BTreeMap::new(),
        settings_found: BTreeMap::new(),
        provided: BTreeMap::new(),
        storage: None,
        sharded: None,
        warnings: vec!["redis-server is older than the current major".into()],
    }
}

/// Three blocks, two rates, four systems, all quiet.
pub fn latency_run(results: &Path) -> RunFolder {
    let folder = RunFolder::create(results, "latency").unwrap();
    folder.write_manifest(&manifest(&folder, "latency", 3)).unwrap();
    for block in 1..=3 {
        for point in ["load.rate=1k/s", "load.rate=10k/s"] {
            for system in SYSTEMS {
                folder.write_cell(&cell(system, point, block)).unwrap();
            }
        }
    }
    folder
}

/// `blocks` blocks of the closed model at two sizes.
pub fn throughput_run(results: &Path, blocks: u32) -> RunFolder {
    let folder = RunFolder::create(results, "throughput").unwrap();
    folder.write_manifest(&manifest(&folder, "throughput", blocks)).unwrap();
    for block in 1..=blocks {
        for (point, divisor) in [("message.size=100B", 1), ("message.size=1KiB", 3)] {
            for (system, per_s) in SYSTEMS.into_iter().zip([620_000, 540_000, 310_000, 330_000]) {
                let drift = 100 + u64::from(block * 3 % 5);
                let output = capacity_cell(system, point, block, per_s / divisor * drift / 100);
                folder.write_cell(&output).unwrap();
            }
        }
    }
    folder
}
