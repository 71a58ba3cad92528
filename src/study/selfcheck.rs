//! `brokerbench selfcheck`: the whole instrument, pacer to ledger, against a fake broker whose truth is known.
//!
//! Each oracle states what must come out before it looks. None of them asks how fast this machine is; those that
//! depend on waking in time allow for a busy machine, and no more.

use crate::clock::Clock;
use crate::driver::fake::{Behaviour, Fake, Harm, Outage};
use crate::engine::{CellRun, TrialError};
use crate::model::{Latency, System};
use crate::random::SplitMix64;
use crate::result::{Blame, CellOutput};
use crate::scenario::{Arrivals, Cell, FaultAction, FaultPlan, Load, Message};
use crate::schedule::Schedule;
use crate::stats::compare::{GeometricMean, Side, decide};
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

type Examine = fn(&AtomicBool) -> Result<Oracle, TrialError>;

/// Runs every oracle, about 18 s. `report` is called with each finding as it comes.
pub fn run(interrupted: &AtomicBool, report: &mut dyn FnMut(&Oracle)) -> Result<Vec<Oracle>, TrialError> {
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
fn fixed_delay(interrupted: &AtomicBool) -> Result<Oracle, TrialError> {
    let delay = 5 * MS;
    let output = one_cell(
        Behaviour { delay_ns: delay, ..Behaviour::default() },
        1000,
        2,
        Arrivals::Constant,
        None,
        interrupted,
    )?;
    let (publish, service, arrived) =
        (output.merged(Latency::Publish), output.merged(Latency::Service), output.merged(Latency::EndToEnd));
    let (p50, e50, s99) =
        (publish.value_at_quantile(0.5), arrived.value_at_quantile(0.5), service.value_at_quantile(0.99));
    let sent_all = output.record.counts.planned == output.record.counts.sent;
    Ok(Oracle {
        name: "fixed delay",
        expected: "publish p50 and end-to-end p50 5.0 ms ± 10 %, service p99 5.0 ms ± 10 %, all that was planned sent"
            .into(),
        found: format!(
            "{} / {} / {}, {} of {} sent",
            ms(p50),
            ms(e50),
            ms(s99),
            show(output.record.counts.sent),
            show(output.record.counts.planned)
        ),
        passed: near(p50, delay, 0.1) && near(e50, delay, 0.1) && near(s99, delay, 0.1) && sent_all,
    })
}

/// A stall of S in a window of D: quantile q above 1 − S/D reads S − (1 − q)·D. This is what coordinated omission hides.
fn stall(interrupted: &AtomicBool) -> Result<Oracle, TrialError> {
    let (stall, window) = (400 * MS, 4_000 * MS);
    let behaviour = Behaviour { stall: Some((2_500 * MS, stall)), ..Behaviour::default() };
    let output = one_cell(behaviour, 1000, 4, Arrivals::Constant, None, interrupted)?;
    let expect = |q: f64| stall - ((1.0 - q) * window as f64) as u64;
    let found = |metric| {
        let all = output.merged(metric);
        [0.95, 0.99].map(|q| all.value_at_quantile(q))
    };
    let (publish, arrived) = (found(Latency::Publish), found(Latency::EndToEnd));
    let truth = [0.95, 0.99].map(expect);
    let passed =
        publish.iter().chain(&arrived).zip(truth.iter().cycle()).all(|(found, truth)| near(*found, *truth, 0.02));
    Ok(Oracle {
        name: "stall",
        expected: format!("publish and end-to-end p95 {}, p99 {} ± 2 %", ms(truth[0]), ms(truth[1])),
        found: format!("{} {} and {} {}", ms(publish[0]), ms(publish[1]), ms(arrived[0]), ms(arrived[1])),
        passed,
    })
}

/// M/D/1 through the whole instrument: the arrivals are seeded, so Lindley's recursion on the plan gives the exact mean.
fn queue(interrupted: &AtomicBool) -> Result<Oracle, TrialError> {
    // Long enough that what a busy machine adds to each message stays far below the tolerance.
    let (service, rate) = (4 * MS, 125);
    let behaviour = Behaviour { service_ns: service, ..Behaviour::default() };
    let output = one_cell(behaviour, rate, 3, Arrivals::Poisson, None, interrupted)?;
    let all = output.merged(Latency::Publish);
    let window = (output.record.window_start_ns.unwrap_or(0), output.record.window_end_ns.unwrap_or(0));
    // The load's start is the epoch of the plan; warm-up tells where the window begins in it.
    let from = output.record.warm_up_ns;
    let until = from + (window.1 - window.0);
    let plan = Schedule::poisson(Rate::per_second(rate), 0, 1, SEED).take_while(|due| *due < until);
    let mut free_at = 0;
    let (mut sum, mut count) = (0.0, 0u64);
    for due in plan {
        free_at = free_at.max(due) + service;
        if due >= from {
            sum += (free_at - due) as f64;
            count += 1;
        }
    }
    let truth = sum / count.max(1) as f64;
    Ok(Oracle {
        name: "queue (M/D/1 at half load)",
        expected: format!("mean publish latency {} ± 10 % over {count} messages", ms(truth as u64)),
        found: format!("{} over {}", ms(all.mean() as u64), all.len()),
        passed: near(all.mean() as u64, truth as u64, 0.1) && all.len() == count,
    })
}

/// M/D/1 by arithmetic alone: the seeded arrivals queue as theory says, λd²/(2(1−λd)).
fn queue_arithmetic(_: &AtomicBool) -> Result<Oracle, TrialError> {
    let (rate, service_s) = (500.0, 0.001);
    let truth_ns = 1e9 * rate * service_s * service_s / (2.0 * (1.0 - rate * service_s));
    let messages = 2_000_000;
    let (mut free_at, mut sum) = (0u64, 0.0);
    for due in Schedule::poisson(Rate::per_second(500), 0, 1, SEED).take(messages) {
        let start = free_at.max(due);
        sum += (start - due) as f64;
        free_at = start + 1_000_000;
    }
    let found = sum / messages as f64;
    Ok(Oracle {
        name: "Poisson arrivals",
        expected: format!("mean wait λd²/(2(1−λd)) = {} ± 5 %", ms(truth_ns as u64)),
        found: ms(found as u64),
        passed: near(found as u64, truth_ns as u64, 0.05),
    })
}

/// One of each kind of harm, and every one in its own column of the books.
fn books(interrupted: &AtomicBool) -> Result<Oracle, TrialError> {
    let harms = [
        (Harm::AckThenLose, 100..103),
        (Harm::Withhold, 200..202),
        (Harm::DuplicateDelivery, 300..304),
        (Harm::Swap, 400..401),
        (Harm::Swap, 420..421),
        (Harm::CorruptDelivery, 500..501),
        (Harm::Refuse, 600..602),
        (Harm::RefuseYetDeliver, 700..701),
    ];
    let harms = harms.into_iter().flat_map(|(harm, numbers)| numbers.map(move |number| (number, harm))).collect();
    let behaviour = Behaviour { delay_ns: MS, harms, keep: true, ..Behaviour::default() };
    let output = one_cell(behaviour, 2000, 1, Arrivals::Constant, None, interrupted)?;
    let c = &output.record.counts;
    // Corrupt arrives, but not as itself: of the messages that are owed it is undelivered, for the broker still has it.
    let found = [
        c.lost,
        c.broker_lost,
        c.undelivered,
        c.duplicate,
        c.reordered,
        c.corrupt,
        c.failed,
        c.phantom,
        c.indeterminate,
    ];
    let truth = [3, 3, 3, 4, 2, 1, 3, 1, 0].map(Some);
    let words = |v: [Option<u64>; 9]| {
        let names = [
            "lost",
            "broker_lost",
            "undelivered",
            "duplicate",
            "reordered",
            "corrupt",
            "failed",
            "phantom",
            "indeterminate",
        ];
        names.iter().zip(v).map(|(name, value)| format!("{name} {}", show(value))).collect::<Vec<_>>().join(", ")
    };
    let balanced = c.acked == c.delivered.zip(c.undelivered).zip(c.lost).map(|((d, u), l)| d + u + l);
    Ok(Oracle {
        name: "books",
        expected: words(truth) + ", acked = delivered + undelivered + lost",
        found: words(found) + if balanced { ", balanced" } else { ", NOT balanced" },
        passed: found == truth && balanced,
    })
}

/// An outage of known length that takes a known number of acknowledged messages with it: RTO and RPO as they are.
fn outage(interrupted: &AtomicBool) -> Result<Oracle, TrialError> {
    let (length, forgets) = (400 * MS, 123);
    let outage = Outage { from_ns: 300 * MS, length_ns: length, forgets, ..Outage::default() };
    let behaviour = Behaviour { delay_ns: MS, outages: vec![outage], keep: true, ..Behaviour::default() };
    let output = one_cell(behaviour, 2000, 1, Arrivals::Constant, None, interrupted)?;
    let fault = output.record.faults.first().cloned().unwrap_or_default();
    let show_ms = |ns: Option<u64>| ns.map_or("unknown".into(), ms);
    let timed = [fault.rto_publish_ns, fault.rto_deliver_ns, fault.rto_90_ns];
    let near = |found: &Option<u64>| found.is_some_and(|found| found.abs_diff(length) <= 150 * MS);
    Ok(Oracle {
        name: "outage",
        expected: format!("RTO publish, deliver and 90 % {} ± 150 ms, RPO {forgets} messages", ms(length)),
        found: format!("{}, RPO {} messages", timed.map(show_ms).join(" / "), show(fault.rpo_messages)),
        passed: timed.iter().all(near) && fault.rpo_messages == Some(forgets as u64),
    })
}

/// A generator that stalls must be found out by its own gates, not blamed on the broker.
fn generator_stall(interrupted: &AtomicBool) -> Result<Oracle, TrialError> {
    let behaviour = Behaviour { delay_ns: MS, ..Behaviour::default() };
    let disturb = Some((2_000 * MS, 300 * MS));
    let output = one_cell(behaviour, 1000, 3, Arrivals::Constant, disturb, interrupted)?;
    let gate = output.record.gates.iter().find(|gate| gate.name == "schedule-lag");
    let refused = gate.is_some_and(|gate| !gate.held && gate.blames == Blame::Harness);
    Ok(Oracle {
        name: "generator stall of 300 ms",
        expected: "the schedule-lag gate fails and blames the harness".into(),
        found: gate.map_or("no gate".into(), |gate| {
            format!("{}, limit {}: {}", gate.found, gate.limit, if gate.held { "held" } else { "failed" })
        }),
        passed: refused,
    })
}

/// Two equal systems, measured many times over with 5 % drift between blocks and 3 % spread between runs: a verdict
/// "faster" or "slower" must be rare.
fn equal_pairs(_: &AtomicBool) -> Result<Oracle, TrialError> {
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
        let ratio = [GeometricMean::of(&ratios)];
        let shown = |(side, limit)| decide(&ratio, side, limit)[0] == Ok(true);
        claimed += usize::from(LIMITS.into_iter().any(shown));
    }
    Ok(Oracle {
        name: "equal systems (A/A)",
        expected: format!("a difference beyond the margin claimed in at most 5 % of {STUDIES} studies"),
        found: format!("{claimed} claimed"),
        passed: claimed * 20 <= STUDIES,
    })
}

