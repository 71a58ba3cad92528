//! Progress on stderr: a bar on a terminal, one plain line every ten seconds elsewhere.

use super::say;
use super::signals::Interrupt;
use crate::engine::{Observer, Phase, Progress};
use crate::sanitize;
use crate::study::StudyObserver;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const PLAIN_EVERY: Duration = Duration::from_secs(10);

pub struct Display {
    bar: Option<ProgressBar>,
    step: String,
    place: String,
    last_plain: Instant,
    interrupt: Interrupt,
}

impl Display {
    pub fn new(interrupt: Interrupt) -> Self {
        let terminal = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} [{pos}/{len}] {wide_msg} {elapsed}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            step: String::new(),
            place: String::new(),
            last_plain: Instant::now(),
            interrupt,
        }
    }

    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// A line of its own, above the bar.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    fn plain(&mut self, text: &str) {
        self.last_plain = Instant::now();
        say(&format!("{} {text}", self.place));
    }
}

impl Observer for Display {
    fn progress(&mut self, progress: &Progress) {
        let text = line(&self.step, progress);
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if self.last_plain.elapsed() >= PLAIN_EVERY => self.plain(&text),
            None => {}
        }
    }

    fn happened(&mut self, text: &str) {
        self.say(&format!("{} {}: {text}", self.place, self.step));
    }
}

impl StudyObserver for Display {
    fn step(&mut self, text: &str, done: usize, all: usize) {
        self.interrupt.measuring.store(done > 0 || !text.contains("starting"), Relaxed);
        self.step = sanitize::line(text);
        self.place = format!("[{done}/{all}]");
        match &self.bar {
            Some(bar) => {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
                bar.set_message(self.step.clone());
            }
            None => self.plain(&sanitize::line(text)),
        }
    }

    fn warning(&mut self, text: &str) {
        self.say(&format!("warning: {text}"));
    }
}

fn line(step: &str, progress: &Progress) -> String {
    let phase = match progress.phase {
        Phase::WarmUp => "warm-up",
        Phase::Measure => "measure",
        Phase::Drain => "drain",
    };
    let ms = |ns: Option<u64>| ns.map_or("-".into(), |ns| format!("{:.2}ms", ns as f64 / 1e6));
    format!(
        "{step} {phase} {:.0}s sent={} answered={} consumed={} p50={} p99={}",
        progress.elapsed_ns as f64 / 1e9,
        progress.sent,
        progress.answered,
        progress.consumed,
        ms(progress.p50_ns),
        ms(progress.p99_ns)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_everything_that_is_known() {
        let progress = Progress {
            phase: Phase::Measure,
            elapsed_ns: 3_000_000_000,
            sent: 300,
            answered: 299,
            consumed: 298,
            p50_ns: Some(1_500_000),
            p99_ns: None,
        };
        let text = line("kafka base block 1", &progress);
        assert_eq!(
            text,
            "kafka base block 1 measure 3s sent=300 answered=299 consumed=298 p50=1.50ms p99=-"
        );
    }
}
