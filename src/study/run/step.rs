//! What a run is at, in words for whoever shows it.

use crate::model::Point;
use crate::scenario::Cell;

/// What a run is at: starting a broker, warming it, a cell.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Such as `kafka: warming the broker`.
    pub text: &'a str,
    /// The same for where figures stand beside it: of a cell its label and the values of its matrix
    /// point.
    pub short: &'a str,
    /// The cell that is measured, and its block; `None` between cells.
    pub cell: Option<(&'a Cell, u32)>,
    /// Cells that are finished, of how many.
    pub done: usize,
    pub all: usize,
}

/// A cell where there is little room: `kafka 1k/s`.
pub fn in_short(cell: &Cell) -> String {
    let values = Point::read(&cell.point).values();
    format!("{} {values}", cell.label).trim_end().to_owned()
}
