//! Tests only: a comparison with rows of every form, of made-up numbers as large, as many and as
//! wordy as real ones.

use crate::model::System;
use crate::result::{
    BlockValue, CellOutcome, Claim, ComparedCell, Comparison, Kind, RunInfo, SCHEMA, Status,
    Survives, Verdict,
};
use std::collections::BTreeMap;

/// Cells of one run, collected.
struct Row {
    run: &'static str,
    cells: Vec<ComparedCell>,
}

impl Row {
    fn new(run: &'static str) -> Self {
        Self { run, cells: Vec::new() }
    }

    fn add(
        &mut self,
        label: &str,
        point: &str,
        metric: &str,
        value: Option<f64>,
        unit: &str,
        text: &str,
    ) -> &mut ComparedCell {
        let system =
            System::NAMES.into_iter().find(|system| label.starts_with(system)).unwrap_or("kafka");
        let cannot = value.is_none();
        let block = |block: u32, factor: f64| BlockValue {
            block,
            value: value.map(|value| value * factor),
            at_most: None,
            at_least: None,
            floor: None,
            n: 10_000,
            valid: true,
            outcome: CellOutcome::Ok,
            because: String::new(),
        };
        let survives =
            Survives { process_kill: !label.contains("pubsub"), copies: 1, ..Survives::default() };
        self.cells.push(ComparedCell {
            label: label.into(),
            system: system.into(),
            variant: (label != system).then(|| "settings=other".into()),
            same_as: None,
            nodes: Some(1),
            cell: if point.is_empty() { "base".into() } else { point.into() },
            metric: metric.into(),
            kind: if cannot { Kind::Cannot } else { Kind::Measured },
            value,
            at_most: None,
            at_least: None,
            unit: unit.into(),
            interval: value.filter(|value| *value > 0.0).map(|value| [value * 0.93, value * 1.07]),
            n: match cannot {
                true => 0,
                // Faults, not messages.
                false if metric.starts_with("fault.") => 3,
                false => 30_000,
            },
            blocks: if cannot { 0 } else { 3 },
            text: text.into(),
            setting: None,
            notes: vec![],
            run: Some(self.run.into()),
            n_unit: "messages".into(),
            resources: None,
            source: None,
            survives: Some(survives),
            per_block: if cannot {
                vec![]
            } else {
                vec![block(1, 0.98), block(2, 1.0), block(3, 1.02)]
            },
        });
        self.cells.last_mut().unwrap()
    }

    fn value(&mut self, label: &str, point: &str, metric: &str, value: f64, unit: &str) {
        self.add(label, point, metric, Some(value), unit, "");
    }
}

/// All claims and two of the uses.
pub fn comparison() -> Comparison {
    let runs = [
        "message-size",
        "delivery",
        "retention",
        "error-handling",
        "parallelism-fanout",
        "parallelism-sharing",
        "throughput",
        "throughput-waiting",
        "throughput-noreply",
        "throughput-durable",
        "capacity",
        "latency",
        "latency-copies",
        "fault-tolerance",
        "session-cache",
    ];
    let mixed = "◐ right for redis-pubsub at message.size=100B; redis-streams at \
        message.size=100B, message.size=1KiB, message.size=10KiB";
    Comparison {
        schema: SCHEMA,
        profile: "standard".into(),
        runs: runs.map(run_info).into(),
        claims: vec![
            claim(
                "message-size",
                "◐ right at defaults · wrong for redis-streams, redis-lists at tuned limits",
                message_size(),
            ),
            claim(
                "delivery",
                "◐ right for redis-pubsub · wrong for redis-streams, redis-lists",
                delivery(),
            ),
            claim(
                "retention",
                "◐ right for redis-pubsub, redis-lists · wrong for redis-streams",
                retention(),
            ),
            claim("error-handling", "✗ wrong", error_handling()),
            claim("parallelism", "✓ right", parallelism()),
            claim("throughput", mixed, throughput()),
            claim("latency", "? open: the floor may hide it; redis-lists overloaded", latency()),
            claim("fault-tolerance", "? open: one node", fault_tolerance()),
        ],
        managed: vec![],
        uses: vec![
            claim("log-aggregation", "not measured", vec![]),
            claim("session-cache", "documented", session_cache()),
        ],
    }
}

