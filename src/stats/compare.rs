//! Comparison of two systems over paired blocks: a ratio with its interval, and the one rule by
//! which it decides.
//!
//! A block runs every system once, so drift of the machine cancels within it. The effect is the
//! geometric mean of the per-block ratios with a 95 % t-interval on their logarithms. One block
//! supports no verdict however many messages it has, and neither do two: spread between blocks
//! cannot be seen from inside one. Nothing is ever left out as an outlier.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Fewer blocks support no verdict.
pub const LEAST_BLOCKS: usize = 3;
/// Error rate of every family of verdicts, and of the intervals.
const ALPHA: f64 = 0.05;
/// Below this spread of the logarithms blocks count as identical: no measurement repeats to a
/// millionth.
const LEAST_ERROR: f64 = 1e-6;

/// A mean on the logarithmic scale with its spread: of one system's values, or of ratios of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeometricMean {
    log_mean: f64,
    log_error: f64,
    blocks: usize,
}

/// On which side of its limit a ratio is claimed to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    Above,
    Below,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }

    pub fn holds(self, ratio: f64, limit: f64) -> bool {
        match self {
            Self::Above => ratio > limit,
            Self::Below => ratio < limit,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    #[error("no block is valid on both sides")]
    NoPair,
    /// Fewer than [`LEAST_BLOCKS`] blocks.
    #[error("exploratory")]
    Exploratory,
    #[error("the interval includes the limit")]
    IncludesLimit,
    /// Its own interval would decide; among so many ratios it does not.
    #[error("not shown as one of {0} (Holm)")]
    OneOfMany(usize),
}

impl GeometricMean {
    /// Of positive, finite values, one per block; `None` when there is no value or one that has no
    /// logarithm.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !(value.is_finite() && *value > 0.0)) {
            return None;
        }
        let count = values.len() as f64;
        let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        let mean = logs.iter().sum::<f64>() / count;
        let squares = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
        let error = if logs.len() > 1 { (squares / (count - 1.0) / count).sqrt() } else { 0.0 };
        Some(Self { log_mean: mean, log_error: error.max(LEAST_ERROR), blocks: logs.len() })
    }

    pub fn value(&self) -> f64 {
        self.log_mean.exp()
    }

    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// The 95 % t-interval; `None` below [`LEAST_BLOCKS`].
    pub fn interval(&self) -> Option<[f64; 2]> {
        let half = self.student()?.inverse_cdf(1.0 - ALPHA / 2.0) * self.log_error;
        Some([(self.log_mean - half).exp(), (self.log_mean + half).exp()])
    }

    /// Two-sided p-value for "not on this side of `limit`": below [`ALPHA`] exactly when the
    /// interval lies there.
    fn p(&self, side: Side, limit: f64) -> Option<f64> {
        let t = (self.log_mean - limit.ln()) / self.log_error;
        let tail = match side {
            Side::Above => self.student()?.sf(t),
            Side::Below => self.student()?.cdf(t),
        };
        Some((2.0 * tail).min(1.0))
    }

    fn student(&self) -> Option<StudentsT> {
        if self.blocks < LEAST_BLOCKS {
            return None;
        }
        StudentsT::new(0.0, 1.0, (self.blocks - 1) as f64).ok()
    }
}

