//! Progress on stderr: one line that changes on a terminal, one plain line every ten seconds
//! elsewhere.

use super::signals::Interrupt;
use super::spend::Spending;
use super::time_left::TimeLeft;
use super::{Loudness, loudness, say};
use crate::engine::{Observer, Phase, Progress};
use crate::result::CellRecord;
use crate::result::words::{compact, grouped, time};
use crate::sanitize;
use crate::study::{Step, StudyObserver};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// A rate is that of so long a time, ns: what came within less says little.
const RATE_OVER_NS: u64 = 1_000_000_000;

const BETWEEN: &str = " · ";
/// Columns of the spinner and of spaces.
const BESIDE: usize = 3;

pub struct Display<'a> {
    bar: Option<ProgressBar>,
    scenario: String,
    /// Such as `retention 3/9`.
    place: String,
    step: String,
    short: String,
    carried: Carried,
    time_left: &'a mut TimeLeft,
    last_plain: Instant,
    interrupt: Interrupt,
    /// Where it costs money.
    spending: Option<&'a mut Spending>,
}

impl<'a> Display<'a> {
    pub fn new(
        scenario: &str,
        time_left: &'a mut TimeLeft,
        interrupt: Interrupt,
        spending: Option<&'a mut Spending>,
    ) -> Self {
        let terminal = std::io::stderr().is_terminal()
            && loudness() > Loudness::Quiet
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The message gives way to the terminal's width, the time that is left does not.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {prefix}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let scenario = sanitize::line(scenario);
        Self {
            bar,
            place: scenario.clone(),
            scenario,
            step: String::new(),
            short: String::new(),
            carried: Carried::default(),
            time_left,
            last_plain: Instant::now(),
            interrupt,
            spending,
        }
    }

    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// For a reason that is said once: where the flag is set there is nothing left to stop.
    fn stop_if(&self, reason: Option<String>) {
        if let Some(words) = reason
            && !self.interrupt.flag.swap(true, Relaxed)
        {
            self.say(&words);
        }
    }

    /// A line of its own, above the bar.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

impl Observer for Display<'_> {
    fn progress(&mut self, progress: &Progress) {
        let over = self.spending.as_mut().and_then(|spending| spending.progress(progress.sent));
        self.stop_if(over);
        let rate = self.carried.rate(progress);
        let mut parts = vec![self.place.clone(), self.short.clone()];
        parts.extend(figures(progress, rate, loudness()));
        match &self.bar {
            Some(bar) => {
                let left = self.time_left.in_words();
                bar.set_message(fitted(parts, columns().saturating_sub(left.len() + BESIDE)));
                bar.set_prefix(left);
            }
            None if self.last_plain.elapsed() >= PLAIN_EVERY => {
                self.last_plain = Instant::now();
                say(&format!("{} · {}", parts.join(BETWEEN), self.time_left.in_words()));
            }
            None => {}
        }
    }

    fn happened(&mut self, text: &str) {
        self.say(&format!("{} · {}: {text}", self.place, self.step));
    }
}

impl StudyObserver for Display<'_> {
    fn step(&mut self, step: &Step<'_>) {
        let Step { text, short, done, all } = *step;
        if let Some(spending) = &mut self.spending {
            spending.step(text);
        }
        self.interrupt.measuring.store(done > 0 || !text.contains("starting"), Relaxed);
        (self.step, self.short) = (sanitize::line(text), sanitize::line(short));
        self.place = format!("{} {}/{all}", self.scenario, (done + 1).min(all));
        self.carried = Carried::default();
        self.time_left.cells(done, all);
        let text = format!("{} · {}", self.place, self.step);
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.set_prefix(self.time_left.in_words());
            }
            None => {
                self.last_plain = Instant::now();
                say(&text);
            }
        }
    }

    fn kept(&mut self, record: &CellRecord) {
        let sent = record.counts.sent.unwrap_or(0);
        let over = self.spending.as_mut().and_then(|spending| spending.kept(sent));
        self.stop_if(over);
    }

    fn warning(&mut self, text: &str) {
        self.say(&format!("warning: {text}"));
    }
}

/// Columns of the terminal that progress is shown on.
fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col.into())
}

/// As many of the parts as there is room for, whole ones, the first in any case.
fn fitted(mut parts: Vec<String>, room: usize) -> String {
    while parts.len() > 1 && parts.join(BETWEEN).chars().count() > room {
        parts.pop();
    }
    parts.join(BETWEEN)
}

/// What came through of late.
#[derive(Default)]
struct Carried {
    /// When (ns since the start of the load) and how many by then.
    since: Option<(u64, u64)>,
    per_s: Option<f64>,
}

impl Carried {
    /// Messages a second over the last second or so; `None` until there was one.
    fn rate(&mut self, progress: &Progress) -> Option<f64> {
        let now = (progress.elapsed_ns, progress.consumed.unwrap_or(progress.answered));
        let Some(then) = self.since.filter(|then| then.0 <= now.0 && then.1 <= now.1) else {
            // The first look, or a load that began anew.
            *self = Self { since: Some(now), per_s: None };
            return None;
        };
        if now.0 - then.0 >= RATE_OVER_NS {
            let per_s = (now.1 - then.1) as f64 * 1e9 / (now.0 - then.0) as f64;
            *self = Self { since: Some(now), per_s: Some(per_s) };
        }
        self.per_s
    }
}

