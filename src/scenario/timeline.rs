//! When which fault is injected: from plans, seed and block to a sorted list of injections. Pure arithmetic.
//!
//! The same scenario, seed and block give the same moments for ever; another block gives others, so that a fault meets
//! the broker at every phase of what it does periodically.

use super::fault::{FaultPlan, Heal};
use crate::random::SplitMix64;
use crate::units::Span;

/// One injection. Times count from the start of the measured window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Which of the scenario's faults.
    pub plan: usize,
    pub at: Span,
    pub heal: Heal,
}

/// The part of `every` in which the phase is drawn.
pub(super) const PHASE: u64 = 10;

/// Every injection, in order of time.
pub fn timeline(plans: &[FaultPlan], seed: u64, block: u32) -> Vec<Injection> {
    let mut all: Vec<Injection> = plans
        .iter()
        .enumerate()
        .flat_map(|(plan, fault)| {
            let mut rng = SplitMix64::stream(seed, u64::from(block) << 32 | plan as u64);
            (0..fault.times.unwrap_or(1)).map(move |number| {
                let every = fault.every.unwrap_or(Span(0)).nanos();
                let phase = ((every / PHASE) as f64 * rng.unit()) as u64;
                let at = Span(fault.at.nanos() + every * u64::from(number) + phase);
                Injection { plan, at, heal: fault.heal() }
            })
        })
        .collect();
    all.sort_by_key(|injection| (injection.at, injection.plan));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{FaultAction, Lasts};

    fn plan(action: FaultAction, at_s: u64) -> FaultPlan {
        FaultPlan::new(action, Span::from_secs(at_s))
    }

    #[test]
    fn a_fault_that_comes_once_comes_when_it_says() {
        let plans = [plan(FaultAction::Pause, 9), plan(FaultAction::Kill, 5)];
        let found = timeline(&plans, 42, 1);
        let expected = [
            Injection { plan: 1, at: Span::from_secs(5), heal: Heal::After(Span(0)) },
            Injection { plan: 0, at: Span::from_secs(9), heal: Heal::AtEnd },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn repeated_ones_keep_their_distance_and_meet_every_phase() {
        let repeated = FaultPlan {
            every: Some(Span::from_secs(20)),
            times: Some(200),
            lasts: Some(Lasts::For(Span::from_secs(2))),
            ..plan(FaultAction::Kill, 5)
        };
        let found = timeline(std::slice::from_ref(&repeated), 7, 1);
        assert_eq!(found.len(), 200);
        let phases: Vec<u64> = (0..).zip(&found).map(|(n, at)| at.at.nanos() - (5 + 20 * n) * 1_000_000_000).collect();
        assert!(phases.iter().all(|phase| *phase <= 2_000_000_000), "within the first tenth");
        // Evenly: a tenth of them in each tenth of the phase, give or take what chance gives.
        for tenth in 0..10 {
            let hit = phases.iter().filter(|phase| *phase * 10 / 2_000_000_001 == tenth).count();
            assert!((5..=40).contains(&hit), "{tenth}: {hit}");
        }
        assert_eq!(found, timeline(std::slice::from_ref(&repeated), 7, 1), "the same for ever");
        assert_ne!(found, timeline(std::slice::from_ref(&repeated), 7, 2), "other moments in another block");
        assert_ne!(found, timeline(&[repeated], 8, 1), "and with another seed");
    }
}
