//! The raw data behind a table in one file: the folders of its runs, packed. What is rendered from
//! them is left out, and where they lay on the machine that measured; of histograms, the seconds.

use super::error::ResultError;
use super::{files, hlog};
use crate::regular_file;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Beside the table.
pub const FILE: &str = "runs.tar.zst";
/// Of all files together, unpacked: many times what the longest comparison writes.
const MOST: u64 = 1 << 30;
const LEVEL: i32 = 15;
/// Rendered again from the rest, or of no use without the machine.
const LEFT_OUT: [&str; 4] = ["charts", "report.html", "summary.json", "broker.log"];

/// Packs run folders, each by its name; the same folders give the same bytes.
pub fn pack(folders: &[PathBuf], file: &Path) -> Result<(), ResultError> {
    let encoder = zstd::Encoder::new(Vec::new(), LEVEL).map_err(ResultError::io(file, "pack"))?;
    let mut tar = tar::Builder::new(encoder);
    for folder in folders {
        let name = folder.file_name().map(PathBuf::from).unwrap_or_default();
        add(&mut tar, folder, &name)?;
    }
    let packed = tar.into_inner().and_then(zstd::Encoder::finish);
    files::write_atomic(file, &packed.map_err(ResultError::io(file, "pack"))?)
}

fn add<W: io::Write>(
    tar: &mut tar::Builder<W>,
    path: &Path,
    name: &Path,
) -> Result<(), ResultError> {
    let failed = |cause| ResultError::io(path, "pack")(cause);
    let mut entries =
        fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let own = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| own == *left_out) {
            continue;
        }
        let (path, name) = (entry.path(), name.join(&own));
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            add(tar, &path, &name)?;
        } else if kind.is_file() {
            let content = files::read(&path)?;
            let content = match own.to_str() {
                Some("manifest.json") => placeless(content, &path)?,
                Some("latency.hlog") => hlog::condensed(&content, &path)?,
                _ => content,
            };
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, &name, content.as_slice())
                .map_err(ResultError::io(&path, "pack"))?;
        }
    }
    Ok(())
}

/// A manifest without the folder that the user chose for results.
fn placeless(manifest: Vec<u8>, path: &Path) -> Result<Vec<u8>, ResultError> {
    let mut tree: serde_json::Value =
        serde_json::from_slice(&manifest).map_err(|error| ResultError::corrupt(path, error))?;
    if let Some(words) = tree.get_mut("command_line").and_then(|words| words.as_array_mut()) {
        if let Some(at) = words.iter().position(|word| word == "--results") {
            words.drain(at..(at + 2).min(words.len()));
        }
        words.retain(|word| !word.as_str().is_some_and(|word| word.starts_with("--results=")));
    }
    files::to_json(path, &tree)
}

/// Unpacks below `into`, a folder for each run.
pub fn unpack(file: &Path, into: &Path) -> Result<(), ResultError> {
    let failed = |cause: io::Error| ResultError::corrupt(file, cause);
    let packed = regular_file::open(file).map_err(ResultError::io(file, "read"))?;
    let unpacked = zstd::Decoder::new(BufReader::new(packed)).map_err(failed)?;
    let mut tar = tar::Archive::new(unpacked.take(MOST));
    for entry in tar.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        // Links would lead out of the folder, as would names with `..`.
        if !entry.header().entry_type().is_file() || !entry.unpack_in(into).map_err(failed)? {
            return Err(ResultError::corrupt(file, "it holds more than the files of runs"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::testing::latency_run;
    use crate::result::{RunFolder, summarize};

    #[test]
    fn what_was_packed_comes_to_the_same_summary() {
        let dir = tempfile::tempdir().unwrap();
        let run = latency_run(dir.path());
        let mut manifest = run.read_manifest().unwrap();
        manifest.command_line =
            ["brokerbench", "compare", "--results", "/home/somebody"].map(str::to_owned).to_vec();
        run.write_manifest(&manifest).unwrap();
        let file = dir.path().join(FILE);
        pack(&[run.path().to_owned()], &file).unwrap();
        let once = fs::read(&file).unwrap();
        pack(&[run.path().to_owned()], &file).unwrap();
        assert_eq!(once, fs::read(&file).unwrap());

        let other = tempfile::tempdir().unwrap();
        unpack(&file, other.path()).unwrap();
        let found = RunFolder::open(&other.path().join(run.name())).unwrap();
        assert_eq!(summarize(&found).unwrap(), summarize(&run).unwrap());
        assert_eq!(found.read_manifest().unwrap().command_line, ["brokerbench", "compare"]);
        assert!(!found.path().join("summary.json").exists());
    }

    #[test]
    fn nothing_is_written_outside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let mut tar = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "run", "/etc").unwrap();
        fs::write(&file, tar.into_inner().unwrap().finish().unwrap()).unwrap();
        assert!(matches!(unpack(&file, dir.path()), Err(ResultError::Corrupt { .. })));
        fs::write(&file, b"no archive").unwrap();
        assert!(matches!(unpack(&file, dir.path()), Err(ResultError::Corrupt { .. })));
    }
}
