//! The disk under a broker: what a loss of power takes from it, and a disk that is slow or full.
//!
//! A small library of ours is loaded into the broker (`preload/shim.c`): it notes how long each
//! file was when it was synced, and delays or refuses writes as the control page says. Invariant: a
//! file is cut only while no process of its broker lives, and never below a length that a
//! successful sync had seen.
//!
//! It is a *simulated* power loss. Only what was appended is cut: no write is torn, reordered or
//! corrupted, names of files are taken as kept from the moment they were given, and what a file
//! held that was overwritten in place is not brought back. Nothing here starts or kills a process.

mod control;
mod ledger;
mod loss;

pub use control::{DiskEffects, DiskFault};
pub use loss::{Lost, Truncation};

use control::DiskControl;
use ledger::FileId;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Names the library to the trampoline that becomes the broker,
/// which is not to be preloaded itself.
pub const SHIM: &str = "BROKERBENCH_DISK_SHIM";
/// By which the C library loads it.
pub const PRELOAD: &str = "LD_PRELOAD";
const LEDGER: &str = "BROKERBENCH_DISK_LEDGER";
const CONTROL: &str = "BROKERBENCH_DISK_CONTROL";
const DATA: &str = "BROKERBENCH_DISK_DATA";

#[cfg(target_os = "linux")]
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim.so"));
#[cfg(not(target_os = "linux"))]
const LIBRARY: &[u8] = &[];

/// Why a disk cannot be faulted.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("faults of the disk need Linux: not available on this system")]
    NotHere,
    #[error(
        "the library that faults the disk was not loaded into {0}: the fault cannot be applied. A \
         statically linked program, one with extra privileges, or a TMPDIR with a blank or colon \
         in its path does not take LD_PRELOAD"
    )]
    NotLoaded(String),
    #[error("cannot {action} {}: {error}", .path.display())]
    Io { action: &'static str, path: PathBuf, error: io::Error },
}

impl DiskError {
    fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { action, path: path.to_owned(), error }
    }
}

/// One broker process's disk: the library made ready for it, what it has synced, and the switches
/// of its faults. Outlives restarts of that process.
pub struct Preload {
    data: PathBuf,
    library: PathBuf,
    ledger: PathBuf,
    control: DiskControl,
    /// What was on disk when the ledger was last begun anew.
    settled: BTreeMap<FileId, u64>,
}

impl Preload {
    /// Puts library, ledger and control page into `folder`, which it makes. What `data` holds by
    /// now counts as on disk.
    pub fn prepare(folder: &Path, data: &Path) -> Result<Self, DiskError> {
        if LIBRARY.is_empty() {
            return Err(DiskError::NotHere);
        }
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(folder)
            .map_err(DiskError::at("make", folder))?;
        // As the library finds them by the kernel's names.
        let folder = fs::canonicalize(folder).map_err(DiskError::at("find", folder))?;
        let data = fs::canonicalize(data).map_err(DiskError::at("find", data))?;
        let (library, ledger) = (folder.join("shim.so"), folder.join("ledger"));
        create(&library, 0o500, LIBRARY)?;
        create(&ledger, 0o600, &[])?;
        let control = DiskControl::create(&folder.join("control"))?;
        let mut preload = Self { data, library, ledger, control, settled: BTreeMap::new() };
        preload.settle()?;
        Ok(preload)
    }

    /// For the process that becomes the broker.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let pairs = [
            (SHIM, &self.library),
            (LEDGER, &self.ledger),
            (CONTROL, &self.control.path),
            (DATA, &self.data),
        ];
        pairs.map(|(name, path)| (name.to_owned(), path.display().to_string())).into()
    }

    /// For a container, which finds this folder at `folder` and the data at `data`, and whose user
    /// is another: what guards the files from strangers is the folder around them.
    pub fn environment_inside(
        &self,
        folder: &str,
        data: &str,
    ) -> Result<BTreeMap<String, String>, DiskError> {
        let files = [
            (&self.library, 0o555),
            (&self.ledger, 0o666),
            (&self.control.path, 0o666),
            (&self.data, 0o777),
        ];
        let home = self.ledger.parent().map(|home| (home.to_owned(), 0o755));
        for (path, mode) in files.map(|(path, mode)| (path.clone(), mode)).into_iter().chain(home) {
            let opened = fs::set_permissions(&path, fs::Permissions::from_mode(mode));
            opened.map_err(DiskError::at("open to the container", &path))?;
        }
        let files =
            [(PRELOAD, &self.library), (LEDGER, &self.ledger), (CONTROL, &self.control.path)];
        let at = |path: &Path| {
            format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy())
        };
        let files = files.map(|(key, path)| (key.to_owned(), at(path)));
        Ok(files.into_iter().chain([(DATA.to_owned(), data.to_owned())]).collect())
    }

    /// An error unless the library was loaded into `what`: to be asked once that broker answers.
    pub fn verify(&self, what: &str) -> Result<(), DiskError> {
        if self.noted()?.1 > 0 { Ok(()) } else { Err(DiskError::NotLoaded(what.to_owned())) }
    }

    /// What a loss of power would take at this moment, where nothing but a sync brings bytes to
    /// disk: the most that can be lost.
    pub fn at_risk(&self) -> Result<Lost, DiskError> {
        let synced = self.noted()?.0;
        Ok(loss::plan(&self.files()?, |id| synced.get(id).copied().unwrap_or(0)))
    }

    /// Takes from the dead broker's data what a loss of power would have taken. What is left counts
    /// as on disk.
    pub fn lose(&mut self) -> Result<Lost, DiskError> {
        let lost = self.at_risk()?;
        for cut in &lost.files {
            loss::cut(cut).map_err(DiskError::at("cut", &cut.path))?;
        }
        self.settle()?;
        Ok(lost)
    }

    /// Switches a fault on, in place of any other;
    /// [`Preload::seen`] tells when the broker has felt it.
    pub fn set(&self, fault: DiskFault) -> Result<(), DiskError> {
        self.control.set(fault).map_err(DiskError::at("write", &self.control.path))
    }

    pub fn seen(&self) -> Result<DiskEffects, DiskError> {
        self.control.seen().map_err(DiskError::at("read", &self.control.path))
    }

    fn settle(&mut self) -> Result<(), DiskError> {
        self.settled = self.files()?.into_iter().map(|file| (file.id, file.length)).collect();
        fs::write(&self.ledger, []).map_err(DiskError::at("write", &self.ledger))
    }

    fn files(&self) -> Result<Vec<loss::Found>, DiskError> {
        loss::files(&self.data).map_err(DiskError::at("look through", &self.data))
    }

    /// Synced lengths, and how many processes the library was loaded into.
    fn noted(&self) -> Result<(BTreeMap<FileId, u64>, u64), DiskError> {
        let bytes = fs::read(&self.ledger).map_err(DiskError::at("read", &self.ledger))?;
        let mut synced = self.settled.clone();
        let loads = ledger::apply(&bytes, &mut synced);
        Ok((synced, loads))
    }
}

fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), DiskError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(DiskError::at("write", path))
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
