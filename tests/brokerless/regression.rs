//! A run beside an earlier one, from the command line, on stored runs: what it ends with, what it
//! refuses, and what it leaves for pipelines.

use crate::support::stored;
use assert_cmd::Command;
use brokerbench::result::RunFolder;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

/// In `dir`, which has the results and the baselines.
fn brokerbench(dir: &Path, args: &[&str], summary: Option<&Path>) -> Ended {
    let mut command = Command::cargo_bin("brokerbench").unwrap();
    command.current_dir(dir).args(args).timeout(std::time::Duration::from_secs(30));
    match summary {
        Some(file) => command.env("GITHUB_STEP_SUMMARY", file),
        None => command.env_remove("GITHUB_STEP_SUMMARY"),
    };
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ended = Ended {
        code: output.status.code().unwrap(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    };
    assert!(!ended.stderr.contains("panicked"), "{args:?}: {}", ended.stderr);
    ended
}

impl Ended {
    fn with(self, code: i32, words: &[&str]) -> Self {
        let both = format!("{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, code, "{both}");
        for word in words {
            assert!(both.contains(word), "`{word}` is missing in: {both}");
        }
        self
    }
}

fn edit(file: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    edit(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

/// A stored run of three blocks that differ by a per cent, each `slower` times as slow at what it
/// carried, with a manifest edited last.
fn run(dir: &Path, slower: f64, more: impl FnOnce(&mut Value)) -> RunFolder {
    let folder = stored::run(&dir.join("results"));
    let first = folder.path().join("cells/redis-lists/load.rate=1k_2Fs/block-1");
    for block in 1..=3u32 {
        let place = first.with_file_name(format!("block-{block}"));
        if block > 1 {
            fs::create_dir_all(&place).unwrap();
            for file in ["latency.hlog", "windows.csv", "events.ndjson", "broker.log"] {
                fs::copy(first.join(file), place.join(file)).unwrap();
            }
            fs::copy(first.join("accounting.json"), place.join("accounting.json")).unwrap();
        }
        edit(&place.join("accounting.json"), |record| {
            let carried = (20_000.0 + 200.0 * f64::from(block)) / slower;
            record["block"] = block.into();
            record["window_acked"] = (carried as u64).into();
            record["window_consumed"] = (carried as u64).into();
        });
    }
    edit(&folder.path().join("manifest.json"), |manifest| {
        manifest["blocks"] = 3.into();
        manifest["scenario"]["resolved"] =
            json!([{"key": "load.rate", "value": "1k/s", "origin": "file"}]);
        more(manifest);
    });
    folder
}

fn same(_: &mut Value) {}

#[test]
fn two_runs_end_with_11_only_where_the_second_is_worse() {
    let dir = tempfile::tempdir().unwrap();
    let (before, now) = (run(dir.path(), 1.0, same), run(dir.path(), 1.0, same));
    let slow = run(dir.path(), 1.3, |manifest| {
        manifest["systems"]["redis-lists"] = json!({
            "broker_version": "Redis 9", "broker_config": {"appendonly": "yes"},
            "topic_config": {}, "client_version": "redis 1", "client_config": {},
        });
        manifest["host"]["kernel"] = "Linux 7".into();
    });
    let diff =
        |a: &RunFolder, b: &RunFolder| brokerbench(dir.path(), &["diff", a.name(), b.name()], None);
    diff(&before, &now).with(0, &["differs  nothing but the figures", "✓ not worse  against"]);
    let worse = diff(&before, &slow).with(11, &["✗ worse", "redis-lists", "goodput", "0.769×"]);
    let differs = worse.stdout.find("differs  host: kernel: Linux → Linux 7").unwrap();
    assert!(worse.stdout.contains("redis-lists: broker appendonly: – → yes"), "{}", worse.stdout);
    assert!(worse.stdout.contains("version of redis-lists: – → Redis 9; redis 1"));
    assert!(differs < worse.stdout.find("✗ worse").unwrap(), "what differs comes first");
    diff(&slow, &before).with(0, &["✓ better"]);
    let args = ["diff", before.name(), slow.name(), "--tolerance", "50%"];
    brokerbench(dir.path(), &args, None).with(0, &["not worse"]);
    let args = ["diff", before.name(), slow.name(), "--metric", "end_to_end.p50"];
    brokerbench(dir.path(), &args, None).with(0, &["✗ worse", "✓ not worse"]);
    let args = ["diff", before.name(), slow.name(), "--json"];
    let json = brokerbench(dir.path(), &args, None).with(11, &[]);
    let result: Value = serde_json::from_str(json.stdout.trim()).unwrap();
    let figure = &result["figures"].as_array().unwrap();
    let goodput = figure.iter().find(|one| one["metric"] == "goodput").unwrap();
    assert_eq!((&result["worse"], &goodput["change"]), (&json!(true), &json!("worse")));
    assert!(json.stderr.contains("✗ worse"), "people read it on stderr: {}", json.stderr);
}

/// One run against one run says what one run can say.
#[test]
fn one_block_says_how_it_changed_and_gives_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("results");
    let (before, now) = (stored::run(&results), stored::run(&results));
    let args = ["diff", before.name(), now.name()];
    brokerbench(dir.path(), &args, None).with(0, &["? open", "fewer than 3 blocks", "1.00×"]);
    let args = ["baseline", "save", "main", now.name()];
    brokerbench(dir.path(), &args, None).with(0, &["fewer than 3 blocks", "blocks=10"]);
}

#[test]
fn unlike_runs_are_refused_by_name_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let before = run(dir.path(), 1.0, same);
    let faster = run(dir.path(), 1.0, |manifest| {
        manifest["scenario"]["resolved"][0]["value"] = "2k/s".into();
    });
    let other = run(dir.path(), 1.0, |manifest| manifest["scenario"]["name"] = "throughput".into());
    let newer = run(dir.path(), 1.0, |manifest| manifest["brokerbench_version"] = "9.0.0".into());
    for (run, words) in [
        (&faster, "load.rate is 1k/s there and 2k/s here"),
        (&other, "it is of the scenario latency, this is throughput"),
        (&newer, "brokerbench 0.1.0 measured it, this is 9.0.0"),
    ] {
        let args = ["diff", before.name(), run.name()];
        brokerbench(dir.path(), &args, None).with(2, &[words, "--allow-unlike"]);
        let args = ["diff", before.name(), run.name(), "--allow-unlike"];
        brokerbench(dir.path(), &args, None).with(0, &["warning: not alike: ", words]);
    }
}

#[test]
fn baselines_are_small_files_that_a_repository_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let (before, slow) = (run(dir.path(), 1.0, same), run(dir.path(), 1.3, same));
    let cli = |args: &[&str]| brokerbench(dir.path(), args, None);
    cli(&["baseline", "list"]).with(0, &["none in baselines yet", "baseline save main"]);
    cli(&["baseline", "check", "main"]).with(4, &["no baseline main of latency", "baselines/main"]);
    cli(&["baseline", "save", "../up", before.name()]).with(2, &["../up", "a-z"]);
    let saved = cli(&["baseline", "save", "main", before.name()]).with(0, &[]);
    let file = dir.path().join(saved.stdout.trim());
    assert_eq!(saved.stdout.trim(), "baselines/main/latency.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.len() < 10_000 && text.ends_with('\n'), "{}", text.len());
    let metrics: Vec<&str> = text.lines().filter(|line| line.contains("\"metric\"")).collect();
    assert!(metrics.len() > 5 && metrics.is_sorted(), "a line for each figure: {text}");
    for words in ["\"cpu\": \"CPU\"", "\"brokerbench_version\": \"0.1.0\"", "\"schema\": 1"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    cli(&["baseline", "list"]).with(0, &["main", "latency", "CPU, 2 cores"]);
    cli(&["baseline", "check", "main", before.name()]).with(0, &["not worse"]);
    cli(&["baseline", "check", "main", slow.name()]).with(11, &["✗ worse"]);
    cli(&["baseline", "check", file.to_str().unwrap(), slow.name()]).with(11, &["✗ worse"]);
    cli(&["diff", "baselines/main/latency.json", slow.name()]).with(11, &["✗ worse"]);
    let again = cli(&["baseline", "save", "main", slow.name()]).with(0, &["in place of the run"]);
    assert!(again.stderr.contains(before.name()), "{}", again.stderr);
    let args = ["baseline", "check", "main", before.name(), "--metric", "end_to_end.p95"];
    cli(&args).with(2, &["it has no such figure", "save it again with --metric end_to_end.p95"]);
    cli(&["baseline", "save", "main", before.name(), "--metric", "end_to_end.p95"]).with(0, &[]);
    cli(&args).with(0, &[]);
    edit(&before.path().join("manifest.json"), |manifest| {
        manifest["status"] = "interrupted".into();
    });
    cli(&["baseline", "save", "main", before.name()]).with(2, &["is interrupted", "run it again"]);
    for (damage, words) in [
        ("{\"schema\": 99}", "newer brokerbench"),
        ("{\"schema\": 1}", "missing field"),
        ("{", "damaged"),
    ] {
        fs::write(&file, damage).unwrap();
        cli(&["baseline", "check", "main", slow.name()]).with(4, &["main/latency.json", words]);
    }
    cli(&["baseline", "list"]).with(0, &["unreadable"]);
}

/// Before anything is started: a wrong baseline must not cost the minutes of a run.
#[test]
fn a_run_against_the_wrong_baseline_ends_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), 1.0, same);
    let save = |name: &str| brokerbench(dir.path(), &["baseline", "save", name], None).with(0, &[]);
    save("main");
    let file = dir.path().join("baselines/main/latency.json");
    let started = |args: &[&str]| {
        let all = [&["run"][..], args, &["--system", "redis-lists"][..]].concat();
        let before = fs::read_dir(dir.path().join("results/runs")).unwrap().count();
        let ended = brokerbench(dir.path(), &all, None);
        let after = fs::read_dir(dir.path().join("results/runs")).unwrap().count();
        assert_eq!(before, after, "nothing was run: {}", ended.stderr);
        ended
    };
    started(&["latency", "--baseline", "none"]).with(4, &["no baseline none of latency"]);
    // Its load is another than that of the built-in scenario.
    started(&["latency", "--baseline", "main"]).with(2, &["main: load.", "--allow-unlike"]);
    edit(&file, |baseline| baseline["scenario"] = "throughput".into());
    let args = ["latency", "--baseline", "baselines/main/latency.json"];
    started(&args).with(2, &["it is of the scenario throughput, this is latency"]);
    edit(&file, |baseline| baseline["schema"] = 99.into());
    started(&args).with(4, &["main/latency.json", "schema 99", "newer brokerbench"]);
}

