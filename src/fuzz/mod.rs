//! Everything that reads what others wrote, as functions of any bytes: what the targets in `fuzz/`
//! and the properties in [`tests`] call.
//!
//! Each returns whether the bytes were accepted, and must come back from any: with an answer or
//! with an error, soon, and in memory of the order of the input. Compiled for tests and under
//! `--cfg fuzzing` only. Nothing here opens a socket or a file, or checks what an error says: that
//! is for the tests beside the parsers.

use crate::model::Latency;
use crate::record::StoredBooks;
use crate::result::{Baseline, CellRecord, ComparisonTerms, HeldAgainst, Manifest, ScenarioInfo};
use crate::result::{Censored, Distribution, Tally, parse_windows};
use crate::result::{Status, Summary, WindowRow, files, hlog};
use crate::scenario::{self, Overrides};
use crate::{access, claims, driver, export, gate, payload, report, wire};
use std::path::Path;

#[cfg(test)]
mod tests;

/// For messages: nothing is read from here.
const NOWHERE: &str = "any-bytes";

/// A scenario file; a valid one is also explained and put on a timeline.
pub fn scenario(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(scenario) = scenario::from_text(NOWHERE, text, &Overrides::default()) else {
        return false;
    };
    assert!(scenario.explain().contains(&scenario.name));
    let _ = (scenario.warnings(), scenario.estimate(), scenario.info());
    true
}

/// The files of a run: `summary.json` with the charts and verdicts that follow from it, and all
/// others that are text.
pub fn run(bytes: &[u8]) -> bool {
    let path = Path::new(NOWHERE);
    let mut accepted = files::parse_json::<Manifest>(bytes, path).is_ok();
    accepted |= files::parse_json::<CellRecord>(bytes, path).is_ok();
    let rows: Vec<WindowRow> = parse_windows(bytes, path).unwrap_or_default();
    accepted |= !rows.is_empty();
    report::fuzz::windows(rows);
    if let Ok(summary) = files::parse_json::<Summary>(bytes, path) {
        report::fuzz::summary(&summary);
        let runs = [(manifest_of(&summary), summary)];
        let material =
            claims::Material { profile: "quick", runs: &runs, ..claims::Material::default() };
        if let Ok(comparison) = claims::build(&material) {
            report::fuzz::comparison(&comparison);
        }
        accepted = true;
    }
    accepted
}

/// A manifest that makes the summary count for the row of its scenario.
fn manifest_of(summary: &Summary) -> Manifest {
    let scenario = ScenarioInfo { name: summary.scenario.clone(), ..ScenarioInfo::default() };
    let (status, profile) = (Status::Complete, Some("quick".to_owned()));
    let (environment, selfcheck) = (summary.environment.clone(), "passed".to_owned());
    Manifest { status, scenario, profile, environment, selfcheck, blocks: 1, ..Manifest::default() }
}

/// `comparison.json`, judged again, drawn and written in every form.
pub fn comparison(bytes: &[u8]) -> bool {
    let Ok(comparison) = files::parse_json(bytes, Path::new(NOWHERE)) else { return false };
    let _ = claims::recheck(&comparison);
    report::fuzz::comparison(&comparison);
    if let Ok(again) = claims::again(&comparison) {
        report::fuzz::comparison(&again);
    }
    true
}

/// A baseline's file, or that of a run folder: held against itself, by its own figures and by those
/// of its first label, and written in every form.
pub fn baseline(bytes: &[u8]) -> bool {
    let path = Path::new(NOWHERE);
    let held = files::parse_json::<HeldAgainst>(bytes, path).map(|held| held.baseline);
    let Ok(baseline) = held.or_else(|_| files::parse_json::<Baseline>(bytes, path)) else {
        return false;
    };
    let reference = baseline.figures.first().map(|figure| figure.label.clone());
    for relative_to in [None, reference] {
        let terms = ComparisonTerms { relative_to, ..ComparisonTerms::default() };
        let result = gate::compare("any", &baseline, &baseline, &terms);
        assert!(result.unlike.is_empty() && result.settings.is_empty());
        let _ = (report::difference(&result, 80), report::markdown_difference(&result));
        let _ = report::baseline_lines(&result);
    }
    true
}

/// `latency.hlog`, and what is read out of its histograms.
pub fn hlog(bytes: &[u8]) -> bool {
    // A shard's, too.
    let _ = Tally::default().add(bytes, Path::new(NOWHERE));
    let Ok(merged) = hlog::merged(bytes, Path::new(NOWHERE)) else { return false };
    for histogram in merged.values() {
        let quantiles = Distribution::of(histogram, Censored::default()).quantiles();
        let _ = (quantiles, export::hgrm::encode(histogram, 1e6));
    }
    merged.contains_key(&Latency::Publish)
}

/// The books of a shard, unpacked.
pub fn books(bytes: &[u8]) -> bool {
    let stored = serde_json::from_slice::<StoredBooks>(bytes);
    stored.is_ok_and(|stored| stored.restored().is_ok())
}

/// A received message, of any size that a scenario may have asked for.
pub fn envelope(bytes: &[u8]) -> bool {
    let run = bytes.get(16..24).and_then(|run| run.try_into().ok()).map_or(0, u64::from_le_bytes);
    let mut accepted = false;
    for size in [0, payload::COMPACT, payload::FULL, bytes.len(), usize::MAX] {
        if let payload::Reading::Ours(found) = payload::read(bytes, run, size) {
            let mut again = bytes.to_vec();
            found.write(&mut again);
            // Two reserved fields are written as zero.
            assert_eq!(payload::read(&again, run, size), payload::Reading::Ours(found));
            accepted = true;
        }
    }
    accepted
}

/// What a Redis server or a Sentinel answers.
pub fn redis(bytes: &[u8]) -> bool {
    driver::fuzz(bytes)
}

/// What a provider of tokens answers.
pub fn token(bytes: &[u8]) -> bool {
    access::fuzz(bytes)
}

/// What a Kafka broker answers, where librdkafka is not asked.
pub fn kafka(bytes: &[u8]) -> bool {
    wire::kafka::fuzz(bytes)
}
