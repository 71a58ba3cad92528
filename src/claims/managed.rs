//! The table of the services: the same questions, asked of what AWS runs. What documents say stands
//! in `managed.yaml`, with source and date, until a user has measured.
//!
//! Nothing is judged here: the claims are of Kafka and Redis as anybody runs them. A run of a
//! service is in this table and in no other.

use super::data::{ClaimText, Documented};
use super::{ClaimError, cells, inputs, run_info, tries};
use crate::model::{Service, System};
use crate::result::{Claim, ComparedCell, Comparison, Kind, Manifest, RunInfo, Summary, Verdict};
use itertools::Itertools;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// By claim.
type Facts = BTreeMap<String, Vec<Documented>>;

fn facts() -> Result<&'static Facts, ClaimError> {
    static FACTS: LazyLock<Result<Facts, ClaimError>> = LazyLock::new(|| {
        let text = include_str!("managed.yaml");
        serde_saphyr::from_str(text).map_err(|error| ClaimError::Data(error.to_string()))
    });
    FACTS.as_ref().map_err(ClaimError::clone)
}

fn service_of(system: &str) -> Option<Service> {
    System::from_name(system)?.service()
}

/// Whether a run is one of services.
pub fn is_of(summary: &Summary) -> bool {
    summary.cells.iter().any(|cell| service_of(&cell.system).is_some())
}

/// The services of a run, and where each was.
pub fn places(manifest: &Manifest, summary: &Summary) -> BTreeMap<String, String> {
    let services = summary.cells.iter().filter_map(|cell| service_of(&cell.system));
    let place = |service: Service| {
        let told = manifest.provided.get(service.title()).cloned();
        (service.name().to_owned(), told.unwrap_or_default())
    };
    services.map(place).collect()
}

/// What was measured of services.
pub struct Services<'a> {
    pub runs: Vec<&'a (Manifest, Summary)>,
    /// Keeps its cells of each system that was not measured again.
    pub before: Option<&'a Comparison>,
}

impl Services<'_> {
    /// A row for each claim, and the runs behind them.
    pub fn rows(&self, claims: &[ClaimText]) -> Result<(Vec<Claim>, Vec<RunInfo>), ClaimError> {
        let (mut rows, mut infos) = (Vec::new(), Vec::new());
        for text in claims {
            let mut measured = Vec::new();
            for (manifest, summary) in &self.runs {
                if text.role(&manifest.scenario.name).is_some() {
                    measured.extend(cells::of_run(&text.figures, summary));
                    infos.push(run_info(manifest, summary)?);
                }
            }
            let kept = self.kept(text, &measured);
            let before = self.before.into_iter().flat_map(|before| &before.runs);
            infos.extend(before.filter(|run| kept.iter().any(|cell| is_from(cell, run))).cloned());
            measured.extend(tries::condensed(kept));
            rows.push(row(text, measured)?);
        }
        let mut infos: Vec<RunInfo> = infos.into_iter().unique_by(|run| run.run.clone()).collect();
        RunInfo::mark_builds(&mut infos);
        Ok((rows, infos))
    }

    fn kept(&self, text: &ClaimText, measured: &[ComparedCell]) -> Vec<ComparedCell> {
        let before = self.before.into_iter().flat_map(|before| &before.managed);
        let old = before.filter(|row| row.id == text.id).flat_map(inputs);
        old.filter(|old| measured.iter().all(|new| new.system != old.system)).collect()
    }
}

fn is_from(cell: &ComparedCell, run: &RunInfo) -> bool {
    cell.run.as_ref() == Some(&run.run)
}

/// A row from its measured cells; what documents say follows from the data.
pub fn row(text: &ClaimText, measured: Vec<ComparedCell>) -> Result<Claim, ClaimError> {
    let documented = facts()?.get(&text.id).into_iter().flatten().map(Documented::cell);
    let any = measured.iter().any(|cell| cell.kind == Kind::Measured);
    let cells: Vec<ComparedCell> = measured.into_iter().chain(documented).collect();
    let verdict = match (any, cells.is_empty()) {
        (true, _) => "measured",
        (false, false) => "documented",
        (false, true) => "not measured",
    };
    Ok(Claim {
        id: text.id.clone(),
        kafka_claim: text.kafka.clone(),
        redis_claim: text.redis.clone(),
        source: text.source.clone(),
        verdict: verdict.to_owned(),
        answer: if any || cells.is_empty() { Verdict::NotMeasured } else { Verdict::Documented },
        findings: Vec::new(),
        because: String::new(),
        rule: String::new(),
        cells,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::data;

    #[test]
    fn every_fact_is_of_a_service_under_a_claim_with_source_and_date() {
        let claims = &data::load().unwrap().claims;
        for (id, facts) in facts().unwrap() {
            assert!(claims.iter().any(|claim| claim.id == *id), "{id}");
            for fact in facts {
                assert!(service_of(&fact.system).is_some(), "{id}: {}", fact.system);
                assert!(fact.source.starts_with("https://"), "{id}: {}", fact.source);
                assert!(fact.date.parse::<jiff::civil::Date>().is_ok(), "{id}: {}", fact.date);
            }
        }
        let told = |service: Service| {
            let rows = facts().unwrap().values().flatten();
            rows.filter(|fact| service_of(&fact.system) == Some(service)).count()
        };
        assert!(Service::ALL.into_iter().all(|service| told(service) > 0));
    }
}
