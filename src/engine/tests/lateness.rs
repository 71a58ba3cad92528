//! Whose lateness it is: what the generator does to itself is found, also where the broker holds it
//! up, and where another stage is slower still. The sleeps are lower limits, so that a busy machine
//! changes nothing.

use super::*;
use crate::result::Gate;
use crate::schedule::Stage;

/// The gate on the generator's own lag, of a generator that sleeps (after, for how long), ms.
fn lag_gate(load: Load, behaviour: Behaviour, (after, length): (u64, u64)) -> Gate {
    let cell = Cell { load, ..cell(1, 1, Vec::new()) };
    let clock = Clock::start();
    let fake = Fake::new(Behaviour { keep: true, ..behaviour }, 1, clock);
    let disturb = Some((after * MS, length * MS));
    let record = CellRun { disturb, ..CellRun::new(&cell, clock) }.run(&fake).unwrap().record;
    record.gates.into_iter().find(|gate| gate.name == "schedule-lag").unwrap()
}

/// The broker answers nothing from 1.0 to 1.4 s, all 200 are in flight from 1.2 s on, and from 1.3
/// to 1.7 s the generator sleeps: of what it sends then the broker has held up a half.
#[test]
fn back_pressure_excuses_no_sleep() {
    let load = Load { in_flight: 200, messages: Some(2000), ..Load::open(Rate::per_second(1000)) };
    let load = load.brief(Span::from_secs(1));
    let stall = Some((1000 * MS, 400 * MS));
    let behaviour = Behaviour { delay_ns: MS, stall, ..Behaviour::default() };
    let gate = lag_gate(load, behaviour, (1300, 400));
    assert!(gate.failed() && gate.spoils(), "{gate:?}");
}

/// Against the latencies of the second stage, of which each takes half a second and more, the sleep
/// in the first would be little.
#[test]
fn a_calm_stage_does_not_hide_behind_a_slow_one() {
    let stage = |rate, seconds| {
        let rate = Rate::per_second(rate);
        Stage { from: rate, to: rate, length: Span::from_secs(seconds) }
    };
    let load = Load { in_flight: 20_000, ..Load::open(Rate::per_second(500)) };
    let mut load = load.brief(Span::from_secs(5));
    load.stages = vec![stage(500, 3), stage(4000, 2)];
    load.drain = Span::from_secs(10);
    let behaviour = Behaviour { service_ns: 500_000, ..Behaviour::default() };
    // The window begins within 1.3 s.
    let gate = lag_gate(load, behaviour, (2000, 100));
    assert!(gate.failed() && gate.found.contains("p99 of stage 1"), "{gate:?}");
}
