//! Charts and tables of faults, over made-up runs whose every number is known.

use super::hostile::HOSTILE;
use super::*;
use crate::result::testing::cell as raw_cell;
use crate::result::{CellOutput, Fault, PartitionRecovery, Unavailable, WindowRow};

const SECOND: u64 = 1_000_000_000;
/// The load begins so long after the run's epoch, and its window so long after it.
const EPOCH: u64 = 3 * SECOND;
const WINDOW: u32 = 10;
const RATE: u64 = 5_000;

/// Killed 5 s into the window; back after `rto`,
/// started again 10 s later unless it is lost for good.
fn killed(rto_ms: Option<u64>, lost: Option<u64>, for_good: bool) -> Fault {
    let effect = EPOCH + u64::from(WINDOW) * SECOND + 5_020_000_000;
    let rto = rto_ms.map(|ms| ms * 1_000_000);
    Fault {
        kind: "kill".into(),
        target: "leader".into(),
        node: "node 2".into(),
        planned_at_ns: Some(effect - 20_000_000),
        took_effect_at_ns: Some(effect),
        healed_at_ns: (!for_good).then_some(effect + 12 * SECOND),
        scripted_ns: (!for_good).then_some(10 * SECOND),
        rto_publish_ns: rto,
        rto_deliver_ns: rto.map(|ns| ns + 400_000_000),
        rto_90_ns: rto.map(|ns| ns + 1_500_000_000),
        probe_rto_ns: rto.map(|ns| ns.saturating_sub(300_000_000)),
        redundancy_ns: (!for_good).then_some(19 * SECOND),
        rpo_messages: lost,
        rpo_ns: lost.map(|lost| lost * 200_000),
        unavailable: vec![Unavailable {
            partition: 0,
            from_ns: effect,
            to_ns: rto.map(|ns| effect + ns),
        }],
        partitions: vec![PartitionRecovery {
            partition: 0,
            rto_publish_ns: rto,
            rto_deliver_ns: rto,
            ..PartitionRecovery::default()
        }],
        text: rto.map_or("stream 0: no acknowledgement any more until the end", |_| "").into(),
        ..Fault::default()
    }
}

/// A cell of 10 s warm-up, 40 s window and 5 s drain, silent while its faults last.
fn faulted(label: &str, system: &str, faults: Vec<Fault>) -> CellOutput {
    let mut output = raw_cell(system, "base", 1);
    let silent = |at: u64| {
        let hit = |fault: &Fault| {
            let from = fault.took_effect_at_ns.unwrap_or(u64::MAX);
            from < at + SECOND
                && at < fault.rto_publish_ns.map_or(u64::MAX, |ns| from.saturating_add(ns))
        };
        faults.iter().any(hit)
    };
    output.windows = (0..WINDOW + 45)
        .map(|second| {
            let start_ns = EPOCH + u64::from(second) * SECOND;
            let (due, through) = (if second < WINDOW + 40 { RATE } else { 0 }, !silent(start_ns));
            WindowRow {
                second,
                phase: if second < WINDOW {
                    "warm-up"
                } else if due > 0 {
                    "measure"
                } else {
                    "drain"
                }
                .into(),
                start_ns,
                offered_messages: Some(due),
                sent_messages: due,
                acked_messages: if through { due } else { 0 },
                consumed_messages: if through { due } else { 0 },
                publish_p99_ns: through.then_some(2_000_000 + u64::from(second) * 10_000),
                end_to_end_p99_ns: through.then_some(if second == WINDOW + 15 {
                    9 * SECOND
                } else {
                    3_000_000
                }),
                ..WindowRow::default()
            }
        })
        .collect();
    let record = &mut output.record;
    (record.id.label, record.id.system) = (label.into(), system.into());
    (record.id.nodes, record.id.variant) = (3, Some("nodes=3".into()));
    record.window_start_ns = Some(EPOCH + u64::from(WINDOW) * SECOND);
    record.window_end_ns = Some(EPOCH + u64::from(WINDOW + 40) * SECOND);
    record.counts.acked = record.counts.acked.map(|_| 250_000);
    record.counts.broker_lost =
        record.counts.acked.and_then(|_| faults.iter().map(|fault| fault.rpo_messages).sum());
    record.counts.duplicate = Some(12);
    record.retries.insert("publish: timed out".into(), 31);
    record.faults = faults;
    output
}

fn run(results: &Path, cells: &[CellOutput]) -> RunFolder {
    let folder = RunFolder::create(results, "kill-leader").unwrap();
    let mut manifest = manifest(&folder, "fault-tolerance", 1);
    manifest.scenario.systems =
        cells.iter().map(|cell| (cell.record.label.clone(), cell.record.system.clone())).collect();
    folder.write_manifest(&manifest).unwrap();
    for cell in cells {
        folder.write_cell(cell).unwrap();
    }
    folder
}

