//! What experiments observed, for a terminal: one table per label, one line per figure.
//!
//! Values read as in the page of the run. A note gives way to the terminal's width; figures do not.

use super::group::{Group, blocks, groups};
use super::observed::{ObservedMetric, gather};
use crate::model::Point;
use crate::result::Summary;
use crate::sanitize;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, presets};

/// Empty where no cell is an experiment.
pub fn observations(summary: &Summary, width: u16) -> String {
    let mut groups = groups(summary);
    groups.retain(|group| group.blocks.iter().any(|cell| cell.experiment.is_some()));
    let seen = gather(&groups);
    let mut labels: Vec<&str> = Vec::new();
    for cell in &summary.cells {
        if groups.iter().any(|group| group.label == cell.label) && !labels.contains(&cell.label.as_str()) {
            labels.push(&cell.label);
        }
    }
    labels.into_iter().map(|label| of_label(label, &groups, &seen, width)).collect()
}

fn of_label(label: &str, groups: &[Group<'_>], seen: &[ObservedMetric<'_>], width: u16) -> String {
    let count = groups.iter().filter(|group| group.label == label).map(|group| group.blocks.len()).max().unwrap_or(0);
    let mean = if count > 1 { format!(", mean of {}", blocks(count)) } else { String::new() };
    let shown = sanitize::line(label);
    let mut rows = seen.iter().filter(|seen| seen.label == label).peekable();
    if rows.peek().is_none() {
        return format!("{shown}: nothing was observed\n");
    }
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.max(60));
    table.set_header(["metric", "condition", "value", "n", "note"]);
    for seen in rows {
        let mut row = Row::from(line(seen));
        row.max_height(1);
        table.add_row(row);
    }
    for column in table.column_iter_mut().take(4) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    for column in table.column_iter_mut().skip(2).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{shown}{mean}\n{table}\n")
}

fn line(seen: &ObservedMetric<'_>) -> [String; 5] {
    let place = Point::read(seen.cell).and(&Point::read(seen.point));
    let place = if place.is_base() { String::new() } else { place.to_string() };
    let n = if seen.value().is_some() { seen.n().to_string() } else { "–".to_owned() };
    [seen.metric.to_owned(), place, seen.value_in_words(), n, seen.text().to_owned()].map(|text| sanitize::line(&text))
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::*;
    use crate::model::metric;
    use crate::result::synthetic::{capacity_cell, manifest};
    use crate::result::{Observation, RunFolder};

    fn text(width: u16, blocks: u32, observations: &[Observation]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "retention").unwrap();
        folder.write_manifest(&manifest(&folder, "retention", blocks)).unwrap();
        for block in 1..=blocks {
            let mut output = capacity_cell("redis-pubsub", "base", block, 1000);
            output.record.experiment = Some("retention".into());
            output.record.observations = observations.to_vec();
            folder.write_cell(&output).unwrap();
        }
        observations_of(&folder, width)
    }

    fn observations_of(folder: &RunFolder, width: u16) -> String {
        observations(&report(folder).unwrap(), width)
    }

    #[test]
    fn figures_are_readable_and_what_cannot_be_has_its_reason() {
        let found = text(
            120,
            1,
            &[
                Observation::measured(metric::WAKE_UP_P50, "rate=1k/s", 1_630_000.0, 12_000),
                Observation::measured(metric::LARGEST_INTACT, "", 268_435_456.0, 3).with_text("first\nsecond\x1b[31m"),
                Observation::cannot(metric::SHARE_SEEK, "", "nothing is kept"),
                Observation::not_measured(metric::LIVE_RATE, "", "no message came"),
            ],
        );
        assert!(found.starts_with("redis-pubsub\n"), "{found}");
        let line = |metric: &str| {
            let line = found.lines().find(|line| line.contains(metric)).unwrap_or_else(|| panic!("{metric}: {found}"));
            line.split(['│', '┆']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(line("wake_up.p50"), ["wake_up.p50", "rate=1k/s", "1.63 ms", "12000"]);
        assert_eq!(line("largest_intact"), ["largest_intact", "256 MiB", "3", "first second\u{fffd}[31m"]);
        assert_eq!(line("share.seek"), ["share.seek", "cannot", "–", "nothing is kept"]);
        assert_eq!(line("live.rate"), ["live.rate", "not measured", "–", "no message came"]);
    }

    #[test]
    fn a_note_gives_way_to_the_terminal_and_figures_do_not() {
        let long = Observation::measured(metric::CRASH_LOST, "", 7.0, 10).with_text("word ".repeat(100));
        let found = text(80, 3, &[long]);
        assert!(found.starts_with("redis-pubsub, mean of 3 blocks\n"), "{found}");
        assert_eq!(found.lines().filter(|line| line.contains("word")).count(), 1, "{found}");
        assert!(found.contains('…') && found.contains("7 msg"), "{found}");
        assert!(found.lines().all(|line| line.chars().count() <= 80), "{found}");
    }

    #[test]
    fn an_experiment_without_figures_says_so_and_plain_load_is_not_shown() {
        assert_eq!(text(80, 1, &[]), "redis-pubsub: nothing was observed\n");
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "throughput").unwrap();
        folder.write_manifest(&manifest(&folder, "throughput", 1)).unwrap();
        folder.write_cell(&capacity_cell("kafka", "base", 1, 1000)).unwrap();
        assert_eq!(observations_of(&folder, 80), "");
    }
}
