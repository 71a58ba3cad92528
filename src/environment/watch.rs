//! Whether brokers that run already still answer, asked again and again beside the load: on a
//! thread of its own, because a handshake and a login may take seconds, and whoever looks here has
//! a load to look after.
//!
//! One node of several that does not answer is an outage, which is noted from the last answer to
//! the next one; that nobody answers for longer than clients would wait is the end.

use super::{EnvironmentError, NodeOutage};
use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// So many failures in a row are no hiccup.
const GIVE_UP: u32 = 3;

/// What one round of questions found.
#[derive(Default)]
pub struct Round {
    /// Of each node, by its address; whoever does not answer may come back.
    pub nodes: Vec<(String, Result<(), EnvironmentError>)>,
    /// Why it must not go on.
    pub forbidden: Option<EnvironmentError>,
}

/// Asked anew after each round for as long as this lives.
pub struct LivenessWatch {
    known: Arc<Mutex<Known>>,
    _running: Sender<()>,
}

struct Known {
    /// For how long nobody need answer.
    patience: Duration,
    /// Rounds in a row in which nobody did, and since when.
    failures: u32,
    silent_since: Option<Instant>,
    standing: Result<(), EnvironmentError>,
    answered: BTreeMap<String, Instant>,
    outages: Vec<NodeOutage>,
}

impl LivenessWatch {
    /// `every`: from an answer to the next question.
    pub fn new(
        every: Duration,
        patience: Duration,
        ask: impl Fn() -> Round + Send + 'static,
    ) -> Self {
        let known = Arc::new(Mutex::new(Known::new(patience)));
        let (running, ended) = mpsc::channel();
        let told = Arc::clone(&known);
        let watch = move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let round = ask();
                told.lock().unwrap_or_else(PoisonError::into_inner).take(round, Instant::now());
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

    /// Nodes that went away while it was watched, in the order in which they did.
    pub fn outages(&self) -> Vec<NodeOutage> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).outages.clone()
    }
}

impl Known {
    fn new(patience: Duration) -> Self {
        let (answered, outages) = (BTreeMap::new(), Vec::new());
        Self { patience, failures: 0, silent_since: None, standing: Ok(()), answered, outages }
    }

    fn take(&mut self, round: Round, now: Instant) {
        let mut silent = None;
        let mut anybody = false;
        for (node, answer) in round.nodes {
            let open = self.outages.iter().rposition(|seen| seen.to.is_none() && seen.node == node);
            match answer {
                Ok(()) => {
                    anybody = true;
                    if let Some(outage) = open.and_then(|at| self.outages.get_mut(at)) {
                        outage.to = Some(now);
                    }
                    self.answered.insert(node, now);
                }
                Err(error) => {
                    silent.get_or_insert(error);
                    if open.is_none() {
                        let from = self.answered.get(&node).copied().unwrap_or(now);
                        self.outages.push(NodeOutage { node, from, to: None });
                    }
                }
            }
        }
        if anybody || silent.is_none() {
            (self.failures, self.silent_since, self.standing) = (0, None, Ok(()));
        } else {
            self.failures += 1;
            let since = *self.silent_since.get_or_insert(now);
            let waited = now.saturating_duration_since(since) >= self.patience;
            if let Some(error) = silent.filter(|_| waited && self.failures >= GIVE_UP) {
                self.standing = Err(error);
            }
        }
        if let Some(error) = round.forbidden {
            self.standing = Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> EnvironmentError {
        EnvironmentError::Refused("gone".into())
    }

    fn round(nodes: &[bool]) -> Round {
        let node = |(at, answers): (usize, &bool)| {
            (format!("n{at}"), if *answers { Ok(()) } else { Err(error()) })
        };
        Round { nodes: nodes.iter().enumerate().map(node).collect(), forbidden: None }
    }

    /// A node, since when it was away and until when, s.
    type Away = (String, u64, Option<u64>);

    /// What is found after each of these rounds, a second apart.
    fn found(patience_s: u64, rounds: Vec<Round>) -> (Vec<bool>, Vec<Away>) {
        let begun = Instant::now();
        let mut known = Known::new(Duration::from_secs(patience_s));
        let found = |(second, round): (usize, Round)| {
            known.take(round, begun + Duration::from_secs(second as u64));
            known.standing.is_ok()
        };
        let standing = rounds.into_iter().enumerate().map(found).collect();
        let second = |at: Instant| at.duration_since(begun).as_secs();
        let outage =
            |seen: &NodeOutage| (seen.node.clone(), second(seen.from), seen.to.map(second));
        (standing, known.outages.iter().map(outage).collect())
    }

    #[test]
    fn three_failures_in_a_row_are_the_end_and_fewer_are_not() {
        let (silent, well) = (|| round(&[false]), || round(&[true]));
        assert_eq!(found(0, vec![silent(), silent(), well(), silent(), silent()]).0, [true; 5]);
        let rounds = vec![silent(), silent(), silent(), well()];
        assert_eq!(found(0, rounds).0, [true, true, false, true]);
        let forbidden = Round { forbidden: Some(error()), ..well() };
        let rounds = vec![well(), forbidden, silent(), well()];
        assert_eq!(found(0, rounds).0, [true, false, false, true]);
        let patient = (0..7).map(|_| silent()).collect();
        assert_eq!(found(5, patient).0, [true, true, true, true, true, false, false]);
    }

    #[test]
    fn one_node_of_several_that_goes_and_comes_back_is_an_outage_and_no_end() {
        let rounds = [[true, true], [true, false], [true, false], [true, true], [false, true]];
        let rounds = rounds.iter().map(|nodes| round(nodes)).collect();
        let (standing, outages) = found(0, rounds);
        assert_eq!(standing, [true; 5]);
        assert_eq!(outages, [("n1".to_owned(), 0, Some(3)), ("n0".to_owned(), 3, None)]);
    }

    #[test]
    fn whoever_looks_does_not_wait_and_nobody_is_asked_once_it_is_gone() {
        let (release, held) = mpsc::channel::<()>();
        let (asked, count) = mpsc::channel();
        let watch = LivenessWatch::new(Duration::ZERO, Duration::ZERO, move || {
            let _ = asked.send(());
            let _ = held.recv();
            Round { forbidden: Some(error()), ..Round::default() }
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
