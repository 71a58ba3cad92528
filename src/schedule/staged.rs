//! Rates that change: a first rate until the measured window begins, then stages of it, each at one
//! rate or on the way from one to another.
//!
//! The plan is a curve, how many messages all producers together owe by a time, and message i is
//! due when it reaches i. With Poisson arrivals i is not whole: the curve bends the time of a
//! stream of rate 1. When the window begins is not known at first; a message that is due by then is
//! due at the same time either way.

use crate::random::SplitMix64;
use crate::units::{Rate, Span};
use serde::{Serialize, Serializer};
use std::fmt;

/// A part of the window, its rate the same throughout or changing evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    pub from: Rate,
    pub to: Rate,
    pub length: Span,
}

impl Stage {
    pub fn mean_per_s(&self) -> f64 {
        (self.from.per_s() + self.to.per_s()) / 2.0
    }

    /// Messages that are due in it.
    pub fn messages(&self) -> f64 {
        self.mean_per_s() * self.length.secs_f64()
    }
}

/// `10k/s for 30s`, `1k/s to 10k/s for 1m`.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, length } = self;
        match from == to {
            true => write!(f, "{from} for {length}"),
            false => write!(f, "{from} to {to} for {length}"),
        }
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From one message of a producer to its next, in messages of all of them.
#[derive(Clone, Debug)]
pub enum Gaps {
    Even { producers: f64 },
    Exponential { producers: f64, rng: SplitMix64 },
}

impl Gaps {
    fn next(&mut self) -> f64 {
        match self {
            Self::Even { producers } => *producers,
            Self::Exponential { producers, rng } => -rng.unit().ln() * *producers,
        }
    }
}

/// A piece of the curve.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from_ns: f64,
    /// Messages owed when it begins.
    owed: f64,
    per_ns: f64,
    /// How much that grows by, each ns.
    growth: f64,
}

impl Piece {
    /// At this rate, and it stays so.
    fn level(from_ns: f64, owed: f64, rate: Rate) -> Self {
        Self { from_ns, owed, per_ns: per_ns(rate), growth: 0.0 }
    }

    /// When it owes so many: the root of owed + per_ns·t + growth·t² ÷ 2, in the form that keeps
    /// its digits.
    fn reaches(&self, place: f64) -> f64 {
        let more = (place - self.owed).max(0.0);
        let later = self.per_ns * self.per_ns + 2.0 * self.growth * more;
        self.from_ns + 2.0 * more / (self.per_ns + later.max(0.0).sqrt())
    }

    fn owed_at(&self, ns: f64) -> f64 {
        let t = ns - self.from_ns;
        self.owed + self.per_ns * t + self.growth * t * t / 2.0
    }
}

fn per_ns(rate: Rate) -> f64 {
    rate.per_s().max(1e-6) / 1e9
}

#[derive(Clone, Debug)]
pub struct Staged {
    /// Of the next message, among those of all producers.
    place: f64,
    gaps: Gaps,
    curve: Vec<Piece>,
    /// Where on the curve the next message is.
    piece: usize,
    due_ns: u64,
    /// When the message before it was due: whatever is rounded, none is due before that.
    before_ns: u64,
    stages: Vec<Stage>,
}

impl Staged {
    /// At `rate`, until the window begins. `first` is the place of the producer's first message.
    pub fn new(rate: Rate, stages: &[Stage], first: f64, mut gaps: Gaps) -> Self {
        let first = if matches!(gaps, Gaps::Even { .. }) { first } else { gaps.next() };
        let mut plan = Self {
            place: first,
            gaps,
            curve: vec![Piece::level(0.0, 0.0, rate)],
            piece: 0,
            due_ns: 0,
            before_ns: 0,
            stages: stages.to_vec(),
        };
        plan.settle();
        plan
    }

    /// The window, and with it the first stage, begins so long after the start of the load. To be
    /// told before any message that is due then or later has been taken from the plan.
    pub fn begin(&mut self, window_ns: u64) {
        let mut from_ns = window_ns as f64;
        for stage in std::mem::take(&mut self.stages) {
            let owed = self.curve.last().map_or(0.0, |piece| piece.owed_at(from_ns));
            let length = stage.length.nanos() as f64;
            let growth = (per_ns(stage.to) - per_ns(stage.from)) / length;
            self.curve.push(Piece { growth, ..Piece::level(from_ns, owed, stage.from) });
            from_ns += length;
            // Beyond the last one nothing is sent; the plan has no end of its own.
            let owed = self.curve.last().map_or(0.0, |piece| piece.owed_at(from_ns));
            self.curve.push(Piece::level(from_ns, owed, stage.to));
        }
        self.settle();
    }

    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    pub fn advance(&mut self) {
        self.before_ns = self.due_ns;
        self.place += self.gaps.next();
        self.settle();
    }

