//! CPU, memory and stolen time of harness, broker and machine, sampled beside the load.

use crate::environment::{
    MachineTimes, PageCache, Usage, machine, own_usage, page_cache, reset_peak, usage,
};
use crate::record::SECOND_NS;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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

/// So many of the older samples are kept, all of the first quarter of an hour: whenever there are
/// more, every other one goes.
const MOST_SAMPLES: usize = 4096;
/// The newest are all there: a minute and a half.
const LATE_SAMPLES: usize = 450;

/// The samples of a cell, in order of time: as much memory after days as after minutes.
#[derive(Clone, Debug)]
pub struct Health {
    /// One in `every`, each with the peaks of those behind it that were left out.
    samples: Vec<ResourceSample>,
    every: u64,
    /// How many have gone from the late to the older ones.
    passed: u64,
    late: VecDeque<ResourceSample>,
    /// CPU time of each of the broker's processes when it was last seen, ns: what ended stays
    /// counted.
    seen: BTreeMap<u32, u64>,
    /// Of all of them together, since the first sample.
    broker_cpu_ns: u64,
    /// Processes whose peak is of a time before the cell.
    old_peaks: BTreeSet<u32>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            samples: Vec::new(),
            every: 1,
            passed: 0,
            late: VecDeque::new(),
            seen: BTreeMap::new(),
            broker_cpu_ns: 0,
            old_peaks: BTreeSet::new(),
        }
    }
}

impl ResourceSample {
    /// Takes over the peaks of one that is left out.
    fn outlast(&mut self, other: &Self) {
        let raise = |mine: &mut Usage, theirs: &Usage| {
            mine.peak_rss_bytes = mine.peak_rss_bytes.max(theirs.peak_rss_bytes);
        };
        raise(&mut self.client, &other.client);
        raise(&mut self.broker, &other.broker);
    }
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
        self.keep(ResourceSample { at_ns, client, broker, machine, cache });
    }

    fn keep(&mut self, sample: ResourceSample) {
        self.late.push_back(sample);
        if self.late.len() <= LATE_SAMPLES {
            return;
        }
        let Some(old) = self.late.pop_front() else { return };
        match self.samples.last_mut() {
            Some(last) if !self.passed.is_multiple_of(self.every) => last.outlast(&old),
            _ => self.samples.push(old),
        }
        self.passed += 1;
        if self.samples.len() == MOST_SAMPLES {
            let pairs = self.samples.chunks(2).map(|pair| {
                let mut kept = pair[0];
                pair[1..].iter().for_each(|other| kept.outlast(other));
                kept
            });
            self.samples = pairs.collect();
            self.every *= 2;
        }
    }

    fn all(&self) -> impl Iterator<Item = &ResourceSample> {
        self.samples.iter().chain(&self.late)
    }

    fn near(&self, at_ns: u64) -> Option<&ResourceSample> {
        self.all().min_by_key(|sample| sample.at_ns.abs_diff(at_ns))
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
            let within = self.all().filter(|sample| within.contains(&sample.at_ns));
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
        if self.all().all(|sample| sample.broker.rss_bytes == 0) { Vec::new() } else { cpu }
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

    fn sample((at_ns, peak): (u64, u64)) -> ResourceSample {
        let usage = |peak_rss_bytes| Usage { peak_rss_bytes, cpu_ns: at_ns, ..Usage::default() };
        ResourceSample {
            at_ns,
            client: usage(peak),
            broker: usage(2 * peak),
            machine: MachineTimes::default(),
            cache: None,
        }
    }

    #[test]
    fn days_take_no_more_room_than_a_quarter_of_an_hour_and_no_peak_is_lost() {
        let mut health = Health::default();
        // Five a second for a day; one of them, at noon, saw a peak.
        let noon = 216_000;
        for n in 0..432_000 {
            health.keep(sample((n * SECOND_NS / 5, if n == noon { 9 } else { 1 })));
        }
        assert!(health.all().count() <= MOST_SAMPLES + LATE_SAMPLES);
        assert!(health.all().is_sorted_by_key(|sample| sample.at_ns));
        let day = 86_400 * SECOND_NS;
        let spent = health.between(0, day).unwrap();
        assert_eq!((spent.client_peak_rss_bytes, spent.broker_peak_rss_bytes), (9, 18));
        let whole = day - SECOND_NS / 5;
        assert_eq!((spent.client_cpu_ns, spent.length_ns), (whole, whole));
        let lately = health.between(day - 60 * SECOND_NS, day - 59 * SECOND_NS).unwrap();
        assert_eq!(lately.length_ns, SECOND_NS, "of late every sample is there");
    }

    #[test]
    fn a_peak_is_the_most_of_the_window_and_not_what_came_after() {
        let samples = [(1, 5), (2, 9), (3, 7), (4, 100)].map(sample).to_vec();
        let spent = Health { samples, ..Health::default() }.between(1, 3).unwrap();
        assert_eq!((spent.client_peak_rss_bytes, spent.broker_peak_rss_bytes), (9, 18));
    }
}
