//! What everything that runs for one cell shares: what it was given, the window, the signals to
//! stop, and running counts. Atomics only, no locks.

use crate::clock::Clock;
use crate::driver::Driver;
use crate::inject::Consumers;
use crate::record::SECOND_NS;
use crate::scenario::{Cell, Load};
use crate::schedule::Share;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What everything that runs for one cell is given.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub cell: &'a Cell,
    /// What of the cell this process runs.
    pub share: Share,
    pub block: u32,
    pub run: u64,
    pub clock: Clock,
    pub driver: &'a dyn Driver,
    pub control: &'a Control,
    pub interrupted: &'a AtomicBool,
}

const UNSET: u64 = u64::MAX;
/// So long before it begins at least the window is announced.
pub const AHEAD_NS: u64 = SECOND_NS / 5;

/// Shared by all threads of a cell. Times are ns since the run's epoch.
pub struct Control {
    window_start: AtomicU64,
    window_end: AtomicU64,
    /// Nothing that is due at or after this is sent.
    stop_sending: AtomicU64,
    /// Give up at once: the user or a dead broker wants it.
    abandon: AtomicBool,
    /// Where each stage of the window ends, after its beginning; empty where it has none.
    stage_ends_ns: Vec<u64>,
    stop_consuming: AtomicBool,
    /// Handed to client libraries by all producers.
    pub sent: AtomicU64,
    /// Acknowledged or replied to.
    pub answered: AtomicU64,
    /// Refused, aborted, or given up without an answer: no consumer is expected to get them.
    pub failed: AtomicU64,
    /// First deliveries, by subscription.
    pub consumed: Vec<AtomicU64>,
    pub consumers: Consumers,
    /// Where several shards run the cell: those whose stamps can be compared with ours.
    pub comparable: OnceLock<Vec<bool>>,
}

impl Control {
    pub fn new(subscriptions: u16) -> Self {
        Self {
            window_start: AtomicU64::new(UNSET),
            window_end: AtomicU64::new(UNSET),
            stop_sending: AtomicU64::new(UNSET),
            abandon: AtomicBool::new(false),
            stage_ends_ns: Vec::new(),
            stop_consuming: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            consumed: (0..subscriptions).map(|_| AtomicU64::new(0)).collect(),
            consumers: Consumers::default(),
            comparable: OnceLock::new(),
        }
    }

    /// With the stages of this load.
    #[must_use]
    pub fn staged(self, load: &Load) -> Self {
        let mut end_ns = 0;
        let ends = load.stages.iter().map(|stage| {
            end_ns += stage.length.nanos();
            end_ns
        });
        Self { stage_ends_ns: ends.collect(), ..self }
    }

    /// Whether the stamps of that shard can be compared with ours.
    #[inline]
    pub fn is_comparable(&self, shard: u16) -> bool {
        self.comparable.get().and_then(|all| all.get(usize::from(shard))) == Some(&true)
    }

    /// Sets the measured window. It must lie ahead, so that no message is classed twice.
    pub fn open_window(&self, start_ns: u64, end_ns: u64) {
        self.window_end.store(end_ns, Relaxed);
        self.stop_sending.store(end_ns, Relaxed);
        self.window_start.store(start_ns, Relaxed);
    }

    pub fn window(&self) -> Option<(u64, u64)> {
        let start = self.window_start.load(Relaxed);
        (start != UNSET).then(|| (start, self.window_end.load(Relaxed)))
    }

    /// The part of the load that a message of this planned (closed model: sending) time belongs to,
    /// as a [`Recorder`](crate::record::Recorder) has it: 0 before the window.
    #[inline]
    pub fn part(&self, planned_ns: u64) -> usize {
        match planned_ns.checked_sub(self.window_start.load(Relaxed)) {
            None => 0,
            Some(_) if self.stage_ends_ns.is_empty() => 1,
            Some(since_ns) => {
                let over = self.stage_ends_ns.partition_point(|end_ns| *end_ns <= since_ns);
                2 + over.min(self.stage_ends_ns.len() - 1)
            }
        }
    }

