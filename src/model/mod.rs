//! The vocabulary that every group shares: systems, faults, guarantees and codecs by their names.

/// An enum and the name of each variant: as results write it, as others read and print it.
macro_rules! named {
    (
        $(#[$about:meta])*
        pub enum $type:ident { $($(#[$of:meta])* $variant:ident = $name:literal,)* }
    ) => {
        $(#[$about])*
        pub enum $type { $($(#[$of])* $variant,)* }

        impl $type {
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.name() == name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

mod fault_kind;
pub mod measure;
pub mod metric;
mod point;
mod quantile;
mod system;
mod told;
mod unit;

pub use fault_kind::{FaultKind, FaultTarget, Grip, Threat};
pub use measure::{Measure, Statistic};
pub use metric::{Aggregate, Direction, Metric};
pub use point::{BASE, Point};
pub use quantile::Quantile;
pub use system::{Marker, MessageStore, Service, Software, System, SystemStyle};
pub use told::Told;
pub use unit::{Unit, three_digits};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

named! {
    /// What the scenario demands of delivery. It only judges; it sets nothing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum Guarantee {
        None = "none",
        AtMostOnce = "at-most-once",
        AtLeastOnce = "at-least-once",
        ExactlyOnceInLog = "exactly-once-in-log",
        ExactlyOnce = "exactly-once",
    }
}

// How a message is compressed on its way: Kafka's `compression.type`, and what an application does
// around a client that has none.
named! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum Codec {
        None = "none",
        Lz4 = "lz4",
        Zstd = "zstd",
        Snappy = "snappy",
        Gzip = "gzip",
    }
}

named! {
    /// Its name is the tag in `latency.hlog` and the key in `summary.json`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Latency {
        /// acked − planned.
        Publish = "publish",
        /// received − planned.
        EndToEnd = "end_to_end",
        /// acked − sent.
        Service = "service",
        /// sent − planned.
        ScheduleLag = "schedule_lag",
    }
}

impl Latency {
    /// Counted from the plan: the closed model, which plans nothing, has no such latency.
    pub const fn planned(self) -> bool {
        !matches!(self, Self::Service)
    }

    /// Ends with the acknowledgement.
    pub const fn acknowledged(self) -> bool {
        matches!(self, Self::Publish | Self::Service)
    }
}
