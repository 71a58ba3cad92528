//! Warms a fresh broker once before its first measured cell, and reports the cold start as its own figure.
//!
//! A fresh JVM broker compiles its hot paths under load: its first seconds are hundreds of times slower than its
//! normal state and no cell may show them. Redis has no compiler and is warmed for a moment only.

use crate::clock::Clock;
use crate::driver::{self, Target};
use crate::engine::{Observer, Trial, TrialError};
use crate::environment::Broker;
use crate::model::Software;
use crate::record::new_histogram;
use crate::result::{ColdStart, Interval, Metric};
use crate::scenario::{Cell, Model};
use crate::units::{Bytes, Rate, Span};
use std::sync::atomic::AtomicBool;

/// Redis has no compiler, and each cell warms its own clients: it needs this part of what Kafka gets.
const REDIS_SHARE: u64 = 30;
/// The rate where the load itself has none.
const USUAL: Rate = Rate::per_second(10_000);
/// The cold start's own latencies are those of the first seconds.
const FIRST_NS: u64 = 5_000_000_000;

/// Loads the broker of `cell` for as long as its kind needs, on a topic of its own that is deleted afterwards.
pub fn warm(
    cell: &Cell,
    broker: &mut dyn Broker,
    target: Target,
    interrupted: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<ColdStart, TrialError> {
    let clock: Clock = target.clock;
    // Publish p99 of a fresh Kafka settles after about 25 s, as measured: 30 s unless a scenario is content with less.
    let wanted = cell.load.broker_warm_up;
    let length = if broker.software() == Software::Kafka { wanted } else { Span(wanted.nanos() / REDIS_SHARE) };
    let mut warming = cell.clone();
    // Open model for every cell: the cold start's latency has a meaning only at a rate.
    warming.load.model = Model::Open;
    let rate = cell.load.rate.map_or(USUAL, |rate| rate.max(Rate::per_second(1000)));
    // A rate that the run found is no setting of the scenario: the cells beside it keep the broker that they always had.
    warming.load.rate = Some(if cell.load.half_capacity { rate.min(USUAL) } else { rate });
    warming.load.warm_up = Span(1);
    warming.load.warm_up_limit = Span(1);
    warming.load.duration = length;
    warming.load.messages = None;
    warming.load.audit = false;
    warming.faults.clear();
    // One reader warms the paths that many will take; many at a rate would only pile up.
    warming.load.subscriptions = 1;
    warming.load.consumers = 1;
    warming.load.work = Span::default();
    // A producer that sends one by one could not keep up with a broker that is cold.
    warming.load.in_flight = cell.load.in_flight.max(1024);
    warming.load.batch = cell.load.batch.max(1000);
    warming.message.size = cell.message.size.min(Bytes(10 * 1024));
    let driver = driver::open(&warming, target)?;
    let pids = broker.pids();
    let began = clock.now_ns();
    let trial = Trial {
        cell: &warming,
        block: 0,
        run: 0xC01D,
        clock,
        broker_pids: pids,
        broker_alive: &mut || broker.check().map_err(|error| error.to_string()),
        broker: None,
        interrupted,
        observer,
        disturb: None,
    };
    let output = trial.run(driver.as_ref())?;
    driver.clean_up()?;
    let mut first = new_histogram();
    let load_began = output.windows.first().map_or(0, |row| row.start_ns);
    let publish =
        |interval: &&Interval| interval.metric == Metric::Publish && interval.start_ns < load_began + FIRST_NS;
    for interval in output.intervals.iter().filter(publish) {
        // Bounds of ten minutes hold everything that five seconds can have recorded.
        let _ = first.add(&interval.histogram);
    }
    let quantile = |q| (!first.is_empty()).then(|| first.value_at_quantile(q));
    Ok(ColdStart {
        ready_ns: broker.started_in_ns().unwrap_or(0),
        publish_p50_ns: quantile(0.5),
        publish_p99_ns: quantile(0.99),
        warmed_ns: clock.now_ns() - began,
    })
}
