//! What the experiments of a run observed, blocks gathered: one line per label,
//! cell, metric and condition.

use super::group::{Group, blocks, groups, known_or_new};
use super::quantity;
use crate::model::Point;
use crate::result::words::or_dash;
use crate::result::{Kind, Observation, Summary};
use crate::sanitize;
use crate::stats::over_blocks;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, presets};
use itertools::Itertools;

/// One figure over the valid blocks.
pub struct ObservedMetric<'a> {
    pub label: &'a str,
    pub system: &'a str,
    /// Point of the matrix.
    pub cell: &'a str,
    pub metric: &'a str,
    /// Condition inside the cell.
    pub point: &'a str,
    pub unit: &'a str,
    kind: Kind,
    values: Vec<f64>,
    n: u64,
    text: &'a str,
}

impl ObservedMetric<'_> {
    /// Over the blocks, as in the table.
    pub fn value(&self) -> Option<f64> {
        over_blocks(self.metric, self.unit, &self.values).map(|over| over.value)
    }

    /// `1.63 ms`, `cannot` or `not measured`.
    pub fn value_in_words(&self) -> String {
        match (self.value(), self.kind) {
            (Some(value), _) => quantity::words(value, self.unit),
            (None, Kind::Cannot) => "cannot".to_owned(),
            (None, _) => "not measured".to_owned(),
        }
    }

    pub fn row(&self) -> Vec<String> {
        let place = [self.metric, self.label, self.cell, self.point].map(str::to_owned);
        let rest = [
            self.value_in_words(),
            self.n.to_string(),
            self.values.len().to_string(),
            self.text.to_owned(),
        ];
        place.into_iter().chain(rest).collect()
    }
}

pub const HEAD: [&str; 8] =
    ["Metric", "Label", "Matrix point", "Condition", "Value", "n", "Blocks", "Note"];

/// All observations of a run, by metric and then in the order in which they were made.
pub fn gather<'a>(groups: &[Group<'a>]) -> Vec<ObservedMetric<'a>> {
    let mut all: Vec<ObservedMetric<'a>> = Vec::new();
    for group in groups {
        for block in group.blocks.iter().copied() {
            for observation in &block.observations {
                add(&mut all, group, observation, block.valid);
            }
        }
    }
    let metrics = all.iter().map(|seen| seen.metric).unique().collect_vec();
    all.sort_by_key(|seen| metrics.iter().position(|metric| *metric == seen.metric));
    all
}

fn add<'a>(
    all: &mut Vec<ObservedMetric<'a>>,
    group: &Group<'a>,
    observation: &'a Observation,
    valid: bool,
) {
    let same = |seen: &ObservedMetric<'a>| {
        (seen.label, seen.cell, seen.metric, seen.point)
            == (group.label, group.point, observation.metric.as_str(), observation.point.as_str())
    };
    let new = || ObservedMetric {
        label: group.label,
        system: group.system,
        cell: group.point,
        metric: &observation.metric,
        point: &observation.point,
        unit: &observation.unit,
        kind: observation.kind,
        values: Vec::new(),
        n: 0,
        text: &observation.text,
    };
    let at = known_or_new(all, same, new);
    if at.text.is_empty() {
        at.text = &observation.text;
    }
    if let (true, Some(value)) = (valid, observation.value) {
        at.values.push(value);
        at.n += observation.n;
        at.kind = Kind::Measured;
    }
}

/// For a terminal: a table for each label, a line for each figure. Empty where no cell is an
/// experiment. A note gives way to the terminal's width; figures do not.
pub fn observations(summary: &Summary, width: u16) -> String {
    let mut groups = groups(summary);
    groups.retain(|group| group.blocks.iter().any(|cell| cell.experiment.is_some()));
    let seen = gather(&groups);
    let labels = summary.cells.iter().map(|cell| cell.label.as_str()).unique();
    let shown = labels.filter(|label| groups.iter().any(|group| group.label == *label));
    shown.map(|label| of_label(label, &groups, &seen, width)).collect()
}

fn of_label(label: &str, groups: &[Group<'_>], seen: &[ObservedMetric<'_>], width: u16) -> String {
    let count = groups
        .iter()
        .filter(|group| group.label == label)
        .map(|group| group.blocks.len())
        .max()
        .unwrap_or(0);
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
    let n = or_dash(seen.value(), |_| seen.n.to_string());
    [seen.metric.to_owned(), place, seen.value_in_words(), n, seen.text.to_owned()]
        .map(|text| sanitize::line(&text))
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::*;
    use crate::model::metric;
    use crate::result::testing::{capacity_cell, manifest};
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
                Observation::measured(metric::LARGEST_INTACT, "", 268_435_456.0, 3)
                    .with_text("first\nsecond\x1b[31m"),
                Observation::cannot(metric::SHARE_SEEK, "", "nothing is kept"),
                Observation::not_measured(metric::LIVE_RATE, "", "no message came"),
            ],
        );
        assert!(found.starts_with("redis-pubsub\n"), "{found}");
        let line = |metric: &str| {
            let line = found
                .lines()
                .find(|line| line.contains(metric))
                .unwrap_or_else(|| panic!("{metric}: {found}"));
            line.split(['│', '┆'])
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(line("wake_up.p50"), ["wake_up.p50", "rate=1k/s", "1.63 ms", "12000"]);
        assert_eq!(
            line("largest_intact"),
            ["largest_intact", "256 MiB", "3", "first second\u{fffd}[31m"]
        );
        assert_eq!(line("share.seek"), ["share.seek", "cannot", "–", "nothing is kept"]);
        assert_eq!(line("live.rate"), ["live.rate", "not measured", "–", "no message came"]);
    }

    #[test]
    fn a_note_gives_way_to_the_terminal_and_figures_do_not() {
        let long =
            Observation::measured(metric::CRASH_LOST, "", 7.0, 10).with_text("word ".repeat(100));
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
