//! CPU, memory and stolen time of harness, broker and machine, sampled beside the load.

use crate::environment::{
    MachineTimes, PageCache, Usage, machine, own_usage, page_cache, reset_peak, usage,
};
use crate::record::SECOND_NS;
use std::collections::{BTreeMap, BTreeSet};

/// One look.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSample {
    pub at_ns: u64,
    pub client: Usage,
    /// Sum over the broker's processes; zero where they are not on this machine.
    pub broker: Usage,
    pub machine: MachineTimes,
    pub cache: Option<PageCache>,
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
    /// Processes whose peak is of a time before the cell.
    old_peaks: BTreeSet<u32>,
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
    /// What the whole machine wrote to the page cache, and from there.
    pub cache: Option<PageCache>,
    pub steal_share: f64,
}

impl Health {
    /// Before the first sample: from here on, memory counts as this cell's. What was needed before
    /// (a size ladder's gigabyte, an earlier cell's backlog) is no peak of this one.
    pub fn begin(&mut self, broker_pids: &[u32]) {
        let all = broker_pids.iter().copied().chain([std::process::id()]);
        self.old_peaks = all.filter(|pid| !reset_peak(*pid)).collect();
    }

    /// Where the kernel did not let us begin anew, the peak is the most that any sample saw.
    fn of_this_cell(&self, pid: u32, found: Usage) -> Usage {
        let old = self.old_peaks.contains(&pid);
        Usage { peak_rss_bytes: if old { found.rss_bytes } else { found.peak_rss_bytes }, ..found }
    }

    /// Takes a sample. Costs a few small reads from /proc; called a few times a second, never from
    /// a pacing thread.
    pub fn sample(&mut self, at_ns: u64, broker_pids: &[u32]) {
        let mut broker = Usage::default();
        for (pid, found) in broker_pids.iter().filter_map(|pid| Some((*pid, usage(*pid)?))) {
            let before = self.seen.insert(pid, found.cpu_ns).unwrap_or(0);
            self.broker_cpu_ns += found.cpu_ns.saturating_sub(before);
            broker.rss_bytes += found.rss_bytes;
            broker.peak_rss_bytes += self.of_this_cell(pid, found).peak_rss_bytes;
        }
        broker.cpu_ns = self.broker_cpu_ns;
        let client = self.of_this_cell(std::process::id(), own_usage().unwrap_or_default());
        let machine = machine().unwrap_or_default();
        let cache = page_cache();
        self.samples.push(ResourceSample { at_ns, client, broker, machine, cache });
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
        let within = first.at_ns..=last.at_ns;
        // A process that ended took its peak along.
        let peak = |of: fn(&ResourceSample) -> &Usage| {
            let within = self.samples.iter().filter(|sample| within.contains(&sample.at_ns));
            within.map(|sample| of(sample).peak_rss_bytes).max().unwrap_or(0)
        };
        let client_cpu_ns = last.client.cpu_ns.saturating_sub(first.client.cpu_ns);
        let cache = first.cache.zip(last.cache).map(|(first, last)| PageCache {
            dirtied_bytes: last.dirtied_bytes.saturating_sub(first.dirtied_bytes),
            written_bytes: last.written_bytes.saturating_sub(first.written_bytes),
        });
        Some(Spent {
            length_ns,
            client_cpu_ns,
            cache,
            broker_cpu_ns: last.broker.cpu_ns.saturating_sub(first.broker.cpu_ns),
            client_peak_rss_bytes: peak(|sample| &sample.client),
            broker_peak_rss_bytes: peak(|sample| &sample.broker),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_needed_before_a_cell_is_no_peak_of_it() {
        let mut broker = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut health = Health::default();
        health.begin(&[broker.id(), u32::MAX]);
        let found = Usage { rss_bytes: 1, peak_rss_bytes: 9, ..Usage::default() };
        let peak = |pid: u32| health.of_this_cell(pid, found).peak_rss_bytes;
        assert_eq!((peak(broker.id()), peak(std::process::id())), (9, 9), "begun anew");
        assert_eq!(peak(u32::MAX), 1, "not ours to begin anew");
        broker.kill().unwrap();
        broker.wait().unwrap();
    }

    #[test]
    fn a_peak_is_the_most_of_the_window_and_not_what_came_after() {
        let usage = |peak_rss_bytes| Usage { peak_rss_bytes, ..Usage::default() };
        let sample = |(at_ns, peak)| ResourceSample {
            at_ns,
            client: usage(peak),
            broker: usage(2 * peak),
            machine: MachineTimes::default(),
            cache: None,
        };
        let samples = [(1, 5), (2, 9), (3, 7), (4, 100)].map(sample).to_vec();
        let spent = Health { samples, ..Health::default() }.between(1, 3).unwrap();
        assert_eq!((spent.client_peak_rss_bytes, spent.broker_peak_rss_bytes), (9, 18));
    }
}
