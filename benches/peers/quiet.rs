//! Keeps other programs out of the figures: waits until they rest, and afterwards tells whether
//! they did.
//!
//! A run during which others took more than [`FOREIGN`] of the machine is repeated, whatever it
//! showed: the rule looks at the disturbance alone, never at the result. What the host of a virtual
//! machine gives to others is not seen here.

use brokerbench::environment::usage;
use std::time::{Duration, Instant};

/// Share of all processors that others may take; the kernel's own threads, which write out the
/// broker's log, are among them and take up to 8 %.
pub const FOREIGN: f64 = 0.1;
/// Longest wait for an idle machine.
const LIMIT: Duration = Duration::from_secs(180);

pub struct Quiet {
    began: Instant,
    others_ns: u64,
    brokers: Vec<u32>,
}

impl Quiet {
    /// Everything written out and nobody else at work, or [`LIMIT`] over; then starts to watch.
    pub fn await_it(brokers: &[u32]) -> Self {
        rustix::fs::sync();
        let deadline = Instant::now() + LIMIT;
        loop {
            let watch = Self::begin(brokers);
            std::thread::sleep(Duration::from_millis(300));
            if watch.foreign() < FOREIGN || Instant::now() > deadline {
                return Self::begin(brokers);
            }
        }
    }

    fn begin(brokers: &[u32]) -> Self {
        Self { began: Instant::now(), others_ns: others_ns(brokers), brokers: brokers.to_vec() }
    }

    /// Share of all processors that others took since.
    pub fn foreign(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let spent = others_ns(&self.brokers).saturating_sub(self.others_ns) as f64;
        spent / (self.began.elapsed().as_nanos() as f64 * cores)
    }
}

/// CPU time of every process but this one, its ended children and the brokers. A process that ends
/// is counted on in its parent's time for children.
fn others_ns(brokers: &[u32]) -> u64 {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others = ids.filter(|id| *id != std::process::id() && !brokers.contains(id));
    others.filter_map(usage).map(|usage| usage.cpu_ns).sum()
}
