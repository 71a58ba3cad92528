//! What the consumers of a cell know of each other, without locks: who was last to have a message,
//! and who overtook whom.
//!
//! With several subscriptions the headline latency is that of the last delivery: a ring of counters
//! per lane. A subscription that is a whole ring behind the others finds its counter taken by a
//! later message; it is then surely the last, and counted as such. Order within each consumer is in
//! the books; whether consumers that share a subscription keep a lane's order together
//! is seen here only.

use crate::schedule::{Clients, Share};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Deliveries that a lane may be apart between its fastest and its slowest subscription; fewer
/// where there are many lanes, which together have so many counters.
const RING: u64 = 1 << 18;
const MOST_COUNTERS: u64 = 1 << 23;
const LEAST_RING: u64 = 16;
const COUNT_BITS: u32 = 12;

pub struct Deliveries {
    subscriptions: u64,
    producers: usize,
    lanes: usize,
    ring: u64,
    /// (sequence + 1) and how many subscriptions have it, packed. Empty where there is only one.
    counters: Vec<AtomicU64>,
    /// By subscription and lane: the highest sequence that any consumer has done, + 1. Empty where
    /// one is alone.
    done: Vec<AtomicU64>,
}

impl Deliveries {
    /// Of one shard among several nobody knows here who was last, or who overtook whom.
    pub fn within(share: Share, lanes: u16) -> Self {
        let Clients { producers, subscriptions, consumers } = share.clients;
        match share.is_whole() {
            true => Self::new(subscriptions, consumers, producers, lanes),
            false => Self::new(1, 1, producers, lanes),
        }
    }

    /// For messages of `producers` × `lanes`.
    pub fn new(subscriptions: u16, consumers: u16, producers: u16, lanes: u16) -> Self {
        let (producers, lanes) = (usize::from(producers), usize::from(lanes));
        let zeros = |count| std::iter::repeat_with(AtomicU64::default).take(count).collect();
        let ring = (MOST_COUNTERS / (producers * lanes).max(1) as u64).clamp(LEAST_RING, RING);
        Self {
            subscriptions: u64::from(subscriptions),
            producers,
            lanes,
            ring,
            counters: zeros(if subscriptions > 1 { producers * lanes * ring as usize } else { 0 }),
            done: zeros(if consumers > 1 {
                usize::from(subscriptions) * producers * lanes
            } else {
                0
            }),
        }
    }

    /// Notes the first delivery of a message to one subscription;
    /// true if every other one has it already.
    #[inline]
    pub fn is_last(&self, producer: u16, lane: u16, sequence: u64) -> bool {
        if self.counters.is_empty() {
            return true;
        }
        let place = (usize::from(producer) * self.lanes + usize::from(lane)) * self.ring as usize
            + (sequence % self.ring) as usize;
        let Some(counter) = self.counters.get(place) else { return false };
        let tag = (sequence + 1) << COUNT_BITS;
        let mut seen = counter.load(Relaxed);
        loop {
            if seen >> COUNT_BITS > sequence + 1 {
                return true;
            }
            let next = if seen >> COUNT_BITS == sequence + 1 { seen + 1 } else { tag + 1 };
            match counter.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return next - tag == self.subscriptions,
                Err(found) => seen = found,
            }
        }
    }

    /// Notes that a message is done; true if a later one of its lane was done before.
    #[inline]
    pub fn overtaken(&self, subscription: u16, producer: u16, lane: u16, sequence: u64) -> bool {
        let place =
            (usize::from(subscription) * self.producers + usize::from(producer)) * self.lanes;
        let Some(done) = self.done.get(place + usize::from(lane)) else { return false };
        done.fetch_max(sequence + 1, Relaxed) > sequence + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_three_is_the_third() {
        let deliveries = Deliveries::new(3, 1, 1, 2);
        for sequence in 0..5 {
            let found: Vec<bool> = (0..3).map(|_| deliveries.is_last(0, 1, sequence)).collect();
            assert_eq!(found, [false, false, true]);
        }
        assert!(!deliveries.is_last(0, 0, 3), "lanes are apart");
    }

    #[test]
    fn alone_every_delivery_is_the_last() {
        assert!(Deliveries::new(1, 1, 1, 1).is_last(0, 0, 7));
    }

    #[test]
    fn who_is_a_ring_behind_is_last() {
        let deliveries = Deliveries::new(2, 1, 1, 1);
        assert!(!deliveries.is_last(0, 0, RING + 5));
        assert!(deliveries.is_last(0, 0, 5));
    }

    #[test]
    fn five_thousand_lanes_take_no_more_memory_than_thirty() {
        let deliveries = Deliveries::new(2, 1, 2, 5000);
        assert!(deliveries.counters.len() as u64 <= MOST_COUNTERS);
        let (lane, far) = (4999, deliveries.ring - 1);
        assert!(!deliveries.is_last(1, lane, 0) && !deliveries.is_last(1, lane, far));
        assert!(deliveries.is_last(1, lane, 0) && deliveries.is_last(1, lane, far));
    }

    #[test]
    fn who_is_done_after_a_later_one_is_overtaken() {
        let deliveries = Deliveries::new(2, 2, 1, 2);
        let found: Vec<bool> = [0, 2, 1, 3]
            .into_iter()
            .map(|sequence| deliveries.overtaken(1, 0, 1, sequence))
            .collect();
        assert_eq!(found, [false, false, true, false]);
        assert!(
            !deliveries.overtaken(0, 0, 1, 1) && !deliveries.overtaken(1, 0, 0, 1),
            "subscriptions and lanes are apart"
        );
    }

    #[test]
    fn alone_nothing_is_overtaken() {
        let deliveries = Deliveries::new(1, 1, 1, 1);
        assert!(!deliveries.overtaken(0, 0, 0, 5) && !deliveries.overtaken(0, 0, 0, 1));
    }
}
