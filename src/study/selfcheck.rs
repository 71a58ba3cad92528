//! `brokerbench selfcheck`: the whole instrument, pacer to ledger, against a fake broker whose
//! truth is known.
//!
//! Each oracle states what must come out before it looks. None of them asks how fast this machine
//! is; those that depend on waking in time allow for a busy machine, and no more.

use crate::clock::Clock;
use crate::driver::fake::{Behaviour, Fake, Harm, Outage};
use crate::engine::{CellRun, CellRunError};
use crate::model::{Latency, System};
use crate::random::SplitMix64;
use crate::result::{CellOutput, Gate};
use crate::scenario::{Arrivals, Cell, FaultAction, FaultPlan, Load, Message};
use crate::schedule::Schedule;
use crate::stats::compare::{GeometricMean, Side, decide_one};
use crate::units::{Rate, Span};
use std::sync::atomic::AtomicBool;

/// One oracle's finding.
#[derive(Clone, Debug)]
pub struct Oracle {
    pub name: &'static str,
    pub expected: String,
    pub found: String,
    pub passed: bool,
}

type Examine = fn(&AtomicBool) -> Result<Oracle, CellRunError>;

/// Runs every oracle, about 18 s. `report` is called with each finding as it comes.
pub fn run(
    interrupted: &AtomicBool,
    report: &mut dyn FnMut(&Oracle),
) -> Result<Vec<Oracle>, CellRunError> {
    let oracles: [Examine; 8] =
        [fixed_delay, stall, queue, books, outage, generator_stall, queue_arithmetic, equal_pairs];
    let mut findings = Vec::new();
    for oracle in oracles {
        let finding = oracle(interrupted)?;
        report(&finding);
        findings.push(finding);
    }
    Ok(findings)
}

const MS: u64 = 1_000_000;

/// Every message takes 5 ms, so every quantile of every latency is 5 ms.
fn fixed_delay(interrupted: &AtomicBool) -> Result<Oracle, CellRunError> {
    let delay = 5 * MS;
    let behaviour = Behaviour { delay_ns: delay, ..Behaviour::default() };
    let output = one_cell(behaviour, load(1000, 2), None, interrupted)?;
    let of = |latency, q| output.merged(latency).value_at_quantile(q);
    let found = [of(Latency::Publish, 0.5), of(Latency::EndToEnd, 0.5), of(Latency::Service, 0.99)];
    let counts = &output.record.counts;
    Ok(Oracle {
        name: "fixed delay",
        expected: "publish p50 and end-to-end p50 5.0 ms ± 10 %, service p99 5.0 ms ± 10 %, all \
            that was planned sent"
            .into(),
        found: format!(
            "{}, {} of {} sent",
            found.map(ms).join(" / "),
            show(counts.sent),
            show(counts.planned)
        ),
        passed: found.iter().all(|ns| near(*ns, delay, 0.1)) && counts.planned == counts.sent,
    })
}

/// A stall of S in a window of D: quantile q above 1 − S/D reads S − (1 − q)·D. This is what
/// coordinated omission hides.
fn stall(interrupted: &AtomicBool) -> Result<Oracle, CellRunError> {
    let (stall, window) = (400 * MS, 4_000 * MS);
    let behaviour = Behaviour { stall: Some((2_500 * MS, stall)), ..Behaviour::default() };
    let output = one_cell(behaviour, load(1000, 4), None, interrupted)?;
    let [p95, p99] = [0.95, 0.99].map(|q| stall - ((1.0 - q) * window as f64) as u64);
    let found = |latency| [0.95, 0.99].map(|q| output.merged(latency).value_at_quantile(q));
    let found = [found(Latency::Publish), found(Latency::EndToEnd)];
    Ok(Oracle {
        name: "stall",
        expected: format!("publish and end-to-end p95 {}, p99 {} ± 2 %", ms(p95), ms(p99)),
        found: found.map(|both| both.map(ms).join(" ")).join(" and "),
        passed: found.iter().all(|both| near(both[0], p95, 0.02) && near(both[1], p99, 0.02)),
    })
}

/// M/D/1 through the whole instrument: the arrivals are seeded, so Lindley's recursion on the plan
/// gives the exact mean.
fn queue(interrupted: &AtomicBool) -> Result<Oracle, CellRunError> {
    // Long enough that what a busy machine adds to each message stays far below the tolerance.
    let (service, rate) = (4 * MS, 125);
    let behaviour = Behaviour { service_ns: service, ..Behaviour::default() };
    let poisson = Load { arrivals: Arrivals::Poisson, ..load(rate, 3) };
    let output = one_cell(behaviour, poisson, None, interrupted)?;
    let all = output.merged(Latency::Publish);
    let window =
        (output.record.window_start_ns.unwrap_or(0), output.record.window_end_ns.unwrap_or(0));
    // The load's start is the epoch of the plan; warm-up tells where the window begins in it.
    let from = output.record.warm_up_ns;
    let until = from + (window.1 - window.0);
    let plan = Schedule::poisson(Rate::per_second(rate), 0, 1, SEED).take_while(|due| *due < until);
    let took: Vec<u64> = served(plan, service)
        .filter(|(due, _)| *due >= from)
        .map(|(due, done)| done - due)
        .collect();
    let (count, truth) = (took.len() as u64, took.iter().sum::<u64>() / took.len().max(1) as u64);
    Ok(Oracle {
        name: "queue (M/D/1 at half load)",
        expected: format!("mean publish latency {} ± 10 % over {count} messages", ms(truth)),
        found: format!("{} over {}", ms(all.mean() as u64), all.len()),
        passed: near(all.mean() as u64, truth, 0.1) && all.len() == count,
    })
}

