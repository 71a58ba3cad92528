//! Self-contained pages: no script, no network, everything escaped by the templates save our own
//! SVG and style.

use super::chart;
use super::chart::canvas::{Figure, SMALL};
use super::chart::comparison::Panels;
use super::face::{self, FaceLine, FaceTopic};
use super::group::groups;
use super::held;
use super::table::{DataTable, claim_title, details, managed, number, uses};
use super::text::MANAGED;
use super::{faults, marks, observed, provenance, quantity};
use crate::model::{Latency, Measure, System, Unit};
use crate::result::words::{self, TimeUnit, grouped, name, or_dash, significant, survival, time};
use crate::result::{
    BaselineResult, Build, CellSummary, Claim, Comparison, Manifest, ResultError, StoredCell,
    Summary, Verdict, measured,
};
use crate::sanitize;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, escape_formatter};
use serde_json::{Value, json};

const STYLE: &str = include_str!("templates/style.css");

/// The page of one run.
pub fn run(
    manifest: &Manifest,
    summary: &Summary,
    cells: &[StoredCell],
    figures: &[(String, Figure)],
) -> Result<String, ResultError> {
    let chart = |(name, figure): &(String, Figure)| drawn(name, &[("", figure)]);
    let charts = figures.iter().map(chart).collect::<Result<Vec<_>, _>>()?;
    let failed = cells
        .iter()
        .flat_map(|cell| cell.record.gates.iter().map(move |gate| (&cell.record.id, gate)));
    let failed = failed.filter(|(_, gate)| gate.failed()).map(|(id, gate)| {
        (id, vec![gate.name.clone(), gate.found.clone(), gate.limit.clone(), name(&gate.blames)])
    });
    let cold = manifest.cold_start.iter().map(|(label, cold)| {
        let publish =
            [cold.publish_p50_ns, cold.publish_p99_ns].map(|ns| or_dash(ns, |ns| time(ns as f64)));
        let ends = [cold.ready_ns, cold.warmed_ns].map(|ns| time(ns as f64));
        let ([ready, warmed], [p50, p99]) = (ends, publish);
        vec![label.clone(), ready, p50, p99, warmed]
    });
    let observed =
        observed::gather(&groups(summary)).iter().map(observed::ObservedMetric::row).collect();
    let (valid, count) =
        (summary.cells.iter().filter(|cell| cell.valid).count(), summary.cells.len());
    let state = format!(
        "{}, exit code {}: {valid} of {count} cells valid",
        name(&manifest.status),
        manifest.exit_code
    );
    let files: Vec<_> = summary
        .cells
        .iter()
        .map(|cell| (format!("{} · {} · block {}", cell.label, cell.cell, cell.block), &cell.files))
        .collect();
    let page = json!({
        "manifest": manifest,
        "build": Build::words(manifest.build.as_ref()),
        "storage": manifest.storage.as_ref().map(words::storage),
        "state": state,
        "sound": valid == count,
        "thresholds": held::threshold_table(&summary.thresholds),
        "baseline": summary.baseline.as_ref().map(against),
        "duration_unit": latency_unit(summary).name(),
        "cells": rate_table(summary),
        "latencies": latency_table(summary),
        "faults": faults::table(cells, summary, &manifest.scenario.guarantee),
        "observations": DataTable::new(observed::HEAD, observed),
        "heavy": summary.cells.iter().any(|cell| cell.resources.client_heavy()),
        "client_heavy": format!("{} {}", marks::CLIENT, marks::CLIENT_HEAVY),
        "counts": count_table(summary),
        "failures": failure_table(summary),
        "resources": resource_table(summary),
        "gates": DataTable::placed(&["Gate", "Found", "Limit", "Blames"], failed),
        "cold": DataTable::new(
            [
                "Label", "Ready after", "Publish p50, first 5 s", "Publish p99, first 5 s",
                "Warmed for",
            ],
            cold.collect(),
        ),
        "files": files,
        "charts": charts,
        "style": STYLE,
    });
    render("report.html", include_str!("templates/report.html"), page)
}