    /// Finds when the next message is due.
    fn settle(&mut self) {
        while self.curve.get(self.piece + 1).is_some_and(|next| next.owed <= self.place) {
            self.piece += 1;
        }
        let due_ns = self.curve[self.piece].reaches(self.place);
        self.due_ns = self.before_ns.max(due_ns.round() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Schedule;
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn stage(from: u64, to: u64, seconds: u64) -> Stage {
        let [from, to] = [from, to].map(Rate::per_second);
        Stage { from, to, length: Span::from_secs(seconds) }
    }

    /// Due times of all producers together, up to `until_ns`.
    fn due(stages: &[Stage], window_ns: u64, producers: u16, until_ns: u64) -> Vec<u64> {
        let of = |producer: u16| {
            let gaps = Gaps::Even { producers: f64::from(producers) };
            let rate = Rate::per_second(100);
            let mut plan = Staged::new(rate, stages, f64::from(producer), gaps);
            let mut due = Vec::new();
            // As the pacer does it: up to the window as if there were none.
            while plan.due_ns() < window_ns {
                due.push(plan.due_ns());
                plan.advance();
            }
            plan.begin(window_ns);
            while plan.due_ns() < until_ns {
                due.push(plan.due_ns());
                plan.advance();
            }
            due
        };
        let mut all: Vec<u64> = (0..producers).flat_map(of).collect();
        all.sort_unstable();
        all
    }

    fn within(due: &[u64], from_s: u64, to_s: u64) -> usize {
        due.iter().filter(|ns| (from_s * S..to_s * S).contains(*ns)).count()
    }

    #[test]
    fn each_step_has_its_rate_from_the_windows_beginning_on() {
        let due = due(&[stage(1000, 1000, 2), stage(5000, 5000, 3)], 7 * S, 1, 12 * S);
        assert_eq!(
            (within(&due, 0, 7), within(&due, 7, 9), within(&due, 9, 12)),
            (700, 2000, 15_000)
        );
    }

    #[test]
    fn a_ramp_rises_evenly_and_what_follows_goes_on_from_there() {
        let due = due(&[stage(0, 1000, 10), stage(1000, 100, 4)], 5 * S, 1, 19 * S);
        // Messages owed after t seconds: 50 t².
        for second in 0..10 {
            let expected = 50 * ((second + 1) * (second + 1) - second * second);
            let found = within(&due, 5 + second as u64, 6 + second as u64);
            assert!(found.abs_diff(expected) <= 1, "{second}: {found}, not {expected}");
        }
        assert!(within(&due, 15, 19).abs_diff(2200) <= 1);
        assert!(within(&due, 15, 16) > 800 && within(&due, 18, 19) < 300, "it falls");
    }

    #[test]
    fn a_message_that_was_planned_across_the_windows_beginning_is_planned_anew() {
        // At 100/s one is due every 10 ms; at 1000/s from 5 ms on the second one comes earlier.
        let found = due(&[stage(1000, 1000, 1)], 5_000_000, 1, 8_000_000);
        assert_eq!(found[0], 0);
        assert!(found[1].abs_diff(5_500_000) <= 1, "half of it was owed already: {found:?}");
    }

    #[test]
    fn poisson_arrivals_bend_with_the_rate() {
        let stages = [stage(1000, 1000, 20), stage(4000, 4000, 20)];
        let take = |seed| {
            let gaps = Gaps::Exponential { producers: 1.0, rng: SplitMix64::stream(seed, 0) };
            let mut plan = Staged::new(Rate::per_second(1000), &stages, 0.0, gaps);
            plan.begin(0);
            let mut due = Vec::new();
            while plan.due_ns() < 40 * S {
                due.push(plan.due_ns());
                plan.advance();
            }
            due
        };
        let found = take(1);
        assert_eq!(found, take(1));
        assert_ne!(found, take(2));
        let (slow, fast) = (within(&found, 0, 20), within(&found, 20, 40));
        assert!(slow.abs_diff(20_000) < 700 && fast.abs_diff(80_000) < 1400, "{slow} {fast}");
    }

    #[test]
    fn without_stages_it_is_the_plain_plan() {
        let rate = Rate::per_second(1000);
        let gaps = Gaps::Even { producers: 2.0 };
        let mut staged = Staged::new(rate, &[], 1.0, gaps);
        for plain in Schedule::constant(rate, 1, 2).take(10_000) {
            assert!(staged.due_ns().abs_diff(plain) <= 1, "{} {plain}", staged.due_ns());
            staged.advance();
        }
    }

    proptest! {
        #[test]
        fn producers_share_one_plan_and_nothing_goes_back(
            rates in proptest::collection::vec((1u64..1000, 1u64..1000, 1u64..4), 1..5),
            producers in 1u16..5,
            window_ms in 0u64..3000,
        ) {
            let stages: Vec<Stage> =
                rates.iter().map(|(from, to, seconds)| stage(*from, *to, *seconds)).collect();
            let window_ns = window_ms * 1_000_000;
            let until_ns = window_ns + stages.iter().map(|stage| stage.length.nanos()).sum::<u64>();
            let all = |producers| due(&stages, window_ns, producers, until_ns);
            let (shared, alone) = (all(producers), all(1));
            prop_assert!(shared.len().abs_diff(alone.len()) <= 1);
            for (one, other) in shared.iter().zip(&alone) {
                prop_assert!(one.abs_diff(*other) <= 2, "{one} {other}");
            }
            let owed: f64 = stages.iter().map(Stage::messages).sum();
            let found = alone.iter().filter(|ns| **ns >= window_ns).count();
            prop_assert!((found as f64 - owed).abs() <= 1.5, "{found}, not {owed}");
        }
    }
}
