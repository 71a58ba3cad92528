//! The figures of a run by their places, so that those of two runs meet.

use crate::model::Unit;
use crate::result::{Baseline, BaselineFigure};
use crate::stats::compare::{GeometricMean, margin};
use crate::stats::over_blocks;
use itertools::Itertools;
use std::collections::{BTreeMap, BTreeSet};

/// Label, cell and metric.
type FigurePlace<'a> = (&'a str, &'a str, &'a str);

pub struct FigureIndex<'a> {
    by_place: BTreeMap<FigurePlace<'a>, &'a BaselineFigure>,
    cells: BTreeSet<(&'a str, &'a str)>,
    /// Of a cell and a metric, up to which factor nothing is a difference: where a label was
    /// measured twice.
    margins: BTreeMap<(&'a str, &'a str), f64>,
}

/// One run's side of a figure.
#[derive(Clone, Copy, Default)]
pub struct FigureSide<'a> {
    pub value: Option<f64>,
    pub mean: Option<GeometricMean>,
    /// Why some block has no value; empty where all have.
    pub unmeasured: &'a str,
}

fn place(figure: &BaselineFigure) -> FigurePlace<'_> {
    (&figure.label, &figure.cell, &figure.metric)
}

/// Whether it is put together by the geometric mean, which has an interval.
fn has_mean(figure: &BaselineFigure) -> bool {
    over_blocks(&figure.metric, &figure.unit, &[1.0]).is_some_and(|over| over.mean.is_some())
}

/// The unit in which it is compared.
pub fn unit<'a>(figure: &'a BaselineFigure, reference: Option<&str>) -> &'a str {
    match reference {
        Some(_) if has_mean(figure) => Unit::Times.name(),
        _ => &figure.unit,
    }
}

impl<'a> FigureIndex<'a> {
    pub fn of(run: &'a Baseline) -> Self {
        let figures = run.figures.iter();
        let mut index = Self {
            by_place: figures.clone().map(|figure| (place(figure), figure)).collect(),
            cells: figures.map(|one| (one.label.as_str(), one.cell.as_str())).collect(),
            margins: BTreeMap::new(),
        };
        let twice = run.figures.iter().filter_map(|again| {
            let here = (again.cell.as_str(), again.metric.as_str());
            Some((here, index.ratio(again, again.same_as.as_deref()?)?))
        });
        let twice = twice.into_group_map();
        index.margins =
            twice.into_iter().filter_map(|(here, all)| Some((here, margin(&all)?))).collect();
        index
    }

    /// A figure by that of another label in the same blocks.
    fn ratio(&self, figure: &BaselineFigure, label: &str) -> Option<GeometricMean> {
        let other = self.by_place.get(&(label, figure.cell.as_str(), figure.metric.as_str()))?;
        GeometricMean::of(&ratios(figure, other))
    }

    /// Whether it measured this label at this point, whatever the metric.
    pub fn measured(&self, figure: &BaselineFigure) -> bool {
        self.cells.contains(&(figure.label.as_str(), figure.cell.as_str()))
    }

    pub fn has(&self, figure: &BaselineFigure) -> bool {
        self.by_place.contains_key(&place(figure))
    }

    pub fn margin(&self, figure: &BaselineFigure) -> Option<f64> {
        self.margins.get(&(figure.cell.as_str(), figure.metric.as_str())).copied()
    }

    /// Over its blocks, or over those that the reference has as well, divided by it.
    pub fn side(&self, figure: &BaselineFigure, reference: Option<&str>) -> FigureSide<'a> {
        let Some(own) = self.by_place.get(&place(figure)).copied() else {
            return FigureSide::default();
        };
        let values: Vec<f64> = match reference.filter(|_| has_mean(own)) {
            None => own.values.values().copied().collect(),
            Some(label) => {
                let there = (label, own.cell.as_str(), own.metric.as_str());
                self.by_place.get(&there).map_or_else(Vec::new, |beside| ratios(own, beside))
            }
        };
        let over = over_blocks(&own.metric, unit(own, reference), &values);
        FigureSide {
            value: over.map(|over| over.value),
            mean: over.and_then(|over| over.mean),
            unmeasured: &own.unmeasured,
        }
    }
}

/// In the blocks that both have.
fn ratios(over: &BaselineFigure, under: &BaselineFigure) -> Vec<f64> {
    let ratio = |(block, value): (&u32, &f64)| {
        under.values.get(block).filter(|by| **by > 0.0).map(|by| value / by)
    };
    over.values.iter().filter_map(ratio).collect()
}

impl FigureSide<'_> {
    /// Whether there is anything to say of it.
    pub fn told(&self) -> bool {
        self.value.is_some() || !self.unmeasured.is_empty()
    }
}
