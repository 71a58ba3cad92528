//! Whether the design of the standard profile finds what is there: the same Kafka three times in
//! one study of real brokers, once behind a proxy that holds every byte for a known time.
//!
//! `cargo bench --bench slowed`, about ten minutes on an idle machine. All three stand behind the
//! product's own fault proxy, so that the delay alone is the difference. The rules are the table's:
//! ratios by round, the margin of the equal pair, `stats::compare`. Ends with 1 where the slowed
//! one is not found, or where the equal ones differ.

use brokerbench::engine::{Observer, Progress};
use brokerbench::environment::{Broker, BrokerCache, Environment, EnvironmentError, Native};
use brokerbench::fault::proxy::Condition;
use brokerbench::result::{CellRecord, CellSummary, summarize};
use brokerbench::scenario::{Overrides, Scenario, SystemConfig, from_text};
use brokerbench::stats::compare::{GeometricMean, Side, decide_one, margin};
use brokerbench::study::{self, Step, Study, StudyObserver};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// In each direction: a message passes the proxy on its way in and on its way out. With 10 ms of
/// linger, which make the median, twice this is about a third of it.
const DELAY: Duration = Duration::from_millis(1);
/// By what the environment knows the broker that is slowed: the default, written out.
const MARK: (&str, &str) = ("num.io.threads", "8");

const SCENARIO: &str = r#"
schema: 1
name: slowed
question: Is a Kafka that is a third slower at the median found by ten rounds of four seconds?
primary: end_to_end.p50
guarantee: none
systems:
  kafka: {topic: {partitions: 1}, client: {acks: all, linger.ms: 10}}
  kafka-again: {same-as: kafka}
  kafka-slowed:
    system: kafka
    topic: {partitions: 1}
    client: {acks: all, linger.ms: 10}
    broker: {num.io.threads: "8"}
load:
  model: open
  arrivals: constant
  rate: 1k/s
  warm-up: 2s
  warm-up-limit: 15s
  duration: 4s
  in-flight: 1024
  floor: false
message: {size: 1KiB, payload: text}
blocks: 10
fresh-brokers: 3
"#;

/// Native brokers, the marked one behind a slow link.
struct SlowedOne(Native);

impl Environment for SlowedOne {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn network_path(&self) -> String {
        self.0.network_path()
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        let mut broker = self.0.start(config)?;
        if config.broker.get(MARK.0).is_some_and(|value| value == MARK.1) {
            let proxy = broker.faultable().and_then(|broker| broker.proxy(0)).unwrap();
            let slow = Condition::Latency { delay: DELAY, jitter: Duration::ZERO, seed: 0 };
            proxy.apply(slow).unwrap();
        }
        Ok(broker)
    }

    fn renew(&mut self) -> Result<(), EnvironmentError> {
        self.0.renew()
    }
}

/// Says what is done; nobody watches the rates.
struct Steps;

impl Observer for Steps {
    fn progress(&mut self, _: &Progress) {}
}

impl StudyObserver for Steps {
    fn step(&mut self, step: &Step<'_>) {
        eprintln!("{}/{} {}", step.done, step.all, step.text);
    }

    fn kept(&mut self, _: &CellRecord) {}

    fn warning(&mut self, text: &str) {
        eprintln!("warning: {text}");
    }
}

fn scenario() -> Scenario {
    let mut scenario = from_text("slowed.yaml", SCENARIO, &Overrides::default()).unwrap();
    for (_, config) in &mut scenario.systems {
        config.proxied = true;
    }
    scenario
}

/// Medians from producer to consumer by round, ns.
fn medians(cells: &[CellSummary], label: &str) -> BTreeMap<u32, f64> {
    let of = cells.iter().filter(|cell| cell.id.label == label && cell.valid);
    let median = |cell: &CellSummary| Some(cell.latency.end_to_end.as_ref()?.p50_ns? as f64);
    of.filter_map(|cell| Some((cell.id.block, median(cell)?))).collect()
}

fn ratio(cells: &[CellSummary], of: &str, to: &str) -> Option<GeometricMean> {
    let (of, to) = (medians(cells, of), medians(cells, to));
    let ratios = of.iter().filter_map(|(block, value)| Some(value / to.get(block)?));
    GeometricMean::of(&ratios.collect::<Vec<_>>())
}

fn told(name: &str, ratio: &GeometricMean) {
    let [low, high] = ratio.interval().unwrap_or([f64::NAN; 2]);
    let (value, rounds) = (ratio.value(), ratio.blocks());
    println!("{name:<28} {value:.3} [{low:.3}, {high:.3}], {rounds} rounds");
}

fn main() -> ExitCode {
    let results = tempfile::tempdir().unwrap();
    let scenario = scenario();
    let exe = PathBuf::from(env!("CARGO_BIN_EXE_brokerbench"));
    let mut brokers = BrokerCache::over(Box::new(SlowedOne(Native::new(exe))));
    let study = Study {
        scenario: &scenario,
        environment: &mut brokers,
        environment_because: "a bench".into(),
        results_dir: results.path(),
        command_line: Vec::new(),
        tags: BTreeMap::new(),
        selfcheck: "not run".into(),
        interrupted: &AtomicBool::new(false),
        part: None,
    };
    let finished = study::run(study, &mut Steps).unwrap();
    let cells = summarize(&finished.folder).unwrap().cells;
    let equal = ratio(&cells, "kafka-again", "kafka").expect("rounds of the equal pair");
    let slowed = ratio(&cells, "kafka-slowed", "kafka").expect("rounds of the slowed one");
    told("the same, end-to-end p50", &equal);
    told("slowed, end-to-end p50", &slowed);
    let margin = margin(&[equal]);
    let found = decide_one(Some(slowed.with_margin(margin)), Side::Above, 1.0);
    let differ = [Side::Above, Side::Below]
        .map(|side| decide_one(Some(equal.with_margin(margin)), side, 1.0) == Ok(true));
    println!("margin {:.3}; slowed: {found:?}; the same differ: {differ:?}", margin.unwrap_or(1.0));
    if found == Ok(true) && differ == [false; 2] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