/// The run beside an earlier one.
fn against(result: &BaselineResult) -> Value {
    json!({
        "name": result.name,
        "lines": held::baseline_lines(result),
        "settings": held::setting_table(result),
        "figures": held::figure_table(result),
    })
}

/// The page of a comparison: what came out, then each claim with its panel and all its figures.
/// `lies_beside` knows which pages there are, by their paths from the folder of all results.
pub fn comparison(
    comparison: &Comparison,
    lies_beside: &dyn Fn(&str) -> bool,
) -> Result<String, ResultError> {
    let row = |claim: &Claim, panels: Option<&Panels>| -> Result<Value, ResultError> {
        let tables = details(claim, &comparison.runs);
        let chart = panels.filter(|_| !tables.is_empty()).map(|[narrow, middle, wide]| {
            drawn(&claim.id, &[("narrow", narrow), ("middle", middle), ("wide", wide)])
        });
        Ok(json!({
            "title": provenance::marked_title(claim, &comparison.runs),
            "spoilt": provenance::spoilt(claim, &comparison.runs),
            "claim": claim,
            "class": class(claim.answer),
            "sentences": claim.because.split("; ").collect::<Vec<_>>(),
            "chart": chart.transpose()?,
            "figures": tables.iter().map(|table| table.rows.len()).sum::<usize>(),
            "tables": tables,
            "flags": marks::legend(claim.cells.iter()),
        }))
    };
    let panels = chart::comparison::panels(comparison);
    let claims = comparison.claims.iter().zip(&panels);
    let rows = claims.map(|(claim, panel)| row(claim, panel.as_ref()));
    let managed_rows = comparison.managed.iter().map(|claim| row(claim, None));
    let uses_rows = comparison.uses.iter().map(|claim| row(claim, None));
    let runs = comparison.runs.iter().map(|run| {
        // The first of them is the name.
        let facts = provenance::run_facts(run).split_off(1);
        let page = Some(super::index::page(&run.run)).filter(|page| lies_beside(page));
        json!({ "page": page, "info": run, "facts": facts })
    });
    let told = |claim: &&Claim| !details(claim, &comparison.runs).is_empty();
    let lines = face::lines(comparison);
    let topic = |topic: &FaceTopic| json!({ "name": topic.name, "text": topic.text });
    let page = json!({
        "profile": comparison.profile,
        "title": face::title(comparison),
        "about": face::about(comparison),
        "topics": face::topics(comparison).iter().map(topic).collect::<Vec<_>>(),
        "measured": comparison.claims.iter().filter(told).count(),
        "systems": System::NAMES.map(face::short),
        "lines_of_claims": lines.iter().map(line).collect::<Vec<_>>(),
        "legend": face::legend(&lines).join(" · "),
        "rows": rows.collect::<Result<Vec<_>, _>>()?,
        "uses_table": uses(comparison),
        "use_ids": comparison.uses.iter().map(|claim| &claim.id).collect::<Vec<_>>(),
        "managed_note": MANAGED,
        "managed_table": managed(comparison),
        "managed": managed_rows.collect::<Result<Vec<_>, _>>()?,
        "uses": uses_rows.collect::<Result<Vec<_>, _>>()?,
        "runs": runs.collect::<Vec<_>>(),
        "index": lies_beside(super::index::FILE),
        "notes": provenance::notes(comparison),
        "style": STYLE,
    });
    render("comparison.html", include_str!("templates/comparison.html"), page)
}

fn line(line: &FaceLine) -> Value {
    let chip = line.chip.as_ref();
    let chip = chip.map(|chip| json!({ "text": chip.text, "class": class(chip.answer) }));
    let FaceLine { claim, says, question, values, .. } = line;
    json!({ "claim": claim, "says": says, "question": question, "values": values, "chip": chip })
}

