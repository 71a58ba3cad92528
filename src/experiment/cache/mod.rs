//! `cache`: sessions set and read by key, with a time to live, at a fixed rate.
//!
//! CacheRequest i is due at i ÷ rate and timed from then, so a server that stalls shows it. Each value names its key and has
//! a checksum: a hit is counted only for the right value. At the end every key must be gone once its time is over.

mod draw;

use self::draw::Draw;
use super::ExperimentContext;
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::capability::{CacheAnswer, CacheClient, CacheRequest};
use crate::engine::{TrialError, body_kind};
use crate::model::{Metric, Quantile, metric};
use crate::payload::{Bodies, Envelope, Reading, read};
use crate::record::new_histogram;
use crate::result::{CellOutput, Observation};
use crate::scenario;
use crate::schedule::Schedule;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::time::Duration;

/// How often a wait looks whether it is to end, ns.
const TICK_NS: u64 = 20_000_000;
/// How long to wait for answers after the last request, ns.
const DRAIN_NS: u64 = 10_000_000_000;
/// Beyond the time to live before the keys are looked for.
const MARGIN: Duration = Duration::from_millis(50);
const METRICS: [&Metric; 5] = [metric::GET_P99, metric::SET_P99, metric::OPERATIONS, metric::HIT_RATE, metric::EXPIRED];

pub fn run(context: &mut ExperimentContext<'_>, keys: &scenario::Cache) -> Result<CellOutput, TrialError> {
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
    let bodies = Bodies::generate(body_kind(cell), cell.message.size.0 as usize, cell.seed)?;
    let mut user = User {
        client,
        clock,
        bodies,
        run: context.run,
        bytes: cell.message.size.0 as usize,
        ttl: keys.ttl,
        in_flight: cell.load.in_flight as usize,
        pending: VecDeque::new(),
        tally: RequestTally::new((0, 0)),
    };
    user.all_keys(keys.sessions, false)?;
    let draw = Draw::new(keys.sessions, keys.skew, keys.reads, cell.seed);
    let tally = user.load(keys, draw, || context.interrupted())?;
    if context.interrupted() {
        return context.output(Vec::new());
    }
    std::thread::sleep(keys.ttl.std() + MARGIN);
    user.all_keys(keys.sessions, true)?;
    context.output(tally.observations(keys, &user.tally))
}

/// A request under way.
#[derive(Clone, Copy)]
struct PendingRequest {
    key: u32,
    get: bool,
    planned_ns: u64,
}

/// What came of the requests.
struct RequestTally {
    /// Requests planned in here are timed, answers in here are counted, ns.
    window: (u64, u64),
    gets: Histogram<u64>,
    sets: Histogram<u64>,
    answered: u64,
    found: u64,
    missing: u64,
    /// Damaged values, or values of another key.
    wrong: u64,
    refused: BTreeMap<String, u64>,
}

impl RequestTally {
    fn new(window: (u64, u64)) -> Self {
        let (gets, sets) = (new_histogram(), new_histogram());
        Self { window, gets, sets, answered: 0, found: 0, missing: 0, wrong: 0, refused: BTreeMap::new() }
    }

    fn add(&mut self, pending: PendingRequest, answer: CacheAnswer<'_>, at_ns: u64, is_right: impl Fn(&[u8]) -> bool) {
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
        let mut seen = Vec::new();
        for (metric, timer) in [(metric::GET_P99, &self.gets), (metric::SET_P99, &self.sets)] {
            seen.push(if Quantile::P99.shown(timer.len()) {
                Observation::measured(metric, "", timer.value_at_quantile(0.99) as f64, timer.len())
            } else {
                let why = format!("{} requests timed, {} needed", timer.len(), Quantile::P99.samples_to_show());
                Observation::not_measured(metric, "", why)
            });
        }
        let operations = self.answered as f64 / keys.duration.secs_f64();
        let refused: Vec<String> = self.refused.iter().map(|(why, count)| format!("{count} × {why}")).collect();
        let done = Observation::measured(metric::OPERATIONS, "", operations, self.answered);
        seen.push(done.with_text(refused.join("; ")));
        let mut share = |metric, part: u64, all: u64, text: String| {
            seen.push(match all {
                0 => Observation::not_measured(metric, "", "nothing was read"),
                _ => Observation::measured(metric, "", part as f64 / all as f64, all).with_text(text),
            });
        };
        let wrong = match self.wrong {
            0 => String::new(),
            wrong => format!("{wrong} values damaged or of another key"),
        };
        share(metric::HIT_RATE, self.found, self.found + self.missing + self.wrong, wrong);
        share(
            metric::EXPIRED,
            late.missing,
            late.found + late.missing + late.wrong,
            format!("{} after the last write", keys.ttl),
        );
        seen
    }
}