const SEED: u64 = 42;

/// One open-loop cell on a fake broker: window of `seconds`, warm-up of at least one.
fn one_cell(
    behaviour: Behaviour,
    rate: u64,
    seconds: u64,
    arrivals: Arrivals,
    disturb: Option<(u64, u64)>,
    interrupted: &AtomicBool,
) -> Result<CellOutput, TrialError> {
    let clock = Clock::start();
    let played = |_: &Outage| FaultPlan::new(FaultAction::Pause, Span(0));
    let load = Load {
        arrivals,
        warm_up: Span::from_millis(600),
        warm_up_limit: Span::from_millis(600),
        duration: Span::from_secs(seconds),
        in_flight: 100_000,
        drain: Span::from_secs(2),
        ..Load::open(Rate::per_second(rate))
    };
    let cell = Cell {
        message: Message::random(100),
        // The fake broker plays its outages itself; the plan only says that recovery is to be judged.
        faults: behaviour.outages.iter().map(played).collect(),
        primary: "publish.p99".into(),
        seed: SEED,
        ..Cell::plain(System::Fake, load)
    };
    let fake = Fake::new(behaviour, 1, clock);
    CellRun::new(&cell, clock).named(1, 0xFA4E).until(interrupted).disturbed(disturb).run(&fake)
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
