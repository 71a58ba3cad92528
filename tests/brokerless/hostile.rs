//! Names and texts of others that try to act on the reader's terminal, page or spreadsheet, through
//! the real binary: from scenario files, results, brokers, programs, the environment and the
//! command line.

use crate::support::stored;
use assert_cmd::Command;
use brokerbench::sanitize;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Window title, clear screen, reversed writing, hidden letters, an eight-bit escape, a formula, a
/// script, markup, and a line of our own.
const EVIL: &str = "=1+1\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}live\u{2066}\u{200b}\u{2028}\u{feff}\
    \u{e0041}\u{9b}31m\r<script>alert(1)</script>\"'`|\nerror: forged";

fn assert_plain(what: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(sanitize::lines(&text) == text, "{what}: {}", text.escape_debug());
    text
}

/// Runs it on a terminal's behalf: the exit code and both streams, which must be harmless.
fn said(command: &mut Command) -> (i32, String) {
    command.timeout(std::time::Duration::from_secs(60));
    let output = command.output().unwrap();
    let said = [("stdout", &output.stdout), ("stderr", &output.stderr)]
        .map(|(name, bytes)| assert_plain(name, bytes));
    let text = said.concat();
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().unwrap(), text)
}

fn brokerbench(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("brokerbench").unwrap();
    command.args(args);
    command
}

/// As JSON, and so as YAML.
fn quoted(text: &str) -> String {
    sanitize::json(&serde_json::to_string(text).unwrap())
}

#[test]
fn scenario_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("{}.yaml", EVIL.replace('/', "")));
    let write = |extra: &str, rate: &str| {
        let evil = quoted(EVIL);
        let text = format!(
            "schema: 1\nname: evil\nquestion: {evil}\ncross-class: {evil}\n\
             primary: end_to_end.p99\n\
             systems: [redis-lists]\nload: {{model: open, rate: {rate}, duration: 1s}}\n{extra}"
        );
        fs::write(&file, text).unwrap();
    };
    let path = file.to_str().unwrap();
    write("", "1k/s");
    for args in [&["validate", path][..], &["explain", path]] {
        let (code, text) = said(&mut brokerbench(args));
        assert_eq!(code, 0, "{text}");
    }
    let args = ["run", path, "--redis", "redis://127.0.0.1:1", "--results"];
    let (code, text) = said(brokerbench(&args).arg(dir.path()));
    assert_eq!(code, 3, "{text}");
    assert!(!dir.path().join("runs").exists(), "a run that could not begin is none");
    write(&format!("{}: 1\n", quoted(EVIL)), "1k/s");
    assert_eq!(said(&mut brokerbench(&["validate", path])).0, 2);
    write("", &quoted(EVIL));
    let (code, text) = said(&mut brokerbench(&["validate", path]));
    assert!(code == 2 && text.contains("load.rate"), "{text}");
    write(&format!("client: {}", quoted(EVIL)), "1k/s\u{1b}[2J");
    assert_eq!(said(&mut brokerbench(&["validate", path])).0, 2);
}

#[test]
fn the_command_line_itself() {
    for args in [
        &[EVIL][..],
        &["run", EVIL],
        &["run", "latency", "--set", EVIL],
        &["run", "latency", "--threshold", EVIL],
        &["run", "latency", "--redis", EVIL],
        &["run", "latency", "--env", EVIL],
        &["report", EVIL],
        &["export", "latest", "--format", EVIL],
        &["compare", "--profile", EVIL],
        &["compare", "--only", EVIL],
        &["list", "--results", EVIL],
    ] {
        let (code, text) = said(&mut brokerbench(args));
        assert!(matches!(code, 0 | 2 | 3 | 4) && text.contains("live"), "{args:?}: {code}, {text}");
    }
}

/// Every text in a value, one after the other, as a path of keys.
fn texts(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(path.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(at, item)| texts(item, &format!("{path}/{at}"), found)),
        Value::Object(map) => {
            map.iter().for_each(|(key, item)| {
                texts(item, &format!("{path}/{}", key.replace('/', "~1")), found)
            });
        }
        _ => {}
    }
}

/// Every map in a value, likewise.
fn maps(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(at, item)| maps(item, &format!("{path}/{at}"), found)),
        Value::Object(map) => {
            found.push(path.to_owned());
            map.iter().for_each(|(key, item)| {
                maps(item, &format!("{path}/{}", key.replace('/', "~1")), found)
            });
        }
        _ => {}
    }
}

fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|known| extension == *known))
        {
            found.push(path);
        }
    }
    found
}

fn assert_harmless_files(folder: &Path) {
    for path in files(folder, &["html", "svg", "md", "hgrm"]) {
        let text = assert_plain(&path.display().to_string(), &fs::read(&path).unwrap());
        assert!(!text.contains("<script"), "{}", path.display());
    }
}

