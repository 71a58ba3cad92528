//! `merge`: the shards of a run put together, judged and shown like any other run.

use super::args::MergeArgs;
use super::exit::{Code, Failure};
use super::run::{RenderedRun, command_line, rendered, rule};
use super::signals::Interrupt;
use super::{Outcome, out, out_json, say};
use crate::study::merge::{Merge, await_shards, merge as put_together};
use crate::units::Span;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

pub fn merge(args: &MergeArgs, interrupt: &Interrupt) -> Outcome {
    wait(&args.shards, args.wait, interrupt)?;
    let results = &args.results.results;
    let done = merged(&args.shards, results, args.force, &args.threshold)?;
    if args.json {
        out_json(&done.summary)?;
    } else {
        out(&done.ending(results).text());
    }
    Ok(done.code)
}

/// Until all shards have finished; who has not is named by the merge.
pub fn wait(shards: &[PathBuf], limit: Option<Span>, interrupt: &Interrupt) -> Result<(), Failure> {
    let Some(limit) = limit else { return Ok(()) };
    say(&format!("merge: waiting for the shards, {limit} at most"));
    await_shards(shards, limit.std(), &interrupt.flag);
    match interrupt.flag.load(Relaxed) {
        true => Err(Failure::new(Code::Interrupted, "interrupted before all shards had finished")),
        false => Ok(()),
    }
}

/// Merges, judges by the scenario's own rules and these, and renders.
pub fn merged(
    shards: &[PathBuf],
    results: &Path,
    force: bool,
    more: &[String],
) -> Result<RenderedRun, Failure> {
    let what = Merge { paths: shards, results_dir: results, force, command_line: command_line() };
    let mut finished = put_together(what)?;
    let scenario = &mut finished.manifest.scenario;
    let labels: Vec<String> = scenario.systems.iter().map(|(label, _)| label.clone()).collect();
    more.iter().try_for_each(|text| rule(text, &labels).map(|_| ()))?;
    scenario.thresholds.extend(more.iter().cloned());
    rendered(finished, results)
}
