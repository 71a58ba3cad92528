//! The comparison table as Markdown, as CSV and for a terminal.

use super::escape;
use super::face;
use super::marks;
use super::provenance::{builds, mark, marked_title, notes, provided, run_facts, run_of, spoilt};
use super::table::{Table, claim_title, details, managed, overview, sources, uses};
use crate::model::System;
use crate::result::words::name;
use crate::result::{Build, Claim, ComparedCell, Comparison, ResultError, RunInfo, Verdict};
use crate::sanitize;
use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};
use itertools::Itertools;
use std::path::Path;

/// What the table of the services is.
pub const MANAGED: &str = "What documents say, with the day on which they were read, until it is \
    measured; nothing is judged here, and no figure is one of an emulator.";
/// Of a README's text; a table cannot be broken.
const COLUMNS: usize = 100;
/// A line that is longer is hard to follow.
const WIDEST: u16 = 120;

pub fn markdown(comparison: &Comparison) -> String {
    let mut out = String::from(
        "<!-- Written by brokerbench from comparison.json; do not edit. -->\n# Kafka and Redis, \
        claim by claim\n\n",
    );
    let profile = escape::markdown(&comparison.profile).replace('`', "");
    out += &format!("Profile `{profile}`. Every verdict is computed from the figures below; ");
    out += "what was not measured says so.\n\n";
    out += &markdown_table(comparison);
    out += &claimed_by(comparison);
    out += &flags(comparison);
    let details = |claim: &Claim| details(claim, &comparison.runs);
    for claim in comparison.claims.iter().filter(|claim| !details(claim).is_empty()) {
        let [verdict, rule] = [&claim.verdict, &claim.rule].map(|text| escape::markdown(text));
        let because =
            claim.because.split("; ").map(|sentence| format!("- {}\n", escape::markdown(sentence)));
        let title = marked_title(claim, &comparison.runs);
        out += &format!("\n## {title}\n\n**Verdict: {verdict}.** Rule: {rule}\n\n");
        out += &format!("Why:\n\n{}\n", because.format(""));
        out += &folded(&details(claim));
    }
    out += "\n## What it is recommended for\n\n";
    out += &titled(uses(comparison));
    for row in comparison.uses.iter().filter(|row| !details(row).is_empty()) {
        let title = marked_title(row, &comparison.runs);
        out += &format!("\n**{title}**. Rule: {}\n\n", escape::markdown(&row.rule));
        out += &folded(&details(row));
    }
    if !comparison.managed.is_empty() {
        out += &format!("\n## The same questions to managed services\n\n{MANAGED}\n\n");
        out += &titled(managed(comparison));
        for row in comparison.managed.iter().filter(|row| !details(row).is_empty()) {
            out += &format!("\n**{}**\n\n", marked_title(row, &comparison.runs));
            out += &folded(&details(row));
        }
    }
    if !comparison.runs.is_empty() {
        out += "\n## Runs\n\n";
    }
    for run in &comparison.runs {
        let facts = run_facts(run).into_iter().map(|fact| escape::markdown(&fact));
        out += &format!("- {}\n", facts.format("; "));
        for warning in &run.warnings {
            out += &format!("  - Warning: {}\n", escape::markdown(warning));
        }
    }
    out
}

/// What came out in sentences, and what it holds for: for a README.
pub fn markdown_findings(comparison: &Comparison) -> String {
    let topic = |topic: &face::FaceTopic| {
        let [name, text] = [&topic.name, &topic.text].map(|text| escape::markdown(text));
        wrapped(&format!("- **{name}.** {text}"), "  ", COLUMNS) + "\n"
    };
    let topics: String = face::topics(comparison).iter().map(topic).collect();
    let about = wrapped(&format!("{}.", escape::markdown(&face::about(comparison))), "", COLUMNS);
    format!("{topics}\n{about}\n")
}

/// In lines of at most `columns` characters, those after the first indented.
fn wrapped(text: &str, indent: &str, columns: usize) -> String {
    // What would begin a list or a heading at the start of a line.
    let begins_block = |word: &str| {
        let number = word.trim_end_matches(['.', ')']);
        let numbered = number.len() < word.len() && number.chars().all(|c| c.is_ascii_digit());
        numbered || matches!(word, "-" | "+" | "*") || word.starts_with('#')
    };
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > columns && !begins_block(word) {
            out += &format!("\n{indent}");
            column = indent.len();
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += width;
    }
    out
}

/// A line for each claim with its verdict, and what the marks mean: for a README.
pub fn markdown_lines(comparison: &Comparison) -> String {
    let lines = face::lines(comparison);
    let names = System::NAMES.map(face::short).join(" | ");
    let mut out = format!("| | {names} | Is the claim right? |\n|---|--:|--:|--:|--:|---|\n");
    for line in &lines {
        let chip = line.chip.as_ref().map_or("", |chip| &chip.text);
        let says = line.says.as_ref().map(|says| format!("**{}**: ", escape::markdown(says)));
        let question = says.unwrap_or_default() + &escape::markdown(&line.question);
        let cells = line.values.iter().map(String::as_str).chain([chip]).map(escape::markdown);
        out += &format!("| {} |\n", [question].into_iter().chain(cells).join(" | "));
    }
    let legend = format!("{}.", escape::markdown(&face::legend(&lines).join(" · ")));
    out + &format!("\n{}\n", wrapped(&legend, "", COLUMNS))
}

