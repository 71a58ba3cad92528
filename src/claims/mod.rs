//! The claims as data, and the rules that turn measurements into verdicts.
//!
//! Verdicts are computed, never typed: [`build`] makes the table from the summaries of runs,
//! [`recheck`] computes every verdict again from `comparison.json` alone. Both are pure.

mod cells;
mod data;
mod face;
mod faults;
mod finding;
mod managed;
mod recheck;
mod rules;
mod saturation;
mod tries;

pub use data::{Drawing, Headline, Profile, Worded};
pub use face::{FaceChart, FaceDrawing, FaceRow, Pick, RatioText, Sentence, Struck, TopicText};
pub use recheck::recheck;
pub use rules::paired_ratio;

use crate::model::System;
use crate::result::{
    Claim, ComparedCell, ComparedEnvironment, Comparison, FAKE, Manifest, NotCompared, RunInfo,
    SCHEMA, Status, Summary, words,
};
use crate::scenario::Scenario;
use data::{ClaimText, Claims, Listed, Role, empty_cell};
use indexmap::IndexSet;
use itertools::Itertools;
use rules::{Inputs, Rule};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Neither invented numbers nor those of a stand-in enter a table.
    #[error("run {run}: {cause}")]
    NotCompared { run: String, cause: NotCompared },
    #[error("the built-in list of claims is unreadable: {0}")]
    Data(String),
    #[error("there is no claim `{name}`; known: {known}")]
    NoSuchClaim { name: String, known: String },
    #[error("no claim is measured in profile `{profile}`; known: {known}")]
    NoSuchProfile { profile: String, known: String },
}

/// A scenario that a profile asks for, and the row that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub claim: String,
    pub scenario: String,
}

/// The scenarios of a profile in the order of the table, those that decide a verdict first: a suite
/// that is stopped has its verdicts. Of some claims only, where some are named.
pub fn plan(profile: &str, only: &[String]) -> Result<Vec<Planned>, ClaimError> {
    let texts = data::load()?;
    if let Some(name) = only.iter().find(|name| row(name).is_none()) {
        let known = texts.rows().map(|row| &row.id).join(", ");
        return Err(ClaimError::NoSuchClaim { name: name.clone(), known });
    }
    let rows = texts.rows().filter(|row| only.is_empty() || only.contains(&row.id));
    let listed = rows.flat_map(|row| row.scenarios.iter().map(move |listed| (row, listed)));
    let asked = listed.filter(|(_, listed)| listed.profiles.iter().any(|name| name == profile));
    let (judged, shown): (Vec<_>, Vec<_>) =
        asked.partition(|(_, listed)| listed.role == Role::Judged);
    let planned = |(row, listed): (&ClaimText, &Listed)| Planned {
        claim: row.id.clone(),
        scenario: listed.name.clone(),
    };
    let plan: Vec<Planned> = judged.into_iter().chain(shown).map(planned).collect();
    if plan.is_empty() && only.is_empty() {
        let known = texts.profile_names().join(", ");
        return Err(ClaimError::NoSuchProfile { profile: profile.to_owned(), known });
    }
    Ok(plan)
}

/// Likewise of the services, which are asked what the claims ask and no use.
pub fn plan_managed(profile: &str, only: &[String]) -> Result<Vec<Planned>, ClaimError> {
    let claims = &data::load()?.claims;
    let mut plan = plan(profile, only)?;
    plan.retain(|planned| claims.iter().any(|claim| claim.id == planned.claim));
    Ok(plan)
}

/// What `compare` takes by `--profile`, the shortest first.
pub fn profiles() -> &'static [Profile] {
    data::load().map_or(&[][..], |texts| &texts.profiles)
}

/// What the headline of a row says; nothing of a row that this program does not know.
pub fn headline(id: &str) -> &'static [Headline] {
    row(id).map_or(&[], |row| &row.headline)
}

/// What a document says of a label in a word or two, where it does.
pub fn documented(id: &str, label: &str, metric: &str) -> Option<&'static str> {
    let mut facts = row(id)?.documented.iter();
    facts.find(|fact| fact.label == label && fact.metric == metric)?.says.as_deref()
}