fn run_info(scenario: &str) -> RunInfo {
    let versions = System::NAMES.map(|label| {
        let version = if label == "kafka" {
            "Kafka 4.4.0; librdkafka 2.12.1"
        } else {
            "Redis 8.2.3; redis-rs 1.8.0"
        };
        (label.to_owned(), version.to_owned())
    });
    RunInfo {
        run: scenario.into(),
        scenario: scenario.into(),
        environment: "native".to_owned().try_into().unwrap(),
        network_path: "loopback".into(),
        status: Status::Complete,
        started_at: "2026-11-22T19:00:00Z".into(),
        blocks: 3,
        versions: BTreeMap::from(versions),
        host: "Test CPU, 2 cores, 6.1".into(),
        cores: Some(2),
        selfcheck: "passed".into(),
        ..RunInfo::default()
    }
}

pub fn claim(id: &str, verdict: &str, cells: Vec<ComparedCell>) -> Claim {
    Claim {
        id: id.into(),
        kafka_claim: format!("What is said of Kafka on {id}, in our words"),
        redis_claim: "What is said of Redis, which works best otherwise".into(),
        source: "https://example.org/kafka-and-redis".into(),
        verdict: verdict.into(),
        answer: match verdict {
            "not measured" => Verdict::NotMeasured,
            _ => Verdict::Open,
        },
        findings: vec![],
        because: "first reason; second reason".into(),
        rule: "The rule as data.".into(),
        cells,
    }
}

fn message_size() -> Vec<ComparedCell> {
    let mut row = Row::new("message-size");
    let sizes = ["1KiB", "64KiB", "1MiB", "16MiB", "64MiB", "255MiB", "256MiB", "512MiB", "1GB"];
    for (label, intact, some, who) in [
        (
            "kafka",
            2,
            3,
            "client pre-check: Broker: Message size too large (MSG_SIZE_TOO_LARGE), \
            message.max.bytes=1000000",
        ),
        (
            "kafka-tuned",
            6,
            9,
            "client encoder: a batch of 256 MiB on the wire is the most that current librdkafka \
            sends",
        ),
        (
            "redis-pubsub",
            3,
            3,
            "broker: client closed for overcoming of output buffer limits (32mb 8mb 60)",
        ),
        ("redis-pubsub-tuned", 9, 9, ""),
        ("redis-streams", 8, 8, "broker: Protocol error: invalid bulk length"),
        ("redis-streams-tuned", 9, 9, ""),
        ("redis-lists", 8, 8, "broker: Protocol error: invalid bulk length"),
        ("redis-lists-tuned", 9, 9, ""),
    ] {
        for (at, size) in sizes.into_iter().enumerate() {
            let arrived =
                [at < intact, at < intact || at < some].into_iter().filter(|goes| *goes).count();
            let words = if arrived == 2 { "" } else { who };
            row.add(
                label,
                &format!("size={size}"),
                "intact",
                Some(arrived as f64 / 2.0),
                "share",
                words,
            );
            if at < some {
                row.value(
                    label,
                    &format!("size={size}"),
                    "goodput_bytes",
                    3e6 * 2f64.powi(at as i32),
                    "B/s",
                );
                row.value(
                    label,
                    &format!("size={size}"),
                    "bystander.p99",
                    4e5 * 3f64.powi(at as i32),
                    "ns",
                );
            }
        }
        if label == "kafka-tuned" {
            for size in sizes {
                row.value(label, &format!("size={size},client=second"), "intact", 1.0, "share");
            }
        }
        let largest = [
            1024.0,
            65536.0,
            1048576.0,
            16777216.0,
            67108864.0,
            267386880.0,
            268435456.0,
            536870912.0,
            1e9,
        ][some - 1];
        row.value(label, "codec=none", "largest_intact", largest, "B");
        if some < 9 {
            row.add(label, "codec=none", "first_refused", Some(largest * 2.0), "B", who);
        }
    }
    row.cells
}

