//! What ends a sleep of the pacing thread.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

/// Wakes the pacing thread when reports came in. Rung by librdkafka's threads, heard by one thread.
#[derive(Default)]
pub struct Waker {
    rung: AtomicBool,
    sleeper: OnceLock<Thread>,
}

impl Waker {
    /// Names the thread to wake. The first one stays: a publisher is used by one thread.
    pub fn listen(&self) {
        self.sleeper.get_or_init(std::thread::current);
    }

    /// Whether it rang since the last call.
    pub fn heard(&self) -> bool {
        // The load keeps the common case, nothing there, free of a locked instruction.
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::Acquire)
    }

    pub fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}
