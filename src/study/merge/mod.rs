//! The shards of a run put together to a run like any other.
//!
//! Everything adds up exactly, shard by shard and cell by cell; only sums are kept, so that a
//! thousand shards take no more memory than a few. What is missing or did not end well is refused
//! by name, or merged on the user's word and marked for ever.

mod parts;
#[cfg(test)]
mod tests;

use super::FinishedStudy;
use crate::engine::{CellMerge, CellPart};
use crate::result::shard::{BOOKS, PartInfo, SealedShard, Sharded, decode_books};
use crate::result::{
    CellOutput, CellRecord, Event, Manifest, ResultError, RunFolder, Status, Tally, files,
    parse_windows,
};
use parts::{Part, Parts, claimed, folders};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Why shards are not merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Result(#[from] ResultError),
}

/// How often it is looked whether a shard has finished.
const LOOK: Duration = Duration::from_millis(500);
/// So many shards are named where many say the same.
const NAMED: usize = 3;

pub struct Merge<'a> {
    /// Shards, and folders of shards.
    pub paths: &'a [PathBuf],
    pub results_dir: &'a Path,
    /// What there is, marked for ever.
    pub force: bool,
    pub command_line: Vec<String>,
}

/// Waits until every shard has finished; what lacks afterwards is the merge's to name.
pub fn await_shards(paths: &[PathBuf], wait: Duration, interrupted: &AtomicBool) {
    let deadline = Instant::now() + wait;
    while !all_are_there(paths) && Instant::now() < deadline && !interrupted.load(Relaxed) {
        std::thread::sleep(LOOK.min(wait));
    }
}

fn all_are_there(paths: &[PathBuf]) -> bool {
    let Ok(found) = folders(paths) else { return false };
    let count = found.first().and_then(|path| Some(claimed(path).ok()?.1.count));
    let finished = found.iter().filter(|path| SealedShard::is_there(path)).count();
    count.is_some_and(|count| finished >= usize::from(count))
}

/// Merges shards into a run folder. As of a study, the exit code is left to the caller.
pub fn merge(merge: Merge<'_>) -> Result<FinishedStudy, MergeError> {
    let parts = Parts::read(merge.paths)?;
    if !parts.lacking.is_empty() && !merge.force {
        return Err(MergeError::Refused(format!(
            "{}; --force merges the others, and marks the result as invalid",
            parts.lacking.join("; ")
        )));
    }
    let Some(first) = parts.all.first() else {
        return Err(MergeError::Refused(parts.lacking.join("; ")));
    };
    let folder = RunFolder::create_at(
        merge.results_dir,
        &first.manifest.scenario.name,
        first.sealed.folder.epoch(),
    )?;
    let mut manifest = merged(&parts, first, &folder, merge.command_line);
    folder.write_manifest(&manifest)?;
    for place in first.sealed.cells() {
        let (output, told) = cell(place, &parts)?;
        let record = &output.record;
        manifest.warnings.extend(told.map(|told| {
            format!("{} {} block {}: {told}", record.label, record.cell, record.block)
        }));
        folder.write_cell(&output)?;
    }
    manifest.status = Status::Complete;
    folder.write_manifest(&manifest)?;
    Ok(FinishedStudy { folder, manifest })
}

/// The manifest of the first shard, and what the others have to add. Until the last cell is there
/// the merged run is an interrupted one.
fn merged(parts: &Parts, first: &Part, folder: &RunFolder, command_line: Vec<String>) -> Manifest {
    let info = |part: &Part| PartInfo {
        shard: part.shard,
        host: part.manifest.host.name.clone(),
        cores: part.manifest.host.cores,
        seal: part.sealed.seal.clone(),
    };
    let sharded = Sharded {
        run_id: parts.run_id.clone(),
        count: parts.count,
        shard: None,
        parts: parts.all.iter().map(info).collect(),
    };
    let mut warnings = parts.lacking.clone();
    warnings.extend(common_warnings(&parts.all));
    let ends = parts.all.iter().filter_map(|part| part.manifest.finished_at.clone());
    let mut provided = first.manifest.provided.clone();
    provided.insert("shards".into(), hosts(parts));
    Manifest {
        run: folder.name().to_owned(),
        status: Status::Interrupted,
        exit_code: 130,
        finished_at: ends.max(),
        command_line,
        sharded: Some(sharded),
        provided,
        warnings,
        ..first.manifest.clone()
    }
}

