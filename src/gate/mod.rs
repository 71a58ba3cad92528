//! What a run is held against: the thresholds of its scenario, and an earlier run.
//!
//! It reads results and decides; it measures nothing, and ends nothing itself.

mod alike;
mod compare;
mod figures;
mod index;

pub use alike::{askable, unlike};
pub use compare::compare;
pub use figures::{baseline_of, settings_of};

use crate::result::{
    HeldAgainst, Manifest, ResultError, RunFolder, Summary, ThresholdResult, files, summarize,
};
use crate::scenario::Threshold;

/// The summary of a run with what it is held against: a pure function of its folder.
pub fn judged(folder: &RunFolder) -> Result<Summary, ResultError> {
    let mut summary = summarize(folder)?;
    let manifest = folder.read_manifest()?;
    summary.thresholds = thresholds(&manifest, &summary);
    let held = folder.path().join(HeldAgainst::FILE);
    if held.is_file() {
        let HeldAgainst { name, terms, baseline, .. } = files::read_json(&held)?;
        let now = baseline_of(&manifest, &summary, &terms.metrics);
        summary.baseline = Some(compare(&name, &baseline, &now, &terms));
    }
    Ok(summary)
}

/// How every rule of the run came out. Any quantile can be judged where the summary has its
/// distributions.
fn thresholds(manifest: &Manifest, summary: &Summary) -> Vec<ThresholdResult> {
    let labels: Vec<String> =
        manifest.scenario.systems.iter().map(|(label, _)| label.clone()).collect();
    let judge = |text: &String| match Threshold::parse(text, &labels) {
        Ok(rule) => rule.evaluate(&summary.cells),
        Err(problem) => ThresholdResult {
            rule: text.clone(),
            text: problem.what.to_string(),
            ..ThresholdResult::default()
        },
    };
    manifest.scenario.thresholds.iter().map(judge).collect()
}

#[cfg(test)]
mod tests;
