//! How long each file of a data folder was in the last minute: what the kernel had time to write out by itself.
//!
//! Looked at once a second by a thread that ends with its [`Watcher`]. It only looks.

use super::ledger::FileId;
use super::loss::{Found, files};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);
/// How far back the lengths are known.
const KEPT: Duration = Duration::from_secs(60);

pub struct Watcher {
    stop: Arc<AtomicBool>,
    history: Arc<Mutex<History>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub fn start(folder: PathBuf) -> Self {
        let (stop, history) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(History::default())));
        let (stopped, lengths) = (Arc::clone(&stop), Arc::clone(&history));
        let thread = thread::spawn(move || {
            while !stopped.load(Relaxed) {
                // A look that fails is one less: it makes the loss no smaller.
                if let Ok(found) = files(&folder) {
                    lengths.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now(), &found);
                }
                thread::park_timeout(EVERY);
            }
        });
        Self { stop, history, thread: Some(thread) }
    }

    /// The part of a file that had been there for `age` at `now`.
    pub fn length_before(&self, id: &FileId, now: Instant, age: Duration) -> u64 {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        now.checked_sub(age).map_or(0, |moment| history.since(id, moment))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Changes of length, oldest first: of each file one entry older than [`KEPT`] at most.
#[derive(Default)]
struct History(BTreeMap<FileId, VecDeque<(Instant, u64)>>);

impl History {
    fn note(&mut self, now: Instant, found: &[Found]) {
        let mut old = std::mem::take(&mut self.0);
        for file in found {
            let mut changes = old.remove(&file.id).unwrap_or_default();
            if changes.back().is_none_or(|(_, length)| *length != file.length) {
                changes.push_back((now, file.length));
            }
            while changes.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= KEPT) {
                changes.pop_front();
            }
            self.0.insert(file.id, changes);
        }
    }

    /// The part of a file that was there at `moment` and has not been cut since.
    fn since(&self, id: &FileId, moment: Instant) -> u64 {
        let Some(changes) = self.0.get(id) else { return 0 };
        let after = changes.partition_point(|(at, _)| *at <= moment);
        let Some(first) = after.checked_sub(1) else { return 0 };
        changes.range(first..).map(|(_, length)| *length).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: FileId = FileId { inode: 1, born_ns: 1 };

    fn of(lengths: &[(u64, u64)]) -> (History, Instant) {
        let start = Instant::now();
        let mut history = History::default();
        for &(second, length) in lengths {
            let file = Found { path: PathBuf::new(), id: ID, length };
            history.note(start + Duration::from_secs(second), &[file]);
        }
        (history, start)
    }

    #[test]
    fn what_was_there_at_a_moment_and_was_not_cut_since() {
        let (history, start) = of(&[(10, 100), (11, 100), (12, 500), (13, 400), (14, 900)]);
        let since = |second| history.since(&ID, start + Duration::from_secs(second));
        assert_eq!([9, 10, 11, 12, 13, 14, 60].map(since), [0, 100, 100, 400, 400, 900, 900]);
        assert_eq!(history.since(&FileId { inode: 2, born_ns: 1 }, start), 0);
    }

    #[test]
    fn old_lengths_and_deleted_files_are_forgotten() {
        let (mut history, start) = of(&[(0, 1), (1, 2), (2, 3), (100, 4)]);
        assert_eq!(history.0[&ID].len(), 2);
        assert_eq!(history.since(&ID, start + Duration::from_secs(50)), 3);
        history.note(start + Duration::from_secs(101), &[]);
        assert!(history.0.is_empty());
    }
}
