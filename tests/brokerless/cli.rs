//! The command line without brokers: help, messages, exit codes, and damaged results.

use crate::support::stored;
use assert_cmd::Command;
use brokerbench::{report, result::RunFolder};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn brokerbench(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("brokerbench").unwrap();
    command.args(args).timeout(std::time::Duration::from_secs(30));
    command
}

/// Runs it, checks the exit code, and returns both streams together.
fn ends_with(code: i32, args: &[&str]) -> String {
    let output = brokerbench(args).output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    text
}

fn assert_names(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

#[test]
fn help_names_every_command_and_every_exit_code() {
    let help = ends_with(0, &["--help"]);
    for command in [
        "compare", "run", "merge", "shards", "report", "table", "diff", "baseline", "export",
        "list", "explain", "validate", "schema", "doctor", "fetch",
    ] {
        assert_names(&help, &[&format!("\n  {command} ")]);
        assert_names(&ends_with(0, &[command, "--help"]), &["Usage: brokerbench"]);
    }
    for code in [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 130] {
        assert_names(&help, &[&format!("\n  {code:<3} ")]);
    }
    assert_names(&ends_with(0, &["--version"]), &[env!("CARGO_PKG_VERSION")]);
}

/// All of it at once, each once, however many labels and scenarios it concerns.
#[test]
fn addresses_that_are_missing_or_dead_are_told_before_anything_is_started() {
    let dead = ["run", "latency", "throughput", "--profile", "quick", "--kafka", "127.0.0.1:1"];
    let text = ends_with(3, &dead);
    assert_names(&text, &["the address of Redis not found", "--redis", "--system"]);
    assert_eq!(text.matches("Kafka at 127.0.0.1:1 cannot be used").count(), 1, "{text}");
    let folder = tempfile::tempdir().unwrap();
    let redis = ["--redis", "redis://127.0.0.1:1", "--results", folder.path().to_str().unwrap()];
    let compare = ["compare", "--profile", "quick", "--kafka", "127.0.0.1:1"];
    for command in [&dead[..], &compare] {
        let text = ends_with(3, &[command, &redis].concat());
        for software in ["Kafka", "Redis"] {
            let words = format!("{software} at 127.0.0.1:1 cannot be used");
            assert_eq!(text.matches(&words).count(), 1, "{text}");
        }
        assert!(!text.contains("not measured") && !text.contains("self-check"), "{text}");
        assert!(!folder.path().join("runs").exists(), "{text}");
    }
}

/// Each shell that is installed reads its script without a complaint.
#[test]
fn completions_are_scripts_of_their_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = brokerbench(&["completions", shell]).output().unwrap().stdout;
        assert_names(&String::from_utf8_lossy(&script), &["brokerbench", "selfcheck"]);
        match Command::new(shell).arg("-n").write_stdin(script).output() {
            Ok(checked) => assert!(
                checked.status.success() && checked.stderr.is_empty(),
                "{shell}: {checked:?}"
            ),
            Err(error) => assert!(
                error.kind() == std::io::ErrorKind::NotFound && shell != "bash",
                "{shell}: {error}"
            ),
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    assert_names(
        &ends_with(0, &["man"]),
        &[".TH brokerbench 1", "brokerbench\\-run(1)", "Exit codes"],
    );
    assert_names(&ends_with(0, &["man", "run"]), &[".TH brokerbench-run 1", "threshold"]);
    assert_names(&ends_with(2, &["man", "walk"]), &["`walk`", "known: compare, run"]);
}

#[test]
fn what_was_typed_wrong_is_usage() {
    for (args, parts) in [
        (&["frob"][..], &["frob"][..]),
        (&["run"], &["<SCENARIO>"]),
        (&["run", "latency", "--nope"], &["--nope"]),
        (&["run", "absent.yaml"], &["absent.yaml", "brokerbench list"]),
        (&["run", "latency", "--set", "load.rate=5"], &["--set", "load.rate", "`5`", "500/s"]),
        (&["run", "latency", "--set", "load.frob=5"], &["load.frob", "known: model"]),
        (&["run", "latency", "--sweep", "load.rate=-1k/s"], &["--sweep", "-1k/s", "10k/s"]),
        (&["run", "latency", "--system", "rabbit"], &["rabbit", "redis-lists"]),
        (
            &["run", "latency", "--threshold", "fast"],
            &["--threshold", "fast", "end_to_end.p99 < 50ms"],
        ),
        (
            &["run", "latency", "--env", "native", "--kafka", "localhost:1"],
            &["--env native", "leave one out"],
        ),
        (&["explain", "latency", "--profile", "nope"], &["nope", "known: quick, standard, full"]),
        (&["compare", "--profile", "nope"], &["nope", "values: quick, standard, full"]),
        (&["compare", "--only", "speed"], &["'speed'", "values: message-size, delivery"]),
        (&["compare", "--seed", "0x7"], &["--seed", "0x7"]),
        (&["run", "latency", "--seed", "many"], &["--seed", "many"]),
        (&["run", "latency", "--tag", "Change=1"], &["--tag", "Change=1", "a to z"]),
        (&["compare", "--tag", "change"], &["--tag", "--tag change=batch-size"]),
        (&["run", "latency", "--tag", "a=1", "--tag", "a=2"], &["--tag a", "each key once"]),
        (&["report", "-q", "-v"], &["--quiet", "--verbose"]),
        (
            &["run", "latency", "--metrics", "192.0.2.1:9464"],
            &["--metrics", "192.0.2.1:9464", "others would reach it", "127.0.0.1:9464"],
        ),
        (&["run", "latency", "--metrics", "0.0.0.0:9464"], &["others would reach it"]),
        (&["run", "latency", "--metrics", "localhost"], &["'localhost'", "127.0.0.1:9464"]),
        (&["run", "latency", "--tui", "-q"], &["--tui", "--quiet"]),
        (&["run", "latency", "--tui"], &["--tui", "no terminal", "leave it out"]),
        (&["run", "latency", "--tolerance", "5%"], &["--tolerance", "--baseline"]),
        (&["run", "latency", "--baseline", "main", "--tolerance", "much"], &["`5%`"]),
        (&["diff", "a", "b", "--metric", "gooodput"], &["did you mean `goodput`?"]),
        (&["diff", "a"], &["<NOW>"]),
        (&["baseline"], &["save", "check", "list"]),
        (&["export", "--format", "xml"], &["junit", "bencher"]),
    ] {
        assert_names(&ends_with(2, args), parts);
    }
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let told = ends_with(3, &["run", "latency", "--metrics", &address]);
    assert_names(&told, &["--metrics", &address, "choose another port"]);
    assert!(!told.contains("environment:"), "{told}");
}

#[test]
fn a_bad_scenario_is_named_with_file_line_key_and_value() {
    let error = ends_with(2, &["validate", "tests/scenarios_bad/unit_wrong.yaml", "latency"]);
    assert_names(&error, &["tests/scenarios_bad/unit_wrong.yaml:", "latency: valid"]);
    let text = fs::read_to_string("tests/scenarios_bad/unit_wrong.yaml").unwrap();
    let told: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
    assert_names(&error, &[&told.join("\n")]);
    assert_names(
        &ends_with(2, &["run", "tests/scenarios_bad/schema_newer.yaml"]),
        &["schema_newer.yaml:", "schema"],
    );
}

#[test]
fn commands_that_only_look() {
    assert_names(
        &ends_with(0, &["validate", "latency", "throughput"]),
        &["latency: valid (14 cells)"],
    );
    assert_names(
        &ends_with(0, &["explain", "latency", "--set", "load.rate=7k/s"]),
        &["load.rate", "7k/s", "--set"],
    );
    assert_names(
        &ends_with(0, &["list", "--results", "no/such/folder"]),
        &["throughput", "none yet"],
    );
    for shell in ["bash", "fish", "zsh"] {
        assert_names(&ends_with(0, &["completions", shell]), &["brokerbench", "selfcheck"]);
    }
}

/// Editors use the committed schema: it must be the one that this binary prints.
#[test]
fn schemas_are_json_and_the_committed_one_is_current() {
    for of in ["scenario", "summary", "comparison"] {
        let text = ends_with(0, &["schema", of]);
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(
            schema["properties"].as_object().is_some_and(|keys| keys.contains_key("schema")),
            "{of}"
        );
    }
    assert_eq!(
        ends_with(0, &["schema"]).trim(),
        fs::read_to_string("schema/scenario.json").unwrap().trim()
    );
}

#[test]
fn no_colour_without_a_terminal_or_with_no_color() {
    for args in [&["--help"][..], &["frob"], &["list"], &["doctor"]] {
        let output =
            brokerbench(args).env("NO_COLOR", "1").env("TERM", "xterm-256color").output().unwrap();
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{args:?}");
    }
}

/// It is there when it is asked for; `NO_COLOR` with any value but an empty one is stronger.
#[test]
fn colour_lies_on_marks_and_follows_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let run = stored::run(dir.path());
    edit_manifest(&run, |manifest| {
        manifest["scenario"]["thresholds"] = serde_json::json!(["counts.lost == 0"]);
    });
    let results = dir.path().to_str().unwrap();
    for args in [&["report", "--results", results][..], &["explain", "no-such-scenario"]] {
        let coloured = |no_colour: &str| {
            let mut command = brokerbench(args);
            command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", no_colour);
            let output = command.output().unwrap();
            [output.stdout, output.stderr].concat().contains(&0x1b)
        };
        assert!(coloured("") && !coloured("1") && !coloured("0"), "{args:?}");
    }
    let mut json = brokerbench(&["doctor", "--json"]);
    let json = json.env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(!json.stdout.contains(&0x1b), "machines read it");
}

