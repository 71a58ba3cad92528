//! Self-contained pages: no script, no network, everything escaped by the templates save our own SVG and style.

use super::chart::canvas::{DataTable, Figure};
use super::group::groups;
use super::state;
use super::table::{Table, claim_title, details, overview, uses};
use super::{faults, observed};
use crate::model::{Latency, Measure};
use crate::result::words::{TimeUnit, grouped, in_words, name, significant, survival, time};
use crate::result::{CellSummary, Claim, Comparison, Manifest, ResultError, StoredCell, Summary, measured};
use crate::sanitize;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, escape_formatter};
use serde::Serialize;
use serde_json::json;

#[derive(Serialize)]
struct Chart<'a> {
    name: &'a str,
    title: &'a str,
    caption: &'a str,
    svg: String,
    data: &'a DataTable,
}

/// The page of one run.
pub fn run(
    manifest: &Manifest,
    summary: &Summary,
    cells: &[StoredCell],
    figures: &[(String, Figure)],
) -> Result<String, ResultError> {
    let charts = figures.iter().map(|(name, figure)| chart(name, figure)).collect::<Result<Vec<_>, ResultError>>()?;
    let gates: Vec<Vec<String>> = cells
        .iter()
        .flat_map(|cell| cell.record.gates.iter().map(move |gate| (&cell.record, gate)))
        .filter(|(_, gate)| !gate.held)
        .map(|(record, gate)| {
            vec![
                record.label.clone(),
                record.cell.clone(),
                record.block.to_string(),
                gate.name.clone(),
                gate.found.clone(),
                gate.limit.clone(),
                name(&gate.blames),
            ]
        })
        .collect();
    let cold: Vec<Vec<String>> = manifest
        .cold_start
        .iter()
        .map(|(label, cold)| {
            let optional = |ns: Option<u64>| ns.map_or_else(|| "–".to_owned(), |ns| time(ns as f64));
            vec![
                label.clone(),
                time(cold.ready_ns as f64),
                optional(cold.publish_p50_ns),
                optional(cold.publish_p99_ns),
                time(cold.warmed_ns as f64),
            ]
        })
        .collect();
    let latencies = table(
        &["Label", "Matrix point", "Block", "Metric", "n", "p50", "p90", "p99", "p99.9", "p99.99", "max"],
        latency_rows(summary),
    );
    let page = json!({
        "manifest": manifest,
        "state": state(manifest, summary),
        "sound": summary.cells.iter().all(|cell| cell.valid),
        "duration_unit": latency_unit(summary).name(),
        "cells": table(&["Label", "Matrix point", "Block", "Valid", "Outcome", "Guarantee", "Offered/s", "Sent/s", "Acked/s", "Consumed/s", "Goodput/s", "What an acknowledgement promises"], summary.cells.iter().map(rate_row).collect()),
        "latencies": latencies,
        "faults": faults::table(cells, summary, &manifest.scenario.guarantee),
        "observations": table(&observed::HEAD, observed::gather(&groups(summary)).iter().map(observed::ObservedMetric::row).collect()),
        "counts": count_table(summary),
        "resources": table(&["Label", "Matrix point", "Block", "Client CPU, µs/message", "Client peak RSS, MiB", "Broker CPU, µs/message", "Broker peak RSS, MiB", "Ran out"], summary.cells.iter().map(resource_row).collect()),
        "gates": table(&["Label", "Matrix point", "Block", "Gate", "Found", "Limit", "Blames"], gates),
        "cold": table(&["Label", "Ready after", "Publish p50, first 5 s", "Publish p99, first 5 s", "Warmed for"], cold),
        "files": summary.cells.iter().map(|cell| (format!("{} · {} · block {}", cell.label, cell.cell, cell.block), &cell.files)).collect::<Vec<_>>(),
        "charts": charts,
        "style": include_str!("templates/style.css"),
    });
    render("report.html", include_str!("templates/report.html"), page)
}

/// The page of a comparison, with the panel of each claim.
pub fn comparison<'a>(
    comparison: &'a Comparison,
    figure: &Figure,
    panels: &'a [Figure],
) -> Result<String, ResultError> {
    #[derive(Serialize)]
    struct PageRow<'a> {
        title: String,
        claim: &'a Claim,
        sentences: Vec<&'a str>,
        chart: Option<Chart<'a>>,
        figures: usize,
        tables: Vec<Table>,
    }
    let row = |claim: &'a Claim, panel: Option<&'a Figure>| -> Result<PageRow<'a>, ResultError> {
        let tables = details(claim);
        Ok(PageRow {
            title: claim_title(&claim.id),
            claim,
            sentences: claim.because.split("; ").collect(),
            chart: panel.filter(|_| !tables.is_empty()).map(|panel| chart(&claim.id, panel)).transpose()?,
            figures: tables.iter().map(|table| table.rows.len()).sum(),
            tables,
        })
    };
    let rows = comparison.claims.iter().zip(panels).map(|(claim, panel)| row(claim, Some(panel)));
    let uses_rows = comparison.uses.iter().map(|claim| row(claim, None));
    let ids = |claims: &[Claim]| claims.iter().map(|claim| claim.id.clone()).collect::<Vec<_>>();
    let runs: Vec<_> =
        comparison.runs.iter().map(|run| json!({ "page": super::index::page(&run.run), "info": run })).collect();
    let page = json!({
        "profile": comparison.profile,
        "counted": in_words(comparison.claims.len()),
        "measured": comparison.claims.iter().filter(|claim| !details(claim).is_empty()).count(),
        "overview": overview(comparison),
        "ids": ids(&comparison.claims),
        "rows": rows.collect::<Result<Vec<_>, _>>()?,
        "uses_table": uses(comparison),
        "use_ids": ids(&comparison.uses),
        "uses": uses_rows.collect::<Result<Vec<_>, _>>()?,
        "runs": runs,
        "caption": figure.caption,
        "style": include_str!("templates/style.css"),
    });
    render("comparison.html", include_str!("templates/comparison.html"), page)
}

