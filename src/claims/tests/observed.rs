//! What experiments observe and books count, as cells of the table.

use super::*;
use crate::model::metric;

#[test]
fn observations_become_cells_and_facts_need_one_block() {
    let comparison = build("quick", &[retention()]).unwrap();
    recheck(&comparison).unwrap();
    let row = row(&comparison, "retention");
    assert_eq!(row.verdict, "◐ right for redis-pubsub, redis-lists · wrong for redis-streams");
    assert!(row.because.contains("redis-pubsub cannot (keeps nothing)"), "{}", row.because);
    let cell = |metric: &str, label: &str| {
        row.cells.iter().find(|c| c.metric == metric && c.label == label).unwrap()
    };
    let lists = cell("readable_after_ack", "redis-lists");
    assert_eq!(
        (lists.kind, lists.value, lists.unit.as_str(), lists.n),
        (Kind::Measured, Some(0.0), "share", 100)
    );
    assert_eq!(
        (lists.cell.as_str(), lists.text.as_str(), lists.interval),
        ("base", "read back", None)
    );
    let seek = cell("share.seek", "redis-lists");
    assert_eq!(
        (seek.kind, seek.cell.as_str(), seek.text.as_str()),
        (Kind::Cannot, "by=time", "a list has no time")
    );
}

#[test]
fn a_cell_of_a_fact_edited_by_hand_is_found_out() {
    let sound = build("quick", &[retention()]).unwrap();
    let edited = |edit: fn(&mut ComparedCell)| {
        let mut edited = sound.clone();
        let row = edited.claims.iter_mut().find(|row| row.id == "retention").unwrap();
        edit(row.cells.iter_mut().find(|cell| cell.label == "redis-lists").unwrap());
        recheck(&edited).unwrap_err().join("\n")
    };
    assert!(edited(|cell| cell.per_block[0].value = Some(1.0)).contains("retention: verdict is"));
    assert!(edited(|cell| cell.value = Some(0.5)).contains("redis-lists base readable_after_ack"));
    assert!(edited(|cell| cell.text = "all gone".into()).contains("text of redis-lists"));
    assert!(edited(|cell| cell.kind = Kind::Documented).contains("kind of redis-lists"));
    let mut documented = sound.clone();
    let row = documented.claims.iter_mut().find(|row| row.id == "error-handling").unwrap();
    row.cells.iter_mut().find(|cell| cell.label == "kafka-share").unwrap().text = "nobody".into();
    assert!(recheck(&documented).unwrap_err().join("").contains("text of kafka-share"));
    let mut rule = sound;
    rule.claims[0].rule = "Largest of all.".into();
    assert!(recheck(&rule).unwrap_err().join("").contains("message-size: rule is"));
}

/// The size ladder's tries stay in its summary: the table has a line for each rung.
#[test]
fn tries_become_rungs() {
    let intact =
        |point: &str, value| Observation::measured(metric::INTACT, point, value, 1).with_text("no");
    let observations = vec![
        intact("size=1MiB,payload=text,codec=none", 0.0),
        intact("size=1MiB,payload=text,codec=lz4", 1.0),
        Observation::measured(metric::LARGEST_INTACT, "", 1048576.0, 2),
    ];
    let comparison =
        build("quick", &[observed("message-size", &[("kafka", observations)])]).unwrap();
    recheck(&comparison).unwrap();
    assert_eq!(again(&comparison).unwrap(), comparison);
    let row = row(&comparison, "message-size");
    let rungs: Vec<_> = row.cells.iter().filter(|cell| cell.metric == "intact").collect();
    assert_eq!(rungs.len(), 1);
    assert_eq!((rungs[0].cell.as_str(), rungs[0].value, rungs[0].n), ("size=1MiB", Some(0.5), 2));
    assert_eq!(rungs[0].text, "payload=text,codec=none: no");
}

#[test]
fn completeness_comes_from_the_books() {
    let mut run = renamed(throughput(1), "parallelism-fanout");
    for cell in &mut run.1.cells {
        cell.id.cell = "load.subscriptions=2".into();
        cell.counts.delivered = Some(if cell.label == "kafka" { 200 } else { 150 });
        cell.counts.undelivered = Some(0);
        cell.counts.lost = Some(if cell.label == "kafka" { 0 } else { 50 });
    }
    let comparison = build("quick", &[run]).unwrap();
    let row = row(&comparison, "parallelism");
    let complete = |label: &str| {
        row.cells
            .iter()
            .find(|cell| cell.metric == "complete" && cell.label == label)
            .and_then(|cell| cell.value)
    };
    assert_eq!((complete("kafka"), complete("redis-lists")), (Some(1.0), Some(0.75)));
    assert_eq!(row.verdict, "✓ right", "sharing is no part of it");
    assert!(row.because.contains("scenario parallelism-sharing was not run"), "{}", row.because);
}
