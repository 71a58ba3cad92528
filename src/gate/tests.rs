//! Runs whose every figure is known, and simulations whose truth is known.

use super::*;
use crate::random::SplitMix64;
use crate::result::testing::{capacity_cell, latency_run, manifest};
use crate::result::{
    Baseline, BaselineFigure, BaselineResult, CellOutcome, Change, ComparisonTerms, FigureChange,
    SCHEMA,
};

fn figure(label: &str, cell: &str, metric: &str, values: &[f64]) -> BaselineFigure {
    let unit = if metric == "goodput" { "msg/s" } else { "ns" };
    BaselineFigure {
        label: label.into(),
        cell: cell.into(),
        metric: metric.into(),
        unit: if metric.starts_with("counts.") { "msg" } else { unit }.into(),
        values: (1..).zip(values.iter().copied()).collect(),
        ..BaselineFigure::default()
    }
}

fn run(figures: Vec<BaselineFigure>) -> Baseline {
    Baseline {
        schema: SCHEMA,
        scenario: "latency".into(),
        primary: "end_to_end.p99".into(),
        figures,
        ..Baseline::default()
    }
}

fn beside(before: &Baseline, now: &Baseline) -> BaselineResult {
    compare("main", before, now, &ComparisonTerms::default())
}

fn one(before: BaselineFigure, now: BaselineFigure) -> FigureChange {
    beside(&run(vec![before]), &run(vec![now])).figures.remove(0)
}

/// The spreads of the logarithm from block to block, of p50 and p99 at 1k/s and at 10k/s: those of
/// the standard table's run of latency on 23 November 2026.
const SPREADS: [(&str, [[f64; 2]; 2]); 4] = [
    ("kafka", [[0.049, 0.238], [0.007, 0.133]]),
    ("redis-pubsub", [[0.152, 0.202], [0.013, 0.470]]),
    ("redis-streams", [[0.120, 0.440], [0.010, 0.028]]),
    ("redis-lists", [[0.175, 0.234], [0.070, 0.288]]),
];
/// From run to run, of all figures alike. Between two runs of throughput of that table, five hours
/// apart, goodput moved by less.
const DRIFT: f64 = 0.02;
const BLOCKS: usize = 10;

struct Machine(SplitMix64);

impl Machine {
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.0.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.unit()).cos()
    }

    /// A run of latency in which `slowed` takes `factor` times as long.
    fn run(&mut self, slowed: &str, factor: f64) -> Baseline {
        let drift = (DRIFT * self.normal()).exp();
        let mut figures = Vec::new();
        for (label, spreads) in SPREADS {
            let slower = if label == slowed { factor } else { 1.0 };
            for (cell, spreads) in ["load.rate=1k/s", "load.rate=10k/s"].into_iter().zip(spreads) {
                for (metric, spread) in
                    ["end_to_end.p50", "end_to_end.p99"].into_iter().zip(spreads)
                {
                    let block = |_| 1e5 * slower * drift * (spread * self.normal()).exp();
                    let values: Vec<f64> = (0..BLOCKS).map(block).collect();
                    figures.push(figure(label, cell, metric, &values));
                }
                let block = |_| 1e4 * (0.001 * self.normal()).exp();
                let values: Vec<f64> = (0..BLOCKS).map(block).collect();
                figures.push(figure(label, cell, "goodput", &values));
            }
        }
        run(figures)
    }
}

#[test]
fn two_runs_of_one_build_are_no_regression_in_19_of_20_tries() {
    let mut machine = Machine(SplitMix64::new(15));
    let mut worse = |tries: usize| {
        let tries =
            (0..tries).filter(|_| beside(&machine.run("", 1.0), &machine.run("", 1.0)).worse);
        tries.count()
    };
    let found = worse(20);
    assert!(found <= 1, "{found} of 20");
    let found = worse(500);
    assert!(found <= 25, "{found} of 500");
}

#[test]
fn a_broker_that_is_30_percent_slower_is_found_in_19_of_20_tries() {
    let mut machine = Machine(SplitMix64::new(30));
    for (label, _) in SPREADS {
        let slower = |_: &i32| beside(&machine.run("", 1.0), &machine.run(label, 1.3)).worse;
        let found = (0..20).filter(slower).count();
        assert!(found >= 19, "{label}: {found} of 20");
    }
}

