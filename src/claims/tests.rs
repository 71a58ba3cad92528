mod figures;
mod managed;
mod observed;

use super::*;
use crate::model::metric;
use crate::result::testing::{latency_run, throughput_run};
use crate::result::{
    CellId, CellOutcome, CellSummary, Kind, Observation, RunFolder, Survives, summarize,
};

fn read(folder: &RunFolder) -> (Manifest, Summary) {
    (folder.read_manifest().unwrap(), summarize(folder).unwrap())
}

fn throughput(blocks: u32) -> (Manifest, Summary) {
    read(&throughput_run(tempfile::tempdir().unwrap().path(), blocks))
}

fn build(profile: &str, runs: &[(Manifest, Summary)]) -> Result<Comparison, ClaimError> {
    super::build(&Material { profile, runs, ..Material::default() })
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
    for cell in run
        .1
        .cells
        .iter_mut()
        .filter(|cell| cell.label == label && block.is_none_or(|b| b == cell.block))
    {
        cell.rates.goodput_per_s = cell.rates.goodput_per_s.map(|rate| rate * factor);
    }
}

#[test]
fn a_clear_difference_in_three_blocks_holds() {
    let (verdict, because) = verdict("throughput", throughput(3));
    assert_eq!(verdict, "✓ right");
    assert!(because.contains("kafka ÷ redis-streams: 2.00× shown; "), "{because}");
    assert!(because.contains(
        "across survival classes (kafka survives process kill, 1 copy, redis-pubsub \
                survives nothing)"
    ));
    assert!(!because.contains("redis-streams survives"), "equal classes need no reason: {because}");
}

#[test]
fn below_three_blocks_the_ratio_is_shown_and_no_verdict_given() {
    for blocks in [1, 2] {
        let (verdict, because) = verdict("throughput", throughput(blocks));
        assert_eq!(verdict, "? open: fewer than 3 blocks");
        assert!(
            because.contains("2.00× open (fewer than 3 blocks)")
                && because.contains("below 3 no verdict on speed"),
            "{because}"
        );
    }
}

#[test]
fn some_primitives_only() {
    let mut run = throughput(3);
    scale(&mut run, "redis-pubsub", None, 2.0);
    assert_eq!(
        verdict("throughput", run.clone()).0,
        "◐ right for redis-streams, redis-lists · wrong for redis-pubsub"
    );
    for label in ["redis-streams", "redis-lists"] {
        scale(&mut run, label, None, 4.0);
    }
    assert_eq!(verdict("throughput", run).0, "✗ wrong");
}

#[test]
fn one_point_only() {
    let mut run = throughput(3);
    for cell in
        run.1.cells.iter_mut().filter(|cell| cell.label != "kafka" && cell.cell.contains("1KiB"))
    {
        cell.rates.goodput_per_s = cell.rates.goodput_per_s.map(|rate| rate * 4.0);
    }
    let (verdict, _) = verdict("throughput", run);
    assert_eq!(verdict, "◐ right at message.size=100B · wrong at message.size=1KiB");
}

#[test]
fn a_wide_interval_is_inconclusive() {
    let mut run = throughput(3);
    for label in ["redis-pubsub", "redis-streams", "redis-lists"] {
        scale(&mut run, label, Some(2), 3.0);
    }
    let open = verdict("throughput", run).0;
    assert_eq!(open, "? open: difference within the spread: about 103 rounds would decide");
}

#[test]
fn classes_that_differ_need_the_scenarios_reason() {
    let mut run = throughput(3);
    run.0.scenario.cross_class = None;
    let (text, because) = verdict("throughput", run.clone());
    assert_eq!(
        text,
        "◐ right for redis-streams, redis-lists · open for redis-pubsub (survival classes differ)"
    );
    assert!(because.contains("redis-pubsub: 1.15× open (survival classes differ)"), "{because}");
    for cell in run.1.cells.iter_mut().filter(|cell| cell.label == "kafka") {
        cell.survives = Survives { power_loss: true, ..cell.survives.clone() };
    }
    assert!(verdict("throughput", run).0.starts_with("? open: survival classes differ"));
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
    assert_eq!(row.verdict, "? open: fewer than 3 blocks", "two blocks are left");
    assert_eq!((row.cells[0].blocks, row.cells[0].interval), (2, None));
    assert!(row.cells[0].text.contains("invalid: generator CPU 99 %"), "{}", row.cells[0].text);
}

