//! What a comparison of so many rounds can show, and how many rounds a difference takes: by the
//! spread of the logarithm of a ratio from round to round.
//!
//! A round's quantile of few samples is uncertain, and that is a part of this spread, as the
//! machine's and the broker's moods are. So many short windows can do what few long ones cannot.

use super::compare::{ALPHA, GeometricMean, LEAST_BLOCKS, LEAST_MARGIN};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// With this chance a difference is to be shown where it is true.
pub const POWER: f64 = 0.9;
/// More rounds are no plan.
pub const MOST_ROUNDS: usize = 200;

/// How a ratio will be judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Design {
    pub rounds: usize,
    /// Claims of which some may be chosen: Holm's strictest level is 5 % divided by them.
    pub family: usize,
    /// The ratio must lie beyond this, as a factor above 1.
    pub limit: f64,
    /// Whether the study carries one system twice, whose interval is its margin.
    pub margin: bool,
}

impl Design {
    /// The least true ratio, as a factor above 1, that is shown with [`POWER`] where the logarithms
    /// of ratios spread by `sd`.
    pub fn shows(&self, sd: f64) -> Option<f64> {
        let error = sd / (self.rounds as f64).sqrt();
        Some((self.beyond(sd)?.ln() + self.needed()? * error).exp())
    }

    /// What must be exceeded: the limit, or the margin where that is wider.
    fn beyond(&self, sd: f64) -> Option<f64> {
        if !self.margin {
            return Some(self.limit);
        }
        let error = sd / (self.rounds as f64).sqrt();
        let margin = (quantile(self.rounds, ALPHA / 2.0)? * error).exp().max(LEAST_MARGIN);
        Some(self.limit.max(margin))
    }

    /// By how many standard errors a true value must lie beyond the limit. The noncentral t is
    /// taken as a normal, which is good to a per cent from three rounds on.
    fn needed(&self) -> Option<f64> {
        let critical = quantile(self.rounds, ALPHA / self.family.max(1) as f64)?;
        let free = (self.rounds - 1) as f64;
        let z = Normal::standard().inverse_cdf(POWER);
        let spread = (1.0 + critical * critical / (2.0 * free)).sqrt();
        Some(critical * (1.0 - 1.0 / (4.0 * free)) + z * spread)
    }

    /// How many rounds show a true `ratio` with [`POWER`]; `None` where [`MOST_ROUNDS`] do not.
    pub fn rounds_for(self, ratio: f64, sd: f64) -> Option<usize> {
        let factor = ratio.max(1.0 / ratio);
        let enough = |rounds: &usize| {
            let shown = Self { rounds: *rounds, ..self }.shows(sd);
            shown.is_some_and(|shown| shown <= factor)
        };
        (LEAST_BLOCKS..=MOST_ROUNDS).find(enough)
    }
}

/// The upper quantile of Student's t over so many rounds.
fn quantile(rounds: usize, tail: f64) -> Option<f64> {
    let free = rounds.checked_sub(1).filter(|free| *free > 0)?;
    Some(StudentsT::new(0.0, 1.0, free as f64).ok()?.inverse_cdf(1.0 - tail))
}

/// The spread of several ratios together: the root of the mean of their variances, each weighed by
/// its rounds. `None` where none has two.
pub fn pooled(ratios: &[GeometricMean]) -> Option<f64> {
    let free = |ratio: &GeometricMean| ratio.blocks().saturating_sub(1) as f64;
    let all: f64 = ratios.iter().map(free).sum();
    let squares = ratios.iter().map(|ratio| ratio.log_sd().powi(2) * free(ratio));
    (all > 0.0).then(|| (squares.sum::<f64>() / all).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use crate::stats::compare::{Side, decide_one, margin};

    const P50: f64 = 0.12;
    const P99: f64 = 0.36;
    const DESIGN: Design = Design { rounds: 10, family: 1, limit: 1.0 / 0.95, margin: false };

    /// The power that is promised is reached: simulated, with the rule that decides verdicts.
    #[test]
    fn the_promised_power_is_reached() {
        const STUDIES: usize = 500;
        let mut rng = SplitMix64::new(12);
        let mut normal = || {
            let radius = (-2.0 * rng.unit().ln()).sqrt();
            radius * (std::f64::consts::TAU * rng.unit()).cos()
        };
        for (rounds, sd, twice) in
            [(3, P50, false), (5, P99, false), (10, P99, true), (10, P50, true)]
        {
            let design = Design { rounds, margin: twice, ..DESIGN };
            let truth = 1.0 / design.shows(sd).unwrap();
            let mut study = |truth: f64| {
                let ratios: Vec<f64> = (0..rounds).map(|_| truth * (sd * normal()).exp()).collect();
                GeometricMean::of(&ratios).unwrap()
            };
            let found = (0..STUDIES).filter(|_| {
                let margin = twice.then(|| margin(&[study(1.0)])).flatten();
                let ratio = study(truth).with_margin(margin);
                decide_one(Some(ratio), Side::Below, 0.95) == Ok(true)
            });
            let found = found.count() as f64 / STUDIES as f64;
            assert!((0.84..=0.97).contains(&found), "{rounds} rounds, {sd}: {found}");
        }
    }

    /// What the standard profile promises of latency, by the spreads of the table of November 2026.
    #[test]
    fn ten_rounds_show_twice_the_tail_and_a_third_more_at_the_median() {
        let standard = Design { family: 3, margin: true, ..DESIGN };
        let shows = |sd: f64| standard.shows(sd).unwrap();
        assert!(shows(P99) < 2.05 && shows(P50) < 1.3, "{} {}", shows(P99), shows(P50));
        let three = Design { rounds: 3, ..standard };
        assert!(three.shows(P99).unwrap() > 5.0, "three rounds show nothing of a tail");
    }

    #[test]
    fn a_greater_difference_takes_fewer_rounds() {
        let rounds = |ratio: f64| DESIGN.rounds_for(ratio, P99);
        assert_eq!(rounds(1.01), None);
        assert!(rounds(0.5) < rounds(0.7) && rounds(0.7) < Some(MOST_ROUNDS));
        assert_eq!(rounds(0.5), rounds(2.0));
        let few = rounds(0.5).unwrap();
        let shows = |rounds| Design { rounds, ..DESIGN }.shows(P99).unwrap();
        assert!(shows(few) <= 2.0 && (few == LEAST_BLOCKS || shows(few - 1) > 2.0));
    }

    #[test]
    fn spreads_are_pooled_by_their_rounds() {
        let mean = |values: &[f64]| GeometricMean::of(values).unwrap();
        let wide = mean(&[1.0, 1.5, 0.7]);
        assert!((pooled(&[wide, wide]).unwrap() - wide.log_sd()).abs() < 1e-9);
        let calm = mean(&[1.0, 1.01, 0.99]);
        let both = pooled(&[wide, calm]).unwrap();
        assert!(calm.log_sd() < both && both < wide.log_sd());
        assert_eq!(pooled(&[mean(&[2.0])]), None);
    }
}
