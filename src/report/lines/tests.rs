//! Tests only: lines of runs whose every number is known.

use super::*;
use crate::model::metric;
use crate::report::report;
use crate::result::testing::{capacity_cell, latency_run, manifest};
use crate::result::{Observation, RunFolder};

/// Of a run with this label at these blocks, changed before it is written.
fn changed(blocks: u32, change: impl Fn(&mut crate::result::CellRecord)) -> Summary {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), "retention").unwrap();
    folder.write_manifest(&manifest(&folder, "retention", blocks)).unwrap();
    for block in 1..=blocks {
        let mut output = capacity_cell("redis-lists", "load.rate=1k/s", block, 1000);
        change(&mut output.record);
        folder.write_cell(&output).unwrap();
    }
    report(&folder).unwrap()
}

fn gather_of(summary: &Summary, first: &[&str]) -> String {
    let groups = groups(summary);
    observed(&groups[0], &gather(&groups), first)
}

#[test]
fn a_line_for_each_label_and_point_over_all_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let summary = report(&latency_run(dir.path())).unwrap();
    let text = lines(&summary, Some("latency"), 80);
    assert!(text.ends_with("   over 3 blocks\n"), "{text}");
    let rows = text.lines().filter(|line| line.contains("k/s  ")).count();
    assert_eq!(rows, 8, "four systems at two rates: {text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("✓") && !text.contains("block-"), "{text}");
    assert_eq!(reasons(&summary), Vec::<String>::new());
}

#[test]
fn what_went_wrong_is_marked_and_told_once() {
    let summary = changed(3, |record| {
        if record.id.block > 1 {
            record.outcome = CellOutcome::Overloaded;
            record.outcome_because = vec![format!("backlog: {}", record.id.block)];
        }
        record.failures = [("refused".to_owned(), 3), ("no answer".to_owned(), 1)].into();
        record.counts.duplicate = Some(4);
    });
    let text = lines(&summary, None, 120);
    let line = text.lines().nth(1).unwrap().trim_start();
    assert!(line.starts_with("? ") && line.contains("overloaded in 2 of 3 · 12 twice"), "{text}");
    assert_eq!(
        reasons(&summary),
        [
            "overloaded: redis-lists 1k/s: backlog: 2 (and in 1 block more)",
            "failed: redis-lists 1k/s: refused ×9 (and for one other reason)",
        ]
    );
}

#[test]
fn of_an_interrupted_window_the_line_says_what_was_seen_till_then() {
    let summary = changed(1, |record| record.interrupted = true);
    let text = lines(&summary, None, 120);
    assert!(text.contains("✗") && text.contains("invalid · 10.0 s until interrupted: 1.00k/s"));
    assert!(!lines(&changed(1, |_| ()), None, 120).contains("until interrupted"));
}

#[test]
fn an_experiment_tells_what_its_claim_is_about_first() {
    let summary = changed(1, |record| {
        record.experiment = Some("retention".into());
        record.observations = vec![
            Observation::measured(metric::LIVE_RATE, "", 900.0, 10),
            Observation::measured(metric::CRASH_LOST, "poison=1%", 7.0, 10),
            Observation::cannot(metric::SHARE_SEEK, "", "no positions"),
        ];
    });
    let seen = gather_of(&summary, &[metric::SHARE_SEEK.name]);
    assert!(seen.starts_with("share.seek cannot · live.rate 900 msg/s · "), "{seen}");
    let text = lines(&summary, None, 120);
    assert!(text.contains("live.rate 900") && !text.contains("share.seek"), "{text}");
    assert!(text.contains(" · crash.lost (1%) 7 msg") && !text.contains("goodput"), "{text}");
    let of = |claim: &str| {
        headline(claim).iter().flat_map(Headline::metrics).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(of("retention").iter().all(|metric| metric::find(metric).is_some()));
    assert!(!of("error-handling").is_empty());
}

#[test]
fn what_a_system_cannot_has_its_reason() {
    let summary = changed(1, |record| {
        record.observations = vec![Observation::cannot(metric::GOODPUT, "", "no such thing")];
    });
    let text = lines(&summary, None, 80);
    assert!(text.contains("–") && text.contains("cannot: no such thing"), "{text}");
}