#[test]
fn latency_holds_at_every_rate_and_quantile() {
    let folder = tempfile::tempdir().unwrap();
    let run = read(&latency_run(folder.path()));
    let (text, because) = verdict("latency", run.clone());
    assert_eq!(text, "✓ right", "{because}");
    assert_eq!(
        because.matches("× shown").count(),
        3,
        "each primitive, rates × quantiles: {because}"
    );
    assert!(
        because.contains("across survival classes")
            && because.chars().count() <= finding::LONGEST_BECAUSE
    );

    let mut overloaded = run.clone();
    for cell in overloaded
        .1
        .cells
        .iter_mut()
        .filter(|cell| cell.label == "kafka" && cell.cell.contains("10k"))
    {
        cell.outcome = CellOutcome::Overloaded;
        cell.outcome_because = vec!["8k/s of 10k/s reached".into()];
    }
    let comparison = build("standard", &[overloaded]).unwrap();
    let saturated: Vec<_> = (row(&comparison, "latency").cells.into_iter())
        .filter(|cell| cell.label == "kafka" && cell.cell.contains("10k"))
        .collect();
    assert!(
        saturated
            .iter()
            .all(|cell| cell.value.is_none() && cell.text.contains("overloaded: 8k/s of 10k/s"))
    );
    assert_eq!(
        row(&comparison, "latency").verdict,
        "◐ right at load.rate=1k/s · open at load.rate=10k/s (kafka overloaded)"
    );
    recheck(&comparison).unwrap();

    let mut few = run.clone();
    for cell in &mut few.1.cells {
        cell.latency.end_to_end.as_mut().unwrap().count = 3_333;
    }
    let (_, because) = verdict("latency", few);
    assert!(because.contains("9999 of 10000 samples"), "{because}");

    // A floor pulls a ratio towards 1: it makes no difference.
    let mut floor = run.clone();
    for cell in floor.1.cells.iter_mut().filter(|cell| cell.label == "redis-pubsub") {
        cell.floor.get_mut("end_to_end").unwrap().insert("p50".into(), 100_000);
    }
    assert_eq!(verdict("latency", floor).0, "✓ right");
    let mut floor = run;
    for cell in floor.1.cells.iter_mut().filter(|cell| cell.label == "kafka") {
        let p50 = cell.latency.end_to_end.as_ref().and_then(|latency| latency.p50_ns).unwrap();
        cell.floor.get_mut("end_to_end").unwrap().insert("p50".into(), p50 - 1);
    }
    assert_eq!(verdict("latency", floor).0, "✓ right");
}