#[test]
fn every_word() {
    let p50 = |values: &[f64]| figure("kafka", "base", "end_to_end.p50", values);
    let base = || p50(&[100.0, 101.0, 99.0, 100.5]);
    let change = |now: &[f64]| one(base(), p50(now)).change;
    assert_eq!(change(&[150.0, 151.0, 149.0, 150.0]), Change::Worse);
    assert_eq!(change(&[60.0, 61.0, 59.0, 60.0]), Change::Better);
    assert_eq!(change(&[100.2, 100.8, 99.5, 100.0]), Change::Same);
    assert_eq!(change(&[95.0, 95.5, 94.5, 95.5]), Change::NotWorse);
    assert_eq!(change(&[105.0, 104.0, 106.0, 105.5]), Change::Open);
    let goodput = |values: &[f64]| figure("kafka", "base", "goodput", values);
    let less = one(goodput(&[100.0, 101.0, 99.0]), goodput(&[60.0, 61.0, 59.0]));
    assert_eq!((less.change, less.counts), (Change::Worse, true), "less of a rate is worse");
    assert!((less.ratio.unwrap() - 0.6).abs() < 0.01, "now ÷ before: {less:?}");
    let [low, high] = less.interval.unwrap();
    assert!(low < 0.6 && 0.6 < high, "{less:?}");
    let stalled = one(goodput(&[100.0; 3]), goodput(&[0.0; 3]));
    assert_eq!((stalled.change, stalled.ratio), (Change::Worse, None));
}

/// One run against one run says what one run can say.
#[test]
fn fewer_than_three_blocks_give_no_verdict_and_the_change_all_the_same() {
    let p50 = |values: &[f64]| figure("kafka", "base", "end_to_end.p50", values);
    for blocks in [1, 2] {
        let change = one(p50(&vec![100.0; blocks]), p50(&vec![900.0; blocks]));
        assert_eq!((change.change, change.interval), (Change::Open, None));
        assert!((change.ratio.unwrap() - 9.0).abs() < 1e-9 && change.counts, "{change:?}");
        assert_eq!(change.because, "fewer than 3 blocks");
    }
    let wide = one(p50(&[100.0, 150.0, 70.0]), p50(&[110.0, 160.0, 75.0]));
    assert_eq!(wide.change, Change::Open);
    assert!(wide.because.contains("within the spread; ") && wide.because.contains("× would"));
}

#[test]
fn harm_where_there_was_none_needs_one_block() {
    let count = |name: &str, lost| figure("kafka", "base", name, &[lost]);
    let lost = one(count("counts.lost", 0.0), count("counts.lost", 3.0));
    assert_eq!((lost.change, lost.counts), (Change::Worse, true));
    let more = one(count("counts.lost", 2.0), count("counts.lost", 3.0));
    assert_eq!(more.change, Change::Changed, "how many is no fact of one run");
    let twice = one(count("counts.duplicate", 0.0), count("counts.duplicate", 3.0));
    assert_eq!((twice.change, twice.counts), (Change::Changed, false));
    let mut faulted = run(vec![count("counts.lost", 0.0)]);
    faulted.settings.insert("faults.0".into(), "kill".into());
    let result = beside(&faulted, &run(vec![count("counts.lost", 3.0)]));
    assert!(!result.worse, "a fault that loses once is one trial");
}

#[test]
fn what_a_saturated_broker_does_not_tell_is_worse_and_never_green() {
    let p99 = |values: &[f64]| figure("kafka", "base", "end_to_end.p99", values);
    let before = || p99(&[100.0, 101.0, 99.0, 100.0]);
    let mut now = p99(&[]);
    now.unmeasured = "the cell was overloaded (backlog)".into();
    let gone = one(before(), now.clone());
    assert_eq!((gone.change, gone.now), (Change::Worse, None));
    assert!(gone.because.contains("in any block") && gone.because.contains("backlog"));
    now.values = [(1, 100.0), (2, 100.0), (3, 100.0)].into();
    let some = one(before(), now.clone());
    assert_eq!(some.change, Change::Open, "{some:?}");
    let both = one(now.clone(), BaselineFigure { values: Default::default(), ..now });
    assert_eq!(both.change, Change::Missing, "it was so before");
}

#[test]
fn a_label_beside_takes_the_machine_out() {
    let p50 = |label: &str, values: &[f64]| figure(label, "base", "end_to_end.p50", values);
    let both = |slower: f64| {
        let of = |values: [f64; 4]| values.map(|value| value * slower);
        run(vec![
            p50("kafka", &of([100.0, 120.0, 90.0, 100.0])),
            p50("redis-lists", &of([10.0, 12.0, 9.0, 10.0])),
        ])
    };
    let (before, now) = (both(1.0), both(1.5));
    assert!(beside(&before, &now).figures.iter().all(|one| one.ratio > Some(1.4)));
    let terms =
        ComparisonTerms { relative_to: Some("redis-lists".into()), ..ComparisonTerms::default() };
    let result = compare("main", &before, &now, &terms);
    let kafka = &result.figures[0];
    assert_eq!((kafka.change, kafka.unit.as_str()), (Change::Same, "×"));
    assert!((kafka.before.unwrap() - 10.0).abs() < 1e-9, "{kafka:?}");
    assert!(!result.figures[1].counts, "against itself it is 1");
    // A block that the reference lacks has nothing to be divided by.
    let mut fewer = now;
    fewer.figures[1].values.remove(&4);
    assert_eq!(compare("main", &before, &fewer, &terms).figures[0].change, Change::Same);
}

