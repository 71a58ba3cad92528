//! The raw data beside a table: packed by `compare`, and what proves the table to `table --check`.

use super::exit::{Code, Failure};
use crate::claims::{self, Material};
use crate::result::{Comparison, Manifest, RunFolder, Summary, archive, summarize};
use std::path::{Path, PathBuf};

/// Packs the runs of a table beside it. A run whose folder is not below `results` any more is taken
/// from what was packed before; without one there either, nothing is packed, and that is said.
pub fn pack(results: &Path, dir: &Path, comparison: &Comparison) -> Result<(), Failure> {
    let file = dir.join(archive::FILE);
    let runs = || comparison.runs.iter().filter(|run| run.measured()).map(|run| &run.run);
    let before = tempfile::tempdir().map_err(|error| Failure::new(Code::Results, error))?;
    let found = |run: &String| -> Option<PathBuf> {
        let folders = [results.join("runs").join(run), before.path().join(run)];
        folders.into_iter().find(|folder| folder.join("manifest.json").is_file())
    };
    if file.is_file() && runs().any(|run| found(run).is_none()) {
        archive::unpack(&file, before.path())?;
    }
    match runs().map(|run| found(run).ok_or(run)).collect::<Result<Vec<_>, _>>() {
        Ok(mut folders) => {
            folders.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
            folders.dedup();
            Ok(archive::pack(&folders, &file)?)
        }
        Err(missing) => {
            super::say(&format!("{}: not packed: run {missing} is not here", file.display()));
            Ok(())
        }
    }
}

/// The table that the packed raw data come to; `None` where nothing is packed.
pub fn table(dir: &Path, comparison: &Comparison) -> Result<Option<Comparison>, Failure> {
    let file = dir.join(archive::FILE);
    if !file.is_file() {
        return Ok(None);
    }
    let unpacked = tempfile::tempdir().map_err(|error| Failure::new(Code::Results, error))?;
    archive::unpack(&file, unpacked.path())?;
    let measured = comparison.runs.iter().filter(|run| run.measured());
    let read = |run: &String| -> Result<(Manifest, Summary), Failure> {
        let folder = RunFolder::open(&unpacked.path().join(run))?;
        Ok((folder.read_manifest()?, summarize(&folder)?))
    };
    let runs = measured.map(|run| read(&run.run)).collect::<Result<Vec<_>, _>>()?;
    let material = Material { profile: &comparison.profile, runs: &runs, ..Material::default() };
    let built = claims::build(&material).map_err(|error| Failure::new(Code::Internal, error))?;
    Ok(Some(built))
}
