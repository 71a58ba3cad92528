//! What a run can be watched by beside its line of progress: figures for Prometheus (`--metrics`),
//! and a view in the terminal (`--tui`).
//!
//! Neither is there unless it was asked for, since both take time from the machine that measures:
//! how much is measured, and told with the results.

mod metrics;
mod screen;
mod server;
mod view;

pub use screen::{restore, shown};

use super::args::LiveArgs;
use super::exit::Failure;
use super::progress::Display;
use super::say;
use super::signals::Interrupt;
use super::time_left::TimeLeft;
use crate::engine::{LiveSecond, Observer, Progress};
use crate::study::{Step, StudyObserver};
use metrics::Metrics;
use rustix::time::{ClockId, clock_gettime};
use screen::Screen;
use std::net::SocketAddr;

/// An address that no other machine reaches: nobody is asked for a password there.
pub fn own_address(text: &str) -> Result<SocketAddr, String> {
    let such = "such as 127.0.0.1:9464";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err(format!("others would reach it: give one of this machine alone, {such}")),
        Err(_) => Err(format!("not an IP address with a port, {such}")),
    }
}

/// How all runs of one call are watched: by a line of progress, unless more was asked for.
#[derive(Default)]
pub struct Watching {
    metrics: Option<Metrics>,
    tui: bool,
}

impl Watching {
    /// Before anything is started: what cannot be had is said at once.
    pub fn begin(args: &LiveArgs) -> Result<Self, Failure> {
        if args.tui {
            screen::drawable()?;
        }
        let metrics = args.metrics.map(Metrics::listen).transpose()?.map(|(metrics, address)| {
            say(&format!("metrics: http://{address}/metrics"));
            metrics
        });
        Ok(Self { metrics, tui: args.tui })
    }

    /// Those who watch one run.
    pub fn over<'a>(
        &'a mut self,
        scenario: &'a str,
        time_left: &'a mut TimeLeft,
        interrupt: &Interrupt,
    ) -> Result<Watchers<'a>, Failure> {
        let interrupt = interrupt.clone();
        let shown: Box<dyn Shown + 'a> = match self.tui {
            true => Box::new(Screen::open(scenario, time_left, interrupt)?),
            false => Box::new(Display::new(scenario, time_left, interrupt)),
        };
        Ok(Watchers { shown, metrics: self.metrics.as_mut(), scenario })
    }
}

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

impl Watchers<'_> {
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