#[test]
fn what_a_run_differs_from_itself_by_is_no_difference() {
    let p50 = |label: &str, values: &[f64]| figure(label, "base", "end_to_end.p50", values);
    let study = |slower: f64, again: [f64; 4]| {
        let twice = BaselineFigure { same_as: Some("kafka".into()), ..p50("kafka-again", &again) };
        let kafka = [100.0, 101.0, 99.0, 100.0].map(|value| value * slower);
        run(vec![p50("kafka", &kafka), twice])
    };
    let calm = [100.0, 101.0, 99.0, 100.0];
    let result = beside(&study(1.0, calm), &study(1.3, calm.map(|value| value * 1.3)));
    assert!(result.worse && result.figures.len() == 1, "the second label is no figure of its own");
    let torn = [60.0, 170.0, 80.0, 140.0];
    assert!(!beside(&study(1.0, torn), &study(1.3, calm)).worse, "its margin is wide");
}

#[test]
fn what_counts_can_be_chosen_and_other_rates_never_do() {
    let p99 = |cell: &str| figure("kafka", cell, "publish.p99_9", &[1.0, 1.01, 0.99]);
    let slow = |cell: &str| figure("kafka", cell, "publish.p99_9", &[2.0, 2.01, 1.99]);
    let (before, now) = (run(vec![p99("load.rate=1k/s")]), run(vec![slow("load.rate=1k/s")]));
    let usual = beside(&before, &now);
    assert_eq!((usual.worse, usual.figures[0].change), (false, Change::Worse));
    let terms =
        ComparisonTerms { metrics: vec!["publish.p99_9".into()], ..ComparisonTerms::default() };
    assert!(compare("main", &before, &now, &terms).worse);
    let lenient = ComparisonTerms { tolerance: 1.5, ..terms.clone() };
    assert!(!compare("main", &before, &now, &lenient).worse);
    let point = "load.rate=half-capacity";
    let (before, now) = (run(vec![p99(point)]), run(vec![slow(point)]));
    assert!(!compare("main", &before, &now, &terms).worse, "each run found its own rate");
}

#[test]
fn unlike_runs_are_told_by_what_is_unlike() {
    let with = |settings: &[(&str, &str)]| {
        let settings = settings.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        Baseline { settings: settings.collect(), ..run(Vec::new()) }
    };
    let before = with(&[("load.rate", "1k/s"), ("systems.kafka.client.linger.ms", "0")]);
    let tuned = with(&[("load.rate", "1k/s"), ("systems.kafka.client.linger.ms", "5")]);
    assert_eq!(unlike(&before, &tuned), Vec::<String>::new(), "that is what one looks at");
    assert_eq!(beside(&before, &tuned).settings.len(), 1);
    let other = with(&[("load.rate", "2k/s")]);
    assert_eq!(unlike(&before, &other), ["load.rate is 1k/s there and 2k/s here"]);
    let elsewhere = Baseline { scenario: "throughput".into(), ..other };
    assert_eq!(unlike(&before, &elsewhere), ["it is of the scenario latency, this is throughput"]);
    let newer = Baseline { brokerbench_version: "9.9.9".into(), ..before.clone() };
    assert!(unlike(&before, &newer)[0].contains("this is 9.9.9"));
}