/// `8 of run night-1, on host-a, host-b and 6 more`.
fn hosts(parts: &Parts) -> String {
    let mut hosts: Vec<&str> = Vec::new();
    for part in &parts.all {
        let host = part.manifest.host.name.as_str();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let more = hosts.len().saturating_sub(NAMED);
    hosts.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} of run {}, on {}{more}", parts.all.len(), parts.run_id, hosts.join(", "))
}

/// Each warning once, with who says it unless all do.
fn common_warnings(parts: &[Part]) -> Vec<String> {
    let mut said: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for part in parts {
        for warning in &part.manifest.warnings {
            let by = said.entry(warning).or_default();
            if by.is_empty() {
                order.push(warning);
            }
            by.push(part.shard.to_string());
        }
    }
    let words = |warning: &str| {
        let by = said.get(warning).map_or(&[][..], Vec::as_slice);
        match by.len() {
            all if all == parts.len() => warning.to_owned(),
            few if few <= NAMED => format!("shard {}: {warning}", by.join(", ")),
            many => format!("{many} shards, {} first: {warning}", by[0]),
        }
    };
    order.into_iter().map(words).collect()
}

/// One cell of all shards.
fn cell(place: &str, parts: &Parts) -> Result<(CellOutput, Option<String>), MergeError> {
    let (mut tally, mut lacking) = (Tally::default(), parts.lacking.clone());
    let mut merge: Option<CellMerge> = None;
    let mut unbegun: Option<CellRecord> = None;
    for Part { shard, sealed, .. } in &parts.all {
        let file = |name: &str| format!("cells/{place}/{name}");
        let path = |name: &str| sealed.folder.path().join(file(name));
        let read = |name: &str, limit| sealed.read(&file(name), limit);
        if !sealed.has(&file("accounting.json")) {
            lacking.push(format!("shard {shard} has no such cell"));
            continue;
        }
        let record: CellRecord =
            files::parse_json(&read("accounting.json", files::LARGEST)?, &path("accounting.json"))?;
        if record.shard.is_none() {
            lacking.extend(record.error.as_ref().map(|why| format!("shard {shard}: {why}")));
            unbegun.get_or_insert(record);
            continue;
        }
        let books = decode_books(&read(BOOKS, files::LARGEST)?, &path(BOOKS))?;
        let windows = parse_windows(&read("windows.csv", files::LARGEST)?, &path("windows.csv"))?;
        let events = events(&read("events.ndjson", files::LARGEST)?, &path("events.ndjson"))?;
        tally.add(&read("latency.hlog", files::LARGEST_LOG)?, &path("latency.hlog"))?;
        let merge = merge.get_or_insert_with(|| CellMerge::of(&record));
        merge.add(CellPart { record, books, windows, events }).map_err(|why| {
            MergeError::Refused(format!("{}: {why}", path("accounting.json").display()))
        })?;
    }
    Ok(match (merge, unbegun) {
        (Some(merge), _) => merge.finish(tally, &lacking),
        (None, Some(record)) => (CellOutput::of_record(record), None),
        (None, None) => {
            return Err(MergeError::Refused(format!("no shard has a cell `{place}`")));
        }
    })
}

fn events(text: &[u8], path: &Path) -> Result<Vec<Event>, ResultError> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = lines.map(serde_json::from_slice).collect::<Result<_, _>>();
    events.map_err(|error| ResultError::corrupt(path, error))
}
