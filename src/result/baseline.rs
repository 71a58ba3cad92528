//! A run as small as a comparison with it needs: the file that a repository keeps.
//!
//! Sorted, a line for each figure, six digits a value: a diff of two versions of it can be read.

use super::error::ResultError;
use super::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub schema: u32,
    pub run: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    pub scenario: String,
    pub profile: Option<String>,
    /// The figure that the scenario is about.
    pub primary: String,
    /// Blocks fixed beforehand.
    pub blocks: u32,
    pub brokerbench_version: String,
    /// Processor, cores, memory, kernel, what holds the data.
    pub host: BTreeMap<String, String>,
    /// Broker and client of each label.
    pub versions: BTreeMap<String, String>,
    /// The scenario as resolved, and what brokers and clients told of theirs.
    pub settings: BTreeMap<String, String>,
    pub figures: Vec<BaselineFigure>,
}

/// A metric of a label at a matrix point, under a condition of it where there are several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BaselineFigure {
    pub label: String,
    pub cell: String,
    pub metric: String,
    pub unit: String,
    /// The label that this one is the same as: what the two differ by is no difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
    /// By block, of those that have one.
    pub values: BTreeMap<u32, f64>,
    /// Why a block that the harness did not spoil has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unmeasured: String,
}

/// What decides whether a run is worse, and what is let pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonTerms {
    /// A change up to this share is none.
    pub tolerance: f64,
    /// The metrics that count, in place of the usual ones.
    pub metrics: Vec<String>,
    /// The label by whose figures all others are divided, block by block.
    pub relative_to: Option<String>,
}

impl ComparisonTerms {
    pub const TOLERANCE: f64 = 0.05;
}

impl Default for ComparisonTerms {
    fn default() -> Self {
        Self { tolerance: Self::TOLERANCE, metrics: Vec::new(), relative_to: None }
    }
}

/// `baseline.json` of a run folder: what the run was held against, as the user called it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldAgainst {
    pub schema: u32,
    pub name: String,
    pub terms: ComparisonTerms,
    pub baseline: Baseline,
}

impl HeldAgainst {
    pub const FILE: &'static str = "baseline.json";
}

impl Baseline {
    pub fn read(path: &Path) -> Result<Self, ResultError> {
        files::read_json(path)
    }

    pub fn write(&self, path: &Path) -> Result<(), ResultError> {
        files::write_atomic(path, self.text(path)?.as_bytes())
    }

    /// JSON like any other of ours, but for the figures.
    fn text(&self, path: &Path) -> Result<String, ResultError> {
        const NONE: &str = "\"figures\": []";
        let head = Self { figures: Vec::new(), ..self.clone() };
        let head = String::from_utf8_lossy(&files::to_json(path, &head)?).into_owned();
        let line = |figure: &BaselineFigure| {
            serde_json::to_string(figure).map_err(|error| ResultError::corrupt(path, error))
        };
        let lines = self.figures.iter().map(line).collect::<Result<Vec<String>, _>>()?;
        if lines.is_empty() {
            return Ok(head);
        }
        // Inside a text its quotation marks would be escaped.
        let figures = format!("\"figures\": [\n    {}\n  ]", lines.join(",\n    "));
        Ok(head.replacen(NONE, &figures, 1))
    }

    /// The label, if any figure is of it.
    pub fn has(&self, label: &str) -> bool {
        self.figures.iter().any(|figure| figure.label == label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Baseline {
        let figure = |metric: &str, value| BaselineFigure {
            label: "kafka".into(),
            cell: "load.rate=1k/s".into(),
            metric: metric.into(),
            unit: "ns".into(),
            values: [(1, value), (3, 258_815.0)].into(),
            ..BaselineFigure::default()
        };
        Baseline {
            schema: 1,
            scenario: "latency".into(),
            // It must not be taken for the place of the figures.
            settings: [("x".to_owned(), "\"figures\": []".to_owned())].into(),
            figures: vec![figure("end_to_end.p50", 1.5), figure("end_to_end.p99", 2.0)],
            ..Baseline::default()
        }
    }

    #[test]
    fn a_line_for_each_figure_and_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main/latency.json");
        let baseline = example();
        baseline.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("\"metric\"")).collect();
        assert_eq!(
            lines,
            [
                "    {\"label\":\"kafka\",\"cell\":\"load.rate=1k/s\",\"metric\":\"end_to_end.p50\",\
                 \"unit\":\"ns\",\"values\":{\"1\":1.5,\"3\":258815.0}},",
                "    {\"label\":\"kafka\",\"cell\":\"load.rate=1k/s\",\"metric\":\"end_to_end.p99\",\
                 \"unit\":\"ns\",\"values\":{\"1\":2.0,\"3\":258815.0}}",
            ]
        );
        assert!(text.ends_with("  ]\n}\n"), "{text}");
        assert_eq!(Baseline::read(&path).unwrap(), baseline);
        let none = Baseline { figures: Vec::new(), ..baseline };
        none.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), none);
    }

    #[test]
    fn one_of_another_version_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.json");
        let mut newer = example();
        newer.schema = 99;
        newer.write(&path).unwrap();
        let error = Baseline::read(&path).unwrap_err().to_string();
        assert!(error.contains("main.json: written in schema 99"), "{error}");
        std::fs::write(&path, "{\"schema\": 1, \"cells\": []}").unwrap();
        let error = Baseline::read(&path).unwrap_err().to_string();
        assert!(error.contains("main.json") && error.contains("missing field"), "{error}");
    }
}
