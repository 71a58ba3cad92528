//! Marks behind figures that need a caution, and what they mean: those of which the instrument is a
//! large part (`†`, `§`), and where values are short or have a column for it, all of them.

use crate::model::Unit;
use crate::result::{CellOutcome, ComparedCell, Comparison};
use itertools::Itertools;

const UNSTEADY: &str = "*";
const ONE_TRIAL: &str = "¹";
pub const FLOOR: &str = "†";
pub const CLIENT: &str = "§";
pub const CLIENT_HEAVY: &str = "The load generator took more CPU a message than the broker: on a \
    shared machine the value is partly the generator's.";

/// All of them in few words.
pub const FLAGS: [(&str, &str); 4] = [
    (UNSTEADY, "unsteady in a round"),
    (ONE_TRIAL, "one trial"),
    (FLOOR, "more than half of it is the instrument's own floor"),
    (CLIENT, "the load generator took more CPU than the broker"),
];

/// All that a cell has.
pub fn flags(cell: &ComparedCell) -> String {
    let unsteady = cell.per_block.iter().any(|block| block.outcome == CellOutcome::Unsteady);
    // Of a count it says nothing.
    let unsteady = unsteady && is_speed(cell);
    let once = cell.n == 1 && cell.n_unit == "faults";
    let own = [(UNSTEADY, unsteady), (ONE_TRIAL, once)];
    let own = own.into_iter().filter(|(_, stands)| *stands).map(|(mark, _)| mark);
    own.chain([of_value(cell), of_cell(cell)]).collect()
}

/// What the flags of some cells mean: `* unsteady in a round · ¹ one trial`; empty without any.
pub fn legend<'a>(cells: impl Iterator<Item = &'a ComparedCell>) -> String {
    let all: String = cells.map(flags).collect();
    let used = FLAGS.into_iter().filter(|(mark, _)| all.contains(mark));
    used.map(|(mark, words)| format!("{mark} {words}")).join(" · ")
}

/// Of one value.
pub fn of_value(cell: &ComparedCell) -> &'static str {
    if cell.floor_share().is_some_and(|share| share > ComparedCell::LARGE_FLOOR && share <= 1.0) {
        FLOOR
    } else {
        ""
    }
}

fn is_speed(cell: &ComparedCell) -> bool {
    let unit = Unit::from_name(&cell.unit);
    matches!(unit, Some(Unit::Nanoseconds | Unit::MessagesPerSecond | Unit::BytesPerSecond))
}

/// Of every speed and time of a cell.
pub fn of_cell(cell: &ComparedCell) -> &'static str {
    if is_speed(cell) && cell.value.is_some() && cell.client_heavy() { CLIENT } else { "" }
}

/// What the marks on these cells mean, a sentence each.
pub fn meaning<'a>(cells: impl Iterator<Item = &'a ComparedCell> + Clone) -> Vec<String> {
    let floor = cells.clone().any(|cell| !of_value(cell).is_empty());
    let client = cells.clone().any(|cell| !of_cell(cell).is_empty());
    let floor = floor
        .then(|| format!("{FLOOR} More than half of the value is the instrument's own floor."));
    let client = client.then(|| format!("{CLIENT} {CLIENT_HEAVY}"));
    floor.into_iter().chain(client).collect()
}

/// Of a whole table.
pub fn of_table(comparison: &Comparison) -> Vec<String> {
    let rows = comparison.claims.iter().chain(&comparison.uses).chain(&comparison.managed);
    meaning(rows.flat_map(|row| &row.cells))
}
