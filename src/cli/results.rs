//! Commands that read results: report, table, export; and the text that ends a run.

use super::args::{ExportArgs, ExportFormat, ReportArgs, TableArgs};
use super::exit::{Code, Failure};
use super::{Outcome, out, verdict, width};
use crate::result::{CellSummary, Comparison, Kind, Manifest, RunFolder, Summary, files, words};
use crate::sanitize;
use crate::{claims, export as formats, report as rendering};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use std::path::Path;

pub fn report(args: &ReportArgs) -> Outcome {
    let folder = find(&args.run, &args.results.results)?;
    let summary = rendering::report(&folder)?;
    rendering::write_index(&args.results.results)?;
    out(&run_text(&folder.read_manifest()?, &summary, folder.path()));
    Ok(Code::Fine)
}

/// A run by path, by name, or the latest.
fn find(run: &str, results: &Path) -> Result<RunFolder, Failure> {
    let named = results.join("runs").join(run);
    Ok(match run {
        "latest" => RunFolder::latest(results)?,
        _ if !run.contains('/') && named.is_dir() => RunFolder::open(&named)?,
        _ => RunFolder::open(Path::new(run))?,
    })
}

const BEGIN: &str = "<!-- brokerbench:begin -->";
const END: &str = "<!-- brokerbench:end -->";

pub fn table(args: &TableArgs) -> Outcome {
    let dir = args.results.results.join(&args.profile);
    let mut comparison = Comparison::read(&dir)?;
    if args.rewrite {
        comparison = claims::again(&comparison).map_err(|error| Failure::new(Code::Internal, error))?;
    }
    let mut wrong = claims::recheck(&comparison).err().unwrap_or_default();
    let injected = args
        .inject
        .as_deref()
        .map(|file| Ok::<_, Failure>((file, inject(file, &rendering::markdown_table(&comparison))?)));
    let injected = injected.transpose()?;
    if args.check {
        let committed = dir.join("comparison.md");
        if files::read(&committed)? != rendering::markdown(&comparison).into_bytes() {
            wrong.push(format!("{} does not agree with comparison.json beside it", committed.display()));
        }
        if let Some((file, (old, new))) = &injected
            && old != new
        {
            wrong.push(format!("{}: its table is not that of {}", file.display(), dir.display()));
        }
        return match wrong.is_empty() {
            true => Ok(Code::Fine),
            false => Err(Failure::new(
                Code::TableStale,
                format!(
                    "{}; write it again with `brokerbench table --profile {} --rewrite`",
                    wrong.join("\n"),
                    args.profile
                ),
            )),
        };
    }
    if !wrong.is_empty() {
        return Err(Failure::new(Code::TableStale, wrong.join("\n")));
    }
    if args.rewrite {
        rendering::write_comparison(&dir, &comparison)?;
    }
    match injected {
        Some((file, (old, new))) if old != new => files::write_atomic(file, new.as_bytes())?,
        Some(_) => {}
        None => out(&rendering::terminal(&comparison, width())),
    }
    Ok(Code::Fine)
}

/// The text of `file` before and after its table is replaced.
fn inject(file: &Path, table: &str) -> Result<(String, String), Failure> {
    let text = String::from_utf8_lossy(&files::read(file)?).into_owned();
    let missing = || {
        Failure::new(
            Code::Usage,
            format!("{}: no place for the table; put `{BEGIN}` and `{END}` on lines of their own", file.display()),
        )
    };
    let begin = text.find(BEGIN).ok_or_else(missing)? + BEGIN.len();
    let end = begin + text[begin..].find(END).ok_or_else(missing)?;
    let new = format!("{}\n{}\n{}", &text[..begin], table.trim(), &text[end..]);
    Ok((text, new))
}

pub fn export(args: &ExportArgs) -> Outcome {
    let folder = find(&args.run, &args.results.results)?;
    let ExportFormat::Hgrm = args.format;
    for file in formats::write_hgrm(&folder)? {
        out(&folder.path().join(file).display().to_string());
    }
    Ok(Code::Fine)
}