/// When each message of a plan is due and done, where one after the other takes `service_ns`.
fn served(plan: impl Iterator<Item = u64>, service_ns: u64) -> impl Iterator<Item = (u64, u64)> {
    plan.scan(0, move |free_at, due| {
        *free_at = due.max(*free_at) + service_ns;
        Some((due, *free_at))
    })
}

/// M/D/1 by arithmetic alone: the seeded arrivals queue as theory says, λd²/(2(1−λd)).
fn queue_arithmetic(_: &AtomicBool) -> Result<Oracle, CellRunError> {
    let (rate, service_s) = (500.0, 0.001);
    let truth_ns = 1e9 * rate * service_s * service_s / (2.0 * (1.0 - rate * service_s));
    let messages = 2_000_000;
    let plan = Schedule::poisson(Rate::per_second(500), 0, 1, SEED).take(messages);
    let found =
        served(plan, MS).map(|(due, done)| (done - MS - due) as f64).sum::<f64>() / messages as f64;
    Ok(Oracle {
        name: "Poisson arrivals",
        expected: format!("mean wait λd²/(2(1−λd)) = {} ± 5 %", ms(truth_ns as u64)),
        found: ms(found as u64),
        passed: near(found as u64, truth_ns as u64, 0.05),
    })
}

/// One of each kind of harm, and every one in its own column of the books.
fn books(interrupted: &AtomicBool) -> Result<Oracle, CellRunError> {
    let harms = [
        (Harm::AckThenLose, 100..103),
        (Harm::Withhold, 200..202),
        (Harm::DuplicateDelivery, 300..304),
        (Harm::Swap, 400..401),
        (Harm::Swap, 420..421),
        (Harm::CorruptDelivery, 500..501),
        (Harm::Refuse, 600..602),
        (Harm::RefuseYetDeliver, 700..701),
        (Harm::Abort, 800..802),
        (Harm::AbortYetDeliver, 900..901),
    ];
    let harms = harms
        .into_iter()
        .flat_map(|(harm, numbers)| numbers.map(move |number| (number, harm)))
        .collect();
    let behaviour = Behaviour { delay_ns: MS, harms, keep: true, ..Behaviour::default() };
    let output = one_cell(behaviour, load(2000, 1), None, interrupted)?;
    let c = &output.record.counts;
    // What is found in each column, and the truth.
    let columns = [
        ("lost", c.lost, 3),
        ("broker_lost", c.broker_lost, 3),
        // Corrupt arrives, but not as itself: of the messages that are owed it is undelivered, for
        // the broker still has it.
        ("undelivered", c.undelivered, 3),
        ("duplicate", c.duplicate, 4),
        ("reordered", c.reordered, 2),
        ("corrupt", c.corrupt, 1),
        ("failed", c.failed, 3),
        ("phantom", c.phantom, 1),
        ("aborted", c.aborted, 3),
        ("aborted_read", c.aborted_read, 1),
        ("indeterminate", c.indeterminate, 0),
    ];
    let expected = columns.map(|(name, _, truth)| format!("{name} {truth}")).join(", ");
    let found = columns.map(|(name, found, _)| format!("{name} {}", show(found))).join(", ");
    let balanced =
        c.acked == c.delivered.zip(c.undelivered).zip(c.lost).map(|((d, u), l)| d + u + l);
    Ok(Oracle {
        name: "books",
        expected: expected + ", acked = delivered + undelivered + lost",
        found: found + if balanced { ", balanced" } else { ", NOT balanced" },
        passed: columns.iter().all(|(_, found, truth)| *found == Some(*truth)) && balanced,
    })
}

/// An outage of known length that takes a known number of acknowledged messages with it: RTO and
/// RPO as they are.
fn outage(interrupted: &AtomicBool) -> Result<Oracle, CellRunError> {
    let (length, forgets) = (400 * MS, 123);
    let outage = Outage { from_ns: 300 * MS, length_ns: length, forgets, ..Outage::default() };
    let behaviour =
        Behaviour { delay_ns: MS, outages: vec![outage], keep: true, ..Behaviour::default() };
    let output = one_cell(behaviour, load(2000, 1), None, interrupted)?;
    let fault = output.record.faults.first().cloned().unwrap_or_default();
    let show_ms = |ns: Option<u64>| ns.map_or("unknown".into(), ms);
    let timed = [fault.rto_publish_ns, fault.rto_deliver_ns, fault.rto_90_ns];
    let near = |found: &Option<u64>| found.is_some_and(|found| found.abs_diff(length) <= 150 * MS);
    Ok(Oracle {
        name: "outage",
        expected: format!(
            "RTO publish, deliver and 90 % {} ± 150 ms, RPO {forgets} messages",
            ms(length)
        ),
        found: format!(
            "{}, RPO {} messages",
            timed.map(show_ms).join(" / "),
            show(fault.rpo_messages)
        ),
        passed: timed.iter().all(near) && fault.rpo_messages == Some(forgets as u64),
    })
}

