//! HdrHistogram's own Java tools must read every `latency.hlog` and find our percentiles.
//!
//! Needs `mvn` and `java`, so it is ignored unless asked for: `scripts/check-hlog [RUN FOLDER]`.
//! Without a run folder (`BROKERBENCH_RUN`) it checks a log that it makes itself.

use brokerbench::export::hgrm;
use brokerbench::model::Latency;
use brokerbench::result::{Censored, Distribution, Interval, RunFolder, hlog};
use hdrhistogram::Histogram;
use std::path::{Path, PathBuf};
use std::process::Command;

const JAR: &str = "HdrHistogram-2.2.2.jar";

#[test]
#[ignore = "needs mvn, java and Maven Central"]
fn java_finds_our_percentiles() {
    let dir = tempfile::tempdir().unwrap();
    run(Command::new("mvn")
        .args(["-q", "-B", "dependency:copy", "-Dartifact=org.hdrhistogram:HdrHistogram:2.2.2"])
        .arg(format!("-DoutputDirectory={}", dir.path().display())));
    let logs = match std::env::var_os("BROKERBENCH_RUN") {
        Some(folder) => logs_of(Path::new(&folder)),
        None => vec![made_up(dir.path())],
    };
    assert!(!logs.is_empty(), "no latency.hlog found");
    let mut compared = 0;
    for log in &logs {
        for (metric, histogram) in hlog::merged(&std::fs::read(log).unwrap(), log).unwrap() {
            let java = total_of(&java(dir.path(), log, metric, &["-csv"], "1").0);
            let at = |quantile| histogram.value_at_quantile(quantile) as f64;
            let ours = vec![
                histogram.len() as f64,
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                at(0.9999),
                histogram.max() as f64,
            ];
            assert_eq!(
                java,
                ours,
                "{} of {}: count, p50, p90, p99, p99.9, p99.99, max",
                metric.name(),
                log.display()
            );
            let quantiles = Distribution::of(&histogram, Censored::default()).quantiles();
            assert_eq!(quantiles.count, histogram.len());
            let (_, distribution) = java_distribution(dir.path(), log, metric);
            let encoded = hgrm::encode(&histogram, 1e6);
            for (java, ours) in distribution.lines().zip(encoded.lines()) {
                assert_eq!(java, ours, "{} of {} as .hgrm", metric.name(), log.display());
            }
            assert_eq!(distribution.len(), encoded.len());
            compared += 1;
        }
    }
    println!("{} logs, {compared} distributions: Java finds our numbers", logs.len());
}

/// Runs Java's processor on one tag; returns its interval log and its percentile distribution.
fn java(jars: &Path, log: &Path, metric: Latency, more: &[&str], ratio: &str) -> (String, String) {
    let out = jars.join("out");
    run(Command::new("java")
        .arg("-cp")
        .arg(jars.join(JAR))
        .args([
            "org.HdrHistogram.HistogramLogProcessor",
            "-tag",
            metric.name(),
            "-outputValueUnitRatio",
            ratio,
        ])
        .args(more)
        .arg("-i")
        .arg(log)
        .arg("-o")
        .arg(&out));
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    (read(out.clone()), read(jars.join("out.hgrm")))
}

fn java_distribution(jars: &Path, log: &Path, metric: Latency) -> (String, String) {
    let (intervals, distribution) = java(jars, log, metric, &[], "1000000");
    // Java's processor puts a line of its own in front.
    let start = distribution.find("       Value").unwrap();
    (intervals, distribution[start..].to_owned())
}

/// The totals in the last line of Java's interval log: count, p50, p90, p99, p99.9, p99.99, max.
fn total_of(csv: &str) -> Vec<f64> {
    let last = csv
        .lines()
        .rfind(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .expect("Java found intervals");
    last.split(',').skip(5).map(|field| field.parse().unwrap()).collect()
}

fn logs_of(folder: &Path) -> Vec<PathBuf> {
    let run = RunFolder::open(folder).unwrap();
    let cells = run.read_cells(&run.read_manifest().unwrap()).unwrap();
    cells.iter().map(|cell| folder.join(&cell.files["latency"])).collect()
}

/// A log of ten seconds with a long tail, of two metrics and a warm-up.
fn made_up(dir: &Path) -> PathBuf {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut intervals = Vec::new();
    for second in 0..10u64 {
        for metric in [Latency::Publish, Latency::EndToEnd] {
            let mut histogram = Histogram::new_with_bounds(1, 120_000_000_000, 3).unwrap();
            for _ in 0..10_000 {
                let exponent = (next() % 1_000) as f64 / 1_000.0;
                histogram
                    .saturating_record((50_000.0 * 10f64.powf(4.0 * exponent * exponent)) as u64);
            }
            let start_ns = second * 1_000_000_000 + 123;
            intervals.push(Interval {
                metric,
                warm_up: second < 3,
                stage: 0,
                start_ns,
                length_ns: 1_000_000_000,
                histogram,
            });
        }
    }
    let path = dir.join("latency.hlog");
    std::fs::write(&path, hlog::encode(&intervals, jiff::Timestamp::now(), &path).unwrap())
        .unwrap();
    path
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
