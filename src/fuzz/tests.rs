//! The targets on any bytes, on the seeds in `fuzz/seeds` and on mutations of these.
//!
//! Seeds whose names begin with `valid-` must be accepted; all others were once the end of
//! something and must only be survived. A crash that a fuzzer finds becomes a seed.

use super::*;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Target = fn(&[u8]) -> bool;

/// Each with the folders of its seeds, and how many mutations of them are tried.
const TARGETS: [(&str, Target, &[&str], u32); 10] = [
    (
        "scenario",
        scenario,
        &["fuzz/seeds/scenario", "tests/scenarios_good", "tests/scenarios_bad"],
        300,
    ),
    ("run", run, &["fuzz/seeds/run"], 60),
    ("comparison", comparison, &["fuzz/seeds/comparison"], 20),
    ("baseline", baseline, &["fuzz/seeds/baseline"], 300),
    ("hlog", hlog, &["fuzz/seeds/hlog"], 300),
    ("books", books, &["fuzz/seeds/books"], 300),
    ("envelope", envelope, &["fuzz/seeds/envelope"], 2000),
    ("redis", redis, &["fuzz/seeds/redis"], 2000),
    ("kafka", kafka, &["fuzz/seeds/kafka"], 2000),
    ("token", token, &["fuzz/seeds/token"], 2000),
];

fn seeds(folders: &[&str]) -> Vec<(String, Vec<u8>)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<(String, Vec<u8>)> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(top.join(folder)).into_iter().flatten().flatten())
        .filter(|entry| entry.path().extension().is_none_or(|extension| extension != "txt"))
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn every_seed_is_survived_and_the_valid_ones_are_accepted() {
    for (name, target, folders, _) in TARGETS {
        let seeds = seeds(folders);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for (seed, bytes) in seeds {
            let accepted = target(&bytes);
            assert!(accepted || !seed.starts_with("valid-"), "{name}: {seed} is refused");
        }
    }
}

/// Numbers at which arithmetic ends.
const HOSTILE: [&str; 14] = [
    "0",
    "-1",
    "1",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "5e-324",
    "1.7e308",
    "-0.0",
];

