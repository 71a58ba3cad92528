//! The control page: one file that the broker's library maps and the harness reads and writes.
//!
//! Words of 64 bits, each written whole: the harness owns the first half, the library the second
//! (but counts the room of a full disk down). The layout is that of `preload/shim.c`.

use super::{DiskError, create};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WORDS: u64 = 32;
/// `DISKSHM1`.
const OURS: u64 = 0x4449_534b_5348_4d31;

const MAGIC: u64 = 0;
const GENERATION: u64 = 1;
const SYNC_DELAY_US: u64 = 2;
const FULL: u64 = 3;
const ROOM: u64 = 4;
const SEEN: u64 = 17;
const SYNCS: u64 = 18;
const DELAYED: u64 = 19;
const REFUSED: u64 = 20;

/// What is wrong with a disk; of the broker's data folder only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskFault {
    #[default]
    None,
    /// Added to each sync.
    Slow { sync: Duration },
    /// So many bytes still fit.
    Full { room: u64 },
}

/// What the broker has felt, counted from its first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskEffects {
    /// Whether a write or sync came since the last change, and so has met it.
    pub arrived: bool,
    pub syncs: u64,
    pub delayed: u64,
    /// Writes refused for want of room.
    pub refused: u64,
}

pub struct DiskControl {
    pub path: PathBuf,
    file: File,
}

impl DiskControl {
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        create(path, 0o600, &[0; WORDS as usize * 8])?;
        let open = || {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            let control = Self { path: path.to_owned(), file };
            control.put(MAGIC, OURS)?;
            Ok(control)
        };
        open().map_err(DiskError::at("write", path))
    }

    /// In place of what was set before.
    pub fn set(&self, fault: DiskFault) -> io::Result<()> {
        let (delay_us, room) = match fault {
            DiskFault::None => (0, None),
            DiskFault::Slow { sync } => (u64::try_from(sync.as_micros()).unwrap_or(u64::MAX), None),
            DiskFault::Full { room } => (0, Some(room)),
        };
        // The room before the limit that counts it; the generation last,
        // which says that all of it stands.
        self.put(FULL, 0)?;
        self.put(SYNC_DELAY_US, delay_us)?;
        if let Some(room) = room {
            self.put(ROOM, room)?;
            self.put(FULL, 1)?;
        }
        self.put(GENERATION, self.get(GENERATION)? + 1)
    }

    pub fn seen(&self) -> io::Result<DiskEffects> {
        Ok(DiskEffects {
            arrived: self.get(SEEN)? == self.get(GENERATION)?,
            syncs: self.get(SYNCS)?,
            delayed: self.get(DELAYED)?,
            refused: self.get(REFUSED)?,
        })
    }

    fn get(&self, word: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, word * 8)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn put(&self, word: u64, value: u64) -> io::Result<()> {
        self.file.write_all_at(&value.to_ne_bytes(), word * 8)
    }
}
