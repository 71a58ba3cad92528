//! Comparison of two systems over paired blocks, or of two runs: a ratio with its interval, and the
//! one rule by which it decides.
//!
//! A block runs every system once, so drift of the machine cancels within it. The effect is the
//! geometric mean of the per-block ratios with a 95 % t-interval on their logarithms. Blocks of two
//! runs are no pairs: there the errors of both add up, and drift between the runs stays. One block
//! supports no verdict however many messages it has, and neither do two: spread between blocks
//! cannot be seen from inside one. Nothing is ever left out as an outlier.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Fewer blocks support no verdict.
pub const LEAST_BLOCKS: usize = 3;
/// Error rate of every family of verdicts, and of the intervals.
pub(super) const ALPHA: f64 = 0.05;
/// Below this spread of the logarithms blocks count as identical: no measurement repeats to a
/// millionth.
const LEAST_ERROR: f64 = 1e-6;

/// A mean on the logarithmic scale with its spread: of one system's values, or of ratios of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeometricMean {
    log_mean: f64,
    log_error: f64,
    blocks: usize,
    /// Degrees of freedom of the error.
    freedom: f64,
    /// Of a ratio: up to which factor, upwards or downwards, nothing is a difference.
    margin: f64,
}

/// The least margin of a study that measures one.
pub(super) const LEAST_MARGIN: f64 = 1.05;

/// Up to which factor a study cannot tell a difference from none, by the ratios of equal systems in
/// it (A/A): half the width of the widest interval, 5 % at least. `None` where there is none.
pub fn margin(equals: &[GeometricMean]) -> Option<f64> {
    let half = |ratio: &GeometricMean| ratio.interval().map(|[low, high]| (high / low).sqrt());
    equals
        .iter()
        .map(|ratio| half(ratio).unwrap_or(LEAST_MARGIN))
        .reduce(f64::max)
        .map(|widest| widest.max(LEAST_MARGIN))
}

/// On which side of its limit a ratio is claimed to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    Above,
    Below,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    #[error("no block on both sides")]
    NoPair,
    /// Fewer than [`LEAST_BLOCKS`].
    #[error("fewer than {LEAST_BLOCKS} blocks")]
    FewBlocks,
    #[error("difference within the spread")]
    WithinSpread,
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
        Some(Self {
            log_mean: mean,
            log_error: error.max(LEAST_ERROR),
            blocks: logs.len(),
            freedom: count - 1.0,
            margin: 1.0,
        })
    }

    /// Divided by `other`, whose blocks did not run beside these, as those of another run: Welch's
    /// error and degrees of freedom. The fewer blocks count.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        let variance = |one: &Self| one.log_error.powi(2);
        let share = |one: &Self| variance(one).powi(2) / one.freedom;
        let both = variance(self) + variance(other);
        Self {
            log_mean: self.log_mean - other.log_mean,
            log_error: both.sqrt(),
            blocks: self.blocks.min(other.blocks),
            freedom: both.powi(2) / (share(self) + share(other)),
            margin: self.margin.max(other.margin),
        }
    }

    pub fn value(&self) -> f64 {
        self.log_mean.exp()
    }

    /// The spread of the logarithms from block to block.
    pub fn log_sd(&self) -> f64 {
        self.log_error * (self.blocks as f64).sqrt()
    }

    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// The 95 % t-interval; `None` below [`LEAST_BLOCKS`].
    pub fn interval(&self) -> Option<[f64; 2]> {
        let half = self.student()?.inverse_cdf(1.0 - ALPHA / 2.0) * self.log_error;
        Some([(self.log_mean - half).exp(), (self.log_mean + half).exp()])
    }

    /// The same ratio in a study that has a margin.
    #[must_use]
    pub fn with_margin(self, margin: Option<f64>) -> Self {
        Self { margin: margin.unwrap_or(self.margin), ..self }
    }

    /// One-sided p-value for "not on this side of `limit`", nor of the margin: a margin makes a
    /// difference harder to show, and "no difference" no easier.
    fn p(&self, side: Side, limit: f64) -> Option<f64> {
        let limit = match side {
            Side::Above if limit >= 1.0 => limit.max(self.margin),
            Side::Below if limit <= 1.0 => limit.min(1.0 / self.margin),
            Side::Above | Side::Below => limit,
        };
        let t = (self.log_mean - limit.ln()) / self.log_error;
        Some(match side {
            Side::Above => self.student()?.sf(t),
            Side::Below => self.student()?.cdf(t),
        })
    }

    fn student(&self) -> Option<StudentsT> {
        if self.blocks < LEAST_BLOCKS {
            return None;
        }
        StudentsT::new(0.0, 1.0, self.freedom).ok()
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

/// The ratios of a claim at every point at which it must hold; `None` where there is none.
pub type Points = Vec<Option<GeometricMean>>;

/// Whether the claims of a family, each under its conditions, lie on this side of the limit: shown,
/// refuted (shown on the other side) or open. Every verdict, every threshold on a ratio, the
/// self-check's equal systems and what differs between two runs are decided here.
///
/// A claim that must hold at every point is an intersection–union test: each point is tested
/// one-sided at [`ALPHA`], and none needs a correction for the others (Berger 1982). To say *for
/// which* claims of the family all points hold is a choice among them, and Holm's adjustment over
/// them keeps the rate of a false choice; what holds under some conditions only is chosen among all
/// conditions of all claims. What has no ratio counts as well, else the data would choose how
/// strictly the rest is judged.
pub fn decide(family: &[Vec<Points>], side: Side, limit: f64) -> Vec<Vec<Result<bool, Undecided>>> {
    let worst = |points: &mut dyn Iterator<Item = &Option<GeometricMean>>, side: Side| {
        let p = |ratio: &Option<GeometricMean>| {
            ratio.and_then(|ratio| ratio.p(side, limit)).unwrap_or(1.0)
        };
        points.map(p).reduce(f64::max).unwrap_or(1.0)
    };
    let shown = |side: Side| {
        let wholly = |claim: &Vec<Points>| worst(&mut claim.iter().flatten(), side);
        let wholly = holm(&family.iter().map(wholly).collect::<Vec<_>>());
        let each = family.iter().flatten().map(|points| worst(&mut points.iter(), side));
        let mut each = holm(&each.collect::<Vec<_>>()).into_iter();
        let claims = family.iter().zip(wholly).map(|(claim, wholly)| {
            let each = each.by_ref().take(claim.len());
            each.map(|p| p.min(wholly) < ALPHA).collect::<Vec<_>>()
        });
        claims.collect::<Vec<_>>()
    };
    let (shown, refuted) = (shown(side), shown(side.other()));
    let decide = |claim: usize, at: usize| match &family[claim][at] {
        _ if shown[claim][at] => Ok(true),
        _ if refuted[claim][at] => Ok(false),
        points if points.iter().any(Option::is_none) => Err(Undecided::NoPair),
        points if points.iter().flatten().any(|ratio| ratio.blocks < LEAST_BLOCKS) => {
            Err(Undecided::FewBlocks)
        }
        _ => Err(Undecided::WithinSpread),
    };
    let claims = family.iter().enumerate();
    claims.map(|(at, claim)| (0..claim.len()).map(|here| decide(at, here)).collect()).collect()
}

/// One ratio alone.
pub fn decide_one(ratio: Option<GeometricMean>, side: Side, limit: f64) -> Result<bool, Undecided> {
    decide(&[vec![vec![ratio]]], side, limit)[0][0]
}

#[cfg(test)]
mod tests;
