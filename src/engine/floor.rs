//! Instrument floor: the same load against a loopback reflector shows
//! what the path costs without a broker.

use super::cell_run::{CellRun, CellRunError};
use crate::access::Access;
use crate::clock::Clock;
use crate::driver::{self, Routes, Target};
use crate::model::{Latency, Quantile};
use crate::scenario::{Cell, Model};
use crate::units::{Rate, Span};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

/// The least rate: a second of it has a few more than the 1000 messages that p99 needs.
const ENOUGH: Rate = Rate::per_second(1100);

/// Metric name → quantile name → ns.
pub type Floor = BTreeMap<String, BTreeMap<String, u64>>;

/// Measures the floor of an open-loop cell in about four seconds; empty for the closed model, which
/// makes no claim on latency.
pub fn floor(cell: &Cell, clock: Clock, interrupted: &AtomicBool) -> Result<Floor, CellRunError> {
    if cell.load.model == Model::Closed {
        return Ok(Floor::new());
    }
    Ok(least(once(cell, clock, interrupted)?, once(cell, clock, interrupted)?))
}

/// Against a reflector of its own.
fn once(cell: &Cell, clock: Clock, interrupted: &AtomicBool) -> Result<Floor, CellRunError> {
    let reflector = driver::reflector(cell.config.system)?;
    let mut short = cell.clone();
    short.load.warm_up = Span::from_millis(200);
    short.load.warm_up_limit = Span::from_millis(200);
    short.load.duration = Span::from_secs(1);
    short.load.drain = Span::from_secs(1);
    short.load.audit = false;
    // The reflector is one server.
    (short.config.cluster, short.config.sharded) = (None, false);
    // What the application does is no part of the path.
    short.load.work = Span::default();
    short.load.messages = None;
    // A reflector has nothing that is there already.
    (short.config.topic.name, short.config.stream) = (None, None);
    // Enough for a 99th percentile; below that rate the path costs the same.
    short.load.rate = cell.load.rate.map(|rate| rate.max(ENOUGH));
    let target = Target {
        addresses: reflector.addresses(),
        routes: Routes::default(),
        access: Access::default(),
        name: format!("floor-{}", cell.label),
        clock,
    };
    let driver = driver::open(&short, target)?;
    let run = CellRun { block: 0, run: 0xF100, interrupted, ..CellRun::new(&short, clock) };
    let output = run.run(driver.as_ref())?;
    // Reflectors tell nothing of consuming: librdkafka's mock cluster answers a fetch only when its
    // longest wait is over, Redis's serves consumers last. What publishing costs is the least that
    // a message's whole way costs too.
    Ok(floor_of(&output.merged(Latency::Publish)))
}

/// Of a second's thousand messages one pause decides p99, and a floor is what the path costs at its
/// best: quantile by quantile the least.
fn least(mut floor: Floor, again: Floor) -> Floor {
    for (metric, quantiles) in again {
        let of_metric = floor.entry(metric).or_default();
        for (quantile, ns) in quantiles {
            of_metric.entry(quantile).and_modify(|least| *least = ns.min(*least)).or_insert(ns);
        }
    }
    floor
}

/// For every latency that has a floor the quantiles that so many samples can show; empty where
/// these are too few.
pub fn floor_of(samples: &Histogram<u64>) -> Floor {
    let shown = Quantile::REPORTED.into_iter().filter(|quantile| quantile.shown(samples.len()));
    let value =
        |quantile: Quantile| (quantile.to_string(), samples.value_at_quantile(quantile.share()));
    let values: BTreeMap<String, u64> = shown.map(value).collect();
    let metrics = [Latency::Publish, Latency::EndToEnd].into_iter().filter(|_| !values.is_empty());
    metrics.map(|metric| (metric.name().to_owned(), values.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::scenario::Load;

    #[test]
    fn a_pause_in_one_of_two_is_no_floor() {
        let of = |p50, p99| {
            Floor::from([("publish".into(), [("p50".into(), p50), ("p99".into(), p99)].into())])
        };
        assert_eq!(least(of(90, 1268), of(94, 321)), of(90, 321));
        assert_eq!(least(Floor::new(), of(1, 2)), of(1, 2));
    }

    #[test]
    fn the_floor_of_the_whole_way_is_that_of_publishing_for_every_broker() {
        let measured = |system| {
            let cell = Cell::plain(system, Load::open(ENOUGH));
            let floor = floor(&cell, Clock::start(), &AtomicBool::new(false)).unwrap();
            assert!(floor["publish"].contains_key("p50"), "{system}: {floor:?}");
            assert_eq!(floor["publish"], floor["end_to_end"], "{system}");
        };
        std::thread::scope(|scope| {
            for system in
                [System::Kafka, System::RedisPubsub, System::RedisStreams, System::RedisLists]
            {
                scope.spawn(move || measured(system));
            }
        });
    }
}
