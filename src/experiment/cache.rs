//! `cache`: sessions set and read by key, with a time to live, at a fixed rate.
//!
//! Request i is due at i ÷ rate and timed from then, so a server that stalls shows it. Each value
//! names its key and has a checksum: a hit is counted only for the right value. At the end every
//! key must be gone once its time is over.

use super::ExperimentContext;
use super::findings::{p99, reasons};
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::capability::{CacheAnswer, CacheClient, CacheRequest};
use crate::engine::{CellRunError, bodies, sharpen_timer};
use crate::model::{Metric, metric};
use crate::payload::{Bodies, Envelope, Reading, read};
use crate::random::SplitMix64;
use crate::record::Timings;
use crate::result::{CellOutput, Observation};
use crate::scenario::{self, Cell};
use crate::schedule::Schedule;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How often a wait looks whether it is to end, ns.
const TICK_NS: u64 = 20_000_000;
/// How long to wait for answers after the last request, ns.
const DRAIN_NS: u64 = 10_000_000_000;
/// Beyond the time to live before the keys are looked for.
const MARGIN: Duration = Duration::from_millis(50);
const METRICS: [&Metric; 5] =
    [metric::GET_P99, metric::SET_P99, metric::OPERATIONS, metric::HIT_RATE, metric::EXPIRED];

pub fn run(
    context: &mut ExperimentContext<'_>,
    keys: &scenario::Cache,
) -> Result<CellOutput, CellRunError> {
    let client = match context.driver(context.cell, "cache")?.cache() {
        Ok(client) => client,
        Err(cannot @ DriverError::Cannot { .. }) => {
            let why = cannot.to_string();
            let seen = METRICS.map(|metric| Observation::cannot(metric, "", why.as_str()));
            return context.output(seen.into());
        }
        Err(error) => return Err(error.into()),
    };
    let (cell, clock) = (context.cell, context.clock());
    let mut user = User {
        cell,
        keys,
        run: context.run,
        client,
        clock,
        bodies: bodies(cell, cell.seed)?,
        pending: HashMap::new(),
        asked: 0,
        tally: RequestTally::default(),
    };
    user.all_keys(false)?;
    let tally = user.load(|| context.interrupted())?;
    if context.interrupted() {
        return context.output(Vec::new());
    }
    std::thread::sleep(keys.ttl.std() + MARGIN);
    user.all_keys(true)?;
    context.output(tally.observations(keys, &user.tally))
}

#[derive(Clone, Copy)]
struct PendingRequest {
    key: u32,
    get: bool,
    planned_ns: u64,
}

#[derive(Default)]
struct RequestTally {
    /// Requests planned in here are timed, answers in here are counted, ns.
    window: (u64, u64),
    gets: Timings,
    sets: Timings,
    answered: u64,
    found: u64,
    missing: u64,
    /// Damaged values, or values of another key.
    wrong: u64,
    refused: BTreeMap<String, u64>,
}

impl RequestTally {
    fn add(
        &mut self,
        pending: PendingRequest,
        answer: CacheAnswer<'_>,
        at_ns: u64,
        is_right: impl Fn(&[u8]) -> bool,
    ) {
        let within = |ns: u64| (self.window.0..self.window.1).contains(&ns);
        self.answered += u64::from(within(at_ns));
        if let CacheAnswer::Refused(why) = answer {
            *self.refused.entry(why.to_owned()).or_default() += 1;
            return;
        }
        if !within(pending.planned_ns) {
            return;
        }
        let timer = if pending.get { &mut self.gets } else { &mut self.sets };
        timer.saturating_record(at_ns.saturating_sub(pending.planned_ns));
        match answer {
            CacheAnswer::Found(value) if is_right(value) => self.found += 1,
            CacheAnswer::Found(_) => self.wrong += 1,
            CacheAnswer::Missing => self.missing += 1,
            CacheAnswer::Stored | CacheAnswer::Refused(_) => {}
        }
    }

