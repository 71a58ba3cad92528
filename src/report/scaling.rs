//! How figures grow with the number of subscriptions or consumers: speed-up against the smallest step.
//!
//! With fan-out, what counts is deliveries (messages × subscriptions): the ideal is the number itself, as for consumers.

use super::cells::Cells;
use crate::model::Point;
use crate::result::ComparedCell;

/// The keys that count what works in parallel, in the order of the charts.
pub const FAN_OUT: &str = "subscriptions";
pub const SHARING: &str = "consumers";

/// One curve of a chart of speed-up.
#[derive(Clone, Debug, PartialEq)]
pub struct Speedup {
    pub label: String,
    pub system: String,
    pub steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub n: f64,
    /// 1 at the smallest step if that is 1.
    pub factor: f64,
    /// Whether everything arrived everywhere; `true` where nothing says otherwise.
    pub complete: bool,
}

/// The curves of one condition, such as 1 ms of work.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeedupGroup {
    pub key: &'static str,
    /// Values of the other keys.
    pub condition: String,
    pub curves: Vec<Speedup>,
}

/// All families of a row, fan-out first.
pub fn families(cells: &Cells<'_>) -> Vec<SpeedupGroup> {
    let mut families: Vec<SpeedupGroup> = Vec::new();
    for key in [FAN_OUT, SHARING] {
        for (label, system) in cells.labels() {
            let own: Vec<&ComparedCell> = cells.of_label(label, "goodput");
            let varies =
                |cell: &&ComparedCell| Point::read(&cell.cell).number(key).is_some() && key_of(&cell.cell) == Some(key);
            let mut conditions: Vec<String> = own
                .iter()
                .filter(|cell| varies(cell))
                .map(|cell| Point::read(&cell.cell).without(&[key]).values())
                .collect();
            conditions.dedup();
            for condition in conditions {
                let here = own
                    .iter()
                    .filter(|cell| varies(cell) && Point::read(&cell.cell).without(&[key]).values() == condition);
                let values = here.filter_map(|cell| Some((Point::read(&cell.cell).number(key)?, cell.value?, *cell)));
                let steps = speedup(key, values.map(|(n, value, cell)| (n, value, complete(cells, cell))).collect());
                if steps.is_empty() {
                    continue;
                }
                let curve = Speedup { label: label.to_owned(), system: system.to_owned(), steps };
                match families.iter_mut().find(|family| family.key == key && family.condition == condition) {
                    Some(family) if family.curves.iter().any(|known| known.label == label) => {}
                    Some(family) => family.curves.push(curve),
                    None => families.push(SpeedupGroup { key, condition, curves: vec![curve] }),
                }
            }
        }
    }
    families
}

/// Steps from (n, messages a second, complete) in any order.
pub fn speedup(key: &str, mut values: Vec<(f64, f64, bool)>) -> Vec<Step> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values.dedup_by_key(|(n, ..)| *n);
    let work = |n: f64, value: f64| if key == FAN_OUT { n * value } else { value };
    let Some((first, base)) =
        values.first().map(|(n, value, _)| (*n, work(*n, *value))).filter(|(_, base)| *base > 0.0)
    else {
        return Vec::new();
    };
    values.into_iter().map(|(n, value, complete)| Step { n, factor: first * work(n, value) / base, complete }).collect()
}

fn key_of(cell: &str) -> Option<&'static str> {
    [FAN_OUT, SHARING].into_iter().find(|key| Point::read(cell).get(key).is_some())
}

fn complete(cells: &Cells<'_>, cell: &ComparedCell) -> bool {
    let said = cells.of_label(&cell.label, "complete").into_iter().find(|other| other.cell == cell.cell);
    said.and_then(|cell| cell.value).is_none_or(|value| value >= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fan_out_counts_deliveries_and_sharing_counts_messages() {
        let factors = |key: &str, values: Vec<(f64, f64, bool)>| {
            speedup(key, values).into_iter().map(|step| step.factor).collect::<Vec<_>>()
        };
        assert_eq!(factors(SHARING, vec![(4.0, 390.0, true), (1.0, 100.0, true)]), [1.0, 3.9]);
        assert_eq!(factors(FAN_OUT, vec![(1.0, 100.0, true), (4.0, 50.0, true)]), [1.0, 2.0]);
        assert_eq!(factors(SHARING, vec![(2.0, 100.0, true), (4.0, 150.0, true)]), [2.0, 3.0], "from the ideal of 2");
        assert!(speedup(SHARING, vec![(1.0, 0.0, true)]).is_empty());
    }
}
