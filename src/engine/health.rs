//! CPU, memory and stolen time of harness, broker and machine, sampled beside the load.

use crate::environment::{MachineTimes, Usage, machine, own_usage, usage};
use crate::record::SECOND_NS;
use std::collections::BTreeMap;

/// One look.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSample {
    pub at_ns: u64,
    pub client: Usage,
    /// Sum over the broker's processes; zero where they are not on this machine.
    pub broker: Usage,
    pub machine: MachineTimes,
}

/// All samples of a cell, in order of time.
#[derive(Clone, Debug, Default)]
pub struct Health {
    samples: Vec<ResourceSample>,
    /// CPU time of each of the broker's processes when it was last seen, ns: what ended stays
    /// counted.
    seen: BTreeMap<u32, u64>,
    /// Of all of them together, since the first sample.
    broker_cpu_ns: u64,
}

/// CPU and memory between two times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub length_ns: u64,
    pub client_cpu_ns: u64,
    pub broker_cpu_ns: u64,
    pub client_peak_rss_bytes: u64,
    pub broker_peak_rss_bytes: u64,
    pub machine_busy_share: f64,
    pub steal_share: f64,
}

impl Health {
    /// Takes a sample. Costs a few small reads from /proc; called a few times a second, never from
    /// a pacing thread.
    pub fn sample(&mut self, at_ns: u64, broker_pids: &[u32]) {
        let mut broker = Usage::default();
        for (pid, found) in broker_pids.iter().filter_map(|pid| Some((*pid, usage(*pid)?))) {
            let before = self.seen.insert(pid, found.cpu_ns).unwrap_or(0);
            self.broker_cpu_ns += found.cpu_ns.saturating_sub(before);
            broker.rss_bytes += found.rss_bytes;
            broker.peak_rss_bytes += found.peak_rss_bytes;
        }
        broker.cpu_ns = self.broker_cpu_ns;
        let (client, machine) = (own_usage().unwrap_or_default(), machine().unwrap_or_default());
        self.samples.push(ResourceSample { at_ns, client, broker, machine });
    }

    fn near(&self, at_ns: u64) -> Option<&ResourceSample> {
        self.samples.iter().min_by_key(|sample| sample.at_ns.abs_diff(at_ns))
    }

    /// What was spent between the samples next to `from_ns` and `to_ns`; `None` with fewer than two
    /// samples.
    pub fn between(&self, from_ns: u64, to_ns: u64) -> Option<Spent> {
        let (first, last) = (self.near(from_ns)?, self.near(to_ns)?);
        let length_ns = last.at_ns.checked_sub(first.at_ns).filter(|length| *length > 0)?;
        let since = |time: fn(&MachineTimes) -> u64| {
            time(&last.machine).saturating_sub(time(&first.machine)) as f64
        };
        let (busy, idle, steal) =
            (since(|m| m.busy_ns), since(|m| m.idle_ns), since(|m| m.steal_ns));
        let whole = (busy + idle + steal).max(1.0);
        let within =
            self.samples.iter().filter(|sample| (first.at_ns..=last.at_ns).contains(&sample.at_ns));
        Some(Spent {
            length_ns,
            client_cpu_ns: last.client.cpu_ns.saturating_sub(first.client.cpu_ns),
            broker_cpu_ns: last.broker.cpu_ns.saturating_sub(first.broker.cpu_ns),
            client_peak_rss_bytes: last.client.peak_rss_bytes,
            // A process that ended took its peak along.
            broker_peak_rss_bytes: within
                .map(|sample| sample.broker.peak_rss_bytes)
                .max()
                .unwrap_or(0),
            machine_busy_share: (busy + steal) / whole,
            steal_share: steal / whole,
        })
    }

    /// The broker's CPU in each whole second of `from..to`, percent of a core; empty where it
    /// cannot be seen.
    pub fn broker_cpu(&self, from: u64, to: u64) -> Vec<u64> {
        let second = |second: u64| self.between(second * SECOND_NS, (second + 1) * SECOND_NS);
        let percent = |spent: Spent| spent.broker_cpu_ns * 100 / spent.length_ns;
        let cpu: Vec<u64> = (from..to).filter_map(second).map(percent).collect();
        if self.samples.iter().all(|sample| sample.broker.rss_bytes == 0) {
            Vec::new()
        } else {
            cpu
        }
    }

    /// Resident memory of the broker nearest to `at_ns`, bytes.
    pub fn broker_rss_at(&self, at_ns: u64) -> Option<u64> {
        self.near(at_ns).map(|sample| sample.broker.rss_bytes).filter(|bytes| *bytes > 0)
    }
}
