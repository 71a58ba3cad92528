//! A second process that plays the harness, to be killed: the test's own binary, told by a variable which part to play.
//!
//! It gets a temporary directory of its own. Whatever it leaves is found there, or among the processes that inherited
//! the name of that directory.

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
    /// Runs the test `name` of this binary in another process, where [`PART`] is set.
    pub fn start(name: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture", "--test-threads", "1"])
            .env(PART, name)
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
        let line = lines.map_while(Result::ok).find_map(|line| line.split_once(word).map(|(_, rest)| rest.to_owned()));
        line.unwrap_or_else(|| panic!("the harness ended before it said `{word}`"))
    }

    /// SIGKILL, the harness alone.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// How long it takes until nothing is left; panics after `limit` with what there is.
    pub fn clean_within(&self, limit: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let left = leftovers(self.temporary.path());
            if left.is_empty() {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < limit, "left after {limit:?}: {left:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Files in the temporary directory, and processes that were started with it.
fn leftovers(temporary: &Path) -> Vec<String> {
    let files = std::fs::read_dir(temporary).unwrap().flatten().map(|entry| entry.path().display().to_string());
    let mark = format!("TMPDIR={}", temporary.display());
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        let marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        marked.then(|| format!("process {}: {command}", entry.file_name().display()))
    });
    files.chain(processes).collect()
}
