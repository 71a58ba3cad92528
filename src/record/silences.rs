//! Silences: when a lane had no acknowledgement, or a partition no first delivery, for longer than
//! [`SILENCE_NS`]; when its messages were acknowledged; how many were in each tenth of a second.
//!
//! Only cells with faults carry these recorders. Each costs a few comparisons a message and a
//! bounded amount of memory, whatever happens; it grows on the rare silence or stamp alone. What
//! did not fit is said, never guessed.

/// The shortest time without an event that is kept.
/// A recovery that is quicker cannot be told from none.
pub const SILENCE_NS: u64 = 100_000_000;
/// The width of a slot of [`PerTenth`].
pub const TENTH_NS: u64 = 100_000_000;
/// The end of a silence that nothing ended.
pub const NEVER: u64 = u64::MAX;

/// Silences of one lane or stream that are kept: 16 KiB.
const MOST_SILENCES: usize = 1024;
/// Stamped acknowledgements of one lane: 512 KiB. At the limit every other one goes.
const MOST_STAMPS: usize = 1 << 15;
/// One acknowledgement in so many is stamped, at first.
const STAMP_EVERY: u64 = 64;
/// Eight days of tenths; later events go into the last one.
const MOST_TENTHS: u64 = 6_912_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    pub from_ns: u64,
    /// The event that ended it; [`NEVER`] where none came.
    pub to_ns: u64,
}

#[derive(Clone, Debug)]
pub struct Silences {
    last_ns: u64,
    heard: bool,
    silences: Vec<Silence>,
    unkept: u64,
}

impl Silences {
    pub fn new(start_ns: u64) -> Self {
        Self { last_ns: start_ns, heard: false, silences: Vec::new(), unkept: 0 }
    }

    /// Notes an event; true if it ended a silence. Stamps may be a little out of order.
    #[inline]
    pub fn note(&mut self, at_ns: u64) -> bool {
        self.heard = true;
        if at_ns <= self.last_ns {
            return false;
        }
        let ended = at_ns - self.last_ns > SILENCE_NS;
        if ended {
            self.keep(Silence { from_ns: self.last_ns, to_ns: at_ns });
        }
        self.last_ns = at_ns;
        ended
    }

    #[cold]
    fn keep(&mut self, silence: Silence) {
        if self.silences.len() < MOST_SILENCES {
            self.silences.push(silence);
        } else {
            self.unkept += 1;
        }
    }

    pub fn heard(&self) -> bool {
        self.heard
    }

    /// Whether every silence could be kept.
    pub fn complete(&self) -> bool {
        self.unkept == 0
    }

    /// Every silence in order, the open one at `end_ns` included.
    pub fn until(&self, end_ns: u64) -> Vec<Silence> {
        let mut all = self.silences.clone();
        if end_ns > self.last_ns.saturating_add(SILENCE_NS) {
            all.push(Silence { from_ns: self.last_ns, to_ns: NEVER });
        }
        all
    }
}

/// When all of several lanes were silent: the silences of their events taken together.
pub fn common(a: &[Silence], b: &[Silence]) -> Vec<Silence> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut both = Vec::new();
    while let (Some(one), Some(other)) = (a.peek(), b.peek()) {
        let (from_ns, to_ns) = (one.from_ns.max(other.from_ns), one.to_ns.min(other.to_ns));
        if to_ns > from_ns.saturating_add(SILENCE_NS) {
            both.push(Silence { from_ns, to_ns });
        }
        if one.to_ns <= other.to_ns {
            a.next()
        } else {
            b.next()
        };
    }
    both
}

#[derive(Clone, Debug)]
pub struct AckTrace {
    gaps: Silences,
    /// (sequence, acked), in order of acknowledgement.
    stamps: Vec<(u64, u64)>,
    every: u64,
    /// The last one before and the first one after each silence.
    edges: Vec<(u64, u64)>,
    last_sequence: u64,
}

impl AckTrace {
    pub fn new(start_ns: u64) -> Self {
        Self {
            gaps: Silences::new(start_ns),
            stamps: Vec::with_capacity(256),
            every: STAMP_EVERY,
            edges: Vec::new(),
            last_sequence: 0,
        }
    }

    #[inline]
    pub fn acked(&mut self, sequence: u64, at_ns: u64) {
        let before = (self.last_sequence, self.gaps.last_ns, self.gaps.heard);
        let ended = self.gaps.note(at_ns);
        if ended || sequence.is_multiple_of(self.every) {
            self.stamp(sequence, at_ns, before, ended);
        }
        self.last_sequence = sequence;
    }

    #[cold]
    fn stamp(
        &mut self,
        sequence: u64,
        at_ns: u64,
        (last, last_ns, heard): (u64, u64, bool),
        ended: bool,
    ) {
        if ended {
            if self.edges.len() < 2 * MOST_SILENCES {
                self.edges.extend(heard.then_some((last, last_ns)));
                self.edges.push((sequence, at_ns));
            }
            return;
        }
        if self.stamps.len() == MOST_STAMPS {
            self.every *= 2;
            let every = self.every;
            self.stamps.retain(|(sequence, _)| sequence.is_multiple_of(every));
        }
        self.stamps.push((sequence, at_ns));
    }

    pub fn gaps(&self) -> &Silences {
        &self.gaps
    }

    /// When each message was acknowledged, as far as known.
    pub fn into_times(self) -> AckTimes {
        let mut points = self.stamps;
        points.extend(self.edges);
        points.extend(self.gaps.heard.then_some((self.last_sequence, self.gaps.last_ns)));
        points.sort_unstable();
        points.dedup_by_key(|(sequence, _)| *sequence);
        AckTimes(points)
    }
}

