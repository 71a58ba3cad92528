//! Counts per second of the run.

/// One second in nanoseconds: the width of a window.
pub const SECOND_NS: u64 = 1_000_000_000;

/// How many events fell into each second after the run's epoch.
#[derive(Clone, Debug, Default)]
pub struct PerSecond(Vec<u64>);

/// A day; later stamps are put into the last second rather than eat memory.
const MOST_SECONDS: u64 = 86_400;

impl PerSecond {
    #[inline]
    pub fn add(&mut self, at_ns: u64, events: u64) {
        let second = (at_ns / SECOND_NS).min(MOST_SECONDS) as usize;
        if second >= self.0.len() {
            self.0.resize(second + 1, 0);
        }
        self.0[second] += events;
    }

    pub fn get(&self, second: usize) -> u64 {
        self.0.get(second).copied().unwrap_or(0)
    }

    /// Seconds up to the last event.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub fn merge(&mut self, other: &Self) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine += theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_its_second() {
        let mut tally = PerSecond::default();
        tally.add(0, 1);
        tally.add(999_999_999, 2);
        tally.add(3_000_000_000, 4);
        let mut other = PerSecond::default();
        other.add(3_500_000_000, 8);
        tally.merge(&other);
        assert_eq!((tally.get(0), tally.get(1), tally.get(3), tally.total()), (3, 0, 12, 15));
        tally.add(u64::MAX, 1);
        assert_eq!(tally.total(), 16);
    }
}
