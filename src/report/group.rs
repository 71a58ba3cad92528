//! The blocks of one label at one matrix point, gathered: what a line of a chart or table shows.

use crate::model::Point;
use crate::result::{CellOutcome, CellSummary, Summary};
use crate::stats::compare::GeometricMean;

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
        match groups.iter_mut().find(|group| group.label == cell.label && group.point == cell.cell) {
            Some(group) => group.blocks.push(cell),
            None => {
                groups.push(Group { label: &cell.label, system: &cell.system, point: &cell.cell, blocks: vec![cell] });
            }
        }
    }
    groups.sort_by(|a, b| Point::read(a.point).cmp(&Point::read(b.point)));
    groups
}

/// The matrix points of some groups, in order.
pub fn points<'a>(groups: &[Group<'a>]) -> Vec<&'a str> {
    let mut points: Vec<&str> = groups.iter().map(|group| group.point).collect();
    points.dedup();
    points
}

impl Group<'_> {
    pub fn open_loop(&self) -> bool {
        self.blocks.iter().any(|cell| cell.rates.offered_per_s.is_some())
    }

    /// Values of the valid blocks.
    pub fn values(&self, of: impl Fn(&CellSummary) -> Option<f64>) -> Vec<f64> {
        self.blocks.iter().filter(|cell| cell.valid).filter_map(|cell| of(cell)).collect()
    }

    /// Geometric mean over the valid blocks with its interval.
    pub fn mean(&self, of: impl Fn(&CellSummary) -> Option<f64>) -> Option<GeometricMean> {
        GeometricMean::of(&self.values(of))
    }

    /// A quantile of end-to-end latency, unless the system was saturated: then it has no such property.
    pub fn end_to_end(&self, of: impl Fn(&crate::result::Quantiles) -> Option<u64>) -> Option<GeometricMean> {
        if self.overloaded() {
            return None;
        }
        self.mean(|cell| cell.latency.end_to_end.as_ref().and_then(&of).map(|ns| ns as f64))
    }

    pub fn overloaded(&self) -> bool {
        self.blocks.iter().any(|cell| cell.valid && cell.outcome == CellOutcome::Overloaded)
    }

    /// Why there is nothing to draw, in words.
    pub fn absent(&self) -> Option<String> {
        if self.blocks.iter().all(|cell| !cell.valid) {
            Some(format!("{} is invalid", self.label))
        } else if self.overloaded() {
            Some(format!("{} is overloaded", self.label))
        } else {
            None
        }
    }
}

/// `1 block`, `3 blocks`.
pub fn blocks(count: usize) -> String {
    if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") }
}
