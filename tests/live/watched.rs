//! Runs that are watched: figures that are scraped while they are measured, and a view on a terminal
//! of 80 columns and 24 lines. `script` is that terminal. What either costs: `benches/watching.rs`.

use crate::soak::{await_measured, scenario};
use crate::support::harness::exe;
use crate::support::program::start_into;
use brokerbench::result::RunFolder;
use std::fs::read_to_string;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The page at `address`.
fn page(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// What a run's page says beside its results.
fn warnings(run: &Path) -> String {
    RunFolder::open(run).unwrap().read_manifest().unwrap().warnings.join("\n")
}

#[test]
#[ignore = "needs real brokers"]
fn figures_are_scraped_while_they_are_measured() {
    let results = tempfile::tempdir().unwrap();
    let path = results.path().to_owned();
    let load = scenario("[redis-lists]", "rate: 2k/s, duration: 15s");
    let mut run = start_into(&path, results, &load, &["--metrics", "127.0.0.1:0"], &[]);
    run.await_words("metrics: http://");
    let told = run.told();
    let address = told.split("metrics: http://").nth(1).unwrap().split('/').next().unwrap();
    await_measured(&path, 4);
    let page = page(address).unwrap();
    let value = |name: &str, label: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(name) && line.contains(label));
        let line = line.unwrap_or_else(|| panic!("{name} {label}: {page}"));
        assert!(line.contains("scenario=\"soak\"") && line.contains("cell=\"base\""), "{line}");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("brokerbench_phase{", "measure"), 1.0);
    for kind in ["offered", "acked", "consumed"] {
        let rate = value("brokerbench_messages_per_second{", &format!("kind=\"{kind}\""));
        assert!((1_000.0..4_000.0).contains(&rate), "{kind}: {rate}");
    }
    assert!(value("brokerbench_messages_total{", "kind=\"acked\"") > 8_000.0);
    let p99 = value("brokerbench_latency_seconds{", "quantile=\"0.99\"");
    assert!(p99 > 0.0 && p99 < 10.0, "{p99}");
    let ended = run.end();
    ended.measured();
    assert!(warnings(&ended.folder()).contains("--metrics, read 1 times, took "));
}

/// On a terminal of its own; `typed` goes to its keyboard.
fn on_a_terminal(results: &Path, load: &str, args: &str) -> Child {
    let file = results.join("scenario.yaml");
    std::fs::write(&file, load).unwrap();
    let (exe, file, into) = (exe(), file.display().to_string(), results.display());
    let run = format!(
        "stty cols 80 rows 24; exec {} run {file} --env native --results {into} {args}",
        exe.display()
    );
    Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &run])
        .arg(results.join("screen"))
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";

#[test]
#[ignore = "needs real brokers"]
fn a_view_is_drawn_and_its_key_ends_the_run_with_the_terminal_given_back() {
    let results = tempfile::tempdir().unwrap();
    let load = scenario("[redis-lists]", "rate: 2k/s, duration: 120s");
    let mut terminal = on_a_terminal(results.path(), &load, "--tui");
    await_measured(results.path(), 4);
    terminal.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(130));
    let screen = read_to_string(results.path().join("screen")).unwrap();
    let (before, rest) = screen.split_once(TAKEN).unwrap();
    let (drawn, after) = rest.split_once(GIVEN_BACK).unwrap();
    assert!(before.contains("soak: 1 cell"), "{before}");
    for words in ["offered", "p99.9", "sent", "backlog", "Ctrl-C:"] {
        assert!(drawn.contains(words), "`{words}` is missing in: {drawn}");
    }
    assert!(after.contains("status   interrupted"), "{after}");
    assert!(warnings(&only_run(results.path())).contains("--tui took "));
}

fn only_run(results: &Path) -> PathBuf {
    std::fs::read_dir(results.join("runs")).unwrap().next().unwrap().unwrap().path()
}
