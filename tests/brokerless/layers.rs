//! The direction of dependencies: no source file imports a group to the right of its own, and the
//! names of the client libraries stay in their drivers.
//! `src/lib.rs` shows the same order to the reader.

use std::path::{Path, PathBuf};

/// From the foundation up, one row a line. A file may import its own group and those of the rows
/// above its own; groups of one row know nothing of each other.
const ROWS: &[&[&str]] = &[
    &["units", "clock", "random", "regular_file", "sanitize"],
    &["model"],
    &["schedule", "payload", "stats", "record"],
    &["result"],
    &["yaml"],
    &["scenario"],
    &["access"],
    &["wire"],
    &["driver"],
    &["fault"],
    &["environment"],
    &["inject"],
    &["engine"],
    &["experiment"],
    &["study"],
    &["claims", "gate"],
    CALLERS,
];

/// `cli` is what is typed; `fuzz`, in tests only, hands any bytes to what reads them.
const CALLERS: &[&str] = &["cli", "fuzz"];

/// Beside the rows: they run offline, on results alone. Only the last row calls them.
const OFFLINE: &[&str] = &["export", "report"];
const OFFLINE_MAY: &[&str] = &["units", "sanitize", "model", "stats", "result", "claims", "gate"];

fn row(group: &str) -> usize {
    let found = ROWS.iter().position(|row| row.contains(&group));
    found.unwrap_or_else(|| panic!("`{group}` has no place in ROWS"))
}

fn may_import(group: &str, other: &str) -> bool {
    match (OFFLINE.contains(&group), OFFLINE.contains(&other)) {
        _ if group == other => true,
        (true, _) => OFFLINE_MAY.contains(&other),
        (false, true) => CALLERS.contains(&group),
        (false, false) => row(other) < row(group),
    }
}

