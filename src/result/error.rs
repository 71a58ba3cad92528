//! Why results cannot be written or read. Every message names the path, the cause and a remedy.
//! Exit code 4.

use super::build::Build;
use super::summary::SCHEMA;
use crate::units::Bytes;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    #[error("{}: cannot {action}: {cause}{}", path.display(), remedy(cause))]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
    #[error("{}: {cause}; the file is damaged or not one of brokerbench's", path.display())]
    Corrupt { path: PathBuf, cause: String },
    #[error("{}: larger than {}; no file of brokerbench's is, so it is damaged or another's",
        path.display(), Bytes(*limit))]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{}: written in schema {found}, this brokerbench reads up to {SCHEMA}; use a newer \
        brokerbench", path.display())]
    NewerSchema { path: PathBuf, found: u64 },
    #[error("{}: {writer} wrote it in another form ({cause}), which this brokerbench cannot read; \
        render it with that version, or measure again", path.display())]
    OtherForm { path: PathBuf, cause: String, writer: String },
    #[error("{}: no run found here; run a scenario first, or name the folder with --results",
        path.display())]
    NoRun { path: PathBuf },
    #[error(
        "`{label}` cannot name a folder: use 1 to 64 of a-z, 0-9, `-`, `_` and `.`, \
        beginning with a letter or digit"
    )]
    Label { label: String },
    #[error("{}: this shard has not finished; wait for it, or merge without it by --force",
        path.display())]
    Unfinished { path: PathBuf },
    #[error("{}: not what the shard wrote: it was edited or damaged; take the shard's own folder",
        path.display())]
    Edited { path: PathBuf },
    #[error("{}: one of {count} shards of run `{run_id}`, which say something together only: \
        `brokerbench merge {}`", path.display(),
        path.parent().unwrap_or_else(|| Path::new(".")).display())]
    Part { path: PathBuf, run_id: String, count: u16 },
    #[error("drawing {what} failed: {cause}")]
    Draw { what: String, cause: String },
}

/// What the user can do about an input or output error, as the end of a sentence.
fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; make the folder writable or choose another with --results"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space or choose another folder with --results"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "; something else is in the way: choose another folder with --results"
        }
        io::ErrorKind::NotFound => {
            "; run a scenario or a comparison first, or name the folder with --results"
        }
        _ => "",
    }
}

impl ResultError {
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { path: path.to_owned(), action, cause }
    }

    /// Names the version that wrote a file of another form.
    #[must_use]
    pub(super) fn written_by(self, version: &str, build: Option<&Build>) -> Self {
        match self {
            Self::OtherForm { path, cause, .. } => {
                let writer = format!("brokerbench {version} ({})", Build::words(build));
                Self::OtherForm { path, cause, writer }
            }
            other => other,
        }
    }

    pub fn corrupt(path: &Path, cause: impl std::fmt::Display) -> Self {
        Self::Corrupt { path: path.to_owned(), cause: cause.to_string() }
    }
}