/// The colour of a verdict.
fn class(answer: Verdict) -> &'static str {
    match answer {
        Verdict::Right => "good",
        Verdict::Wrong => "bad",
        Verdict::Mixed => "half",
        Verdict::Open | Verdict::Documented | Verdict::NotMeasured => "muted",
    }
}

/// The letters of a picture are no smaller than that many pixels, and no larger: those of the page.
const LETTERS: [f64; 2] = [11.0, 15.0];

/// A chart with its numbers. What is drawn several times has a class for each.
fn drawn(name: &str, pictures: &[(&str, &Figure)]) -> Result<Value, ResultError> {
    let picture = |(class, figure): &(&str, &Figure)| -> Result<Value, ResultError> {
        let [least, most] = LETTERS.map(|size| (figure.width * size / SMALL).ceil() as u32);
        let svg = figure.inline_svg()?;
        Ok(json!({ "class": class, "svg": svg, "least": least, "most": most }))
    };
    let Some((_, Figure { title, caption, notes, data, .. })) = pictures.first() else {
        return Ok(Value::Null);
    };
    Ok(json!({
        "name": name,
        "pictures": pictures.iter().map(picture).collect::<Result<Vec<_>, _>>()?,
        "title": title,
        "caption": caption,
        "notes": notes,
        "data": data,
    }))
}

pub fn index(runs: &[Value], suites: &[Value]) -> Result<String, ResultError> {
    let page = json!({ "runs": runs, "suites": suites, "style": STYLE });
    render("index.html", include_str!("templates/index.html"), page)
}

