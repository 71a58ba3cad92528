//! A second process that plays the harness, to be killed: the test's own binary, told by a variable
//! which part to play.
//!
//! It gets a temporary directory of its own. Whatever it leaves is found there, or among the
//! processes that inherited the name of that directory.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const PART: &str = "BROKERBENCH_TEST_PART";

/// The binary whose janitor is tested.
pub fn exe() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_brokerbench"))
}

pub struct Harness {
    pub process: Child,
    pub temporary: tempfile::TempDir,
}

impl Harness {
    /// Runs `the_part_of_the_harness` of a test module (`module_path!()`) in another process, where
    /// [`PART`] is set.
    pub fn start(module: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let (_program, module) = module.split_once("::").unwrap();
        let name = format!("{module}::the_part_of_the_harness");
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--ignored", "--nocapture", "--test-threads", "1"])
            .env(PART, &name)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, temporary }
    }

    /// Waits until it prints a line that starts with `word`, and returns what follows.
    pub fn await_line(&mut self, word: &str) -> String {
        let lines = BufReader::new(self.process.stdout.take().unwrap()).lines();
        let line = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_once(word).map(|(_, rest)| rest.to_owned()));
        line.unwrap_or_else(|| panic!("the harness ended before it said `{word}`"))
    }

    /// SIGKILL, the harness alone.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// See [`clean_within`].
    pub fn clean_within(&self, limit: Duration) -> Duration {
        clean_within(self.temporary.path(), limit)
    }
}

/// How long it takes until nothing is left; panics after `limit` with what there is.
pub fn clean_within(temporary: &Path, limit: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let left = leftovers(temporary);
        if left.is_empty() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < limit, "left after {limit:?}: {left:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Files in the temporary directory, and processes that were started with it.
fn leftovers(temporary: &Path) -> Vec<String> {
    let files = std::fs::read_dir(temporary)
        .unwrap()
        .flatten()
        .map(|entry| entry.path().display().to_string());
    let processes =
        processes(temporary).into_iter().map(|(pid, command)| format!("process {pid}: {command}"));
    files.chain(processes).collect()
}

/// Id and command line of each process that inherited `TMPDIR` with this value, or works inside
/// that folder: redis-server overwrites what it inherited with its title.
pub fn processes(temporary: &Path) -> Vec<(u32, String)> {
    let mark = format!("TMPDIR={}", temporary.display());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ours = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked =
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
        let inside = std::fs::read_link(entry.path().join("cwd"))
            .is_ok_and(|folder| folder.starts_with(temporary));
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        (marked || inside).then(|| (pid, String::from_utf8_lossy(&command).replace('\0', " ")))
    });
    ours.collect()
}
