//! The page and the charts of a run, and the list of runs.

use super::*;
use crate::model::metric;
use crate::result::testing::{SYSTEMS, capacity_cell, cell, latency_run, manifest, throughput_run};
use crate::result::{Observation, StageRecord, StageSummary, summarize};

#[test]
fn a_run_is_rendered_from_raw_data_alone_and_twice_alike() {
    let dir = tempfile::tempdir().unwrap();
    let folder = latency_run(dir.path());
    report(&folder).unwrap();
    let first = snapshot(folder.path());
    for file in [
        "summary.json",
        "report.html",
        "charts/latency.svg",
        "charts/spectrum-1-load-rate-1k-s.svg",
        "charts/rates-2-load-rate-10k-s.svg",
    ] {
        assert!(first.contains_key(file), "{file} in {:?}", first.keys());
    }
    report(&RunFolder::open(folder.path()).unwrap()).unwrap();
    assert!(first == snapshot(folder.path()), "rendering again changed a byte");
    let spectrum =
        String::from_utf8(first["charts/spectrum-1-load-rate-1k-s.svg"].clone()).unwrap();
    assert!(
        spectrum.contains("(redis-pubsub) to") && spectrum.contains("#0072B2"),
        "states its finding, in the system's colour"
    );
    keep(folder.path(), "latency");
}

#[test]
fn a_closed_loop_run_has_throughput_and_no_latency() {
    let dir = tempfile::tempdir().unwrap();
    let folder = throughput_run(dir.path(), 3);
    report(&folder).unwrap();
    let files = snapshot(folder.path());
    assert!(
        files.contains_key("charts/throughput.svg") && !files.contains_key("charts/latency.svg")
    );
    assert!(!files.keys().any(|file| file.starts_with("charts/spectrum")));
    keep(folder.path(), "throughput");
}

/// A window of two stages of five seconds: the first carried, the second taking much longer.
fn staged_run(results: &Path) -> RunFolder {
    const SECOND: u64 = 1_000_000_000;
    let folder = RunFolder::create(results, "stages").unwrap();
    folder.write_manifest(&manifest(&folder, "stages", 1)).unwrap();
    for label in ["kafka", "redis-streams"] {
        let mut output = cell(label, "base", 1);
        for interval in output.intervals.iter_mut().filter(|one| !one.warm_up) {
            interval.stage = if interval.start_ns < 9 * SECOND { 1 } else { 2 };
            if interval.stage == 2 && label == "kafka" {
                interval.histogram.reset();
                interval.histogram.record_n(20 * SECOND / 1000, 50_000).unwrap();
            }
        }
        let stage = |from_s: u64, rate: u64| StageRecord {
            from_per_s: rate as f64,
            to_per_s: rate as f64,
            start_ns: from_s * SECOND,
            end_ns: (from_s + 5) * SECOND,
            planned: 5 * rate,
            censored: Default::default(),
        };
        output.record.stages = vec![stage(4, 1000), stage(9, 10_000)];
        for row in &mut output.windows {
            let rate = if row.start_ns < 9 * SECOND { 1000 } else { 10_000 };
            (row.acked_messages, row.consumed_messages) = (rate, rate);
        }
        folder.write_cell(&output).unwrap();
    }
    folder
}