/// The table of claims alone.
pub(super) fn markdown_table(comparison: &Comparison) -> String {
    let notes = notes(comparison);
    let notes = notes.iter().map(|note| format!("\n{}\n", escape::markdown(note)));
    titled(overview(comparison)) + &notes.collect::<String>()
}

fn claimed_by(comparison: &Comparison) -> String {
    let sources = sources(comparison);
    let named = |(source, rows): &(String, Vec<String>)| {
        let of = if sources.len() > 1 {
            format!(" ({})", escape::markdown(&rows.join(", ")))
        } else {
            String::new()
        };
        escape::markdown_address(source) + &of
    };
    let named = sources.iter().map(named).join(", ");
    if named.is_empty() {
        named
    } else {
        format!("\nThe claims, in our own words, are those of {named}.\n")
    }
}

/// What the flags in the tables of figures mean.
fn flags(comparison: &Comparison) -> String {
    let rows = comparison.claims.iter().chain(&comparison.uses).chain(&comparison.managed);
    match marks::legend(rows.flat_map(|row| &row.cells)) {
        none if none.is_empty() => none,
        flags => format!("\nFlags: {}.\n", escape::markdown(&flags)),
    }
}

/// A table whose first cells begin with their titles.
fn titled(mut table: Table) -> String {
    let titles: Vec<String> = table.rows.iter_mut().map(|row| row[0].remove(0)).collect();
    grid(&table, &titles)
}

/// Every figure of a claim, out of the reader's way until asked for.
fn folded(tables: &[Table]) -> String {
    let figures: usize = tables.iter().map(|table| table.rows.len()).sum();
    let mut out = format!("<details><summary>All figures: {figures}</summary>\n");
    for table in tables {
        out.push_str(&format!("\n**{}**\n\n{}", escape::markdown(&table.title), grid(table, &[])));
    }
    out + "\n</details>\n"
}

/// `titles` stand in bold before the first cell of each row, where there are some. Not padded: one
/// long note would widen every row of its table.
fn grid(table: &Table, titles: &[String]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(table.head.iter().map(|text| escape::markdown(text)).collect());
    out.push_str(&format!("|{}\n", "---|".repeat(table.head.len())));
    for (at, row) in table.rows.iter().enumerate() {
        let mut cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, lines)| {
                let linked = table.link == Some(column);
                let line = |line: &String| {
                    if linked { escape::markdown_address(line) } else { escape::markdown(line) }
                };
                lines.iter().map(line).join("<br>")
            })
            .collect();
        if let (Some(title), Some(first)) = (titles.get(at), cells.first_mut()) {
            *first = format!("**{}**<br>{first}", escape::markdown(title));
        }
        out.push_str(&line(cells));
    }
    out
}

/// For a terminal of `width` columns: a line for each claim that was measured, what its marks
/// mean, and last, where it is seen, what came out.
pub fn terminal(comparison: &Comparison, width: u16) -> String {
    let width = width.clamp(60, WIDEST);
    let (measured, missing): (Vec<_>, Vec<_>) =
        comparison.claims.iter().partition(|claim| claim.answer != Verdict::NotMeasured);
    let mut lines = face::lines(comparison);
    lines.retain(|line| measured.iter().any(|claim| claim.id == line.claim));
    let title = |claim: &&Claim| claim_title(&claim.id);
    let missing = missing.iter().map(title).join(", ");
    let missing = (!missing.is_empty()).then(|| format!("Not measured: {missing}."));
    let marks = face::legend(&lines).join(" · ");
    let advice = face::advice(comparison).into_iter();
    let advice = advice.map(|(title, chip)| format!("{title}: {}", chip.text));
    let topics = face::topics(comparison).into_iter();
    let found = topics.map(|topic| format!("{}. {}", topic.name, topic.text));
    let after = [marks].into_iter().chain(missing).chain(builds(comparison));
    let after = after.chain(advice).chain(found).filter(|text| !text.is_empty());
    let wrap = |text: String| wrapped(&sanitize::line(&text), "", width.into()) + "\n";
    let claims = lines_grid(comparison, &lines, width) + &after.map(wrap).collect::<String>();
    // What documents say stands in the files.
    let measured = comparison.runs.iter().any(RunInfo::managed);
    if measured { claims + "\n" + &drawn(managed(comparison), width) } else { claims }
}