/// A generator that stalls must be found out by its own gates, not blamed on the broker.
fn generator_stall(interrupted: &AtomicBool) -> Result<Oracle, CellRunError> {
    let behaviour = Behaviour { delay_ns: MS, ..Behaviour::default() };
    let disturb = Some((2_000 * MS, 300 * MS));
    let output = one_cell(behaviour, load(1000, 3), disturb, interrupted)?;
    let gate = output.record.gates.iter().find(|gate| gate.name == "schedule-lag");
    let refused = gate.is_some_and(Gate::spoils);
    Ok(Oracle {
        name: "generator stall of 300 ms",
        expected: "the schedule-lag gate fails and blames the harness".into(),
        found: gate.map_or("no gate".into(), |gate| {
            format!(
                "{}, limit {}: {}",
                gate.found,
                gate.limit,
                if gate.failed() { "failed" } else { "held" }
            )
        }),
        passed: refused,
    })
}

/// Two equal systems, measured many times over with 5 % drift between blocks and 3 % spread between
/// runs: a verdict "faster" or "slower" must be rare.
fn equal_pairs(_: &AtomicBool) -> Result<Oracle, CellRunError> {
    const STUDIES: usize = 400;
    const BLOCKS: usize = 5;
    /// Those that the claims on speed are held to.
    const LIMITS: [(Side, f64); 2] = [(Side::Above, 1.05), (Side::Below, 0.95)];
    let mut rng = SplitMix64::new(SEED);
    let mut log_normal = |spread: f64| {
        let (radius, angle) = ((-2.0 * rng.unit().ln()).sqrt(), std::f64::consts::TAU * rng.unit());
        (spread * radius * angle.cos()).exp()
    };
    let mut claimed = 0;
    for _ in 0..STUDIES {
        let ratios: Vec<f64> = (0..BLOCKS)
            .map(|_| {
                let drift = log_normal(0.05);
                let (a, b) = (drift * log_normal(0.03), drift * log_normal(0.03));
                a / b
            })
            .collect();
        let ratio = GeometricMean::of(&ratios);
        let shown = |(side, limit)| decide_one(ratio, side, limit) == Ok(true);
        claimed += usize::from(LIMITS.into_iter().any(shown));
    }
    Ok(Oracle {
        name: "equal systems (A/A)",
        expected: format!(
            "a difference beyond the margin claimed in at most 5 % of {STUDIES} studies"
        ),
        found: format!("{claimed} claimed"),
        passed: claimed * 20 <= STUDIES,
    })
}

const SEED: u64 = 42;

/// Open loop at a constant rate: a window of `seconds`, warm-up of at least one.
fn load(rate: u64, seconds: u64) -> Load {
    Load {
        warm_up: Span::from_millis(600),
        warm_up_limit: Span::from_millis(600),
        duration: Span::from_secs(seconds),
        in_flight: 100_000,
        drain: Span::from_secs(2),
        ..Load::open(Rate::per_second(rate))
    }
}

/// One cell on a fake broker.
fn one_cell(
    behaviour: Behaviour,
    load: Load,
    disturb: Option<(u64, u64)>,
    interrupted: &AtomicBool,
) -> Result<CellOutput, CellRunError> {
    let clock = Clock::start();
    let played = |_: &Outage| FaultPlan::new(FaultAction::Pause, Span(0));
    let cell = Cell {
        message: Message::random(100),
        // The fake broker plays its outages itself; the plan only says that recovery is to be
        // judged.
        faults: behaviour.outages.iter().map(played).collect(),
        primary: "publish.p99".into(),
        seed: SEED,
        ..Cell::plain(System::Fake, load)
    };
    let fake = Fake::new(behaviour, 1, clock);
    CellRun { run: 0xFA4E, interrupted, disturb, ..CellRun::new(&cell, clock) }.run(&fake)
}

fn near(found: u64, truth: u64, tolerance: f64) -> bool {
    found.abs_diff(truth) as f64 <= truth as f64 * tolerance
}

fn ms(ns: u64) -> String {
    format!("{:.2} ms", ns as f64 / 1e6)
}

fn show(count: Option<u64>) -> String {
    count.map_or("unknown".into(), |count| count.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "measures time: runs alone in scripts/test"]
    fn every_oracle_comes_true() {
        let mut failed = Vec::new();
        run(&AtomicBool::new(false), &mut |oracle| {
            println!("{oracle:?}");
            if !oracle.passed {
                failed.push(oracle.name);
            }
        })
        .unwrap();
        assert!(failed.is_empty(), "{failed:?}");
    }
}
