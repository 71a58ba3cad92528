//! One latency of a cell: the times that were recorded, and the messages that had not come to their
//! end when nobody waited any longer (censored). The one place that computes its statistics.
//!
//! Nobody leaves the histogram: a message that failed, stayed unanswered, was never sent or never
//! delivered counts as "at least" so long. It lies beyond every recorded time, so that a quantile
//! among such messages is known from below only.

use super::latencies::Quantiles;
use crate::model::{Quantile, Statistic};
use hdrhistogram::Histogram;
use itertools::Itertools;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Messages of the window without a time of their own, and how long each waited at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Censored {
    pub count: u64,
    pub at_least_ns: u64,
}

impl Censored {
    /// Together with those of another block.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let known = [self, other].into_iter().filter(|one| one.count > 0);
        let at_least_ns = known.map(|one| one.at_least_ns).min().unwrap_or(0);
        Self { count: self.count + other.count, at_least_ns }
    }
}

/// A statistic of a latency, ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LatencyValue {
    Exact(f64),
    /// It lies among the censored.
    AtLeast(f64),
}

impl LatencyValue {
    pub fn exact(self) -> Option<f64> {
        match self {
            Self::Exact(ns) => Some(ns),
            Self::AtLeast(_) => None,
        }
    }

    /// What it is at least.
    pub fn least(self) -> f64 {
        match self {
            Self::Exact(ns) | Self::AtLeast(ns) => ns,
        }
    }

