//! What a run on several machines leaves besides: of each shard its part, of the merged run who the
//! parts were; and the seal by which a part that was edited, or never finished, is known.
//!
//! A shard lies under `shards/<run id>/shard-<i>-of-<n>/`, apart from the runs, because it is none:
//! its counts mean something together with those of the others only.

use super::error::ResultError;
use super::folder::RunFolder;
use super::summary::SCHEMA;
use super::{build, files};
use crate::record::{Books, StoredBooks};
use crate::schedule::{Placement, Shard};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Beside the raw files of a cell.
pub const BOOKS: &str = "books.json.zst";
/// Written last.
pub const SEAL: &str = "seal.json";
/// Below the folder of results.
pub const SHARDS: &str = "shards";
/// Of books, unpacked.
const MOST_BOOKS: u64 = 256 << 20;
const LEVEL: i32 = 3;

/// In a manifest: of which run it is a part, or of which parts it was put together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sharded {
    /// Names the run on all of its machines.
    pub run_id: String,
    pub count: u16,
    /// This part; `None` of the merged run.
    pub shard: Option<Shard>,
    /// Of the merged run, in order.
    #[serde(default)]
    pub parts: Vec<PartInfo>,
}

/// One part of a merged run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartInfo {
    pub shard: Shard,
    pub host: String,
    pub cores: u32,
    /// SHA-256 of its seal.
    pub seal: String,
}

/// What a shard knows of its part of a cell beyond its record: together with the others' it makes
/// the cell's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardPart {
    pub shard: Shard,
    pub placement: Placement,
    pub producers: u16,
    /// `None` in the closed model.
    pub planned: Option<u64>,
    pub backpressured: u64,
    /// By the publishers' counters.
    pub sent: u64,
    pub unanswered: u64,
    /// First deliveries here of messages that were planned in the window, timed or not.
    pub window_delivered: u64,
    /// For how long after the window deliveries were waited for, ns.
    pub waited_ns: u64,
    /// Whether warm-up had settled; `None` where it was too short to tell.
    pub settled: Option<bool>,
    pub clock: ShardClock,
    /// Why its clients were cut off or refused, and how often.
    #[serde(default)]
    pub cut_off: BTreeMap<String, u64>,
    /// What the broker counted meanwhile of what it does by itself, as this shard was told.
    #[serde(default)]
    pub toll: BTreeMap<String, u64>,
}

/// How well a shard's clock is known against that of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardClock {
    pub host: String,
    /// It differs by no more than this, by echoes before and after the load; 0 where both are one.
    pub bound_ns: u64,
    /// What synchronises the host's clock, as far as it tells.
    pub synchronised_by: String,
}

/// SHA-256 of every raw file, by its path in the folder.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    schema: u32,
    files: BTreeMap<String, String>,
}

/// The folder of a shard.
pub fn place(results: &Path, run_id: &str, shard: Shard) -> PathBuf {
    let name = format!("shard-{}-of-{}", shard.index, shard.count);
    results.join(SHARDS).join(run_id).join(name)
}

pub fn encode_books(books: &Books, path: &Path) -> Result<Vec<u8>, ResultError> {
    let text = serde_json::to_vec(&StoredBooks::from(books))
        .map_err(|error| ResultError::corrupt(path, error))?;
    zstd::encode_all(text.as_slice(), LEVEL).map_err(ResultError::io(path, "pack"))
}

/// Room is made for what was packed as far as any run has so much, and then for the sets in it.
pub fn decode_books(packed: &[u8], path: &Path) -> Result<Books, ResultError> {
    let corrupt = |cause: io::Error| ResultError::corrupt(path, cause);
    let mut text = Vec::new();
    zstd::Decoder::new(packed)
        .map_err(corrupt)?
        .take(MOST_BOOKS + 1)
        .read_to_end(&mut text)
        .map_err(corrupt)?;
    if text.len() as u64 > MOST_BOOKS {
        return Err(ResultError::TooLarge { path: path.to_owned(), limit: MOST_BOOKS });
    }
    let stored: StoredBooks =
        serde_json::from_slice(&text).map_err(|error| ResultError::corrupt(path, error))?;
    stored.restored().map_err(|cause| ResultError::corrupt(path, cause))
}

/// Notes what every raw file of a finished shard holds. Nothing may be written there afterwards.
pub fn seal(folder: &RunFolder) -> Result<(), ResultError> {
    let mut files = BTreeMap::new();
    note(folder.path(), folder.path(), &mut files)?;
    files::write_json(&folder.path().join(SEAL), &Seal { schema: SCHEMA, files })
}

