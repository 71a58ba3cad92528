//! `capacity`: the highest rate that a system sustains while its tail stays below a limit,
//! as a bracket.
//!
//! Every probe is a whole open-loop cell of its own, on fresh clients and a fresh topic, stream or
//! list: nothing of one rate's backlog is forgiven or inherited at the next. A probe passes when
//! the rate was reached and everything delivered, the backlog did not grow, and end-to-end p99 kept
//! the limit. Whether its median had come to rest (`unsteady`) is not asked: short probes cannot
//! tell, and drift beyond the limit fails by the limit.

mod search;

use self::search::{Bracket, search};
use super::ExperimentContext;
use crate::engine::CellRunError;
use crate::model::{Latency, metric};
use crate::result::{CellOutcome, CellOutput, Distribution, Observation, rates};
use crate::scenario::{Capacity, Cell, Model};
use crate::units::{Rate, Span};
use std::time::Duration;

/// Of what was planned, this much must have been acknowledged and delivered in the end.
const GOOD: f64 = 0.99;
/// After a probe that overloaded it, a broker gets this long to come to rest.
const REST: Duration = Duration::from_secs(1);
/// Most probes of one search; a bracket needs about twelve.
const PROBES: u32 = 40;

pub fn run(
    context: &mut ExperimentContext<'_>,
    keys: &Capacity,
) -> Result<CellOutput, CellRunError> {
    let start = context.cell.load.rate.map_or(1000, whole);
    let (mut probes, mut died) = (Vec::<Probe>::new(), None);
    let bracket = search::<CellRunError>(
        start,
        whole(keys.most),
        keys.within.clamp(0.01, 1.0),
        PROBES,
        &mut |rate| {
            if context.interrupted() {
                return Ok(None);
            }
            let cell = at_rate(context.cell, rate);
            let driver = context.driver(&cell, &format!("p{}", probes.len()))?;
            let output = context.load(&cell, driver.as_ref(), probes.len() as u64)?;
            if context.interrupted() {
                return Ok(None);
            }
            if let Err(error) = context.broker.check() {
                died = Some(error.to_string());
                return Ok(None);
            }
            let probe = Probe::of(rate, &output, keys.limit);
            let passed = probe.failed_by.is_none();
            probes.push(probe);
            // A topic left behind is a nuisance to the next probe, not a reason to give up.
            let _ = driver.clean_up();
            if !passed {
                std::thread::sleep(REST);
            }
            Ok(Some(passed))
        },
    )?;
    let mut output = context.output(observations(&bracket, &probes, keys))?;
    output.record.error = died;
    Ok(output)
}

fn whole(rate: Rate) -> u64 {
    rate.per_s().round().max(1.0) as u64
}

fn at_rate(cell: &Cell, rate: u64) -> Cell {
    let mut cell = cell.clone();
    cell.load.model = Model::Open;
    cell.load.rate = Some(Rate::per_second(rate));
    cell.load.messages = None;
    // Thousands of messages wait in what is overloaded; reading them back proves nothing that the
    // books do not.
    cell.load.audit = false;
    cell
}

#[derive(Clone, Debug, PartialEq)]
struct Probe {
    rate: u64,
    /// Messages a second by the clock, acknowledged and delivered to all; `None` without a window.
    carried: Option<f64>,
    p99_ns: Option<u64>,
    /// Messages behind it.
    n: u64,
    failed_by: Option<ProbeFailure>,
}

#[derive(Clone, Debug, PartialEq)]
enum ProbeFailure {
    /// The harness gave out first: says nothing of the broker.
    Harness(String),
    Broker(String),
}

