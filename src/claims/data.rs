//! The claims as data: `claims.yaml`, built into the binary. Texts, scenarios, limits and
//! documented facts of every row.
//!
//! Nothing is judged here. What a limit means stands in the file of its rule.

use super::ClaimError;
use super::face::{Face, FaceRow};
use super::rules::Rule;
use crate::result::{ComparedCell, Kind, words};
use itertools::Itertools;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The shortest first.
    pub profiles: Vec<Profile>,
    pub claims: Vec<ClaimText>,
    pub uses: Vec<ClaimText>,
    pub face: Face,
}

/// Which scenarios a comparison runs, and how often.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    pub what: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimText {
    pub id: String,
    pub kafka: String,
    pub redis: String,
    /// Where both are claimed.
    pub source: String,
    /// What an unmeasured cell lacks.
    pub metric: String,
    /// A line each in the README and in the overview, the first beside the verdict; a use has none.
    #[serde(default)]
    pub rows: Vec<FaceRow>,
    pub headline: Vec<Headline>,
    /// How the page draws it; a use has no drawing.
    #[serde(default)]
    pub panel: Option<Drawing>,
    /// What is read from cells of plain load; experiments bring their own.
    #[serde(default)]
    pub figures: Vec<String>,
    pub scenarios: Vec<Listed>,
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
    Judged,
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
    pub date: String,
}

/// What a headline says of each label.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Headline {
    /// Metrics at each point of the plain scenario: `1k/s: p50 0.31 · p99 0.92 ms`.
    Values { of: Vec<String> },
    /// Metrics over the points, one line each: `1/s · 10k/s: 1.00 · 0.920 requests a batch`.
    ByPoint { of: Vec<Worded> },
    /// The largest size, uncompressed: `up to 1 GiB`.
    Largest { of: String },
    /// A share: `100 % readable after acknowledgement`.
    Share { of: String, words: String },
    /// Counts where `above` is above zero: `0 lost · 12 twice`.
    Counts { of: Vec<Worded>, above: String },
    /// Fan-out and sharing of work: `4 consumers at 1ms: 3.9×`.
    SpeedUp,
    /// What losing a node for good cost, and killing
    /// the only one: `0 of 60,000 gone, back in 9.10 s`.
    Faults,
}

impl Headline {
    /// The metrics that it is made of; none where only the table knows how.
    pub fn metrics(&self) -> Vec<&str> {
        match self {
            Self::Values { of } => of.iter().map(String::as_str).collect(),
            Self::ByPoint { of } | Self::Counts { of, .. } => {
                of.iter().map(|worded| worded.metric.as_str()).collect()
            }
            Self::Largest { of } | Self::Share { of, .. } => vec![of.as_str()],
            Self::SpeedUp | Self::Faults => Vec::new(),
        }
    }
}

/// A metric, and what it is called in a sentence or in the head of a column.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worded {
    pub metric: String,
    pub words: String,
}

/// How a row is drawn.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Drawing {
    /// Dots with intervals on a log axis; `bracket` is what was carried at most, from and to.
    Dots { of: String, axis: String, bracket: Option<[String; 2]> },
    /// Three quantiles of a latency on a log axis, the middle one large.
    Quantiles { of: [String; 3] },
    /// A table in the panel: a line for each label, a column for each metric.
    Columns { of: Vec<Worded>, note: String },
    /// A lane of sizes for each label: intact or refused.
    Sizes,
    /// Requests of consumers, with wake-up latency beside.
    Requests,
    /// p99 of healthy messages without and with poison among them.
    Dumbbells,
    /// Speed-up against subscriptions and consumers.
    Curves,
    /// What faults lost, and for how long nothing was taken.
    Faults,
}

/// The list inside the binary, read once.
pub fn load() -> Result<&'static Claims, ClaimError> {
    static CLAIMS: LazyLock<Result<Claims, ClaimError>> =
        LazyLock::new(|| parse(include_str!("claims.yaml")));
    CLAIMS.as_ref().map_err(ClaimError::clone)
}

pub fn parse(text: &str) -> Result<Claims, ClaimError> {
    serde_saphyr::from_str(text).map_err(|error| ClaimError::Data(error.to_string()))
}

impl Claims {
    pub fn rows(&self) -> impl Iterator<Item = &ClaimText> {
        self.claims.iter().chain(&self.uses)
    }

    pub fn profile_names(&self) -> Vec<&str> {
        self.profiles.iter().map(|profile| profile.name.as_str()).collect()
    }
}

impl Listed {
    /// Whether a run is one of this scenario: what lies in a folder is run by its path, and known
    /// by its own name.
    pub fn is(&self, scenario: &str) -> bool {
        self.name.rsplit('/').next() == scenario.rsplit('/').next()
    }
}

impl ClaimText {
    pub fn role(&self, scenario: &str) -> Option<Role> {
        self.scenarios.iter().find(|listed| listed.is(scenario)).map(|listed| listed.role)
    }

