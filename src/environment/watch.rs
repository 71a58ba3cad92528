//! Whether brokers that run already still answer, asked again and again beside the load: on a thread of its own, because
//! a handshake and a login may take seconds, and whoever looks here has a load to look after.

use super::EnvironmentError;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

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

pub struct LivenessWatch {
    ask: Arc<dyn Fn() -> Asked + Send + Sync>,
    /// From an answer to the next question.
    every: Duration,
    last: Instant,
    under_way: Option<Receiver<Asked>>,
    /// In a row.
    failures: u32,
    standing: Result<(), EnvironmentError>,
}

impl LivenessWatch {
    pub fn new(every: Duration, ask: impl Fn() -> Asked + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask), every, last: Instant::now(), under_way: None, failures: 0, standing: Ok(()) }
    }

    /// What is known by now. Never waits; asks anew when it is time.
    pub fn look(&mut self) -> Result<(), EnvironmentError> {
        let answer = match self.under_way.as_ref().map(Receiver::try_recv) {
            Some(Ok(answer)) => Some(answer),
            Some(Err(TryRecvError::Empty)) => None,
            Some(Err(TryRecvError::Disconnected)) => Some(unasked("asking it ended without an answer")),
            None if self.last.elapsed() >= self.every => self.begin().err().map(|error| unasked(&error.to_string())),
            None => None,
        };
        if let Some(answer) = answer {
            self.take(answer);
        }
        self.standing.clone()
    }

    fn begin(&mut self) -> std::io::Result<()> {
        let (sender, receiver) = mpsc::channel();
        let ask = Arc::clone(&self.ask);
        // Whoever asked may be gone when it is answered.
        thread::Builder::new().name("watch".into()).spawn(move || drop(sender.send(ask())))?;
        self.under_way = Some(receiver);
        Ok(())
    }

    fn take(&mut self, answer: Asked) {
        (self.under_way, self.last) = (None, Instant::now());
        self.failures = if answer.is_ok() { 0 } else { self.failures + 1 };
        match answer {
            Ok(()) => self.standing = Ok(()),
            Err(Alarm::Silent(_)) if self.failures < GIVE_UP => {}
            Err(Alarm::Silent(error) | Alarm::Forbidden(error)) => self.standing = Err(error),
        }
    }
}

fn unasked(why: &str) -> Asked {
    Err(Alarm::Silent(EnvironmentError::Refused(format!("a broker that ran already could not be asked: {why}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn error() -> EnvironmentError {
        EnvironmentError::Refused("gone".into())
    }

    /// What is found after each of these answers.
    fn found(answers: Vec<Asked>) -> Vec<bool> {
        let count = answers.len();
        let (ended, end) = mpsc::channel();
        let answers = Mutex::new(answers.into_iter());
        let mut watch = LivenessWatch::new(Duration::ZERO, move || {
            let _ = ended.send(());
            answers.lock().unwrap().next().unwrap()
        });
        (0..count)
            .map(|_| {
                let _ = watch.look();
                end.recv().unwrap();
                while watch.under_way.is_some() {
                    let _ = watch.look();
                    thread::yield_now();
                }
                watch.standing.is_ok()
            })
            .collect()
    }

    #[test]
    fn three_failures_in_a_row_are_the_end_and_fewer_are_not() {
        let silent = || Err(Alarm::Silent(error()));
        assert_eq!(found(vec![silent(), silent(), Ok(()), silent(), silent()]), [true; 5]);
        assert_eq!(found(vec![silent(), silent(), silent(), Ok(())]), [true, true, false, true]);
        assert_eq!(found(vec![Ok(()), Err(Alarm::Forbidden(error())), silent(), Ok(())]), [true, false, false, true]);
    }

    #[test]
    fn whoever_looks_does_not_wait() {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let mut watch = LivenessWatch::new(Duration::ZERO, move || {
            let _ = held.lock().unwrap().recv();
            Err(Alarm::Forbidden(error()))
        });
        for _ in 0..100 {
            watch.look().unwrap();
        }
        drop(release);
        while watch.look().is_ok() {
            thread::yield_now();
        }
    }
}
