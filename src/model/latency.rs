//! The latencies of plain load: what is timed, recorded and reported.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Its name is the tag in `latency.hlog` and the key in `summary.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Latency {
    /// acked − planned.
    Publish,
    /// received − planned.
    EndToEnd,
    /// acked − sent.
    Service,
    /// sent − planned.
    ScheduleLag,
}

impl Latency {
    pub const ALL: [Self; 4] = [Self::Publish, Self::EndToEnd, Self::Service, Self::ScheduleLag];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::EndToEnd => "end_to_end",
            Self::Service => "service",
            Self::ScheduleLag => "schedule_lag",
        }
    }

    /// Counted from the plan: the closed model, which plans nothing, has no such latency.
    pub const fn planned(self) -> bool {
        !matches!(self, Self::Service)
    }

    /// Ends with the acknowledgement.
    pub const fn acknowledged(self) -> bool {
        matches!(self, Self::Publish | Self::Service)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
