//! What runs make in somebody's account is written down before it is made, so that the next run
//! takes it away should this one be killed.
//!
//! Invariant: one file for each broker in use, locked for as long as its process lives; its first
//! line tells the addresses, every other one the name of a cell. A name is on the disk before
//! anything is called after it, and the file goes once nothing is.

use super::{EnvironmentError, program};
use crate::driver::DriverError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const ENDING: &str = "cells";

/// Where the notes stand: what is kept there outlives a run, and a restart of the machine.
pub fn folder() -> Result<PathBuf, EnvironmentError> {
    program::cached("accounts")
}

/// Deletes everything that is called after these cells; returns what that was.
pub type Delete = Box<dyn Fn(&[String]) -> Result<Vec<String>, DriverError> + Send>;

/// The note of a broker in use.
pub struct Leftovers {
    path: PathBuf,
    delete: Delete,
    noted: Mutex<Noted>,
}

struct Noted {
    file: File,
    cells: Vec<String>,
    failed: Option<String>,
}

impl Leftovers {
    pub fn new(
        folder: &Path,
        addresses: &[String],
        delete: Delete,
    ) -> Result<Self, EnvironmentError> {
        let made = create(folder, addresses);
        let (path, file) = made.map_err(|error| not_noted(folder, &error.to_string()))?;
        let noted = Mutex::new(Noted { file, cells: vec![], failed: None });
        Ok(Self { path, delete, noted })
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of this name is about to be made.
    pub fn note(&self, cell: &str) {
        let mut noted = self.noted();
        match write_line(&noted.file, cell) {
            Ok(()) => noted.cells.push(cell.to_owned()),
            Err(error) => noted.failed = Some(error.to_string()),
        }
    }

    /// An error once something was made without a note.
    pub fn check(&self) -> Result<(), EnvironmentError> {
        match &self.noted().failed {
            None => Ok(()),
            Some(error) => Err(not_noted(&self.path, error)),
        }
    }

    /// Deletes what is left of what was noted, and then the note.
    pub fn clear(&self) -> Result<(), EnvironmentError> {
        let cells = self.noted().cells.clone();
        if !cells.is_empty() {
            let deleted = (self.delete)(&cells);
            deleted.map_err(|error| EnvironmentError::Refused(kept(&self.path, &error)))?;
            self.noted().cells.clear();
        }
        // Nothing is called after what it says: it may stay where it cannot go.
        let _ = fs::remove_file(&self.path);
        Ok(())
    }
}

/// A run that fails leaves nothing either; what cannot be deleted stays noted.
impl Drop for Leftovers {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

/// A note, under another name until it is locked and tells its addresses.
fn create(folder: &Path, addresses: &[String]) -> io::Result<(PathBuf, File)> {
    fs::create_dir_all(folder)?;
    let making = tempfile::Builder::new().prefix("run-").suffix(".new").tempfile_in(folder)?;
    making.as_file().try_lock()?;
    write_line(making.as_file(), &addresses.join(" "))?;
    let path = making.path().with_extension(ENDING);
    let file = making.persist_noclobber(&path).map_err(|error| error.error)?;
    Ok((path, file))
}

/// Deletes what runs left behind at these addresses whose processes are gone, and their notes.
/// Returns what the user should know.
pub fn sweep(folder: &Path, addresses: &[String], delete: &Delete) -> Vec<String> {
    let addresses = addresses.join(" ");
    let mut told = vec![];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ending| ending != ENDING) {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        // Whoever wrote it lives.
        if file.try_lock().is_err() {
            continue;
        }
        let text = io::read_to_string(&file).unwrap_or_default();
        let mut lines = text.lines();
        if lines.next() != Some(addresses.as_str()) {
            continue;
        }
        let cells: Vec<String> = lines.map(str::to_owned).collect();
        match delete(&cells) {
            Ok(deleted) => {
                if !deleted.is_empty() {
                    let what = "what a run that was killed had left behind was deleted";
                    told.push(format!("{what}: {}", deleted.join(", ")));
                }
                let _ = fs::remove_file(&path);
            }
            Err(error) => told.push(kept(&path, &error)),
        }
    }
    told
}

fn write_line(mut file: &File, line: &str) -> io::Result<()> {
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

fn not_noted(path: &Path, error: &str) -> EnvironmentError {
    EnvironmentError::refused(
        format!("what is made in the account cannot be noted in {}: {error}", path.display()),
        "make room there, or set BROKERBENCH_CACHE to another folder",
    )
}

fn kept(path: &Path, error: &DriverError) -> String {
    let path = path.display();
    format!(
        "what a run made could not all be deleted: {error}; the next run at the same addresses \
         tries again, by what is noted in {path}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

    fn at(address: &str) -> Vec<String> {
        vec![address.to_owned()]
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    fn all() -> Delete {
        Box::new(|cells| Ok(cells.to_vec()))
    }

    fn refused() -> Delete {
        Box::new(|_| {
            let (action, cause) = ("delete a queue".into(), "not allowed".into());
            Err(DriverError::Refused { system: System::Sns, action, cause })
        })
    }

    #[test]
    fn what_a_killed_run_noted_is_deleted_at_its_addresses_only() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        // Nobody holds its lock.
        let killed = folder.join("run-1.cells");
        fs::write(&killed, "a:1\nbb-abc123-sns-0\nbb-abc123-sns-1\n").unwrap();
        assert!(sweep(folder, &at("b:1"), &all()).is_empty(), "it is of another place");
        let kept = sweep(folder, &at("a:1"), &refused()).join(" ");
        assert!(kept.contains("not allowed") && kept.contains("run-1.cells"), "{kept}");
        assert!(killed.exists());
        let told = sweep(folder, &at("a:1"), &all()).join(" ");
        assert!(told.ends_with("bb-abc123-sns-0, bb-abc123-sns-1"), "{told}");
        assert_eq!(files(folder), 0);
    }

    #[test]
    fn what_a_living_run_noted_stays_until_it_deletes_it_itself() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("accounts");
        let ours = Leftovers::new(&folder, &at("a:1"), all()).unwrap();
        ours.note("bb-abc123-sns-0");
        assert!(ours.check().is_ok());
        let other = sweep(&folder, &at("a:1"), &all());
        assert!(other.is_empty() && files(&folder) == 1, "{other:?}");
        drop(ours);
        assert_eq!(files(&folder), 0);
    }

    #[test]
    fn the_note_stays_until_all_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let ours = Leftovers::new(folder.path(), &at("a:1"), refused()).unwrap();
        // Nothing was made: nobody is asked.
        ours.clear().unwrap();
        let ours = Leftovers::new(folder.path(), &at("a:1"), refused()).unwrap();
        ours.note("bb-abc123-sns-0");
        let error = ours.clear().unwrap_err().to_string();
        assert!(error.contains("not allowed") && error.contains(".cells"), "{error}");
        drop(ours);
        assert_eq!(files(folder.path()), 1);
    }

    #[test]
    fn nothing_is_made_that_cannot_be_noted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = Leftovers::new(&file, &at("a:1"), all()).err().unwrap().to_string();
        for words in ["cannot be noted", "BROKERBENCH_CACHE"] {
            assert!(error.contains(words), "{error}");
        }
    }
}
