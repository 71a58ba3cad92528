//! Commands that read results: report, table, export; and the text that ends a run.

use super::args::TableArgs;
use super::exit::{Code, Failure};
use super::{Outcome, out, raw, width};
use crate::model::Told;
use crate::result::{
    CellOutcome, CellSummary, Comparison, Fault, Judged, Kind, Manifest, Quantiles, RunFolder,
    Summary, TriedSetting, archive, files, words,
};
use crate::sanitize;
use crate::{claims, export as formats, report as rendering};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use std::path::Path;

pub fn report(run: &str, results: &Path) -> Outcome {
    let folder = find(run, results)?;
    let summary = rendering::report(&folder)?;
    rendering::write_index(results)?;
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

/// Where the lines of the claims stand in a file, and where the findings in sentences.
const LINES: &str = "";
const FINDINGS: &str = "findings:";

pub fn table(args: &TableArgs) -> Outcome {
    let dir = args.results.results.join(&args.profile);
    let mut comparison = Comparison::read(&dir)?;
    let proven = if args.rewrite || args.check { raw::table(&dir, &comparison)? } else { None };
    if args.rewrite {
        comparison = match &proven {
            Some(proven) => proven.clone(),
            None => {
                claims::again(&comparison).map_err(|error| Failure::new(Code::Internal, error))?
            }
        };
    }
    let mut wrong = claims::recheck(&comparison).err().unwrap_or_default();
    if proven.is_some_and(|proven| proven != comparison) {
        let raw = dir.join(archive::FILE);
        wrong.push(format!("comparison.json is not what {} comes to", raw.display()));
    }
    let injected = match args.inject.as_deref() {
        Some(file) => Some((file, inject(file, &comparison)?)),
        None => None,
    };
    if args.check {
        let long = [("comparison.md", rendering::markdown(&comparison).into_bytes())];
        for (name, bytes) in long.into_iter().chain(rendering::overview(&comparison)?) {
            let committed = dir.join(name);
            // One that is missing is one that was not written again.
            if !committed.is_file() || files::read(&committed)? != bytes {
                let path = committed.display();
                wrong.push(format!("{path} does not agree with comparison.json beside it"));
            }
        }
        if let Some((file, (old, new))) = &injected
            && old != new
        {
            let what = "its table or its findings are not those";
            wrong.push(format!("{}: {what} of {}", file.display(), dir.display()));
        }
        if let Some(last) = wrong.last_mut() {
            let again = format!("`brokerbench table --profile {} --rewrite`", args.profile);
            *last += &format!("; write it again with {again}");
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::new(Code::TableStale, wrong.join("\n")));
    }
    if args.check {
        return Ok(Code::Fine);
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

/// The text of `file` before and after its table, and its findings where it has a place for them,
/// are replaced.
fn inject(file: &Path, comparison: &Comparison) -> Result<(String, String), Failure> {
    let text = String::from_utf8_lossy(&files::read(file)?).into_owned();
    let lines =
        replaced(&text, LINES, &rendering::markdown_lines(comparison)).ok_or_else(|| {
            let [begin, end] = markers(LINES);
            let remedy = format!("put `{begin}` and `{end}` on lines of their own");
            Failure::new(
                Code::Usage,
                format!("{}: no place for the table; {remedy}", file.display()),
            )
        })?;
    let whole = replaced(&lines, FINDINGS, &rendering::markdown_findings(comparison));
    Ok((text, whole.unwrap_or(lines)))
}

fn markers(of: &str) -> [String; 2] {
    ["begin", "end"].map(|end| format!("<!-- brokerbench:{of}{end} -->"))
}

/// The text with what stands between two markers replaced; `None` where they are missing.
fn replaced(text: &str, of: &str, new: &str) -> Option<String> {
    let [begin, end] = markers(of);
    let begin = text.find(&begin)? + begin.len();
    let end = begin + text[begin..].find(&end)?;
    Some(format!("{}\n{}\n{}", &text[..begin], new.trim(), &text[end..]))
}

pub fn export(run: &str, results: &Path) -> Outcome {
    let folder = find(run, results)?;
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
        for reason in &cell.repeated_because {
            text += &one_line(format!("spoilt and repeated: {name}: {reason}"));
        }
        text += &outcome(cell, &name).map_or_else(String::new, one_line);
        for (reason, count) in &cell.failures {
            let count = words::grouped(*count);
            text += &one_line(format!("failed: {name}: {reason} ×{count}"));
        }
        for fault in &cell.faults {
            text += &one_line(format!("fault: {name}: {}", fault_text(fault)));
        }
        text += &judged(cell, &name).map_or_else(String::new, one_line);
    }
    for (point, found) in &manifest.rates_found {
        let rate = found.rate.map_or_else(String::new, |rate| format!("{rate}, "));
        text += &one_line(format!("{point}: {rate}{}", found.because));
    }
    for (label, points) in &manifest.settings_found {
        for (point, found) in points {
            let carried = |tried: &TriedSetting| {
                let rate = tried.goodput_per_s;
                let rate = rate.map_or("spoilt".into(), |rate| words::grouped(rate as u64));
                format!("{}: {rate}/s", tried.setting)
            };
            let tried = found.tried.iter().map(carried).collect::<Vec<_>>().join("; ");
            let setting = found.setting.as_deref().unwrap_or("none");
            text += &one_line(format!("{label} {point}: measured with {setting}; tried {tried}"));
        }
    }
    for (label, cold) in &manifest.cold_start {
        let publish =
            |ns: Option<u64>| ns.map_or("not measured".into(), |ns| words::time(ns as f64));
        text += &one_line(format!(
            "cold start: {label} answered after {}; publish p50 {} and p99 {} in its first 5 s; \
            warmed {} before measuring",
            words::time(cold.ready_ns as f64),
            publish(cold.publish_p50_ns),
            publish(cold.publish_p99_ns),
            words::time(cold.warmed_ns as f64),
        ));
    }
    text += &one_line(format!(
        "status {}, selfcheck {}",
        words::name(&summary.status),
        manifest.selfcheck
    ));
    text + &format!("page and charts: {}", folder.join("report.html").display())
}

/// A name or a reason that holds a line break must not look like a line of ours.
fn one_line(text: String) -> String {
    sanitize::line(&text) + "\n"
}

/// Its head, and what stands in it of a cell.
type Column = (&'static str, fn(&CellSummary) -> String);

/// Of plain load. Names come first.
const COLUMNS: [Column; 16] = [
    ("system", |cell| cell.label.clone()),
    ("cell", |cell| cell.cell.clone()),
    ("block", |cell| cell.block.to_string()),
    ("outcome", |cell| match cell.valid {
        _ if cannot(cell).is_some() => "cannot".to_owned(),
        false => "invalid".to_owned(),
        true => words::name(&cell.outcome),
    }),
    ("goodput/s", |cell| {
        cell.rates.goodput_per_s.map_or("-".into(), |rate| words::grouped(rate as u64))
    }),
    ("publish p50", |cell| time(cell.latency.publish.as_ref(), "p50")),
    ("p99", |cell| time(cell.latency.publish.as_ref(), "p99")),
    ("end-to-end p50", |cell| time(cell.latency.end_to_end.as_ref(), "p50")),
    ("p99", |cell| time(cell.latency.end_to_end.as_ref(), "p99")),
    ("failed", |cell| count(cell.counts.failed)),
    ("lost", |cell| count(cell.counts.lost)),
    ("dup", |cell| count(cell.counts.duplicate)),
    ("reord", |cell| count(cell.counts.reordered)),
    ("CPU/msg", |cell| cpu(cell.resources.client_cpu_ns_per_message) + heavy(cell)),
    ("broker's", |cell| cpu(cell.resources.broker_cpu_ns_per_message)),
    ("of machine", |cell| {
        cell.resources.client_share.map_or("-".into(), |share| format!("{:.0} %", share * 100.0))
    }),
];

fn cpu(ns: Option<f64>) -> String {
    ns.map_or("-".into(), words::time)
}

/// Marks a load generator that took more CPU than the broker.
fn heavy(cell: &CellSummary) -> &'static str {
    if cell.resources.client_heavy() { rendering::CLIENT } else { "" }
}

fn time(latency: Option<&Quantiles>, name: &str) -> String {
    let value = latency.and_then(|latency| latency.value(name));
    value.map_or("-".into(), |value| value.words(words::time))
}

fn count(messages: Option<u64>) -> String {
    messages.map_or("-".into(), words::grouped)
}

/// The cells of plain load; empty where there are none.
fn plain_table(summary: &Summary) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width())
        .set_header(COLUMNS.map(|(head, _)| head));
    for cell in summary.cells.iter().filter(|cell| cell.experiment.is_none()) {
        table.add_row(COLUMNS.map(|(_, text)| sanitize::line(&text(cell))));
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
    let heavy = summary.cells.iter().any(|cell| !heavy(cell).is_empty());
    let note = heavy.then(|| format!("{} {}\n", rendering::CLIENT, rendering::CLIENT_HEAVY));
    format!("{table}\n{}", note.unwrap_or_default())
}

/// Why a cell of plain load was not run.
fn cannot(cell: &CellSummary) -> Option<&str> {
    match &cell.observations[..] {
        [only] if cell.experiment.is_none() && only.kind == Kind::Cannot => Some(&only.text),
        _ => None,
    }
}

/// Why the outcome of a cell is not `ok`.
fn outcome(cell: &CellSummary, name: &str) -> Option<String> {
    let because = cell.outcome_because.join("; ");
    let told = cell.outcome != CellOutcome::Ok && !because.is_empty();
    told.then(|| format!("{}: {name}: {because}", words::name(&cell.outcome)))
}

/// How a cell was judged, where there is something to say about it.
fn judged(cell: &CellSummary, name: &str) -> Option<String> {
    let because = cell.judged_because.join("; ");
    let word = match cell.judged {
        None | Some(Judged::Pass) if because.is_empty() => return None,
        // Said already.
        Some(Judged::Cannot) if cannot(cell).is_some() => return None,
        None => "found",
        Some(Judged::Pass) => "pass",
        Some(Judged::Fail) => "FAIL",
        Some(Judged::Inconclusive) => "inconclusive",
        Some(Judged::Cannot) => "cannot",
    };
    Some(format!("{word}: {name}: {because}"))
}

/// A fault and the recovery from it.
fn fault_text(fault: &Fault) -> String {
    let what = match &fault.node[..] {
        "" => format!("{} of {}", fault.kind, fault.target),
        node => format!("{} of {} ({node})", fault.kind, fault.target),
    };
    if let Some(why) = &fault.not_applied {
        return format!("{what} NOT APPLIED: {why}");
    }
    let time = |ns: u64| words::time(ns as f64);
    let times = [
        ("publish back after", fault.rto_publish()),
        ("durably", fault.rto_durable()),
        ("delivery", fault.rto_deliver()),
        ("90 % of the rate", fault.rto_90()),
        ("a new client", fault.probe_rto_ns.map(Told::Value)),
        ("every copy", fault.redundancy_ns.map(Told::Value)),
    ];
    let back = |(name, one): (&str, Option<Told>)| match one {
        None => format!("{name} unknown"),
        Some(Told::Value(ns)) => format!("{name} {}", time(ns)),
        Some(bound) => {
            let what = name.trim_end_matches(" back after");
            format!("{what} {}", words::told(bound.map(|ns| ns as f64), words::time))
        }
    };
    let mut said: Vec<String> = times.into_iter().map(back).collect();
    said.extend(fault.scripted_ns.map(|ns| format!("of it scripted {}", time(ns))));
    said.extend(fault.restart.map(|restart| format!("restart: {}", restart.in_words())));
    said.push(match (fault.rpo_messages, fault.rpo_ns) {
        (Some(0), _) => "nothing acknowledged is gone from the broker".to_owned(),
        (Some(lost), Some(ns)) => {
            let least = fault.rpo_least_messages.map_or_else(String::new, |least| {
                format!(
                    " ({} where the kernel had written back what was older than 30 s)",
                    words::grouped(least)
                )
            });
            format!(
                "GONE FROM THE BROKER: {} acknowledged messages{least}, {} of them",
                words::grouped(lost),
                time(ns)
            )
        }
        _ => "what is gone unknown".to_owned(),
    });
    said.extend(fault.too_early.as_ref().map(|why| format!("says nothing of `save`: {why}")));
    said.extend((!fault.text.is_empty()).then(|| fault.text.clone()));
    said.extend(fault.not_healed.as_ref().map(|why| format!("NOT HEALED: {why}")));
    format!("{what}: {}", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_one_line() {
        let known = Fault {
            kind: "kill".into(),
            target: "leader".into(),
            node: "node-2".into(),
            took_effect_at_ns: Some(1),
            scripted_ns: Some(2_000_000_000),
            rto_publish_ns: Some(7_120_000_000),
            rto_deliver_ns: Some(7_300_000_000),
            rpo_messages: Some(1234),
            rpo_ns: Some(250_000_000),
            text: "exit status 9".into(),
            ..Fault::default()
        };
        assert_eq!(
            fault_text(&known),
            "kill of leader (node-2): publish back after 7.12 s; durably unknown; \
             delivery 7.30 s; 90 % of the rate unknown; a new client unknown; every copy unknown; of it scripted 2.00 s; \
             GONE FROM THE BROKER: 1,234 acknowledged messages, 250 ms of them; exit status 9"
        );
        let least = fault_text(&Fault {
            kind: "power-loss".into(),
            rpo_least_messages: Some(1000),
            ..known.clone()
        });
        assert!(
            least.contains(
                "GONE FROM THE BROKER: 1,234 acknowledged messages (1,000 where the kernel had \
                 written back what was older than"
            ),
            "{least}"
        );
        let failed = Fault { not_applied: Some("no such process".into()), ..known };
        assert_eq!(fault_text(&failed), "kill of leader (node-2) NOT APPLIED: no such process");
    }
}