/// What a run came to: its figures, what to know about them, and where the rest is.
pub fn run_text(manifest: &Manifest, summary: &Summary, folder: &Path) -> String {
    let mut text = one_line(format!("{}: {}", summary.scenario, manifest.scenario.question.trim()));
    text += &plain_table(summary);
    text += &rendering::observations(summary, width());
    for cell in &summary.cells {
        let name = format!("{} {} block {}", cell.label, cell.cell, cell.block);
        if let Some(reason) = cannot(cell) {
            text += &one_line(format!("cannot: {name}: {reason}"));
        }
        for reason in &cell.invalid_because {
            text += &one_line(format!("invalid: {name}: {reason}"));
        }
        for fault in &cell.faults {
            text += &one_line(format!("fault: {name}: {}", verdict::fault(fault)));
        }
        text += &verdict::of(cell, &name).map_or_else(String::new, one_line);
    }
    for (point, found) in &manifest.rates_found {
        let rate = found.rate.map_or_else(String::new, |rate| format!("{rate}, "));
        text += &one_line(format!("{point}: {rate}{}", found.because));
    }
    for (label, cold) in &manifest.cold_start {
        let publish = |ns: Option<u64>| ns.map_or("not measured".into(), |ns| words::time(ns as f64));
        text += &one_line(format!(
            "cold start: {label} answered after {}; publish p50 {} and p99 {} in its first 5 s; warmed {} before measuring",
            words::time(cold.ready_ns as f64),
            publish(cold.publish_p50_ns),
            publish(cold.publish_p99_ns),
            words::time(cold.warmed_ns as f64),
        ));
    }
    text += &one_line(format!("status {}, selfcheck {}", words::name(&summary.status), manifest.selfcheck));
    text + &format!("page and charts: {}", folder.join("report.html").display())
}

/// A name or a reason that holds a line break must not look like a line of ours.
fn one_line(text: String) -> String {
    sanitize::line(&text) + "\n"
}

/// The cells of plain load; empty where there are none.
fn plain_table(summary: &Summary) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width());
    table.set_header([
        "system",
        "cell",
        "block",
        "outcome",
        "goodput/s",
        "publish p50",
        "p99",
        "end-to-end p50",
        "p99",
        "lost",
        "dup",
        "reord",
        "CPU/msg",
    ]);
    for cell in summary.cells.iter().filter(|cell| cell.experiment.is_none()) {
        table.add_row(row(cell).iter().map(|text| sanitize::line(text)));
    }
    if table.row_count() == 0 {
        return String::new();
    }
    // Names are for the eye and for grep: only headings may break.
    for column in table.column_iter_mut().take(4) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

/// Why a cell of plain load was not run.
pub(super) fn cannot(cell: &CellSummary) -> Option<&str> {
    match &cell.observations[..] {
        [only] if cell.experiment.is_none() && only.kind == Kind::Cannot => Some(&only.text),
        _ => None,
    }
}

fn row(cell: &CellSummary) -> Vec<String> {
    let count = |value: Option<u64>| value.map_or("-".into(), words::grouped);
    let time = |value: Option<u64>| value.map_or("-".into(), |ns| words::time(ns as f64));
    let of = |quantiles: &Option<crate::result::Quantiles>, pick: fn(&crate::result::Quantiles) -> Option<u64>| {
        time(quantiles.as_ref().and_then(pick))
    };
    let outcome = match cell.valid {
        _ if cannot(cell).is_some() => "cannot".to_owned(),
        false => "invalid".to_owned(),
        true => words::name(&cell.outcome),
    };
    vec![
        cell.label.clone(),
        cell.cell.clone(),
        cell.block.to_string(),
        outcome,
        cell.rates.goodput_per_s.map_or("-".into(), |rate| words::grouped(rate as u64)),
        of(&cell.latency.publish, |q| q.p50_ns),
        of(&cell.latency.publish, |q| q.p99_ns),
        of(&cell.latency.end_to_end, |q| q.p50_ns),
        of(&cell.latency.end_to_end, |q| q.p99_ns),
        count(cell.counts.lost),
        count(cell.counts.duplicate),
        count(cell.counts.reordered),
        cell.resources.client_cpu_ns_per_message.map_or("-".into(), words::time),
    ]
}
