//! What a finished measurement allows to conclude. Knows nothing of brokers.

pub mod compare;
mod quantile;
mod steady;

pub use quantile::{Quantile, highest_quantile};
pub use steady::{Second, halves, level, settled, steady_halves};
