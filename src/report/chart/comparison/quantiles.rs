//! p50, p99 and p99.9 of each label on a log axis, a block for each rate.

use super::super::canvas::Figure;
use super::super::rows::{self, Axis, Block, Marks};
use crate::report::cells::{Cells, reason};
use crate::result::words::TimeUnit;

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, of: &[String; 3], top: f64) -> f64 {
    let shown = of.iter().flat_map(|metric| cells.metric(metric));
    let unit = TimeUnit::for_column(shown.filter_map(|cell| cell.value));
    let mut blocks: Vec<Block> = Vec::new();
    for cell in cells.metric(&of[1]) {
        let values = of.each_ref().map(|metric| cells.beside(cell, metric).and_then(|other| other.value));
        let parts = [cells.place(cell), cells.condition(cell)];
        let header = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
        let marks = Marks::quantiles(unit, values, || reason(cell));
        rows::push(&mut blocks, header, (&cell.label, &cell.system), marks);
    }
    let name = format!("end-to-end, {} (log): p50 and p99.9 small, p99 large", unit.name());
    rows::draw(figure, &blocks, &[Axis { name, log: true, tick: &|ns| unit.of(ns) }], top)
}
