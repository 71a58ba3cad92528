//! What a finished measurement allows to conclude. Knows nothing of brokers.

mod blocks;
pub mod compare;
pub mod power;
mod quantile;
mod steady;

pub use blocks::{over_blocks, told_over_blocks};
pub use quantile::{DECISIVE_BEYOND, chance_of, highest_quantile};
pub use steady::{
    ENOUGH_PER_S, HALVES, SEEN_AFTER, SETTLED_OVER, Second, level, settled, stayed, thirds,
};

/// The chance of an event that was not seen in any of `trials`, at most, at 95 % confidence: 1 −
/// 0.05^(1/n). For events that come alone; of losses, which come in clusters, the trial is the
/// fault and not the message.
pub fn chance_of_unseen(trials: u64) -> f64 {
    1.0 - 0.05f64.powf(1.0 / trials.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::chance_of_unseen;

    #[test]
    fn the_rule_of_three() {
        assert_eq!(chance_of_unseen(1), 0.95);
        assert!(
            (chance_of_unseen(10) - 0.2589).abs() < 1e-4
                && (chance_of_unseen(1000) - 0.003).abs() < 1e-5
        );
    }
}