    /// So many parts the load has, as [`Control::part`] counts them.
    pub fn parts(&self) -> usize {
        self.stage_ends_ns.len() + 2
    }

    #[inline]
    pub fn in_window(&self, at_ns: u64) -> bool {
        at_ns >= self.window_start.load(Relaxed) && at_ns < self.window_end.load(Relaxed)
    }

    #[inline]
    pub fn stop_sending_at(&self) -> u64 {
        self.stop_sending.load(Relaxed)
    }

    /// Ends the load before its time and waits for nothing more.
    pub fn abandon(&self, now_ns: u64) {
        self.stop_sending.fetch_min(now_ns, Relaxed);
        self.abandon.store(true, Relaxed);
    }

    pub fn abandoned(&self) -> bool {
        self.abandon.load(Relaxed)
    }

    pub fn stop_consuming(&self) {
        self.stop_consuming.store(true, Relaxed);
    }

    pub fn consuming_stopped(&self) -> bool {
        self.stop_consuming.load(Relaxed)
    }

    /// Messages that were published and that consumers have still to get.
    pub fn waiting(&self) -> u64 {
        let gone = self.failed.load(Relaxed) + self.least_consumed();
        self.sent.load(Relaxed).saturating_sub(gone)
    }

    /// First deliveries of the slowest subscription.
    pub fn least_consumed(&self) -> u64 {
        self.consumed.iter().map(|count| count.load(Relaxed)).min().unwrap_or(0)
    }
}

/// Does it when it goes out of scope, however that is left.
pub struct OnDrop<F: Fn()>(pub F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The next whole second at least `margin_ns` ahead: windows begin on whole seconds so that each
/// second is of one phase.
pub fn next_second(now_ns: u64, margin_ns: u64) -> u64 {
    (now_ns + margin_ns).div_ceil(SECOND_NS) * SECOND_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Stage;
    use crate::units::{Rate, Span};

    #[test]
    fn before_the_window_is_set_everything_is_warm_up() {
        let control = Control::new(1);
        assert!(control.part(5) == 0 && !control.in_window(5) && control.window().is_none());
        control.open_window(10, 20);
        assert_eq!((control.part(9), control.part(10), control.part(99)), (0, 1, 1));
        assert!(control.in_window(10) && control.in_window(19) && !control.in_window(20));
    }

    #[test]
    fn stages_part_the_window_and_what_comes_late_is_of_the_last() {
        let stage = |seconds| {
            let rate = Rate::per_second(1);
            Stage { from: rate, to: rate, length: Span::from_secs(seconds) }
        };
        let load = Load { stages: vec![stage(2), stage(3)], ..Load::open(Rate::per_second(1)) };
        let control = Control::new(1).staged(&load);
        assert_eq!(control.part(7 * SECOND_NS), 0);
        control.open_window(10 * SECOND_NS, 15 * SECOND_NS);
        let parts = [9, 10, 11, 12, 14, 15].map(|second| control.part(second * SECOND_NS));
        assert_eq!(parts, [0, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn what_was_refused_waits_for_no_consumer() {
        let control = Control::new(1);
        control.sent.store(10, Relaxed);
        control.failed.store(7, Relaxed);
        control.consumed[0].store(2, Relaxed);
        assert_eq!(control.waiting(), 1);
        control.consumed[0].store(5, Relaxed);
        assert_eq!(control.waiting(), 0, "one of them arrived all the same");
    }

    #[test]
    fn windows_begin_on_whole_seconds_ahead() {
        assert_eq!(next_second(1_900_000_000, 200_000_000), 3_000_000_000);
        assert_eq!(next_second(1_700_000_000, 200_000_000), 2_000_000_000);
    }
}
