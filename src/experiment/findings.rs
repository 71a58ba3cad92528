//! Observations from results that may have gone wrong: what a system cannot do is told apart from
//! what did not work this time.

use crate::driver::DriverError;
use crate::model::{Metric, Quantile};
use crate::record::Timings;
use crate::result::Observation;
use std::collections::BTreeMap;

/// `cannot` where the system has no such thing by its nature, `not-measured` for any other error.
pub fn failed(metric: &Metric, point: &str, error: &DriverError) -> Observation {
    match error {
        DriverError::Cannot { action, because, .. } => {
            Observation::cannot(metric, point, format!("cannot {action}: {because}"))
        }
        other => Observation::not_measured(metric, point, other.to_string()),
    }
}

/// The 99th percentile of `what`; not measured where too few lie beyond it.
pub fn p99(metric: &Metric, point: &str, what: &str, samples: &Timings) -> Observation {
    let (n, needed) = (samples.len(), Quantile::P99.samples_to_show());
    if n < needed {
        return Observation::not_measured(
            metric,
            point,
            format!("{n} {what} timed, {needed} needed"),
        );
    }
    Observation::measured(metric, point, samples.value_at_quantile(0.99) as f64, n)
}

/// How often each reason was given; empty where there was none.
pub fn reasons(counts: &BTreeMap<String, u64>) -> String {
    let words = counts.iter().map(|(why, count)| format!("{count} × {why}"));
    words.collect::<Vec<_>>().join("; ")
}

/// The quantile that the metric names, of `samples`, which are sorted here; not measured where too
/// few lie beyond it.
pub fn quantile(metric: &Metric, point: &str, samples: &mut [u64]) -> Observation {
    let n = samples.len() as u64;
    let of = Quantile::of_metric(metric.name).unwrap_or(Quantile::P50);
    if !of.shown(n) {
        return Observation::not_measured(
            metric,
            point,
            format!("{n} messages are too few for it"),
        );
    }
    samples.sort_unstable();
    // The least value that at least this share of the samples does not exceed.
    let rank = (of.share() * n as f64).ceil().max(1.0) as usize;
    let value = samples.get(rank - 1).copied().unwrap_or_default();
    Observation::measured(metric, point, value as f64, n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{System, metric};
    use crate::result::Kind;

    #[test]
    fn quantiles_need_ten_samples_beyond_them() {
        let mut few: Vec<u64> = (0..19).collect();
        assert_eq!(quantile(metric::WAKE_UP_P50, "", &mut few).value, None);
        let mut enough: Vec<u64> = (1..=1000).rev().collect();
        let found = quantile(metric::WAKE_UP_P99, "", &mut enough);
        assert_eq!(
            (found.metric.as_str(), found.value, found.n),
            ("wake_up.p99", Some(990.0), 1000)
        );
        assert_eq!(quantile(metric::WAKE_UP_P50, "", &mut enough).value, Some(500.0));
    }

    #[test]
    fn what_cannot_be_is_told_apart_from_what_failed() {
        let system = System::RedisPubsub;
        let cannot = DriverError::Cannot {
            system,
            action: "go back".into(),
            because: "nothing is kept".into(),
        };
        let cannot = failed(metric::SHARE_REREAD, "", &cannot);
        assert_eq!(
            (cannot.kind, cannot.text.as_str()),
            (Kind::Cannot, "cannot go back: nothing is kept")
        );
        let late = DriverError::TimedOut { system, action: "PING".into(), seconds: 1 };
        assert_eq!(failed(metric::SHARE_REREAD, "", &late).kind, Kind::NotMeasured);
    }
}
