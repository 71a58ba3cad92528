//! The claims as data: `claims.yaml`, built into the binary. Texts, scenarios, limits and documented facts of every row.
//!
//! Nothing is judged here. What a limit means stands in the file of its rule.

use super::ClaimError;
use super::rules::Rule;
use crate::result::{ComparedCell, Kind, words};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub claims: Vec<ClaimText>,
    pub uses: Vec<ClaimText>,
}

/// One row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimText {
    pub id: String,
    pub kafka: String,
    pub redis: String,
    /// Where both are claimed.
    pub source: String,
    /// The headline: what an unmeasured cell lacks.
    pub metric: String,
    /// What is read from cells of plain load; experiments bring their own.
    #[serde(default)]
    pub figures: Vec<String>,
    pub scenarios: Vec<Listed>,
    /// The rule with its limits.
    pub judge: Rule,
    /// The rule in words, with `{key}` for the value of a key of `judge`.
    rule: String,
    #[serde(default)]
    pub documented: Vec<Documented>,
}

/// A scenario that serves a row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    pub name: String,
    /// The profiles in which `compare` runs it.
    pub profiles: Vec<String>,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Decides the verdict.
    Judged,
    /// Stands beside it.
    Shown,
}

/// What a document says and no run can show.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Documented {
    pub label: String,
    pub system: String,
    pub metric: String,
    /// On which way of using the system, where there is more than one.
    #[serde(default)]
    pub way: Option<String>,
    /// The value in a word or two, where a rule reads it.
    #[serde(default)]
    pub says: Option<String>,
    pub text: String,
    pub source: String,
    /// When the source was read.
    pub date: String,
}

pub fn load() -> Result<Claims, ClaimError> {
    parse(include_str!("claims.yaml"))
}

pub fn parse(text: &str) -> Result<Claims, ClaimError> {
    serde_saphyr::from_str(text).map_err(|error| ClaimError::Data(error.to_string()))
}

impl Claims {
    pub fn rows(&self) -> impl Iterator<Item = &ClaimText> {
        self.claims.iter().chain(&self.uses)
    }
}

impl Listed {
    /// Whether a run is one of this scenario: what lies in a folder is run by its path, and known by its own name.
    pub fn is(&self, scenario: &str) -> bool {
        fn own(name: &str) -> Option<&str> {
            name.rsplit('/').next()
        }
        own(&self.name) == own(scenario)
    }
}

impl ClaimText {
    pub fn role(&self, scenario: &str) -> Option<Role> {
        self.scenarios.iter().find(|listed| listed.is(scenario)).map(|listed| listed.role)
    }

    /// The rule in words, with its limits as they stand.
    pub fn rule(&self) -> String {
        self.judge
            .values()
            .into_iter()
            .fold(self.rule.clone(), |text, (key, value)| text.replace(&format!("{{{key}}}"), &value))
    }

    /// What documents say, as cells of the row.
    pub fn documented_cells(&self) -> impl Iterator<Item = ComparedCell> {
        self.documented.iter().map(|fact| {
            let says = fact.says.as_ref().map(|says| format!("{says}: ")).unwrap_or_default();
            ComparedCell {
                variant: fact.way.clone(),
                kind: Kind::Documented,
                text: format!("{says}{} (read {})", fact.text, fact.date),
                source: Some(fact.source.clone()),
                ..empty_cell(&fact.label, &fact.system, &fact.metric)
            }
        })
    }
}

/// A cell of which nothing is known yet.
pub fn empty_cell(label: &str, system: &str, metric: &str) -> ComparedCell {
    ComparedCell {
        label: label.to_owned(),
        system: system.to_owned(),
        variant: None,
        nodes: None,
        cell: String::new(),
        metric: metric.to_owned(),
        kind: Kind::NotMeasured,
        value: None,
        unit: String::new(),
        interval: None,
        n: 0,
        blocks: 0,
        text: String::new(),
        run: None,
        source: None,
        survives: None,
        per_block: Vec::new(),
    }
}

