//! The search itself: double until a probe fails, bisect, then have two of three probes agree at
//! both ends.
//!
//! Pure: it knows rates and verdicts, not what a probe is. A rate's verdict is the majority of its
//! own probes, so one lucky or unlucky probe cannot set an end; an end that does not hold moves the
//! bracket by one step and is asked again.

use std::collections::BTreeMap;

/// No slower rate is worth a search, messages/s.
const LEAST: u64 = 10;
/// Probes that must agree.
pub const AGREE: u32 = 2;

/// The rates between which the maximum lies, each confirmed; `None` where none was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bracket {
    pub low: Option<u64>,
    pub high: Option<u64>,
}

/// Asks `probe` for at most `budget` rates from `start` up to `most`, until low and high are
/// `within` of each other. `probe` answers `None` to end the search early.
pub fn search<E>(
    start: u64,
    most: u64,
    within: f64,
    budget: u32,
    probe: &mut dyn FnMut(u64) -> Result<Option<bool>, E>,
) -> Result<Bracket, E> {
    let mut search = Search { votes: BTreeMap::new(), budget, probe };
    match search.narrow(start.max(LEAST), most, 1.0 + within) {
        Err(Some(error)) => Err(error),
        Ok(()) | Err(None) => Ok(search.bracket()),
    }
}

#[derive(Clone, Copy, Default)]
struct Votes {
    passed: u32,
    failed: u32,
}

impl Votes {
    fn verdict(self) -> Option<bool> {
        match self {
            Self { passed: AGREE.., .. } => Some(true),
            Self { failed: AGREE.., .. } => Some(false),
            _ => None,
        }
    }
}

struct Search<'a, E> {
    votes: BTreeMap<u64, Votes>,
    budget: u32,
    probe: &'a mut dyn FnMut(u64) -> Result<Option<bool>, E>,
}

/// The errors are a probe's, or none where the search ends early, by budget or by `probe`.
impl<E> Search<'_, E> {
    /// Ends when both ends are confirmed.
    fn narrow(&mut self, start: u64, most: u64, ratio: f64) -> Result<(), Option<E>> {
        let (mut low, mut high) = (None, None);
        let mut rate = start.min(most);
        // Up by doubling, or down by halving when the start is too high already.
        while low.is_none() || high.is_none() {
            *(if self.once(rate)? { &mut low } else { &mut high }) = Some(rate);
            rate = match (low, high) {
                (Some(low), None) if low < most => (low * 2).min(most),
                (None, Some(high)) if high > LEAST => (high / 2).max(LEAST),
                _ => break,
            };
        }
        loop {
            while let (Some(below), Some(above)) = (low, high)
                && above as f64 > below as f64 * ratio * 1.001
            {
                let middle = ((below as f64 * above as f64).sqrt().round() as u64)
                    .clamp(below + 1, above - 1);
                *(if self.once(middle)? { &mut low } else { &mut high }) = Some(middle);
            }
            if let Some(rate) = low
                && !self.confirm(rate)?
            {
                high = Some(rate);
                low = Some(((rate as f64 / ratio) as u64).max(LEAST)).filter(|lower| *lower < rate);
                continue;
            }
            match high {
                Some(rate) if self.confirm(rate)? => {
                    low = Some(rate);
                    high = Some(((rate as f64 * ratio) as u64).min(most))
                        .filter(|higher| *higher > rate);
                }
                _ => return Ok(()),
            }
        }
    }

    /// One probe, its vote noted.
    fn once(&mut self, rate: u64) -> Result<bool, Option<E>> {
        self.budget = self.budget.checked_sub(1).ok_or(None)?;
        let passed = (self.probe)(rate).map_err(Some)?.ok_or(None)?;
        let votes = self.votes.entry(rate).or_default();
        *(if passed { &mut votes.passed } else { &mut votes.failed }) += 1;
        Ok(passed)
    }

    /// Probes until two agree, those before included.
    fn confirm(&mut self, rate: u64) -> Result<bool, Option<E>> {
        loop {
            if let Some(verdict) = self.votes.get(&rate).and_then(|votes| votes.verdict()) {
                return Ok(verdict);
            }
            self.once(rate)?;
        }
    }

    /// What is confirmed: the highest rate that passed, and the lowest above it that failed.
    fn bracket(&self) -> Bracket {
        let with =
            |verdict| self.votes.iter().filter(move |(_, votes)| votes.verdict() == Some(verdict));
        let high = with(false).map(|(rate, _)| *rate).next();
        let low =
            with(true).map(|(rate, _)| *rate).rfind(|low| high.is_none_or(|high| *low < high));
        Bracket { low, high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn exact(truth: u64, start: u64, most: u64, budget: u32) -> (Bracket, u32) {
        let mut probes = 0;
        let found = search(start, most, 0.1, budget, &mut |rate| {
            probes += 1;
            Ok::<_, Infallible>(Some(rate <= truth))
        });
        (found.unwrap(), probes)
    }

    #[test]
    fn a_known_maximum_is_bracketed_with_few_probes() {
        let (Bracket { low: Some(low), high: Some(high) }, probes) =
            exact(73_000, 4000, 2_000_000, 40)
        else {
            panic!("no bracket")
        };
        assert!(low <= 73_000 && high > 73_000 && high as f64 <= low as f64 * 1.11, "{low} {high}");
        assert!(probes <= 13, "{probes}");
        let (below, _) = exact(300, 4000, 2_000_000, 40);
        assert!(below.low.unwrap() <= 300 && below.high.unwrap() > 300, "{below:?}");
    }

    #[test]
    fn what_has_no_end_says_so() {
        assert_eq!(exact(u64::MAX, 1000, 64_000, 40).0, Bracket { low: Some(64_000), high: None });
        assert_eq!(exact(0, 1000, 64_000, 40).0, Bracket { low: None, high: Some(LEAST) });
        assert_eq!(
            exact(73_000, 4000, 2_000_000, 3).0,
            Bracket::default(),
            "a spent budget confirms nothing"
        );
    }

    #[test]
    fn one_unlucky_probe_does_not_set_an_end() {
        let mut seen = BTreeMap::<u64, u32>::new();
        let found = search(1000, 1_000_000, 0.1, 40, &mut |rate| {
            let times = seen.entry(rate).or_default();
            *times += 1;
            // The first probe of 16k/s fails for a reason of its own.
            Ok::<_, Infallible>(Some(rate <= 20_000 && !(rate == 16_000 && *times == 1)))
        });
        let Bracket { low, high } = found.unwrap();
        assert!(low.unwrap() > 16_000 && high.unwrap() > 20_000, "{low:?} {high:?}");
    }

    proptest! {
        /// Probes that are right nine times in ten near the truth: the ends are always confirmed,
        /// ordered and apart by one step, and the search ends.
        #[test]
        fn noise_never_makes_it_run_for_ever(
            truth in 20u64..1_000_000,
            start in 10u64..100_000,
            seed in any::<u64>(),
        ) {
            let mut rng = SplitMix64::new(seed);
            let mut probes = 0;
            let found = search(start, 2_000_000, 0.1, 40, &mut |rate| {
                probes += 1;
                let near = (rate as f64 / truth as f64).ln().abs() < 0.2;
                Ok::<_, Infallible>(Some((rate <= truth) != (near && rng.unit() < 0.1)))
            }).unwrap();
            prop_assert!(probes <= 40);
            if let Bracket { low: Some(low), high: Some(high) } = found {
                prop_assert!(low < high);
                let truth = truth as f64;
                prop_assert!((low as f64) < truth * 1.5 && (high as f64) > truth / 1.5);
            }
        }
    }
}
