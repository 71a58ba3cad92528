//! Comparison of two systems over paired blocks: a ratio with its interval, and the words it allows.
//!
//! A block runs every system once, so drift of the machine cancels within it. The effect is the geometric mean of the
//! per-block ratios with a 95 % t-interval on their logarithms. One block supports no verdict however many messages it
//! has, and neither do two: spread between blocks cannot be seen from inside one. Nothing is ever left out as an outlier.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Differences within 5 % do not matter to anyone's choice.
pub const MARGIN: f64 = 1.05;
/// Fewer blocks support no verdict.
pub const LEAST_BLOCKS: usize = 3;
/// Error rate of every family of verdicts, and of the intervals.
pub const ALPHA: f64 = 0.05;
/// Below this spread of the logarithms blocks count as identical: no measurement repeats to a millionth.
const LEAST_ERROR: f64 = 1e-6;

/// A mean on the logarithmic scale with its spread: of one system's values, or of ratios of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeometricMean {
    log_mean: f64,
    log_error: f64,
    blocks: usize,
}

/// What a ratio `a ÷ b` of something that is better when larger allows to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The interval lies wholly above the margin: `a` is faster.
    Faster,
    /// The interval lies wholly below the margin: `b` is faster.
    Slower,
    /// The interval lies wholly inside the margin.
    Equivalent,
    /// It excludes 1 but reaches into the margin.
    Different,
    Inconclusive,
    /// Fewer than [`LEAST_BLOCKS`] blocks.
    Exploratory,
}

impl Word {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Equivalent => "equivalent",
            Self::Different => "different, not shown to exceed the margin",
            Self::Inconclusive => "inconclusive",
            Self::Exploratory => "inconclusive (exploratory)",
        }
    }
}

impl GeometricMean {
    /// Of positive, finite values, one per block; `None` when there is no value or one that has no logarithm.
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

