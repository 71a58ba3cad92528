//! What the experiments of a run observed, blocks gathered: one line per label, cell, metric and condition.

use super::group::Group;
use super::quantity;
use crate::result::{Kind, Observation};
use crate::stats::over_blocks;

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

    /// What stands behind the value, over all blocks.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// What a reader must know beside the value.
    pub fn text(&self) -> &str {
        self.text
    }

    /// Metric, label, matrix point, condition, value, n, blocks, note.
    pub fn row(&self) -> Vec<String> {
        let place = [self.metric, self.label, self.cell, self.point].map(str::to_owned);
        let rest = [self.value_in_words(), self.n.to_string(), self.values.len().to_string(), self.text.to_owned()];
        place.into_iter().chain(rest).collect()
    }
}

pub const HEAD: [&str; 8] = ["Metric", "Label", "Matrix point", "Condition", "Value", "n", "Blocks", "Note"];

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
    let mut metrics: Vec<&str> = Vec::new();
    for seen in &all {
        if !metrics.contains(&seen.metric) {
            metrics.push(seen.metric);
        }
    }
    all.sort_by_key(|seen| metrics.iter().position(|metric| *metric == seen.metric));
    all
}

fn add<'a>(all: &mut Vec<ObservedMetric<'a>>, group: &Group<'a>, observation: &'a Observation, valid: bool) {
    let same = |seen: &&mut ObservedMetric<'a>| {
        (seen.label, seen.cell, seen.metric, seen.point)
            == (group.label, group.point, observation.metric.as_str(), observation.point.as_str())
    };
    let at = match all.iter_mut().find(same) {
        Some(seen) => seen,
        None => {
            all.push(ObservedMetric {
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
            });
            let last = all.len() - 1;
            &mut all[last]
        }
    };
    if at.text.is_empty() {
        at.text = &observation.text;
    }
    if let (true, Some(value)) = (valid, observation.value) {
        at.values.push(value);
        at.n += observation.n;
        at.kind = Kind::Measured;
    }
}
