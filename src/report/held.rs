//! What a run was held against: lines and a table for a terminal, tables for its page, Markdown for
//! the summary of a pipeline's step.

use super::escape;
use super::lines::rows;
use super::quantity;
use super::table::DataTable;
use crate::model::Point;
use crate::result::words::{name, or_dash, significant};
use crate::result::{
    BaselineResult, Change, FigureChange, Manifest, SettingChange, Summary, ThresholdResult,
};
use crate::sanitize;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, presets};
use itertools::Itertools;

/// One rule with its value, as a line.
pub fn threshold_line(result: &ThresholdResult) -> String {
    format!("{:<12} {}: {}", threshold_mark(result), result.rule, result.text)
}

fn threshold_mark(result: &ThresholdResult) -> &'static str {
    match result.held {
        Some(true) => "✓ pass",
        Some(false) => "✗ fail",
        None => "? unmeasured",
    }
}

fn mark(change: Change) -> &'static str {
    match change {
        Change::Worse => "✗ worse",
        Change::Better => "✓ better",
        Change::Same => "✓ same",
        Change::NotWorse => "✓ not worse",
        Change::Open => "? open",
        Change::Changed => "· changed",
        Change::Missing => "– missing",
    }
}

/// Every figure that is worse and counts, then all in one line.
pub fn baseline_lines(result: &BaselineResult) -> Vec<String> {
    let unlike = result.unlike.iter().map(|reason| format!("warning: not alike: {reason}"));
    let worse = result.figures.iter().filter(|one| one.counts && one.change == Change::Worse);
    let worse = worse.map(|one| format!("{:<12} {}", mark(one.change), in_words(one)));
    unlike.chain(worse).chain([in_sum(result)]).collect()
}

/// `kafka 1k/s end_to_end.p50: 258 µs → 336 µs, 1.30× [1.21, 1.40]`.
fn in_words(one: &FigureChange) -> String {
    let [before, now, ratio, interval] = columns(one);
    let point = Point::read(&one.cell).values();
    let place = [one.label.as_str(), point.as_str(), one.metric.as_str()];
    let place = place.into_iter().filter(|part| !part.is_empty()).join(" ");
    let ratio = if one.ratio.is_some() { format!(", {ratio} {interval}") } else { String::new() };
    let because =
        if one.because.is_empty() { String::new() } else { format!(" ({})", one.because) };
    format!("{place}: {before} → {now}{}{because}", ratio.trim_end())
}

/// Before, now, their ratio, and its interval.
fn columns(one: &FigureChange) -> [String; 4] {
    let value = |value: Option<f64>| or_dash(value, |value| quantity::words(value, &one.unit));
    let interval = one.interval.map(|ends| ends.map(significant).join(", "));
    [
        value(one.before),
        value(one.now),
        or_dash(one.ratio, |ratio| format!("{}×", significant(ratio))),
        interval.map_or_else(String::new, |ends| format!("[{ends}]")),
    ]
}

fn in_sum(result: &BaselineResult) -> String {
    let counted = || result.figures.iter().filter(|one| one.counts);
    let with = |change: Change| counted().filter(move |one| one.change == change);
    let words = [
        Change::Worse,
        Change::Better,
        Change::Same,
        Change::NotWorse,
        Change::Open,
        Change::Changed,
        Change::Missing,
    ];
    let word = |change: Change| match with(change).count() {
        0 => None,
        count => Some(format!("{count} {}", name(&change).replace('-', " "))),
    };
    let words = words.into_iter().filter_map(word).join(", ");
    let decided =
        counted().any(|one| matches!(one.change, Change::Better | Change::Same | Change::NotWorse));
    let mark = match (result.worse, decided) {
        (true, _) => "✗ worse",
        (false, true) => "✓ not worse",
        (false, false) => "? open",
    };
    let open = with(Change::Open).next().map(|one| format!(" (open: {})", one.because));
    let found = match words.as_str() {
        "" => "no figure that counts is in both".to_owned(),
        words => format!("of {} figures that count {words}", counted().count()),
    };
    let BaselineResult { name, run, .. } = result;
    let of = if name == run { String::new() } else { format!(", run {run}") };
    format!("{mark:<12} against {name}{of}: {found}{}", open.unwrap_or_default())
}

/// `systems.kafka.client.linger.ms: 0 → 5`.
fn setting(change: &SettingChange) -> String {
    let value = |value: &Option<String>| or_dash(value.as_deref(), str::to_owned);
    format!("{}: {} → {}", change.key, value(&change.before), value(&change.now))
}

/// Those that count first; counts that are zero on both sides say nothing.
fn shown(result: &BaselineResult) -> impl Iterator<Item = &FigureChange> {
    let nothing = |one: &&FigureChange| one.before == Some(0.0) && one.now == Some(0.0);
    let told = result.figures.iter().filter(move |one| !nothing(one));
    let (counted, rest): (Vec<_>, Vec<_>) = told.partition(|one| one.counts);
    counted.into_iter().chain(rest)
}

