use super::*;
use crate::result::synthetic::{latency_run, throughput_run};
use crate::result::{Outcome, RunFolder, Survives, summarize};

fn read(folder: &RunFolder) -> (Manifest, Summary) {
    (folder.read_manifest().unwrap(), summarize(folder).unwrap())
}

fn throughput(blocks: u32) -> (Manifest, Summary) {
    read(&throughput_run(tempfile::tempdir().unwrap().path(), blocks))
}

fn row(comparison: &Comparison, id: &str) -> Claim {
    comparison.claims.iter().find(|claim| claim.id == id).unwrap().clone()
}

fn verdict(id: &str, run: (Manifest, Summary)) -> (String, String) {
    let comparison = build("standard", &[run]).unwrap();
    recheck(&comparison).unwrap();
    let row = row(&comparison, id);
    (row.verdict, row.because)
}

/// Scales the goodput of a label, for one block or all.
fn scale(run: &mut (Manifest, Summary), label: &str, block: Option<u32>, factor: f64) {
    for cell in run.1.cells.iter_mut().filter(|cell| cell.label == label && block.is_none_or(|b| b == cell.block)) {
        cell.rates.goodput_per_s = cell.rates.goodput_per_s.map(|rate| rate * factor);
    }
}

#[test]
fn a_clear_difference_in_three_blocks_holds() {
    let (verdict, because) = verdict("throughput", throughput(3));
    assert_eq!(verdict, "holds");
    assert!(because.contains("goodput of kafka ÷ redis-streams at message.size=100B: 2.00× ["), "{because}");
    assert!(
        because
            .contains("across survival classes (kafka survives process kill, 1 copy, redis-pubsub survives nothing)")
    );
    assert!(!because.contains("redis-streams survives"), "equal classes need no reason: {because}");
}

#[test]
fn below_three_blocks_the_ratio_is_shown_and_no_verdict_given() {
    for blocks in [1, 2] {
        let (verdict, because) = verdict("throughput", throughput(blocks));
        assert_eq!(verdict, "inconclusive (exploratory)");
        assert!(because.contains("2.00×, ") && because.contains("exploratory"), "{because}");
    }
}

#[test]
fn some_primitives_only() {
    let mut run = throughput(3);
    scale(&mut run, "redis-pubsub", None, 2.0);
    assert_eq!(verdict("throughput", run.clone()).0, "holds only for redis-streams, redis-lists");
    for label in ["redis-streams", "redis-lists"] {
        scale(&mut run, label, None, 4.0);
    }
    assert_eq!(verdict("throughput", run).0, "does not hold");
}

#[test]
fn one_point_only() {
    let mut run = throughput(3);
    for cell in run.1.cells.iter_mut().filter(|cell| cell.label != "kafka" && cell.cell.contains("1KiB")) {
        cell.rates.goodput_per_s = cell.rates.goodput_per_s.map(|rate| rate * 4.0);
    }
    let (verdict, _) = verdict("throughput", run);
    assert!(verdict.starts_with("holds only for redis-pubsub at message.size=100B, redis-streams at"), "{verdict}");
}

#[test]
fn a_wide_interval_is_inconclusive() {
    let mut run = throughput(3);
    for label in ["redis-pubsub", "redis-streams", "redis-lists"] {
        scale(&mut run, label, Some(2), 3.0);
    }
    assert_eq!(verdict("throughput", run).0, "inconclusive (the interval includes the limit)");
}

#[test]
fn classes_that_differ_need_the_scenarios_reason() {
    let mut run = throughput(3);
    run.0.scenario.cross_class = None;
    let (text, because) = verdict("throughput", run.clone());
    assert_eq!(text, "holds only for redis-streams, redis-lists");
    assert!(because.contains("gives no reason to compare across them"), "{because}");
    for cell in run.1.cells.iter_mut().filter(|cell| cell.label == "kafka") {
        cell.survives = Survives { power_loss: true, ..cell.survives.clone() };
    }
    assert!(verdict("throughput", run).0.starts_with("inconclusive (survival classes differ"));
}

#[test]
fn an_invalid_block_does_not_count_and_says_so() {
    let mut run = throughput(3);
    for cell in run.1.cells.iter_mut().filter(|cell| cell.label == "kafka" && cell.block == 2) {
        cell.valid = false;
        cell.invalid_because = vec!["generator CPU 99 % (limit 90 %)".into()];
    }
    let comparison = build("standard", &[run]).unwrap();
    let row = row(&comparison, "throughput");
    assert_eq!(row.verdict, "inconclusive (exploratory)", "two blocks are left");
    assert_eq!((row.cells[0].blocks, row.cells[0].interval), (2, None));
    assert!(row.cells[0].text.contains("invalid: generator CPU 99 %"), "{}", row.cells[0].text);
}