/// Places a sequence number in time: exact where it was stamped, between its neighbours elsewhere.
/// A silence is never between two neighbours, so the error is that of a few dozen messages.
#[derive(Clone, Debug, Default)]
pub struct AckTimes(Vec<(u64, u64)>);

impl AckTimes {
    /// About when message `sequence`, which was acknowledged, was so;
    /// `None` where nothing ever was.
    pub fn of(&self, sequence: u64) -> Option<u64> {
        let after = self.0.partition_point(|(stamped, _)| *stamped <= sequence);
        match (after.checked_sub(1).and_then(|before| self.0.get(before)), self.0.get(after)) {
            (Some((stamped, at)), _) if *stamped == sequence => Some(*at),
            (Some((first, from)), Some((last, to))) => {
                let share = (sequence - first) as f64 / (last - first) as f64;
                Some(from + (to.saturating_sub(*from) as f64 * share) as u64)
            }
            (Some((_, at)), None) | (None, Some((_, at))) => Some(*at),
            (None, None) => None,
        }
    }
}

/// Events in each tenth of a second after a start.
#[derive(Clone, Debug, Default)]
pub struct PerTenth {
    start_ns: u64,
    counts: Vec<u32>,
}

impl PerTenth {
    pub fn new(start_ns: u64) -> Self {
        // Ten minutes without growing.
        Self { start_ns, counts: Vec::with_capacity(6000) }
    }

    #[inline]
    pub fn add(&mut self, at_ns: u64) {
        let slot = (at_ns.saturating_sub(self.start_ns) / TENTH_NS).min(MOST_TENTHS) as usize;
        if slot >= self.counts.len() {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += 1;
    }

    /// Adds the events of another producer of the same load.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.start_ns = other.start_ns;
        }
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
    }

    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    pub fn get(&self, slot: usize) -> u64 {
        self.counts.get(slot).copied().map_or(0, u64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn silence(from_ms: u64, to_ms: u64) -> Silence {
        Silence { from_ns: from_ms * MS, to_ns: if to_ms == 0 { NEVER } else { to_ms * MS } }
    }

    #[test]
    fn only_what_is_longer_than_the_threshold_is_a_silence() {
        let mut gaps = Silences::new(0);
        let ended: Vec<bool> =
            [50, 150, 251, 240, 300].into_iter().map(|ms| gaps.note(ms * MS)).collect();
        assert_eq!(
            ended,
            [false, false, true, false, false],
            "100 ms sharp is none, and a late stamp ends none"
        );
        assert_eq!(gaps.until(400 * MS), [silence(150, 251)]);
        assert_eq!(gaps.until(401 * MS), [silence(150, 251), silence(300, 0)]);
        assert!(gaps.heard() && gaps.complete());
    }

    #[test]
    fn memory_is_bounded_and_what_did_not_fit_is_said() {
        let mut gaps = Silences::new(0);
        (1..=2000).for_each(|n| {
            gaps.note(n * 200 * MS);
        });
        assert_eq!(gaps.until(0).len(), MOST_SILENCES);
        assert!(!gaps.complete());
    }

    #[test]
    fn lanes_together_are_silent_only_when_all_are() {
        let one = [silence(100, 500), silence(700, 2000), silence(3000, 0)];
        let other = [silence(300, 450), silence(600, 900), silence(950, 1000), silence(1500, 0)];
        assert_eq!(
            common(&one, &other),
            [silence(300, 450), silence(700, 900), silence(1500, 2000), silence(3000, 0)]
        );
        assert_eq!(common(&one, &[]), []);
    }

    #[test]
    fn a_message_is_placed_within_a_few_dozen_others_and_never_inside_a_silence() {
        let mut trace = AckTrace::new(0);
        // 1000 messages, one a millisecond, then two seconds of nothing, then 1000 more.
        let truth = |n: u64| (n + if n < 1000 { 0 } else { 2000 }) * MS;
        (0..2000).for_each(|n| trace.acked(n, truth(n)));
        assert_eq!(trace.gaps().until(4000 * MS), [silence(999, 3000)]);
        let times = trace.into_times();
        for n in 0..2000 {
            let found = times.of(n).unwrap();
            assert!(found.abs_diff(truth(n)) <= MS, "{n}: {found}");
        }
        assert_eq!(times.of(5000), Some(truth(1999)), "beyond the last one nothing is known");
        assert_eq!(AckTimes::default().of(1), None);
    }

    #[test]
    fn many_messages_are_stamped_more_thinly() {
        let mut trace = AckTrace::new(0);
        let messages = 5 * STAMP_EVERY * MOST_STAMPS as u64;
        (0..messages).for_each(|n| trace.acked(n, n * 1000));
        assert!(trace.stamps.len() <= MOST_STAMPS, "{}", trace.stamps.len());
        let times = trace.into_times();
        for n in (0..messages).step_by(9973) {
            assert!(times.of(n).unwrap().abs_diff(n * 1000) <= 1000);
        }
    }

    #[test]
    fn every_event_is_in_its_tenth() {
        let mut tenths = PerTenth::new(1_000 * MS);
        [1_000, 1_099, 1_100, 2_050, 5].into_iter().for_each(|ms| tenths.add(ms * MS));
        let mut all = PerTenth::default();
        all.merge(&tenths);
        all.merge(&tenths);
        assert_eq!((all.get(0), all.get(1), all.get(10), all.get(99)), (6, 2, 2, 0));
        assert_eq!(all.start_ns(), 1_000 * MS);
    }
}