/// `brokerbench explain … | head -1`
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let exe = assert_cmd::cargo::cargo_bin("brokerbench");
    let mut child = std::process::Command::new(exe)
        .args(["schema"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn results_that_cannot_be_written_or_found() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().to_str().unwrap();
    for args in [
        &["report", "--results", results][..],
        &["report", "2026-never", "--results", results],
        &["report", "no/such/folder"],
        &["export", "latest", "--results", results],
        &["diff", "latest", "no/such/folder", "--results", results],
        &["baseline", "save", "main", "--results", results],
        &["table", "--results", results],
    ] {
        assert_names(&ends_with(4, args), &["--results"]);
    }
    // Root may write anywhere, but not below a file.
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    // Which Redis is here is looked at before anything is written.
    let redis = dir.path().join("redis-server");
    fs::write(&redis, "#!/bin/sh\necho 'Redis server v=8.2.3 sha=0'\n").unwrap();
    fs::set_permissions(&redis, fs::Permissions::from_mode(0o755)).unwrap();
    let run = [
        "run",
        "latency",
        "--system",
        "redis-lists",
        "--env",
        "native",
        "--results",
        file.to_str().unwrap(),
    ];
    let output = brokerbench(&run).env("REDIS_SERVER", &redis).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert_names(&error, &["file/runs", "--results"]);
}

#[test]
fn a_stored_run_is_rendered_again_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let run = stored::run(dir.path());
    let results = dir.path().to_str().unwrap();
    let text = ends_with(0, &["report", "--results", results]);
    assert_names(&text, &["redis-lists", "1k/s", "report.html"]);
    assert_names(&text, &["latest run: ", run.name()]);
    let first = content(run.path());
    assert!(first.iter().any(|(path, _)| path.ends_with("summary.json")));
    // What is derived may be damaged: it is made again from what was measured.
    fs::write(run.path().join("summary.json"), "{").unwrap();
    ends_with(0, &["report", run.name(), "--results", results]);
    assert_eq!(content(run.path()), first);
    let files = ends_with(0, &["export", "--results", results]);
    assert_eq!(
        files.lines().filter(|line| line.ends_with(".hgrm") && Path::new(line).is_file()).count(),
        4
    );
    let files = ends_with(0, &["export", "--format", "openmetrics", "--results", results]);
    assert!(files.lines().any(|line| line.ends_with("seconds.om")), "{files}");
}