#[test]
fn a_pipeline_gets_markdown_test_cases_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let (before, slow) = (run(dir.path(), 1.0, same), run(dir.path(), 1.3, same));
    let summary = dir.path().join("step.md");
    fs::write(&summary, "# what was there\n").unwrap();
    brokerbench(dir.path(), &["diff", before.name(), slow.name()], Some(&summary)).with(11, &[]);
    let text = fs::read_to_string(&summary).unwrap();
    assert!(text.starts_with("# what was there\n**✗ worse"), "{text}");
    assert!(text.contains("| ✗ worse | redis-lists | load.rate=1k/s | goodput |"), "{text}");
    let export = |format: &str| {
        let args = ["export", slow.name(), "--format", format];
        brokerbench(dir.path(), &args, None).with(0, &[]).stdout
    };
    let csv = export("csv");
    assert!(csv.starts_with("run,scenario,label,"), "{csv}");
    assert!(csv.lines().any(|line| line.contains(",redis-lists,") && line.contains(",goodput,")));
    assert!(export("junit").contains("<testsuites name=\"latency\""));
    let smaller: Value = serde_json::from_str(&export("github-smaller")).unwrap();
    let bigger: Value = serde_json::from_str(&export("github-bigger")).unwrap();
    let names = |all: &Value| -> Vec<String> {
        all.as_array().unwrap().iter().map(|one| one["name"].to_string()).collect()
    };
    assert!(names(&smaller).iter().any(|name| name.contains("end_to_end.p99")));
    assert!(names(&bigger).iter().all(|name| name.contains("goodput")), "{bigger}");
    let bmf: Value = serde_json::from_str(&export("bencher")).unwrap();
    let place = "latency redis-lists load.rate=1k/s";
    assert!(bmf[place]["goodput"]["upper_value"].is_number(), "{bmf}");
}

