//! Marks behind figures of which the instrument is a large part, and what they mean.
//!
//! `†`: more than half of the value is the instrument's own floor. `§`: the load generator took
//! more CPU a message than the broker.

use crate::model::Unit;
use crate::result::{ComparedCell, Comparison};

pub const FLOOR: &str = "†";
pub const CLIENT: &str = "§";
pub const CLIENT_HEAVY: &str = "The load generator took more CPU a message than the broker: on a \
    shared machine the value is partly the generator's.";

/// Of one value.
pub fn of_value(cell: &ComparedCell) -> &'static str {
    if cell.floor_share().is_some_and(|share| share > ComparedCell::LARGE_FLOOR && share <= 1.0) {
        FLOOR
    } else {
        ""
    }
}

/// Of every speed and time of a cell.
pub fn of_cell(cell: &ComparedCell) -> &'static str {
    let speed = matches!(
        Unit::from_name(&cell.unit),
        Some(Unit::Nanoseconds | Unit::MessagesPerSecond | Unit::BytesPerSecond)
    );
    if speed && cell.value.is_some() && cell.client_heavy() { CLIENT } else { "" }
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
    meaning(comparison.claims.iter().chain(&comparison.uses).flat_map(|claim| &claim.cells))
}
