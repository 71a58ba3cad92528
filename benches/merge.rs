//! How long a merge takes and how much memory: a thousand shards of ten minutes, written first.
//! `cargo bench --bench merge`, or with the number of shards and of seconds behind `--`.

use brokerbench::environment::own_usage;
use brokerbench::model::Latency;
use brokerbench::record::{Books, Consumed, Produced, SeqSet};
use brokerbench::result::shard::{ShardClock, ShardPart, Sharded, place, seal};
use brokerbench::result::{
    CellId, CellOutput, CellRecord, Interval, Manifest, RunFolder, SCHEMA, ScenarioInfo, Status,
    WindowRow,
};
use brokerbench::schedule::{Placement, Shard};
use brokerbench::study::merge::{Merge, merge};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

const SECOND: u64 = 1_000_000_000;
/// Messages a second of one shard.
const RATE: u64 = 1_000;
/// The same of every shard: written once, and copied.
const LOG: &str = "cells/kafka/base/block-1/latency.hlog";

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let count = numbers.first().copied().unwrap_or(1000) as u16;
    let seconds = numbers.get(1).copied().unwrap_or(600);
    let results = tempfile::tempdir().expect("a temporary folder");
    for shard in (Shard { index: 0, count }).all() {
        write(results.path(), shard, seconds);
    }
    let peak = || own_usage().map_or(0.0, |usage| usage.peak_rss_bytes as f64 / 1e6);
    let (before, began) = (peak(), Instant::now());
    let paths = [results.path().join("shards/bench")];
    let merged = merge(Merge {
        paths: &paths,
        results_dir: results.path(),
        force: false,
        command_line: Vec::new(),
    });
    let took = began.elapsed().as_secs_f64();
    let status = merged.map(|merged| merged.manifest.status);
    println!(
        "{count} shards of {seconds} s: {status:?} in {took:.1} s; peak memory {:.0} MB, before \
         the merge {before:.0} MB; goal for 1000 of 600 s: 60 s and 1000 MB",
        peak()
    );
}

/// Every latency in every second, log-uniform around a millisecond with a tail.
fn intervals(seconds: u64) -> Vec<Interval> {
    let mut all = Vec::new();
    for second in 0..seconds {
        for metric in Latency::ALL {
            let mut histogram = Histogram::new_with_bounds(1, 2, 3).expect("valid bounds");
            histogram.auto(true);
            for at in 0..RATE {
                let share = (at * 7919 % RATE) as f64 / RATE as f64;
                let ns = 200_000.0 * 40f64.powf(share.powi(3)) * (1.0 + second as f64 % 7.0 / 50.0);
                histogram.saturating_record(ns as u64);
            }
            let (start_ns, length_ns) = (second * SECOND, SECOND);
            let warm_up = second < 10;
            all.push(Interval { metric, warm_up, stage: 0, start_ns, length_ns, histogram });
        }
    }
    all
}

fn set(until: u64) -> SeqSet {
    let mut set = SeqSet::new();
    set.insert_run(0, until);
    set
}

/// A shard that received everything that the next one sent.
fn write(results: &Path, shard: Shard, seconds: u64) {
    let folder = RunFolder::create_shard(results, "bench", shard).expect("a folder");
    let sent = seconds * RATE;
    let manifest = Manifest {
        schema: SCHEMA,
        run: folder.name().to_owned(),
        status: Status::Complete,
        started_at: folder.epoch().to_string(),
        scenario: ScenarioInfo {
            name: "bench".into(),
            systems: vec![("kafka".into(), "kafka".into())],
            ..ScenarioInfo::default()
        },
        sharded: Some(Sharded {
            run_id: "bench".into(),
            count: shard.count,
            shard: Some(shard),
            parts: Vec::new(),
        }),
        ..Manifest::default()
    };
    folder.write_manifest(&manifest).expect("written");
    let mut consumed = Consumed::default();
    for number in 0..sent {
        consumed.note(((shard.index + 1) % shard.count, 0), number);
    }
    let produced = Produced { sent, acked: set(sent), ..Produced::default() };
    let books = Books {
        produced: [((shard.index, 0), produced)].into(),
        consumed: vec![consumed],
        acknowledges: true,
        ..Books::default()
    };
    let id = CellId {
        label: "kafka".into(),
        system: "kafka".into(),
        cell: "base".into(),
        block: 1,
        ..CellId::default()
    };
    let window_sent = (seconds - 10) * RATE;
    let record = CellRecord {
        id,
        open_loop: true,
        subscriptions: 1,
        window_start_ns: Some(10 * SECOND),
        window_end_ns: Some(seconds * SECOND),
        window_acked: window_sent,
        window_consumed: window_sent,
        window_sent,
        window_planned: Some(window_sent),
        shard: Some(ShardPart {
            shard,
            placement: Placement::Paired,
            producers: 1,
            planned: Some(sent),
            backpressured: 0,
            sent,
            unanswered: 0,
            window_delivered: window_sent,
            waited_ns: SECOND,
            settled: Some(true),
            clock: ShardClock::default(),
            cut_off: BTreeMap::new(),
            toll: BTreeMap::new(),
        }),
        ..CellRecord::empty()
    };
    let row = |second: u64| WindowRow {
        second: second as u32,
        phase: if second < 10 { "warm-up" } else { "measure" }.into(),
        start_ns: second * SECOND,
        offered_messages: Some(RATE),
        sent_messages: RATE,
        acked_messages: RATE,
        consumed_messages: RATE,
        ..WindowRow::default()
    };
    let output = CellOutput {
        record,
        windows: (0..seconds).map(row).collect(),
        intervals: if shard.leads() { intervals(seconds) } else { Vec::new() },
        books: Some(books),
        ..CellOutput::default()
    };
    folder.write_cell(&output).expect("written");
    if !shard.leads() {
        let first = place(results, "bench", Shard { index: 0, ..shard }).join(LOG);
        std::fs::copy(first, folder.path().join(LOG)).expect("copied");
    }
    seal(&folder).expect("sealed");
}
