//! Provenance of a table: which run, scenario and build a figure comes from, and what ran on each
//! side, in the words that every form of the table has.

use super::marks;
use super::table::claim_title;
use crate::model::Service;
use crate::result::words::name;
use crate::result::{Build, Claim, ComparedCell, Comparison, RunInfo, Status};
use itertools::Itertools;

/// Stands behind what another build measured.
const MARK: &str = " ‡";

/// The run that a cell comes from.
pub fn run_of<'a>(cell: &ComparedCell, runs: &'a [RunInfo]) -> Option<&'a RunInfo> {
    runs.iter().find(|run| Some(&run.run) == cell.run.as_ref())
}

/// The runs behind a row, each once.
fn runs_of<'a>(claim: &'a Claim, runs: &'a [RunInfo]) -> impl Iterator<Item = &'a RunInfo> {
    claim.cells.iter().filter_map(|cell| run_of(cell, runs)).unique_by(|run| &run.run)
}

/// The title of a row, marked where figures of it are of another build.
pub fn marked_title(claim: &Claim, runs: &[RunInfo]) -> String {
    claim_title(&claim.id) + mark(claim, runs)
}

/// Of a row with figures of another build; empty of any other.
pub fn mark(claim: &Claim, runs: &[RunInfo]) -> &'static str {
    if runs_of(claim, runs).any(|run| run.other_build) { MARK } else { "" }
}

/// The scenario of a run, with its status where that is not `complete`, and the mark of another
/// build: `latency (invalid) ‡`.
pub fn scenario(run: &RunInfo) -> String {
    let status = match run.status {
        Status::Complete => String::new(),
        spoilt => format!(" ({})", name(&spoilt)),
    };
    let mark = if run.other_build { MARK } else { "" };
    format!("{}{status}{mark}", run.scenario)
}

/// The scenarios of a row: `throughput, throughput-durable (interrupted)`.
pub fn scenarios(claim: &Claim, runs: &[RunInfo]) -> String {
    runs_of(claim, runs).map(scenario).unique().join(", ")
}

/// `run invalid: latency`: which runs of a row are not whole.
pub fn spoilt(claim: &Claim, runs: &[RunInfo]) -> Option<String> {
    let spoilt = runs_of(claim, runs).filter(|run| run.status != Status::Complete);
    let words = spoilt.map(|run| format!("run {}: {}", name(&run.status), run.scenario)).join(", ");
    Some(words).filter(|words| !words.is_empty())
}

/// By which program the table was measured; `None` where nothing was.
pub fn builds(comparison: &Comparison) -> Option<String> {
    let own = || comparison.runs.iter().filter(|run| !run.managed());
    let measured = || own().filter(|run| run.measured());
    let of = |run: &RunInfo| run.build.as_ref().map_or("not told".to_owned(), Build::to_string);
    let counts = measured().map(of).counts();
    let mut told =
        counts.iter().sorted().map(|(build, runs)| format!("{build}: {runs} of the runs"));
    let told = told.join("; ");
    if measured().any(|run| run.other_build) {
        return Some(format!("‡ Made by several builds: {told}."));
    }
    Some(match measured().next()?.build.as_ref() {
        Some(build) => format!("Measured by one build: {build}."),
        None => "Made by builds that are not told, maybe by several.".to_owned(),
    })
}

/// What stands under a table: what its marks mean, and who measured it.
pub fn notes(comparison: &Comparison) -> Vec<String> {
    marks::of_table(comparison).into_iter().chain(builds(comparison)).collect()
}

/// When, where and over which network a run measured a service: `2026-11-30, eu-central-1, three
/// kafka.m7g.large, external (may leave this machine)`.
pub fn place(run: &RunInfo, service: Service) -> Option<String> {
    let place = run.services.get(service.name())?;
    let day = run.started_at.get(..10).unwrap_or_default();
    let mut parts = [day, place, &run.network_path].into_iter().filter(|part| !part.is_empty());
    Some(parts.join(", "))
}

/// The brokers of the runs by name and version, each once: `Apache Kafka 4.4.0 · Redis 8.2.3`.
/// Those of services have a table of their own.
pub fn brokers(runs: &[RunInfo]) -> String {
    let own = runs.iter().filter(|run| !run.managed());
    let versions = own.flat_map(|run| run.versions.values());
    let brokers = versions.filter_map(|version| version.split(';').next());
    brokers.map(str::trim).sorted().dedup().join(" · ")
}

/// `java 21.0.8 from PATH`.
pub fn provided(run: &RunInfo) -> impl Iterator<Item = String> + '_ {
    run.provided.iter().map(|(what, origin)| format!("{what} {origin}"))
}

/// What a list of runs says of one: a fact each.
pub fn run_facts(run: &RunInfo) -> Vec<String> {
    let storage = run.storage.iter().map(|storage| format!("data on {storage}"));
    let facts = [
        run.run.clone(),
        format!("scenario {}", scenario(run)),
        Build::words(run.build.as_ref()),
        format!("environment {}", run.environment),
        format!("network {}", run.network_path),
        run.host.clone(),
        run.versions.values().dedup().join(", "),
    ];
    let facts = facts.into_iter().chain(provided(run)).chain(storage);
    facts.chain([format!("self-check {}", run.selfcheck)]).collect()
}