/// The first names of all paths that begin with `crate::`, `use crate::{a, b::c}` included.
/// Comments do not count.
fn imports(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n")
        .collect();
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.push(name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                '}' | ',' if depth == 0 => {
                    found.push(name(list[start..at].trim_start()));
                    start = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn name(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn violations(group: &str, source: &str) -> Vec<String> {
    imports(source)
        .into_iter()
        .filter(|other| !may_import(group, other))
        .map(|other| format!("`{group}` imports `{other}`"))
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    files(folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Every file of a group with its path below `src` and its text.
fn grouped() -> Vec<(String, String, String)> {
    let files = sources(Path::new("src"));
    assert!(files.len() > 50, "run from the top of the project");
    let inside =
        files.iter().filter(|file| !matches!(file.to_str(), Some("src/lib.rs" | "src/main.rs")));
    inside
        .map(|file| {
            let path = file.strip_prefix("src").unwrap().to_str().unwrap().to_owned();
            let group = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
            (group, path, std::fs::read_to_string(file).unwrap())
        })
        .collect()
}

#[test]
fn no_group_imports_from_its_right() {
    let wrong: Vec<String> = grouped()
        .iter()
        .flat_map(|(group, path, text)| {
            violations(group, text).into_iter().map(move |what| format!("{path}: {what}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn client_libraries_are_named_in_their_drivers_only() {
    for (_, path, text) in grouped() {
        let code: Vec<&str> =
            text.lines().map(|line| line.split("//").next().unwrap_or("").trim_start()).collect();
        let rdkafka = code.iter().any(|line| line.contains("rdkafka::"));
        assert!(!rdkafka || path.starts_with("driver/kafka/"), "{path} names rdkafka");
        // Our own `wire::redis` has a path before it.
        let crate_redis =
            code.iter().any(|line| line.starts_with("use redis::") || line.contains(" redis::Cmd"));
        assert!(!crate_redis || path.starts_with("driver/redis/"), "{path} names redis");
        let sdk = code.iter().any(|line| line.contains("aws_sdk_"));
        assert!(!sdk || path.starts_with("driver/sns/"), "{path} names the SDK of SNS or SQS");
    }
}

/// One way to connect and one that knows what a secret is: whoever opens a socket to a broker goes
/// through `access`.
#[test]
fn sockets_to_brokers_are_opened_in_one_place() {
    // The proxy stands on our side.
    let others = ["access/", "fault/"];
    for (_, path, text) in grouped() {
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        let connects = shipped.contains("TcpStream::connect");
        let test = path.contains("test");
        assert!(
            !connects || test || others.iter().any(|other| path.starts_with(other)),
            "{path} opens a socket itself"
        );
    }
}

/// What is printed goes through `cli`'s one place,
/// which lets no text of others act on the terminal.
#[test]
fn nobody_prints_past_the_one_place() {
    // It has become a broker by then: what it says is the broker's log.
    let others = ["environment/janitor/exec.rs"];
    for (_, path, text) in grouped().iter().filter(|(_, path, _)| !others.contains(&path.as_str()))
    {
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code: String = shipped
            .lines()
            .map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n")
            .collect();
        for print in ["print!(", "println!(", "dbg!("] {
            assert!(!code.contains(print), "{path} says {print}");
        }
    }
}

/// What is deleted is named one by one (`Admin::delete_topics` and `Control::delete` refuse what is
/// not the run's).
#[test]
fn nothing_wipes_a_server() {
    for (_, path, text) in grouped() {
        let code: String = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n")
            .collect();
        for wipe in ["FLUSHALL", "FLUSHDB", "SWAPDB", "\"KEYS\""] {
            assert!(!code.contains(wipe), "{path} says {wipe}");
        }
    }
}

/// `folder/../name` without the detour.
fn direct(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut direct, part| {
        if part.as_os_str() == ".." {
            direct.pop();
        } else {
            direct.push(part);
        }
        direct
    })
}

/// What stands in quotes right behind each `mark`.
fn quoted_behind<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.split(mark).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Files outside `src` without which neither the program nor its image can be built.
fn inputs_of_the_build() -> Vec<PathBuf> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let mut inputs = ["Cargo.toml", "Cargo.lock", "build.rs"].map(PathBuf::from).to_vec();
    for (_, path, text) in grouped().iter().filter(|(_, path, _)| !path.contains("test")) {
        let folder = Path::new("src").join(path).parent().unwrap().to_owned();
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        for mark in ["include_str!(\"", "include_bytes!(\""] {
            inputs.extend(
                quoted_behind(shipped, mark).into_iter().map(|name| direct(&folder.join(name))),
            );
        }
    }
    let script = read("build.rs");
    for path in script.split('"').skip(1).step_by(2).map(PathBuf::from) {
        match path.is_dir() {
            true => inputs.extend(files(&path)),
            false => inputs.extend(Some(path).filter(|path| path.is_file())),
        }
    }
    let manifest = read("Cargo.toml");
    for bench in manifest.split("[[bench]]").skip(1) {
        let named = quoted_behind(bench.split("\n[").next().unwrap(), "\npath = \"");
        let usual = || format!("benches/{}.rs", quoted_behind(bench, "name = \"")[0]);
        inputs.push(named.first().map_or_else(usual, |path| (*path).to_owned()).into());
    }
    let image = read("Dockerfile");
    let copied = image
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"));
    inputs.extend(
        copied.flat_map(|line| line.split(' ')).map(PathBuf::from).filter(|path| path.is_file()),
    );
    inputs.retain(|path| !path.starts_with("src"));
    inputs
}

/// Whether a line of `.dockerignore` such as `!scenarios` or `!LICENSE-*` lets the file in.
fn lets_in(line: &str, file: &Path) -> bool {
    let Some(pattern) = line.strip_prefix('!') else { return false };
    match pattern.split_once('*') {
        None => file.starts_with(pattern),
        Some((start, end)) => file
            .to_str()
            .and_then(|name| name.strip_prefix(start)?.strip_suffix(end))
            .is_some_and(|between| !between.contains('/')),
    }
}

#[test]
fn the_image_is_given_all_that_its_build_reads() {
    let text = std::fs::read_to_string(".dockerignore").unwrap();
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(lines[0] == "*" && lines[1..].iter().all(|line| line.starts_with('!')), "{lines:#?}");
    let inputs = inputs_of_the_build();
    for known in [
        "docker-compose.yml",
        "scenarios/latency.yaml",
        "preload/shim.c",
        "benches/peers/main.rs",
        "LICENSE-MIT",
    ] {
        assert!(inputs.contains(&known.into()), "{known} is not seen: {inputs:#?}");
    }
    let missed: Vec<_> =
        inputs.iter().filter(|file| !lines.iter().any(|line| lets_in(line, file))).collect();
    assert!(missed.is_empty(), "`docker build` would not find {missed:#?}");
}

#[test]
fn a_wrong_import_is_caught() {
    let source = "use crate::units::Span;\nuse crate::{clock, cli::run::{self, x}, engine};\n// \
        use crate::claims;\n";
    assert_eq!(imports(source), ["units", "clock", "cli", "engine"]);
    assert_eq!(violations("engine", source), ["`engine` imports `cli`"]);
    assert_eq!(
        violations("driver", "fn f() { crate::study::run() }"),
        ["`driver` imports `study`"]
    );
    assert_eq!(violations("report", "use crate::scenario::Cell;"), ["`report` imports `scenario`"]);
    assert_eq!(violations("claims", "use crate::report;"), ["`claims` imports `report`"]);
    assert!(violations("cli", "use crate::{report, export, study};").is_empty());
}
