//! The comparison table, independent of how it is written: lines of text per cell, nothing escaped yet.

use crate::result::words::{TimeUnit, grouped, significant};
use crate::result::{Claim, ComparedCell, Comparison, Kind};

pub const HEAD: [&str; 6] = ["Claim", "Kafka", "Redis Pub/Sub", "Redis Streams", "Redis Lists", "Verdict"];
const SYSTEMS: [&str; 4] = ["kafka", "redis-pubsub", "redis-streams", "redis-lists"];

/// One table with a name; a cell holds one or more lines.
#[derive(Debug, serde::Serialize)]
pub struct Table {
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<Vec<String>>>,
}

/// `message-size` becomes `Message size`.
pub fn claim_title(id: &str) -> String {
    let text = id.replace('-', " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub fn is_ratio(cell: &ComparedCell) -> bool {
    cell.metric.starts_with("ratio(")
}

/// The eight rows.
pub fn overview(comparison: &Comparison) -> Table {
    let rows = comparison.claims.iter().map(|claim| {
        let mut row = vec![vec![claim_title(&claim.id), format!("{} / {}", claim.kafka_claim, claim.redis_claim)]];
        row.extend(SYSTEMS.map(|system| system_cell(claim, system)));
        row.push(vec![claim.verdict.clone()]);
        row
    });
    Table { title: String::new(), head: HEAD.map(str::to_owned).into(), rows: rows.collect() }
}

/// What one system did, a line for each label and matrix point.
fn system_cell(claim: &Claim, system: &str) -> Vec<String> {
    let cells: Vec<&ComparedCell> =
        claim.cells.iter().filter(|cell| cell.system == system && !is_ratio(cell)).collect();
    let unit = TimeUnit::for_column(claim.cells.iter().filter(|cell| cell.unit == "ns").filter_map(|cell| cell.value));
    let mut lines: Vec<(String, Vec<String>, &str)> = Vec::new();
    for cell in &cells {
        let mut place = Vec::new();
        if cell.label != system {
            place.push(cell.label.clone());
        }
        place.extend(Some(short_point(&cell.cell)).filter(|point| !point.is_empty()));
        let (value, unit) = match (cell.value, cell.unit.as_str()) {
            (None, _) => (short_reason(cell), ""),
            (Some(value), "ns") => (format!("{} {}", quantile_name(&cell.metric), unit.of(value)), unit.name()),
            (Some(value), unit) => (number(value), unit),
        };
        let place = place.join(", ");
        match lines.iter_mut().find(|line| line.0 == place) {
            Some(line) if !line.1.contains(&value) => line.1.push(value),
            Some(_) => {}
            None => lines.push((place, vec![value], unit)),
        }
    }
    if lines.is_empty() {
        return vec!["not measured".to_owned()];
    }
    let written = lines.into_iter().map(|(place, values, unit)| {
        let place = if place.is_empty() { place } else { format!("{place}: ") };
        format!("{place}{} {unit}", values.join(" · ")).trim_end().to_owned()
    });
    written.collect()
}

/// The figures of a measured claim: one table of values, one of ratios. Empty for what was not measured.
pub fn details(claim: &Claim) -> Vec<Table> {
    let measured: Vec<&ComparedCell> = claim.cells.iter().filter(|cell| cell.run.is_some()).collect();
    let (ratios, values): (Vec<&ComparedCell>, Vec<&ComparedCell>) =
        measured.into_iter().partition(|cell| is_ratio(cell));
    let mut tables = Vec::new();
    if !values.is_empty() {
        let time = TimeUnit::for_column(values.iter().filter(|cell| cell.unit == "ns").filter_map(|cell| cell.value));
        let unit = if values[0].unit == "ns" { time.name() } else { &values[0].unit };
        let print = |value: f64| if values[0].unit == "ns" { time.of(value) } else { number(value) };
        let head = [
            "Label",
            "Matrix point",
            "Metric",
            &format!("Value, {unit}"),
            &format!("95 % interval, {unit}"),
            "n",
            "Blocks",
            "What an acknowledgement promises, and notes",
        ];
        let row = |cell: &&ComparedCell| {
            let label = cell
                .variant
                .as_ref()
                .map_or_else(|| cell.label.clone(), |variant| format!("{} ({variant})", cell.label));
            vec![
                label,
                cell.cell.clone(),
                cell.metric.clone(),
                cell.value.map_or_else(|| "–".to_owned(), print),
                cell.interval
                    .map_or_else(|| "–".to_owned(), |[low, high]| format!("{} to {}", print(low), print(high))),
                grouped(cell.n),
                cell.blocks.to_string(),
                cell.text.clone(),
            ]
        };
        tables.push(table("Values", &head, values.iter().map(row)));
    }
    if !ratios.is_empty() {
        let head = ["Ratio", "Matrix point", "Value, ×", "95 % interval, ×", "Blocks", "Decision"];
        let row = |cell: &&ComparedCell| {
            let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), significant);
            vec![
                cell.metric.clone(),
                cell.cell.clone(),
                number(cell.value),
                cell.interval.map_or_else(
                    || "–".to_owned(),
                    |[low, high]| format!("{} to {}", significant(low), significant(high)),
                ),
                cell.blocks.to_string(),
                cell.text.clone(),
            ]
        };
        tables.push(table("Ratios", &head, ratios.iter().map(row)));
    }
    tables
}

fn table(title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    Table {
        title: title.to_owned(),
        head: head.iter().map(|text| (*text).to_owned()).collect(),
        rows: rows.map(|row| row.into_iter().map(|cell| vec![cell]).collect()).collect(),
    }
}

/// Three significant digits, thousands grouped.
pub fn number(value: f64) -> String {
    let text = significant(value);
    match text.parse::<u64>() {
        Ok(whole) if whole >= 10_000 => grouped(whole),
        _ => text,
    }
}

/// The values of a matrix point without their keys: `1k/s`.
fn short_point(point: &str) -> String {
    if point == "base" {
        return String::new();
    }
    point
        .split(',')
        .map(|axis| axis.split_once('=').map_or(axis, |(_, value)| value).trim())
        .collect::<Vec<_>>()
        .join(", ")
}

fn quantile_name(metric: &str) -> String {
    metric.rsplit('.').next().unwrap_or(metric).replace('_', ".")
}

fn short_reason(cell: &ComparedCell) -> String {
    match cell.kind {
        Kind::Measured | Kind::NotMeasured if !cell.per_block.is_empty() => {
            let reason =
                cell.per_block.iter().find(|block| !block.because.is_empty()).map(|block| block.because.as_str());
            reason.and_then(|reason| reason.split(':').next()).unwrap_or("no value").to_owned()
        }
        Kind::NotMeasured => "not measured".to_owned(),
        Kind::Measured | Kind::Documented | Kind::Cannot => cell.text.clone(),
    }
}