fn drawn(cells: &[CellOutput]) -> Vec<(String, Figure)> {
    let dir = tempfile::tempdir().unwrap();
    let folder = run(dir.path(), cells);
    let stored = folder.read_cells(&folder.read_manifest().unwrap()).unwrap();
    figures(&summarize(&folder).unwrap(), &stored).unwrap()
}

fn figure<'a>(figures: &'a [(String, Figure)], name: &str) -> &'a Figure {
    let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
    figures
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, figure)| figure)
        .unwrap_or_else(|| panic!("{name}: {names:?}"))
}

fn several() -> [CellOutput; 4] {
    let repeated = (0..3u64).map(|n| {
        let moved = |ns: Option<u64>| ns.map(|ns| ns + n * 11 * SECOND);
        let one = Fault {
            kind: "net-reset".into(),
            target: "all".into(),
            ..killed(Some(450 + n * 10), None, false)
        };
        Fault {
            planned_at_ns: moved(one.planned_at_ns),
            took_effect_at_ns: moved(one.took_effect_at_ns),
            healed_at_ns: moved(one.took_effect_at_ns),
            scripted_ns: Some(0),
            redundancy_ns: None,
            ..one
        }
    });
    [
        faulted("kafka-3", "kafka", vec![killed(Some(8_910), Some(0), false)]),
        faulted("kafka-3-stock", "kafka", vec![killed(None, Some(66_123), true)]),
        faulted("redis-3-noticed", "redis-streams", vec![killed(Some(11_200), Some(1_234), false)]),
        faulted("redis-pubsub", "redis-pubsub", repeated.collect()),
    ]
}

#[test]
fn the_titles_are_what_the_data_says() {
    let title = |cells: &[CellOutput]| figure(&drawn(cells), "faults-1-base").title.clone();
    let kafka = |fault: Fault| faulted("kafka-3", "kafka", vec![fault]);
    assert_eq!(
        title(&[kafka(killed(Some(8_910), Some(0), false))]),
        "kafka-3 took messages again 8.91 s after its leader was killed; nothing acknowledged was \
        lost"
    );
    assert_eq!(
        title(&[kafka(killed(Some(100), Some(7), false))]),
        "kafka-3 was never interrupted for more than 100 ms when its leader was killed; \
         kafka-3 lost 7 acknowledged messages"
    );
    assert_eq!(
        title(&several()),
        "kafka-3-stock was not seen to take messages on every partition or stream again after its \
         leader was lost for good; kafka-3-stock lost 66,123 acknowledged messages, the most of 4 \
         labels"
    );
    let missed = Fault {
        kind: "pause".into(),
        not_applied: Some("no such privilege".into()),
        ..Fault::default()
    };
    assert_eq!(title(&[kafka(missed)]), "No fault was applied to kafka-3");
    let matrix = |rto_ms: u64| {
        let mut all = several();
        all[2].record.faults = vec![killed(Some(rto_ms), Some(1_234), false)];
        figure(&drawn(&all), "fault-matrix").title.clone()
    };
    let lost = "2 of 4 lost acknowledged messages, kafka-3-stock most (66,123); 1 of 4 not seen to \
                come back";
    let others = "the others back after at most 9.70 s (redis-3-noticed)";
    assert_eq!(matrix(9_700), format!("{lost}; {others}"));
    // It was started again 10 s after it was killed.
    let healed = "redis-3-noticed back only once the fault was over, after 10.0 s";
    assert_eq!(matrix(11_200), format!("{lost}; {healed}"));
}

#[test]
fn faults_are_drawn_in_place_of_plain_rates_and_told_in_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let folder = run(dir.path(), &several());
    report(&folder).unwrap();
    let files = snapshot(folder.path());
    assert!(
        files.contains_key("charts/faults-1-base.svg")
            && files.contains_key("charts/fault-matrix.svg")
    );
    assert!(!files.keys().any(|name| name.contains("rates")), "{:?}", files.keys());
    let page = plain_slashes(&String::from_utf8(files["report.html"].clone()).unwrap());
    for said in [
        "id=\"faults\"",
        "<td>8.91</td>",
        "<td>66,123</td>",
        "stream 0: 5.02 to 13.9",
        "stream 0: 5.02 to the end",
        "31 publish: timed out",
        "never</td>",
        "PASS",
        "FAIL",
        "at-least-once",
        "no acknowledgement any more until the end",
        "var(--band)",
    ] {
        assert!(page.contains(said), "{said}");
    }
    // 8.91 s less the 10 s that the scenario prescribes is nothing; 11.2 s less them is 1.2 s.
    assert!(page.contains("<td>1.20</td>"));
    report(&folder).unwrap();
    assert!(snapshot(folder.path()) == files, "rendered twice, the same bytes");
    keep(folder.path(), "faults");
}