fn chart<'a>(name: &'a str, figure: &'a Figure) -> Result<Chart<'a>, ResultError> {
    let svg = figure.inline_svg()?;
    Ok(Chart { name, title: &figure.title, caption: &figure.caption, svg, data: &figure.data })
}

/// The list of runs.
pub fn index(page: &serde_json::Value) -> Result<String, ResultError> {
    let mut page = page.clone();
    page["style"] = include_str!("templates/style.css").into();
    render("index.html", include_str!("templates/index.html"), page)
}

fn render(name: &'static str, source: &'static str, page: serde_json::Value) -> Result<String, ResultError> {
    let failed = |error: minijinja::Error| ResultError::Draw { what: name.to_owned(), cause: format!("{error:#}") };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(|out, state, value| match value.as_str().filter(|_| !value.is_safe()) {
        Some(text) => escape_formatter(out, state, &sanitize::line(text).into()),
        None => escape_formatter(out, state, value),
    });
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_test("address", |text: &str| super::escape::is_address(text));
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?;
    environment.set_syntax(syntax);
    environment.add_template("tables", include_str!("templates/tables.html")).map_err(failed)?;
    environment.add_template(name, source).map_err(failed)?;
    environment.get_template(name).and_then(|template| template.render(Serde(page))).map_err(failed)
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> DataTable {
    DataTable { head: head.iter().map(|text| (*text).to_owned()).collect(), rows }
}

/// The head of the columns that say which cell it is.
const PLACE: [&str; 3] = ["Label", "Matrix point", "Block"];

fn place(cell: &CellSummary) -> Vec<String> {
    vec![cell.label.clone(), cell.cell.clone(), cell.block.to_string()]
}

fn rate_row(cell: &CellSummary) -> Vec<String> {
    let rate = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), super::table::number);
    let with = |word: &str, reasons: &[String]| {
        if reasons.is_empty() { word.to_owned() } else { format!("{word}: {}", reasons.join("; ")) }
    };
    let judged = cell.judged.map_or_else(|| "–".to_owned(), |judged| name(&judged));
    let judged = with(&judged, &cell.judged_because);
    let rates = &cell.rates;
    let mut row = place(cell);
    row.push(if cell.valid { "valid".to_owned() } else { with("invalid", &cell.invalid_because) });
    row.push(with(&name(&cell.outcome), &cell.outcome_because));
    row.push(judged);
    row.extend(
        [rates.offered_per_s, rates.sent_per_s, rates.acked_per_s, rates.consumed_per_s, rates.goodput_per_s].map(rate),
    );
    row.push(format!("{} ({})", survival(&cell.survives), cell.survives.because));
    row
}

fn latency_unit(summary: &Summary) -> TimeUnit {
    let latencies = summary.cells.iter().flat_map(|cell| [&cell.latency.publish, &cell.latency.end_to_end]).flatten();
    TimeUnit::for_column(latencies.filter_map(|quantiles| quantiles.p50_ns.map(|ns| ns as f64)))
}

fn latency_rows(summary: &Summary) -> Vec<Vec<String>> {
    let unit = latency_unit(summary);
    let mut rows = Vec::new();
    for cell in &summary.cells {
        for latency in Latency::ALL {
            let Some(q) = cell.latency.get(latency) else { continue };
            let of = |ns: Option<u64>| ns.map_or_else(|| "–".to_owned(), |ns| unit.of(ns as f64));
            let mut row = place(cell);
            row.extend([latency.name().replace('_', " "), grouped(q.count)]);
            row.extend([q.p50_ns, q.p90_ns, q.p99_ns, q.p99_9_ns, q.p99_99_ns, q.max_ns].map(of));
            rows.push(row);
        }
    }
    rows
}

/// Every count of the registry, a column each.
fn count_table(summary: &Summary) -> DataTable {
    let counts: Vec<(Measure, &str)> =
        Measure::usual().filter_map(|measure| Some((measure, measure.metric.name.strip_prefix("counts.")?))).collect();
    let head = counts.iter().map(|(_, name)| {
        let (first, rest) = name.split_at(1);
        first.to_uppercase() + &rest.replace('_', " ")
    });
    let row = |cell: &CellSummary| {
        let count = |(measure, _): &(Measure, &str)| {
            measured(*measure, cell).map_or_else(|| "–".to_owned(), |count| grouped(count as u64))
        };
        place(cell).into_iter().chain(counts.iter().map(count)).collect()
    };
    DataTable {
        head: PLACE.map(str::to_owned).into_iter().chain(head).collect(),
        rows: summary.cells.iter().map(row).collect(),
    }
}

fn resource_row(cell: &CellSummary) -> Vec<String> {
    let r = &cell.resources;
    let micros = |ns: Option<f64>| ns.map_or_else(|| "–".to_owned(), |ns| significant(ns / 1e3));
    let mebi =
        |bytes: Option<u64>| bytes.map_or_else(|| "–".to_owned(), |bytes| significant(bytes as f64 / (1 << 20) as f64));
    let mut row = place(cell);
    row.extend([
        micros(r.client_cpu_ns_per_message),
        mebi(r.client_peak_rss_bytes),
        micros(r.broker_cpu_ns_per_message),
        mebi(r.broker_peak_rss_bytes),
        r.saturated.clone().unwrap_or_else(|| "–".to_owned()),
    ]);
    row
}