fn note(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) -> Result<(), ResultError> {
    let failed = |cause| ResultError::io(dir, "read the folder")(cause);
    let entries =
        fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.is_dir() {
            note(root, &path, files)?;
        } else {
            let content = files::read_within(&path, files::LARGEST_LOG)?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.insert(name, hash(&content, &path)?);
        }
    }
    Ok(())
}

fn hash(content: &[u8], path: &Path) -> Result<String, ResultError> {
    build::sha256(&mut &*content).map_err(ResultError::io(path, "read"))
}

/// A finished shard, whose files are read as they were when it ended or not at all.
pub struct SealedShard {
    pub folder: RunFolder,
    files: BTreeMap<String, String>,
    /// SHA-256 of the seal itself.
    pub seal: String,
}

impl SealedShard {
    /// Whether the shard in this folder has finished.
    pub fn is_there(path: &Path) -> bool {
        path.join(SEAL).is_file()
    }

    pub fn open(path: &Path) -> Result<Self, ResultError> {
        let file = path.join(SEAL);
        if !file.is_file() {
            return Err(ResultError::Unfinished { path: path.to_owned() });
        }
        let content = files::read(&file)?;
        let Seal { files, .. }: Seal = files::parse_json(&content, &file)?;
        let inside = |name: &String| {
            Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
        };
        if let Some(name) = files.keys().find(|name| !inside(name)) {
            return Err(ResultError::corrupt(&file, format!("`{name}` lies elsewhere")));
        }
        let folder = RunFolder::open(path)?;
        Ok(Self { folder, seal: hash(&content, &file)?, files })
    }

    /// The places of its cells: `<label>/<cell>/block-N`.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        self.files
            .keys()
            .filter_map(|name| name.strip_prefix("cells/")?.strip_suffix("/accounting.json"))
    }

    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// A file's content, which is still that of the seal.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ResultError> {
        let path = self.folder.path().join(name);
        let content = files::read_within(&path, limit)?;
        match self.files.get(name) {
            Some(known) if *known == hash(&content, &path)? => Ok(content),
            _ => Err(ResultError::Edited { path }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const SECOND_OF_TWO: Shard = Shard { index: 1, count: 2 };

    #[test]
    fn a_sealed_shard_is_read_as_it_was_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create_shard(dir.path(), "night", SECOND_OF_TWO).unwrap();
        assert!(folder.path().ends_with("shards/night/shard-1-of-2"));
        let again = RunFolder::create_shard(dir.path(), "night", SECOND_OF_TWO).unwrap_err();
        assert!(again.to_string().contains("shard-1-of-2"), "written once: {again}");
        folder.write_manifest(&testing::manifest(&folder, "latency", 1)).unwrap();
        folder.write_cell(&testing::cell("kafka", "base", 1)).unwrap();
        let unfinished = SealedShard::open(folder.path()).err().unwrap().to_string();
        assert!(unfinished.contains("has not finished"), "{unfinished}");
        seal(&folder).unwrap();
        let sealed = SealedShard::open(folder.path()).unwrap();
        assert_eq!(sealed.cells().collect::<Vec<_>>(), ["kafka/base/block-1"]);
        let name = "cells/kafka/base/block-1/accounting.json";
        assert!(sealed.read(name, files::LARGEST).is_ok());
        let path = folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap().replace("\"sent\": 14000", "\"sent\": 14001");
        fs::write(&path, text).unwrap();
        let edited = sealed.read(name, files::LARGEST).unwrap_err().to_string();
        assert!(edited.contains(name) && edited.contains("not what the shard wrote"), "{edited}");
        fs::write(folder.path().join("stranger"), "x").unwrap();
        assert!(sealed.read("stranger", 10).is_err(), "a file that the seal does not know");
        let seal = folder.path().join(SEAL);
        let text = fs::read_to_string(&seal).unwrap().replace("cells/kafka", "cells/../../kafka");
        fs::write(&seal, text).unwrap();
        let outside = SealedShard::open(folder.path()).err().unwrap().to_string();
        assert!(outside.contains("seal.json") && outside.contains("elsewhere"), "{outside}");
    }

    #[test]
    fn books_come_back_from_the_disk_and_what_is_none_is_named() {
        let books = Books { acknowledges: true, ..Books::default() };
        let path = Path::new("x/books.json.zst");
        let packed = encode_books(&books, path).unwrap();
        assert!(decode_books(&packed, path).unwrap().acknowledges);
        for wrong in [&b"no zstd"[..], &zstd::encode_all(&b"{}"[..], 1).unwrap()] {
            let error = decode_books(wrong, path).err().unwrap().to_string();
            assert!(error.contains("x/books.json.zst"), "{error}");
        }
    }
}