/// The keys of a rule with their values in words: numbers grouped, lists joined.
pub fn values_in_words(rule: &impl serde::Serialize) -> BTreeMap<String, String> {
    fn text(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(" or "),
            serde_json::Value::Number(number) => match number.as_f64() {
                Some(whole) if whole.fract() == 0.0 && (0.0..1e15).contains(&whole) => words::grouped(whole as u64),
                _ => number.to_string(),
            },
            other => other.to_string(),
        }
    }
    match serde_json::to_value(rule) {
        Ok(serde_json::Value::Object(keys)) => keys.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
        _ => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::cells;
    use crate::model::System;
    use crate::scenario;

    #[test]
    fn the_eight_claims_stand_in_the_order_of_the_table() {
        let claims = load().unwrap();
        let ids = |rows: &[ClaimText]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>().join(" ");
        assert_eq!(
            ids(&claims.claims),
            "message-size delivery retention error-handling parallelism throughput latency fault-tolerance"
        );
        assert_eq!(ids(&claims.uses), "log-aggregation realtime-stream session-cache urgent-messages");
    }

    #[test]
    fn every_row_is_whole() {
        for row in load().unwrap().rows() {
            let id = &row.id;
            assert!(row.source.starts_with("https://"), "{id}");
            assert!(row.scenarios.iter().any(|listed| listed.role == Role::Judged), "{id}");
            for listed in &row.scenarios {
                let known = |profile: &String| ["quick", "standard", "full"].contains(&profile.as_str());
                assert!(listed.profiles.iter().all(known) && !listed.profiles.is_empty(), "{id}");
            }
            assert!(row.figures.iter().all(|name| cells::figure(name).is_some()), "{id}: {:?}", row.figures);
            for fact in &row.documented {
                assert!(fact.source.starts_with("https://") && fact.date == "2026-11-22", "{id}: {}", fact.label);
                assert!(System::from_name(&fact.system).is_some(), "{id}: {}", fact.system);
            }
        }
        // All eight rows are filled in every profile.
        let claims = load().unwrap();
        for profile in ["quick", "standard", "full"] {
            let runs =
                |row: &ClaimText| row.scenarios.iter().any(|listed| listed.profiles.contains(&profile.to_owned()));
            assert!(claims.claims.iter().all(runs), "{profile}");
        }
    }

    /// The text of a rule names every limit by its key, so neither can change without the other.
    #[test]
    fn text_and_limits_cannot_differ() {
        for row in load().unwrap().rows() {
            for key in row.judge.values().keys().filter(|key| *key != "kind") {
                assert!(row.rule.contains(&format!("{{{key}}}")), "{}: `{{{key}}}` is not in the text", row.id);
            }
            assert!(!row.rule().contains(['{', '}']), "{}: {}", row.id, row.rule());
        }
        let text = include_str!("claims.yaml").replace("kafka-at-least: 1000000000", "kafka-at-least: 2000000");
        assert!(parse(&text).unwrap().claims[0].rule().contains("at least 2,000,000 B"));
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for (good, bad) in
            [("limit: 1.05", "limt: 1.05"), ("role: judged", "role: judge"), ("kind: size", "kind: sise")]
        {
            let text = include_str!("claims.yaml").replacen(good, bad, 1);
            assert!(parse(&text).is_err(), "{bad}");
        }
    }

    /// Fails while a scenario that a claim names is missing, or serves another claim.
    #[test]
    fn every_listed_scenario_exists_and_names_its_claim() {
        let mut wrong = Vec::new();
        for row in load().unwrap().rows() {
            for listed in &row.scenarios {
                for profile in &listed.profiles {
                    let overrides = scenario::Overrides { profile: Some(profile.clone()), ..Default::default() };
                    match scenario::load(&listed.name, &overrides) {
                        Ok(found) if found.info().claim.as_deref() == Some(row.id.as_str()) => {}
                        Ok(found) => {
                            wrong.push(format!("{} names {:?}, not {}", listed.name, found.info().claim, row.id))
                        }
                        Err(error) => {
                            let error = error.to_string();
                            wrong.push(format!("{profile}: {}", error.lines().next().unwrap_or_default()));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
