//! The size ladder with the real binary on real brokers: what arrives, byte for byte, and who
//! refuses the rest. Needs Java, Maven (or `KAFKA_HOME`), redis-server and about 10 GB of free
//! memory: `cargo test --test live size:: -- --ignored --test-threads 1`

use crate::support::program::run;
use brokerbench::result::{CellSummary, Kind, Observation};

const SCENARIO: &str = include_str!("../../scenarios/message-size.yaml");
const GIGABYTE: f64 = 1e9;

/// One climb of `label` on `sizes`; `keys` are further keys of the experiment.
fn climb(label: &str, sizes: &str, keys: &[&str]) -> CellSummary {
    let sizes = format!("experiment.sizes=[{sizes}]");
    let mut args = vec!["--system", label, "--set", &sizes];
    keys.iter().for_each(|key| args.extend(["--set", *key]));
    // `--system kafka` runs every label of that system:
    // at defaults a scenario of one label says it shorter.
    let plain = format!(
        "schema: 1\nname: live\nquestion: Q?\nsystems: {{{label}: {{stock: true}}}}\n\
        experiment: {{kind: size-ladder}}\n"
    );
    let scenario = if label.ends_with("-tuned") { SCENARIO } else { &plain };
    let mut summary = run(scenario, &args, &[]).measured();
    assert_eq!(summary.cells.len(), 1);
    let cell = summary.cells.remove(0);
    for found in &cell.observations {
        eprintln!(
            "{label} {} {} {:?} {} {}",
            found.metric, found.point, found.value, found.unit, found.text
        );
    }
    cell
}

fn find<'a>(cell: &'a CellSummary, metric: &str, point: &str) -> &'a Observation {
    let found =
        cell.observations.iter().find(|found| found.metric == metric && found.point == point);
    found.unwrap_or_else(|| panic!("no {metric} at `{point}`"))
}

#[test]
#[ignore = "needs real brokers"]
fn as_it_comes_the_limit_is_found_and_who_refuses_is_named() {
    const MIB: f64 = 1048576.0;
    if !memory_for_a_gigabyte() {
        return;
    }
    let sizes = "1KiB,64KiB,1MiB,16MiB,64MiB,512MiB,1GB";
    let keys =
        ["experiment.codecs=[none]", "experiment.payloads=[random]", "experiment.repeat=50ms"];
    // message.max.bytes of the broker; the output buffer of a subscriber, of which Redis counts
    // what its allocator took, 32 MiB for anything above 28; proto-max-bulk-len.
    for (label, least, most, words) in [
        ("kafka", 1_046_500.0, 1_048_588.0, ["broker: ", "MessageTooLarge"]),
        ("redis-pubsub", 27.9 * MIB, 32.0 * MIB, ["broker: ", "closed"]),
        ("redis-streams", 512.0 * MIB, 512.0 * MIB, ["broker: ", "invalid bulk length"]),
        ("redis-lists", 512.0 * MIB, 512.0 * MIB, ["broker: ", "invalid bulk length"]),
    ] {
        let cell = climb(label, sizes, &keys);
        let largest = find(&cell, "largest_intact", "codec=none").value.expect("a limit");
        let first = find(&cell, "first_refused", "codec=none");
        let refused = first.value.expect("a refusal");
        assert!(largest < refused && refused <= largest * 1.001 + 1.0, "{label}: {refused}");
        assert!((least..=most).contains(&largest), "{label}: {largest}");
        for word in words {
            assert!(first.text.contains(word), "{label}: `{word}` is missing in: {}", first.text);
        }
        if label == "kafka" {
            let usual = find(&cell, "largest_intact", "payload=random,codec=none").value;
            assert!(usual.is_some_and(|usual| (0.998e6..1e6).contains(&usual)), "{usual:?}");
        } else {
            // Kafka refuses before anything large is on its way.
            assert!(find(&cell, "bystander.p99", "size=16MiB").n > 0);
        }
    }
}

/// What the largest rungs need; where less is free they are skipped by the run itself,
/// which says so.
fn memory_for_a_gigabyte() -> bool {
    let free = brokerbench::environment::memory_available().unwrap_or(0);
    if free < 12_000_000_000 {
        eprintln!(
            "NOT TESTED: a message of 1 GB needs 12 GB of free memory, and {free} B are free"
        );
    }
    free >= 12_000_000_000
}

/// A gigabyte arrives, and the client held no more of it than `copies`.
fn a_gigabyte(label: &str, keys: &[&str], way: &str, copies: f64) {
    if !memory_for_a_gigabyte() {
        return;
    }
    let cell = climb(label, "1KiB,1GB", keys);
    let point = format!("size=1GB,{way}");
    let intact = find(&cell, "intact", &point);
    assert_eq!(
        (intact.kind, intact.value),
        (Kind::Measured, Some(1.0)),
        "{label}: {}",
        intact.text
    );
    let codec = way.rsplit(',').next().unwrap_or_default();
    assert_eq!(find(&cell, "largest_intact", codec).value, Some(GIGABYTE), "{label}");
    let peak = find(&cell, "client_peak", &point).value.expect("a peak");
    assert!(peak <= copies * GIGABYTE, "{label}: {peak}");
    assert!(find(&cell, "wire_bytes", &point).value > Some(0.0));
    assert!(find(&cell, "broker_peak", &point).value > Some(0.0));
}

const RANDOM: [&str; 3] =
    ["experiment.codecs=[none]", "experiment.payloads=[random]", "experiment.deadline=100s"];

#[test]
#[ignore = "needs real brokers and 10 GB of memory"]
fn a_gigabyte_goes_through_every_tuned_redis() {
    for label in ["redis-lists-tuned", "redis-streams-tuned", "redis-pubsub-tuned"] {
        a_gigabyte(label, &RANDOM, "payload=random,codec=none", 1.3);
    }
}

#[test]
#[ignore = "needs real brokers and 10 GB of memory"]
fn a_gigabyte_of_text_goes_through_kafka_with_lz4() {
    let keys =
        ["experiment.codecs=[lz4]", "experiment.payloads=[text]", "experiment.deadline=100s"];
    a_gigabyte("kafka-tuned", &keys, "payload=text,codec=lz4", 2.5);
}

#[test]
#[ignore = "needs real brokers and 10 GB of memory"]
fn a_gigabyte_of_random_bytes_goes_through_kafka_by_the_second_client() {
    if !memory_for_a_gigabyte() {
        return;
    }
    // The usual client's limit is met on the way and named as its own.
    let cell = climb(
        "kafka-tuned",
        "1KiB,255MiB,256MiB,1GB",
        &[&RANDOM[..2], &["experiment.deadline=100s"]].concat(),
    );
    let usual = "payload=random,codec=none";
    let largest = find(&cell, "largest_intact", usual).value.expect("a limit");
    assert!((255.0 * 1048576.0..256.0 * 1048576.0).contains(&largest), "{largest}");
    assert!(find(&cell, "first_refused", usual).text.starts_with("client encoder: "));
    let second = find(&cell, "intact", &format!("size=1GB,{usual},client=second"));
    assert_eq!(second.value, Some(1.0), "{}", second.text);
    assert!(second.text.starts_with("999999964 B back byte for byte"), "{}", second.text);
    let peak = find(&cell, "client_peak", &format!("size=1GB,{usual},client=second"))
        .value
        .expect("a peak");
    assert!(peak <= 1.3 * GIGABYTE, "{peak}");
}
