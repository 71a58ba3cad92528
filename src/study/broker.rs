//! What a run does around the cells of a broker: which system comes when,
//! warming before, quiet after.
//!
//! A fresh JVM broker compiles its hot paths under load: its first seconds are hundreds of times
//! slower than its normal state and no cell may show them. It is warmed once before its first
//! measured cell, and the cold start is reported as its own figure. Redis has no compiler and is
//! warmed for a moment only. What a broker left unwritten must not be paid for by the next one.

use crate::clock::Clock;
use crate::driver::{self, Target};
use crate::engine::{CellRun, CellRunError, Observer};
use crate::environment::{Broker, memory_info, same_broker};
use crate::inject::Shared;
use crate::model::{Latency, Software};
use crate::random::SplitMix64;
use crate::record::new_histogram;
use crate::result::{ColdStart, Interval};
use crate::scenario::{Cell, Model};
use crate::units::{Bytes, Rate, Span};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Redis has no compiler, and each cell warms its own clients:
/// it needs this part of what Kafka gets.
const REDIS_SHARE: u64 = 30;
/// The rate where the load itself has none.
const USUAL: Rate = Rate::per_second(10_000);
/// The cold start's own latencies are those of the first seconds.
const FIRST_NS: u64 = 5_000_000_000;

/// Loads the broker of `cell` for as long as its kind needs,
/// on a topic of its own that is deleted afterwards.
pub fn warm(
    cell: &Cell,
    broker: &mut dyn Broker,
    target: Target,
    interrupted: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<ColdStart, CellRunError> {
    let clock: Clock = target.clock;
    // Publish p99 of a fresh Kafka settles after about 25 s, as measured: 30 s unless a scenario is
    // content with less.
    let wanted = cell.load.broker_warm_up;
    let length = if broker.software() == Software::Kafka {
        wanted
    } else {
        Span(wanted.nanos() / REDIS_SHARE)
    };
    let mut warming = cell.clone();
    // Open model for every cell: the cold start's latency has a meaning only at a rate.
    warming.load.model = Model::Open;
    let rate = cell.load.rate.map_or(USUAL, |rate| rate.max(Rate::per_second(1000)));
    // A rate that the run found is no setting of the scenario: the cells beside it keep the broker
    // that they always had.
    warming.load.rate = Some(if cell.load.half_of.is_some() { rate.min(USUAL) } else { rate });
    warming.load.warm_up = Span(1);
    warming.load.warm_up_limit = Span(1);
    warming.load.duration = length;
    warming.load.messages = None;
    warming.load.stages.clear();
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
    (warming.message.mix, warming.message.lines) = (None, None);
    let driver = driver::open(&warming, target)?;
    let began = clock.now_ns();
    let ready_ns = broker.started_in_ns().unwrap_or(0);
    let shared: Shared<'_> = Mutex::new(broker);
    let run = CellRun {
        block: 0,
        run: 0xC01D,
        broker: Some(&shared),
        interrupted,
        observer: Some(observer),
        ..CellRun::new(&warming, clock)
    };
    let output = run.run(driver.as_ref())?;
    driver.clean_up()?;
    let mut first = new_histogram();
    let load_began = output.windows.first().map_or(0, |row| row.start_ns);
    let publish = |interval: &&Interval| {
        interval.metric == Latency::Publish && interval.start_ns < load_began + FIRST_NS
    };
    for interval in output.intervals.iter().filter(publish) {
        // Bounds of ten minutes hold everything that five seconds can have recorded.
        let _ = first.add(&interval.histogram);
    }
    let quantile = |q| (!first.is_empty()).then(|| first.value_at_quantile(q));
    Ok(ColdStart {
        ready_ns,
        publish_p50_ns: quantile(0.5),
        publish_p99_ns: quantile(0.99),
        warmed_ns: clock.now_ns() - began,
    })
}

/// Cells of one label that one broker can serve, together, in the order of their first ones: where
/// a matrix varies what brokers are set to, there are several.
pub fn by_broker(cells: impl IntoIterator<Item = Cell>) -> Vec<Vec<Cell>> {
    let mut groups: Vec<Vec<Cell>> = Vec::new();
    for cell in cells {
        let serves = |group: &&mut Vec<Cell>| same_broker(&group[0].config, &cell.config);
        match groups.iter_mut().find(serves) {
            Some(group) => group.push(cell),
            None => groups.push(vec![cell]),
        }
    }
    groups
}

/// The order of `count` systems in block `block` (from 1), by a Williams design: over `count`
/// blocks (twice as many for an odd count) each system stands equally often in every place and
/// comes equally often right after every other.
pub fn order(count: usize, block: u32) -> Vec<usize> {
    let row = block as usize - 1;
    // 0, 1, n − 1, 2, n − 2, …: all steps between neighbours differ.
    let zigzag = |place: usize| match place % 2 {
        1 => place / 2 + 1,
        _ => (count - place / 2) % count,
    };
    let mut order: Vec<usize> = (0..count).map(|place| (zigzag(place) + row) % count).collect();
    if count % 2 == 1 && row % (2 * count) >= count {
        order.reverse();
    }
    order
}

/// The order of `count` matrix points in block `block`: the same for all systems of a block, so
/// that their points stay paired, and another in each block.
pub fn points(count: usize, seed: u64, block: u32) -> Vec<usize> {
    let mut rng = SplitMix64::stream(seed, u64::from(block));
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, (rng.next_u64() % (last as u64 + 1)) as usize);
    }
    order
}

