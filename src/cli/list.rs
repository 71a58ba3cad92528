//! `list`: the scenarios that can be run by name, with their last run, and the runs there are.

use super::results::to_the_minute;
use super::{Outcome, exit::Code, out, tag, width};
use crate::result::{Manifest, files, words};
use crate::sanitize;
use crate::scenario::{self, Overrides};
use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets};
use std::path::{Path, PathBuf};

/// Of the runs there are; the newest are the ones that are looked for.
const MOST: usize = 20;
const UNREADABLE: &str = "unreadable";

pub fn list(results: &Path) -> Outcome {
    let runs = results.join("runs");
    let found = found(&runs);
    out(&text(&scenarios(), &found, &runs, width()));
    Ok(Code::Fine)
}

/// Name and question.
fn scenarios() -> Vec<(String, String)> {
    let question = |name: &String| match scenario::load(name, &Overrides::default()) {
        Ok(found) => found.question.trim().to_owned(),
        Err(_) => format!("(invalid: see `brokerbench validate {name}`)"),
    };
    let names = scenario::names().into_iter();
    names.map(|name| (name.clone(), question(&name))).collect()
}

/// A run folder with its manifest, if that can be read.
struct Found {
    name: String,
    manifest: Option<Manifest>,
}

/// The newest first, as their names begin with the time.
fn found(runs: &Path) -> Vec<Found> {
    let folders = files::folders(runs).unwrap_or_default().into_iter().rev();
    let read = |dir: PathBuf| {
        let path = dir.join("manifest.json");
        let name = dir.file_name()?.to_string_lossy().into_owned();
        path.is_file().then(|| Found { name, manifest: files::read_json(&path).ok() })
    };
    folders.filter_map(read).collect()
}

fn text(scenarios: &[(String, String)], runs: &[Found], folder: &Path, width: u16) -> String {
    let rows = scenarios.iter().map(|(name, question)| {
        let last = last(name, runs);
        let begun = last.map_or("–".to_owned(), |run| to_the_minute(&run.started_at));
        let status = last.map_or("–".to_owned(), |run| words::name(&run.status));
        [name.clone(), begun, status, question.clone()]
    });
    let mut text = table(["scenario", "last run", "status", "question"], rows, width);
    text += &format!("\nRuns in {}\n", sanitize::line(&folder.display().to_string()));
    if runs.is_empty() {
        return text + "  none yet: brokerbench run latency\n";
    }
    let rows = runs.iter().take(MOST).map(|Found { name, manifest }| {
        let status = manifest.as_ref().map(|manifest| words::name(&manifest.status));
        let tags = manifest.as_ref().map(|manifest| tag::in_words(&manifest.tags));
        [name.clone(), status.unwrap_or_else(|| UNREADABLE.to_owned()), tags.unwrap_or_default()]
    });
    text += &table(["run", "status", "tags"], rows, width);
    if let more @ 1.. = runs.len().saturating_sub(MOST) {
        text += &format!("  and {more} older\n");
    }
    text
}

/// The last run of a scenario: what lies in a folder is known by its own name.
fn last<'a>(scenario: &str, runs: &'a [Found]) -> Option<&'a Manifest> {
    let own = |name: &str| name.rsplit('/').next().map(str::to_owned);
    let mut manifests = runs.iter().filter_map(|run| run.manifest.as_ref());
    manifests.find(|manifest| own(&manifest.scenario.name) == own(scenario))
}

/// One line a row: what comes last gives way to the width.
fn table<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    width: u16,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.max(60))
        .set_header(head);
    for row in rows {
        let mut row = Row::from(row.map(|text| sanitize::line(&text)));
        row.max_height(1);
        table.add_row(row);
    }
    for column in table.column_iter_mut().take(N - 1) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Status, testing};

    fn run(dir: &Path, scenario: &str, begun: &str, status: Status) {
        let folder = crate::result::RunFolder::create(dir, scenario).unwrap();
        let mut manifest = testing::manifest(&folder, scenario, 1);
        (manifest.started_at, manifest.status) = (begun.into(), status);
        manifest.tags = [("change".to_owned(), "batch".to_owned())].into();
        folder.write_manifest(&manifest).unwrap();
        // Two of one millisecond would have no order.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }

    #[test]
    fn a_scenario_stands_with_its_last_run_and_its_question_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), "latency", "2026-11-22T19:00:00Z", Status::Complete);
        run(dir.path(), "latency", "2026-11-29T08:30:00Z", Status::Invalid);
        run(dir.path(), "kill-leader", "2026-11-23T10:00:00Z", Status::Interrupted);
        let runs = dir.path().join("runs");
        std::fs::create_dir_all(runs.join("9-damaged")).unwrap();
        std::fs::write(runs.join("9-damaged/manifest.json"), "{").unwrap();
        let scenarios = [
            ("faults/kill-leader", "What is lost?"),
            ("latency", "How long does a message take at a rate that every system can carry?"),
            ("retention", "Who can read it again?"),
        ];
        let scenarios = scenarios.map(|(name, what)| (name.to_owned(), what.to_owned()));
        let text = text(&scenarios, &found(&runs), &runs, 80);
        let cells = |begins: &str| {
            let line =
                text.lines().find(|line| line.trim_start_matches(['│', ' ']).starts_with(begins));
            let line = line.unwrap_or_else(|| panic!("{begins}: {text}"));
            line.split(['│', '┆']).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(cells("latency")[1..4], ["latency", "2026-11-29 08:30Z", "invalid"]);
        assert!(cells("latency")[4].ends_with('…'), "{text}");
        assert_eq!(cells("faults/kill-leader")[2..4], ["2026-11-23 10:00Z", "interrupted"]);
        assert_eq!(cells("retention")[2..4], ["–", "–"]);
        assert!(cells("retention")[4].starts_with("Who can read"), "{text}");
        assert_eq!(cells("9-damaged")[2..4], ["unreadable", ""]);
        assert!(text.contains("change=batch"), "{text}");
        let mut tables = text.lines().filter(|line| line.starts_with(['│', '┌']));
        assert!(tables.clone().count() > 8, "{text}");
        assert!(tables.all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn only_the_newest_runs_are_listed() {
        let found = |at: usize| Found { name: format!("run-{at:02}"), manifest: None };
        let runs: Vec<Found> = (0..25).rev().map(found).collect();
        let text = text(&[], &runs, Path::new("x/runs"), 100);
        assert!(text.contains("run-24") && text.contains("run-05"), "{text}");
        assert!(!text.contains("run-04") && text.ends_with("  and 5 older\n"), "{text}");
    }
}