/// One change of a file. Places count modulo its length.
#[derive(Clone, Debug)]
enum Edit {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Cut(usize),
    /// A part comes again.
    Repeat(usize, usize, usize),
    /// The first number in letters from here on becomes a hostile one.
    Number(usize, usize),
    /// So many bytes become all ones, or all but the first bit.
    Ones(usize, usize, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<u32>().prop_map(|at| at as usize);
    prop_oneof![
        1 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        1 => (at.clone(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (at.clone(), 1..20usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        1 => at.clone().prop_map(Edit::Cut),
        1 => (at.clone(), 1..200usize, 1..50usize)
            .prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        4 => (at.clone(), 0..HOSTILE.len()).prop_map(|(at, which)| Edit::Number(at, which)),
        1 => (at, 1..9usize, prop_oneof![Just(0x7f), Just(0xff)])
            .prop_map(|(at, n, first)| Edit::Ones(at, n, first)),
    ]
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let place = |at: usize| at % length.max(1);
        let end = |from: usize, count: usize| (from + count).min(length);
        match self {
            _ if length == 0 => {}
            Self::Set(at, byte) => bytes[place(*at)] = *byte,
            Self::Insert(at, new) => {
                drop(bytes.splice(place(*at)..place(*at), new.iter().copied()))
            }
            Self::Remove(at, count) => drop(bytes.drain(place(*at)..end(place(*at), *count))),
            Self::Cut(at) => bytes.truncate(place(*at)),
            Self::Repeat(at, count, times) => {
                let part = bytes[place(*at)..end(place(*at), *count)].repeat(*times);
                bytes.splice(place(*at)..place(*at), part);
            }
            Self::Number(at, which) => {
                let digits = |from: usize| {
                    bytes[from..].iter().position(u8::is_ascii_digit).map(|found| from + found)
                };
                let Some(from) = digits(place(*at)).or_else(|| digits(0)) else { return };
                let count = bytes[from..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
                    .count();
                bytes.splice(from..from + count, HOSTILE[*which].bytes());
            }
            Self::Ones(at, count, first) => {
                let part = place(*at)..end(place(*at), *count);
                bytes[part.clone()].fill(0xff);
                bytes[part.start] = *first;
            }
        }
    }
}

/// Runs a target on so many mutations (`FUZZ_TIMES=100 cargo test --lib fuzz::` on a hundred times
/// as many); the bytes that it did not survive are printed whole.
fn survives_mutations(name: &str) {
    let (_, target, folders, cases) = TARGETS.into_iter().find(|target| target.0 == name).unwrap();
    let times = std::env::var("FUZZ_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let cases = cases.saturating_mul(times);
    let seeds = seeds(folders);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let mutated = (0..seeds.len(), prop::collection::vec(edit(), 0..6));
    let run = |bytes: &[u8]| {
        let survived = catch_unwind(AssertUnwindSafe(|| target(bytes)));
        prop_assert!(survived.is_ok(), "{name} did not survive {}", bytes.escape_ascii());
        Ok(())
    };
    let result = runner.run(&mutated, |(seed, edits)| {
        let mut bytes = seeds[seed].1.clone();
        edits.iter().for_each(|edit| edit.apply(&mut bytes));
        run(&bytes)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let result = runner.run(&prop::collection::vec(any::<u8>(), 0..300), |bytes| run(&bytes));
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn scenarios_survive_mutations() {
    survives_mutations("scenario");
}

#[test]
fn run_files_survive_mutations() {
    survives_mutations("run");
}

#[test]
fn comparisons_survive_mutations() {
    survives_mutations("comparison");
}

#[test]
fn baselines_survive_mutations() {
    survives_mutations("baseline");
}

#[test]
fn interval_logs_survive_mutations() {
    survives_mutations("hlog");
}

#[test]
fn books_of_shards_survive_mutations() {
    survives_mutations("books");
}

#[test]
fn envelopes_survive_mutations() {
    survives_mutations("envelope");
}

#[test]
fn answers_of_redis_survive_mutations() {
    survives_mutations("redis");
}

#[test]
fn answers_of_kafka_survive_mutations() {
    survives_mutations("kafka");
}

/// Writes the seeds of what brokerbench itself writes, after a change of their form:
/// `cargo test --lib writes_seeds -- --ignored`.
#[test]
#[ignore = "writes fuzz/seeds"]
fn writes_seeds() {
    use crate::result::testing;
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let write = |path: &str, content: &[u8]| files::write_atomic(&top.join(path), content).unwrap();
    let dir = tempfile::tempdir().unwrap();

    let folder = crate::result::RunFolder::create(dir.path(), "latency").unwrap();
    folder.write_manifest(&testing::manifest(&folder, "latency", 1)).unwrap();
    for label in ["kafka", "redis-lists"] {
        let mut output = testing::cell(label, "load.rate=1k/s", 1);
        // Three lines of the log are enough, and a file that a fuzzer reads in no time.
        output.intervals.retain(|interval| interval.metric == Latency::Publish && label == "kafka");
        folder.write_cell(&output).unwrap();
    }
    report::report(&folder).unwrap();
    let cell = folder.path().join("cells/kafka/load.rate=1k_2Fs/block-1");
    let read = |path: &Path| std::fs::read(path).unwrap();
    write("run/valid-manifest.json", &read(&folder.path().join("manifest.json")));
    write("run/valid-summary.json", &read(&folder.path().join("summary.json")));
    write("run/valid-accounting.json", &read(&cell.join("accounting.json")));
    write("run/valid-windows.csv", &read(&cell.join("windows.csv")));
    write("hlog/valid-latency.hlog", &read(&cell.join("latency.hlog")));

    let mut comparison = report::example_comparison();
    for claim in comparison.claims.iter_mut().chain(&mut comparison.uses) {
        claim.cells.truncate(2);
    }
    write(
        "comparison/valid-comparison.json",
        &files::to_json(Path::new(NOWHERE), &comparison).unwrap(),
    );

    let mut message = vec![b'x'; 60];
    payload::Envelope { run: 7, producer: 1, lane: 2, sequence: 3, planned_ns: 4 }
        .write(&mut message);
    write("envelope/valid-full", &message);
    write("envelope/valid-compact", &message[..payload::COMPACT]);
}

#[test]
fn answers_of_providers_of_tokens_survive_mutations() {
    survives_mutations("token");
}
