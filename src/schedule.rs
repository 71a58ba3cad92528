//! When messages are due: pure arithmetic from rate and seed,
//! as nanoseconds after the start of the load.
//!
//! No clock is read here and none may be: the plan must not know whether anybody keeps it. That is
//! what corrects latencies for coordinated omission by construction.

mod shard;
mod staged;

use crate::random::SplitMix64;
use crate::units::Rate;
use staged::{Gaps, Staged};

pub use shard::{Clients, Placement, Shard, Share};
pub use staged::Stage;

/// An endless plan of due times for one producer, never decreasing.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Equal spacing, exact: message i of all producers together is due at i / rate, rounded down
    /// to a nanosecond.
    Constant {
        due_ns: u64,
        /// Remainder of the division, in parts of `micro_per_s`.
        remainder: u64,
        step_ns: u64,
        step_remainder: u64,
        micro_per_s: u64,
    },
    /// Exponential gaps: arrivals without memory, which queue as real ones do.
    Poisson { due_ns: f64, mean_gap_ns: f64, rng: SplitMix64 },
    /// Rates that change in the measured window.
    Staged(Staged),
}

const NS_TIMES_MICRO: u64 = 1_000_000_000_000_000;

impl Schedule {
    /// Equal spacing over `producers` producers, of which this is number `producer`. `rate` is of
    /// all together.
    pub fn constant(rate: Rate, producer: u16, producers: u16) -> Self {
        Self::spaced(rate.micro_per_s().max(1), producer, producers)
    }

    /// Each message in the middle of its share of time:
    /// as the second of two producers at twice the rate.
    pub fn centred(rate: Rate) -> Self {
        Self::spaced(rate.micro_per_s().max(1).saturating_mul(2), 1, 2)
    }

    fn spaced(micro_per_s: u64, producer: u16, producers: u16) -> Self {
        let scaled = |i: u16| {
            let total = u128::from(i) * u128::from(NS_TIMES_MICRO);
            ((total / u128::from(micro_per_s)) as u64, (total % u128::from(micro_per_s)) as u64)
        };
        let (due_ns, remainder) = scaled(producer);
        let (step_ns, step_remainder) = scaled(producers);
        Self::Constant { due_ns, remainder, step_ns, step_remainder, micro_per_s }
    }

    /// Poisson arrivals; the sum of independent Poisson streams is one at the sum of their rates.
    pub fn poisson(rate: Rate, producer: u16, producers: u16, seed: u64) -> Self {
        let mut rng = SplitMix64::stream(seed, u64::from(producer));
        let mean_gap_ns = 1e9 * f64::from(producers) / rate.per_s().max(1e-6);
        let due_ns = -rng.unit().ln() * mean_gap_ns;
        Self::Poisson { due_ns, mean_gap_ns, rng }
    }

    /// At `rate` until the measured window begins, then as the stages say. `seed`: exponential
    /// gaps.
    pub fn staged(
        rate: Rate,
        stages: &[Stage],
        producer: u16,
        producers: u16,
        seed: Option<u64>,
    ) -> Self {
        let producers = f64::from(producers);
        let gaps = match seed {
            None => Gaps::Even { producers },
            Some(seed) => {
                let rng = SplitMix64::stream(seed, u64::from(producer));
                Gaps::Exponential { producers, rng }
            }
        };
        Self::Staged(Staged::new(rate, stages, f64::from(producer), gaps))
    }

    /// Tells a plan with stages when the window begins, in ns after the start of the load: before
    /// anything has been taken from it that is due then or later.
    pub fn begin_stages(&mut self, window_ns: u64) {
        if let Self::Staged(plan) = self {
            plan.begin(window_ns);
        }
    }

    /// When the next message is due.
    #[inline]
    pub fn due_ns(&self) -> u64 {
        match self {
            Self::Staged(plan) => plan.due_ns(),
            Self::Constant { due_ns, .. } => *due_ns,
            Self::Poisson { due_ns, .. } => *due_ns as u64,
        }
    }

    /// Moves on to the message after it.
    #[inline]
    pub fn advance(&mut self) {
        match self {
            Self::Constant { due_ns, remainder, step_ns, step_remainder, micro_per_s } => {
                *due_ns += *step_ns;
                *remainder += *step_remainder;
                if *remainder >= *micro_per_s {
                    *remainder -= *micro_per_s;
                    *due_ns += 1;
                }
            }
            Self::Poisson { due_ns, mean_gap_ns, rng } => {
                *due_ns += -rng.unit().ln() * *mean_gap_ns
            }
            Self::Staged(plan) => plan.advance(),
        }
    }
}

impl Iterator for Schedule {
    type Item = u64;
    fn next(&mut self) -> Option<u64> {
        let due = self.due_ns();
        self.advance();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn constant_spacing_is_exact_for_ever() {
        let third = Schedule::constant(Rate::per_second(3), 0, 1);
        assert_eq!(
            third.clone().take(4).collect::<Vec<_>>(),
            [0, 333_333_333, 666_666_666, 1_000_000_000]
        );
        assert_eq!(third.into_iter().nth(3_000_000), Some(1_000_000_000_000_000));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let n = 200_000;
        let due: Vec<u64> = Schedule::poisson(Rate::per_second(1000), 0, 1, 42).take(n).collect();
        let gaps: Vec<f64> = due.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.01, "mean gap {mean} ns");
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.02,
            "coefficient of variation {}",
            variance.sqrt() / mean
        );
    }

    #[test]
    fn the_seed_decides() {
        let take = |seed| {
            Schedule::poisson(Rate::per_second(1000), 0, 1, seed).take(10).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    proptest! {
        #[test]
        fn producers_share_one_plan(rate in 1u64..2_000_000, producers in 1u16..9) {
            let mut shared: Vec<u64> = (0..producers)
                .flat_map(|p| Schedule::constant(Rate::per_second(rate), p, producers).take(50))
                .collect();
            shared.sort_unstable();
            let all = 50 * producers as usize;
            let alone: Vec<u64> =
                Schedule::constant(Rate::per_second(rate), 0, 1).take(all).collect();
            prop_assert_eq!(shared, alone);
        }
    }
}
