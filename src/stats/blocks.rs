//! How the blocks of a run become one value of a metric: for page, terminal, table and charts
//! alike.

use super::compare::GeometricMean;
use crate::model::{Aggregate, Told, Unit, metric};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverBlocks {
    pub value: f64,
    /// Of a geometric mean.
    pub mean: Option<GeometricMean>,
}

/// The values of a metric's blocks as the registry puts them together; `None` of none. What is not
/// registered, as in results of another version, or stands in another unit than its own, such as
/// the share of several tries, goes by its unit.
pub fn over_blocks(name: &str, unit: &str, values: &[f64]) -> Option<OverBlocks> {
    let over = aggregate(name, unit);
    let mean = GeometricMean::of(values).filter(|_| over == Aggregate::Geometric);
    Some(OverBlocks { value: over.of(values)?, mean })
}

/// The same where some blocks tell only a bound.
pub fn told_over_blocks(name: &str, unit: &str, told: &[Told<f64>]) -> Option<Told<f64>> {
    aggregate(name, unit).of_told(told)
}

fn aggregate(name: &str, unit: &str) -> Aggregate {
    let unit = Unit::from_name(unit);
    let known = metric::find(name).filter(|metric| Some(metric.unit) == unit);
    let known = known.map(|metric| metric.over_blocks);
    known.or(unit.map(by_unit)).unwrap_or(Aggregate::Mean)
}

fn by_unit(unit: Unit) -> Aggregate {
    match unit {
        Unit::Nanoseconds
        | Unit::MessagesPerSecond
        | Unit::OperationsPerSecond
        | Unit::BytesPerSecond
        | Unit::Times => Aggregate::Geometric,
        Unit::Yes | Unit::Bytes => Aggregate::Least,
        Unit::Messages
        | Unit::Requests
        | Unit::RequestsPerSecond
        | Unit::Share
        | Unit::Milliseconds => Aggregate::Mean,
    }
}

impl Aggregate {
    /// One of several of which some tell only a bound: their median, since a bound can be put in
    /// order and not be added. Between a bound and a value it is the value. What is no median is so
    /// much at least, where some are: leaving them out would be leaving out the slowest.
    pub fn of_told(self, told: &[Told<f64>]) -> Option<Told<f64>> {
        let values: Vec<f64> = told.iter().filter_map(|one| one.value()).collect();
        if values.len() == told.len() {
            return self.of(&values).map(Told::Value);
        }
        let least = told.iter().any(|one| one.at_least().is_some());
        if least && self != Self::Median {
            let all: Vec<f64> =
                told.iter().filter_map(|one| one.value().or(one.at_least())).collect();
            return self.of(&all).map(Told::AtLeast);
        }
        let mut sorted = told.to_vec();
        sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        let upper = sorted[told.len() / 2];
        let lower = sorted[(told.len() - 1) / 2];
        Some(match (lower, upper) {
            (Told::Value(a), Told::Value(b)) => Told::Value(f64::midpoint(a, b)),
            (Told::Value(_), Told::AtLeast(_)) => lower,
            _ => upper,
        })
    }

    /// One value of several; `None` of none.
    pub fn of(self, values: &[f64]) -> Option<f64> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most, middle) = (*sorted.first()?, *sorted.last()?, sorted.len() / 2);
        let mean = || values.iter().sum::<f64>() / values.len() as f64;
        Some(match self {
            Self::Sum => values.iter().sum(),
            // The mean of logarithms would make 7.00 of 7, and 268 MB of 256 MiB.
            _ if least == most => least,
            Self::Geometric => GeometricMean::of(values).map_or_else(mean, |mean| mean.value()),
            Self::Mean => mean(),
            Self::Least => least,
            Self::Most => most,
            Self::Median if values.len() % 2 == 1 => sorted[middle],
            Self::Median => f64::midpoint(sorted[middle - 1], sorted[middle]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_interrupted_comes_before_all_that_was() {
        use Told::{AtMost, Value};
        let median = |told: &[Told<f64>]| Aggregate::Median.of_told(told);
        assert_eq!(median(&[AtMost(0.1), Value(12.0), AtMost(0.1)]), Some(AtMost(0.1)));
        assert_eq!(median(&[Value(0.02), Value(12.0), AtMost(0.1)]), Some(Value(0.02)));
        assert_eq!(median(&[Value(12.0), AtMost(0.1)]), Some(Value(12.0)));
        let four = [Value(2.0), Value(9.0), AtMost(0.1), Value(4.0)];
        assert_eq!(median(&four), Some(Value(3.0)));
        assert_eq!((median(&[Value(2.0)]), median(&[])), (Some(Value(2.0)), None));
    }

    #[test]
    fn blocks_are_put_together_as_the_registry_says() {
        let value =
            |name, unit, values: &[f64]| over_blocks(name, unit, values).map(|over| over.value);
        assert_eq!(value("crash.lost", "msg", &[10.0, 1000.0]), Some(505.0));
        assert!((value("goodput", "msg/s", &[10.0, 1000.0]).unwrap() - 100.0).abs() < 1e-9);
        assert!((value("end_to_end.p95", "ns", &[1.0, 4.0]).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(value("goodput", "msg/s", &[0.0, 4.0]), Some(2.0), "zero has no logarithm");
        assert_eq!(value("largest_intact", "B", &[4.0, 2.0]), Some(2.0));
        assert_eq!(value("client_peak", "B", &[4.0, 2.0]), Some(4.0));
        assert_eq!(value("fault.gone_from_broker", "msg", &[4.0, 4.0]), Some(8.0));
        assert_eq!(value("fault.rto_publish", "ns", &[4.0, 2.0, 9.0, 3.0]), Some(3.5));
        assert_eq!(value("intact", "yes", &[1.0, 0.0]), Some(0.0));
        assert_eq!(value("intact", "share", &[1.0, 0.0]), Some(0.5), "of several tries");
        assert_eq!(value("of another version", "msg", &[1.0, 2.0]), Some(1.5));
        assert_eq!(value("of another version", "B", &[1.0, 2.0]), Some(1.0));
        assert!((value("of another version", "ns", &[1.0, 4.0]).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(value("goodput", "msg/s", &[7.0, 7.0]), Some(7.0));
        assert_eq!(value("goodput", "msg/s", &[]), None);
    }
}