#[test]
fn latency_holds_at_every_rate_and_quantile() {
    let folder = tempfile::tempdir().unwrap();
    let run = read(&latency_run(folder.path()));
    let (text, because) = verdict("latency", run.clone());
    assert_eq!(text, "holds", "{because}");
    assert_eq!(because.matches(": shown").count(), 3 * 2 * 2, "primitives × rates × quantiles: {because}");

    let mut overloaded = run.clone();
    for cell in overloaded.1.cells.iter_mut().filter(|cell| cell.label == "kafka" && cell.cell.contains("10k")) {
        cell.outcome = Outcome::Overloaded;
        cell.outcome_because = vec!["8k/s of 10k/s reached".into()];
    }
    let comparison = build("standard", &[overloaded]).unwrap();
    let saturated: Vec<_> = (row(&comparison, "latency").cells.into_iter())
        .filter(|cell| cell.label == "kafka" && cell.cell.contains("10k"))
        .collect();
    assert!(saturated.iter().all(|cell| cell.value.is_none() && cell.text.contains("overloaded: 8k/s of 10k/s")));
    assert!(row(&comparison, "latency").verdict.starts_with("holds only for redis-pubsub at load.rate=1k/s"));
    recheck(&comparison).unwrap();

    let mut few = run.clone();
    for cell in &mut few.1.cells {
        cell.latency.end_to_end.as_mut().unwrap().count = 9_999;
    }
    let (_, because) = verdict("latency", few);
    assert!(because.contains("9999 samples a block, 10000 needed"), "{because}");

    let mut floor = run;
    for cell in floor.1.cells.iter_mut().filter(|cell| cell.label == "redis-pubsub") {
        cell.floor.get_mut("end_to_end").unwrap().insert("p50".into(), 100_000);
    }
    assert!(verdict("latency", floor).1.contains("the instrument's own path makes up"));
}

#[test]
fn what_was_not_measured_says_so() {
    let comparison = build("quick", &[]).unwrap();
    assert!(comparison.claims.iter().chain(&comparison.uses).all(|row| row.verdict == "not measured"));
    assert!(
        comparison.claims.iter().all(|row| row.cells.len() == 4 && row.cells.iter().all(|cell| cell.value.is_none()))
    );
    recheck(&comparison).unwrap();
    let mut alone = throughput(3);
    alone.1.cells.retain(|cell| cell.label == "kafka");
    assert_eq!(verdict("throughput", alone).0, "not measured");
}

#[test]
fn invented_numbers_are_refused() {
    let mut run = throughput(3);
    run.0.environment = "fake".into();
    assert!(build("quick", &[run]).unwrap_err().to_string().contains("fake"));
    let mut run = throughput(3);
    run.1.cells[0].system = "fake".into();
    assert!(build("quick", &[run]).is_err());
    let mut comparison = build("quick", &[throughput(3)]).unwrap();
    comparison.runs[0].environment = "fake".into();
    assert!(recheck(&comparison).unwrap_err()[0].contains("fake"));
}

#[test]
fn a_table_edited_by_hand_is_found_out() {
    let sound = build("standard", &[throughput(3)]).unwrap();
    let text = serde_json::to_string(&sound).unwrap();
    let read_back: Comparison = serde_json::from_str(&text).unwrap();
    recheck(&read_back).unwrap();
    type Edit = (&'static str, fn(&mut Claim));
    let edits: [Edit; 6] = [
        ("verdict", |row| row.verdict = "does not hold".into()),
        ("because", |row| row.because.push('!')),
        ("kafka message.size=100B goodput", |row| row.cells[0].value = Some(1e9)),
        ("kafka message.size=100B goodput", |row| row.cells[0].interval = None),
        ("ratio(goodput, kafka, redis-streams)", |row| {
            row.cells.iter_mut().filter(|cell| cell.metric.contains("streams")).for_each(|cell| cell.value = Some(9.0));
        }),
        ("kafka message.size=100B goodput", |row| row.cells[0].per_block[0].value = Some(1.0)),
    ];
    for (what, edit) in edits {
        let mut edited = sound.clone();
        edit(edited.claims.iter_mut().find(|row| row.id == "throughput").unwrap());
        let wrong = recheck(&edited).unwrap_err();
        assert!(wrong.iter().any(|line| line.contains(what)), "{what}: {wrong:?}");
    }
    let mut shorter = sound;
    shorter.claims.pop();
    assert!(recheck(&shorter).is_err());
}