/// The one-line rows of a claim.
pub fn face_rows(id: &str) -> &'static [FaceRow] {
    row(id).map_or(&[], |row| &row.rows)
}

/// The sentences that say what came out, by topic.
pub fn topics() -> &'static [TopicText] {
    data::load().map_or(&[], |texts| &texts.face.topics)
}

/// The charts of the overview.
pub fn face_charts() -> &'static [FaceChart] {
    data::load().map_or(&[], |texts| &texts.face.charts)
}

/// How the page draws a row.
pub fn drawing(id: &str) -> Option<&'static Drawing> {
    row(id)?.panel.as_ref()
}

fn row(id: &str) -> Option<&'static ClaimText> {
    data::load().ok()?.rows().find(|row| row.id == id)
}

/// What a scenario's design can show, in words, by the spreads of the same scenario's runs in a
/// table; nothing where no verdict rests on its ratios, or it was not run.
pub fn can_show(scenario: &Scenario, before: &Comparison) -> Vec<String> {
    let Ok(texts) = data::load() else { return Vec::new() };
    let margin = scenario.systems.iter().any(|(_, config)| config.same_as.is_some());
    let rows = before.claims.iter().chain(&before.uses);
    let told = |row: &Claim| {
        let text = texts.rows().find(|text| text.id == row.id)?;
        let Rule::Ratio(limits) = &text.judge else { return None };
        let runs: Vec<_> = before.runs.iter().filter(|run| run.scenario == scenario.name).collect();
        let of_runs =
            |cell: &&ComparedCell| runs.iter().any(|run| Some(&run.run) == cell.run.as_ref());
        let cells: Vec<&ComparedCell> = row.cells.iter().filter(of_runs).collect();
        let rounds = scenario.blocks as usize;
        let shown = limits.shows(&cells, &before.runs, rounds, margin);
        let word = |shown: &rules::ratio::Shows| {
            let spread = (shown.spread.exp() - 1.0) * 100.0;
            format!("{} beyond {:.2}× (they spread by {spread:.0} %)", shown.metric, shown.beyond)
        };
        let run = runs.first().filter(|_| !shown.is_empty())?;
        Some(format!(
            "{rounds} rounds show ratios of {} with 90 % power, by the spread between the {} \
             rounds of {}",
            shown.iter().map(word).join(", "),
            run.blocks,
            run.started_at.get(..10).unwrap_or_default(),
        ))
    };
    rows.filter_map(told).collect()
}

/// The runs of a table that stay when these claims are measured again.
pub fn kept<'a>(table: &'a Comparison, only: &'a [String]) -> impl Iterator<Item = &'a RunInfo> {
    let rows = || data::load().into_iter().flat_map(Claims::rows);
    let stays = move |run: &&RunInfo| {
        run.measured()
            && !run.managed()
            && rows().any(|row| row.role(&run.scenario).is_some() && !only.contains(&row.id))
    };
    table.runs.iter().filter(stays)
}

/// What a table is made from.
#[derive(Default)]
pub struct Material<'a> {
    pub profile: &'a str,
    pub runs: &'a [(Manifest, Summary)],
    /// Scenarios that could not run, and why.
    pub failed: &'a [(Planned, String)],
    /// An older table, which keeps its cells where no scenario of a row was run or tried again.
    pub before: Option<&'a Comparison>,
}

/// The comparison table from runs. A run counts for the row that lists its scenario.
pub fn build(material: &Material<'_>) -> Result<Comparison, ClaimError> {
    build_by(data::load()?, material)
}

/// The same table from its own cells: verdicts and texts as rules and claims stand now, nothing
/// measured anew.
pub fn again(comparison: &Comparison) -> Result<Comparison, ClaimError> {
    build(&Material {
        profile: &comparison.profile,
        before: Some(comparison),
        ..Material::default()
    })
}

