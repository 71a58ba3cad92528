//! What the consumers of a cell know of each other, without locks: who was last to have a message, and who overtook whom.
//!
//! With several subscriptions the headline latency is that of the last delivery: a ring of counters per lane. A
//! subscription that is a whole ring behind the others finds its counter taken by a later message; it is then surely
//! the last, and counted as such. Order within each consumer is in the books; whether consumers that share a
//! subscription keep a lane's order together is seen here only.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Both questions, for the consumers of one cell.
pub struct Deliveries {
    pub fan_out: FanOut,
    pub order: Order,
}

impl Deliveries {
    pub fn new(subscriptions: u16, consumers: u16, producers: u16, lanes: u16) -> Self {
        Self {
            fan_out: FanOut::new(subscriptions, producers, lanes),
            order: Order::new(subscriptions, consumers, producers, lanes),
        }
    }
}

/// Deliveries that a lane may be apart between its fastest and its slowest subscription.
const RING: u64 = 1 << 18;
const COUNT_BITS: u32 = 12;

pub struct FanOut {
    subscriptions: u64,
    lanes: usize,
    /// (sequence + 1) and how many subscriptions have it, packed.
    counters: Vec<AtomicU64>,
}

impl FanOut {
    /// For messages of `producers` × `lanes`; costs memory only where there is more than one subscription.
    pub fn new(subscriptions: u16, producers: u16, lanes: u16) -> Self {
        let lanes = usize::from(lanes);
        let slots = if subscriptions > 1 { usize::from(producers) * lanes * RING as usize } else { 0 };
        Self {
            subscriptions: u64::from(subscriptions),
            lanes,
            counters: std::iter::repeat_with(AtomicU64::default).take(slots).collect(),
        }
    }

    /// Notes the first delivery of a message to one subscription; true if every other one has it already.
    #[inline]
    pub fn is_last(&self, producer: u16, lane: u16, sequence: u64) -> bool {
        if self.counters.is_empty() {
            return true;
        }
        let place =
            (usize::from(producer) * self.lanes + usize::from(lane)) * RING as usize + (sequence % RING) as usize;
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
}

/// One counter per subscription and lane: the highest sequence that any consumer has done. Counts nothing where one
/// consumer is alone.
pub struct Order {
    producers: usize,
    lanes: usize,
    /// Highest sequence done + 1.
    done: Vec<AtomicU64>,
}

impl Order {
    pub fn new(subscriptions: u16, consumers: u16, producers: u16, lanes: u16) -> Self {
        let (producers, lanes) = (usize::from(producers), usize::from(lanes));
        let counters = if consumers > 1 { usize::from(subscriptions) * producers * lanes } else { 0 };
        Self { producers, lanes, done: std::iter::repeat_with(AtomicU64::default).take(counters).collect() }
    }

    /// Notes that a message is done; true if a later one of its lane was done before.
    #[inline]
    pub fn overtaken(&self, subscription: u16, producer: u16, lane: u16, sequence: u64) -> bool {
        let place = (usize::from(subscription) * self.producers + usize::from(producer)) * self.lanes;
        let Some(done) = self.done.get(place + usize::from(lane)) else { return false };
        done.fetch_max(sequence + 1, Relaxed) > sequence + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_three_is_the_third() {
        let fan_out = FanOut::new(3, 1, 2);
        for sequence in 0..5 {
            let found: Vec<bool> = (0..3).map(|_| fan_out.is_last(0, 1, sequence)).collect();
            assert_eq!(found, [false, false, true]);
        }
        assert!(!fan_out.is_last(0, 0, 3), "lanes are apart");
    }

    #[test]
    fn alone_every_delivery_is_the_last() {
        assert!(FanOut::new(1, 1, 1).is_last(0, 0, 7));
    }

    #[test]
    fn who_is_a_ring_behind_is_last() {
        let fan_out = FanOut::new(2, 1, 1);
        assert!(!fan_out.is_last(0, 0, RING + 5));
        assert!(fan_out.is_last(0, 0, 5));
    }

    #[test]
    fn who_is_done_after_a_later_one_is_overtaken() {
        let order = Order::new(2, 2, 1, 2);
        let found: Vec<bool> = [0, 2, 1, 3].into_iter().map(|sequence| order.overtaken(1, 0, 1, sequence)).collect();
        assert_eq!(found, [false, false, true, false]);
        assert!(!order.overtaken(0, 0, 1, 1) && !order.overtaken(1, 0, 0, 1), "subscriptions and lanes are apart");
    }

    #[test]
    fn alone_nothing_is_overtaken() {
        let order = Order::new(1, 1, 1, 1);
        assert!(!order.overtaken(0, 0, 0, 5) && !order.overtaken(0, 0, 0, 1));
    }
}