#[test]
fn what_cannot_be_asked_of_a_baseline_is_refused_with_what_can() {
    let p50 = |label: &str| figure(label, "base", "end_to_end.p50", &[1.0]);
    let before = run(vec![p50("kafka"), p50("redis-lists")]);
    let ask = |labels: &[&str], relative: Option<&str>, metric: Option<&str>| {
        let terms = ComparisonTerms {
            relative_to: relative.map(str::to_owned),
            metrics: metric.into_iter().map(str::to_owned).collect(),
            ..ComparisonTerms::default()
        };
        askable(&before, labels, &terms)
    };
    assert_eq!(ask(&["kafka"], None, Some("end_to_end.p50")), Ok(()));
    for (asked, words) in [
        (ask(&["rabbit"], None, None), "it has kafka, redis-lists, this run rabbit"),
        (ask(&["kafka"], Some("kafak"), None), "did you mean `kafka`?"),
        (ask(&["kafka"], Some("redis-lists"), None), "no label of both runs"),
        (ask(&["kafka"], None, Some("publish.p95")), "save it again with --metric publish.p95"),
    ] {
        let error = asked.unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_run_becomes_figures_by_block_and_is_the_same_as_itself() {
    let dir = tempfile::tempdir().unwrap();
    let folder = latency_run(dir.path());
    let summary = crate::result::summarize(&folder).unwrap();
    let more = ["end_to_end.p95".to_owned()];
    let baseline = baseline_of(&folder.read_manifest().unwrap(), &summary, &more);
    let find = |metric: &str| {
        let here = |one: &&BaselineFigure| one.label == "kafka" && one.metric == metric;
        baseline.figures.iter().find(here)
    };
    let p99 = find("end_to_end.p99").unwrap();
    assert_eq!((p99.cell.as_str(), p99.unit.as_str()), ("load.rate=1k/s", "ns"));
    assert_eq!(p99.values.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert!(find("end_to_end.p95").is_some(), "what is asked for is kept");
    assert!(baseline.versions["kafka"].contains("Apache Kafka 4.4.0"));
    assert_eq!(baseline.host["cores"], "2");
    assert_eq!(baseline.settings["kafka: broker appendonly"], "yes");
    let pubsub = |metric: &str| {
        baseline.figures.iter().any(|one| one.label == "redis-pubsub" && one.metric == metric)
    };
    assert!(pubsub("end_to_end.p50") && !pubsub("publish.p50"), "it acknowledges nothing");
    let result = beside(&baseline, &baseline);
    assert!(!result.worse && result.settings.is_empty() && result.unlike.is_empty());
    let better_or_worse = |one: &&FigureChange| {
        matches!(one.change, Change::Worse | Change::Better | Change::Changed)
    };
    assert_eq!(result.figures.iter().find(better_or_worse), None);
}

#[test]
fn an_overloaded_cell_has_figures_without_a_value_and_an_invalid_one_none() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), "latency").unwrap();
    folder.write_manifest(&manifest(&folder, "latency", 2)).unwrap();
    let mut output = crate::result::testing::cell("kafka", "base", 1);
    output.record.outcome = CellOutcome::Overloaded;
    output.record.outcome_because = vec!["backlog: it grew".into()];
    folder.write_cell(&output).unwrap();
    let mut spoilt = capacity_cell("redis-lists", "base", 1, 1000);
    spoilt.record.interrupted = true;
    folder.write_cell(&spoilt).unwrap();
    let summary = crate::result::summarize(&folder).unwrap();
    let baseline = baseline_of(&folder.read_manifest().unwrap(), &summary, &[]);
    assert!(!baseline.has("redis-lists"));
    let p99 = baseline.figures.iter().find(|one| one.metric == "end_to_end.p99").unwrap();
    assert!(p99.values.is_empty() && p99.unmeasured.contains("overloaded (backlog: it grew)"));
    let goodput = baseline.figures.iter().find(|one| one.metric == "goodput").unwrap();
    assert_eq!(goodput.values.len(), 1, "what it carried is known");
}

#[test]
fn a_run_is_judged_from_its_folder_alone_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = latency_run(dir.path());
    let mut manifest = folder.read_manifest().unwrap();
    manifest.scenario.thresholds =
        vec!["counts.lost == 0".into(), "kafka: end_to_end.p99 < 1us".into(), "nonsense".into()];
    folder.write_manifest(&manifest).unwrap();
    let held =
        |summary: &Summary| summary.thresholds.iter().map(|one| one.held).collect::<Vec<_>>();
    let summary = judged(&folder).unwrap();
    assert_eq!(held(&summary), [Some(true), Some(false), None]);
    assert_eq!(summary.baseline, None);
    let mut baseline = baseline_of(&manifest, &summary, &[]);
    for figure in baseline.figures.iter_mut().filter(|one| one.metric == "end_to_end.p50") {
        figure.values.values_mut().for_each(|value| *value /= 2.0);
    }
    let against = HeldAgainst {
        schema: SCHEMA,
        name: "main".into(),
        terms: ComparisonTerms::default(),
        baseline,
    };
    let bytes = serde_json::to_vec(&against).unwrap();
    folder.write(HeldAgainst::FILE, &bytes).unwrap();
    let summary = judged(&folder).unwrap();
    assert_eq!(summary, judged(&folder).unwrap());
    let result = summary.baseline.unwrap();
    assert!(result.worse && result.name == "main" && result.unlike.is_empty(), "{result:?}");
    let worse = |one: &&FigureChange| one.change == Change::Worse;
    assert!(result.figures.iter().filter(worse).all(|one| one.metric == "end_to_end.p50"));
    folder.write(HeldAgainst::FILE, b"{\"schema\": 99}").unwrap();
    let error = judged(&folder).unwrap_err().to_string();
    assert!(error.contains("baseline.json") && error.contains("schema 99"), "{error}");
}
