//! Which quantiles a number of samples can carry.

/// A share of the samples, such as 0.99.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Quantile(pub f64);

impl Quantile {
    /// Those that results report, in order.
    pub const REPORTED: [Self; 5] = [Self(0.5), Self(0.9), Self(0.99), Self(0.999), Self(0.9999)];

    /// `p50`, `p99`, `p99.9`.
    pub fn name(self) -> String {
        let percent = (self.0 * 1e6).round() / 1e4;
        format!("p{percent}")
    }

    /// From its name, with or without a metric in front: `end_to_end.p99_9` or `p99.9`.
    pub fn from_name(name: &str) -> Option<Self> {
        let digits = &name[name.rfind('p')? + 1..];
        let percent: f64 = digits.replace('_', ".").parse().ok()?;
        // Rounded, since 99.9 / 100 is not quite 0.999.
        (percent > 0.0 && percent < 100.0).then(|| Self((percent * 1e4).round() / 1e6))
    }

    /// Samples beyond it, of `samples`.
    pub fn beyond(self, samples: u64) -> u64 {
        (samples as f64 * (1.0 - self.0) + 1e-9).floor() as u64
    }

    /// May be printed: at least 10 samples lie beyond it.
    pub fn printable(self, samples: u64) -> bool {
        self.beyond(samples) >= 10
    }

    /// May carry a verdict: at least 100 samples lie beyond it.
    pub fn decisive(self, samples: u64) -> bool {
        self.beyond(samples) >= 100
    }
}

/// The quantile that `metric` names, or the highest below it that `samples` can carry.
pub fn highest_quantile(metric: &str, samples: u64) -> Quantile {
    let wanted = Quantile::from_name(metric).unwrap_or(Quantile(0.99));
    if wanted.printable(samples) {
        return wanted;
    }
    let lower = Quantile::REPORTED.into_iter().rev().find(|q| q < &wanted && q.printable(samples));
    lower.unwrap_or(Quantile(0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let names: Vec<_> = Quantile::REPORTED.iter().map(|q| q.name()).collect();
        assert_eq!(names, ["p50", "p90", "p99", "p99.9", "p99.99"]);
        assert_eq!(Quantile::from_name("end_to_end.p99_9"), Some(Quantile(0.999)));
        assert_eq!(Quantile::from_name("goodput"), None);
    }

    #[test]
    fn ten_samples_print_and_a_hundred_decide() {
        let p99 = Quantile(0.99);
        assert!(!p99.printable(999) && p99.printable(1000));
        assert!(!p99.decisive(9_999) && p99.decisive(10_000));
        assert_eq!(highest_quantile("publish.p99", 500), Quantile(0.9));
        assert_eq!(highest_quantile("publish.p99", 5), Quantile(0.5));
    }
}
