//! What our own consumers are told to suffer, and what they say of it. Atomics only: they are asked once per message.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Shared by the injector and the threads that consume.
#[derive(Debug, Default)]
pub struct Consumers {
    /// Time that every message takes, ns; 0 at full speed.
    pace_ns: AtomicU64,
    /// A consumer has felt the pace since it was set.
    felt: AtomicBool,
    /// How often the first consumer is to lose its connection.
    kills: AtomicU32,
    /// How often it has.
    lost: AtomicU32,
    lost_ns: AtomicU64,
    /// How often it has come back.
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
        self.kills.fetch_add(1, Relaxed) + 1
    }

    /// Whether the first consumer is to lose its connection now; asked by its own thread only.
    #[inline]
    pub fn must_go(&self) -> bool {
        self.kills.load(Relaxed) > self.lost.load(Relaxed)
    }

    pub fn note_lost(&self, at_ns: u64) {
        self.lost_ns.store(at_ns, Relaxed);
        self.lost.fetch_add(1, Relaxed);
    }

    pub fn note_back(&self, at_ns: u64) {
        self.back_ns.store(at_ns, Relaxed);
        self.back.fetch_add(1, Relaxed);
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
}
