//! What so many rounds can show, and how many would decide what is open: by the spread of these
//! very ratios from round to round.

use super::{Pair, RatioLimits, at_one_rate, pairs_of};
use crate::claims::finding::PRIMITIVES;
use crate::result::{ComparedCell, RunInfo};
use crate::stats::compare::{GeometricMean, Side};
use crate::stats::power::{Design, MOST_ROUNDS, pooled};

/// What a design shows of one metric.
pub struct Shows {
    pub metric: String,
    /// Of the logarithm of a ratio, from round to round.
    pub spread: f64,
    /// The least true ratio, as a factor above 1, with 90 % power.
    pub beyond: f64,
}

impl RatioLimits {
    fn design(&self, rounds: usize, margin: bool) -> Design {
        let limit = self.limit.max(1.0 / self.limit);
        Design { rounds, family: PRIMITIVES.len(), limit, margin }
    }

    /// What another study of so many rounds shows, if its ratios spread as those of these cells do.
    pub fn shows(
        &self,
        cells: &[&ComparedCell],
        runs: &[RunInfo],
        rounds: usize,
        margin: bool,
    ) -> Vec<Shows> {
        let cells: Vec<&ComparedCell> =
            cells.iter().copied().filter(|cell| at_one_rate(cell)).collect();
        let pairs = pairs_of(self, &cells, runs);
        let of = |metric: &String| {
            let spread = spread(&pairs.iter().collect::<Vec<_>>(), metric)?;
            let beyond = self.design(rounds, margin).shows(spread)?;
            Some(Shows { metric: metric.clone(), spread, beyond })
        };
        self.metrics.iter().filter_map(of).collect()
    }

    /// In words, of what is open although it was measured: about how many rounds would decide it.
    pub(super) fn deciding(&self, all: &[Pair<'_>], open: &[&Pair<'_>]) -> String {
        let every: Vec<&Pair<'_>> = all.iter().collect();
        let rounds = |pair: &&&Pair<'_>| {
            let spread = spread(&every, &pair.primitive.metric)?;
            let ratio = pair.fair()?;
            // Those that there are were too few, if only for a choice among several claims.
            Some(self.rounds(ratio, spread, pair.margin.is_some())?.max(ratio.blocks() + 1))
        };
        let rounds: Option<Vec<usize>> = open.iter().map(|pair| rounds(&pair)).collect();
        match rounds.and_then(|all| all.into_iter().max()) {
            Some(rounds) => format!("about {rounds} rounds would decide"),
            None => format!("over {MOST_ROUNDS} rounds would decide"),
        }
    }

    /// On the side of the limit on which it was seen to lie.
    fn rounds(&self, ratio: GeometricMean, spread: f64, margin: bool) -> Option<usize> {
        let design = self.design(ratio.blocks(), margin);
        let ratio = ratio.value();
        let claimed = match self.must_be {
            Side::Above => ratio > self.limit,
            Side::Below => ratio < self.limit,
        };
        match claimed {
            true => design.rounds_for(ratio, spread),
            // What is not beyond the limit needs no margin to be so.
            false => {
                let design = Design { limit: 1.0, margin: false, ..design };
                design.rounds_for(ratio / self.limit, spread)
            }
        }
    }
}

fn spread(pairs: &[&Pair<'_>], metric: &str) -> Option<f64> {
    let own = pairs.iter().filter(|pair| pair.primitive.metric == metric);
    pooled(&own.filter_map(|pair| pair.ratio).collect::<Vec<_>>())
}