    /// `late` is what was found of the keys once their time was over.
    fn observations(&self, keys: &scenario::Cache, late: &Self) -> Vec<Observation> {
        let operations = self.answered as f64 / keys.duration.secs_f64();
        let mut seen = vec![
            p99(metric::GET_P99, "", "requests", &self.gets),
            p99(metric::SET_P99, "", "requests", &self.sets),
            Observation::measured(metric::OPERATIONS, "", operations, self.answered)
                .with_text(reasons(&self.refused)),
        ];
        let mut share = |metric, part: u64, all: u64, text: String| {
            seen.push(match all {
                0 => Observation::not_measured(metric, "", "nothing was read"),
                _ => {
                    Observation::measured(metric, "", part as f64 / all as f64, all).with_text(text)
                }
            });
        };
        let wrong = match self.wrong {
            0 => String::new(),
            wrong => format!("{wrong} values damaged or of another key"),
        };
        share(metric::HIT_RATE, self.found, self.found + self.missing + self.wrong, wrong);
        let asked = late.found + late.missing + late.wrong;
        share(metric::EXPIRED, late.missing, asked, format!("{} after the last write", keys.ttl));
        seen
    }
}

struct User<'a> {
    cell: &'a Cell,
    keys: &'a scenario::Cache,
    run: u64,
    client: Box<dyn CacheClient>,
    clock: Clock,
    bodies: Bodies,
    /// By their ids: several servers answer in no order.
    pending: HashMap<u64, PendingRequest>,
    /// Requests so far, which is the id of the next.
    asked: u64,
    tally: RequestTally,
}

impl User<'_> {
    /// False when the client takes no more for now.
    fn submit(&mut self, pending: PendingRequest) -> Result<bool, DriverError> {
        let PendingRequest { key, get, planned_ns } = pending;
        if self.pending.len() >= self.cell.load.in_flight as usize {
            return Ok(false);
        }
        let name = format!("session-{key}");
        let request = if get {
            CacheRequest::Get { key: &name }
        } else {
            let envelope =
                Envelope { run: self.run, producer: 0, lane: 0, sequence: key.into(), planned_ns };
            CacheRequest::Set {
                key: &name,
                value: self.bodies.stamped(&envelope),
                ttl: self.keys.ttl,
            }
        };
        let taken = self.client.submit(self.asked, request)?;
        if taken {
            self.pending.insert(self.asked, pending);
            self.asked += 1;
        }
        Ok(taken)
    }

    fn collect(&mut self, until_ns: u64) -> Result<(), DriverError> {
        let Self { client, pending, tally, run, cell, .. } = self;
        let bytes = cell.message.size.0 as usize;
        client.wait(until_ns, &mut |id, answer, at_ns| {
            let Some(asked) = pending.remove(&id) else { return };
            tally.add(asked, answer, at_ns, |value| {
                matches!(
                    read(value, *run, bytes),
                    Reading::Ours(found) if found.sequence == u64::from(asked.key)
                )
            });
        })
    }

    /// Sets or reads every key once, as fast as it goes; the tally begins anew.
    fn all_keys(&mut self, get: bool) -> Result<(), DriverError> {
        let keys = self.keys.sessions;
        let deadline_ns = self.clock.now_ns() + DRAIN_NS + u64::from(keys) * 1_000_000;
        self.tally = RequestTally { window: (0, u64::MAX), ..RequestTally::default() };
        let mut next = 0;
        while (next < keys || !self.pending.is_empty()) && self.clock.now_ns() < deadline_ns {
            let planned_ns = self.clock.now_ns();
            while next < keys && self.submit(PendingRequest { key: next, get, planned_ns })? {
                next += 1;
            }
            self.client.flush()?;
            self.collect(self.clock.now_ns() + TICK_NS)?;
        }
        Ok(())
    }

    fn load(&mut self, interrupted: impl Fn() -> bool) -> Result<RequestTally, DriverError> {
        sharpen_timer();
        let keys = self.keys;
        let mut draw = Draw::new(keys.sessions, keys.skew, keys.reads, self.cell.seed);
        let mut schedule = Schedule::constant(keys.rate, 0, 1);
        let start_ns = self.clock.now_ns() + TICK_NS;
        let window_ns = start_ns + keys.warm_up.nanos();
        let end_ns = window_ns + keys.duration.nanos();
        self.tally = RequestTally { window: (window_ns, end_ns), ..RequestTally::default() };
        let mut next = draw.next();
        loop {
            let now_ns = self.clock.now_ns();
            let mut due_ns = start_ns + schedule.due_ns();
            let all_asked = due_ns >= end_ns || interrupted();
            if (all_asked && self.pending.is_empty()) || now_ns > end_ns + DRAIN_NS {
                break;
            }
            let mut full = false;
            while !all_asked && due_ns <= now_ns && due_ns < end_ns && !full {
                let (key, get) = next;
                full = !self.submit(PendingRequest { key, get, planned_ns: due_ns })?;
                if !full {
                    next = draw.next();
                    schedule.advance();
                    due_ns = start_ns + schedule.due_ns();
                }
            }
            self.client.flush()?;
            self.collect(if all_asked || full {
                now_ns + TICK_NS
            } else {
                due_ns.min(now_ns + TICK_NS)
            })?;
        }
        Ok(std::mem::take(&mut self.tally))
    }
}

