//! What a threshold, `primary` or a claim asks of a cell: a metric of plain load, and of a latency
//! which statistic.

use super::metric::{self, LOAD, Metric};
use super::{Latency, Quantile, Unit};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    pub metric: &'static Metric,
    /// Of a latency, and of nothing else.
    pub statistic: Option<Statistic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    Quantile(Quantile),
    Mean,
    Min,
    Max,
    /// Of the samples.
    Count,
}

impl Statistic {
    const NAMED: [(&str, Self); 4] =
        [("mean", Self::Mean), ("min", Self::Min), ("max", Self::Max), ("count", Self::Count)];
}

/// What a latency may be asked for, in words.
pub const STATISTICS: &str =
    "any quantile such as `p99` or `p99.95`, `mean`, `min`, `max` or `count`";

impl Measure {
    /// The usual names, for suggestions and editors; any other quantile is one as well.
    pub fn usual() -> impl Iterator<Item = Self> {
        let statistics = Quantile::REPORTED.map(Statistic::Quantile).into_iter();
        let statistics = statistics.chain(Statistic::NAMED.map(|(_, statistic)| statistic));
        LOAD.metrics.iter().copied().flat_map(move |metric| {
            let statistics: Vec<_> = match metric.latency() {
                Some(_) => statistics.clone().map(Some).collect(),
                None => vec![None],
            };
            statistics.into_iter().map(move |statistic| Self { metric, statistic })
        })
    }

    pub fn latency(self) -> Option<Latency> {
        self.metric.latency()
    }

    pub fn quantile(self) -> Option<Quantile> {
        match self.statistic {
            Some(Statistic::Quantile(quantile)) => Some(quantile),
            _ => None,
        }
    }

    pub fn unit(self) -> Unit {
        if self.statistic == Some(Statistic::Count) { Unit::Messages } else { self.metric.unit }
    }
}

impl FromStr for Measure {
    type Err = ();

    /// `goodput`, `counts.lost`, `end_to_end.p99_9` or `end_to_end.p99.9`.
    fn from_str(name: &str) -> Result<Self, ()> {
        let name = if name == "rates.goodput_per_s" { metric::GOODPUT.name } else { name };
        let metric = metric::find(name).filter(|metric| LOAD.metrics.contains(metric)).ok_or(())?;
        let rest = name.strip_prefix(metric.name).unwrap_or_default();
        let statistic = match (metric.latency(), rest.strip_prefix('.')) {
            (None, None) => None,
            (Some(_), Some(name)) => {
                match Statistic::NAMED.iter().find(|(known, _)| *known == name) {
                    Some((_, statistic)) => Some(*statistic),
                    None => Some(Statistic::Quantile(name.parse()?)),
                }
            }
            _ => return Err(()),
        };
        Ok(Self { metric, statistic })
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric.name)?;
        match self.statistic {
            Some(Statistic::Quantile(quantile)) => {
                write!(f, ".{}", quantile.to_string().replace('.', "_"))
            }
            other => Statistic::NAMED
                .iter()
                .filter(|(_, named)| Some(*named) == other)
                .try_for_each(|(name, _)| write!(f, ".{name}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        text.parse::<Measure>().ok().map(|measure| measure.to_string())
    }

    #[test]
    fn other_spellings_mean_the_same() {
        assert_eq!(name("rates.goodput_per_s").as_deref(), Some("goodput"));
        assert_eq!(name("end_to_end.p99.9").as_deref(), Some("end_to_end.p99_9"));
        assert_eq!(name("publish.p99_95").as_deref(), Some("publish.p99_95"));
        assert_eq!(name("service.p99.95").as_deref(), Some("service.p99_95"));
        assert_eq!(name("schedule_lag.mean").as_deref(), Some("schedule_lag.mean"));
        for bad in [
            "end_to_end",
            "end_to_end.",
            "end_to_end.p100",
            "goodput.p99",
            "fault.gone_from_broker",
            "counts",
            "",
            "p99",
        ] {
            assert_eq!(name(bad), None, "{bad}");
        }
        assert!(Measure::usual().all(|measure| measure.to_string().parse() == Ok(measure)));
    }
}
