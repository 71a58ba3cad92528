//! What a run can be watched by beside its line of progress: figures for Prometheus (`--metrics`),
//! and a view in the terminal (`--tui`).
//!
//! Neither is there unless it was asked for, since both take time from the machine that measures:
//! how much is measured, and told with the results.

mod metrics;
mod screen;
mod server;
mod view;

pub use metrics::Metrics;
pub use screen::{Screen, restore, shown};

use crate::engine::{LiveSecond, Observer, Progress};
use crate::study::{Step, StudyObserver};
use rustix::time::{ClockId, clock_gettime};

/// What shows a run on the terminal.
pub trait Shown: StudyObserver {
    /// Leaves the terminal as it was. What it took, where that is worth a word.
    fn clear(&mut self) -> Option<String>;
}

/// All that watch one run.
pub struct Watchers<'a> {
    shown: Box<dyn Shown + 'a>,
    metrics: Option<&'a mut Metrics>,
    scenario: &'a str,
}

impl<'a> Watchers<'a> {
    pub fn new(
        shown: Box<dyn Shown + 'a>,
        metrics: Option<&'a mut Metrics>,
        scenario: &'a str,
    ) -> Self {
        Self { shown, metrics, scenario }
    }

    /// What watching took, in words for the results; nothing where nobody asked for it.
    pub fn end(mut self) -> Vec<String> {
        let metrics = self.metrics.as_mut().map(|metrics| metrics.end());
        self.shown.clear().into_iter().chain(metrics).collect()
    }
}

impl Observer for Watchers<'_> {
    fn progress(&mut self, progress: &Progress) {
        self.shown.progress(progress);
    }

    fn wants_seconds(&self) -> bool {
        self.metrics.is_some() || self.shown.wants_seconds()
    }

    fn second(&mut self, second: &LiveSecond) {
        if let Some(metrics) = &mut self.metrics {
            metrics.second(second);
        }
        self.shown.second(second);
    }

    fn happened(&mut self, text: &str) {
        self.shown.happened(text);
    }
}

impl StudyObserver for Watchers<'_> {
    fn step(&mut self, step: &Step<'_>) {
        if let Some(metrics) = &mut self.metrics {
            metrics.step(self.scenario, step);
        }
        self.shown.step(step);
    }

    fn warning(&mut self, text: &str) {
        self.shown.warning(text);
    }
}

/// CPU time of the calling thread, ns.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