/// Each text and each name of a run's files is replaced by the worst one, one after the other:
/// rendered harmlessly, or refused.
#[test]
fn results_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let run = stored::run(dir.path());
    let results = dir.path().to_str().unwrap();
    let report = |file: &Path, value: &Value, what: &str| {
        fs::write(file, value.to_string()).unwrap();
        let (code, text) = said(&mut brokerbench(&["report", "--results", results]));
        assert!(matches!(code, 0 | 4), "{what}: {code}, {text}");
        assert!(!text.lines().any(|line| line == "error: forged"), "{what}: {text}");
        assert_harmless_files(dir.path());
        said(&mut brokerbench(&["export", "latest", "--results", results]));
        u32::from(code == 0)
    };
    let accounting = files(run.path(), &["json"])
        .into_iter()
        .find(|path| path.ends_with("accounting.json"))
        .unwrap();
    let (mut rendered, mut renamed) = (0, 0);
    for file in [run.path().join("manifest.json"), accounting] {
        let good = fs::read_to_string(&file).unwrap();
        let mut value: Value = serde_json::from_str(&good).unwrap();
        let mut found = Vec::new();
        texts(&value, "", &mut found);
        assert!(found.len() > 5, "{found:?}");
        for path in found {
            let mut value = value.clone();
            *value.pointer_mut(&path).unwrap() = EVIL.into();
            rendered += report(&file, &value, &path);
        }
        // Names of labels, settings and causes are keys: one of each.
        for (path, name, item) in [
            (
                "/cold_start",
                "redis-lists",
                json!({"ready_ns": 1, "publish_p50_ns": 1, "publish_p99_ns": 1, "warmed_ns": 1}),
            ),
            ("/failures", "no answer", json!(1)),
            ("/description/broker_config", "maxmemory", json!("0")),
            ("/description/topic_config", "retention.ms", json!("1")),
            ("/description/client_config", "acks", json!("all")),
        ] {
            if let Some(map) = value.pointer_mut(path) {
                map[name] = item;
            }
        }
        assert_eq!(report(&file, &value, "names"), 1);
        let mut found = Vec::new();
        maps(&value, "", &mut found);
        for path in found {
            let names: Vec<String> =
                value.pointer(&path).unwrap().as_object().unwrap().keys().cloned().collect();
            for name in names {
                let mut value = value.clone();
                let map = value.pointer_mut(&path).unwrap().as_object_mut().unwrap();
                let item = map.remove(&name).unwrap();
                map.insert(EVIL.into(), item);
                renamed += report(&file, &value, &format!("{path}/{name}"));
            }
        }
        fs::write(&file, good).unwrap();
    }
    assert!(rendered > 10, "most of it is free text: {rendered}");
    assert!(renamed >= 5, "names in maps are free, too: {renamed}");
    // And a folder may have any name.
    fs::rename(run.path(), run.path().with_file_name(EVIL.replace('/', ""))).unwrap();
    let (code, text) = said(&mut brokerbench(&["list", "--results", results]));
    assert!(code == 0 && text.contains("owned"), "{text}");
    said(&mut brokerbench(&["report", "--results", results]));
    assert_harmless_files(dir.path());
}

/// Sets every text under one of these keys.
fn poison(value: &mut Value, keys: &[&str]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, keys)),
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                if keys.contains(&key.as_str()) {
                    match item {
                        Value::String(text) => *text = EVIL.into(),
                        Value::Array(items) => items
                            .iter_mut()
                            .filter(|item| item.is_string())
                            .for_each(|item| *item = EVIL.into()),
                        _ => {}
                    }
                }
                poison(item, keys);
            }
        }
        _ => {}
    }
}

#[test]
fn tables_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (table, results) = (dir.path().join("standard"), dir.path().to_str().unwrap());
    fs::create_dir(&table).unwrap();
    let committed: Value =
        serde_json::from_slice(&fs::read("results/standard/comparison.json").unwrap()).unwrap();
    let free = [
        "text",
        "host",
        "warnings",
        "source",
        "kafka_claim",
        "redis_claim",
        "network_path",
        "selfcheck",
        "scenario",
    ];
    for keys in [
        &free[..],
        &["verdict", "because", "rule"],
        &["label", "variant", "cell", "metric", "unit", "run"],
    ] {
        let mut value = committed.clone();
        poison(&mut value, keys);
        fs::write(table.join("comparison.json"), value.to_string()).unwrap();
        let (code, text) = said(&mut brokerbench(&["table", "--results", results]));
        assert!(matches!(code, 0 | 12), "{code}: {text}");
        let (code, text) = said(&mut brokerbench(&["table", "--rewrite", "--results", results]));
        assert!(matches!(code, 0 | 12), "{code}: {text}");
        assert!(code == 0 || keys != free, "{text}");
        assert_harmless_files(dir.path());
        for path in files(dir.path(), &["csv"]) {
            let bytes = fs::read(&path).unwrap();
            assert_plain("csv", &bytes);
            let formulas = |field: &str| field.trim_start().starts_with(['=', '+', '-', '@']);
            let mut reader = csv::Reader::from_reader(&bytes[..]);
            for record in reader.records() {
                let record = record.unwrap();
                let worst =
                    record.iter().find(|field| formulas(field) && field.parse::<f64>().is_err());
                assert_eq!(worst, None);
            }
        }
    }
}

