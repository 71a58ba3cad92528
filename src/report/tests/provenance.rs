//! Where figures come from, in every form of the table.

use super::*;
use crate::result::{Build, CellResources, Status};

fn build(binary: &str) -> Option<Build> {
    Some(Build {
        commit: Some("40e68d9f01abcdef".into()),
        dirty: Some(true),
        binary: Some(binary.into()),
    })
}

/// Two runs: that of throughput is of another binary, that of latency is spoilt.
fn stitched() -> Comparison {
    let mut comparison = table();
    let first = &mut comparison.runs[0];
    first.build = build("0123456789abcdef");
    first.provided = BTreeMap::from([("java".into(), "21.0.8 from PATH".into())]);
    first.storage = Some("ext4 on /dev/vda1 (rw)".into());
    comparison.runs.push(RunInfo {
        run: "newer".into(),
        scenario: "latency".into(),
        status: Status::Invalid,
        started_at: "2026-11-23T19:00:00Z".into(),
        build: build("fedcba9876543210"),
        ..comparison.runs[0].clone()
    });
    for cell in &mut comparison.claims[2].cells {
        cell.run = Some("newer".into());
    }
    RunInfo::mark_builds(&mut comparison.runs);
    comparison
}

fn forms(comparison: &Comparison) -> Vec<(&'static str, String)> {
    let dir = tempfile::tempdir().unwrap();
    write_comparison(dir.path(), comparison).unwrap();
    let form = |extension: &'static str| {
        let path = dir.path().join(format!("comparison.{extension}"));
        (extension, std::fs::read_to_string(path).unwrap())
    };
    ["md", "csv", "json", "html"].map(form).into()
}

#[test]
fn every_form_tells_status_scenario_software_and_build() {
    let comparison = stitched();
    for (form, text) in forms(&comparison) {
        for words in ["invalid", "latency", "librdkafka", "java", "0123456789ab", "fedcba987654"] {
            assert!(text.contains(words), "{form}: {words}");
        }
        let mark = match form {
            "json" => "\"other_build\": true",
            "csv" => ",yes,",
            _ => "‡",
        };
        assert!(text.contains(mark), "{form}");
    }
    let text = markdown(&comparison);
    assert!(text.contains("‡ Made by several builds"), "{text}");
    assert!(text.contains("| **Throughput ‡**"), "{text}");
    assert!(text.contains("run invalid: latency"), "{text}");
    assert!(terminal(&comparison, 140).contains("run invalid"), "on the terminal as well");
}

#[test]
fn one_build_is_named_and_an_old_table_says_that_none_is_told() {
    let mut comparison = table();
    assert!(markdown(&comparison).contains("Made by builds that are not told"));
    comparison.runs[0].build = build("0123456789abcdef");
    RunInfo::mark_builds(&mut comparison.runs);
    let text = markdown(&comparison);
    let named = "Measured by one build: commit 40e68d9f01ab with changes, binary 0123456789ab.";
    assert!(text.contains(named) && !text.contains('‡'), "{text}");
}

#[test]
fn samples_are_counted_unit_by_unit() {
    let mut comparison = table();
    let cells = &mut comparison.claims[1].cells;
    cells[0].n = 12;
    cells[0].n_unit = "probes".into();
    let panels = crate::report::chart::comparison::panels(&comparison);
    let [figure, ..] = panels[1].as_ref().unwrap();
    let told = "behind each figure n ≥ 30,000 messages, n ≥ 12 probes";
    assert!(figure.caption.contains(told), "{}", figure.caption);
}

#[test]
fn values_that_are_largely_ours_are_marked_in_every_form() {
    let mut comparison = table();
    for cell in comparison.claims[1].cells.iter_mut().filter(|cell| cell.metric == "goodput") {
        cell.resources = Some(CellResources {
            client_cpu_ns_per_message: Some(57_000.0),
            broker_cpu_ns_per_message: Some(31_000.0),
            client_share: Some(0.285),
            saturated: BTreeMap::from([("machine-cpu".into(), 2)]),
        });
        for block in &mut cell.per_block {
            block.floor = block.value.map(|value| 0.6 * value);
        }
    }
    for (form, text) in forms(&comparison) {
        let told = match form {
            "json" => &["client_share", "machine-cpu"][..],
            "csv" => &["†§", "0.285", "machine-cpu", "57000"],
            _ => &["†", "§", "57.0", "31.0", "28.5 %", "machine-cpu in 2", "took more CPU"],
        };
        for words in told {
            assert!(text.contains(words), "{form}: {words}");
        }
    }
    assert!(terminal(&comparison, 140).contains('§'));
}
