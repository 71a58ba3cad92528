//! A rate, such as goodput, as dots with intervals on a log axis, grouped by condition, size and
//! survival class.
//!
//! The conditions beside the plain one (waiting, no reply, synced writes) are shown at one size
//! each: the table has all.

use super::super::canvas::Figure;
use super::super::rows::{self, Axis, Block, Marks};
use crate::model::{Point, metric};
use crate::report::cells::{Cells, reason};
use crate::report::marks;
use crate::result::words::{TimeUnit, compact, survival};
use crate::result::{ComparedCell, Kind, LatencyValue};
use itertools::Itertools;

/// The size that stands for a condition.
const SIZE: &str = "1KiB";

pub fn draw(
    figure: &mut Figure,
    cells: &Cells<'_>,
    (metric, axis, bracket): (&str, &str, Option<&[String; 2]>),
    top: f64,
) -> f64 {
    let all = cells.metric(metric);
    let mut blocks: Vec<Block> = Vec::new();
    for cell in &all {
        let condition = cells.condition(cell);
        if !condition.is_empty() && !stands_for(cell, &all, cells) {
            continue;
        }
        let class = cell.survives.as_ref().map(survival).unwrap_or_default();
        let class = if cell.kind == Kind::Cannot { "cannot".to_owned() } else { class };
        let parts = [condition, Point::read(&cell.cell).values(), class];
        let header = parts.into_iter().filter(|part| !part.is_empty()).join(" · ");
        rows::push(&mut blocks, header, (&cell.label, &cell.system), dot(cell));
    }
    for (low, high) in bracket
        .iter()
        .flat_map(|[low, high]| cells.metric(low).into_iter().map(move |low| (low, high)))
    {
        let high = cells.beside(low, high).and_then(|cell| cell.value);
        let bar = low.value.zip(high);
        let text = match (low.value, high) {
            (Some(low), Some(high)) => format!("{} to {} msg/s", compact(low), compact(high)),
            (Some(low), None) => format!("from {} msg/s", compact(low)),
            (None, _) => reason(low),
        };
        let header = "most at a fixed rate below the p99 limit · 1KiB".to_owned();
        rows::push(
            &mut blocks,
            header,
            (&low.label, &low.system),
            Marks { bar, text, ..Marks::default() },
        );
    }
    let name = format!("{axis}; line: 95 % interval");
    let axis = Axis { name, better: metric::better(metric), log: true, tick: &compact };
    rows::draw(figure, &blocks, &[axis], top)
}

fn dot(cell: &ComparedCell) -> Marks {
    let single = || cell.per_block.iter().filter_map(|block| block.value).collect();
    let interval =
        cell.interval.map(|[low, high]| format!(" [{}, {}]", compact(low), compact(high)));
    Marks {
        value: cell.value,
        others: if cell.interval.is_some() || cell.blocks < 2 { Vec::new() } else { single() },
        bar: cell.interval.map(|[low, high]| (low, high)),
        text: match cell.value {
            Some(value) => {
                format!(
                    "{} {}{}{}",
                    compact(value),
                    cell.unit,
                    interval.unwrap_or_default(),
                    marks::of_cell(cell)
                )
            }
            None => reason(cell),
        },
        ..Marks::default()
    }
}

/// Whether a cell's size is the one that its scenario is shown at.
fn stands_for(cell: &ComparedCell, all: &[&ComparedCell], cells: &Cells<'_>) -> bool {
    let size = |cell: &ComparedCell| Point::read(&cell.cell).get("size").map(str::to_owned);
    let beside = all.iter().filter(|other| cells.scenario(other) == cells.scenario(cell));
    // Its first size, where none is the usual one.
    let shown = beside.map(|other| size(other)).min_by_key(|size| size.as_deref() != Some(SIZE));
    shown.is_none_or(|shown| shown == size(cell))
}

/// p50, p99 and p99.9 of each label on a log axis, a block for each rate.
pub fn quantiles(figure: &mut Figure, cells: &Cells<'_>, of: &[String; 3], top: f64) -> f64 {
    let shown = of.iter().flat_map(|metric| cells.metric(metric));
    let unit = TimeUnit::for_column(shown.filter_map(|cell| cell.value));
    let mut blocks: Vec<Block> = Vec::new();
    for cell in cells.metric(&of[1]) {
        let values =
            of.each_ref().map(|metric| cells.beside(cell, metric).and_then(|other| other.value));
        let values = values.map(|value| value.map(LatencyValue::Exact));
        let parts = [cells.place(cell), cells.condition(cell)];
        let header = parts.into_iter().filter(|part| !part.is_empty()).join(" · ");
        let mut drawn = Marks::quantiles(unit, values, || reason(cell));
        let own = of.iter().filter_map(|metric| cells.beside(cell, metric));
        let floors = own.map(marks::of_value).find(|mark| !mark.is_empty()).unwrap_or_default();
        drawn.text += &format!("{floors}{}", marks::of_cell(cell));
        rows::push(&mut blocks, header, (&cell.label, &cell.system), drawn);
    }
    let name = format!("end-to-end, {} (log): p50 and p99.9 small, p99 large", unit.name());
    let tick = |ns: f64| unit.of(ns);
    let axis = Axis { name, better: metric::better(&of[1]), log: true, tick: &tick };
    rows::draw(figure, &blocks, &[axis], top)
}