    /// The rule in words, with its limits as they stand.
    pub fn rule(&self) -> String {
        let keys = values_in_words(&self.judge).into_iter();
        keys.fold(self.rule.clone(), |text, (key, value)| {
            text.replace(&format!("{{{key}}}"), &value)
        })
    }

    /// What documents say, as cells of the row.
    pub fn documented_cells(&self) -> impl Iterator<Item = ComparedCell> {
        self.documented.iter().map(Documented::cell)
    }
}

impl Documented {
    pub fn cell(&self) -> ComparedCell {
        let says = self.says.as_ref().map(|says| format!("{says}: ")).unwrap_or_default();
        ComparedCell {
            variant: self.way.clone(),
            kind: Kind::Documented,
            text: format!("{says}{} (read {})", self.text, self.date),
            source: Some(self.source.clone()),
            ..empty_cell(&self.label, &self.system, &self.metric)
        }
    }
}

/// A cell of which nothing is known yet.
pub fn empty_cell(label: &str, system: &str, metric: &str) -> ComparedCell {
    let [label, system, metric] = [label, system, metric].map(str::to_owned);
    ComparedCell { label, system, metric, ..ComparedCell::default() }
}

/// The keys of a rule with their values in words: numbers grouped, lists joined.
fn values_in_words(rule: &impl serde::Serialize) -> BTreeMap<String, String> {
    fn text(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(list) => list.iter().map(text).join(" or "),
            serde_json::Value::Number(number) => match number.as_f64() {
                Some(whole) if whole.fract() == 0.0 && (0.0..1e15).contains(&whole) => {
                    words::grouped(whole as u64)
                }
                _ => number.to_string(),
            },
            other => other.to_string(),
        }
    }
    let keys = serde_json::to_value(rule).unwrap_or_default();
    let keys = keys.as_object().into_iter().flatten();
    keys.map(|(key, value)| (key.clone(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::scenario;

    #[test]
    fn every_row_is_whole() {
        let claims = load().unwrap();
        let ids: Vec<&str> = claims.rows().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, scenario::claim_ids());
        for row in claims.rows() {
            let id = &row.id;
            assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{id}");
            assert!(row.source.starts_with("https://"), "{id}");
            assert!(row.scenarios.iter().any(|listed| listed.role == Role::Judged), "{id}");
            for listed in &row.scenarios {
                let known = |profile: &String| claims.profile_names().contains(&profile.as_str());
                assert!(listed.profiles.iter().all(known) && !listed.profiles.is_empty(), "{id}");
            }
            assert!(
                row.figures.iter().all(|name| name.parse::<crate::model::Measure>().is_ok()),
                "{id}: {:?}",
                row.figures
            );
            for fact in &row.documented {
                assert!(
                    fact.source.starts_with("https://") && fact.date == "2026-11-22",
                    "{id}: {}",
                    fact.label
                );
                assert!(System::from_name(&fact.system).is_some(), "{id}: {}", fact.system);
            }
        }
        // Every claim is measured in every profile, and drawn.
        for Profile { name, .. } in &claims.profiles {
            let runs =
                |row: &ClaimText| row.scenarios.iter().any(|listed| listed.profiles.contains(name));
            assert!(claims.claims.iter().all(runs), "{name}");
        }
        assert!(
            claims.claims.iter().all(|row| row.panel.is_some())
                && claims.rows().all(|row| !row.headline.is_empty())
        );
    }

    /// The text of a rule names every limit by its key, so neither can change without the other.
    #[test]
    fn text_and_limits_cannot_differ() {
        for row in load().unwrap().rows() {
            for key in values_in_words(&row.judge).keys().filter(|key| *key != "kind") {
                assert!(
                    row.rule.contains(&format!("{{{key}}}")),
                    "{}: `{{{key}}}` is not in the text",
                    row.id
                );
            }
            assert!(!row.rule().contains(['{', '}']), "{}: {}", row.id, row.rule());
        }
        let text = include_str!("claims.yaml")
            .replace("kafka-at-least: 1000000000", "kafka-at-least: 2000000");
        assert!(parse(&text).unwrap().claims[0].rule().contains("at least 2,000,000 B"));
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for (good, bad) in [
            ("limit: 1.05", "limt: 1.05"),
            ("role: judged", "role: judge"),
            ("kind: size", "kind: sise"),
            ("kind: dots", "kind: dot"),
        ] {
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
                    let overrides = scenario::Overrides {
                        profile: Some(profile.clone()),
                        ..Default::default()
                    };
                    match scenario::load(&listed.name, &overrides) {
                        Ok(found) if found.info().claim.as_deref() == Some(row.id.as_str()) => {}
                        Ok(found) => wrong.push(format!(
                            "{} names {:?}, not {}",
                            listed.name,
                            found.info().claim,
                            row.id
                        )),
                        Err(error) => {
                            let error = error.to_string();
                            wrong.push(format!(
                                "{profile}: {}",
                                error.lines().next().unwrap_or_default()
                            ));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
