//! Whether a measurement has settled: before the window ("may it begin?") and after it ("did it
//! hold?").
//!
//! Both rules look at medians of whole seconds, never at single samples, and neither trims
//! anything: a window that drifts is reported as unsteady, not repaired. They are deliberately
//! coarse, since a test that two shared cores cannot pass is soon switched off.

use crate::units::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    pub count: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
}

/// Seconds that must agree before a window may begin.
pub const SETTLED_OVER: usize = 3;
/// Differences below this are the scheduler's, not the broker's, ns.
const SLACK_NS: u64 = 100_000;
/// Seconds over which the broker's CPU must be level, and the differences that do not count:
/// percent of a core.
const CPU_RUN: usize = 4;
const CPU_SLACK: u64 = 5;

/// True once the last seconds agree: medians within a factor of 1.5, p99 within a factor of 3, each
/// beyond a slack of 0.1 ms (1 ms for p99).
pub fn settled(seconds: &[Second]) -> bool {
    let Some(last) = seconds.len().checked_sub(SETTLED_OVER).map(|from| &seconds[from..]) else {
        return false;
    };
    last.iter().all(|s| s.count > 0)
        && agree(last.iter().map(|s| s.p50_ns), 1.5, SLACK_NS)
        && agree(last.iter().map(|s| s.p99_ns), 3.0, 10 * SLACK_NS)
}

/// True once the broker's CPU, percent of a core in each second, is level over the last four:
/// within a factor of 1.4 or 5 points. A broker that still compiles under a steady load shows it
/// here, while its median latency has long come to rest and its tail, of ten messages a second,
/// says little yet. No figures (a broker elsewhere) are no objection.
pub fn level(cpu_percent: &[u64]) -> bool {
    if cpu_percent.is_empty() {
        return true;
    }
    let Some(last) = cpu_percent.len().checked_sub(CPU_RUN).map(|from| &cpu_percent[from..]) else {
        return false;
    };
    agree(last.iter().copied(), 1.4, CPU_SLACK)
}

/// Below it the medians of seconds are those of a handful of messages, and of many seconds there is
/// none: nothing can be told.
pub const ENOUGH_PER_S: f64 = 10.0;
/// A warm-up that must end sooner cannot be seen to have settled: the first second is not whole,
/// the last may not be, and the CPU is looked at over [`CPU_RUN`] between them.
pub const SEEN_AFTER: Span = Span::from_secs(6);
/// A window of fewer seconds cannot be told to drift.
pub const HALVES: usize = 4;

/// Whether the medians of a settled warm-up's end (if there was one), of the window's first half
/// and of its second agree within 25 % or the slack. `None` of windows of fewer than four seconds,
/// which cannot be told to drift.
pub fn stayed(before: &[Second], window: &[Second]) -> Option<bool> {
    let (before, first, second) = thirds(before, window);
    let all = || before.into_iter().chain([first, second]);
    (window.len() >= HALVES).then(|| agree(all(), 1.25, SLACK_NS))
}

/// The median latency of the warm-up's end, of the window's first half and of its second, ns.
pub fn thirds(before: &[Second], window: &[Second]) -> (Option<u64>, u64, u64) {
    let (first, second) = window.split_at(window.len() / 2);
    ((!before.is_empty()).then(|| median(before)), median(first), median(second))
}

fn agree(values: impl Iterator<Item = u64> + Clone, factor: f64, slack: u64) -> bool {
    let (low, high) = (values.clone().min().unwrap_or(0), values.max().unwrap_or(0));
    high - low <= slack || high as f64 <= low as f64 * factor
}

fn median(seconds: &[Second]) -> u64 {
    let mut medians: Vec<u64> = seconds.iter().filter(|s| s.count > 0).map(|s| s.p50_ns).collect();
    medians.sort_unstable();
    medians.get(medians.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(p50_p99_us: &[(u64, u64)]) -> Vec<Second> {
        p50_p99_us
            .iter()
            .map(|(p50, p99)| Second { count: 1000, p50_ns: p50 * 1000, p99_ns: p99 * 1000 })
            .collect()
    }

    #[test]
    fn a_fresh_jvm_broker_has_not_settled_and_a_warm_one_has() {
        // Publish latencies of a fresh Kafka 4.4.0 in its first seconds, then warm.
        let cold = [
            (9000, 1_480_000),
            (2400, 358_000),
            (900, 56_000),
            (620, 5600),
            (540, 4700),
            (520, 4500),
            (510, 1900),
        ];
        assert!(!settled(&seconds(&cold[..2])));
        assert!(!settled(&seconds(&cold[..4])));
        assert!(settled(&seconds(&cold)));
    }

    #[test]
    fn a_compiling_broker_is_not_level() {
        // A new client's first seconds at 1k/s on a Kafka that had been warmed at 10k/s for 30 s.
        let cpu = [106, 89, 45, 63, 32, 58, 47, 41, 22, 29, 26, 24, 26, 28];
        assert!((1..=11).all(|seconds| !level(&cpu[..seconds])));
        assert!(level(&cpu[..12]));
        // A Redis at rest, and a broker that cannot be seen.
        assert!(level(&[2, 4, 3, 5]) && level(&[]));
    }

    #[test]
    fn silence_is_not_steadiness() {
        let mut quiet = seconds(&[(500, 900); 5]);
        quiet[4].count = 0;
        assert!(!settled(&quiet));
    }

    #[test]
    fn a_drifting_window_is_unsteady() {
        let calm = seconds(&[(500, 900), (520, 900), (480, 900), (530, 900)]);
        let drifting = seconds(&[(500, 900), (520, 900), (900, 900), (1000, 900)]);
        assert_eq!((stayed(&[], &calm), stayed(&[], &drifting)), (Some(true), Some(false)));
        assert_eq!(stayed(&[], &calm[..3]), None);
        let [same, faster] = [500, 300].map(|p50| seconds(&[(p50, 900); 3]));
        assert_eq!((stayed(&same, &calm), stayed(&faster, &calm)), (Some(true), Some(false)));
    }
}
