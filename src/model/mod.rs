//! The vocabulary that every group shares: systems, faults, guarantees and codecs by their names.

mod codec;
mod fault_kind;
mod guarantee;
mod quantile;
mod system;

pub use codec::Codec;
pub use fault_kind::{FaultKind, Target};
pub use guarantee::Guarantee;
pub use quantile::Quantile;
pub use system::{Software, System};
