//! `results/index.html`: every run and every comparison under a results folder, with links. Reads
//! manifests only.

use super::html;
use crate::result::words::name;
use crate::result::{Comparison, Manifest, ResultError, Verdict, files};
use itertools::Itertools;
use serde_json::{Value, json};
use std::path::Path;

pub const FILE: &str = "index.html";

pub fn write_index(results: &Path) -> Result<(), ResultError> {
    let folders = |dir: &Path| files::folders(dir).unwrap_or_default().into_iter();
    // Names begin with the time: newest first.
    let runs: Vec<Value> =
        folders(&results.join("runs")).rev().filter_map(|dir| entry(&dir)).collect();
    let suites: Vec<Value> = folders(results).filter_map(|dir| suite(&dir)).collect();
    files::write_atomic(&results.join(FILE), html::index(&runs, &suites)?.as_bytes())
}

/// One run, or why it cannot be shown.
fn entry(dir: &Path) -> Option<Value> {
    let run = dir.file_name()?.to_string_lossy();
    // Empty where there is none yet.
    let page = if dir.join("report.html").is_file() { page(&run) } else { String::new() };
    let path = dir.join("manifest.json");
    if !path.is_file() {
        return None;
    }
    Some(match files::read_json::<Manifest>(&path) {
        Ok(manifest) => {
            let versions = manifest.systems.values().map(|system| &system.broker_version);
            let mut tags = manifest.tags.iter().map(|(key, value)| format!("{key}={value}"));
            json!({
                "run": run,
                "page": page,
                "scenario": manifest.scenario.name,
                "question": manifest.scenario.question,
                "tags": tags.join(", "),
                "started_at": to_seconds(&manifest.started_at),
                "status": name(&manifest.status),
                "profile": manifest.profile.as_deref().unwrap_or("–"),
                "environment": manifest.environment,
                "versions": versions.sorted().dedup().join(", "),
                "blocks": manifest.blocks,
            })
        }
        // One damaged run does not hide the others. Not the error itself:
        // it names a path of this machine.
        Err(_) => json!({
            "run": run,
            "page": page,
            "scenario": "–",
            "question": "Its manifest cannot be read: damaged, or of a newer brokerbench.",
            "tags": "",
            "started_at": "–",
            "status": "unreadable",
            "profile": "–",
            "environment": "–",
            "versions": "–",
            "blocks": "–",
        }),
    })
}

fn suite(dir: &Path) -> Option<Value> {
    let name = dir.file_name()?.to_string_lossy();
    let comparison: Comparison = Comparison::read(dir).ok()?;
    let measured = |claim: &&crate::result::Claim| claim.answer != Verdict::NotMeasured;
    let judged = comparison.claims.iter().filter(measured).count();
    let page =
        dir.join("comparison.html").is_file().then(|| format!("{}/comparison.html", url(&name)));
    Some(json!({
        "profile": comparison.profile,
        "verdicts": format!("{judged} of {} claims measured", comparison.claims.len()),
        "page": page.unwrap_or_default(),
    }))
}

/// `2026-11-22 19:00:00Z`: no reader wants the fraction.
fn to_seconds(time: &str) -> String {
    time.parse::<jiff::Timestamp>()
        .map_or_else(|_| time.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

pub fn page(run: &str) -> String {
    format!("runs/{}/report.html", url(run))
}

fn url(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