fn delivery() -> Vec<ComparedCell> {
    let mut row = Row::new("delivery");
    for (label, requests, wake, lost) in [
        ("kafka", 1.0, 4e5, 0.0),
        ("redis-pubsub", 0.0, 9e4, 41_234.0),
        ("redis-streams", 1.0, 1.1e5, 0.0),
        ("redis-lists", 1.0, 1e5, 0.0),
    ] {
        for (rate, factor) in [("1/s", 1.9), ("100/s", 1.0), ("10k/s", 0.92)] {
            row.value(
                label,
                &format!("rate={rate}"),
                "requests_per_batch",
                requests * factor,
                "requests",
            );
            row.value(label, &format!("rate={rate}"), "wake_up.p50", wake * factor, "ns");
            row.value(label, &format!("rate={rate}"), "wake_up.p99", wake * factor * 6.0, "ns");
        }
        row.value(label, "rate=0", "idle_requests", 2.0 * requests, "requests/s");
        row.value(label, "", "stalled.sent", 100_000.0, "msg");
        row.value(label, "", "stalled.lost", lost, "msg");
        row.value(label, "", "stalled.cut_off", f64::from(u8::from(lost > 0.0)), "yes");
    }
    row.cells
}

fn retention() -> Vec<ComparedCell> {
    let mut row = Row::new("retention");
    let shares = [
        "share.late_joiner",
        "share.second_reader",
        "share.reread",
        "share.seek",
        "share.restart",
        "share.limit",
        "readable_after_ack",
    ];
    for (label, share) in [
        ("kafka", 1.0),
        ("redis-pubsub", 0.0),
        ("redis-streams", 0.9994),
        ("redis-lists", 0.0),
        ("redis-streams-tuned", 0.371),
    ] {
        for metric in shares {
            let can = match label {
                "redis-lists" => metric != "share.seek",
                "redis-pubsub" => ["share.late_joiner", "readable_after_ack"].contains(&metric),
                _ => true,
            };
            row.add(
                label,
                "",
                metric,
                can.then_some(share),
                "share",
                if can { "" } else { "no such operation: what is read is gone" },
            );
        }
        if share > 0.0 {
            row.value(label, "", "replay.rate", 212_345.0, "msg/s");
            row.value(label, "", "live.rate", 10_000.0, "msg/s");
            row.value(label, "", "drain.time", 3.21e9, "ns");
        }
    }
    row.cells
}

fn error_handling() -> Vec<ComparedCell> {
    let mut row = Row::new("error-handling");
    for (label, p99) in [("kafka", 2.4e6), ("redis-streams", 4.1e5), ("redis-lists", 3.9e5)] {
        for (poison, factor) in [("0%", 1.0), ("1%", 3.7)] {
            row.value(label, &format!("poison={poison}"), "healthy.p99", p99 * factor, "ns");
            row.value(label, &format!("poison={poison}"), "healthy.goodput", 1000.0, "msg/s");
        }
        row.value(label, "poison=1%", "dead_letter.time_p50", 3.1e6, "ns");
        row.value(label, "poison=1%", "dead_lettered", 100.0, "msg");
        row.value(label, "poison=1%", "lost", 0.0, "msg");
        row.value(label, "poison=1%", "duplicated", 12.0, "msg");
        row.value(label, "poison=1%", "blocked", 12_345.0, "msg");
        row.value(label, "", "crash.lost", 0.0, "msg");
        row.value(label, "", "crash.duplicated", 57.0, "msg");
    }
    row.add(
        "redis-pubsub",
        "poison=1%",
        "dead_letter.time_p50",
        None,
        "ns",
        "a channel has no acknowledgement and so nothing to retry or set aside",
    );
    row.cells
}

