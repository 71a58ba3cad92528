//! Where the thread of a client library's runtime leaves what has ended, for the pacing thread to
//! collect: a channel would wake that for each end, and it would then send as few at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

pub struct Mailbox<T> {
    ended: Mutex<Vec<T>>,
    filled: Condvar,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { ended: Mutex::new(Vec::new()), filled: Condvar::new() }
    }
}

impl<T> Mailbox<T> {
    pub fn put(&self, ends: impl IntoIterator<Item = T>) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = ended.is_empty();
        ended.extend(ends);
        if empty && !ended.is_empty() {
            self.filled.notify_one();
        }
    }

    /// All there is, waited for until there is something or `limit` is over.
    pub fn take(&self, limit: Duration) -> Vec<T> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.filled.wait_timeout_while(ended, limit, |ended| ended.is_empty());
        std::mem::take(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}
