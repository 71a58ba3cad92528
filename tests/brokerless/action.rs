//! `action.yml` and the workflows of docs/ci.md: what they name is there, and the steps do what they
//! say, with a program in the place of the real one where that would need a broker.

use crate::support::action::{Action, Played, play};
use crate::support::{harness::exe, stored};
use brokerbench::report;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Notes how `run` is called, prints the summary that lies beside it and ends with 11; all else is
/// done by the real one.
fn stand_in(dir: &Path) -> PathBuf {
    let run = stored::run(&dir.join("my results"));
    let summary = serde_json::to_string(&report::report(&run).unwrap()).unwrap();
    fs::write(dir.join("summary.ndjson"), summary + "\n").unwrap();
    let program = dir.join("stand-in");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = run ]; then\n  printf '%s\\n' \"$@\" >'{dir}/arguments'\n  \
         cat '{dir}/summary.ndjson'\n  exit 11\nfi\nexec '{exe}' \"$@\"\n",
        dir = dir.display(),
        exe = exe().display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

const ASKED: [(&str, &str); 5] = [
    ("scenario", "latency\n\n  throughput\n"),
    ("thresholds", "kafka: end_to_end.p99 < 50ms\ncounts.lost == 0\n"),
    ("baseline", "main"),
    ("args", "--set=blocks=10\n--tag=change=two words"),
    ("results", "my results"),
];

fn assert_ran(dir: &Path, played: &Played) {
    assert_eq!(played.code, 11, "{}", played.stderr);
    let asked = fs::read_to_string(dir.join("arguments")).unwrap();
    let expected = [
        "run",
        "--json",
        "--fetch",
        "--results",
        "my results",
        "--set=blocks=10",
        "--tag=change=two words",
        "--threshold",
        "kafka: end_to_end.p99 < 50ms",
        "--threshold",
        "counts.lost == 0",
        "--baseline",
        "main",
        "--",
        "latency",
        "throughput",
    ];
    assert_eq!(asked.lines().collect::<Vec<_>>(), expected);
    assert_eq!((&*played.outputs["exit-code"], &*played.outputs["results"]), ("11", "my results"));
    let summaries = fs::read_to_string(&played.outputs["summaries"]).unwrap();
    assert!(summaries.starts_with("{\"schema\":1,\"run\":\""), "{summaries}");
    assert!(played.stderr.contains("::error title=brokerbench::exit code 11: worse than the"));
    let files: Vec<String> = fs::read_dir(dir.join("my results"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    for begins in ["junit-", "figures-"] {
        let file = files.iter().find(|file| file.starts_with(begins)).unwrap();
        assert!(fs::metadata(dir.join("my results").join(file)).unwrap().len() > 100, "{file}");
    }
}

#[test]
fn the_steps_run_what_the_inputs_say_and_end_as_the_run_does() {
    let dir = tempfile::tempdir().unwrap();
    let program = stand_in(dir.path());
    let inputs = [&ASKED[..], &[("binary", program.to_str().unwrap())][..]].concat();
    assert_ran(dir.path(), &play(dir.path(), &inputs, &[]));
    let played = play(dir.path(), &[("scenario", "latency"), ("binary", "no-such-program")], &[]);
    assert_eq!(played.code, 3, "{}", played.stderr);
    assert!(played.stderr.contains("no program no-such-program is here"), "{}", played.stderr);
}

/// As dist packs it, with the hash beside it; what is not what its hash says is not run.
#[test]
fn a_release_is_fetched_and_checked() {
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = stand_in(dir.path());
    let target = match std::env::consts::ARCH {
        "x86_64" => "x86_64-unknown-linux-gnu",
        "aarch64" => "aarch64-unknown-linux-gnu",
        _ => return,
    };
    let name = format!("brokerbench-{target}");
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let releases = dir.path().join("owner/project/releases/download").join(version);
    let packed = dir.path().join(&name);
    fs::create_dir_all(&releases).unwrap();
    fs::create_dir_all(&packed).unwrap();
    fs::copy(program, packed.join("brokerbench")).unwrap();
    let archive = releases.join(format!("{name}.tar.gz"));
    let shell = |script: &str| {
        let ended = Command::new("sh").args(["-ec", script]).current_dir(dir.path()).status();
        assert!(ended.unwrap().success(), "{script}");
    };
    shell(&format!("tar -czf '{}' {name}", archive.display()));
    shell(&format!("cd '{}' && sha256sum {name}.tar.gz >{name}.tar.gz.sha256", releases.display()));
    let server = format!("file://{}", dir.path().display());
    let context = [("github.server_url", &*server), ("github.action_repository", "owner/project")];
    assert_ran(dir.path(), &play(dir.path(), &ASKED, &context));
    let mut bytes = fs::read(&archive).unwrap();
    bytes.push(0);
    fs::write(&archive, bytes).unwrap();
    let played = play(dir.path(), &ASKED, &context);
    assert_eq!(played.code, 3, "{}", played.stderr);
    assert!(played.stderr.contains("is not what its hash says"), "{}", played.stderr);
    fs::remove_file(&archive).unwrap();
    let played = play(dir.path(), &ASKED, &context);
    assert!(played.code == 3 && played.stderr.contains("cannot be had"), "{}", played.stderr);
}

/// Each in its block of docs/ci.md, by the file that its first line names.
fn shown() -> Vec<(String, String)> {
    let page = fs::read_to_string("docs/ci.md").unwrap();
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let named = blocks.map(|text| {
        let first = text.lines().next().unwrap().trim_start_matches("# ");
        (first.to_owned(), text.to_owned())
    });
    named.collect()
}

#[test]
fn the_workflows_of_the_docs_ask_for_what_the_action_has() {
    let action = Action::read();
    assert_eq!((action.runs.using.as_str(), action.name.as_str()), ("composite", "brokerbench"));
    let described = |text: &String| !text.is_empty();
    assert!(action.inputs.values().all(|input| described(&input.description)));
    assert!(action.outputs.values().all(|output| described(&output.description)));
    let mut optional = action.inputs.values().filter(|input| !input.required);
    assert!(optional.all(|input| input.default.is_some()), "its absence has a meaning");
    let workflows: Vec<_> =
        shown().into_iter().filter(|(name, _)| name.starts_with(".github/workflows/")).collect();
    assert_eq!(workflows.len(), 2);
    for (name, text) in workflows {
        let own = text.split("uses: OWNER/brokerbench@v").nth(1).unwrap();
        let asked = own.split("\n      - ").next().unwrap().split("with:\n").nth(1).unwrap();
        let keys = asked.lines().filter_map(|line| line.strip_prefix("          "));
        let keys =
            keys.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(':'));
        let keys: Vec<&str> = keys.map(|(key, _)| key).collect();
        assert!(keys.contains(&"scenario"), "{name}: {keys:?}");
        for key in keys {
            assert!(action.inputs.contains_key(key), "{name}: the action has no input `{key}`");
        }
        for output in text.split("steps.bench.outputs.").skip(1) {
            let output = output.split([' ', '}']).next().unwrap();
            assert!(action.outputs.contains_key(output), "{name}: no output `{output}`");
        }
    }
}

/// What a reader copies first must work.
#[test]
fn the_scenarios_of_the_docs_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios: Vec<_> =
        shown().into_iter().filter(|(name, _)| name.starts_with("bench/")).collect();
    assert_eq!(scenarios.len(), 2);
    for (name, text) in scenarios {
        let file = dir.path().join(name.replace('/', "-"));
        fs::write(&file, text).unwrap();
        let output = Command::new(exe()).arg("validate").arg(&file).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
