//! `results/index.html`: every run and every comparison under a results folder, with links. Reads manifests only.

use super::html;
use crate::result::words::name;
use crate::result::{Comparison, Manifest, ResultError, files};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One run, or why it cannot be shown.
#[derive(Serialize)]
struct IndexedRun {
    run: String,
    scenario: String,
    question: String,
    started_at: String,
    status: String,
    profile: String,
    environment: String,
    versions: String,
    blocks: String,
    /// Relative, escaped for a URL; empty where there is no page yet.
    page: String,
}

#[derive(Serialize)]
struct IndexedComparison {
    profile: String,
    verdicts: String,
    page: String,
}

/// Writes the index of everything under `results`.
pub fn write_index(results: &Path) -> Result<(), ResultError> {
    let mut runs: Vec<IndexedRun> = folders(&results.join("runs")).into_iter().filter_map(|dir| entry(&dir)).collect();
    runs.sort_by(|a, b| b.run.cmp(&a.run)); // names begin with the time: newest first
    let suites: Vec<IndexedComparison> = folders(results).into_iter().filter_map(|dir| suite(&dir)).collect();
    let page = html::index(&serde_json::json!({ "runs": runs, "suites": suites }))?;
    files::write_atomic(&results.join("index.html"), page.as_bytes())
}

/// Folders inside a folder, by name; none where it cannot be read.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn entry(dir: &Path) -> Option<IndexedRun> {
    let run = dir.file_name()?.to_string_lossy().into_owned();
    let written = if dir.join("report.html").is_file() { page(&run) } else { String::new() };
    let path = dir.join("manifest.json");
    let missing = || "–".to_owned();
    if !path.is_file() {
        return None;
    }
    Some(match files::read_json::<Manifest>(&path) {
        Ok(manifest) => {
            let mut versions: Vec<String> =
                manifest.systems.values().map(|system| system.broker_version.clone()).collect();
            versions.sort();
            versions.dedup();
            IndexedRun {
                run,
                scenario: manifest.scenario.name,
                question: manifest.scenario.question,
                started_at: to_seconds(&manifest.started_at),
                status: name(&manifest.status),
                profile: manifest.profile.unwrap_or_else(missing),
                environment: manifest.environment,
                versions: versions.join(", "),
                blocks: manifest.blocks.to_string(),
                page: written,
            }
        }
        // One damaged run does not hide the others.
        // Not the error itself: it names a path of this machine.
        Err(_) => IndexedRun {
            run,
            scenario: missing(),
            question: "Its manifest cannot be read: damaged, or of a newer brokerbench.".to_owned(),
            started_at: missing(),
            status: "unreadable".to_owned(),
            profile: missing(),
            environment: missing(),
            versions: missing(),
            blocks: missing(),
            page: written,
        },
    })
}

fn suite(dir: &Path) -> Option<IndexedComparison> {
    let name = dir.file_name()?.to_string_lossy().into_owned();
    let comparison: Comparison = Comparison::read(dir).ok()?;
    let judged = comparison.claims.iter().filter(|claim| claim.verdict != "not measured").count();
    let page = dir.join("comparison.html").is_file().then(|| format!("{}/comparison.html", url(&name)));
    Some(IndexedComparison {
        profile: comparison.profile,
        verdicts: format!("{judged} of {} claims measured", comparison.claims.len()),
        page: page.unwrap_or_default(),
    })
}

/// `2026-11-22 19:00:00Z`: no reader wants the fraction.
fn to_seconds(time: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or_else(|_| time.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Where the page of a run lies, from the results folder.
pub fn page(run: &str) -> String {
    format!("runs/{}/report.html", url(run))
}

/// A file name as part of a URL.
fn url(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