fn parallelism() -> Vec<ComparedCell> {
    let mut fan_out = Row::new("parallelism-fanout");
    let mut sharing = Row::new("parallelism-sharing");
    for (at, label) in System::NAMES.into_iter().enumerate() {
        for n in [1u32, 2, 4, 8, 16] {
            let point = format!("load.subscriptions={n}");
            if label == "redis-lists" {
                fan_out.add(
                    label,
                    &point,
                    "complete",
                    None,
                    "yes",
                    "a list hands each element to one consumer",
                );
                continue;
            }
            fan_out.value(
                label,
                &point,
                "goodput",
                300_000.0 / f64::from(n).powf(0.3 + 0.2 * at as f64),
                "msg/s",
            );
            fan_out.value(
                label,
                &point,
                "complete",
                f64::from(u8::from(label != "redis-pubsub" || n < 8)),
                "yes",
            );
        }
        for work in ["0s", "1ms"] {
            for n in [1u32, 2, 4, 8] {
                let point = format!("load.consumers={n},load.work={work}");
                if label == "redis-pubsub" {
                    sharing.add(
                        label,
                        &point,
                        "complete",
                        None,
                        "yes",
                        "every subscriber gets every message",
                    );
                    continue;
                }
                let power =
                    if work == "1ms" { 0.95 - 0.03 * at as f64 } else { 0.1 - 0.1 * at as f64 };
                let factor = f64::from(n).powf(power);
                sharing.value(label, &point, "goodput", 900.0 * factor, "msg/s");
                let held = if work == "1ms" { 0.98 } else { 0.05 };
                sharing.value(label, &point, "held_by_consumers", held, "share");
                if n > 1 {
                    let value = (work == "1ms").then_some(factor);
                    let text = "not limited by consumers: producers waited for the single one \
                                through 5 % of the window";
                    let cell = sharing.add(label, &point, "speed_up", value, "×", text);
                    if value.is_none() {
                        cell.kind = Kind::NotMeasured;
                    }
                }
            }
        }
    }
    fan_out.cells.into_iter().chain(sharing.cells).collect()
}

fn throughput() -> Vec<ComparedCell> {
    let mut all = Vec::new();
    for (run, factor) in [
        ("throughput", 1.0),
        ("throughput-waiting", 0.02),
        ("throughput-noreply", 1.4),
        ("throughput-durable", 0.05),
    ] {
        let mut row = Row::new(run);
        for (size, share) in [("100B", 1.0), ("1KiB", 0.4), ("10KiB", 0.07)] {
            for (label, rate) in
                System::NAMES.into_iter().zip([612_345.0, 540_000.0, 310_000.0, 333_000.0])
            {
                let can = run != "throughput-durable" || label != "redis-pubsub";
                let text = if can {
                    ""
                } else {
                    "a channel keeps nothing that a write could make durable"
                };
                row.add(
                    label,
                    &format!("message.size={size}"),
                    "goodput",
                    can.then_some(rate * share * factor),
                    "msg/s",
                    text,
                );
            }
        }
        all.extend(row.cells);
    }
    let mut row = Row::new("capacity");
    for (label, rate) in System::NAMES.into_iter().zip([61_000.0, 54_000.0, 31_000.0, 33_000.0]) {
        row.value(label, "", "capacity.low", rate, "msg/s");
        row.value(label, "", "capacity.high", rate * 1.12, "msg/s");
    }
    all.extend(row.cells);
    let mut ratio = Row::new("throughput");
    ratio
        .add(
            "redis-streams",
            "message.size=100B",
            "ratio(goodput, kafka, redis-streams)",
            Some(1.98),
            "×",
            "shown",
        )
        .per_block
        .clear();
    all.extend(ratio.cells);
    all
}

