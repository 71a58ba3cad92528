//! How large messages are, where they are not all of one size: shares of them, each of one size or
//! spread evenly over a range.
//!
//! Nothing is drawn while the load runs. A mix is a round of [`ROUND`] sizes that follow from it
//! and the seed: each share has its exact part of every round, in an order of its own.

use crate::random::SplitMix64;
use crate::units::{Bytes, UnitError, as_text};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Messages after which the sizes come again: a part in a thousand is told apart.
pub const ROUND: u32 = 1000;

/// Text form: `1KiB`, `100B to 10KiB`, `90% 1KiB + 9% 10KiB to 50KiB + 1% 1MiB`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes(Vec<SizeShare>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct SizeShare {
    percent: f64,
    from: Bytes,
    to: Bytes,
}

/// Why a text says no sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizesError {
    #[error(transparent)]
    One(#[from] UnitError),
    #[error(
        "`{found}` is no mix of sizes: {problem}; \
        write it like `100B to 10KiB` or `90% 1KiB + 10% 1MiB`"
    )]
    Mix { found: String, problem: String },
}

impl Sizes {
    /// The one size of all messages; `None` of a mix.
    pub fn only(&self) -> Option<Bytes> {
        match self.0[..] {
            [SizeShare { from, to, .. }] if from == to => Some(from),
            _ => None,
        }
    }

    pub fn smallest(&self) -> Bytes {
        self.0.iter().map(|share| share.from).min().unwrap_or_default()
    }

    pub fn largest(&self) -> Bytes {
        self.0.iter().map(|share| share.to).max().unwrap_or_default()
    }

    /// Of the messages of a round.
    pub fn mean(&self) -> f64 {
        self.in_order().sum::<u64>() as f64 / f64::from(ROUND)
    }

    /// One round in the order that the seed gives it.
    pub fn round(&self, seed: u64) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.in_order().map(|size| size as usize).collect();
        let mut rng = SplitMix64::stream(seed, u64::from(ROUND));
        for left in (2..=sizes.len()).rev() {
            sizes.swap(left - 1, (rng.next_u64() % left as u64) as usize);
        }
        sizes
    }

    /// One round, share after share, small before large within each: the quantiles in the middle of
    /// each thousandth.
    fn in_order(&self) -> impl Iterator<Item = u64> + '_ {
        (0..ROUND).map(|place| self.at((f64::from(place) + 0.5) / f64::from(ROUND) * 100.0))
    }

    fn at(&self, percent: f64) -> u64 {
        let mut before = 0.0;
        for share in &self.0 {
            if percent < before + share.percent {
                let within = (percent - before) / share.percent;
                let sizes = (share.to.0 - share.from.0 + 1) as f64;
                return (share.from.0 + (within * sizes) as u64).min(share.to.0);
            }
            before += share.percent;
        }
        self.0.last().map_or(0, |share| share.to.0)
    }
}

impl SizeShare {
    /// `1KiB`, `1KiB to 2KiB`, and with its share before it; alone, it is all there is.
    fn read(text: &str, alone: bool) -> Result<Self, String> {
        let (percent, sizes) = match text.split_once('%') {
            Some((percent, sizes)) => {
                let share = percent.trim().parse::<f64>();
                (share.map_err(|_| format!("`{percent}` is not a number"))?, sizes)
            }
            None if alone => (100.0, text),
            None => return Err(format!("`{text}` does not say of how many, such as `90% 1KiB`")),
        };
        if !(100.0 / f64::from(ROUND)..=100.0).contains(&percent) {
            return Err(format!("a share is 0.1% to 100%, not {percent}%"));
        }
        let size = |text: &str| text.trim().parse::<Bytes>().map_err(|error| error.to_string());
        let (from, to) = match sizes.split_once(" to ") {
            Some((from, to)) => (size(from)?, size(to)?),
            None => (size(sizes)?, size(sizes)?),
        };
        if from > to {
            return Err(format!("`{from} to {to}` is from large to small"));
        }
        Ok(Self { percent, from, to })
    }
}