#[test]
fn what_was_not_measured_says_so() {
    let comparison = build("quick", &[]).unwrap();
    assert!(
        comparison.claims.iter().chain(&comparison.uses).all(|row| row.verdict == "not measured")
    );
    for (id, words) in [
        ("latency", "scenario latency was not run"),
        ("parallelism", "parallelism-sharing was not run"),
    ] {
        assert!(row(&comparison, id).because.contains(words), "{}", row(&comparison, id).because);
    }
    assert_eq!(comparison.uses[0].because, "scenario log-aggregation is not in profile quick");
    assert!(
        comparison
            .claims
            .iter()
            .all(|row| row.cells[..4].iter().all(|cell| cell.kind == Kind::NotMeasured))
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
    run.1.cells[0].id.system = "fake".into();
    assert!(build("quick", &[run]).is_err());
    let mut run = throughput(3);
    run.0.environment = "emulated".into();
    let refused = build("quick", &[run]).unwrap_err().to_string();
    assert!(refused.contains("`emulated`"), "{refused}");
}

#[test]
fn a_table_edited_by_hand_is_found_out() {
    let sound = build("standard", &[throughput(3)]).unwrap();
    let text = serde_json::to_string(&sound).unwrap();
    let read_back: Comparison = serde_json::from_str(&text).unwrap();
    recheck(&read_back).unwrap();
    type Edit = (&'static str, fn(&mut Claim));
    let edits: [Edit; 6] = [
        ("verdict", |row| row.verdict = "✗ wrong".into()),
        ("because", |row| row.because.push('!')),
        ("kafka message.size=100B goodput", |row| row.cells[0].value = Some(1e9)),
        ("kafka message.size=100B goodput", |row| row.cells[0].interval = None),
        ("ratio(goodput, kafka, redis-streams)", |row| {
            row.cells
                .iter_mut()
                .filter(|cell| cell.metric.contains("streams"))
                .for_each(|cell| cell.value = Some(9.0));
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

/// A run of another scenario, made of the throughput run.
fn renamed(mut run: (Manifest, Summary), scenario: &str) -> (Manifest, Summary) {
    run.0.scenario.name = scenario.into();
    run.0.run += scenario;
    run.1.run.clone_from(&run.0.run);
    run
}

fn observed(scenario: &str, of: &[(&str, Vec<Observation>)]) -> (Manifest, Summary) {
    let mut run = renamed(throughput(1), scenario);
    let template = run.1.cells[0].clone();
    run.1.cells = of
        .iter()
        .map(|(label, observations)| CellSummary {
            id: CellId {
                label: (*label).into(),
                system: (*label).trim_end_matches("-tuned").into(),
                cell: "base".into(),
                ..template.id.clone()
            },
            experiment: Some("x".into()),
            observations: observations.clone(),
            ..template.clone()
        })
        .collect();
    run
}

fn retention() -> (Manifest, Summary) {
    let share = |value| {
        vec![
            Observation::measured(metric::READABLE_AFTER_ACK, "", value, 100)
                .with_text("read back"),
        ]
    };
    let seek = Observation::cannot(metric::SHARE_SEEK, "by=time", "a list has no time");
    observed(
        "retention",
        &[
            ("kafka", share(1.0)),
            (
                "redis-pubsub",
                vec![Observation::cannot(metric::READABLE_AFTER_ACK, "", "keeps nothing")],
            ),
            ("redis-streams", share(1.0)),
            ("redis-lists", [share(0.0), vec![seek]].concat()),
        ],
    )
}

/// The whole way: a number changed in `claims.yaml` changes a verdict, and the old table is stale
/// by it.
#[test]
fn a_number_changed_in_the_data_changes_the_verdict_and_makes_the_table_stale() {
    let text = include_str!("claims.yaml");
    let before = build("standard", &[throughput(3)]).unwrap();
    assert_eq!(row(&before, "throughput").verdict, "✓ right");
    let changed =
        data::parse(&text.replace("must-be: above, limit: 1.05", "must-be: above, limit: 2.5"))
            .unwrap();
    let after = build_by(
        &changed,
        &Material { profile: "standard", runs: &[throughput(3)], ..Material::default() },
    )
    .unwrap();
    assert_eq!(row(&after, "throughput").verdict, "✗ wrong");
    assert!(row(&after, "throughput").rule.contains("above 2.5"));
    recheck_by(&changed, &after).unwrap();
    let wrong = recheck_by(&changed, &before).unwrap_err().join("\n");
    assert!(wrong.contains("throughput: verdict is `✓ right`, computed `✗ wrong`"), "{wrong}");
    assert!(recheck(&after).is_err());
}

#[test]
fn what_only_stands_beside_decides_nothing() {
    let mut waiting = renamed(throughput(3), "throughput-waiting");
    scale(&mut waiting, "kafka", None, 0.01);
    let comparison = build("standard", &[throughput(3), waiting.clone()]).unwrap();
    recheck(&comparison).unwrap();
    let both = row(&comparison, "throughput");
    assert_eq!(both.verdict, "✓ right");
    let shown: Vec<_> = both
        .cells
        .iter()
        .filter(|cell| cell.run.as_deref() == Some(&waiting.0.run) && cell.unit == "×")
        .collect();
    assert!(
        shown.len() == 6 && shown.iter().all(|cell| cell.text == "stands beside the verdict"),
        "{shown:?}"
    );
    assert!(!both.because.contains("0.02"), "{}", both.because);
    assert!(both.because.contains("scenario throughput-durable was not run"), "{}", both.because);
    let alone = build("standard", &[waiting]).unwrap();
    assert_eq!(row(&alone, "throughput").verdict, "not measured");
}

#[test]
fn a_scenario_that_cannot_run_is_named_in_its_row() {
    let planned =
        |claim: &str, scenario: &str| Planned { claim: claim.into(), scenario: scenario.into() };
    let failed = [(
        planned("message-size", "message-size"),
        "needs 4 GB of memory, 2 GB are free".to_owned(),
    )];
    let material =
        Material { profile: "quick", runs: &[retention()], failed: &failed, before: None };
    let comparison = super::build(&material).unwrap();
    recheck(&comparison).unwrap();
    let size = row(&comparison, "message-size");
    assert_eq!(size.verdict, "not measured");
    assert_eq!(
        size.because,
        "scenario message-size could not run: needs 4 GB of memory, 2 GB are free"
    );
    assert!(size.cells[0].text.contains("needs 4 GB"));
    assert!(
        comparison
            .runs
            .iter()
            .any(|run| run.status == Status::Failed && run.run == "none (message-size)")
    );
}

#[test]
fn a_row_run_again_is_merged_into_the_table() {
    let before = build("standard", &[throughput(3), retention()]).unwrap();
    let mut slower = throughput(3);
    scale(&mut slower, "kafka", None, 0.1);
    let runs = [slower.clone()];
    let after = super::build(&Material {
        profile: "standard",
        runs: &runs,
        before: Some(&before),
        ..Material::default()
    })
    .unwrap();
    recheck(&after).unwrap();
    assert_eq!(row(&after, "retention"), row(&before, "retention"));
    assert_eq!(row(&after, "throughput").verdict, "✗ wrong");
    let names: Vec<&str> = after.runs.iter().map(|run| run.run.as_str()).collect();
    assert!(names.contains(&slower.0.run.as_str()) && names.len() == 2, "{names:?}");
}

#[test]
fn a_table_is_computed_again_from_its_own_cells() {
    let sound = build("standard", &[throughput(3), retention()]).unwrap();
    assert_eq!(again(&sound).unwrap(), sound);
    let mut edited = sound.clone();
    edited.claims[5].verdict = "✓ right, trust me".into();
    assert_eq!(again(&edited).unwrap(), sound);
}

#[test]
fn the_plan_is_what_the_data_lists() {
    let names = |profile: &str, only: &[&str]| -> Vec<String> {
        let only: Vec<String> = only.iter().map(|name| (*name).into()).collect();
        plan(profile, &only).unwrap().into_iter().map(|planned| planned.scenario).collect()
    };
    let quick = names("quick", &[]);
    let ids: Vec<&str> = data::load().unwrap().rows().map(|row| row.id.as_str()).collect();
    assert_eq!(quick[0], ids[0], "in the order of the table");
    assert!(
        !quick.contains(&"capacity".to_owned())
            && names("full", &[]).contains(&"capacity".to_owned())
    );
    assert_eq!(names("quick", &["parallelism"]), ["parallelism-fanout", "parallelism-sharing"]);
    assert!(
        plan("quick", &["speed".into()])
            .unwrap_err()
            .to_string()
            .contains("known: message-size, delivery")
    );
    assert!(plan("nope", &[]).unwrap_err().to_string().contains("known: quick, standard, full"));
    let full = names("full", &[]);
    let place = |name: &str| full.iter().position(|other| other == name).unwrap();
    assert!(place("urgent-messages") < place("capacity"), "what decides comes first");
    let mut all: Vec<String> = full;
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "a scenario serves one row");
}

/// The whole way of a fault: from the summary of a run by its own name to the row that lists it by
/// its path.
#[test]
fn a_node_lost_for_good_decides_and_others_stand_beside() {
    use crate::result::Fault;
    let lost = |label: &str, copies: u16, rpo: u64| {
        let mut cell = throughput(1).1.cells.remove(0);
        (cell.id.label, cell.id.cell, cell.id.nodes) = (label.into(), "base".into(), 3);
        cell.id.system = if label.starts_with("kafka") { "kafka" } else { "redis-streams" }.into();
        cell.survives.copies = copies;
        let effect = Some(1_000_000_000);
        let fault = |rpo| Fault {
            kind: "kill".into(),
            target: "leader".into(),
            took_effect_at_ns: effect,
            rpo_messages: Some(rpo),
            ..Fault::default()
        };
        // As many as show that nothing is ever lost.
        cell.faults = std::iter::once(rpo).chain([0; 28]).map(fault).collect();
        cell
    };
    let run = |scenario: &str, cells: &[CellSummary]| {
        let mut run = renamed(throughput(1), scenario);
        run.1.cells = cells.to_vec();
        run
    };
    let cells = [lost("kafka-3-stock", 1, 60_000), lost("kafka-3", 3, 0), lost("redis-3", 1, 12)];
    let comparison = build("standard", &[run("node-lost-for-good", &cells)]).unwrap();
    recheck(&comparison).unwrap();
    let found = row(&comparison, "fault-tolerance");
    assert!(
        found.verdict.starts_with(
            "◐ right for redis-pubsub, redis-streams with copies · wrong at stock settings · open \
             for redis-lists with copies"
        ),
        "{}",
        found.verdict
    );
    assert!(
        found.because.contains("at stock settings: kafka-3-stock 60,000 of "),
        "{}",
        found.because
    );
    let kept = [lost("kafka-3-stock", 1, 0), lost("kafka-3", 3, 4), lost("redis-3", 1, 12)];
    let comparison = build("standard", &[run("node-lost-for-good", &kept)]).unwrap();
    assert_eq!(
        row(&comparison, "fault-tolerance").verdict,
        "◐ right at stock settings · wrong with copies"
    );
    let comparison = build("standard", &[run("kill-leader", &cells)]).unwrap();
    assert_eq!(
        row(&comparison, "fault-tolerance").verdict,
        "not measured",
        "it only stands beside"
    );
}

#[test]
fn a_row_on_a_cut_off_leader_names_after_how_long_the_others_notice() {
    let scenario = crate::scenario::load("faults/partition-leader", &Default::default()).unwrap();
    let asked = |cell: &crate::scenario::Cell| {
        let config = &cell.config;
        let settings = [&config.broker, &config.sentinel];
        faults::DETECTION.iter().find_map(|key| {
            let bare = key.rsplit_once("sentinel.").map_or(*key, |(_, bare)| bare);
            settings.iter().find_map(|own| own.get(bare)).cloned()
        })
    };
    let asked: Vec<_> = scenario.cells().iter().map(asked).unique().collect();
    let [Some(ms)] = &asked[..] else { panic!("one time for both sides: {asked:?}") };
    let noticed = format!("noticed after {} s", ms.parse::<u64>().unwrap() / 1000);
    let texts = data::load().unwrap();
    let rows = texts.rows().flat_map(|row| &row.rows);
    let title = rows.map(|row| &row.title).find(|title| title.contains("cut off")).unwrap();
    assert!(title.contains(&noticed), "{title}");
}

#[test]
fn what_a_design_can_show_goes_by_the_spreads_of_earlier_runs() {
    let scenario = crate::scenario::load("latency", &Default::default()).unwrap();
    let before = build("standard", &[]).unwrap();
    assert!(can_show(&scenario, &before).is_empty(), "it was not run");
    let folder = tempfile::tempdir().unwrap();
    let before = build("standard", &[read(&latency_run(folder.path()))]).unwrap();
    let said = can_show(&scenario, &before);
    let [said] = &said[..] else { panic!("one claim rests on its ratios: {said:?}") };
    assert!(said.contains("rounds show ratios of end_to_end.p50 beyond"), "{said}");
}