/// Changes a stored manifest, as another run would have written it.
fn edit_manifest(run: &RunFolder, edit: impl Fn(&mut serde_json::Value)) {
    let path = run.path().join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut manifest);
    fs::write(&path, manifest.to_string()).unwrap();
}

#[test]
fn a_run_ends_with_its_thresholds_first_and_the_next_command_last() {
    let dir = tempfile::tempdir().unwrap();
    let run = stored::run(dir.path());
    edit_manifest(&run, |manifest| {
        let rules = ["counts.lost == 0", "goodput > 5k/s", "counts.broker_lost == 0"];
        manifest["scenario"]["thresholds"] = serde_json::json!(rules);
        manifest["warnings"] = serde_json::json!(["the disk was slow"]);
        manifest["tags"] = serde_json::json!({"change": "batch 2"});
    });
    let results = dir.path().to_str().unwrap();
    let said = |flag: &[&str]| {
        let args = [&["report", "--results", results][..], flag].concat();
        let output = brokerbench(&args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (text, _) = said(&[]);
    let marks =
        ["✓ pass", "✗ fail", "? unmeasured", "✓ redis", "warning:", "status", "page", "next"];
    let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("`{word}`: {text}"));
    assert!(marks.map(at).is_sorted(), "{text}");
    assert_names(&text, &[" -v --results ", "change=batch 2", "in redis-lists load.rate=1k/s"]);
    let line = text.lines().find(|line| line.starts_with("✓ redis-lists ")).unwrap();
    assert_names(line, &["redis-lists", "1k/s", "1.00k/s"]);
    let page = fs::read_to_string(run.path().join("report.html")).unwrap();
    assert_names(&page, &["Tags: change=batch 2"]);
    let index = fs::read_to_string(dir.path().join("index.html")).unwrap();
    assert_names(&index, &["change=batch 2"]);

    let (quiet, errors) = said(&["-q"]);
    assert!(errors.is_empty() && quiet.contains("✗ fail"), "{quiet}{errors}");
    assert!(!quiet.contains("next") && !quiet.contains("warning"), "{quiet}");
    assert!(!text.contains("CPU/msg"), "every cell is for -v: {text}");
    assert_names(&said(&["--verbose"]).0, &["CPU/msg", "✗ fail", "brokerbench export latest"]);
}

#[test]
fn a_seed_is_a_layer_of_its_own_and_stronger_than_the_others() {
    let args = ["explain", "latency", "--set", "seed=3", "--seed", "18446744073709551615"];
    let text = ends_with(0, &args);
    let seed = text.lines().find(|line| line.starts_with("seed ")).unwrap();
    let words: Vec<&str> = seed.split_whitespace().collect();
    assert_eq!(words, ["seed", "18446744073709551615", "--seed"]);
}

#[test]
fn profiles_and_claims_are_completed_and_told() {
    let help = ends_with(0, &["compare", "--help"]);
    assert_names(&help, &["quick:", "one block, exploratory", "error-handling", "Examples:"]);
    let script = ends_with(0, &["completions", "bash"]);
    assert_names(&script, &["\"quick standard full\"", "message-size delivery"]);
}

#[test]
fn the_list_says_when_each_scenario_was_run_last() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().to_str().unwrap();
    let run = stored::run(dir.path());
    edit_manifest(&run, |manifest| {
        manifest["started_at"] = "2026-11-22T19:00:00Z".into();
        manifest["tags"] = serde_json::json!({"change": "batch-2"});
    });
    let text = ends_with(0, &["list", "--results", results]);
    let row = |begins: &str| {
        let begins = format!("│ {begins} ");
        text.lines().find(|line| line.starts_with(&begins)).unwrap_or_else(|| panic!("{text}"))
    };
    assert_names(row("latency"), &["2026-11-22 19:00Z", "complete"]);
    assert!(row("retention").contains('–'), "{text}");
    assert_names(row(run.name()), &["complete", "change=batch-2"]);
    assert!(!text.contains("none yet"), "{text}");
}

