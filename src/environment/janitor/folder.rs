//! The run folder: everything that a run puts on the temporary disk, with the lock that says that
//! its janitor lives.
//!
//! Invariant: a folder that holds data also holds `lock`, which its living janitor keeps locked; so
//! a folder whose lock can be taken is stale. The lock is made under another name and renamed once
//! it is held, and removed last. Only folders of our own user and of our exact naming are ever
//! swept.

use crate::environment::process::start_time;
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const LOCK: &str = "lock";
/// A folder without a lock is being made, or was being removed; after this long it is the latter.
const HALF_MADE: Duration = Duration::from_secs(60);

pub struct BrokerFolder {
    path: PathBuf,
    /// Locked as long as this lives; one line `pid start-time` per process started.
    lock: File,
}

impl BrokerFolder {
    /// Makes `brokerbench-<harness>-<random>` in the temporary directory, for nobody but this user.
    pub fn create(harness: i32) -> io::Result<Self> {
        let path = tempfile::Builder::new()
            .prefix(&format!("brokerbench-{harness}-"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?
            .keep();
        Self::lock(&path).inspect_err(|_| drop(fs::remove_dir_all(&path)))
    }

    fn lock(path: &Path) -> io::Result<Self> {
        let making = path.join("lock.new");
        let lock = File::create_new(&making)?;
        lock.try_lock()?;
        fs::rename(making, path.join(LOCK))?;
        Ok(Self { path: path.to_owned(), lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a process, so that a later sweep can end it should this janitor be killed.
    pub fn note(&mut self, pid: u32) -> io::Result<()> {
        writeln!(self.lock, "{pid} {}", start_time(pid).unwrap_or_default())
    }

    /// Refuses any path that is not below this folder.
    pub fn must_hold(&self, path: &Path) -> io::Result<()> {
        let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !plain || !path.starts_with(&self.path) || path == self.path {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path is not inside the run folder",
            ));
        }
        Ok(())
    }

    /// Removes a folder below this one; any other path is refused.
    pub fn remove_inside(&self, path: &Path) -> io::Result<()> {
        self.must_hold(path)?;
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub fn remove(self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// Removes the content, then the lock, then the folder: interrupted at any point, it is still
/// recognised as ours.
pub fn remove(folder: &Path) -> io::Result<()> {
    // A dying process may still make a file while its folder is being removed.
    for _ in 0..3 {
        if try_remove(folder).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    try_remove(folder)
}

fn try_remove(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == LOCK {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?
        } else {
            fs::remove_file(entry.path())?
        }
    }
    match fs::remove_file(folder.join(LOCK)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_dir(folder)
}

/// Ends and removes what janitors left that were killed themselves. Failures are left to the next
/// sweep.
pub fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(is_run_folder)
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == geteuid().as_raw());
        if ours {
            sweep_one(&entry.path());
        }
    }
}

/// Whether the janitor of a run folder is gone. (Nobody who uses a folder sees it without its
/// lock.) One that we cannot look at lives, as far as we know.
pub fn is_stale(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn sweep_one(folder: &Path) {
    let Ok(lock) = File::open(folder.join(LOCK)) else {
        let age = fs::metadata(folder)
            .and_then(|meta| meta.modified())
            .map(|at| SystemTime::now().duration_since(at));
        if matches!(age, Ok(Ok(age)) if age > HALF_MADE) {
            // Succeeds only on an empty folder (see the invariant above).
            let _ = fs::remove_dir(folder);
        }
        return;
    };
    if lock.try_lock().is_err() {
        return;
    }
    for line in io::read_to_string(&lock).unwrap_or_default().lines() {
        kill_noted(line);
    }
    let _ = remove(folder);
}

/// Kills the process group of a noted process, if its id still belongs to it.
fn kill_noted(line: &str) -> Option<()> {
    let (pid, started) = line.split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    if start_time(pid)? == started.parse::<u64>().ok()? {
        kill_process_group(Pid::from_raw(i32::try_from(pid).ok()?)?, Signal::KILL).ok()?;
    }
    Some(())
}

/// `brokerbench-<digits>-<letters and digits>`.
fn is_run_folder(name: &str) -> bool {
    let parts = name.strip_prefix("brokerbench-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(pid, random)| {
        let digits = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
        digits && !random.is_empty() && random.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn only_our_naming_is_swept() {
        assert!(is_run_folder("brokerbench-123-aB3xYz"));
        for other in [
            "brokerbench-results",
            "brokerbench-12-",
            "brokerbench--x",
            "brokerbench-1-a-b",
            "other-1-a",
        ] {
            assert!(!is_run_folder(other), "{other}");
        }
    }

    #[test]
    fn a_stale_folder_goes_and_a_living_one_stays() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let make = |name: &str| -> io::Result<BrokerFolder> {
            let path = directory.path().join(name);
            fs::create_dir(&path)?;
            fs::write(path.join("data"), "x")?;
            BrokerFolder::lock(&path)
        };
        let living = make("brokerbench-1-living")?;
        let stale = make("brokerbench-1-stale")?.path;
        let foreign = directory.path().join("brokerbench-1-foreign");
        fs::create_dir(&foreign)?;
        fs::write(foreign.join("precious"), "x")?;
        // Another test's child holds our lock until it has become another program.
        let soon = Instant::now() + Duration::from_secs(10);
        while !is_stale(&stale) && Instant::now() < soon {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(
            is_stale(&stale)
                && !is_stale(living.path())
                && is_stale(&directory.path().join("absent"))
        );
        // What is no folder has no lock that could be opened, and none that is absent either.
        assert!(!is_stale(&stale.join("data")));
        sweep(directory.path());
        assert!(!stale.exists());
        assert!(living.path().join("data").exists());
        assert!(foreign.join("precious").exists(), "a folder without our lock is not ours");
        Ok(())
    }

    #[test]
    fn a_reused_process_id_is_left_alone() {
        let me = std::process::id();
        let started = start_time(me).unwrap_or_default();
        assert!(started > 0);
        // The wrong start time: would kill this test's own process group if it were trusted.
        assert_eq!(kill_noted(&format!("{me} {}", started + 1)), Some(()));
        assert_eq!(kill_noted("garbage"), None);
    }

    #[test]
    fn nothing_outside_the_run_folder_is_removed() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let outside = directory.path().join("outside");
        fs::create_dir(&outside)?;
        let path = directory.path().join("run");
        fs::create_dir_all(path.join("inner"))?;
        let run = BrokerFolder::lock(&path)?;
        assert!(run.remove_inside(&outside).is_err());
        assert!(run.remove_inside(&path.join("../outside")).is_err());
        assert!(run.remove_inside(&path).is_err());
        assert!(outside.exists());
        run.remove_inside(&path.join("inner"))?;
        assert!(!path.join("inner").exists());
        Ok(())
    }
}
