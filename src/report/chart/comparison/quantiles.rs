//! p50, p99 and p99.9 of each label on a log axis, a block for each rate.

use super::super::canvas::Figure;
use super::super::rows::{self, Axis, Block, Marks, Row};
use super::super::run::quantile_text;
use crate::report::cells::{Cells, reason};
use crate::result::ComparedCell;
use crate::result::words::TimeUnit;

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, of: &[String; 3], top: f64) -> f64 {
    let shown = || of.iter().flat_map(|metric| cells.metric(metric));
    let unit = TimeUnit::for_column(shown().filter_map(|cell| cell.value));
    let mut blocks: Vec<Block> = Vec::new();
    for cell in cells.metric(&of[1]) {
        let value = |metric: &String| {
            let same =
                |other: &&ComparedCell| (&other.run, &other.label, &other.cell) == (&cell.run, &cell.label, &cell.cell);
            cells.metric(metric).into_iter().find(same).and_then(|other| other.value)
        };
        let values = of.each_ref().map(value);
        let known: Vec<f64> = values.into_iter().flatten().collect();
        let marks = Marks {
            value: values[1],
            others: [values[0], values[2]].into_iter().flatten().collect(),
            bar: known.first().copied().zip(known.last().copied()),
            text: quantile_text(unit, values).unwrap_or_else(|| reason(cell)),
        };
        let row = Row { label: cell.label.clone(), system: cell.system.clone(), marks: vec![marks] };
        let parts = [cells.place(cell), cells.condition(cell)];
        let header = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
        match blocks.iter_mut().find(|block| block.header == header) {
            Some(block) => block.rows.push(row),
            None => blocks.push(Block { header, rows: vec![row] }),
        }
    }
    let tick = |ns: f64| unit.of(ns);
    let name = format!("end-to-end, {} (log): p50 and p99.9 small, p99 large", unit.name());
    rows::draw(figure, &blocks, &[Axis { name, log: true, tick: &tick }], top)
}
