//! The eight claims as data, and the rules that turn measurements into verdicts.
//!
//! Verdicts are computed, never typed: [`build`] makes the table from the summaries of runs, [`recheck`] computes every
//! verdict again from `comparison.json` alone. Both are pure.

mod cells;
mod data;
mod rules;

use crate::result::{Claim, ComparedCell, Comparison, Kind, Manifest, RunInfo, SCHEMA, Summary};
use data::{ClaimText, Claims};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Invented numbers never enter a table.
    #[error("run {run} was made in the environment `fake`; its numbers cannot enter a comparison")]
    Fake { run: String },
    #[error("the built-in list of claims is unreadable: {0}")]
    Data(String),
}

/// The comparison table from runs. A run counts for the claim that its scenario names.
pub fn build(profile: &str, runs: &[(Manifest, Summary)]) -> Result<Comparison, ClaimError> {
    let texts = data::load()?;
    for (manifest, summary) in runs {
        if manifest.environment == "fake" || summary.cells.iter().any(|cell| cell.system == "fake") {
            return Err(ClaimError::Fake { run: manifest.run.clone() });
        }
    }
    let infos: Vec<RunInfo> = runs.iter().map(|(manifest, _)| run_info(manifest)).collect();
    let row = |text: &ClaimText| {
        let measured: Vec<ComparedCell> = runs
            .iter()
            .filter(|(manifest, _)| manifest.scenario.claim.as_deref() == Some(&text.id))
            .flat_map(|(_, summary)| cells::of_run(&text.id, summary))
            .collect();
        judge(text, measured, &infos)
    };
    Ok(Comparison {
        schema: SCHEMA,
        profile: profile.to_owned(),
        claims: texts.claims.iter().map(row).collect(),
        uses: texts.uses.iter().map(row).collect(),
        runs: infos,
    })
}

/// Computes every verdict again from the file alone; the differences, in words.
pub fn recheck(comparison: &Comparison) -> Result<(), Vec<String>> {
    let texts = data::load().map_err(|error| vec![error.to_string()])?;
    let Claims { claims, uses } = &texts;
    let mut wrong = Vec::new();
    for run in comparison.runs.iter().filter(|run| run.environment == "fake") {
        wrong.push(ClaimError::Fake { run: run.run.clone() }.to_string());
    }
    for (kind, texts, rows) in [("claim", claims, &comparison.claims), ("use", uses, &comparison.uses)] {
        let found: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let expected: Vec<&str> = texts.iter().map(|text| text.id.as_str()).collect();
        if found != expected {
            wrong.push(format!("{kind}s: found {}, expected {}", found.join(", "), expected.join(", ")));
        }
        for (text, row) in
            texts.iter().flat_map(|text| rows.iter().find(|row| row.id == text.id).map(|row| (text, row)))
        {
            let inputs: Vec<ComparedCell> =
                row.cells.iter().filter(|cell| !cell.per_block.is_empty()).cloned().collect();
            let again = judge(text, inputs.into_iter().map(cells::recompute).collect(), &comparison.runs);
            compare(row, &again, &mut wrong);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// One row: the measured cells, the ratios between them and the verdict; or what says that nothing was measured.
fn judge(text: &ClaimText, measured: Vec<ComparedCell>, runs: &[RunInfo]) -> Claim {
    let judged = rules::judge(&text.id, &measured, runs);
    let mut cells = measured;
    cells.extend(judged.ratios);
    if cells.is_empty() {
        cells =
            ["kafka", "redis-pubsub", "redis-streams", "redis-lists"].map(|system| not_measured(system, text)).into();
    }
    Claim {
        id: text.id.clone(),
        kafka_claim: text.kafka.clone(),
        redis_claim: text.redis.clone(),
        verdict: judged.verdict,
        because: judged.because,
        rule: text.rule.clone(),
        cells,
    }
}

fn not_measured(system: &str, text: &ClaimText) -> ComparedCell {
    ComparedCell {
        label: system.to_owned(),
        system: system.to_owned(),
        variant: None,
        cell: String::new(),
        metric: text.metric.clone(),
        kind: Kind::NotMeasured,
        value: None,
        unit: String::new(),
        interval: None,
        n: 0,
        blocks: 0,
        text: "not measured".to_owned(),
        run: None,
        survives: None,
        per_block: Vec::new(),
    }
}

fn run_info(manifest: &Manifest) -> RunInfo {
    let versions: BTreeMap<String, String> = (manifest.systems.iter())
        .map(|(label, system)| (label.clone(), format!("{}; {}", system.broker_version, system.client_version)))
        .collect();
    let host = &manifest.host;
    RunInfo {
        run: manifest.run.clone(),
        scenario: manifest.scenario.name.clone(),
        claim: manifest.scenario.claim.clone(),
        environment: manifest.environment.clone(),
        network_path: manifest.network_path.clone(),
        status: manifest.status,
        started_at: manifest.started_at.clone(),
        blocks: manifest.blocks,
        cross_class: manifest.scenario.cross_class.clone(),
        versions,
        host: format!("{}, {} cores, {}", host.cpu, host.cores, host.kernel),
        selfcheck: manifest.selfcheck.clone(),
        warnings: manifest.warnings.clone(),
    }
}

/// Notes every difference between a row as found and as computed.
fn compare(found: &Claim, computed: &Claim, wrong: &mut Vec<String>) {
    let id = &computed.id;
    let mut differ = |what: &str, found: &str, computed: &str| {
        if found != computed {
            wrong.push(format!("{id}: {what} is `{found}`, computed `{computed}`"));
        }
    };
    differ("verdict", &found.verdict, &computed.verdict);
    differ("because", &found.because, &computed.because);
    differ("rule", &found.rule, &computed.rule);
    differ("kafka_claim", &found.kafka_claim, &computed.kafka_claim);
    differ("redis_claim", &found.redis_claim, &computed.redis_claim);
    differ("number of cells", &found.cells.len().to_string(), &computed.cells.len().to_string());
    for (found, computed) in found.cells.iter().zip(&computed.cells) {
        let name = |cell: &ComparedCell| format!("{} {} {}", cell.label, cell.cell, cell.metric);
        differ("cell", &name(found), &name(computed));
        let numbers = |cell: &ComparedCell| [cell.value, cell.interval.map(|i| i[0]), cell.interval.map(|i| i[1])];
        // A number read back from JSON may differ in its last bit.
        let close = |(a, b): (Option<f64>, Option<f64>)| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !numbers(found).into_iter().zip(numbers(computed)).all(close) {
            differ(&name(computed), &format!("{:?}", numbers(found)), &format!("{:?}", numbers(computed)));
        }
        differ(&format!("text of {}", name(computed)), &found.text, &computed.text);
    }
}

#[cfg(test)]
mod tests;
