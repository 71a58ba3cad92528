//! What a cell had no more of, in one word: whose figure a capacity is.

use super::health::Spent;
use crate::model::Software;
use crate::result::LIMITED;
use crate::scenario::{Cell, Model};

/// Of a core that one thread has to itself.
const BUSY: f64 = 0.9;
/// Of all cores together.
const ALL_BUSY: f64 = 0.95;

/// What is known of the window besides.
pub struct Pace {
    /// Share of it that the busiest pacing thread ran.
    pub pacer_busy: f64,
    /// Share of it in which producers waited for consumers.
    pub held_by_consumers: f64,
    pub acked_per_s: f64,
}

pub fn saturated(cell: &Cell, spent: &Spent, pace: &Pace) -> Option<&'static str> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let broker = spent.broker_cpu_ns as f64 / spent.length_ns.max(1) as f64;
    // Redis runs its commands on one thread.
    let broker_most = match cell.config.system.software() {
        Software::Redis => BUSY,
        Software::Kafka | Software::Sns | Software::Fake => ALL_BUSY * cores,
    };
    let found = [
        ("generator-cpu", pace.pacer_busy > BUSY),
        ("machine-cpu", spent.machine_busy_share > ALL_BUSY),
        ("broker-cpu", broker > broker_most),
        ("client-linger", lingers(cell, pace.acked_per_s)),
        ("consumers", pace.held_by_consumers >= LIMITED),
    ];
    found.into_iter().find_map(|(what, none_left)| none_left.then_some(what))
}

/// Whether the client's own wait for a batch is half of the time or more that the messages in
/// flight take: then the limit on these and the linger are what is measured. By Little's law.
fn lingers(cell: &Cell, acked_per_s: f64) -> bool {
    let in_flight = f64::from(cell.load.in_flight) * f64::from(cell.load.producers);
    let linger_s = cell.config.linger_ms() / 1e3;
    cell.load.model == Model::Closed && in_flight < 2.0 * linger_s * acked_per_s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::scenario::Load;

    fn cell(system: System, in_flight: u32, linger: Option<&str>) -> Cell {
        let mut cell = Cell::plain(system, Load::closed(in_flight));
        let key = || "linger.ms".to_owned();
        cell.config.client.extend(linger.map(|ms| (key(), ms.to_owned())));
        cell
    }

    const IDLE: Pace = Pace { pacer_busy: 0.2, held_by_consumers: 0.1, acked_per_s: 160_000.0 };

    fn spent(broker_cores: f64, machine_busy_share: f64) -> Spent {
        let broker_cpu_ns = (broker_cores * 1e9) as u64;
        Spent { length_ns: 1_000_000_000, broker_cpu_ns, machine_busy_share, ..Spent::default() }
    }

    #[test]
    fn linger_times_a_limit_that_it_outlasts() {
        let found = |in_flight, linger| {
            saturated(&cell(System::Kafka, in_flight, linger), &spent(0.5, 0.5), &IDLE)
        };
        // A thousand in 6.25 ms, 5 ms of which are the linger.
        assert_eq!(found(1000, Some("5")), Some("client-linger"));
        assert_eq!(found(1000, None), Some("client-linger"), "it is librdkafka's default");
        assert_eq!((found(10_000, Some("5")), found(1000, Some("0"))), (None, None));
        let lists = cell(System::RedisLists, 1000, None);
        assert_eq!(saturated(&lists, &spent(0.5, 0.5), &IDLE), None);
    }

    #[test]
    fn what_is_scarcest_is_named() {
        let lists = cell(System::RedisLists, 1000, None);
        let held = Pace { held_by_consumers: 0.95, ..IDLE };
        for (spent, pace, what) in [
            (spent(0.95, 0.99), &Pace { pacer_busy: 0.95, ..IDLE }, "generator-cpu"),
            (spent(0.95, 0.99), &held, "machine-cpu"),
            (spent(0.95, 0.6), &held, "broker-cpu"),
            (spent(0.5, 0.6), &held, "consumers"),
        ] {
            assert_eq!(saturated(&lists, &spent, pace), Some(what));
        }
    }
}
