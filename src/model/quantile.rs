//! Quantiles of a distribution by name: `p50`, `p99.9`, exact to a millionth.

use std::fmt;
use std::str::FromStr;

/// A share of the samples, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantile(u32);

impl Quantile {
    pub const P50: Self = Self(500_000);
    pub const P90: Self = Self(900_000);
    pub const P99: Self = Self(990_000);
    pub const P99_9: Self = Self(999_000);
    pub const P99_99: Self = Self(999_900);

    /// Those that results report, in order.
    pub const REPORTED: [Self; 5] = [Self::P50, Self::P90, Self::P99, Self::P99_9, Self::P99_99];

    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    pub const fn beyond_millionths(self) -> u32 {
        1_000_000 - self.0
    }

    /// The one that ends the name of a metric: `end_to_end.p99_9`, `publish.p99.9`.
    pub fn of_metric(name: &str) -> Option<Self> {
        name[name.rfind('p')?..].parse().ok()
    }
}

impl FromStr for Quantile {
    type Err = ();

    /// `p50`, `p99.9` or `p99_9`; four digits behind the point at most.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix('p').ok_or(())?;
        let (whole, part) = digits.split_once(['.', '_']).unwrap_or((digits, "0"));
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u32>().map_err(|_| ()),
            false => Err(()),
        };
        if whole.len() > 2 || part.len() > 4 {
            return Err(());
        }
        let millionths = number(whole)? * 10_000 + number(part)? * 10u32.pow(4 - part.len() as u32);
        if millionths == 0 { Err(()) } else { Ok(Self(millionths)) }
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", f64::from(self.0) / 1e4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(
            Quantile::REPORTED.map(|q| q.to_string()),
            ["p50", "p90", "p99", "p99.9", "p99.99"]
        );
        for (name, shown, share) in
            [("p95", "p95", 0.95), ("p99_9", "p99.9", 0.999), ("p99.9999", "p99.9999", 0.999999)]
        {
            let quantile: Quantile = name.parse().unwrap();
            assert_eq!((quantile.to_string().as_str(), quantile.share()), (shown, share));
        }
        assert_eq!(Quantile::of_metric("end_to_end.p99_9"), Some(Quantile::P99_9));
        assert_eq!(Quantile::of_metric("publish.p99.9"), Some(Quantile::P99_9));
        assert_eq!(Quantile::of_metric("goodput"), None);
        for bad in ["p0", "p100", "p", "99", "p+5", "p5.", "p.5", "p99.99999", "p9.9.9", "p٩"] {
            assert_eq!(bad.parse::<Quantile>(), Err(()), "{bad}");
        }
    }
}