fn drawn(table: Table, width: u16) -> String {
    let mut grid = Grid::new();
    grid.load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic);
    grid.force_no_tty().set_width(width);
    grid.set_header(table.head);
    for mut row in table.rows {
        row[0].remove(1);
        grid.add_row(
            row.iter().map(|lines| lines.iter().map(|line| sanitize::line(line)).join("\n")),
        );
    }
    grid.trim_fmt() + "\n"
}

fn lines_grid(comparison: &Comparison, lines: &[face::FaceLine], width: u16) -> String {
    let mut grid = Grid::new();
    grid.load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    grid.force_no_tty().set_width(width);
    let names = System::NAMES.map(face::short);
    grid.set_header([""].into_iter().chain(names).chain(["Is the claim right?"]));
    for line in lines {
        let claim = comparison.claims.iter().find(|claim| claim.id == line.claim);
        let (says, answer) = claim
            .zip(line.chip.as_ref())
            .map(|(claim, chip)| (said(comparison, claim, line), answer(claim, chip)))
            .unwrap_or_default();
        let question = says.into_iter().chain([line.question.clone()]).join("\n");
        let row = [question].into_iter().chain(line.values.iter().cloned()).chain([answer]);
        grid.add_row(row.map(|text| sanitize::lines(&text)));
    }
    for at in 1..=names.len() {
        if let Some(column) = grid.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if lines.is_empty() { String::new() } else { grid.trim_fmt() + "\n" }
}

/// The claim in one sentence, marked where its figures are of another build, and which of its runs
/// are not whole.
fn said(comparison: &Comparison, claim: &Claim, line: &face::FaceLine) -> Vec<String> {
    let says = line.says.clone().unwrap_or_else(|| claim_title(&claim.id));
    let says = says + mark(claim, &comparison.runs);
    [says].into_iter().chain(spoilt(claim, &comparison.runs)).collect()
}

/// What is open says why.
fn answer(claim: &Claim, chip: &face::Chip) -> String {
    if chip.answer == Verdict::Open { claim.verdict.clone() } else { chip.text.clone() }
}

pub fn csv(comparison: &Comparison, path: &Path) -> Result<Vec<u8>, ResultError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = [
        "claim",
        "verdict",
        "label",
        "system",
        "variant",
        "cell",
        "metric",
        "kind",
        "value",
        "at_most",
        "at_least",
        "unit",
        "low",
        "high",
        "n",
        "n_unit",
        "blocks",
        "text",
        "run",
        "source",
        "client_cpu_ns_per_message",
        "broker_cpu_ns_per_message",
        "client_share",
        "saturated",
        "floor_share",
        "marks",
        "scenario",
        "status",
        "build",
        "other_build",
        "software",
        "storage",
    ];
    writer.write_record(head).map_err(|error| ResultError::corrupt(path, error))?;
    let rows = comparison.claims.iter().chain(&comparison.uses).chain(&comparison.managed);
    for claim in rows {
        for cell in &claim.cells {
            let run = run_of(cell, &comparison.runs).cloned().unwrap_or_default();
            let of_run = run_record(cell, &run).map(|text| escape::csv(&text));
            let record = cell_record(claim, cell).into_iter().chain(of_run);
            writer.write_record(record).map_err(|error| ResultError::corrupt(path, error))?;
        }
    }
    writer.into_inner().map_err(|error| ResultError::corrupt(path, error))
}

fn cell_record(claim: &Claim, cell: &ComparedCell) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let text = |text: &Option<String>| escape::csv(text.as_deref().unwrap_or_default());
    let resources = cell.resources.clone().unwrap_or_default();
    vec![
        escape::csv(&claim.id),
        escape::csv(&claim.verdict),
        escape::csv(&cell.label),
        escape::csv(&cell.system),
        text(&cell.variant),
        escape::csv(&cell.cell),
        escape::csv(&cell.metric),
        name(&cell.kind),
        number(cell.value),
        number(cell.at_most),
        number(cell.at_least),
        escape::csv(&cell.unit),
        number(cell.interval.map(|[low, _]| low)),
        number(cell.interval.map(|[_, high]| high)),
        cell.n.to_string(),
        escape::csv(&cell.n_unit),
        cell.blocks.to_string(),
        escape::csv(&cell.text),
        text(&cell.run),
        text(&cell.source),
        number(resources.client_cpu_ns_per_message),
        number(resources.broker_cpu_ns_per_message),
        number(resources.client_share),
        escape::csv(&resources.saturated.keys().join(" ")),
        number(cell.floor_share()),
        marks::flags(cell),
    ]
}

/// Empty where there is no run.
fn run_record(cell: &ComparedCell, run: &RunInfo) -> [String; 6] {
    if run.run.is_empty() {
        return Default::default();
    }
    let versions = run.versions.get(&cell.label).cloned().into_iter();
    [
        run.scenario.clone(),
        name(&run.status),
        Build::words(run.build.as_ref()),
        if run.other_build { "yes" } else { "no" }.to_owned(),
        versions.chain(provided(run)).join("; "),
        run.storage.clone().unwrap_or_default(),
    ]
}
