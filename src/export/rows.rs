//! One row for each cell and figure, for spreadsheets and programs of one's own.

use crate::model::Measure;
use crate::result::words::name;
use crate::result::{
    CellSummary, LatencyValue, ResultError, RunFolder, Summary, latency_value, measured, summarize,
};
use crate::sanitize;

const HEAD: [&str; 15] = [
    "run", "scenario", "label", "system", "cell", "block", "valid", "outcome", "metric", "point",
    "unit", "value", "at_least", "n", "text",
];

/// Every figure of plain load that was measured, and all that experiments observed, block by block.
pub fn csv(folder: &RunFolder) -> Result<String, ResultError> {
    let summary = summarize(folder)?;
    let fail = |error: &dyn std::fmt::Display| ResultError::corrupt(folder.path(), error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEAD).map_err(|error| fail(&error))?;
    for cell in &summary.cells {
        for row in plain(cell).into_iter().chain(observed(cell)) {
            let row = head(&summary, cell).into_iter().chain(row);
            writer.write_record(row).map_err(|error| fail(&error))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| fail(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn head(summary: &Summary, cell: &CellSummary) -> [String; 8] {
    [
        sanitize::csv(&summary.run),
        sanitize::csv(&summary.scenario),
        sanitize::csv(&cell.label),
        sanitize::csv(&cell.system),
        sanitize::csv(&cell.cell),
        cell.block.to_string(),
        if cell.valid { "yes" } else { "no" }.to_owned(),
        name(&cell.outcome),
    ]
}

/// Metric, point, unit, value, what it is at least, what is behind it, words.
type FigureRow = [String; 7];

fn plain(cell: &CellSummary) -> Vec<FigureRow> {
    if cell.experiment.is_some() || cell.cannot().is_some() {
        return Vec::new();
    }
    let row = |measure: Measure| {
        let (exact, least) = match latency_value(measure, cell) {
            Some(LatencyValue::Exact(value)) => (Some(value), None),
            Some(LatencyValue::AtLeast(value)) => (None, Some(value)),
            None => (measured(measure, cell), None),
        };
        exact.or(least)?;
        let latency = measure.latency().and_then(|latency| cell.latency.get(latency));
        let [exact, least] = [exact, least].map(number);
        let n = latency.map_or_else(String::new, |latency| latency.count.to_string());
        let unit = measure.unit().name().to_owned();
        Some([measure.to_string(), String::new(), unit, exact, least, n, String::new()])
    };
    Measure::usual().filter_map(row).collect()
}

fn observed(cell: &CellSummary) -> Vec<FigureRow> {
    let rows = cell.observations.iter().map(|seen| {
        [
            sanitize::csv(&seen.metric),
            sanitize::csv(&seen.point),
            sanitize::csv(&seen.unit),
            number(seen.value),
            String::new(),
            seen.n.to_string(),
            sanitize::csv(&seen.text),
        ]
    });
    rows.collect()
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