/// Unwritten pages below this do not disturb, bytes.
const QUIET: u64 = 32 << 20;
const LONGEST: Duration = Duration::from_secs(20);

/// Asks the kernel to write everything out and waits until it nearly has, 20 s at most. True if it
/// became quiet.
pub fn settle(interrupted: &AtomicBool) -> bool {
    // A thread of its own: sync can take long on a slow disk, and nobody may hang on it.
    let writing = std::thread::spawn(rustix::fs::sync);
    let deadline = Instant::now() + LONGEST;
    while Instant::now() < deadline && !interrupted.load(Relaxed) {
        if writing.is_finished() && unwritten().is_none_or(|bytes| bytes < QUIET) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// `None` where the kernel does not tell.
fn unwritten() -> Option<u64> {
    Some(memory_info("Dirty:")? + memory_info("Writeback:")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, from_text};
    use itertools::Itertools;

    #[test]
    fn places_and_predecessors_are_balanced() {
        for count in 1..=9 {
            let blocks = if count % 2 == 0 { count } else { 2 * count };
            let orders: Vec<_> = (1..=blocks as u32).map(|block| order(count, block)).collect();
            for system in 0..count {
                let at = |place: usize| orders.iter().filter(|o| o[place] == system).count();
                assert!((0..count).all(|place| at(place) == blocks / count), "{count}: {orders:?}");
                let after = |other: usize| {
                    let pairs = orders.iter().flat_map(|order| order.windows(2));
                    pairs.filter(|pair| **pair == [other, system]).count()
                };
                let others = (0..count).filter(|other| *other != system);
                assert!(others.map(after).all_equal(), "{count}: {orders:?}");
            }
        }
        assert_eq!(order(4, 5), order(4, 1));
    }

    #[test]
    fn a_sweep_of_clients_shares_a_broker_and_one_of_brokers_does_not() {
        let cells = |sweep: &str| {
            let text =
                "schema: 1\nname: t\nquestion: Q?\nsystems: [kafka]\nload: {model: closed}\n";
            let sweeps = vec!["message.size=100B,1KiB".to_owned(), sweep.to_owned()];
            let overrides = Overrides { sweeps, ..Overrides::default() };
            by_broker(from_text("t.yaml", text, &overrides).unwrap().cells())
        };
        let lingers = cells("systems.kafka.client.linger.ms=0,5,20");
        assert_eq!((lingers.len(), lingers[0].len()), (1, 6));
        let threads = cells("systems.kafka.broker.num.io.threads=2,8");
        assert_eq!(threads.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert!(threads.iter().all(|group| group.iter().map(|cell| &cell.config).all_equal()));
    }

    #[test]
    fn points_are_permuted_block_by_block_and_the_seed_decides() {
        let orders: Vec<_> = (1..=20).map(|block| points(3, 7, block)).collect();
        assert!(orders.iter().all(|order| order.iter().copied().sorted().eq(0..3)), "{orders:?}");
        assert!(orders.iter().unique().count() > 3, "{orders:?}");
        assert_eq!(orders[4], points(3, 7, 5));
        assert_eq!(points(0, 7, 1), Vec::<usize>::new());
    }

    #[test]
    fn it_ends_when_the_user_wants_it_to() {
        let start = Instant::now();
        settle(&AtomicBool::new(true));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