    /// Of the per-block ratios `a ÷ b`; both slices hold the same blocks in the same order.
    pub fn of_ratios(a: &[f64], b: &[f64]) -> Option<Self> {
        if a.len() != b.len() {
            return None;
        }
        Self::of(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>())
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

    /// Two-sided p-value for "not above `limit`": below [`ALPHA`] exactly when the interval lies above it.
    pub fn p_above(&self, limit: f64) -> Option<f64> {
        let t = (self.log_mean - limit.ln()) / self.log_error;
        Some((2.0 * self.student()?.sf(t)).min(1.0))
    }

    /// Two-sided p-value for "not below `limit`": below [`ALPHA`] exactly when the interval lies below it.
    pub fn p_below(&self, limit: f64) -> Option<f64> {
        let t = (self.log_mean - limit.ln()) / self.log_error;
        Some((2.0 * self.student()?.cdf(t)).min(1.0))
    }

    fn student(&self) -> Option<StudentsT> {
        if self.blocks < LEAST_BLOCKS {
            return None;
        }
        StudentsT::new(0.0, 1.0, (self.blocks - 1) as f64).ok()
    }
}

/// Holm's step-down adjustment: an adjusted p-value below α rejects with family-wise error at most α.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
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

/// A word for each ratio of one family, Holm-adjusted within each kind of statement.
pub fn words(family: &[GeometricMean]) -> Vec<Word> {
    let adjusted = |p: &dyn Fn(&GeometricMean) -> Option<f64>| {
        holm(&family.iter().map(|ratio| p(ratio).unwrap_or(1.0)).collect::<Vec<_>>())
    };
    let above = adjusted(&|ratio| ratio.p_above(MARGIN));
    let below = adjusted(&|ratio| ratio.p_below(1.0 / MARGIN));
    let inside = adjusted(&|ratio| Some(ratio.p_below(MARGIN)?.max(ratio.p_above(1.0 / MARGIN)?)));
    let apart = adjusted(&|ratio| Some(ratio.p_above(1.0)?.min(ratio.p_below(1.0)?)));
    (0..family.len())
        .map(|at| match () {
            () if family[at].blocks < LEAST_BLOCKS => Word::Exploratory,
            () if above[at] < ALPHA => Word::Faster,
            () if below[at] < ALPHA => Word::Slower,
            () if inside[at] < ALPHA => Word::Equivalent,
            () if apart[at] < ALPHA => Word::Different,
            () => Word::Inconclusive,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(ratios: &[f64]) -> Word {
        words(&[GeometricMean::of(ratios).unwrap()])[0]
    }

    #[test]
    fn known_answer() {
        // logs: ln 2 ± d with d = 0.1, 0, −0.1: mean ln 2, s = 0.1, error 0.1/√3, t(0.975, 2) = 4.302653.
        let ratios: Vec<f64> = [0.1, 0.0, -0.1].iter().map(|d: &f64| 2.0 * d.exp()).collect();
        let mean = GeometricMean::of(&ratios).unwrap();
        let half = 4.302_653 * 0.1 / 3f64.sqrt();
        let [low, high] = mean.interval().unwrap();
        assert!((mean.value() - 2.0).abs() < 1e-9);
        assert!((low - 2.0 * (-half).exp()).abs() < 1e-5 && (high - 2.0 * half.exp()).abs() < 1e-5, "{low} {high}");
    }

    #[test]
    fn p_values_and_interval_agree() {
        for scale in [0.8, 0.94, 1.0, 1.04, 1.2, 1.5] {
            let mean = GeometricMean::of(&[scale, scale * 1.03, scale * 0.98, scale * 1.01]).unwrap();
            let [low, high] = mean.interval().unwrap();
            assert_eq!(mean.p_above(MARGIN).unwrap() < ALPHA, low > MARGIN, "{scale}");
            assert_eq!(mean.p_below(0.95).unwrap() < ALPHA, high < 0.95, "{scale}");
        }
    }

    #[test]
    fn every_word() {
        assert_eq!(word(&[2.0, 2.1, 1.9]), Word::Faster);
        assert_eq!(word(&[0.5, 0.52, 0.48]), Word::Slower);
        assert_eq!(word(&[1.0, 1.005, 0.995]), Word::Equivalent);
        assert_eq!(word(&[1.04, 1.05, 1.045, 1.055]), Word::Different);
        assert_eq!(word(&[0.8, 1.3, 1.1]), Word::Inconclusive);
        assert_eq!(word(&[5.0, 5.0]), Word::Exploratory);
    }

    #[test]
    fn ratios_are_paired_by_block() {
        // Both systems drift by a factor of 3 between blocks; the ratio does not.
        let ratio = GeometricMean::of_ratios(&[2.0, 6.0, 4.0], &[1.0, 3.0, 2.0]).unwrap();
        assert_eq!(words(&[ratio]), [Word::Faster]);
        assert!((ratio.value() - 2.0).abs() < 1e-9);
        assert_eq!(GeometricMean::of_ratios(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(GeometricMean::of_ratios(&[1.0], &[0.0]), None);
        assert_eq!(GeometricMean::of(&[]), None);
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

    /// Blocks of a comparison whose true ratio is `truth`: 5 % drift between blocks, which pairing removes, and 3 %
    /// spread from run to run, which it cannot.
    fn simulate(noise: &mut Noise, blocks: usize, truth: f64) -> GeometricMean {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..blocks {
            let drift = 0.05 * noise.normal();
            a.push(truth * (drift + 0.03 * noise.normal()).exp());
            b.push((drift + 0.03 * noise.normal()).exp());
        }
        GeometricMean::of_ratios(&a, &b).unwrap()
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
                let word = words(&[ratio])[0];
                wrong += usize::from(matches!(word, Word::Faster | Word::Slower | Word::Different));
            }
            assert!(wrong * 1000 <= TRIALS * 65, "{wrong} false verdicts in {TRIALS} at {blocks} blocks");
            assert!(covered * 1000 >= TRIALS * 935, "{covered} of {TRIALS} covered at {blocks} blocks");
        }
    }

    #[test]
    fn a_family_of_equal_systems_is_rarely_called_different() {
        let mut noise = Noise(42);
        const TRIALS: usize = 1_000;
        let wrong = (0..TRIALS)
            .filter(|_| {
                let family: Vec<_> = (0..6).map(|_| simulate(&mut noise, 3, 1.0)).collect();
                words(&family).iter().any(|w| matches!(w, Word::Faster | Word::Slower | Word::Different))
            })
            .count();
        assert!(wrong * 1000 <= TRIALS * 65, "{wrong} families of {TRIALS} with a false verdict");
    }

    #[test]
    fn a_real_difference_is_found() {
        let mut noise = Noise(7);
        let found = (0..200).filter(|_| words(&[simulate(&mut noise, 5, 1.5)])[0] == Word::Faster).count();
        assert!(found > 190, "{found} of 200");
    }
}