/// What differs first, then each figure, and the whole in a line.
pub fn difference(result: &BaselineResult, width: u16) -> String {
    let line = |text: String| sanitize::line(&text) + "\n";
    let mut text = String::new();
    text.extend(result.unlike.iter().map(|reason| line(format!("warning: not alike: {reason}"))));
    text.extend(result.settings.iter().map(|change| line(format!("differs  {}", setting(change)))));
    if result.settings.is_empty() {
        text += "differs  nothing but the figures\n";
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.max(60))
        .set_header(["", "system", "point", "metric", "before", "now", "change", "", ""]);
    for one in shown(result) {
        let [before, now, ratio, interval] = columns(one);
        let place = [one.label.clone(), Point::read(&one.cell).values(), one.metric.clone()];
        let rest = [before, now, ratio, interval, one.because.clone()];
        let cells = [mark(one.change).to_owned()].into_iter().chain(place).chain(rest);
        let mut row = Row::from(cells.map(|text| sanitize::line(&text)).collect::<Vec<_>>());
        row.max_height(1);
        table.add_row(row);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        if at < 8 {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if (4..=6).contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if table.row_count() > 0 {
        text += &format!("{}\n", table.trim_fmt());
    }
    text + &line(in_sum(result))
}

pub(super) fn threshold_table(results: &[ThresholdResult]) -> DataTable {
    let row = |result: &ThresholdResult| {
        vec![threshold_mark(result).to_owned(), result.rule.clone(), result.text.clone()]
    };
    DataTable::new(["Result", "Rule", "Found"], results.iter().map(row).collect())
}

const FIGURES: [&str; 9] =
    ["Result", "System", "Matrix point", "Metric", "Before", "Now", "Change", "95 %", "Note"];

pub(super) fn figure_table(result: &BaselineResult) -> DataTable {
    DataTable::new(FIGURES, shown(result).map(|one| figure_row(one).into()).collect())
}

fn figure_row(one: &FigureChange) -> [String; 9] {
    let [before, now, ratio, interval] = columns(one);
    let counts = if one.counts { "" } else { "does not count" };
    let note =
        [one.because.as_str(), counts].into_iter().filter(|part| !part.is_empty()).join("; ");
    let (mark, point) = (mark(one.change).to_owned(), one.cell.clone());
    [mark, one.label.clone(), point, one.metric.clone(), before, now, ratio, interval, note]
}

pub(super) fn setting_table(result: &BaselineResult) -> DataTable {
    let row = |change: &SettingChange| {
        let value = |value: &Option<String>| or_dash(value.as_deref(), str::to_owned);
        vec![change.key.clone(), value(&change.before), value(&change.now)]
    };
    DataTable::new(["What differs", "Before", "Now"], result.settings.iter().map(row).collect())
}

/// A run for the summary of a pipeline's step: verdicts first.
pub fn markdown_run(manifest: &Manifest, summary: &Summary) -> String {
    let text = escape::markdown;
    let question = text(manifest.scenario.question.trim());
    let mut out = format!("### {}: {question}\n\n", text(&summary.scenario));
    out += &format!("{}, exit code {}\n\n", name(&summary.status), summary.exit_code);
    if !summary.thresholds.is_empty() {
        out += &markdown_table(&threshold_table(&summary.thresholds));
    }
    if let Some(result) = &summary.baseline {
        out += &markdown_difference(result);
    }
    let head = ["", "System", "Point", "Goodput", "e2e p50", "e2e p99", ""];
    let rows = rows(summary, manifest.scenario.claim.as_deref());
    out += &markdown_table(&DataTable::new(head, rows.into_iter().map(Into::into).collect()));
    for warning in &manifest.warnings {
        out += &format!("- Warning: {}\n", text(warning));
    }
    out + "\n"
}

/// Two runs beside each other; figures that end nothing are folded.
pub fn markdown_difference(result: &BaselineResult) -> String {
    let mut out = format!("**{}**\n\n", escape::markdown(in_sum(result).trim()));
    for reason in &result.unlike {
        out += &format!("- Not alike: {}\n", escape::markdown(reason));
    }
    for change in &result.settings {
        out += &format!("- Differs: {}\n", escape::markdown(&setting(change)));
    }
    let (counted, rest): (Vec<_>, Vec<_>) = shown(result).partition(|one| one.counts);
    let table = |figures: Vec<&FigureChange>| {
        let rows = figures.into_iter().map(|one| figure_row(one).into()).collect();
        markdown_table(&DataTable::new(FIGURES, rows))
    };
    out += "\n";
    if !counted.is_empty() {
        out += &table(counted);
    }
    if !rest.is_empty() {
        out += &format!("<details><summary>All other figures</summary>\n\n{}", table(rest));
        out += "</details>\n\n";
    }
    out
}

fn markdown_table(table: &DataTable) -> String {
    let line = |cells: &[String]| {
        format!("| {} |\n", cells.iter().map(|cell| escape::markdown(cell)).join(" | "))
    };
    let rule = format!("|{}\n", "---|".repeat(table.head.len()));
    let rows: String = table.rows.iter().map(|row| line(row)).collect();
    format!("{}{rule}{rows}\n", line(&table.head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate;
    use crate::result::testing::latency_run;
    use crate::result::{ComparisonTerms, HeldAgainst, SCHEMA};

    /// A run that is held against one whose medians were half as long, with a hostile setting.
    fn run(dir: &std::path::Path) -> (Manifest, Summary) {
        let folder = latency_run(dir);
        let mut manifest = folder.read_manifest().unwrap();
        manifest.scenario.thresholds =
            vec!["counts.lost == 0".into(), "kafka: end_to_end.p99 < 1us".into()];
        folder.write_manifest(&manifest).unwrap();
        let summary = gate::judged(&folder).unwrap();
        let mut baseline = gate::baseline_of(&manifest, &summary, &[]);
        for figure in baseline.figures.iter_mut().filter(|one| one.metric == "end_to_end.p50") {
            figure.values.values_mut().for_each(|value| *value /= 2.0);
        }
        baseline.settings.insert("load.<b>".into(), "a|b\u{1b}[31m".into());
        let (schema, name, terms) = (SCHEMA, "main".into(), ComparisonTerms::default());
        let held = HeldAgainst { schema, name, terms, baseline };
        folder.write(HeldAgainst::FILE, &serde_json::to_vec(&held).unwrap()).unwrap();
        let summary = super::super::report(&folder).unwrap();
        let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
        for words in ["Thresholds", "✗ fail", "Against main", "✗ worse", "load.&lt;b&gt;"] {
            assert!(page.contains(words), "{words}");
        }
        (manifest, summary)
    }

    #[test]
    fn what_differs_comes_first_and_the_verdict_last() {
        let dir = tempfile::tempdir().unwrap();
        let (_, summary) = run(dir.path());
        let result = summary.baseline.unwrap();
        let text = difference(&result, 200);
        assert!(text.starts_with("warning: not alike: load.<b> is a|b"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
        assert!(at("differs  load.<b>: a|b") < at("✗ worse ") && at("2.00×") < at("against main"));
        assert!(!text.contains("counts.lost"), "nothing was lost on either side: {text}");
        let lines = baseline_lines(&result);
        let last = lines.last().unwrap();
        assert!(last.starts_with("✗ worse      against main, run "), "{last}");
        assert!(last.contains(" figures that count 8 worse, "), "{last}");
        let first = lines.iter().find(|line| line.starts_with("✗ worse")).unwrap();
        assert!(first.contains("kafka 1k/s end_to_end.p50: ") && first.contains("2.00× [1.9"));
    }

    #[test]
    fn the_summary_of_a_step_is_markdown_whatever_names_say() {
        let dir = tempfile::tempdir().unwrap();
        let (manifest, summary) = run(dir.path());
        let text = markdown_run(&manifest, &summary);
        for words in [
            "### latency: How long",
            "| ✓ pass | counts.lost == 0 |",
            "| ✗ fail | kafka: end\\_to\\_end.p99 &lt; 1us |",
            "- Differs: load.&lt;b&gt;: a\\|b",
            "<details><summary>All other figures</summary>",
            "| ✓ | redis-lists | 10k/s |",
            "- Warning: redis-server is older",
        ] {
            assert!(text.contains(words), "`{words}` is missing in: {text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains("<b>"), "{text}");
    }

    #[test]
    fn nothing_decided_is_open_and_says_what_is_missing() {
        let figure = |change, because: &str| FigureChange {
            label: "kafka".into(),
            cell: "base".into(),
            metric: "end_to_end.p50".into(),
            unit: "ns".into(),
            before: Some(1e6),
            now: Some(2e6),
            ratio: Some(2.0),
            change,
            because: because.into(),
            counts: true,
            ..FigureChange::default()
        };
        let open = figure(Change::Open, "fewer than 3 blocks");
        let result = BaselineResult {
            name: "a".into(),
            run: "a".into(),
            figures: vec![open],
            ..BaselineResult::default()
        };
        assert_eq!(
            baseline_lines(&result),
            ["? open       against a: of 1 figures that count 1 open (open: fewer than 3 blocks)"]
        );
        let none = BaselineResult { figures: Vec::new(), ..result };
        assert!(baseline_lines(&none)[0].contains("no figure that counts is in both"));
        assert!(difference(&none, 80).starts_with("differs  nothing but the figures\n"));
    }
}
