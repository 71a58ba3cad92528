//! Whether brokers that run already still answer, asked again and again beside the load: on a
//! thread of its own, because a handshake and a login may take seconds, and whoever looks here has
//! a load to look after.

use super::EnvironmentError;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// So many failures in a row are no hiccup.
const GIVE_UP: u32 = 3;

/// What is wrong.
pub enum Alarm {
    /// It may pass.
    Silent(EnvironmentError),
    /// It must not go on.
    Forbidden(EnvironmentError),
}

type Asked = Result<(), Alarm>;

/// Asked anew after each answer for as long as this lives.
pub struct LivenessWatch {
    known: Arc<Mutex<Known>>,
    _running: Sender<()>,
}

struct Known {
    /// In a row.
    failures: u32,
    standing: Result<(), EnvironmentError>,
}

impl LivenessWatch {
    /// `every`: from an answer to the next question.
    pub fn new(every: Duration, ask: impl Fn() -> Asked + Send + 'static) -> Self {
        let known = Arc::new(Mutex::new(Known { failures: 0, standing: Ok(()) }));
        let (running, ended) = mpsc::channel();
        let told = Arc::clone(&known);
        let watch = move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let answer = ask();
                told.lock().unwrap_or_else(PoisonError::into_inner).take(answer);
            }
        };
        if let Err(error) = thread::Builder::new().name("watch".into()).spawn(watch) {
            let what = format!("a broker that ran already could not be asked: {error}");
            known.lock().unwrap_or_else(PoisonError::into_inner).standing =
                Err(EnvironmentError::Refused(what));
        }
        Self { known, _running: running }
    }

    /// What is known by now. Never waits for an answer.
    pub fn look(&self) -> Result<(), EnvironmentError> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).standing.clone()
    }
}

impl Known {
    fn take(&mut self, answer: Asked) {
        self.failures = if answer.is_ok() { 0 } else { self.failures + 1 };
        match answer {
            Ok(()) => self.standing = Ok(()),
            Err(Alarm::Silent(_)) if self.failures < GIVE_UP => {}
            Err(Alarm::Silent(error) | Alarm::Forbidden(error)) => self.standing = Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> EnvironmentError {
        EnvironmentError::Refused("gone".into())
    }

    /// What is found after each of these answers.
    fn found(answers: Vec<Asked>) -> Vec<bool> {
        let mut known = Known { failures: 0, standing: Ok(()) };
        let found = |answer| {
            known.take(answer);
            known.standing.is_ok()
        };
        answers.into_iter().map(found).collect()
    }

    #[test]
    fn three_failures_in_a_row_are_the_end_and_fewer_are_not() {
        let silent = || Err(Alarm::Silent(error()));
        assert_eq!(found(vec![silent(), silent(), Ok(()), silent(), silent()]), [true; 5]);
        assert_eq!(found(vec![silent(), silent(), silent(), Ok(())]), [true, true, false, true]);
        assert_eq!(
            found(vec![Ok(()), Err(Alarm::Forbidden(error())), silent(), Ok(())]),
            [true, false, false, true]
        );
    }

    #[test]
    fn whoever_looks_does_not_wait_and_nobody_is_asked_once_it_is_gone() {
        let (release, held) = mpsc::channel::<()>();
        let (asked, count) = mpsc::channel();
        let watch = LivenessWatch::new(Duration::ZERO, move || {
            let _ = asked.send(());
            let _ = held.recv();
            Err(Alarm::Forbidden(error()))
        });
        count.recv().unwrap();
        for _ in 0..100 {
            watch.look().unwrap();
        }
        drop(release);
        while watch.look().is_ok() {
            thread::yield_now();
        }
        drop(watch);
        // Until whoever asks is gone too.
        while count.recv().is_ok() {}
    }
}