impl Probe {
    fn of(rate: u64, output: &CellOutput, limit: Span) -> Self {
        let arrived = output.merged(Latency::EndToEnd);
        let record = &output.record;
        let tail = Distribution::of(&arrived, record.censored(Latency::EndToEnd)).quantiles();
        let (p99_ns, n) = (tail.p99_ns, arrived.len());
        let spoilt = record.gates.iter().find(|gate| gate.spoils());
        let good = record.completed_of_planned().unwrap_or(0.0);
        let carried = rates(record).goodput_per_s;
        let broken = match p99_ns {
            _ if record.error.is_some() => record.error.clone(),
            _ if !matches!(record.outcome, CellOutcome::Ok | CellOutcome::Unsteady) => {
                Some(record.outcome_because.first().cloned().unwrap_or_default())
            }
            _ if good < GOOD => {
                Some(format!("{:.1} % of what was planned came through", good * 100.0))
            }
            None => Some("too few messages for a 99th percentile".to_owned()),
            Some(p99) if p99 > limit.nanos() => Some(format!("p99 above {limit}")),
            Some(_) => None,
        };
        let failed_by = match (broken, spoilt) {
            // Latency counts from the plan, so a late generator makes it worse and never better: a
            // pass stands.
            (None, Some(gate)) if gate.name != "books-balance" => None,
            (_, Some(gate)) => {
                Some(ProbeFailure::Harness(format!("{}: {}", gate.name, gate.found)))
            }
            (broken, None) => broken.map(ProbeFailure::Broker),
        };
        Self { rate, carried, p99_ns, n, failed_by }
    }

    /// Where it stood and how it ended, with its tail and what it carried: what a chart of the
    /// search is drawn from.
    fn observations(&self, number: usize) -> impl Iterator<Item = Observation> {
        let went = match &self.failed_by {
            None => "passed",
            Some(ProbeFailure::Harness(_)) => "spoilt",
            Some(ProbeFailure::Broker(_)) => "failed",
        };
        let point = format!("probe={number},rate={}/s,went={went}", self.rate);
        let measured = |metric, value| Observation::measured(metric, &*point, value, self.n);
        let carried = self.carried.map(|rate| measured(metric::PROBE_GOODPUT, rate));
        let tail = match self.p99_ns {
            Some(p99) => measured(metric::PROBE_P99, p99 as f64).with_text(self.words()),
            None => Observation::not_measured(metric::PROBE_P99, &*point, self.words()),
        };
        carried.into_iter().chain([tail])
    }

    fn words(&self) -> String {
        let went = match &self.failed_by {
            None => "passed".to_owned(),
            Some(ProbeFailure::Harness(why)) => format!("spoilt by the generator ({why})"),
            Some(ProbeFailure::Broker(why)) => format!("failed ({why})"),
        };
        let tail = self.p99_ns.map(|p99| format!(", p99 {:.2} ms", p99 as f64 / 1e6));
        format!("{}/s {went}{}", self.rate, tail.unwrap_or_default())
    }
}

