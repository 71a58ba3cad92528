//! Whether consumers that share a subscription keep a lane's order together: the books know each consumer's order only.
//!
//! One counter per subscription and lane, without locks: the highest sequence that any consumer has done. Counts nothing
//! where one consumer is alone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
