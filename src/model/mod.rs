//! The vocabulary that every group shares: systems, faults, guarantees and codecs by their names.

mod codec;
mod fault_kind;
mod guarantee;
mod latency;
pub mod measure;
pub mod metric;
mod point;
mod quantile;
mod system;
mod unit;

pub use codec::Codec;
pub use fault_kind::{FaultKind, FaultTarget, Grip, Threat};
pub use guarantee::Guarantee;
pub use latency::Latency;
pub use measure::{Measure, Statistic};
pub use metric::{Aggregate, Metric};
pub use point::{BASE, Point};
pub use quantile::Quantile;
pub use system::{Marker, MessageStore, Software, System, SystemStyle};
pub use unit::{Unit, three_digits};