#[test]
fn no_text_of_faults_overlaps_or_is_clipped() {
    let mut hostile = several();
    for cell in &mut hostile {
        for fault in &mut cell.record.faults {
            fault.node = HOSTILE.into();
            fault.not_healed = Some(HOSTILE.repeat(3));
        }
    }
    let one = vec![faulted("kafka-3", "kafka", vec![killed(Some(8_910), Some(0), false)])];
    for cells in [several().to_vec(), hostile.to_vec(), one] {
        for (name, figure) in drawn(&cells) {
            assert_eq!(crowded(&figure), Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn what_was_not_applied_is_said_and_a_plain_run_has_no_faults() {
    let missed = Fault {
        kind: "pause".into(),
        target: "leader".into(),
        not_applied: Some("the process cannot be stopped".into()),
        ..Fault::default()
    };
    let figures = drawn(&[
        faulted("kafka-3", "kafka", vec![missed.clone()]),
        faulted("redis-3", "redis-streams", vec![killed(Some(200), Some(0), false)]),
    ]);
    let words: String =
        figure(&figures, "faults-1-base").texts().into_iter().map(|(text, _)| text + " ").collect();
    assert!(
        words.contains("pause of the leader not applied: the process cannot be stopped"),
        "{words}"
    );
    let matrix = figure(&figures, "fault-matrix");
    let row = matrix.data.rows.iter().find(|row| row[1] == "kafka-3").unwrap();
    assert_eq!(
        (row[0].as_str(), row[3].as_str(), row[4].as_str()),
        ("pause of the leader", "0", "not applied")
    );
    assert!(
        matrix.caption.contains("Not applied: kafka-3: the process cannot be stopped"),
        "{}",
        matrix.caption
    );
    let plain = drawn(&[faulted("kafka-3", "kafka", vec![])]);
    assert!(
        plain.iter().all(|(name, _)| !name.contains("fault"))
            && plain.iter().any(|(name, _)| name == "rates-1-base")
    );
}

#[test]
fn injections_are_gathered_and_a_recovery_not_seen_is_no_time() {
    let all = [
        killed(Some(100), Some(1), false),
        killed(Some(300), Some(2), false),
        killed(None, Some(0), false),
    ];
    let figures = drawn(&[
        faulted("kafka", "kafka", all[..2].to_vec()),
        faulted("kafka-3", "kafka", all.to_vec()),
    ]);
    let rows = &figure(&figures, "fault-matrix").data.rows;
    let cells = |label: &str| rows.iter().find(|row| row[1] == label).unwrap()[3..].join(" | ");
    assert!(
        cells("kafka").contains("2 | 3 of 250,000 | ") && cells("kafka").contains("300 ms"),
        "{rows:?}"
    );
    assert!(cells("kafka-3").contains("not in 1 of 3"), "{rows:?}");
}

#[test]
fn what_was_never_interrupted_is_no_time_in_any_figure() {
    let never = || Fault {
        rto_publish_at_most_ns: Some(100_000_000),
        rto_deliver_at_most_ns: Some(400_000_000),
        rto_90_at_most_ns: Some(100_000_000),
        text: String::new(),
        ..killed(None, Some(0), false)
    };
    let all = vec![never(), never(), killed(Some(12_000), Some(0), false)];
    let cells = [faulted("kafka-3", "kafka", all), faulted("redis", "redis-lists", vec![never()])];
    let figures = drawn(&cells);
    let matrix = figure(&figures, "fault-matrix");
    let row =
        |label: &str| matrix.data.rows.iter().find(|row| row[1] == label).unwrap().join(" | ");
    let some = "never interrupted for over 100 ms (interrupted by 1 of 3, 12.0 s at most)";
    assert!(row("kafka-3").contains(some), "{}", row("kafka-3"));
    let paused = " | never interrupted for over 100 ms | never interrupted for over 400 ms | ";
    assert!(row("redis").contains(paused), "{}", row("redis"));
    assert!(matrix.title.ends_with("back after at most 12.0 s (kafka-3)"), "{}", matrix.title);
    assert!(!matrix.data.rows.concat().iter().any(|text| text == "100 ms"), "{:?}", matrix.data);
    let dir = tempfile::tempdir().unwrap();
    let folder = run(dir.path(), &cells[1..]);
    report(&folder).unwrap();
    let files = snapshot(folder.path());
    let page = String::from_utf8(files["report.html"].clone()).unwrap();
    assert!(page.contains("<td>never interrupted for over 100 ms</td>"), "the table of the page");
}
