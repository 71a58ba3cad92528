//! The recovery probe, a new client beside the load's: every tenth of a second a publisher with a
//! connection of its own sends one message, until one is acknowledged; then once a second as long
//! as the fault is in force, which may not be felt at once. What the load's clients make of a fault
//! depends on their libraries; this does not.

use super::control::Context;
use super::spawn::bodies;
use crate::clock::Clock;
use crate::driver::{Driver, DriverError, Outcome, Outgoing};
use crate::payload::Envelope;
use std::time::Duration;

/// Who publishes for the probe. The books know no such producer: consumers and audit pass its
/// messages over.
pub const RECOVERY_PROBE: u16 = u16::MAX;

/// A compacted topic takes nothing without.
const KEY: &[u8] = b"probe";

/// From one try to the next.
const EVERY_NS: u64 = 100_000_000;
/// From one try to the next while all is well: a new client each time costs the broker something.
const AGAIN_NS: u64 = 1_000_000_000;
/// How long connecting may take, and then the answer: what hangs is given up, as a new client would
/// not have hung there.
const TRY_NS: u64 = 2_000_000_000;

/// Since when somebody new is acknowledged each time; `None` when `stop` comes before. `lane` tells
/// probes apart.
pub fn acknowledged_since(
    of: Context<'_>,
    lane: usize,
    in_force: &dyn Fn() -> bool,
    stop: &dyn Fn() -> bool,
) -> Option<u64> {
    let Context { cell, run, clock, driver, .. } = of;
    let mut bodies = bodies(cell, cell.seed).ok()?;
    let (mut sequence, mut since) = (0, None);
    while !stop() {
        let began_ns = clock.now_ns();
        let lane = (lane % usize::from(u16::MAX)) as u16;
        let envelope =
            Envelope { run, producer: RECOVERY_PROBE, lane, sequence, planned_ns: began_ns };
        let lasting = in_force();
        match publish(driver, bodies.stamped(&envelope), clock, stop) {
            Ok(Some(at_ns)) => {
                since.get_or_insert(at_ns);
                if !lasting {
                    break;
                }
            }
            // Cut short says nothing.
            _ if stop() => break,
            _ => since = None,
        }
        sequence += 1;
        let due_ns = began_ns + if since.is_some() { AGAIN_NS } else { EVERY_NS };
        while clock.now_ns() < due_ns && (since.is_none() || in_force()) && !stop() {
            std::thread::sleep(clock.until(due_ns.min(clock.now_ns() + EVERY_NS)));
        }
    }
    since
}

fn publish(
    driver: &dyn Driver,
    payload: &[u8],
    clock: Clock,
    stop: &dyn Fn() -> bool,
) -> Result<Option<u64>, DriverError> {
    let mut publisher = driver.probe_publisher(Duration::from_nanos(TRY_NS))?;
    publisher.submit(Outgoing { slot: 0, key: KEY, payload, ..Outgoing::default() })?;
    publisher.flush()?;
    let deadline_ns = clock.now_ns() + TRY_NS;
    let mut completions = Vec::new();
    while completions.is_empty() && clock.now_ns() < deadline_ns && !stop() {
        publisher.wait(deadline_ns.min(clock.now_ns() + EVERY_NS), &mut completions)?;
        if completions.is_empty() {
            // What waits without blocking must not be asked without a pause.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let acked = completions.iter().find(|completion| completion.outcome == Outcome::Acked);
    Ok(acked.map(|completion| completion.at_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::fake::{Behaviour, Fake, Harm};
    use crate::engine::control::Control;
    use crate::model::System;
    use crate::scenario::{Cell, Load};
    use crate::schedule::Share;
    use crate::units::Rate;
    use std::sync::atomic::AtomicBool;

    /// Refuses these, and answers all others at once.
    fn refusing(numbers: &[u64], clock: Clock) -> Fake {
        let harms = numbers.iter().map(|number| (*number, Harm::Refuse)).collect();
        Fake::new(Behaviour { harms, delay_ns: 1_000_000, ..Behaviour::default() }, 0, clock)
    }

    fn since(
        fake: &Fake,
        clock: Clock,
        in_force: &dyn Fn() -> bool,
        stop: &dyn Fn() -> bool,
    ) -> Option<u64> {
        let cell = Cell::plain(System::Fake, Load::open(Rate::per_second(1000)));
        let (control, interrupted) = (&Control::new(1), &AtomicBool::new(false));
        let share = Share::whole(cell.load.clients());
        let of = Context {
            cell: &cell,
            share,
            block: 1,
            run: 7,
            clock,
            driver: fake,
            control,
            interrupted,
        };
        acknowledged_since(of, 0, in_force, stop)
    }

    #[test]
    fn it_tries_until_it_is_acknowledged() {
        let clock = Clock::start();
        let fake = refusing(&[0, 1], clock);
        let began_ns = clock.now_ns();
        let at_ns = since(&fake, clock, &|| false, &|| false).unwrap();
        assert!(
            at_ns >= began_ns + 2 * EVERY_NS,
            "one try in a tenth of a second: {}",
            at_ns - began_ns
        );
    }

    /// A primary that is cut off takes messages until it notices.
    #[test]
    fn an_outage_that_comes_later_counts_while_the_fault_is_in_force() {
        let clock = Clock::start();
        let fake = refusing(&[2, 3], clock);
        let began_ns = clock.now_ns();
        let in_force = || clock.now_ns() < began_ns + 3 * AGAIN_NS;
        let at_ns = since(&fake, clock, &in_force, &|| false).unwrap();
        let least = began_ns + 2 * AGAIN_NS + 2 * EVERY_NS;
        assert!(at_ns >= least, "after two that were refused: {}", at_ns - began_ns);
    }

    #[test]
    fn it_ends_when_told_to() {
        let clock = Clock::start();
        let fake =
            Fake::new(Behaviour { delay_ns: u64::MAX / 4, ..Behaviour::default() }, 0, clock);
        let until_ns = clock.now_ns() + 2 * EVERY_NS;
        assert_eq!(since(&fake, clock, &|| true, &|| clock.now_ns() > until_ns), None);
        assert!(clock.now_ns() > until_ns);
    }
}
