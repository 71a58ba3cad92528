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
use super::spend::Spending;
use super::time_left::TimeLeft;
use crate::engine::{LiveSecond, Observer, Progress};
use crate::result::CellRecord;
use crate::result::words::time;
use crate::study::{Step, StudyObserver};
use metrics::Metrics;
use screen::Screen;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

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
        spending: Option<&'a mut Spending>,
    ) -> Result<Watchers<'a>, Failure> {
        let interrupt = interrupt.clone();
        let shown: Box<dyn Shown + 'a> = match self.tui {
            true => Box::new(Screen::open(scenario, time_left, interrupt.clone())?),
            false => Box::new(Display::new(scenario, time_left, interrupt.clone())),
        };
        let metrics = self.metrics.as_mut();
        Ok(Watchers { shown, metrics, scenario, seconds: 0, spent_ns: 0, spending, interrupt })
    }
}

/// What shows a run on the terminal.
pub trait Shown: StudyObserver {
    /// Leaves the terminal as it was. The CPU time of what was asked for, ns.
    fn clear(&mut self) -> Option<u64>;
}

/// All that watch one run.
pub struct Watchers<'a> {
    shown: Box<dyn Shown + 'a>,
    metrics: Option<&'a mut Metrics>,
    scenario: &'a str,
    /// That were told, and the CPU time that it took to work them out.
    seconds: u64,
    spent_ns: u64,
    /// Where the run costs money.
    spending: Option<&'a mut Spending>,
    interrupt: Interrupt,
}

impl Watchers<'_> {
    /// What watching took, in words for the results; nothing where nobody asked for it.
    pub fn end(mut self) -> Option<String> {
        let shown = self.shown.clear();
        let metrics = self.metrics.as_mut().map(|metrics| metrics.end());
        costs(self.seconds, self.spent_ns, shown, metrics)
    }

    /// For a reason that is said once: where the flag is set there is nothing left to stop.
    fn stop_if(&mut self, reason: Option<String>) {
        if let Some(words) = reason
            && !self.interrupt.flag.swap(true, Relaxed)
        {
            self.shown.warning(&words);
        }
    }
}

fn costs(
    seconds: u64,
    mut spent_ns: u64,
    shown: Option<u64>,
    metrics: Option<(u64, u64)>,
) -> Option<String> {
    let (reads, served_ns) = metrics.unwrap_or_default();
    spent_ns += served_ns + shown.unwrap_or(0);
    let who = match (shown, metrics) {
        (None, None) => return None,
        (Some(_), None) => "--tui".to_owned(),
        (None, Some(_)) => format!("--metrics, read {reads} times,"),
        (Some(_), Some(_)) => format!("--tui and --metrics, read {reads} times,"),
    };
    let each = time(spent_ns as f64 / seconds.max(1) as f64);
    Some(format!("{who} took {each} of CPU for each second of load"))
}

impl Observer for Watchers<'_> {
    fn progress(&mut self, progress: &Progress) {
        let over = self.spending.as_mut().and_then(|spending| spending.progress(progress.sent));
        self.stop_if(over);
        self.shown.progress(progress);
    }

    fn wants_seconds(&self) -> bool {
        self.metrics.is_some() || self.shown.wants_seconds()
    }

    fn second(&mut self, second: &LiveSecond) {
        self.seconds += 1;
        self.spent_ns += second.cost_ns;
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
        if let Some(spending) = &mut self.spending {
            spending.step(step.text);
        }
        self.shown.step(step);
    }

    fn kept(&mut self, record: &CellRecord) {
        let sent = record.counts.sent.unwrap_or(0);
        let over = self.spending.as_mut().and_then(|spending| spending.kept(sent));
        self.stop_if(over);
    }

    fn warning(&mut self, text: &str) {
        self.shown.warning(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_this_machine_with_a_port_will_do() {
        for address in ["127.0.0.1:9464", "127.8.9.1:0", "[::1]:9464"] {
            assert_eq!(own_address(address).unwrap().to_string(), address);
        }
        for foreign in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "[::ffff:192.0.2.1]:1"] {
            assert!(own_address(foreign).unwrap_err().contains("others would reach it"));
        }
        for text in ["localhost:9464", "127.0.0.1", "9464", ""] {
            assert!(own_address(text).unwrap_err().contains("not an IP address with a port"));
        }
    }

    #[test]
    fn what_watching_took_is_told_of_whoever_was_asked_to() {
        assert_eq!(costs(10, 0, None, None), None);
        let told = |shown, metrics| costs(10, 5_000_000, shown, metrics).unwrap();
        let both = "--tui and --metrics, read 7 times, took 3.00 ms of CPU for each second of load";
        assert_eq!(told(Some(20_000_000), Some((7, 5_000_000))), both);
        assert!(told(Some(0), None).starts_with("--tui took 500 µs of CPU"));
        assert!(told(None, Some((1, 0))).starts_with("--metrics, read 1 times, took 500 µs"));
        assert!(costs(0, 9, Some(1), None).is_some(), "before any load");
    }
}
