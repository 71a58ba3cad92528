//! One system under two labels (A/A): by how much the study cannot tell a difference from none.

use super::super::{paired_blocks, paired_ratio, times};
use crate::model::Quantile;
use crate::result::ComparedCell;
use crate::result::words::significant;
use crate::stats::compare::{self, GeometricMean};
use itertools::Itertools;

/// A metric of a label and of the same system's first label, at one point of one run.
pub struct Equals<'a> {
    again: &'a ComparedCell,
    label: &'a str,
    ratio: Option<GeometricMean>,
    n: u64,
}

impl<'a> Equals<'a> {
    pub fn all(metrics: &[String], cells: &[&'a ComparedCell]) -> Vec<Self> {
        let of = |again: &&'a ComparedCell| {
            let again = *again;
            let label = again.same_as.as_deref().filter(|_| metrics.contains(&again.metric))?;
            let same = |other: &&&ComparedCell| {
                let of = |cell: &ComparedCell| {
                    (cell.run.clone(), cell.cell.clone(), cell.metric.clone())
                };
                other.label == label && of(other) == of(again)
            };
            let first = cells.iter().find(same)?;
            let both = paired_blocks(again, first)
                .filter(|(one, other)| one.value.is_some() && other.value.is_some());
            let n = both.map(|(one, other)| one.n + other.n).sum();
            Some(Self { again, label, ratio: paired_ratio(again, first), n })
        };
        cells.iter().filter_map(of).collect()
    }

    /// The margin of a ratio that is measured where `cell` is.
    pub fn margin(all: &[Self], cell: &ComparedCell) -> Option<f64> {
        let here = |one: &&Self| {
            (&one.again.run, &one.again.cell, &one.again.metric)
                == (&cell.run, &cell.cell, &cell.metric)
        };
        let ratios = all.iter().filter(here).filter_map(|one| one.ratio);
        compare::margin(&ratios.collect::<Vec<_>>())
    }

    pub fn derived(&self) -> ComparedCell {
        let metric = format!("ratio({}, {}, {})", self.again.metric, self.again.label, self.label);
        let margin = self.ratio.and_then(|ratio| compare::margin(&[ratio]));
        let text = margin.map_or_else(
            || "the same system twice".to_owned(),
            |margin| format!("the same system twice: the margin is {}", percent(margin)),
        );
        times(self.again, &metric, self.ratio, self.n, text)
    }

    /// `the same system twice (kafka-again ÷ kafka): p50 0.98 to 1.02× (margins 5 to 7 %), …`.
    pub fn in_words(all: &[Self]) -> Vec<String> {
        let names = all.iter().map(|one| format!("{} ÷ {}", one.again.label, one.label)).unique();
        let metric = |of: &[&Self]| {
            let ratios = of.iter().filter_map(|one| one.ratio).collect_vec();
            let margins = ratios.iter().filter_map(|ratio| compare::margin(&[*ratio]));
            let name = Quantile::of_metric(&of[0].again.metric)
                .map_or_else(|| of[0].again.metric.clone(), |quantile| quantile.to_string());
            let values = range(ratios.iter().map(GeometricMean::value), significant)?;
            let margins = range(margins, percent)?;
            Some(format!("{name} {values}×, margin {margins}"))
        };
        let sentence = |name: String| {
            let own =
                all.iter().filter(|one| format!("{} ÷ {}", one.again.label, one.label) == name);
            let groups = own.into_group_map_by(|one| one.again.metric.as_str());
            let parts = groups.into_iter().sorted_by_key(|(metric, _)| *metric);
            let parts = parts.filter_map(|(_, of)| metric(&of)).join("; ");
            (!parts.is_empty()).then(|| format!("the same system twice, {name}: {parts}"))
        };
        names.filter_map(sentence).collect()
    }
}

/// A margin, as far as it is above 1: `18 %`.
pub fn percent(margin: f64) -> String {
    format!("{:.0} %", (margin - 1.0) * 100.0)
}

fn range(values: impl Iterator<Item = f64>, words: impl Fn(f64) -> String) -> Option<String> {
    let (least, most) = values.minmax_by(f64::total_cmp).into_option()?;
    let (least, most) = (words(least), words(most));
    Some(if least == most { least } else { format!("{least} to {most}") })
}
