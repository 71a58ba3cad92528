//! Makes a lost connection again without holding up whoever needs it: each attempt runs on a thread
//! of its own, for looking up names, connecting and greeting may all block.
//!
//! The first attempt comes at once, each further one after a pause ([`Backoff`]). The pause is
//! forgotten when the new connection has proved itself ([`Reconnect::settled`]), not when it is
//! there: a server that takes connections and refuses commands is not hammered.

use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::redis::endpoint::reason;
use crate::driver::timeouts::Backoff;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// How often something was tried again, by its reason.
pub type Retries = BTreeMap<String, u64>;

type Attempt<T> = dyn Fn() -> Result<T, DriverError> + Send + Sync;

pub struct Reconnect<T> {
    attempt: Arc<Attempt<T>>,
    under_way: Option<Receiver<Result<T, DriverError>>>,
    /// When the next attempt is due.
    due_ns: u64,
    backoff: Backoff,
    /// Why there is no connection.
    why: String,
}

impl<T: Send + 'static> Reconnect<T> {
    pub fn new(attempt: impl Fn() -> Result<T, DriverError> + Send + Sync + 'static) -> Self {
        let (backoff, why) = (Backoff::default(), String::new());
        Self { attempt: Arc::new(attempt), under_way: None, due_ns: 0, backoff, why }
    }

    /// The connection was lost: from now on [`Reconnect::poll`] tries.
    pub fn begin(&mut self, now_ns: u64, why: String) {
        self.due_ns = now_ns + self.backoff.pause_ns();
        self.why = why;
    }

    /// The connection has proved itself.
    pub fn settled(&mut self) {
        self.backoff.reset();
    }

    /// What went wrong last.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Counts a new connection that is used.
    pub fn count(retries: &mut Retries) {
        *retries.entry("connection made again".into()).or_default() += 1;
    }

    /// The new connection, if it is there. Waits for it until `until_ns`;
    /// not at all when that has passed.
    pub fn poll(&mut self, clock: &Clock, until_ns: u64, retries: &mut Retries) -> Option<T> {
        loop {
            let Some(under_way) = &self.under_way else {
                let due = self.due_ns.min(until_ns);
                std::thread::sleep(clock.until(due));
                if clock.now_ns() < self.due_ns {
                    return None;
                }
                self.start();
                continue;
            };
            let left = clock.until(until_ns);
            let error = match under_way.recv_timeout(left) {
                Ok(Ok(made)) => {
                    self.under_way = None;
                    return Some(made);
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Ok(Err(error)) => reason(&error),
                Err(RecvTimeoutError::Disconnected) => "no thread to connect on".into(),
            };
            self.under_way = None;
            *retries.entry(format!("connecting: {error}")).or_default() += 1;
            self.begin(clock.now_ns(), error);
            if left.is_zero() {
                return None;
            }
        }
    }

    fn start(&mut self) {
        let (done, ended) = channel();
        let attempt = Arc::clone(&self.attempt);
        // Without a thread the sender is gone, which counts as a failed attempt.
        let _ = std::thread::Builder::new().name("redis-connect".into()).spawn(move || {
            let _ = done.send(attempt());
        });
        self.under_way = Some(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::time::Duration;

    #[test]
    fn a_slow_attempt_holds_up_nobody_and_failures_are_counted() {
        let (clock, tries, mut retries) =
            (Clock::start(), Arc::new(AtomicU32::new(0)), Retries::new());
        let count = Arc::clone(&tries);
        let mut reconnect = Reconnect::new(move || {
            std::thread::sleep(Duration::from_millis(30));
            match count.fetch_add(1, Relaxed) {
                2 => Ok("here"),
                _ => Err(DriverError::TimedOut {
                    system: System::RedisLists,
                    action: "PING".into(),
                    seconds: 1,
                }),
            }
        });
        reconnect.begin(clock.now_ns(), "the server closed the connection".into());
        let mut longest = 0;
        let made = loop {
            let before = clock.now_ns();
            let made = reconnect.poll(&clock, 0, &mut retries);
            longest = longest.max(clock.now_ns() - before);
            if let Some(made) = made {
                break made;
            }
            assert!(clock.now_ns() < 10_000_000_000);
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!((made, tries.load(Relaxed)), ("here", 3));
        assert!(longest < 20_000_000, "{longest} ns");
        assert_eq!(retries, [("connecting: PING got no answer".to_owned(), 2)].into());
        assert_eq!(reconnect.why(), "PING got no answer");
    }
}