#[test]
fn the_newest_table_is_shown_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().to_str().unwrap();
    let committed = fs::read_to_string("results/standard/comparison.json").unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&committed).unwrap();
    for (profile, begun) in
        [("standard", "2026-11-02T03:04:05Z"), ("quick", "2026-11-03T03:04:05Z")]
    {
        value["profile"] = profile.into();
        for run in value["runs"].as_array_mut().unwrap() {
            run["started_at"] = begun.into();
        }
        fs::create_dir(dir.path().join(profile)).unwrap();
        fs::write(dir.path().join(profile).join("comparison.json"), value.to_string()).unwrap();
    }
    let told = |args: &[&str]| {
        let args = [&["table", "--results", results][..], args].concat();
        String::from_utf8(brokerbench(&args).output().unwrap().stderr).unwrap()
    };
    assert_names(
        &told(&[]),
        &["newest comparison: ", "/quick, profile quick", "2026-11-03 03:04Z"],
    );
    assert!(!told(&["--profile", "standard"]).contains("newest"));
    // What is committed is never put in the place of another unasked.
    let file = dir.path().join("page.md");
    fs::write(&file, "<!-- brokerbench:begin -->\n<!-- brokerbench:end -->\n").unwrap();
    assert!(!told(&["--check", "--inject", file.to_str().unwrap()]).contains("newest"));
}

fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

#[test]
fn damaged_and_newer_results_are_refused_with_their_path() {
    let dir = tempfile::tempdir().unwrap();
    let run = stored::run(dir.path());
    let report = || ends_with(4, &["report", run.path().to_str().unwrap()]);
    let cell = run.path().join("cells/redis-lists/load.rate=1k%2Fs/block-1");
    let cell = if cell.is_dir() {
        cell
    } else {
        only_folder(&only_folder(&run.path().join("cells/redis-lists")))
    };
    for path in [run.path().join("manifest.json"), cell.join("accounting.json")] {
        let good = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        fs::write(&path, good.replacen("\"schema\": 1", "\"schema\": 99", 1)).unwrap();
        assert_names(&report(), &[name, "schema 99", "newer brokerbench"]);
        for damage in ["", "{}", "[1]", &good[..good.len() / 2], "\u{0}"] {
            fs::write(&path, damage).unwrap();
            assert_names(&report(), &[name]);
        }
        fs::write(&path, good).unwrap();
    }
    for name in ["latency.hlog", "windows.csv"] {
        let path = cell.join(name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, "nonsense, of several words\nmore\n").unwrap();
        assert_names(&report(), &[name]);
        fs::write(&path, good).unwrap();
    }
    ends_with(0, &["report", run.path().to_str().unwrap()]);

    let table = dir.path().join("standard");
    fs::create_dir(&table).unwrap();
    for (text, words) in [
        ("{\"schema\": 99}", "newer brokerbench"),
        ("{\"schema\": 1}", "another version"),
        ("", "damaged"),
    ] {
        fs::write(table.join("comparison.json"), text).unwrap();
        let error = ends_with(4, &["table", "--results", dir.path().to_str().unwrap()]);
        assert_names(&error, &["comparison.json", words]);
    }
}

fn only_folder(folder: &Path) -> PathBuf {
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

/// The first scenario of a document, in a file of its own.
fn first_scenario(document: &str, dir: &Path) -> PathBuf {
    let text = fs::read_to_string(document).unwrap();
    let scenario = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = dir.join("my.yaml");
    fs::write(&file, scenario).unwrap();
    file
}

/// What a reader copies first must work.
#[test]
fn the_scenarios_of_the_documents_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let short = first_scenario("README.md", dir.path());
    assert_names(&ends_with(0, &["validate", short.to_str().unwrap()]), &["valid (2 cells)"]);
    let long = first_scenario("docs/scenarios.md", dir.path());
    assert_names(&ends_with(0, &["validate", long.to_str().unwrap()]), &["valid (2 cells)"]);
    ends_with(0, &["explain", long.to_str().unwrap(), "--profile", "quick"]);
}

/// One screen and a half, in lines that a terminal shows; what the table holds is counted apart.
#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string("README.md").unwrap();
    assert!(readme.lines().count() <= 120, "{} lines", readme.lines().count());
    assert!(readme.split_whitespace().count() <= 1000);
    // A row of a table cannot be broken.
    let too_long = |line: &&str| line.chars().count() > 100 && !line.starts_with('|');
    assert_eq!(readme.lines().find(too_long), None);
}

/// Every link of the documents leads to something that is there.
#[test]
fn links_of_the_documents_lead_somewhere() {
    let documents = ["README.md", "BENCHMARKS.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
    let documents = documents.into_iter().map(PathBuf::from);
    let in_docs = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let in_docs = in_docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    for document in documents.chain(in_docs) {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let target = document.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link}", document.display());
        }
    }
}

/// The README's table, the committed one and its data agree, once there is one.
#[test]
fn the_committed_table_is_up_to_date() {
    if Path::new("results/standard/comparison.json").is_file() {
        ends_with(0, &["table", "--check", "--inject", "README.md"]);
    }
}