struct User {
    client: Box<dyn CacheClient>,
    clock: Clock,
    bodies: Bodies,
    run: u64,
    bytes: usize,
    ttl: crate::units::Span,
    in_flight: usize,
    /// Answers come in the order of the requests.
    pending: VecDeque<PendingRequest>,
    tally: RequestTally,
}

impl User {
    /// False when the client takes no more for now.
    fn submit(&mut self, pending: PendingRequest) -> Result<bool, DriverError> {
        let PendingRequest { key, get, planned_ns } = pending;
        if self.pending.len() >= self.in_flight {
            return Ok(false);
        }
        let name = format!("session-{key}");
        let request = if get {
            CacheRequest::Get { key: &name }
        } else {
            let envelope = Envelope { run: self.run, producer: 0, lane: 0, sequence: key.into(), planned_ns };
            CacheRequest::Set { key: &name, value: self.bodies.stamped(&envelope), ttl: self.ttl }
        };
        let taken = self.client.submit(request)?;
        if taken {
            self.pending.push_back(pending);
        }
        Ok(taken)
    }

    fn collect(&mut self, until_ns: u64) -> Result<(), DriverError> {
        let Self { client, pending, tally, run, bytes, .. } = self;
        client.wait(until_ns, &mut |answer, at_ns| {
            let Some(asked) = pending.pop_front() else { return };
            tally.add(asked, answer, at_ns, |value| {
                matches!(read(value, *run, *bytes), Reading::Ours(found) if found.sequence == u64::from(asked.key))
            });
        })
    }

    /// Sets or reads every key once, as fast as it goes; the tally begins anew.
    fn all_keys(&mut self, keys: u32, get: bool) -> Result<(), DriverError> {
        let deadline_ns = self.clock.now_ns() + DRAIN_NS + u64::from(keys) * 1_000_000;
        self.tally = RequestTally::new((0, u64::MAX));
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

    /// Requests at a fixed rate.
    fn load(
        &mut self,
        keys: &scenario::Cache,
        mut draw: Draw,
        interrupted: impl Fn() -> bool,
    ) -> Result<RequestTally, DriverError> {
        // The kernel may otherwise delay each wake by 50 µs. Where it refuses, latencies are longer by that.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let mut schedule = Schedule::constant(keys.rate, 0, 1);
        let start_ns = self.clock.now_ns() + TICK_NS;
        let window_ns = start_ns + keys.warm_up.nanos();
        let end_ns = window_ns + keys.duration.nanos();
        self.tally = RequestTally::new((window_ns, end_ns));
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
            self.collect(if all_asked || full { now_ns + TICK_NS } else { due_ns.min(now_ns + TICK_NS) })?;
        }
        Ok(std::mem::replace(&mut self.tally, RequestTally::new((0, 0))))
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
        let mut tally = RequestTally::new((100, 200));
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
        assert_eq!((tally.gets.len(), tally.gets.max(), tally.sets.len(), tally.sets.max()), (3, 40, 1, 51));
        assert_eq!(tally.refused, BTreeMap::from([("OOM".to_owned(), 1)]));
        let keys = scenario::Cache::default();
        let seen = tally.observations(&keys, &tally);
        let hit_rate = seen.iter().find(|seen| seen.metric == "hit_rate").unwrap();
        assert_eq!((hit_rate.value, hit_rate.n), (Some(1.0 / 3.0), 3));
        assert!(hit_rate.text.contains("1 values damaged"), "{}", hit_rate.text);
        assert_eq!(seen.iter().map(|seen| seen.metric.as_str()).collect::<Vec<_>>(), METRICS.map(|metric| metric.name));
    }
}