#[test]
fn stages_have_latencies_of_their_own_and_the_knee_is_told_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let folder = staged_run(dir.path());
    let summary = report(&folder).unwrap();
    let kafka = &summary.cells[0];
    let [first, second] = &kafka.stages[..] else { panic!("{:?}", kafka.stages) };
    assert_eq!((first.rates.offered_per_s, first.rates.goodput_per_s), (Some(1e3), Some(1e3)));
    assert!(first.carried && first.within_knee && second.carried && !second.within_knee);
    let p99 = |stage: &StageSummary| stage.latency.end_to_end.as_ref().unwrap().p99_ns.unwrap();
    assert!(p99(second).abs_diff(20_000_000) < 100_000 && p99(first) < 5_000_000);
    assert_eq!(first.latency.service, None, "of what is never sent nobody knows it");
    assert_eq!(kafka.knee_per_s, Some(1e3));
    let all = first.latency.end_to_end.as_ref().unwrap().count + 50_000;
    assert_eq!(kafka.latency.end_to_end.as_ref().unwrap().count, all, "the window is all of them");
    let chart = String::from_utf8(snapshot(folder.path())["charts/knee.svg"].clone()).unwrap();
    assert!(chart.contains("kafka at 1k/s, redis-streams beyond 10k/s"), "{chart}");
    let lines = stage_lines(&summary, false);
    assert_eq!(lines[0], "knee     kafka at 1k/s");
    let each = stage_lines(&summary, true);
    assert!(each[2].starts_with("  10k/s: goodput 10.0k/s, p50 20.0 ms, p99 20.0 ms"), "{each:?}");
    assert!(each[2].ends_with(", beyond the knee"), "{each:?}");
    let none = latency_run(dir.path());
    report(&none).unwrap();
    assert!(!snapshot(none.path()).contains_key("charts/knee.svg"));
}

/// A run of the size ladder and one of a matrix of consumers, small and known.
fn swept_run(results: &Path) -> RunFolder {
    let folder = RunFolder::create(results, "sweep").unwrap();
    folder.write_manifest(&manifest(&folder, "parallelism", 1)).unwrap();
    for (at, label) in SYSTEMS.into_iter().enumerate() {
        for (n, work) in [1u64, 2, 4, 8].into_iter().flat_map(|n| [(n, "0s"), (n, "1ms")]) {
            let rate =
                if work == "1ms" { 900 * n - 20 * n * at as u64 } else { 50_000 + 100 * at as u64 };
            let mut output =
                capacity_cell(label, &format!("load.consumers={n},load.work={work}"), 1, rate);
            output.record.held_by_consumers = Some(if work == "1ms" { 0.97 } else { 0.1 });
            if n == 1 && work == "0s" {
                for (step, size) in ["1KiB", "64KiB", "1MiB", "16MiB", "64MiB", "256MiB", "1GB"]
                    .into_iter()
                    .enumerate()
                {
                    let point = format!("size={size}");
                    let (rate, ns) = (
                        2e6 * (1.0 + at as f64) * 3f64.powi(step as i32),
                        3e5 * 4f64.powi(step as i32),
                    );
                    output.record.observations.extend([
                        Observation::measured(metric::GOODPUT_BYTES, point.clone(), rate, 20),
                        Observation::measured(metric::BYSTANDER_P99, point, ns, 5_000),
                    ]);
                }
                output.record.observations.push(Observation::cannot(
                    metric::SHARE_SEEK,
                    "",
                    "no positions in time",
                ));
            }
            folder.write_cell(&output).unwrap();
        }
    }
    folder
}

#[test]
fn observations_become_charts_and_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let folder = swept_run(dir.path());
    report(&folder).unwrap();
    let files = snapshot(folder.path());
    for file in ["charts/size-ladder.svg", "charts/sharing.svg"] {
        assert!(files.contains_key(file), "{file} in {:?}", files.keys());
    }
    let sharing = String::from_utf8(files["charts/sharing.svg"].clone()).unwrap();
    assert!(
        sharing.contains("1ms of work") && !sharing.contains("0s of work"),
        "not limited there"
    );
    assert!(!files.contains_key("charts/fan-out.svg"));
    let page = plain_slashes(&String::from_utf8(files["report.html"].clone()).unwrap());
    for said in ["id=\"observations\"", "share.seek", "no positions in time", "cannot", "MB/s"] {
        assert!(page.contains(said), "{said}");
    }
    keep(folder.path(), "sweep");
}

