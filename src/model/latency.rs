//! The latencies of plain load: what is timed, recorded and reported.

use serde::{Deserialize, Serialize};

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
