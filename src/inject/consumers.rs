//! What our own consumers are told to suffer, and what they say of it. Atomics only: they are asked
//! once per message.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Shared by the injector and the threads that consume.
#[derive(Debug, Default)]
pub struct Consumers {
    /// Time that every message takes, ns; 0 at full speed.
    pace_ns: AtomicU64,
    /// A consumer has felt the pace since it was set.
    felt: AtomicBool,
    /// How many kills there were.
    kills: AtomicU32,
    /// The kill that the first consumer has not heard of yet; 0 is none.
    pending: AtomicU32,
    /// The last one that it heard of.
    heard: AtomicU32,
    /// The last one by which it has lost its connection.
    lost: AtomicU32,
    lost_ns: AtomicU64,
    /// The last one from which it has come back.
    back: AtomicU32,
    back_ns: AtomicU64,
}

impl Consumers {
    pub fn slow_down(&self, pace_ns: u64) {
        self.felt.store(false, Relaxed);
        self.pace_ns.store(pace_ns, Relaxed);
    }

    /// Time that a message takes now, ns.
    #[inline]
    pub fn pace_ns(&self) -> u64 {
        self.pace_ns.load(Relaxed)
    }

    /// A consumer has taken its time over a message.
    #[inline]
    pub fn note_felt(&self) {
        self.felt.store(true, Relaxed);
    }

    pub fn felt(&self) -> bool {
        self.felt.load(Relaxed)
    }

    /// Returns the number of this kill.
    pub fn kill(&self) -> u32 {
        let number = self.kills.fetch_add(1, Relaxed) + 1;
        self.pending.store(number, Relaxed);
        number
    }

    /// Withdraws a kill that the consumer has not heard of; false where it has, and will do as it
    /// was told.
    pub fn withdraw(&self, number: u32) -> bool {
        self.pending.compare_exchange(number, 0, Relaxed, Relaxed).is_ok()
    }

    /// Whether the first consumer is to lose its connection now: told once for each kill, to its
    /// own thread only.
    #[inline]
    pub fn must_go(&self) -> bool {
        if self.pending.load(Relaxed) == 0 {
            return false;
        }
        let number = self.pending.swap(0, Relaxed);
        if number > 0 {
            self.heard.store(number, Relaxed);
        }
        number > 0
    }

    pub fn note_lost(&self, at_ns: u64) {
        self.lost_ns.store(at_ns, Relaxed);
        self.lost.store(self.heard.load(Relaxed), Relaxed);
    }

    pub fn note_back(&self, at_ns: u64) {
        self.back_ns.store(at_ns, Relaxed);
        self.back.store(self.heard.load(Relaxed), Relaxed);
    }

    /// When the kill of this number took effect.
    pub fn lost_at(&self, number: u32) -> Option<u64> {
        (self.lost.load(Relaxed) >= number).then(|| self.lost_ns.load(Relaxed))
    }

    /// When the consumer was back from it.
    pub fn back_at(&self, number: u32) -> Option<u64> {
        (self.back.load(Relaxed) >= number).then(|| self.back_ns.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kill_is_done_once_and_told() {
        let consumers = Consumers::default();
        assert!(!consumers.must_go());
        let number = consumers.kill();
        assert!(consumers.must_go() && consumers.lost_at(number).is_none());
        consumers.note_lost(5);
        assert!(!consumers.must_go());
        assert_eq!((consumers.lost_at(number), consumers.back_at(number)), (Some(5), None));
        consumers.note_back(9);
        assert_eq!(consumers.back_at(number), Some(9));
        assert_eq!(consumers.kill(), 2);
        assert!(consumers.must_go());
    }

    #[test]
    fn a_kill_that_was_withdrawn_is_not_done_later() {
        let consumers = Consumers::default();
        assert!(consumers.withdraw(consumers.kill()) && !consumers.must_go());
        let second = consumers.kill();
        assert!(consumers.must_go() && !consumers.withdraw(second), "whoever was told goes");
        consumers.note_lost(5);
        assert_eq!((consumers.lost_at(second), consumers.back_at(second)), (Some(5), None));
    }
}
