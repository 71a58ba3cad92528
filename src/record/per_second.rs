//! Counts per second of the run: each thread's own until it hands them over, once a second, and all
//! of them together.

/// One second in nanoseconds: the width of a window.
pub const SECOND_NS: u64 = 1_000_000_000;

/// How many events fell into each second after the run's epoch.
#[derive(Clone, Debug, Default)]
pub struct PerSecond {
    counts: Vec<u64>,
    total: u64,
}

/// Eight days; later stamps are put into the last second rather than eat memory.
const MOST_SECONDS: u64 = 8 * 86_400;

impl PerSecond {
    fn note(&mut self, second: u64, events: u64) {
        let second = second.min(MOST_SECONDS) as usize;
        if second >= self.counts.len() {
            self.counts.resize(second + 1, 0);
        }
        self.counts[second] += events;
        self.total += events;
    }

    pub fn get(&self, second: usize) -> u64 {
        self.counts.get(second).copied().unwrap_or(0)
    }

    /// Seconds up to the last event.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Of the seconds before this one. Quick where it is one of the last.
    pub fn before(&self, second: usize) -> u64 {
        let since = self.counts.get(second..).unwrap_or_default();
        self.total - since.iter().sum::<u64>()
    }

    /// Takes in what a thread has counted.
    pub fn add(&mut self, counted: impl IntoIterator<Item = (u64, u64)>) {
        counted.into_iter().for_each(|(second, events)| self.note(second, events));
    }
}

/// What one thread has counted since it last handed it over. Mostly all of it is of one second: an
/// event costs a comparison, and memory is needed once a second.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    second: u64,
    events: u64,
    /// Of other seconds, as they came.
    others: Vec<(u64, u64)>,
}

impl Tally {
    #[inline]
    pub fn add(&mut self, at_ns: u64, events: u64) {
        let second = at_ns / SECOND_NS;
        if second != self.second {
            self.turn(second);
        }
        self.events += events;
    }

    #[cold]
    fn turn(&mut self, second: u64) {
        if self.events > 0 {
            self.others.push((self.second, self.events));
        }
        (self.second, self.events) = (second, 0);
    }

    /// Everything since the last time, by second; a second may stand there twice.
    pub fn take(&mut self) -> Vec<(u64, u64)> {
        self.turn(self.second);
        std::mem::take(&mut self.others)
    }
}

/// Messages through a cell, by where they are counted.
#[derive(Clone, Debug, Default)]
pub struct Flow<T> {
    pub offered: T,
    pub sent: T,
    pub acked: T,
    pub consumed: T,
    /// Aborted on purpose, by when they were planned: these wait for nothing.
    pub aborted: T,
}

impl Flow<Tally> {
    pub fn take(&mut self) -> Flow<Vec<(u64, u64)>> {
        Flow {
            offered: self.offered.take(),
            sent: self.sent.take(),
            acked: self.acked.take(),
            consumed: self.consumed.take(),
            aborted: self.aborted.take(),
        }
    }
}

impl Flow<Vec<(u64, u64)>> {
    pub fn is_empty(&self) -> bool {
        let all = [&self.offered, &self.sent, &self.acked, &self.consumed, &self.aborted];
        all.iter().all(|one| one.is_empty())
    }
}

impl Flow<PerSecond> {
    pub fn add(&mut self, counted: Flow<Vec<(u64, u64)>>) {
        self.offered.add(counted.offered);
        self.sent.add(counted.sent);
        self.acked.add(counted.acked);
        self.consumed.add(counted.consumed);
        self.aborted.add(counted.aborted);
    }

    /// Seconds up to the last event of any kind.
    pub fn seconds(&self) -> usize {
        let all = [&self.offered, &self.sent, &self.acked, &self.consumed];
        all.iter().map(|one| one.len()).max().unwrap_or(0)
    }

    /// Acknowledged before a second, and not yet consumed by all of so many subscriptions.
    pub fn backlog_before(&self, second: usize, subscriptions: u64) -> u64 {
        (self.acked.before(second) * subscriptions).saturating_sub(self.consumed.before(second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_its_second() {
        let (mut tally, mut all) = (Tally::default(), PerSecond::default());
        tally.add(0, 1);
        tally.add(999_999_999, 2);
        tally.add(3_000_000_000, 4);
        all.add(tally.take());
        assert_eq!((all.get(0), all.get(1), all.get(3), all.total()), (3, 0, 4, 7));
        assert!(tally.take().is_empty(), "handed over once");
        tally.add(3_500_000_000, 8);
        tally.add(500_000_000, 16);
        tally.add(3_600_000_000, 32);
        all.add(tally.take());
        assert_eq!((all.get(0), all.get(3), all.total()), (19, 44, 63), "stamps may go back");
        assert_eq!((all.before(0), all.before(1), all.before(4), all.before(99)), (0, 19, 63, 63));
        tally.add(u64::MAX, 1);
        all.add(tally.take());
        assert_eq!((all.total(), all.len() as u64), (64, MOST_SECONDS + 1));
    }

    #[test]
    fn what_is_acknowledged_and_not_consumed_waits() {
        let (mut thread, mut all) = (Flow::<Tally>::default(), Flow::<PerSecond>::default());
        assert!(thread.take().is_empty());
        thread.acked.add(0, 10);
        thread.consumed.add(0, 12);
        thread.consumed.add(SECOND_NS, 8);
        let counted = thread.take();
        assert!(!counted.is_empty());
        all.add(counted);
        assert_eq!((all.backlog_before(1, 2), all.backlog_before(2, 2), all.seconds()), (8, 0, 2));
    }
}