/// Which key comes next, and whether it is read or written: seeded,
/// so that every run asks the same.
///
/// Draws keys `0..n` by Zipf's law: key k with a weight of 1 ÷ (k + 1)^skew.
pub struct Draw {
    /// Sums of the weights up to and including each key; empty where all weigh the same.
    sums: Vec<f64>,
    keys: u32,
    reads: f64,
    rng: SplitMix64,
}

impl Draw {
    pub fn new(keys: u32, skew: f64, reads: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let weigh = |key: u32| {
            sum += f64::from(key + 1).powf(-skew);
            sum
        };
        let sums = if skew == 0.0 { Vec::new() } else { (0..keys).map(weigh).collect() };
        Self { sums, keys, reads, rng: SplitMix64::new(seed) }
    }

    pub fn next(&mut self) -> (u32, bool) {
        let (place, read) = (self.rng.unit(), self.rng.unit() <= self.reads);
        let key = match self.sums.last() {
            // In (0, 1]: the last key is as likely as any other.
            None => (place * f64::from(self.keys)).ceil() as u32 - 1,
            Some(total) => self.sums.partition_point(|sum| *sum < place * total) as u32,
        };
        (key.min(self.keys - 1), read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(get: bool, planned_ns: u64) -> PendingRequest {
        PendingRequest { key: 1, get, planned_ns }
    }

    #[test]
    fn only_the_window_counts_and_a_wrong_value_is_no_hit() {
        let mut tally = RequestTally { window: (100, 200), ..RequestTally::default() };
        let right = |value: &[u8]| value == b"right";
        tally.add(pending(true, 99), CacheAnswer::Found(b"right"), 100, right);
        for answer in [
            CacheAnswer::Found(b"right"),
            CacheAnswer::Found(b"wrong"),
            CacheAnswer::Missing,
            CacheAnswer::Refused("OOM"),
        ] {
            tally.add(pending(true, 150), answer, 190, right);
        }
        tally.add(pending(false, 199), CacheAnswer::Stored, 250, right);
        assert_eq!((tally.found, tally.wrong, tally.missing, tally.answered), (1, 1, 1, 5));
        assert_eq!(
            (tally.gets.len(), tally.gets.max(), tally.sets.len(), tally.sets.max()),
            (3, 40, 1, 51)
        );
        assert_eq!(tally.refused, BTreeMap::from([("OOM".to_owned(), 1)]));
        let keys = scenario::Cache::default();
        let seen = tally.observations(&keys, &tally);
        let hit_rate = seen.iter().find(|seen| seen.metric == "hit_rate").unwrap();
        assert_eq!((hit_rate.value, hit_rate.n), (Some(1.0 / 3.0), 3));
        assert!(hit_rate.text.contains("1 values damaged"), "{}", hit_rate.text);
        assert_eq!(
            seen.iter().map(|seen| seen.metric.as_str()).collect::<Vec<_>>(),
            METRICS.map(|metric| metric.name)
        );
    }

    fn counts(skew: f64) -> (Vec<u32>, u32) {
        let mut draw = Draw::new(10, skew, 0.9, 1);
        let (mut keys, mut reads) = (vec![0; 10], 0);
        for _ in 0..100_000 {
            let (key, read) = draw.next();
            keys[key as usize] += 1;
            reads += u32::from(read);
        }
        (keys, reads)
    }

    #[test]
    fn even_keys_are_even_and_skewed_ones_follow_zipf() {
        let (even, reads) = counts(0.0);
        assert!(even.iter().all(|count| (9_500..10_500).contains(count)), "{even:?}");
        assert!((89_500..90_500).contains(&reads), "{reads}");
        let (skewed, _) = counts(1.0);
        let first = f64::from(skewed[0]);
        for (key, count) in skewed.iter().enumerate() {
            let expected = first / (key + 1) as f64;
            assert!((f64::from(*count) / expected - 1.0).abs() < 0.1, "{key}: {skewed:?}");
        }
    }
}
