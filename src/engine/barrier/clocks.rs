//! One time for all shards: the zero of the first one's clock, found on another machine.
//!
//! What the first says it read at some time of its clock was read after the question left and
//! before the answer came. So each echo bounds where its zero lies, whatever the network does; what
//! all of them leave is how well it is known. Processes of one kernel share its monotonic clock and
//! need no estimate.

use std::time::{Duration, Instant};

/// How far the estimate of one kernel's own clock may lie outside of what echoes allow: reading two
/// clocks takes a moment.
const SLACK_NS: i64 = 1_000_000;

/// Between which two offsets from a moment of our own the zero of another clock lies, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracket {
    earliest_ns: i64,
    latest_ns: i64,
}

impl Bracket {
    pub fn unknown() -> Self {
        Self { earliest_ns: i64::MIN, latest_ns: i64::MAX }
    }

    /// What happened at `at_ns` of the other clock happened between these two offsets of ours.
    pub fn narrow(&mut self, asked_ns: i64, heard_ns: i64, at_ns: u64) {
        let at_ns = at_ns as i64;
        self.earliest_ns = self.earliest_ns.max(asked_ns.saturating_sub(at_ns));
        self.latest_ns = self.latest_ns.min(heard_ns.saturating_sub(at_ns));
    }

    pub fn middle_ns(self) -> i64 {
        self.earliest_ns.midpoint(self.latest_ns)
    }

    /// How far an offset may be from the truth, at most.
    pub fn farthest_ns(self, offset_ns: i64) -> u64 {
        self.earliest_ns.abs_diff(offset_ns).max(self.latest_ns.abs_diff(offset_ns))
    }

    pub fn allows(self, offset_ns: i64) -> bool {
        let earliest_ns = self.earliest_ns.saturating_sub(SLACK_NS);
        let latest_ns = self.latest_ns.saturating_add(SLACK_NS);
        (earliest_ns..=latest_ns).contains(&offset_ns)
    }
}

/// So many nanoseconds after a moment, or before it.
pub fn moved(moment: Instant, by_ns: i64) -> Instant {
    let by = Duration::from_nanos(by_ns.unsigned_abs());
    let moved = if by_ns < 0 { moment.checked_sub(by) } else { moment.checked_add(by) };
    moved.unwrap_or(moment)
}

/// The same difference the other way round: how long after `base` a moment was.
pub fn since_ns(base: Instant, moment: Instant) -> i64 {
    moment.saturating_duration_since(base).as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_lopsided_echo_is_no_estimate_and_several_narrow_it() {
        let mut bracket = Bracket::unknown();
        // The zero lies 1000 before us: what we read as 0 the other reads as 1000.
        bracket.narrow(0, 900, 1010);
        assert_eq!((bracket.middle_ns(), bracket.farthest_ns(-1000)), (-560, 890));
        bracket.narrow(2000, 2040, 3030);
        assert_eq!((bracket.middle_ns(), bracket.farthest_ns(-1000)), (-1000, 10));
        assert!(bracket.allows(-1000) && !bracket.allows(SLACK_NS));
    }

    #[test]
    fn moments_move_both_ways() {
        let now = Instant::now();
        assert_eq!(since_ns(moved(now, -5), now), 5);
        assert_eq!(since_ns(now, moved(now, 7)), 7);
    }

    proptest! {
        /// However long the ways there and back take, the truth is never farther than is said.
        #[test]
        fn the_bound_holds(
            zero in -1_000_000_000_000i64..0,
            ways in prop::collection::vec((0i64..50_000_000, 0i64..50_000_000, 0i64..1000), 1..9),
        ) {
            let (mut bracket, mut now) = (Bracket::unknown(), 0);
            for (there, back, pause) in ways {
                let at_ns = (now + there - zero) as u64;
                bracket.narrow(now, now + there + back, at_ns);
                now += there + back + pause;
            }
            let found = bracket.middle_ns();
            prop_assert!(found.abs_diff(zero) <= bracket.farthest_ns(found));
            prop_assert!(bracket.allows(zero));
        }
    }
}