fn render(name: &'static str, source: &'static str, page: Value) -> Result<String, ResultError> {
    let failed = |error: minijinja::Error| ResultError::Draw {
        what: name.to_owned(),
        cause: format!("{error:#}"),
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(|out, state, value| {
        match value.as_str().filter(|_| !value.is_safe()) {
            Some(text) => escape_formatter(out, state, &sanitize::line(text).into()),
            None => escape_formatter(out, state, value),
        }
    });
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_test("address", |text: &str| super::escape::is_address(text));
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?;
    environment.set_syntax(syntax);
    environment.add_template("tables", include_str!("templates/tables.html")).map_err(failed)?;
    environment.add_template(name, source).map_err(failed)?;
    environment.get_template(name).and_then(|template| template.render(Serde(page))).map_err(failed)
}

fn each(summary: &Summary, head: &[&str], row: impl Fn(&CellSummary) -> Vec<String>) -> DataTable {
    DataTable::placed(head, summary.cells.iter().map(|cell| (&cell.id, row(cell))))
}

fn rate_table(summary: &Summary) -> DataTable {
    let with = |word: &str, reasons: &[String]| {
        if reasons.is_empty() { word.to_owned() } else { format!("{word}: {}", reasons.join("; ")) }
    };
    let head = [
        "Valid",
        "Outcome",
        "Guarantee",
        "Offered/s",
        "Sent/s",
        "Acked/s",
        "Consumed/s",
        "Goodput/s",
        "Completed of planned",
        "Held by consumers",
        "What an acknowledgement promises",
    ];
    each(summary, &head, |cell| {
        let CellSummary { rates, survives, .. } = cell;
        let judged = or_dash(cell.judged, |judged| name(&judged));
        let rates = [
            rates.offered_per_s,
            rates.sent_per_s,
            rates.acked_per_s,
            rates.consumed_per_s,
            rates.goodput_per_s,
        ];
        let mut row = vec![
            if cell.valid { "valid".to_owned() } else { with("invalid", &cell.invalid_because) },
            with(&name(&cell.outcome), &cell.outcome_because),
            with(&judged, &cell.judged_because),
        ];
        row.extend(rates.map(|rate| or_dash(rate, number)));
        row.push(or_dash(cell.completed_of_planned, |share| Unit::Share.show(share)));
        row.push(or_dash(cell.held_by_consumers, |share| Unit::Share.show(share)));
        row.push(format!("{} ({})", survival(survives), survives.because));
        row
    })
}

fn latency_unit(summary: &Summary) -> TimeUnit {
    let latencies = summary
        .cells
        .iter()
        .flat_map(|cell| [&cell.latency.publish, &cell.latency.end_to_end])
        .flatten();
    TimeUnit::for_column(latencies.filter_map(|quantiles| quantiles.p50_ns.map(|ns| ns as f64)))
}

fn latency_table(summary: &Summary) -> DataTable {
    let unit = latency_unit(summary);
    let of_cell = |cell: &CellSummary, latency: Latency| {
        let q = cell.latency.get(latency)?;
        let numbers = ["p50", "p90", "p99", "p99_9", "p99_99", "max"]
            .map(|name| or_dash(q.value(name), |value| value.words(|ns| unit.of(ns))));
        Some(
            [latency.name().replace('_', " "), grouped(q.count), grouped(q.censored)]
                .into_iter()
                .chain(numbers)
                .collect(),
        )
    };
    let rows = summary.cells.iter().flat_map(|cell| {
        Latency::ALL
            .into_iter()
            .filter_map(move |latency| Some((&cell.id, of_cell(cell, latency)?)))
    });
    let head = ["Metric", "n", "Censored", "p50", "p90", "p99", "p99.9", "p99.99", "max"];
    DataTable::placed(&head, rows)
}

/// Every count of the registry, a column each.
fn count_table(summary: &Summary) -> DataTable {
    let counts: Vec<(Measure, &str)> = Measure::usual()
        .filter_map(|measure| Some((measure, measure.metric.name.strip_prefix("counts.")?)))
        .collect();
    let names: Vec<String> =
        counts.iter().map(|(_, name)| claim_title(&name.replace('_', "-"))).collect();
    let head: Vec<&str> = names.iter().map(String::as_str).collect();
    let count = |measure: Measure, cell: &CellSummary| {
        or_dash(measured(measure, cell), |count| grouped(count as u64))
    };
    each(summary, &head, |cell| counts.iter().map(|(measure, _)| count(*measure, cell)).collect())
}

/// Why messages failed, a row for each reason.
fn failure_table(summary: &Summary) -> DataTable {
    let rows = summary.cells.iter().flat_map(|cell| {
        let row = |(reason, count): (&String, &u64)| vec![reason.clone(), grouped(*count)];
        cell.failures.iter().map(move |failure| (&cell.id, row(failure)))
    });
    DataTable::placed(&["Reason", "Messages"], rows)
}

fn resource_table(summary: &Summary) -> DataTable {
    let micros = |ns: Option<f64>| or_dash(ns, |ns| significant(ns / 1e3));
    let mebi =
        |bytes: Option<u64>| or_dash(bytes, |bytes| significant(bytes as f64 / (1 << 20) as f64));
    let head = [
        "Client CPU, µs/message",
        "Client's share of the machine",
        "Client peak RSS, MiB",
        "Broker CPU, µs/message",
        "Broker peak RSS, MiB",
        "Ran out",
        "Page cache",
        "Setting that carried most",
    ];
    each(summary, &head, |cell| {
        let r = &cell.resources;
        vec![
            micros(r.client_cpu_ns_per_message) + if r.client_heavy() { marks::CLIENT } else { "" },
            or_dash(r.client_share, quantity::share),
            mebi(r.client_peak_rss_bytes),
            micros(r.broker_cpu_ns_per_message),
            mebi(r.broker_peak_rss_bytes),
            or_dash(r.saturated.clone(), |what| what),
            if cell.absorbed() { "absorbs" } else { "–" }.to_owned(),
            or_dash(cell.setting.clone(), |setting| setting),
        ]
    })
}
