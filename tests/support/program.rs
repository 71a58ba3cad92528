//! The real binary at work: started with a temporary directory of its own, watched through its
//! standard error, and held to leaving nothing behind.

use crate::support::harness::{clean_within, exe, processes};
use brokerbench::result::Summary;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Whatever happens to a run, this long after its end nothing of it is left.
const CLEAN: Duration = Duration::from_secs(60);
/// Whatever has said or done nothing by then never will.
const LIMIT: Duration = Duration::from_secs(600);
/// What a busy machine may fail; what becomes of messages is none of these.
pub const MACHINE: [&str; 3] = ["schedule-lag", "generator-cpu", "steal-time"];

/// For experiments of which no figure is compared: their broker is warmed for a second only. A load
/// says so, and it is never offered.
pub const BRIEFLY_WARMED: [&str; 6] =
    ["--set", "load.broker-warm-up=1s", "--set", "load.model=open", "--set", "load.rate=1k/s"];

pub struct Run {
    child: Child,
    temporary: tempfile::TempDir,
    /// Until they are handed on with its end.
    results: Option<tempfile::TempDir>,
    told: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<String>>,
}

pub struct Ended {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    results: tempfile::TempDir,
}

/// `brokerbench run SCENARIO ARGS… --results <a new folder>`, with `scenario` as text.
pub fn start(scenario: &str, args: &[&str], environment: &[(&str, Option<&str>)]) -> Run {
    let results = tempfile::tempdir().unwrap();
    let path = results.path().to_owned();
    start_into(&path, results, scenario, args, environment)
}

/// The same with results written to `path`; `results` holds the scenario, and may hold `path`.
pub fn start_into(
    path: &Path,
    results: tempfile::TempDir,
    scenario: &str,
    args: &[&str],
    environment: &[(&str, Option<&str>)],
) -> Run {
    let temporary = tempfile::tempdir().unwrap();
    let file = results.path().join("scenario.yaml");
    std::fs::write(&file, scenario).unwrap();
    let mut command = Command::new(exe());
    command.arg("run").arg(&file).args(args).arg("--results").arg(path);
    // Where containers can be had too, these tests are still about processes of this machine.
    if !args.iter().any(|arg| {
        ["--env", "--kafka", "--redis", "--targets"].iter().any(|flag| arg.starts_with(flag))
    }) {
        command.args(["--env", "native"]);
    }
    command
        .env("TMPDIR", temporary.path())
        .env_remove("BROKERBENCH_KAFKA_PORT")
        .env_remove("BROKERBENCH_REDIS_PORT")
        // A pipeline that runs these tests has a summary of its own.
        .env_remove("GITHUB_STEP_SUMMARY");
    for (key, value) in environment {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let told = Arc::new(Mutex::new(String::new()));
    let readers = vec![
        read(child.stdout.take().unwrap(), Arc::default()),
        read(child.stderr.take().unwrap(), Arc::clone(&told)),
    ];
    Run { child, temporary, results: Some(results), told, readers }
}

/// To its end, with nothing done to it.
pub fn run(scenario: &str, args: &[&str], environment: &[(&str, Option<&str>)]) -> Ended {
    start(scenario, args, environment).end()
}

/// Collects what comes, for all to see while it comes.
fn read(mut stream: impl Read + Send + 'static, told: Arc<Mutex<String>>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            told.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        let text = told.lock().unwrap();
        text.clone()
    })
}

impl Run {
    /// Waits until it has said `words` on standard error.
    pub fn await_words(&mut self, words: &str) {
        let begun = Instant::now();
        while !self.told.lock().unwrap().contains(words) {
            let ended = self.child.try_wait().unwrap();
            let told = self.told.lock().unwrap().clone();
            assert!(
                ended.is_none() && begun.elapsed() < LIMIT,
                "it never said `{words}` ({ended:?}): {told}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has said on standard error so far.
    pub fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }

    /// The process id of its broker, by a part of the command line.
    pub fn broker(&self, program: &str) -> u32 {
        let mut found = processes(self.temporary.path());
        found.retain(|(_, command)| command.contains(program));
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].0
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    pub fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(10)),
                None => panic!("not at its end within {LIMIT:?}: {}", self.told.lock().unwrap()),
            }
        };
        let took = clean_within(self.temporary.path(), CLEAN);
        eprintln!("ended with {status}; nothing left {took:.2?} later");
        let mut texts = self.readers.drain(..).map(|reader| reader.join().unwrap());
        let (stdout, stderr) = (texts.next().unwrap(), texts.next().unwrap());
        drop(texts);
        Ended { code: status.code(), stdout, stderr, results: self.results.take().unwrap() }
    }
}

impl Drop for Run {
    /// A test that failed leaves nothing running either:
    /// what comes next would be measured beside it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let begun = Instant::now();
        while !processes(self.temporary.path()).is_empty() && begun.elapsed() < CLEAN {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

impl Ended {
    /// Checks the exit code, and that all of these words were said on standard error.
    pub fn with(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// The results of a run that came to its end in order. The machine may have been too busy to
    /// measure on, which is not what is tested.
    pub fn measured(&self) -> Summary {
        assert!(matches!(self.code, Some(0 | 13)), "{:?}: {}", self.code, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        let summary = self.summary();
        let because = summary.cells.iter().flat_map(|cell| &cell.invalid_because);
        let ours: Vec<_> =
            because.filter(|why| !MACHINE.iter().any(|gate| why.starts_with(gate))).collect();
        assert!(ours.is_empty(), "{ours:?}");
        summary
    }

    pub fn results(&self) -> &Path {
        self.results.path()
    }

    /// The one run folder.
    pub fn folder(&self) -> PathBuf {
        let mut folders = std::fs::read_dir(self.results.path().join("runs")).unwrap();
        folders.next().expect("a run folder").unwrap().path()
    }

    /// `summary.json` as it lies there.
    pub fn summary(&self) -> Summary {
        serde_json::from_slice(&std::fs::read(self.folder().join("summary.json")).unwrap()).unwrap()
    }
}