/// Holm's step-down adjustment: an adjusted p-value below α rejects with family-wise error at most
/// α.
fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max(p_values[at] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

/// Whether each ratio of one family lies on this side of the limit: shown, refuted (shown on the
/// other side) or open. Every verdict, every threshold on a ratio and the self-check's equal
/// systems are decided here. Holm's adjustment covers the whole family: one that has no ratio
/// counts as well, else the data would choose how strictly it is judged.
pub fn decide(
    family: &[Option<GeometricMean>],
    side: Side,
    limit: f64,
) -> Vec<Result<bool, Undecided>> {
    let adjusted = |side: Side| {
        let p = |ratio: &Option<GeometricMean>| {
            ratio.and_then(|ratio| ratio.p(side, limit)).unwrap_or(1.0)
        };
        holm(&family.iter().map(p).collect::<Vec<_>>())
    };
    let (shown, refuted) = (adjusted(side), adjusted(side.other()));
    let decide = |at: usize, ratio: &Option<GeometricMean>| {
        let ratio = ratio.ok_or(Undecided::NoPair)?;
        let [low, high] = ratio.interval().ok_or(Undecided::Exploratory)?;
        match () {
            () if shown[at] < ALPHA => Ok(true),
            () if refuted[at] < ALPHA => Ok(false),
            () if low <= limit && limit <= high => Err(Undecided::IncludesLimit),
            () => Err(Undecided::OneOfMany(family.len())),
        }
    };
    family.iter().enumerate().map(|(at, ratio)| decide(at, ratio)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: f64 = 1.05;

    fn above(ratios: &[f64]) -> Result<bool, Undecided> {
        decide(&[GeometricMean::of(ratios)], Side::Above, LIMIT)[0]
    }

    #[test]
    fn known_answer() {
        // logs: ln 2 ± d with d = 0.1, 0, −0.1: mean ln 2, s = 0.1, error 0.1/√3, t(0.975, 2) =
        // 4.302653.
        let ratios: Vec<f64> = [0.1, 0.0, -0.1].iter().map(|d: &f64| 2.0 * d.exp()).collect();
        let mean = GeometricMean::of(&ratios).unwrap();
        let half = 4.302_653 * 0.1 / 3f64.sqrt();
        let [low, high] = mean.interval().unwrap();
        assert!((mean.value() - 2.0).abs() < 1e-9);
        assert!(
            (low - 2.0 * (-half).exp()).abs() < 1e-5 && (high - 2.0 * half.exp()).abs() < 1e-5,
            "{low} {high}"
        );
    }

    #[test]
    fn p_values_and_interval_agree() {
        for scale in [0.8, 0.94, 1.0, 1.04, 1.2, 1.5] {
            let mean =
                GeometricMean::of(&[scale, scale * 1.03, scale * 0.98, scale * 1.01]).unwrap();
            let [low, high] = mean.interval().unwrap();
            assert_eq!(mean.p(Side::Above, LIMIT).unwrap() < ALPHA, low > LIMIT, "{scale}");
            assert_eq!(mean.p(Side::Below, 0.95).unwrap() < ALPHA, high < 0.95, "{scale}");
        }
    }

    #[test]
    fn every_decision() {
        assert_eq!(above(&[2.0, 2.1, 1.9]), Ok(true));
        assert_eq!(above(&[0.5, 0.52, 0.48]), Ok(false));
        assert_eq!(above(&[1.0, 1.005, 0.995]), Ok(false), "refuted is not the same as slower");
        assert_eq!(above(&[1.04, 1.05, 1.045, 1.055]), Err(Undecided::IncludesLimit));
        assert_eq!(above(&[5.0, 5.0]), Err(Undecided::Exploratory));
        assert_eq!(above(&[]), Err(Undecided::NoPair));
        let fast = GeometricMean::of(&[2.0, 2.1, 1.9]);
        assert_eq!(decide(&[fast], Side::Below, LIMIT), [Ok(false)]);
        assert_eq!(decide(&[fast], Side::Below, 3.0), [Ok(true)]);
    }

    /// One that has no ratio stays in the family: the others are judged as strictly as if it had
    /// one.
    #[test]
    fn a_family_is_judged_more_strictly_than_one() {
        let near = GeometricMean::of(&[1.12, 1.15, 1.18]);
        assert_eq!(decide(&[near], Side::Above, LIMIT), [Ok(true)]);
        let many = [vec![near], vec![None; 5]].concat();
        assert_eq!(decide(&many, Side::Above, LIMIT)[0], Err(Undecided::OneOfMany(6)));
    }

    #[test]
    fn what_has_no_logarithm_has_no_mean() {
        assert!(
            [&[][..], &[1.0, 0.0], &[f64::INFINITY]]
                .iter()
                .all(|values| GeometricMean::of(values).is_none())
        );
    }

    #[test]
    fn holm_known_answer() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(adjusted.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-12), "{adjusted:?}");
        assert_eq!(holm(&[]), Vec::<f64>::new());
    }

    /// Seeded noise: sums of twelve uniform numbers are normal enough.
    struct Noise(u64);
    impl Noise {
        fn uniform(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }
    }

    /// Blocks of a comparison whose true ratio is `truth`: 5 % drift between blocks, which pairing
    /// removes, and 3 % spread from run to run, which it cannot.
    fn simulate(noise: &mut Noise, blocks: usize, truth: f64) -> GeometricMean {
        let ratios = (0..blocks).map(|_| {
            let drift = 0.05 * noise.normal();
            let a = truth * (drift + 0.03 * noise.normal()).exp();
            a / (drift + 0.03 * noise.normal()).exp()
        });
        GeometricMean::of(&ratios.collect::<Vec<_>>()).unwrap()
    }

    /// Whether a difference in either direction is claimed of any of the family, with no margin at
    /// all.
    fn claimed(family: &[GeometricMean]) -> bool {
        let family: Vec<_> = family.iter().copied().map(Some).collect();
        [Side::Above, Side::Below]
            .iter()
            .any(|side| decide(&family, *side, 1.0).contains(&Ok(true)))
    }

    #[test]
    fn equal_systems_are_rarely_called_different() {
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        const TRIALS: usize = 2_000;
        for blocks in [3, 5, 10] {
            let (mut wrong, mut covered) = (0, 0);
            for _ in 0..TRIALS {
                let ratio = simulate(&mut noise, blocks, 1.0);
                let [low, high] = ratio.interval().unwrap();
                covered += usize::from(low <= 1.0 && 1.0 <= high);
                wrong += usize::from(claimed(&[ratio]));
            }
            assert!(
                wrong * 1000 <= TRIALS * 65,
                "{wrong} false verdicts in {TRIALS} at {blocks} blocks"
            );
            assert!(
                covered * 1000 >= TRIALS * 935,
                "{covered} of {TRIALS} covered at {blocks} blocks"
            );
        }
    }

    #[test]
    fn a_family_of_equal_systems_is_rarely_called_different() {
        let mut noise = Noise(42);
        const TRIALS: usize = 1_000;
        let wrong = (0..TRIALS)
            .filter(|_| {
                let family: Vec<_> = (0..6).map(|_| simulate(&mut noise, 3, 1.0)).collect();
                claimed(&family)
            })
            .count();
        assert!(wrong * 1000 <= TRIALS * 65, "{wrong} families of {TRIALS} with a false verdict");
    }

    #[test]
    fn a_real_difference_is_found() {
        let mut noise = Noise(7);
        let found = (0..200)
            .filter(|_| {
                decide(&[Some(simulate(&mut noise, 5, 1.5))], Side::Above, LIMIT) == [Ok(true)]
            })
            .count();
        assert!(found > 190, "{found} of 200");
    }
}
