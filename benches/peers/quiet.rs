//! Keeps other programs out of the figures: waits until the machine is idle, and afterwards tells whether it stayed so.
//!
//! A run during which others took more than [`FOREIGN`] of the machine is repeated, whatever it showed: the rule looks at
//! the disturbance alone, never at the result.

use brokerbench::environment::{MachineTimes, machine, own_usage, usage};
use std::time::{Duration, Instant};

/// Share of all processors that the kernel and other programs may take beside client and broker.
pub const FOREIGN: f64 = 0.08;
/// Longest wait for an idle machine.
const LIMIT: Duration = Duration::from_secs(180);

pub struct Quiet {
    machine: MachineTimes,
    ours_ns: u64,
    brokers: Vec<u32>,
}

impl Quiet {
    /// Everything written out and nobody else at work, or [`LIMIT`] over; then starts to watch.
    pub fn await_it(brokers: Vec<u32>) -> Option<Self> {
        rustix::fs::sync();
        let deadline = Instant::now() + LIMIT;
        loop {
            let watch = Self { machine: machine()?, ours_ns: spent(&brokers)?, brokers: brokers.clone() };
            std::thread::sleep(Duration::from_millis(300));
            if watch.foreign(0)? < FOREIGN || Instant::now() > deadline {
                return Some(Self { machine: machine()?, ours_ns: spent(&brokers)?, brokers });
            }
        }
    }

    /// What others took since; `peer_ns` is the CPU time of a peer that has ended.
    pub fn foreign(&self, peer_ns: u64) -> Option<f64> {
        let now = machine()?;
        let busy = (now.busy_ns + now.steal_ns).saturating_sub(self.machine.busy_ns + self.machine.steal_ns);
        let whole = busy + now.idle_ns.saturating_sub(self.machine.idle_ns);
        let known = spent(&self.brokers)?.saturating_sub(self.ours_ns) + peer_ns;
        Some(busy.saturating_sub(known) as f64 / whole.max(1) as f64)
    }
}

/// CPU time of this process and the brokers.
fn spent(brokers: &[u32]) -> Option<u64> {
    Some(own_usage()?.cpu_ns + brokers.iter().filter_map(|pid| usage(*pid)).map(|usage| usage.cpu_ns).sum::<u64>())
}