#[test]
fn programs_and_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    for (name, script) in [
        ("java", "printf 'openjdk version \"\\033[31m17.0\\033]0;x\\007\"\\n' >&2"),
        ("redis-server", "printf '\\033[2J\\342\\200\\256I am no server\\n'"),
        ("docker", "printf '\\033[2J\\342\\200\\256owned\\n' >&2; exit 1"),
    ] {
        let file = dir.path().join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let at = |variables: &[&str], args: &[&str]| {
        let mut command = brokerbench(args);
        // Whoever runs the tests may have chosen a Java or a server of their own.
        for name in ["KAFKA_HOME", "JAVA_HOME", "REDIS_SERVER", "KAFKA_IMAGE", "REDIS_IMAGE"] {
            command.env_remove(name);
        }
        // Nor may there be one in a cache.
        command.env_remove("BROKERBENCH_CACHE").env_remove("XDG_CACHE_HOME");
        command
            .env("PATH", dir.path())
            .env("HOME", dir.path())
            .envs(variables.iter().map(|name| (name, EVIL)));
        said(&mut command)
    };
    let (code, text) = at(&[], &["doctor"]);
    assert!(code == 3 && text.contains("I am no server") && text.contains("owned"), "{text}");
    let all = [
        "KAFKA_HOME",
        "JAVA_HOME",
        "REDIS_SERVER",
        "KAFKA_IMAGE",
        "TMPDIR",
        "BROKERBENCH_KAFKA_PORT",
        "BROKERBENCH_CACHE",
    ];
    let (code, text) = at(&all, &["doctor"]);
    assert!(code == 3 && text.matches("owned").count() >= 5, "{text}");
    let (_, json) = at(&all, &["doctor", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let java =
        json["checks"].as_array().unwrap().iter().find(|check| check["name"] == "java").unwrap();
    assert!(
        java["found"].as_str().unwrap().contains("\u{1b}]0;owned"),
        "JSON keeps its meaning: {java}"
    );
    let (code, text) = at(&all, &["run", "latency", "--system", "redis-lists", "--env", "native"]);
    assert!(code == 3 && text.contains("owned"), "{text}");
}

/// Greets like a Redis and refuses everything else in its own words.
#[test]
fn errors_of_brokers() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut request) {
                    let request = &request[..read];
                    let ping = request.windows(4).any(|word| word == b"PING");
                    let answer = if ping {
                        "+PONG\r\n"
                    } else {
                        "-ERR \u{1b}[2J\u{202e}owned\u{9b}31m\u{7}\r\n"
                    };
                    let commands = request.iter().filter(|byte| **byte == b'*').count();
                    if stream.write_all(answer.repeat(commands).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("plain.yaml");
    let text = "schema: 1\nname: plain\nquestion: What does it say?\nprimary: \
        end_to_end.p99\nsystems: [redis-lists]\n";
    fs::write(&scenario, format!("{text}load: {{model: open, rate: 1k/s, duration: 1s}}\n"))
        .unwrap();
    let (redis, scenario) = (format!("redis://{address}"), scenario.to_str().unwrap());
    let run = ["run", scenario, "--redis", &redis, "--results", dir.path().to_str().unwrap()];
    let (code, text) = said(&mut brokerbench(&run));
    assert!(code != 0 && text.contains("owned"), "{code}: {text}");
}

/// Who prints past the one place, prints past what makes it harmless.
#[test]
fn all_that_is_printed_goes_through_one_place() {
    let prints = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        ["println!", "eprintln!", "eprint!", " print!", "io::stdout()", "io::stderr()", "dbg!"]
            .iter()
            .any(|word| code.contains(word))
    };
    let mut found: Vec<_> =
        files(Path::new("src"), &["rs"]).into_iter().filter(|path| prints(path)).collect();
    found.sort();
    // The one place, whether there is a terminal, and a helper process whose words go into a log.
    let known = ["src/cli/mod.rs", "src/cli/progress.rs", "src/environment/janitor/exec.rs"];
    assert_eq!(found, known.map(PathBuf::from));
}