fn observations(bracket: &Bracket, probes: &[Probe], keys: &Capacity) -> Vec<Observation> {
    let story: Vec<String> = probes.iter().map(Probe::words).collect();
    let story = format!("probes under end-to-end p99 ≤ {}: {}", keys.limit, story.join("; "));
    let n = probes.len() as u64;
    let end = |metric, found: Option<u64>, without: &str| match found {
        Some(rate) => Observation::measured(metric, "", rate as f64, n).with_text(story.clone()),
        None => Observation::not_measured(metric, "", format!("{without}; {story}")),
    };
    // An end needs the system's own failure twice.
    let by_harness = |rate: u64| {
        let failed = probes
            .iter()
            .filter(|probe| probe.rate == rate)
            .filter_map(|probe| probe.failed_by.as_ref());
        failed.filter(|why| matches!(why, ProbeFailure::Broker(_))).count() < search::AGREE as usize
    };
    let (high, without) = match bracket.high {
        Some(rate) if by_harness(rate) => (None, "the generator gave out before the system did"),
        Some(rate) => (Some(rate), ""),
        None if bracket.low.is_some_and(|low| low >= whole(keys.most)) => {
            (None, "no rate up to `most` was too high")
        }
        None => (None, "the search ended before two of three probes agreed"),
    };
    let no_low = "no rate kept the limit in two of three probes before the search ended";
    let ends =
        [end(metric::CAPACITY_LOW, bracket.low, no_low), end(metric::CAPACITY_HIGH, high, without)];
    ends.into_iter()
        .chain(probes.iter().zip(1..).flat_map(|(probe, number)| probe.observations(number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::new_histogram;
    use crate::result::Blame;
    use crate::result::{CellRecord, Censored, Gate, Interval};

    /// A probe of 1000 messages that took `ms` each.
    fn output(ms: u64) -> CellOutput {
        let mut histogram = new_histogram();
        histogram.record_n(ms * 1_000_000, 1000).unwrap();
        let interval = Interval {
            metric: Latency::EndToEnd,
            warm_up: false,
            start_ns: 0,
            length_ns: 1_000_000_000,
            histogram,
        };
        let record = CellRecord {
            subscriptions: 1,
            window_start_ns: Some(1_000_000_000),
            window_end_ns: Some(3_000_000_000),
            window_planned: Some(1000),
            window_acked: 1000,
            window_consumed: 1000,
            ..CellRecord::empty()
        };
        let (windows, events) = (Vec::new(), Vec::new());
        CellOutput { record, windows, events, intervals: vec![interval], ..CellOutput::default() }
    }

    fn failed(change: impl FnOnce(&mut CellRecord), ms: u64) -> Option<ProbeFailure> {
        let mut output = output(ms);
        change(&mut output.record);
        Probe::of(1000, &output, Span::from_millis(50)).failed_by
    }

    #[test]
    fn a_probe_fails_by_tail_goodput_or_outcome() {
        let undelivered = |record: &mut CellRecord| {
            let censored = Censored { count: 20, at_least_ns: 1 };
            record.censored = [(Latency::EndToEnd, censored)].into();
        };
        assert_eq!(failed(|_| (), 10), None);
        assert_eq!(failed(|record| record.outcome = CellOutcome::Unsteady, 10), None);
        assert_eq!(failed(|_| (), 60), Some(ProbeFailure::Broker("p99 above 50ms".into())));
        let slow = failed(undelivered, 10);
        assert!(matches!(slow, Some(ProbeFailure::Broker(why)) if why.contains("98.0 %")));
        assert!(matches!(
            failed(|record| record.outcome = CellOutcome::Overloaded, 10),
            Some(ProbeFailure::Broker(_))
        ));
        assert!(matches!(
            failed(|record| record.error = Some("gone".into()), 10),
            Some(ProbeFailure::Broker(_))
        ));
    }

    #[test]
    fn what_the_generator_spoilt_is_not_held_against_the_system() {
        let lag = Gate {
            name: "schedule-lag".into(),
            held: Some(false),
            blames: Blame::Harness,
            found: "9 ms".into(),
            limit: "2 ms".into(),
        };
        let late = |record: &mut CellRecord| record.gates = vec![lag.clone()];
        assert_eq!(failed(late, 10), None, "what kept the limit all the same has passed");
        let spoilt = failed(late, 60);
        assert!(matches!(spoilt, Some(ProbeFailure::Harness(_))), "{spoilt:?}");
        let probes = [Probe { rate: 2000, carried: None, p99_ns: None, n: 0, failed_by: spoilt }];
        let found = observations(
            &Bracket { low: Some(1900), high: Some(2000) },
            &probes,
            &Capacity::default(),
        );
        assert_eq!((found[0].value, found[1].value), (Some(1900.0), None));
        assert!(found[1].text.starts_with("the generator gave out"), "{}", found[1].text);
    }

    #[test]
    fn every_probe_says_what_it_carried_and_how_it_went() {
        let probes = [10, 60].map(|ms| Probe::of(500, &output(ms), Span::from_millis(50)));
        let found = observations(&Bracket::default(), &probes, &Capacity::default());
        let told: Vec<_> = found[2..]
            .iter()
            .map(|o| (o.metric.as_str(), o.point.as_str(), o.value, o.n))
            .collect();
        let tail = |ms: u64| Some(output(ms).intervals[0].histogram.value_at_quantile(0.99) as f64);
        assert_eq!(
            told,
            [
                ("probe.goodput", "probe=1,rate=500/s,went=passed", Some(500.0), 1000),
                ("probe.p99", "probe=1,rate=500/s,went=passed", tail(10), 1000),
                ("probe.goodput", "probe=2,rate=500/s,went=failed", Some(500.0), 1000),
                ("probe.p99", "probe=2,rate=500/s,went=failed", tail(60), 1000),
            ]
        );
        assert!(found[5].text.contains("failed (p99 above 50ms)"), "{}", found[5].text);
    }
}