/// A search for the highest rate: each system doubles until it fails, then bisects.
fn searched_run(results: &Path) -> RunFolder {
    let folder = RunFolder::create(results, "search").unwrap();
    folder.write_manifest(&manifest(&folder, "throughput", 1)).unwrap();
    for (label, most) in SYSTEMS.into_iter().zip([70_000u64, 310_000, 120_000, 150_000]) {
        let mut output = capacity_cell(label, "base", 1, most);
        output.record.experiment = Some("capacity".into());
        let doubled = (0..8).map(|step| 8_000 << step).take_while(|rate| rate / 2 < most);
        for (at, rate) in doubled.chain([most, most * 21 / 20, most, most * 21 / 20]).enumerate() {
            let went = if rate <= most { "passed" } else { "failed" };
            let p99 = 3e5 + 5e9 * (rate as f64 / most as f64).powi(8) / 100.0;
            let point = format!("probe={},rate={rate}/s,went={went}", at + 1);
            output.record.observations.extend([
                Observation::measured(
                    metric::PROBE_GOODPUT,
                    point.clone(),
                    rate.min(most) as f64,
                    5_000,
                ),
                Observation::measured(metric::PROBE_P99, point, p99, 5_000),
            ]);
        }
        folder.write_cell(&output).unwrap();
    }
    folder
}

#[test]
fn a_search_shows_its_probes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = searched_run(dir.path());
    report(&folder).unwrap();
    assert!(snapshot(folder.path()).contains_key("charts/p99-by-rate.svg"));
    keep(folder.path(), "search");
}

#[test]
fn no_text_of_a_run_overlaps_or_is_clipped() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [
        swept_run(dir.path()),
        latency_run(dir.path()),
        throughput_run(dir.path(), 3),
        searched_run(dir.path()),
    ];
    for folder in runs {
        let summary = summarize(&folder).unwrap();
        let cells = folder.read_cells(&folder.read_manifest().unwrap()).unwrap();
        for (name, figure) in figures(&summary, &cells).unwrap() {
            assert_eq!(crowded(&figure), Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn the_index_lists_runs_and_comparisons_and_survives_damage() {
    let dir = tempfile::tempdir().unwrap();
    write_index(dir.path()).unwrap();
    let read = || plain_slashes(&std::fs::read_to_string(dir.path().join("index.html")).unwrap());
    assert!(read().contains("None yet"));
    let folder = throughput_run(dir.path(), 1);
    report(&folder).unwrap();
    write_comparison(&dir.path().join("quick"), &testing::comparison()).unwrap();
    let damaged = dir.path().join("runs/2026-01-01T000000.000Z-damaged-abc");
    files::write_atomic(&damaged.join("manifest.json"), b"{").unwrap();
    write_index(dir.path()).unwrap();
    let page = read();
    for said in [
        &format!("href=\"runs/{}/report.html\"", folder.name()),
        "href=\"quick/comparison.html\"",
        "8 of 8 claims measured",
        "unreadable",
        "complete",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains(&*dir.path().to_string_lossy()), "no path of this machine");
    keep(dir.path(), "results");
}

#[test]
fn what_failed_and_what_never_came_is_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), "latency").unwrap();
    folder.write_manifest(&manifest(&folder, "latency", 1)).unwrap();
    let mut output = crate::result::testing::cell("redis-streams", "load.rate=1k/s", 1);
    let record = &mut output.record;
    record.failures = [("OOM command not allowed".to_owned(), 4321)].into();
    let censored = crate::result::Censored { count: 4321, at_least_ns: 7_000_000_000 };
    record.censored = [(crate::model::Latency::EndToEnd, censored)].into();
    folder.write_cell(&output).unwrap();
    let summary = report(&folder).unwrap();
    let latency = summary.cells[0].latency.end_to_end.as_ref().unwrap();
    assert_eq!((latency.p99_ns, latency.at_least_ns["p99"]), (None, 7_000_000_000));
    assert_eq!(summary.cells[0].failures["OOM command not allowed"], 4321);
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for words in ["Why messages failed", "OOM command not allowed", "4,321", "&gt; 7"] {
        assert!(page.contains(words), "{words}");
    }
}
