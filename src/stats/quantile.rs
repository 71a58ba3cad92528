//! How many samples a quantile needs: to be shown, and to carry a verdict. The one place that says
//! so.

use crate::model::Quantile;
use statrs::distribution::{DiscreteCDF, Poisson};

/// A quantile is shown with this many samples beyond it.
pub const SHOWN_BEYOND: u64 = 10;
/// A quantile carries a verdict with this many samples beyond it, and a rate with this many
/// messages.
pub const DECISIVE_BEYOND: u64 = 100;

impl Quantile {
    pub fn shown(self, samples: u64) -> bool {
        samples >= self.samples_to_show()
    }

    pub fn samples_to_show(self) -> u64 {
        self.samples_for(SHOWN_BEYOND)
    }

    pub fn samples_to_decide(self) -> u64 {
        self.samples_for(DECISIVE_BEYOND)
    }

    /// The least number of samples of which `beyond` lie beyond it.
    fn samples_for(self, beyond: u64) -> u64 {
        (beyond * 1_000_000).div_ceil(self.beyond_millionths().into())
    }
}

/// The chance that `enough` samples come where they come at random, `expected` on average.
pub fn chance_of(enough: f64, expected: f64) -> f64 {
    let before = enough.ceil().max(1.0) as u64 - 1;
    Poisson::new(expected).map_or(0.0, |arrivals| arrivals.sf(before))
}

/// The quantile that `metric` names, or the highest below it that `samples` can carry.
pub fn highest_quantile(metric: &str, samples: u64) -> Quantile {
    let wanted = Quantile::of_metric(metric).unwrap_or(Quantile::P99);
    if wanted.shown(samples) {
        return wanted;
    }
    let lower = Quantile::REPORTED.into_iter().rev().find(|q| q < &wanted && q.shown(samples));
    lower.unwrap_or(Quantile::P50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_needed_on_average_come_half_of_the_time() {
        let chance = |expected| chance_of(Quantile::P99.samples_to_decide() as f64, expected);
        assert!((chance(10_000.0) - 0.5).abs() < 0.01, "{}", chance(10_000.0));
        assert!(chance(10_300.0) > 0.998 && chance(9_700.0) < 0.002);
        assert_eq!(chance(0.0), 0.0);
    }

    #[test]
    fn ten_samples_show_and_a_hundred_decide() {
        let needed = |name: &str| {
            let quantile: Quantile = name.parse().unwrap();
            (quantile.samples_to_show(), quantile.samples_to_decide())
        };
        assert_eq!(needed("p50"), (20, 200));
        assert_eq!(needed("p99"), (1000, 10_000));
        assert_eq!(needed("p99.99"), (100_000, 1_000_000));
        assert_eq!(needed("p97"), (334, 3334));
        assert!(!Quantile::P99.shown(999) && Quantile::P99.shown(1000));
        assert_eq!(highest_quantile("publish.p99", 500), Quantile::P90);
        assert_eq!(highest_quantile("publish.p99", 5), Quantile::P50);
    }
}
