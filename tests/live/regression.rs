//! A broker that became slower, for once for real: a Redis behind the product's own fault proxy, held
//! against a baseline of the same Redis, by the program and by the steps of the action.

use crate::support::action::play;
use crate::support::harness::exe;
use crate::support::redis::RedisServer;
use brokerbench::fault::proxy::{Condition, Proxy};
use brokerbench::result::{Change, Summary};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Short windows, since all of it waits for the proxy: twenty milliseconds to the broker and on.
const SCENARIO: &str = "schema: 1\nname: slower\nquestion: Has it become slower?\n\
    systems: [redis-lists]\nload: {model: open, rate: 200/s, warm-up: 1s, warm-up-limit: 2s, \
    duration: 4s, floor: false}\nmessage: {size: 100B}\nblocks: 5\n";

/// The machine may have been too busy to measure on, which is not what is tested.
const TRIES: usize = 3;

struct Bench {
    dir: tempfile::TempDir,
    proxy: Proxy,
    redis: String,
    _server: RedisServer,
}

impl Bench {
    fn new() -> Self {
        let server = RedisServer::start(&["--appendonly", "no"]);
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
        let proxy = Proxy::start(None, upstream).unwrap();
        let redis = format!("redis://{}", proxy.address());
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("slower.yaml"), SCENARIO).unwrap();
        Self { dir, proxy, redis, _server: server }
    }

    fn delay(&self, ms: u64) {
        let delay = Duration::from_millis(ms);
        let condition = Condition::Latency { delay, jitter: Duration::ZERO, seed: 1 };
        self.proxy.apply(condition).unwrap();
    }

    fn brokerbench(&self, args: &[&str]) -> (i32, String, String) {
        let output = Command::new(exe())
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("GITHUB_STEP_SUMMARY")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap();
        (code, text(&output.stdout), text(&output.stderr))
    }

    fn run(&self, more: &[&str]) -> (i32, Summary) {
        let args = [&["run", "slower.yaml", "--json", "--redis", &self.redis][..], more].concat();
        for _ in 0..TRIES {
            let (code, stdout, stderr) = self.brokerbench(&args);
            if code != 13 {
                let summary = serde_json::from_str(&stdout);
                return (code, summary.unwrap_or_else(|error| panic!("{error}: {stderr}")));
            }
        }
        panic!("the machine is too busy to measure on: {TRIES} runs were invalid")
    }
}

#[test]
#[ignore = "needs a real redis-server"]
fn the_same_broker_passes_and_one_that_is_30_percent_slower_ends_with_11() {
    let bench = Bench::new();
    bench.delay(10);
    assert_eq!(bench.run(&[]).0, 0);
    let (code, file, stderr) = bench.brokerbench(&["baseline", "save", "main"]);
    assert_eq!((code, file.trim()), (0, "baselines/main/slower.json"), "{stderr}");
    let (code, same) = bench.run(&["--baseline", "main"]);
    let result = same.baseline.unwrap();
    assert!(code == 0 && !result.worse && !result.figures.is_empty(), "{result:#?}");

    bench.delay(13);
    let (code, slower) = bench.run(&["--baseline", "main"]);
    let result = slower.baseline.unwrap();
    assert!(code == 11 && result.worse, "{result:#?}");
    let p50 = result.figures.iter().find(|one| one.metric == "end_to_end.p50").unwrap();
    assert!(p50.change == Change::Worse && p50.ratio > Some(1.15), "{p50:?}");
    action_ends_likewise(&bench);
}

fn action_ends_likewise(bench: &Bench) {
    let (dir, redis) = (bench.dir.path(), format!("--redis={}", bench.redis));
    let program = exe();
    let inputs = [
        ("scenario", "slower.yaml"),
        ("baseline", "main"),
        ("thresholds", "counts.lost == 0"),
        ("args", redis.as_str()),
        ("binary", program.to_str().unwrap()),
    ];
    let played = (0..TRIES).map(|_| play(dir, &inputs, &[])).find(|played| played.code != 13);
    let played = played.expect("the machine is too busy to measure on");
    assert_eq!(played.code, 11, "{}", played.stderr);
    assert!(played.stderr.contains("✗ worse") && played.stderr.contains("✓ pass"));
    let step = std::fs::read_to_string(dir.join("step-summary.md")).unwrap();
    assert!(step.contains("### slower: Has it become slower?") && step.contains("✗ worse"));
    let newest = newest(&dir.join("results"), "junit-");
    let junit = std::fs::read_to_string(newest).unwrap();
    assert!(junit.contains("<failure message=") && junit.contains("end_to_end.p50 not worse"));
}

fn newest(folder: &Path, begins: &str) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let ours = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begins))
    };
    entries.filter(ours).max().unwrap()
}