/// What was edited by hand is found out, and computed again from the cells alone.
#[test]
fn a_table_is_written_again_from_its_own_cells() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("standard");
    fs::create_dir(&table).unwrap();
    let committed = fs::read_to_string("results/standard/comparison.json").unwrap();
    let edited = committed.replacen("\"verdict\": \"", "\"verdict\": \"surely ", 1);
    assert_ne!(edited, committed);
    fs::write(table.join("comparison.json"), edited).unwrap();
    fs::write(table.join("comparison.md"), "").unwrap();
    let results = dir.path().to_str().unwrap();
    assert_names(
        &ends_with(12, &["table", "--check", "--results", results]),
        &["verdict is `surely ", "--rewrite"],
    );
    ends_with(0, &["table", "--rewrite", "--results", results]);
    ends_with(0, &["table", "--check", "--results", results]);
    assert_eq!(fs::read_to_string(table.join("comparison.json")).unwrap(), committed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever a raw file is changed to: rendered, or refused with its name, and never a panic.
    #[test]
    fn garbage_in_raw_files_never_panics(
        file in 0usize..5,
        at in 0.0f64..1.0,
        length in 0usize..20,
        with in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let run = stored::run(dir.path());
        let cell = only_folder(&only_folder(&run.path().join("cells/redis-lists")));
        let names = ["accounting.json", "windows.csv", "events.ndjson", "latency.hlog"];
        let path = names
            .get(file)
            .map_or_else(|| run.path().join("manifest.json"), |name| cell.join(name));
        let mut bytes = fs::read(&path).unwrap();
        let from = (at * bytes.len() as f64) as usize;
        bytes.splice(from..(from + length).min(bytes.len()), with);
        fs::write(&path, bytes).unwrap();
        if let Err(error) = RunFolder::open(run.path()).and_then(|run| report::report(&run)) {
            let name = path.file_name().unwrap().to_str().unwrap();
            prop_assert!(error.to_string().contains(name), "{}", error);
        }
    }

    /// Numbers that are well formed and absurd: windows that end before they begin, 2⁶⁴ messages,
    /// and so on.
    #[test]
    fn absurd_numbers_never_panic(at in any::<prop::sample::Index>(), value in any::<u64>()) {
        let dir = tempfile::tempdir().unwrap();
        let run = stored::run(dir.path());
        let cell = only_folder(&only_folder(&run.path().join("cells/redis-lists")));
        let path = cell.join("accounting.json");
        let text = fs::read_to_string(&path).unwrap();
        let numbers: Vec<(usize, &str)> = text
            .match_indices(|c: char| c.is_ascii_digit())
            .filter(|(at, _)| text[..*at].ends_with(": "))
            .collect();
        let (from, _) = numbers[at.index(numbers.len())];
        let to = from + text[from..].find(|c: char| !c.is_ascii_digit()).unwrap();
        fs::write(&path, format!("{}{value}{}", &text[..from], &text[to..])).unwrap();
        let _ = RunFolder::open(run.path()).and_then(|run| report::report(&run));
    }
}

#[test]
fn a_part_is_not_merged_into_a_table_of_another_binary_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("quick");
    fs::create_dir_all(&table).unwrap();
    let committed = fs::read_to_string("results/standard/comparison.json").unwrap();
    let (path, quick) =
        (table.join("comparison.json"), committed.replacen("\"standard\"", "\"quick\"", 1));
    fs::write(&path, &quick).unwrap();
    let results = dir.path().to_str().unwrap();
    let args = ["compare", "--profile", "quick", "--only", "latency", "--results", results];
    let error = ends_with(2, &args);
    assert_names(&error, &["a table is of one binary", "throughput (", "--mixed-builds"]);
    assert!(!error.contains("latency ("), "that one is measured again: {error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), quick, "nothing was touched");
}

#[test]
fn a_run_of_another_version_says_who_wrote_it_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let run = stored::run(dir.path());
    let cell = only_folder(&only_folder(&run.path().join("cells/redis-lists")));
    let accounting = cell.join("accounting.json");
    let mut value: serde_json::Value =
        serde_json::from_slice(&fs::read(&accounting).unwrap()).unwrap();
    // As it was once: a number.
    value["censored"] = 3.into();
    fs::write(&accounting, value.to_string()).unwrap();
    let error = ends_with(4, &["report", run.path().to_str().unwrap()]);
    assert_names(&error, &["accounting.json", "brokerbench 0.1.0", "measure again"]);
    assert!(!error.contains("damaged"), "{error}");
}
