//! What of a data folder a loss of power takes: from each file, what came after the length that is
//! sure to be on disk.

use super::ledger::FileId;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Only files that lost something.
    pub files: Vec<Truncation>,
}

/// One file that lost its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    pub path: PathBuf,
    pub from: u64,
    pub to: u64,
}

impl Lost {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|cut| cut.from - cut.to).sum()
    }
}

/// One file as it is now.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub id: FileId,
    pub length: u64,
}

/// Every file below `folder`. What disappears meanwhile is left out: its broker may be alive.
pub fn files(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                match look(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    looked => {
                        let (id, length) = looked?;
                        found.push(Found { path, id, length });
                    }
                }
            }
        }
    }
    Ok(found)
}

/// A file's name, as the library has it, and its length.
fn look(path: &Path) -> io::Result<(FileId, u64)> {
    let status = fs::symlink_metadata(path)?;
    let born = status.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born_ns = born.map_or(0, |born| born.as_nanos() as u64);
    Ok((FileId { inode: status.ino(), born_ns }, status.len()))
}

/// What to cut where `survives` tells how much of a file is on disk.
pub fn plan(files: &[Found], survives: impl Fn(&FileId) -> u64) -> Lost {
    let cut = |file: &Found| {
        let to = survives(&file.id);
        (to < file.length && !is_rebuilt(&file.path)).then(|| Truncation {
            path: file.path.clone(),
            from: file.length,
            to,
        })
    };
    let mut files: Vec<Truncation> = files.iter().filter_map(cut).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Lost { files }
}

pub fn cut(cut: &Truncation) -> io::Result<()> {
    OpenOptions::new().write(true).open(&cut.path)?.set_len(cut.to)
}

/// Not appended to but written through memory at its full length, and made anew from the log after
/// an unclean end: Kafka's indexes. Nor is the state of producers, which Kafka reads from the log
/// where its file is no good.
fn is_rebuilt(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("index" | "timeindex" | "txnindex" | "snapshot"))
}
