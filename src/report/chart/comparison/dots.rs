//! A rate, such as goodput, as dots with intervals on a log axis, grouped by condition, size and survival class.
//!
//! The conditions beside the plain one (waiting, no reply, synced writes) are shown at one size each: the table has all.

use super::super::canvas::Figure;
use super::super::rows::{self, Axis, Block, Marks, Row};
use crate::model::Point;
use crate::report::cells::{Cells, reason};
use crate::result::words::{compact, survival};
use crate::result::{ComparedCell, Kind};

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
        let header = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
        push(&mut blocks, header, cell, dot(cell));
    }
    for (low, high) in bracket.iter().flat_map(|[low, high]| cells.metric(low).into_iter().map(move |low| (low, high)))
    {
        let same = |high: &&ComparedCell| (&high.label, &high.run, &high.cell) == (&low.label, &low.run, &low.cell);
        let high = cells.metric(high).into_iter().find(same);
        let bracket = low.value.zip(high.and_then(|cell| cell.value));
        let text = bracket.map_or_else(
            || low.value.map_or_else(|| reason(low), |value| format!("from {} msg/s", compact(value))),
            |(low, high)| format!("{} to {} msg/s", compact(low), compact(high)),
        );
        push(
            &mut blocks,
            "most at a fixed rate below the p99 limit · 1KiB".to_owned(),
            low,
            Marks { bar: bracket, text, ..Marks::default() },
        );
    }
    let name = format!("{axis}; line: 95 % interval");
    rows::draw(figure, &blocks, &[Axis { name, log: true, tick: &compact }], top)
}

fn push(blocks: &mut Vec<Block>, header: String, cell: &ComparedCell, marks: Marks) {
    let row = Row { label: cell.label.clone(), system: cell.system.clone(), marks: vec![marks] };
    match blocks.iter_mut().find(|block| block.header == header) {
        Some(block) => block.rows.push(row),
        None => blocks.push(Block { header, rows: vec![row] }),
    }
}

fn dot(cell: &ComparedCell) -> Marks {
    let single = || cell.per_block.iter().filter_map(|block| block.value).collect();
    let interval = cell.interval.map(|[low, high]| format!(" [{}, {}]", compact(low), compact(high)));
    Marks {
        value: cell.value,
        others: if cell.interval.is_some() || cell.blocks < 2 { Vec::new() } else { single() },
        bar: cell.interval.map(|[low, high]| (low, high)),
        text: cell.value.map_or_else(
            || reason(cell),
            |value| format!("{} {}{}", compact(value), cell.unit, interval.unwrap_or_default()),
        ),
    }
}

/// Whether a cell's size is the one that its scenario is shown at.
fn stands_for(cell: &ComparedCell, all: &[&ComparedCell], cells: &Cells<'_>) -> bool {
    let mut sizes = all
        .iter()
        .filter(|other| cells.scenario(other) == cells.scenario(cell))
        .map(|other| Point::read(&other.cell).get("size"))
        .collect::<Vec<_>>();
    sizes.sort_by_key(|size| *size != Some(SIZE));
    sizes.first().is_none_or(|size| *size == Point::read(&cell.cell).get("size"))
}