    /// `1.20`, or `> 1.20`.
    pub fn words(self, text: impl FnOnce(f64) -> String) -> String {
        match self {
            Self::Exact(ns) => text(ns),
            Self::AtLeast(ns) => format!("> {}", text(ns)),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Value and how many have it, in order of value.
    recorded: Vec<(u64, u64)>,
    censored: Censored,
}

impl Distribution {
    pub fn of(histogram: &Histogram<u64>, censored: Censored) -> Self {
        let recorded = histogram
            .iter_recorded()
            .map(|one| (one.value_iterated_to(), one.count_at_value()))
            .collect();
        Self { recorded, censored }
    }

    pub fn is_empty(&self) -> bool {
        self.recorded.is_empty() && self.censored.count == 0
    }

    pub fn statistic(&self, statistic: Statistic) -> Option<LatencyValue> {
        let ends = |at: Option<&(u64, u64)>| at.map(|(ns, _)| *ns as f64);
        match statistic {
            Statistic::Quantile(quantile) => self.quantile(quantile),
            Statistic::Mean => {
                let all = self.with_censored();
                let sum: f64 = all.iter().map(|(ns, count)| *ns as f64 * *count as f64).sum();
                let count = count(&all);
                (count > 0).then(|| self.known(sum / count as f64))
            }
            Statistic::Min => match ends(self.recorded.first()) {
                Some(least) => Some(LatencyValue::Exact(least)),
                None => ends(self.with_censored().first()).map(LatencyValue::AtLeast),
            },
            Statistic::Max => ends(self.with_censored().last()).map(|ns| self.known(ns)),
            Statistic::Count => Some(LatencyValue::Exact(count(&self.recorded) as f64)),
        }
    }

    /// `None` with fewer than 10 messages beyond it.
    fn quantile(&self, quantile: Quantile) -> Option<LatencyValue> {
        let recorded = count(&self.recorded);
        let total = recorded + self.censored.count;
        let beyond = u128::from(total) * u128::from(quantile.beyond_millionths()) / 1_000_000;
        let rank = total - beyond as u64;
        let found = match rank <= recorded {
            true => at_rank(&self.recorded, rank).map(LatencyValue::Exact),
            false => at_rank(&self.with_censored(), rank).map(LatencyValue::AtLeast),
        };
        found.filter(|_| quantile.shown(total))
    }

    /// As `summary.json` lists them.
    pub fn quantiles(&self) -> Quantiles {
        let mut at_least_ns = BTreeMap::new();
        let mut listed = |name: &str, statistic| match self.statistic(statistic)? {
            LatencyValue::Exact(ns) => Some(ns as u64),
            LatencyValue::AtLeast(ns) => {
                at_least_ns.insert(name.to_owned(), ns as u64);
                None
            }
        };
        let mut at = |name, quantile| listed(name, Statistic::Quantile(quantile));
        let quantiles = Quantiles {
            count: count(&self.recorded),
            censored: self.censored.count,
            p50_ns: at("p50", Quantile::P50),
            p90_ns: at("p90", Quantile::P90),
            p99_ns: at("p99", Quantile::P99),
            p99_9_ns: at("p99_9", Quantile::P99_9),
            p99_99_ns: at("p99_99", Quantile::P99_99),
            max_ns: listed("max", Statistic::Max),
            ..Quantiles::default()
        };
        Quantiles { at_least_ns, ..quantiles }
    }

    /// Exact unless anybody is censored.
    fn known(&self, ns: f64) -> LatencyValue {
        if self.censored.count == 0 { LatencyValue::Exact(ns) } else { LatencyValue::AtLeast(ns) }
    }

    /// As if each of the censored had ended at its bound.
    fn with_censored(&self) -> Vec<(u64, u64)> {
        let bound = (self.censored.at_least_ns, self.censored.count);
        let bound = Some(bound).filter(|(_, count)| *count > 0);
        self.recorded.iter().copied().chain(bound).sorted().collect()
    }
}

fn count(counted: &[(u64, u64)]) -> u64 {
    counted.iter().map(|(_, count)| count).sum()
}

/// The value of the message of this rank, counted from 1 in order of value.
fn at_rank(counted: &[(u64, u64)], rank: u64) -> Option<f64> {
    let mut below = 0;
    let reached = counted.iter().find(|(_, count)| {
        below += count;
        below >= rank
    });
    reached.map(|(ns, _)| *ns as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousand() -> Histogram<u64> {
        let mut histogram = crate::record::new_histogram();
        (1..=1000u64).for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    fn censored(count: u64, at_least_ns: u64) -> Quantiles {
        Distribution::of(&thousand(), Censored { count, at_least_ns }).quantiles()
    }

    #[test]
    fn a_quantile_needs_ten_samples_beyond_it() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for value in 1..=999 {
            histogram.record(value).unwrap();
        }
        let few = Distribution::of(&histogram, Censored::default()).quantiles();
        assert_eq!(
            (few.count, few.p50_ns, few.p90_ns, few.p99_ns, few.max_ns),
            (999, Some(500), Some(900), None, Some(999))
        );
        assert_eq!(censored(0, 0).p99_ns, Some(990));
        assert_eq!(Distribution::default().quantiles(), Quantiles::default());
    }

    #[test]
    fn a_quantile_among_the_censored_is_known_from_below() {
        let found = censored(1000, 5000);
        assert_eq!((found.count, found.censored, found.p50_ns), (1000, 1000, Some(1000)));
        assert_eq!((found.p90_ns, found.p99_ns, found.max_ns), (None, None, None));
        let bounds = [("max", 5000), ("p90", 5000), ("p99", 5000)];
        assert_eq!(found.at_least_ns, bounds.map(|(name, ns)| (name.to_owned(), ns)).into());
        // Where a bound lies among the recorded, a quantile is at least what was recorded there.
        let early = censored(1000, 500);
        assert_eq!((early.p50_ns, early.at_least_ns["p90"]), (Some(1000), 800));
        assert_eq!(early.at_least_ns["max"], 1000);
        let few = censored(10, 5000);
        assert_eq!((few.p90_ns, few.p99_ns, few.max_ns), (Some(909), Some(1000), None));
    }

    #[test]
    fn mean_and_ends_say_when_they_are_not_all() {
        let half = Distribution::of(&thousand(), Censored { count: 1000, at_least_ns: 1_000_000 });
        let value = |statistic| half.statistic(statistic).unwrap();
        assert_eq!(value(Statistic::Min), LatencyValue::Exact(1.0));
        assert_eq!(value(Statistic::Count), LatencyValue::Exact(1000.0));
        assert_eq!(value(Statistic::Mean), LatencyValue::AtLeast(500_250.25));
        let nobody = Distribution {
            censored: Censored { count: 20, at_least_ns: 7 },
            ..Distribution::default()
        };
        for statistic in [Statistic::Min, Statistic::Max, Statistic::Quantile(Quantile::P50)] {
            assert_eq!(nobody.statistic(statistic), Some(LatencyValue::AtLeast(7.0)));
        }
    }

    #[test]
    fn blocks_are_censored_together() {
        let block = |count, at_least_ns| Censored { count, at_least_ns };
        assert_eq!(block(3, 9).and(block(4, 5)), block(7, 5));
        assert_eq!(block(0, 0).and(block(4, 5)), block(4, 5), "who has none has no bound");
    }
}
