//! CPU time of the thread of a producer or consumer in the measured window.

use super::control::Control;
use crate::record::SECOND_NS;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of the calling thread since it began.
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * SECOND_NS + time.tv_nsec as u64
}

/// For one thread, from its beginning on.
#[derive(Default)]
pub struct ThreadCpu {
    pub window_ns: u64,
    seen_ns: u64,
}

impl ThreadCpu {
    /// Books what the calling thread spent in the second before `now_ns`.
    pub fn note(&mut self, now_ns: u64, control: &Control) {
        let spent_ns = thread_cpu_ns();
        if control.in_window(now_ns.saturating_sub(SECOND_NS)) {
            self.window_ns += spent_ns - self.seen_ns;
        }
        self.seen_ns = spent_ns;
    }
}
