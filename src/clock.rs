//! The one monotonic epoch of a run: every stamp is u64 nanoseconds since it.
//!
//! Producers and consumers of a run share one process, so one [`Clock`], copied freely, makes their
//! stamps comparable; those of several processes agree on its zero before they load anything
//! (`engine/barrier`). Nothing here reads wall-clock time.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// With its zero at that moment.
    pub fn counting_from(epoch: Instant) -> Self {
        Self { epoch }
    }

    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// The same for a moment that was noted without this clock; 0 when it was before the epoch.
    pub fn at(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    /// The time left until `deadline_ns`, zero when it has passed.
    #[inline]
    pub fn until(&self, deadline_ns: u64) -> Duration {
        Duration::from_nanos(deadline_ns.saturating_sub(self.now_ns()))
    }
}

/// What all processes of one kernel read alike, from its boot on.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Names this boot of this kernel: two processes that read the same one share its monotonic clock.
/// `None` where it is not told.
pub fn boot() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What the kernel reads the clock from (`tsc`, `kvm-clock`, …); `unknown` where it does not say.
pub fn source() -> String {
    std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
        .map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned())
}

/// The median cost of reading the clock, in nanoseconds, over a few thousand reads.
pub fn cost_ns() -> u64 {
    let clock = Clock::start();
    let mut gaps: Vec<u64> = (0..2001)
        .map(|_| {
            let start = clock.now_ns();
            for _ in 0..10 {
                std::hint::black_box(clock.now_ns());
            }
            (clock.now_ns() - start) / 11
        })
        .collect();
    gaps.sort_unstable();
    gaps[gaps.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_never_go_back() {
        let clock = Clock::start();
        let stamps: Vec<u64> = (0..1000).map(|_| clock.now_ns()).collect();
        assert!(stamps.is_sorted());
    }

    #[test]
    fn a_noted_moment_lies_where_it_was() {
        let before = Instant::now();
        let clock = Clock::start();
        let start = clock.now_ns();
        let noted = clock.at(Instant::now());
        assert!(start <= noted && noted <= clock.now_ns());
        assert_eq!(clock.at(before), 0);
    }

    #[test]
    fn a_passed_deadline_leaves_no_time() {
        let clock = Clock::start();
        assert_eq!(clock.until(0), Duration::ZERO);
        assert!(clock.until(clock.now_ns() + 1_000_000_000) > Duration::from_millis(900));
    }
}