impl FromStr for Sizes {
    type Err = SizesError;
    fn from_str(text: &str) -> Result<Self, SizesError> {
        if !["%", "+", " to "].iter().any(|sign| text.contains(sign)) {
            let size: Bytes = text.parse()?;
            return Ok(Self(vec![SizeShare { percent: 100.0, from: size, to: size }]));
        }
        let fail = |problem: String| SizesError::Mix { found: text.to_owned(), problem };
        let parts: Vec<&str> = text.split('+').map(str::trim).collect();
        let read = |part: &&str| SizeShare::read(part, parts.len() == 1);
        let shares: Vec<SizeShare> =
            parts.iter().map(read).collect::<Result<_, _>>().map_err(fail)?;
        let sum: f64 = shares.iter().map(|share| share.percent).sum();
        if (sum - 100.0).abs() > 1e-6 {
            return Err(fail(format!("its shares add up to {sum}%, not to 100%")));
        }
        Ok(Self(shares))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, SizeShare { percent, from, to }) in self.0.iter().enumerate() {
            if self.0.len() > 1 {
                write!(f, "{}{percent}% ", if place > 0 { " + " } else { "" })?;
            }
            match from == to {
                true => write!(f, "{from}")?,
                false => write!(f, "{from} to {to}")?,
            }
        }
        Ok(())
    }
}

as_text!(
    Sizes,
    "Sizes",
    r"^[0-9][0-9_.]*\s*(B|kB|KB|KiB|MB|MiB|GB|GiB|%).*$",
    "A size with its unit, such as 1KiB; a range, such as 100B to 10KiB; or shares of these, such \
     as 90% 1KiB + 10% 1MiB"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str) -> Sizes {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["1KiB", "100B to 10KiB", "90% 1KiB + 9.5% 10KiB to 50KiB + 0.5% 1MiB"] {
            assert_eq!(sizes(text).to_string(), text);
        }
        assert_eq!(sizes("1KiB").only(), Some(Bytes(1024)));
        assert_eq!(sizes("100B to 200B").only(), None);
        let mixed = sizes("50% 100B to 300B + 50% 50B");
        assert_eq!((mixed.smallest(), mixed.largest()), (Bytes(50), Bytes(300)));
    }

    #[test]
    fn every_share_has_its_exact_part_of_a_round() {
        let mix = sizes("90% 100B + 9% 1KiB + 1% 100KiB");
        let round = mix.round(7);
        let count = |size: usize| round.iter().filter(|found| **found == size).count();
        assert_eq!((count(100), count(1024), count(102_400)), (900, 90, 10));
        assert_eq!(mix.mean(), (900.0 * 100.0 + 90.0 * 1024.0 + 10.0 * 102_400.0) / 1000.0);
        assert_eq!(round, mix.round(7), "the seed decides");
        assert_ne!(round, mix.round(8));
        assert!(round[..100].contains(&1024), "no share is all at one end");
    }

    #[test]
    fn a_range_is_even_and_keeps_to_its_ends() {
        let range = sizes("100B to 1099B");
        let mut round = range.round(1);
        round.sort_unstable();
        assert_eq!(round, (100..1100).collect::<Vec<_>>());
        assert_eq!(range.mean(), 599.5);
        let narrow = sizes("100B to 101B").round(1);
        assert_eq!(narrow.iter().filter(|size| **size == 100).count(), 500);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (text, words) in [
            ("10KiB to 100B", "from large to small"),
            ("90% 1KiB + 5% 2KiB", "add up to 95%"),
            ("1KiB + 2KiB", "does not say of how many"),
            ("0% 1KiB + 100% 2KiB", "a share is 0.1% to 100%"),
            ("many% 1KiB", "`many` is not a number"),
            ("50% 1KiB + 50% 2 apples", "unknown unit `apples`"),
            ("NaN% 1KiB", "a share is"),
            ("10s", "`10s` is not a size: unknown unit `s`"),
        ] {
            let error = text.parse::<Sizes>().unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(text), "{text}: {error}");
        }
    }
}