fn build_by(texts: &Claims, material: &Material<'_>) -> Result<Comparison, ClaimError> {
    for (manifest, summary) in material.runs {
        compared(manifest)?;
        if summary.cells.iter().any(|cell| cell.system == FAKE) {
            let cause = NotCompared(FAKE.to_owned());
            return Err(ClaimError::NotCompared { run: manifest.run.clone(), cause });
        }
    }
    let (managed, runs): (Vec<_>, Vec<_>) =
        material.runs.iter().partition(|(_, summary)| managed::is_of(summary));
    let tried = |row: &ClaimText| {
        runs.iter().any(|(manifest, _)| row.role(&manifest.scenario.name).is_some())
            || material.failed.iter().any(|(planned, _)| planned.claim == row.id)
    };
    let mut infos: Vec<RunInfo> = Vec::new();
    let mut measured: BTreeMap<&str, Vec<ComparedCell>> = BTreeMap::new();
    for row in texts.rows() {
        let cells = measured.entry(&row.id).or_default();
        if let Some(before) = material.before.filter(|_| !tried(row)) {
            let old = before.claims.iter().chain(&before.uses).filter(|claim| claim.id == row.id);
            cells.extend(tries::condensed(old.flat_map(inputs).collect()));
            infos.extend(
                (before.runs.iter())
                    .filter(|run| !run.managed() && row.role(&run.scenario).is_some())
                    .cloned(),
            );
        }
        for listed in &row.scenarios {
            let of_this = runs.iter().filter(|(manifest, _)| listed.is(&manifest.scenario.name));
            for (manifest, summary) in of_this {
                cells.extend(cells::of_run(&row.figures, summary));
                cells.extend(faults::detection(manifest, summary));
                infos.push(run_info(manifest, summary)?);
            }
            let failed =
                material.failed.iter().filter(|(planned, _)| planned.scenario == listed.name);
            infos.extend(failed.map(|(planned, because)| failed_run(planned, because)));
        }
    }
    RunInfo::mark_builds(&mut infos);
    let judge = |row: &ClaimText| {
        judge(
            row,
            material.profile,
            measured.get(row.id.as_str()).cloned().unwrap_or_default(),
            &infos,
        )
    };
    let services = managed::Services { runs: managed, before: material.before };
    let (managed, measured_there) = services.rows(&texts.claims)?;
    Ok(Comparison {
        schema: SCHEMA,
        profile: material.profile.to_owned(),
        claims: texts.claims.iter().map(judge).collect(),
        uses: texts.uses.iter().map(judge).collect(),
        managed,
        runs: infos.iter().cloned().chain(measured_there).collect(),
    })
}

/// The cells of a row that come from runs: all others follow from them or from the data.
fn inputs(row: &Claim) -> impl Iterator<Item = ComparedCell> + '_ {
    row.cells.iter().filter(|cell| !cell.per_block.is_empty()).cloned().map(cells::recompute)
}

/// One row: the measured cells, those that follow from them, what is documented, and the verdict.
fn judge(text: &ClaimText, profile: &str, measured: Vec<ComparedCell>, runs: &[RunInfo]) -> Claim {
    let of_role = |role: Role| -> Vec<&ComparedCell> {
        let scenario =
            |cell: &ComparedCell| runs.iter().find(|run| Some(&run.run) == cell.run.as_ref());
        let in_role = |cell: &&ComparedCell| {
            scenario(cell).and_then(|run| text.role(&run.scenario)) == Some(role)
        };
        measured.iter().filter(in_role).collect()
    };
    let inputs = Inputs {
        judged: of_role(Role::Judged),
        shown: of_role(Role::Shown),
        runs,
        documented: &text.documented,
    };
    let judged = text.judge.judge(&inputs);
    let missing = missing(text, profile, runs);
    let (answer, verdict) = judged.answer();
    // What is missing weighs most where nothing was measured, least where the rest decides.
    let sentences = match judged.findings.is_empty() {
        true => [&missing[..], &judged.sentences].concat(),
        false => [&judged.sentences[..], &missing].concat(),
    };
    let mut cells = measured.clone();
    cells.extend(judged.derived);
    if cells.is_empty() {
        let why = if missing.is_empty() { "not measured".to_owned() } else { missing.join("; ") };
        let not_measured =
            |system| ComparedCell { text: why.clone(), ..empty_cell(system, system, &text.metric) };
        cells.extend(System::NAMES.map(not_measured));
    }
    cells.extend(text.documented_cells());
    Claim {
        id: text.id.clone(),
        kafka_claim: text.kafka.clone(),
        redis_claim: text.redis.clone(),
        source: text.source.clone(),
        verdict,
        answer,
        findings: judged.findings,
        because: finding::because(&sentences),
        rule: text.rule(),
        cells,
    }
}

