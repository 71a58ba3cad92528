//! Keys of the experiment `capacity`.

use super::ExperimentKeys;
use crate::scenario::cell::Cell;
use crate::units::{Rate, Span};

keys! {
    /// Searches the highest fixed rate that keeps the tail below a limit. `load.rate` is where it
    /// starts, `load.duration` the window of each probe.
    pub struct Capacity {
        /// Most that the 99th percentile of end-to-end latency may be.
        limit: Span = Span::from_millis(50),
        /// How far the ends of the bracket may be apart, as a share of the lower one.
        #[schemars(range(min = 0.01, max = 1.0))]
        within: f64 = 0.1,
        /// The search goes no higher: what carries this is said to carry at least this.
        most: Rate = Rate::per_second(2_000_000),
    }
}

impl ExperimentKeys for Capacity {
    const WARM: bool = true;
    const LOADS: bool = true;

    /// Seconds, roughly: doublings until a probe fails, bisections until both ends are near, and
    /// their confirmation.
    fn estimate(&self, cell: &Cell) -> f64 {
        const DOUBLINGS: f64 = 6.0;
        const CONFIRMATIONS: f64 = 3.0;
        /// Connecting, draining, and the rest after a probe that failed.
        const AROUND_A_PROBE: f64 = 2.0;
        let within = self.within.clamp(0.01, 1.0);
        let bisections = (1.0 / (1.0 + within).log2()).log2().ceil().max(0.0);
        let probe = cell.load.warm_up.secs_f64() + cell.load.duration.secs_f64() + AROUND_A_PROBE;
        (DOUBLINGS + bisections + CONFIRMATIONS) * probe
    }
}
