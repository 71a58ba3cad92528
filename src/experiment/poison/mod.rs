//! `poison`: what messages that always fail do to the others, and what a consumer that dies takes
//! with it.
//!
//! Flows at a fixed rate, each on a topic, stream or list of its own: without poison and with it,
//! in turns first and second from block to block; and [`crash`], without it but with a consumer
//! killed in the middle of a batch. Every acknowledged message is followed to its end; dead letters
//! are counted by reading them back, not by what the worker said.

mod crash;
mod flow;
mod processing;

use self::flow::Flow;
use self::processing::ProcessingLog;
use super::ExperimentContext;
use super::findings::p99;
use super::sender::ExperimentSender;
use crate::engine::CellRunError;
use crate::model::metric;
use crate::record::SeqSet;
use crate::result::{CellOutput, Observation};
use crate::scenario::Poison;
use crate::units::Span;

/// How long reading back may take, ns.
const READ_BACK_NS: u64 = 30_000_000_000;

pub fn run(context: &mut ExperimentContext<'_>, keys: &Poison) -> Result<CellOutput, CellRunError> {
    let mut seen = Vec::new();
    let every = (1.0 / keys.share).round() as u64;
    let mut flows = [
        (0, "healthy", None, "first in odd blocks"),
        (1, "poison", Some(every), "first in even blocks"),
    ];
    // Who comes second finds broker and caches warmer.
    if context.block.is_multiple_of(2) {
        flows.reverse();
    }
    for (number, part, every, order) in flows {
        if !context.interrupted() {
            let flow = Flow::open(context, keys, part, number, every)?;
            seen.extend(poisoned(&flow, keys, order)?);
        }
    }
    seen.extend(crash::observe(context, keys, flows.len() as u64)?);
    context.output(seen)
}

/// The flow that shows what failing messages do to the others; `order` is when it comes first.
fn poisoned(flow: &Flow<'_>, keys: &Poison, order: &str) -> Result<Vec<Observation>, CellRunError> {
    let place = flow.place()?;
    let mut worker = flow.worker(&place, 0)?;
    let length = Span(keys.warm_up.nanos() + keys.duration.nanos());
    let (sender, log) =
        flow.under_load(length, &place, |consumer, _| consumer.work_off(worker.as_mut()))?;
    worker.close()?;
    if flow.interrupted() {
        flow.clean_up(&place);
        return Ok(Vec::new());
    }
    let (mut dead, mut dead_again) = (SeqSet::new(), 0);
    if let Ok(work) = &place {
        work.dead_letters(flow.clock.now_ns() + READ_BACK_NS, &mut |payload| {
            dead_again +=
                u64::from(flow.sequence(payload).is_some_and(|sequence| !dead.insert(sequence)));
        })?;
    }
    let missing = Missing::find(flow, &sender, &log, &dead)?;
    flow.clean_up(&place);
    let share = flow.every.map_or(0.0, |_| keys.share);
    let point = format!("poison={}%", (share * 1e6).round() / 1e4);
    let (acked, seconds) = (sender.acked.len(), keys.duration.secs_f64());
    let measured = |metric, value, n| Observation::measured(metric, &*point, value, n);
    let count = |metric, value: u64| measured(metric, value as f64, acked);
    let mut seen = vec![
        measured(metric::HEALTHY_GOODPUT, log.in_window as f64 / seconds, log.in_window)
            .with_text(sender.failures()),
        of_healthy(&point, &log, &format!("{}, {order}", flow.acknowledge())),
    ];
    match &place {
        Err(cannot) => {
            let cannot = |metric| Observation::cannot(metric, &*point, cannot.as_str());
            seen.extend([cannot(metric::DEAD_LETTER_TIME_P50), cannot(metric::DEAD_LETTERED)]);
        }
        Ok(work) => {
            if !log.dead_letter_times.is_empty() {
                let (p50, n) =
                    (log.dead_letter_times.value_at_quantile(0.5), log.dead_letter_times.len());
                seen.push(measured(metric::DEAD_LETTER_TIME_P50, p50 as f64, n));
            }
            seen.push(
                count(metric::DEAD_LETTERED, dead.len())
                    .with_text(work.responsibilities().to_string()),
            );
        }
    }
    let unreadable =
        if log.unreadable > 0 { format!("; {} unreadable", log.unreadable) } else { String::new() };
    seen.push(count(metric::HEALTHY_LOST, missing.lost).with_text(missing.words() + &unreadable));
    seen.push(count(metric::DUPLICATED, log.again + dead_again));
    seen.push(count(metric::BLOCKED, missing.blocked));
    Ok(seen)
}

/// The p99 of healthy messages, with what it depends on.
fn of_healthy(point: &str, log: &ProcessingLog, depends: &str) -> Observation {
    let found = p99(metric::HEALTHY_P99, point, "healthy messages", &log.latency);
    if found.value.is_some() { found.with_text(depends) } else { found }
}

/// Acknowledged messages that came to no end: neither processed nor among the dead letters.
#[derive(Debug, Default, PartialEq, Eq)]
struct Missing {
    /// Not held by the broker either.
    lost: u64,
    /// Healthy, and still held by the broker.
    blocked: u64,
    /// Poison that is still held by the broker.
    not_set_aside: u64,
}

impl Missing {
    fn find(
        flow: &Flow<'_>,
        sender: &ExperimentSender,
        log: &ProcessingLog,
        dead: &SeqSet,
    ) -> Result<Self, CellRunError> {
        let missing: Vec<u64> = (0..sender.sent())
            .filter(|n| {
                sender.acked.contains(*n) && !log.processed.contains(*n) && !dead.contains(*n)
            })
            .collect();
        let mut held = SeqSet::new();
        if !missing.is_empty() {
            let deadline_ns = flow.clock.now_ns() + READ_BACK_NS;
            flow.driver.audit(deadline_ns, &mut |payload| {
                flow.sequence(payload).map(|sequence| held.insert(sequence));
            })?;
        }
        Ok(Self::count(&missing, &held, |sequence| log.is_poison(sequence)))
    }

    fn count(missing: &[u64], held: &SeqSet, is_poison: impl Fn(u64) -> bool) -> Self {
        let mut found = Self::default();
        for sequence in missing {
            let place = match (held.contains(*sequence), is_poison(*sequence)) {
                (false, _) => &mut found.lost,
                (true, false) => &mut found.blocked,
                (true, true) => &mut found.not_set_aside,
            };
            *place += 1;
        }
        found
    }

    fn words(&self) -> String {
        match self.not_set_aside {
            0 => String::new(),
            held => format!(
                "{held} poison messages not set aside by the deadline, still held by the broker"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_lost_unless_the_broker_still_holds_it() {
        let mut held = SeqSet::new();
        [3, 9, 19].into_iter().for_each(|sequence| assert!(held.insert(sequence)));
        let found = Missing::count(&[1, 3, 9, 29], &held, |sequence| sequence % 10 == 9);
        assert_eq!(found, Missing { lost: 2, blocked: 1, not_set_aside: 1 });
        assert!(found.words().starts_with("1 poison message"));
        assert_eq!(Missing::count(&[], &held, |_| true).words(), "");
    }
}