/// The scenarios of a row that left nothing, and why.
fn missing(text: &ClaimText, profile: &str, runs: &[RunInfo]) -> Vec<String> {
    let missing = |listed: &Listed| {
        let asked = listed.profiles.iter().any(|known| known == profile);
        let why = match runs.iter().find(|run| listed.is(&run.scenario)) {
            Some(run) if run.status == Status::Failed => {
                format!("could not run: {}", run.warnings.join(", "))
            }
            Some(run) if run.status == Status::Interrupted => "was interrupted".to_owned(),
            None if asked => "was not run".to_owned(),
            None if listed.role == Role::Judged => format!("is not in profile {profile}"),
            Some(_) | None => return None,
        };
        Some(format!("scenario {} {why}", listed.name))
    };
    text.scenarios.iter().filter_map(missing).collect()
}

/// A scenario that could not run, among the runs.
fn failed_run(planned: &Planned, because: &str) -> RunInfo {
    RunInfo {
        run: format!("none ({})", planned.scenario),
        scenario: planned.scenario.clone(),
        claim: Some(planned.claim.clone()),
        environment: ComparedEnvironment::none(),
        network_path: "none".to_owned(),
        status: Status::Failed,
        selfcheck: "not run".to_owned(),
        warnings: vec![because.replace('\n', " ")],
        ..RunInfo::default()
    }
}

/// The environment of a run whose figures may be compared.
fn compared(manifest: &Manifest) -> Result<ComparedEnvironment, ClaimError> {
    let refused = |cause| ClaimError::NotCompared { run: manifest.run.clone(), cause };
    manifest.environment.clone().try_into().map_err(refused)
}

fn run_info(manifest: &Manifest, summary: &Summary) -> Result<RunInfo, ClaimError> {
    let versions: BTreeMap<String, String> = (manifest.systems.iter())
        .map(|(label, system)| {
            (label.clone(), format!("{}; {}", system.broker_version, system.client_version))
        })
        .collect();
    // Where the points of a matrix differ in it, all of them.
    let mut promises: BTreeMap<String, IndexSet<&str>> = BTreeMap::new();
    for cell in &summary.cells {
        promises.entry(cell.label.clone()).or_default().insert(&cell.survives.because);
    }
    let host = &manifest.host;
    Ok(RunInfo {
        run: manifest.run.clone(),
        scenario: manifest.scenario.name.clone(),
        claim: manifest.scenario.claim.clone(),
        environment: compared(manifest)?,
        network_path: manifest.network_path.clone(),
        services: managed::places(manifest, summary),
        status: manifest.status,
        started_at: manifest.started_at.clone(),
        blocks: manifest.blocks,
        cross_class: manifest.scenario.cross_class.clone(),
        versions,
        promises: promises
            .into_iter()
            .map(|(label, words)| (label, words.iter().join(" · ")))
            .collect(),
        titles: manifest.scenario.titles.clone(),
        host: format!("{}, {} cores, {}", host.cpu, host.cores, host.kernel),
        cores: Some(host.cores),
        selfcheck: manifest.selfcheck.clone(),
        warnings: manifest.warnings.clone(),
        provided: manifest.provided.clone(),
        storage: manifest.storage.as_ref().map(words::storage),
        build: manifest.build.clone(),
        other_build: false,
    })
}

#[cfg(test)]
use recheck::recheck_by;
#[cfg(test)]
mod tests;