#[test]
fn what_has_no_latencies_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let folder = stored::run(&dir.path().join("results"));
    let cell = folder.path().join("cells/redis-lists/load.rate=1k_2Fs/block-1");
    fs::write(cell.join("latency.hlog"), first_lines(&cell.join("latency.hlog"))).unwrap();
    let args = ["export", folder.name()];
    brokerbench(dir.path(), &args, None).with(2, &["no latencies to export", "--format csv"]);
}

/// Its comments alone.
fn first_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap();
    let comments = text.lines().take_while(|line| line.starts_with('#') || line.starts_with('"'));
    comments.map(|line| format!("{line}\n")).collect()
}

/// Which rule failed, where, and by which value.
#[test]
fn thresholds_stand_in_summary_json() {
    let dir = tempfile::tempdir().unwrap();
    let folder = run(dir.path(), 1.0, |manifest| {
        let rules = ["redis-lists: end_to_end.p99 < 1us", "counts.lost == 0"];
        manifest["scenario"]["thresholds"] = json!(rules);
    });
    brokerbench(dir.path(), &["report", folder.name()], None).with(0, &["✗ fail", "✓ pass"]);
    let file: PathBuf = folder.path().join("summary.json");
    let summary: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let [failed, passed] = &summary["thresholds"].as_array().unwrap()[..] else { panic!() };
    assert_eq!(failed["rule"], "redis-lists: end_to_end.p99 < 1us");
    assert_eq!((&failed["held"], &failed["label"]), (&json!(false), &json!("redis-lists")));
    assert_eq!((&failed["cell"], &failed["block"]), (&json!("load.rate=1k/s"), &json!(1)));
    assert!(failed["value"].as_f64().unwrap() > 1000.0 && failed["limit"] == 1000.0);
    assert_eq!((&passed["held"], &passed["value"]), (&json!(true), &json!(0.0)));
    assert_eq!(summary["baseline"], Value::Null);
}