/// What is known of the load: how far it is, what it carries of what is asked for, and its p99.
fn figures(progress: &Progress, carried: Option<f64>, loudness: Loudness) -> Vec<String> {
    let seconds = |ns: u64| format!("{:.0} s", ns as f64 / 1e9);
    let Progress { phase, elapsed_ns, window_ns, rate, .. } = *progress;
    if elapsed_ns == 0 {
        return vec![format!("{} tried", grouped(progress.answered))];
    }
    let mut figures = vec![match (phase, window_ns) {
        (Phase::WarmUp, _) => format!("warming up, {}", seconds(elapsed_ns)),
        (Phase::Measure, Some((at, length))) => {
            format!("{} of {}", seconds(at.min(length)), seconds(length))
        }
        (Phase::Measure, None) => seconds(elapsed_ns),
        (Phase::Drain, _) => "waiting for the last messages".to_owned(),
    }];
    figures.extend(carried.map(|carried| match rate {
        Some(rate) => format!("{}/{}/s", compact(carried), compact(rate.per_s())),
        None => format!("{}/s", compact(carried)),
    }));
    let latency = |name: &str, ns: Option<u64>| ns.map(|ns| format!("{name} {}", time(ns as f64)));
    if loudness == Loudness::Verbose {
        figures.push(format!("sent {}", grouped(progress.sent)));
        figures.push(format!("answered {}", grouped(progress.answered)));
        figures.extend(progress.consumed.map(|count| format!("consumed {}", grouped(count))));
        figures.extend(latency("p50", progress.p50_ns));
    }
    figures.extend(latency("p99", progress.p99_ns));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Rate;

    fn at(elapsed_ns: u64, consumed: u64) -> Progress {
        Progress {
            phase: Phase::Measure,
            elapsed_ns,
            window_ns: Some((elapsed_ns.saturating_sub(3_000_000_000), 10_000_000_000)),
            rate: Some(Rate::per_second(10_000)),
            sent: consumed + 20,
            answered: consumed + 10,
            consumed: Some(consumed),
            p50_ns: Some(1_500_000),
            p99_ns: Some(3_100_000),
        }
    }

    fn text(progress: &Progress, carried: Option<f64>, loudness: Loudness) -> String {
        figures(progress, carried, loudness).join(" · ")
    }

    #[test]
    fn a_line_says_how_far_it_is_what_is_carried_and_the_tail() {
        let (usual, measuring) = (Loudness::Usual, at(7_000_000_000, 70_000));
        assert_eq!(
            text(&measuring, Some(9_990.0), usual),
            "4 s of 10 s · 9.99k/10.0k/s · p99 3.10 ms"
        );
        let closed = Progress { rate: None, p99_ns: None, ..measuring };
        assert_eq!(text(&closed, Some(412_000.0), usual), "4 s of 10 s · 412k/s");
        let warming = Progress { phase: Phase::WarmUp, window_ns: None, ..measuring };
        assert_eq!(text(&warming, None, usual), "warming up, 7 s · p99 3.10 ms");
        let counted = Progress { window_ns: None, ..closed };
        assert_eq!(text(&counted, None, usual), "7 s");
        assert_eq!(
            text(&measuring, None, Loudness::Verbose),
            "4 s of 10 s · sent 70,020 · answered 70,010 · consumed 70,000 · p50 1.50 ms · \
             p99 3.10 ms"
        );
        let tries = Progress { elapsed_ns: 0, answered: 12, ..counted };
        assert_eq!(text(&tries, None, usual), "12 tried");
    }

    #[test]
    fn a_rate_is_that_of_the_last_second_and_begins_anew_with_a_load() {
        let mut carried = Carried::default();
        assert_eq!(carried.rate(&at(1_000_000_000, 1_000)), None);
        assert_eq!(carried.rate(&at(1_500_000_000, 6_000)), None, "half a second");
        assert_eq!(carried.rate(&at(2_000_000_000, 11_000)), Some(10_000.0));
        assert_eq!(carried.rate(&at(2_500_000_000, 11_000)), Some(10_000.0));
        assert_eq!(carried.rate(&at(3_000_000_000, 11_000)), Some(0.0), "it stands still");
        assert_eq!(carried.rate(&at(500_000_000, 0)), None, "another load");
        let unread = Progress { consumed: None, ..at(2_500_000_000, 20_000) };
        assert_eq!(carried.rate(&unread), Some(10_005.0), "answered, where nobody reads");
    }

    #[test]
    fn a_narrow_terminal_has_whole_parts_or_none() {
        let parts = || vec!["latency 3/9".to_owned(), "kafka 1k/s".into(), "p99 3.10 ms".into()];
        assert_eq!(fitted(parts(), 38), "latency 3/9 · kafka 1k/s · p99 3.10 ms");
        assert_eq!(fitted(parts(), 37), "latency 3/9 · kafka 1k/s");
        assert_eq!(fitted(parts(), 3), "latency 3/9");
    }

    /// Tests with real brokers wait for these words.
    #[test]
    fn a_step_ends_its_line_with_what_it_is() {
        let mut left = TimeLeft::of([]);
        let mut display = Display::new("latency\u{1b}[2J", &mut left, Interrupt::default(), None);
        let text = "redis-lists load.rate=1k/s block 1";
        display.step(&Step { text, short: "redis-lists 1k/s", done: 2, all: 9 });
        assert_eq!(display.place, "latency\u{fffd}[2J 3/9");
        assert_eq!((display.step.as_str(), display.short.as_str()), (text, "redis-lists 1k/s"));
        display.step(&Step { text: "kafka: stopping", short: "kafka: stopping", done: 9, all: 9 });
        assert!(display.place.ends_with(" 9/9"), "{}", display.place);
        assert!(display.interrupt.measuring.load(Relaxed));
    }
}
