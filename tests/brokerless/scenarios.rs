//! Scenario files, good and bad, through the public interface.
//!
//! `tests/scenarios_bad/*.yaml` each have one fault; the whole error text stands in the comments
//! they begin with. After a deliberate change: `UPDATE_EXPECTED=1 cargo test --test brokerless
//! scenarios::`, then read the difference.

use brokerbench::driver;
use brokerbench::model::System;
use brokerbench::scenario::{self, Model, Overrides, Scenario};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECTED").is_some()
}

fn expect(path: &Path, found: &str) {
    if updating() {
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, expected, "{}", path.display());
}

fn overrides(profile: Option<&str>, sets: &[&str], sweeps: &[&str], systems: &[&str]) -> Overrides {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Overrides {
        profile: profile.map(str::to_owned),
        sets: owned(sets),
        sweeps: owned(sweeps),
        systems: owned(systems),
        ..Overrides::default()
    }
}

fn latency(
    profile: Option<&str>,
    sets: &[&str],
    sweeps: &[&str],
    systems: &[&str],
) -> Result<Scenario, String> {
    scenario::load("scenarios/latency.yaml", &overrides(profile, sets, sweeps, systems))
        .map_err(|e| e.to_string())
}

#[test]
fn every_bad_file_is_refused_with_file_key_value_and_remedy() {
    for path in files("tests/scenarios_bad") {
        let name = path.to_str().unwrap();
        let refused = || {
            scenario::validate(name, &driver::judge)
                .err()
                .unwrap_or_else(|| panic!("{name} was accepted"))
        };
        assert!(refused().to_string().starts_with(&format!("{name}:")), "{}", refused());
        // Twice, since what it is told moves the lines that are named.
        for _ in 0..if updating() { 2 } else { 0 } {
            tell(&path, &refused().to_string());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> = text.lines().map_while(|line| line.strip_prefix(TOLD)).collect();
        assert_eq!(refused().to_string(), expected.join("\n"), "{name}");
    }
}

/// Before each line of the error that a bad file is refused with.
const TOLD: &str = "# expect: ";

/// Puts the error before what the file says.
fn tell(path: &Path, error: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    let rest = text.split_inclusive('\n').skip_while(|line| line.starts_with(TOLD));
    let told = error.lines().map(|line| format!("{TOLD}{line}\n"));
    std::fs::write(path, told.chain(rest.map(str::to_owned)).collect::<String>()).unwrap();
}

#[test]
fn every_good_file_is_accepted_and_explained() {
    for path in files("tests/scenarios_good") {
        let scenario = scenario::validate(path.to_str().unwrap(), &driver::judge)
            .unwrap_or_else(|e| panic!("{e}"));
        expect(&path.with_extension("txt"), &scenario.explain());
    }
}

#[test]
fn the_two_real_scenarios_hold_under_every_profile() {
    for name in ["throughput", "latency"] {
        scenario::validate(&format!("scenarios/{name}.yaml"), &driver::judge)
            .unwrap_or_else(|e| panic!("{e}"));
        let first = std::fs::read_to_string(format!("scenarios/{name}.yaml")).unwrap();
        assert!(
            first.starts_with("# yaml-language-server: $schema=../schema/scenario.json\n"),
            "{name}"
        );
        let quick = scenario::load(name, &overrides(Some("quick"), &[], &[], &[])).unwrap();
        // One round has no interval, so nothing stands there twice.
        assert!(quick.systems.iter().all(|(_, config)| config.same_as.is_none()));
        assert_eq!((quick.blocks, quick.cells().len()), (1, 2 * quick.systems.len()));
        assert_eq!(systems(&quick), System::COMPARED);
        assert_eq!(quick.warnings(), Vec::<String>::new());
        // Equal rights on all sides.
        assert!(
            quick.cells().iter().all(|cell| cell.load.connections == 1 && cell.config.nodes == 1)
        );
    }
}

/// In order, each once.
fn systems(scenario: &Scenario) -> Vec<System> {
    let mut systems: Vec<System> =
        scenario.systems.iter().map(|(_, config)| config.system).collect();
    systems.sort_by_key(|system| System::ALL.iter().position(|known| known == system));
    systems.dedup();
    systems
}

/// What carries a verdict on a ratio of speeds, with the rounds that it needs for it.
#[test]
fn what_judges_speed_has_five_rounds_and_the_same_system_twice() {
    for name in ["latency", "throughput", "log-aggregation", "realtime-stream", "urgent-messages"] {
        let scenario = scenario::load(name, &overrides(Some("standard"), &[], &[], &[])).unwrap();
        assert!(scenario.blocks >= 5, "{name}");
        let again = scenario.systems.iter().find(|(_, config)| config.same_as.is_some());
        let (label, config) = again.unwrap_or_else(|| panic!("{name}: nothing runs twice"));
        let first = config.same_as.as_deref().unwrap();
        let (_, same) = scenario.systems.iter().find(|(label, _)| label == first).unwrap();
        assert_eq!(&scenario::SystemConfig { same_as: None, ..config.clone() }, same, "{label}");
        let told: Vec<String> = scenario.warnings();
        let unseen = |text: &&String| text.contains("cannot be told") || text.contains("samples");
        assert_eq!(told.iter().find(unseen), None, "{name}: a verdict that it cannot carry");
    }
}

/// The files of plain load and capacity beside the two that are judged on speed.
const LOADS: [&str; 9] = [
    "capacity",
    "log-aggregation",
    "parallelism-fanout",
    "parallelism-sharing",
    "realtime-stream",
    "throughput-durable",
    "throughput-noreply",
    "throughput-waiting",
    "urgent-messages",
];

#[test]
fn every_load_holds_under_every_profile_and_names_its_claim() {
    for name in LOADS {
        let scenario = scenario::validate(&format!("scenarios/{name}.yaml"), &driver::judge)
            .unwrap_or_else(|e| panic!("{e}"));
        assert!(scenario.claim.is_some(), "{name}");
        for (profile, blocks) in [("quick", 1..=1), ("standard", 1..=10), ("full", 3..=5)] {
            let scenario = scenario::load(name, &overrides(Some(profile), &[], &[], &[])).unwrap();
            assert!(blocks.contains(&scenario.blocks), "{name} {profile}");
            assert_eq!(systems(&scenario), System::COMPARED, "{name}");
        }
    }
}

/// One and three of the same: nothing else differs.
#[test]
fn the_scenarios_of_redis_clusters_hold_and_compare_like_with_like() {
    scenario::validate("scenarios/faults/cluster-failover.yaml", &driver::judge)
        .unwrap_or_else(|e| panic!("{e}"));
    let scaling = scenario::validate("scenarios/scaling.yaml", &driver::judge)
        .unwrap_or_else(|e| panic!("{e}"));
    // The first shows what partitions alone do.
    assert_eq!(scaling.systems[0].1.partitions(), 1);
    for pair in scaling.systems[1..].chunks(2) {
        let [(one, small), (three, large)] = pair else { panic!("each system stands twice") };
        assert!(one.ends_with("-1") && three.ends_with("-3"), "{one}, {three}");
        assert_eq!((small.nodes, large.nodes), (1, 3), "{one}, {three}");
        let (nodes, cluster, heap) = (large.nodes, large.cluster, large.heap);
        let grown = scenario::SystemConfig { nodes, cluster, heap, ..small.clone() };
        assert_eq!(&grown, large, "{one}, {three}");
        assert_eq!(small.partitions(), 6);
    }
    for profile in ["quick", "standard", "full"] {
        let scenario = scenario::load("scaling", &overrides(Some(profile), &[], &[], &[])).unwrap();
        assert_eq!(systems(&scenario), System::COMPARED, "{profile}");
        let (told, took) = (scenario.warnings(), scenario.estimate().duration);
        match profile {
            "quick" => assert!(took.secs_f64() <= 75.0, "{took}"),
            _ => assert_eq!(told, Vec::<String>::new(), "{profile}"),
        }
    }
}

#[test]
fn quick_loads_are_quick() {
    let seconds = |name: &str| {
        let scenario = scenario::load(name, &overrides(Some("quick"), &[], &[], &[])).unwrap();
        let sent = |cell: &scenario::Cell| {
            cell.load.warm_up_limit.secs_f64() + cell.load.duration.secs_f64()
        };
        let counted = |cell: &scenario::Cell| {
            let messages = cell.load.messages? as f64;
            Some(messages * cell.load.work.secs_f64() / f64::from(cell.load.consumers))
        };
        let cells = scenario.cells().into_iter().filter(|cell| cell.cannot().is_none());
        cells.map(|cell| counted(&cell).unwrap_or_else(|| sent(&cell))).sum::<f64>()
    };
    // Under load, without starting, connecting, draining, and the warm-up of a broker that all
    // scenarios share.
    for name in LOADS.into_iter().filter(|name| *name != "capacity") {
        assert!(seconds(name) <= 21.0, "{name}: {}", seconds(name));
    }
}

#[test]
fn a_profile_shortens_the_matrix_and_says_so() {
    let quick =
        scenario::load("parallelism-sharing", &overrides(Some("quick"), &[], &[], &["kafka"]))
            .unwrap();
    let cells = quick.cells();
    // A share group is Kafka too.
    let groups = cells.iter().filter(|cell| cell.label == "kafka");
    let points: Vec<String> = groups.map(|cell| cell.point.clone()).collect();
    assert_eq!(points, ["load.consumers=1,load.work=1ms", "load.consumers=4,load.work=1ms"]);
    let row = quick.resolved().iter().find(|row| row.key == "matrix.load.consumers").unwrap();
    assert_eq!((row.value.as_str(), row.origin.as_str()), ("[1, 4]", "profile quick"));
    let all =
        scenario::load("parallelism-sharing", &overrides(None, &[], &[], &["kafka"])).unwrap();
    assert_eq!(all.cells().len(), 2 * 8);
}

#[test]
fn what_a_system_cannot_do_is_a_cell_with_a_reason_and_not_a_refusal() {
    let unable = |name: &str| -> Vec<String> {
        let cells = scenario::load(name, &overrides(Some("quick"), &[], &[], &[])).unwrap().cells();
        cells
            .iter()
            .filter(|cell| cell.cannot().is_some())
            .map(|cell| format!("{} {}", cell.label, cell.point))
            .collect()
    };
    assert_eq!(
        unable("parallelism-fanout"),
        ["redis-lists load.subscriptions=2", "redis-lists load.subscriptions=4"]
    );
    assert_eq!(unable("parallelism-sharing"), ["redis-pubsub load.consumers=4,load.work=1ms"]);
    assert_eq!(unable("throughput-durable"), ["redis-pubsub base"]);
    assert_eq!(unable("realtime-stream"), ["redis-lists base"]);
    assert_eq!(unable("throughput-noreply"), Vec::<String>::new());
    let warnings = scenario::load("realtime-stream", &Overrides::default()).unwrap().warnings();
    assert!(
        warnings.iter().any(|text| text.contains("redis-lists at base is shown as `cannot`")),
        "{warnings:?}"
    );
}

#[test]
fn work_that_outlasts_the_drain_is_warned_of() {
    let sets = ["load.backlog=100MB", "load.drain=2s"];
    let warned = scenario::load("parallelism-sharing", &overrides(None, &sets, &[], &[]))
        .unwrap()
        .warnings();
    assert!(
        warned.iter().any(|text| text.contains("the backlog of 100MB is work for")),
        "{warned:?}"
    );
    let calm = scenario::load("parallelism-sharing", &Overrides::default()).unwrap().warnings();
    assert!(!calm.iter().any(|text| text.contains("is work for")), "{calm:?}");
}

#[test]
fn latency_at_half_capacity_is_measured_where_a_verdict_is_given() {
    let points = |profile: &str| -> Vec<String> {
        let cells = latency(Some(profile), &[], &[], &["redis-lists"]).unwrap().cells();
        cells.into_iter().map(|cell| cell.point).collect()
    };
    let fixed = ["load.rate=1k/s", "load.rate=10k/s"];
    assert_eq!(points("quick"), fixed);
    let found = ["load.rate=half-capacity", "load.rate=own-half-capacity"];
    for (profile, fixed, found) in
        [("standard", &fixed[..1], &found[..1]), ("full", &fixed[..], &found[..])]
    {
        assert_eq!(points(profile), [fixed, found].concat(), "{profile}");
        let cells = latency(Some(profile), &[], &[], &[]).unwrap().cells();
        assert!(
            cells.iter().all(|cell| cell.load.floor),
            "{profile}: the floor is measured at every rate"
        );
        let half = latency(Some(profile), &[], &[], &[]).unwrap();
        for (label, config) in &half.systems {
            let searches = usize::from(config.same_as.is_none());
            assert_eq!(half.capacity_searches(label).len(), searches, "{profile}: {label}");
        }
    }
    let swept =
        latency(Some("quick"), &[], &["load.rate=2k/s,half-capacity"], &["redis-lists"]).unwrap();
    assert!(swept.cells()[1].awaits_rate() && !swept.cells()[0].awaits_rate());
}

#[test]
fn the_quick_comparison_fits_into_six_minutes() {
    let quick = overrides(Some("quick"), &[], &[], &[]);
    let seconds = ["throughput", "latency"].map(|name| {
        let scenario = scenario::load(&format!("scenarios/{name}.yaml"), &quick).unwrap();
        scenario.estimate().duration.secs_f64()
    });
    assert!(seconds.iter().sum::<f64>() <= 360.0, "{seconds:?}");
}

/// Seconds that a quick run took, with slow code and two cores.
const TOOK: [(&str, f64); 5] = [
    ("message-size", 160.0),
    ("delivery", 87.0),
    ("retention", 26.0),
    ("error-handling", 60.0),
    ("session-cache", 15.0),
];

#[test]
fn the_estimate_of_an_experiment_is_its_own() {
    for (name, took) in TOOK {
        let scenario = scenario::load(name, &overrides(Some("quick"), &[], &[], &[])).unwrap();
        let seconds = scenario.estimate().duration.secs_f64();
        assert!((took * 0.9..took * 2.0).contains(&seconds), "{name}: {seconds} s, took {took} s");
        assert!(
            scenario.explain().contains("\nestimate: about "),
            "{name}: messages of a load that is not offered"
        );
        let full = scenario::load(name, &overrides(Some("full"), &[], &[], &[])).unwrap();
        assert!(full.estimate().duration.secs_f64() > 2.0 * seconds, "{name}");
    }
    let warm = |set: &str| {
        let sets = [set, "load.model=open", "load.rate=1k/s"];
        let scenario =
            scenario::load("delivery", &overrides(Some("quick"), &sets, &[], &[])).unwrap();
        scenario.estimate().duration.secs_f64()
    };
    assert_eq!(warm("load.broker-warm-up=30s") - warm("load.broker-warm-up=0s"), 30.0);
}

#[test]
fn the_keys_of_an_experiment_are_explained_and_load_that_it_never_offers_is_not() {
    let rows = |name: &str, sets: &[&str]| -> Vec<(String, String, String)> {
        let scenario = scenario::load(name, &overrides(Some("quick"), sets, &[], &[])).unwrap();
        scenario
            .resolved()
            .iter()
            .map(|row| (row.key.clone(), row.value.clone(), row.origin.clone()))
            .collect()
    };
    let row = |key: &str, value: &str, origin: &str| {
        (key.to_owned(), value.to_owned(), origin.to_owned())
    };
    let delivery = rows("delivery", &["experiment.wait=1s", "load.model=open", "load.rate=2k/s"]);
    for expected in [
        row("experiment.kind", "delivery", "file"),
        row("experiment.rates", "[1/s, 100/s, 10k/s]", "file"),
        row("experiment.duration", "2s", "profile quick"),
        row("experiment.wait", "1s", "--set"),
        row("load.rate", "2k/s", "--set"),
        row("load.broker-warm-up", "30s", "default"),
        row("load.in-flight", "1024", "default"),
    ] {
        assert!(delivery.contains(&expected), "{expected:?} in {delivery:?}");
    }
    let load = |rows: &[(String, String, String)]| -> Vec<String> {
        rows.iter().filter_map(|(key, ..)| key.strip_prefix("load.").map(str::to_owned)).collect()
    };
    assert!(rows("message-size", &[]).contains(&row("experiment.headroom", "1GiB", "default")));
    assert_eq!(load(&rows("message-size", &[])), ["batch", "connections", "in-flight"]);
    assert_eq!(
        load(&rows("error-handling", &[])),
        ["batch", "broker-warm-up", "connections", "in-flight"]
    );
    assert_eq!(
        load(&rows("capacity", &[])),
        load(&rows("latency", &["load.rate=1k/s"])),
        "its probes are plain load"
    );
}

#[test]
fn labels_vary_fastest_and_points_are_named() {
    let cells: Vec<String> = latency(None, &[], &[], &["redis-pubsub", "redis-lists"])
        .unwrap()
        .cells()
        .iter()
        .map(|cell| format!("{} {}", cell.label, cell.point))
        .collect();
    let expected = [
        "redis-pubsub load.rate=1k/s",
        "redis-lists load.rate=1k/s",
        "redis-pubsub load.rate=10k/s",
        "redis-lists load.rate=10k/s",
    ];
    assert_eq!(cells, expected);
}

#[test]
fn later_layers_win_and_say_so() {
    let sets = ["load.rate=5k/s", "blocks=2", "systems.kafka.client.linger.ms=3"];
    let scenario = latency(Some("quick"), &sets, &["message.size=100B,1KiB"], &[]).unwrap();
    let row = |key: &str| {
        let row = scenario
            .resolved()
            .iter()
            .find(|row| row.key == key)
            .unwrap_or_else(|| panic!("{key}"));
        (row.value.clone(), row.origin.clone())
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(row("load.rate"), pair("5k/s", "--set"));
    assert_eq!(row("blocks"), pair("2", "--set"));
    assert_eq!(row("load.duration"), pair("4s", "profile quick"));
    assert_eq!(row("load.in-flight"), pair("1024", "file"));
    assert_eq!(row("load.drain"), pair("10s", "default"));
    assert_eq!(row("systems.kafka.client.linger.ms"), pair("3", "--set"));
    assert_eq!(row("matrix.message.size"), pair("[100B, 1KiB]", "--sweep"));
    assert_eq!(scenario.axes, ["message.size"], "a set key is no axis any more");
    assert!(
        !scenario.resolved().iter().any(|row| row.key == "systems.redis-lists.topic.partitions")
    );
}

#[test]
fn wrong_overrides_are_blamed_by_name() {
    for (sets, sweeps, words) in [
        (
            &["load.rate=0/s"][..],
            &[][..],
            "--set: `load.rate` = `0/s`: a rate of zero sends nothing",
        ),
        (
            &["load.duration=10"],
            &[],
            "--set: `load.duration` = `10`: `10` is not a duration: the unit is missing",
        ),
        (
            &["load.raet=1k/s"],
            &[],
            "--set: `load.raet` = `1k/s`: unknown key\n did you mean `rate`?",
        ),
        (&["load.rate"], &[], "--set: `load.rate`: not of the form key=value"),
        (
            &["systems.kafak.nodes=1"],
            &[],
            "no label `kafak` under `systems`\n did you mean `kafka`?",
        ),
        (&["load.rate.x=1"], &[], "`load.rate`: expected a string, found map"),
        (&["load.model.x=1"], &[], "there is no map of keys at this place"),
        (&["schema=2"], &[], "cannot be overridden"),
        (&[], &["load.rate=1k/s,,2k/s"], "--sweep: `load.rate` = ``: `` is not a rate"),
        (&[], &["load.rate=1k/s,x"], "`x` is not a rate"),
        (&[], &["systems.kafka.nodes=1,2000"], "more than any cluster"),
        (&[], &["blocks=1,2"], "the matrix varies keys under `load`, `message` and a label"),
    ] {
        let error = latency(None, sets, sweeps, &[]).unwrap_err();
        assert!(error.contains(words), "{sets:?} {sweeps:?}: {error}");
    }
    assert!(latency(Some("quik"), &[], &[], &[]).unwrap_err().contains("did you mean `quick`?"));
    assert!(latency(None, &[], &[], &["msk"]).unwrap_err().contains("names no system"));
}

#[test]
fn built_in_scenarios_need_no_file() {
    assert!(scenario::names().contains(&"latency".to_owned()));
    let text = scenario::load("latncy", &Overrides::default()).unwrap_err().to_string();
    assert!(text.contains("did you mean `latency`?"), "{text}");
}

#[test]
fn a_filtered_system_takes_its_thresholds_along() {
    let path = "tests/scenarios_good/every_key.yaml";
    let scenario = scenario::load(path, &overrides(None, &[], &[], &["kafka"])).unwrap();
    assert_eq!(scenario.thresholds.len(), 1);
    assert!(scenario.warnings().iter().any(|warning| warning.contains("is not judged")));
}

#[test]
fn secrets_never_show() {
    let text = "schema: 1\nname: t\nquestion: Q?\n\
                systems: {kafka: {topic: {config: {my.secret: hunter2}}}}\n\
                load: {model: closed}\n";
    let scenario = scenario::from_text("t.yaml", text, &Overrides::default()).unwrap();
    assert!(!scenario.explain().contains("hunter2"));
    assert!(scenario.cells().iter().all(|cell| cell.load.model == Model::Closed));
}

#[test]
fn the_scenarios_of_delivery_and_retention_hold_under_every_profile() {
    for name in ["delivery", "retention"] {
        for profile in ["quick", "standard", "full"] {
            let scenario = scenario::load(name, &overrides(Some(profile), &[], &[], &[])).unwrap();
            assert!(scenario.explain().contains(name));
            assert!(
                scenario
                    .cells()
                    .iter()
                    .all(|cell| cell.experiment.as_ref().is_some_and(|e| e.kind() == name))
            );
        }
    }
}

#[test]
fn the_size_ladder_holds_under_every_profile() {
    scenario::validate("scenarios/message-size.yaml", &driver::judge)
        .unwrap_or_else(|error| panic!("{error}"));
    for profile in ["quick", "standard", "full"] {
        let scenario =
            scenario::load("message-size", &overrides(Some(profile), &[], &[], &[])).unwrap();
        let labels: Vec<&str> = scenario.systems.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(labels.len(), 8);
        assert!(
            labels.iter().filter(|label| label.ends_with("-tuned")).count() == 4
                && labels.contains(&"redis-lists")
        );
        assert_eq!(scenario.warnings(), Vec::<String>::new());
    }
}

const LATENCY: &str = include_str!("../../scenarios/latency.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}") {
        let _ = scenario::from_text("x", &text, &Overrides::default());
    }

    #[test]
    fn no_yaml_like_text_makes_it_panic(text in "[a-z0-9:,.\\[\\]{}&*!|>'\"# \n-]{0,200}") {
        let _ = scenario::from_text("x", &format!("schema: 1\n{text}"), &Overrides::default());
    }

    #[test]
    fn no_truncated_file_makes_it_panic(end in 0..LATENCY.len(), profile in prop::bool::ANY) {
        let end = (0..=end).rev().find(|end| LATENCY.is_char_boundary(*end)).unwrap_or(0);
        let profile = profile.then(|| "quick".to_owned());
        let overrides = Overrides { profile, ..Overrides::default() };
        let _ = scenario::from_text("x", &LATENCY[..end], &overrides);
    }

    #[test]
    fn no_damaged_file_makes_it_panic(
        at in 0..LATENCY.len(),
        patch in "[a-z0-9:,.{}\\[\\] \n/-]{0,6}",
    ) {
        let at = (0..=at).rev().find(|at| LATENCY.is_char_boundary(*at)).unwrap_or(0);
        let mut text = LATENCY.to_owned();
        text.insert_str(at, &patch);
        let _ = scenario::from_text("x", &text, &Overrides::default());
    }

    #[test]
    fn no_override_makes_it_panic(
        key in "[a-z.]{0,12}|load\\.[a-z-]{0,10}|systems\\.kafka\\.[a-z.]{0,12}",
        value in "\\PC{0,20}",
    ) {
        for flag in [format!("{key}={value}"), key, value] {
            let sets = Overrides { sets: vec![flag.clone()], ..Overrides::default() };
            let _ = scenario::from_text("x", LATENCY, &sets);
            let sweeps = Overrides { sweeps: vec![flag], ..Overrides::default() };
            let _ = scenario::from_text("x", LATENCY, &sweeps);
        }
    }
}