/// A baseline may come with a pull request of anybody.
#[test]
fn names_of_others_stay_text() {
    let dir = tempfile::tempdir().unwrap();
    let folder = run(dir.path(), 1.0, same);
    let args = ["baseline", "save", "main", folder.name()];
    brokerbench(dir.path(), &args, None).with(0, &[]);
    let file = dir.path().join("baselines/main/latency.json");
    let evil = "=1\u{1b}[2J\u{202e}<script>alert(1)</script>|`\nerror: forged";
    edit(&file, |baseline| {
        for key in ["run", "started_at", "scenario", "primary"] {
            baseline[key] = evil.into();
        }
        for key in ["host", "versions", "settings"] {
            baseline[key] = json!({evil: evil, "load.rate": "1k/s"});
        }
        for figure in baseline["figures"].as_array_mut().unwrap() {
            figure["label"] = evil.into();
            figure["cell"] = format!("{evil}={evil}").into();
        }
    });
    let step = dir.path().join("step.md");
    let other = dir.path().join("other.json");
    fs::copy(&file, &other).unwrap();
    edit(&other, |baseline| baseline["settings"] = json!({"load.x": evil}));
    let (file, other) = (file.to_str().unwrap(), other.to_str().unwrap());
    for (args, code) in [
        (&["diff", file, other][..], 2),
        (&["diff", file, other, "--allow-unlike"], 0),
        (&["diff", file, other, "--allow-unlike", "--json"], 0),
        (&["baseline", "list"], 0),
        (&["baseline", "check", file, folder.name()], 2),
    ] {
        let ended = brokerbench(dir.path(), args, Some(&step)).with(code, &[]);
        for text in [&ended.stdout, &ended.stderr] {
            assert_eq!(&brokerbench::sanitize::lines(text), text, "{args:?}");
            assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{text}");
        }
    }
    let markdown = fs::read_to_string(&step).unwrap();
    assert!(markdown.contains("alert") && !markdown.contains("<script>"), "{markdown}");
    assert_eq!(brokerbench::sanitize::lines(&markdown), markdown);
}
