//! How long a run, or the rest of a comparison, still takes: what `explain` estimates, scaled by
//! what has been seen so far.

use crate::scenario::Scenario;
use std::time::{Duration, Instant};

/// After so much of the estimate its scale tells something.
const SEEN: Duration = Duration::from_secs(20);
/// An estimate is never farther off than this factor, either way.
const FARTHEST: f64 = 5.0;

pub struct TimeLeft {
    /// Estimated for the scenarios that have not begun.
    later: Duration,
    /// Estimated for the one that runs.
    now: Duration,
    /// Of those that have ended: what was estimated, and what it took.
    ended: (Duration, Duration),
    began: Instant,
    /// Share of the cells that are finished, and when the last of them was, from `began`.
    finished: (f64, Duration),
}

impl TimeLeft {
    /// Of scenarios that run one after the other.
    pub fn of<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) -> Self {
        Self {
            later: scenarios.into_iter().map(estimate).sum(),
            now: Duration::ZERO,
            ended: (Duration::ZERO, Duration::ZERO),
            began: Instant::now(),
            finished: (0.0, Duration::ZERO),
        }
    }

    /// The next scenario begins.
    pub fn begin(&mut self, scenario: &Scenario) {
        self.skip(scenario);
        (self.now, self.began) = (estimate(scenario), Instant::now());
        self.finished = (0.0, Duration::ZERO);
    }

    /// It is not measured.
    pub fn skip(&mut self, scenario: &Scenario) {
        self.later = self.later.saturating_sub(estimate(scenario));
    }

    /// Whatever was not measured of the scenario that runs never will be.
    pub fn end(&mut self) {
        self.ended.0 += self.now.mul_f64(self.finished.0);
        self.ended.1 += self.finished.1;
        (self.now, self.finished) = (Duration::ZERO, (0.0, Duration::ZERO));
    }

    /// `done` of `all` cells are finished.
    pub fn cells(&mut self, done: usize, all: usize) {
        self.cells_after(done, all, self.began.elapsed());
    }

    fn cells_after(&mut self, done: usize, all: usize, elapsed: Duration) {
        let share = done as f64 / all.max(1) as f64;
        if share > self.finished.0 {
            self.finished = (share.min(1.0), elapsed);
        }
    }

    /// Such as `about 6 min left`.
    pub fn in_words(&self) -> String {
        words(self.after(self.began.elapsed()))
    }

    fn after(&self, elapsed: Duration) -> Duration {
        let (share, at) = self.finished;
        let (expected, took) = (self.ended.0 + self.now.mul_f64(share), self.ended.1 + at);
        let scale = match expected >= SEEN {
            true => (took.as_secs_f64() / expected.as_secs_f64()).clamp(1.0 / FARTHEST, FARTHEST),
            false => 1.0,
        };
        let later = self.later.mul_f64(scale);
        let rest = self.now.mul_f64(1.0 - share).mul_f64(scale);
        later + rest.saturating_sub(elapsed.saturating_sub(at))
    }
}

fn estimate(scenario: &Scenario) -> Duration {
    scenario.estimate().duration.std()
}

fn words(left: Duration) -> String {
    let minutes = left.as_secs().div_ceil(60);
    match minutes {
        0 | 1 => "under 1 min left".to_owned(),
        2..90 => format!("about {minutes} min left"),
        // Nobody knows it to the minute.
        _ => format!("about {} h {:02} min left", minutes / 60, minutes % 60 / 5 * 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, load};

    const MINUTE: Duration = Duration::from_secs(60);

    fn of(now: u32, later: u32) -> TimeLeft {
        TimeLeft { now: MINUTE * now, later: MINUTE * later, ..TimeLeft::of([]) }
    }

    #[test]
    fn the_estimate_is_scaled_by_what_was_seen() {
        let mut left = of(10, 5);
        assert_eq!(left.after(Duration::ZERO), MINUTE * 15);
        assert_eq!(left.after(MINUTE), MINUTE * 14, "a cell that runs takes its time");
        assert_eq!(left.after(MINUTE * 30), MINUTE * 5, "what comes later does not shrink by it");
        // Five minutes of the estimate took ten.
        left.cells_after(1, 2, MINUTE * 10);
        assert_eq!(left.after(MINUTE * 10), MINUTE * 20);
        left.cells_after(1, 2, MINUTE * 12);
        assert_eq!(left.after(MINUTE * 12), MINUTE * 18, "said twice, finished once");
        left.cells_after(2, 2, MINUTE * 20);
        left.end();
        assert_eq!(left.after(MINUTE * 20), MINUTE * 10, "the next scenario is as slow");
    }

    #[test]
    fn little_says_nothing_and_nothing_says_too_much() {
        let mut left = of(10, 0);
        left.cells_after(1, 100, MINUTE);
        assert_eq!(left.after(MINUTE), (MINUTE * 10).mul_f64(0.99), "six seconds of it");
        left.cells_after(1, 10, MINUTE * 60);
        let most = (MINUTE * 9).mul_f64(FARTHEST);
        assert!(left.after(MINUTE * 60).abs_diff(most) < Duration::from_millis(1));
    }

    #[test]
    fn a_suite_is_the_sum_of_its_scenarios_less_what_is_kept() {
        let of = |name: &str| {
            let quick = Overrides { profile: Some("quick".into()), ..Overrides::default() };
            load(name, &quick).unwrap()
        };
        let (latency, retention) = (of("latency"), of("retention"));
        let mut left = TimeLeft::of([&latency, &retention]);
        left.skip(&latency);
        assert_eq!(left.later, estimate(&retention));
        left.begin(&retention);
        assert_eq!((left.later, left.now), (Duration::ZERO, estimate(&retention)));
    }

    #[test]
    fn in_words() {
        let of = |seconds: u64| words(Duration::from_secs(seconds));
        assert_eq!(of(0), "under 1 min left");
        assert_eq!(of(60), "under 1 min left");
        assert_eq!(of(5 * 60 + 1), "about 6 min left");
        assert_eq!(of(89 * 60), "about 89 min left");
        assert_eq!(of(2 * 3600 + 43 * 60), "about 2 h 40 min left");
    }
}
