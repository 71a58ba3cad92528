//! The blocks of one label at one matrix point, gathered: what a line of a chart or table shows.

use crate::model::Point;
use crate::result::words::name;
use crate::result::{CellOutcome, CellSummary, LatencyValue, Summary};
use crate::stats::compare::GeometricMean;
use itertools::Itertools;

pub struct Group<'a> {
    pub label: &'a str,
    pub system: &'a str,
    pub point: &'a str,
    pub blocks: Vec<&'a CellSummary>,
}

/// Groups in order of matrix point, then of the summary's labels.
pub fn groups(summary: &Summary) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for cell in &summary.cells {
        let same = |group: &Group<'_>| group.label == cell.label && group.point == cell.cell;
        let new = || Group {
            label: &cell.label,
            system: &cell.system,
            point: &cell.cell,
            blocks: Vec::new(),
        };
        known_or_new(&mut groups, same, new).blocks.push(cell);
    }
    groups.sort_by(|a, b| Point::read(a.point).cmp(&Point::read(b.point)));
    groups
}

pub fn points<'a>(groups: &[Group<'a>]) -> Vec<&'a str> {
    groups.iter().map(|group| group.point).unique().collect()
}

impl Group<'_> {
    pub fn open_loop(&self) -> bool {
        self.blocks.iter().any(|cell| cell.rates.offered_per_s.is_some())
    }

    pub fn values(&self, of: impl Fn(&CellSummary) -> Option<f64>) -> Vec<f64> {
        self.blocks.iter().filter(|cell| cell.valid).filter_map(|cell| of(cell)).collect()
    }

    pub fn mean(&self, of: impl Fn(&CellSummary) -> Option<f64>) -> Option<GeometricMean> {
        GeometricMean::of(&self.values(of))
    }

    /// A quantile of end-to-end latency by its name, the geometric mean over the blocks; `None`
    /// where the system was saturated: then it has no such property.
    pub fn end_to_end(&self, name: &str) -> Option<LatencyValue> {
        if self.saturated().is_some() {
            return None;
        }
        let of = |cell: &CellSummary| cell.latency.end_to_end.as_ref()?.value(name);
        let mean = self.mean(|cell| of(cell).map(LatencyValue::least))?.value();
        let exact = self.blocks.iter().filter(|cell| cell.valid).filter_map(|cell| of(cell));
        let exact = exact.into_iter().all(|value| value.exact().is_some());
        Some(if exact { LatencyValue::Exact(mean) } else { LatencyValue::AtLeast(mean) })
    }

    fn saturated(&self) -> Option<CellOutcome> {
        let outcomes = self.blocks.iter().filter(|cell| cell.valid).map(|cell| cell.outcome);
        outcomes.into_iter().find(|outcome| outcome.spoils_latency())
    }

    /// Why there is nothing to draw, in words.
    pub fn absent(&self) -> Option<String> {
        let invalid = self.blocks.iter().all(|cell| !cell.valid);
        let invalid = invalid.then(|| "invalid".to_owned());
        let why = invalid.or_else(|| self.saturated().map(|outcome| name(&outcome)));
        why.map(|why| format!("{} is {why}", self.label))
    }
}

/// The one that fits, or a new one behind all others.
pub fn known_or_new<T>(
    all: &mut Vec<T>,
    fits: impl Fn(&T) -> bool,
    new: impl FnOnce() -> T,
) -> &mut T {
    let at = all.iter().position(fits).unwrap_or_else(|| {
        all.push(new());
        all.len() - 1
    });
    &mut all[at]
}

/// `1 block`, `3 blocks`.
pub fn blocks(count: usize) -> String {
    if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") }
}