fn latency() -> Vec<ComparedCell> {
    let mut all = Vec::new();
    let labels: [(&'static str, &[&str]); 2] =
        [("latency", &System::NAMES), ("latency-copies", &["kafka", "kafka-3"])];
    for (run, labels) in labels {
        let mut row = Row::new(run);
        let points = ["load.rate=1k/s", "load.rate=10k/s", "load.rate=half-capacity"];
        for point in points.into_iter().filter(|point| run == "latency" || !point.contains("half"))
        {
            for (at, label) in labels.iter().enumerate() {
                let ns = if label.starts_with("kafka") {
                    1.63e6 * (1.0 + at as f64)
                } else {
                    1.2e5 + 3e4 * at as f64
                };
                for (metric, factor) in [("p50", 1.0), ("p99", 2.3), ("p99_9", 9.0)] {
                    let overloaded = *label == "redis-lists" && point.contains("10k");
                    let cell = row.add(
                        label,
                        point,
                        &format!("end_to_end.{metric}"),
                        Some(ns * factor),
                        "ns",
                        "",
                    );
                    if overloaded {
                        (cell.value, cell.interval, cell.blocks, cell.n) = (None, None, 0, 0);
                        for block in &mut cell.per_block {
                            (block.value, block.outcome) = (None, CellOutcome::Overloaded);
                            block.because = "overloaded: backlog grew by 12345 messages".into();
                        }
                    }
                }
            }
        }
        if run == "latency" {
            for (label, carried) in labels.iter().zip([104_000.0, 91_000.0, 51_999.0, 88_000.0]) {
                row.value(label, "load.rate=half-capacity", "capacity.half", 25_000.0, "msg/s");
                let share = 25_000.0 / carried;
                row.value(label, "load.rate=half-capacity", "utilisation", share, "share");
            }
        }
        all.extend(row.cells);
    }
    all
}

fn fault_tolerance() -> Vec<ComparedCell> {
    const KILLED: &str = "fault=kill,target=node,copies=1";
    let mut row = Row::new("fault-tolerance");
    for (label, lost, back) in [
        ("kafka", 0.0, 4.1e9),
        ("kafka-acks1", 0.0, 3.9e9),
        ("redis-streams", 10_412.0, 1.2e9),
        ("redis-streams-none", 20_000.0, 1.1e9),
        ("redis-streams-aof-no", 17.0, 1.2e9),
        ("redis-streams-aof-everysec", 0.0, 1.2e9),
        ("redis-streams-aof-always", 0.0, 1.3e9),
        ("redis-lists", 10_398.0, 1.2e9),
        ("redis-lists-aof-always", 0.0, 1.2e9),
    ] {
        row.value(label, KILLED, "fault.acked", 20_000.0, "msg");
        row.value(label, KILLED, "fault.gone_from_broker", lost, "msg");
        row.value(label, KILLED, "fault.rpo_time", lost * 1e5, "ns");
        row.value(label, KILLED, "fault.rto_publish", back, "ns");
        row.value(label, KILLED, "fault.scripted", 1e9, "ns");
    }
    for (label, data, parts) in [
        ("kafka", 84e6, [2.9e9, 1.1e8, 8.9e9, 2e8]),
        ("redis-streams-aof-always", 21e6, [1e7, 3.7e8, 0.0, 2e7]),
    ] {
        row.value(label, KILLED, "fault.data_on_disk", data, "B");
        let names = ["fault.start", "fault.load", "fault.fencing", "fault.reconnect"];
        for (name, ns) in names.into_iter().zip(parts) {
            row.value(label, KILLED, name, ns, "ns");
        }
    }
    row.add(
        "redis-pubsub",
        KILLED,
        "fault.gone_from_broker",
        None,
        "msg",
        "a channel keeps no message that a restart could bring back",
    );
    for (label, point, lost, back) in [
        ("kafka-3-stock", "fault=kill,target=leader,copies=1,for=never", 66_123.0, None),
        ("kafka-3", "fault=kill,target=leader,copies=3,for=never", 0.0, Some(8.91e9)),
        ("redis-streams-3", "fault=kill,target=leader,copies=3,for=never", 1_234.0, Some(10.4e9)),
        ("kafka-flush", "fault=power-loss,target=node,copies=1", 0.0, Some(11.1e9)),
        (
            "redis-streams-aof-everysec",
            "fault=power-loss,target=node,copies=1",
            4_902.0,
            Some(1.3e9),
        ),
    ] {
        row.value(label, point, "fault.gone_from_broker", lost, "msg");
        row.value(label, point, "fault.rpo_time", lost * 2e5, "ns");
        row.value(label, point, "fault.acked", 200_123.0, "msg");
        row.add(
            label,
            point,
            "fault.rto_publish",
            back,
            "ns",
            "stream 0: no acknowledgement any more until the end",
        );
        // What it acknowledged meanwhile is thrown away.
        let held = if label == "redis-streams-3" { Some(12.7e9) } else { back };
        row.add(label, point, "fault.rto_durable", held, "ns", "not known");
        row.value(label, point, "fault.scripted", 1e9, "ns");
    }
    row.cells
}

fn session_cache() -> Vec<ComparedCell> {
    let mut row = Row::new("session-cache");
    row.add("kafka", "", "get.p99", None, "ns", "no reading by key without a store beside it");
    row.value("redis-streams", "", "get.p99", 2.1e5, "ns");
    row.cells
}
