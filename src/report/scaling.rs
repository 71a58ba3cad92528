//! How figures grow with the number of subscriptions or consumers:
//! speed-up against the smallest step.
//!
//! With fan-out, what counts is deliveries (messages × subscriptions): the ideal is the number
//! itself, as for consumers. Of these a curve is drawn only where the single one was what limited.

use super::cells::Cells;
use super::chart::lines::Curve;
use super::group::known_or_new;
use crate::model::Point;
use crate::model::metric::HELD_BY_CONSUMERS;
use crate::result::{ComparedCell, LIMITED};
use itertools::Itertools;

/// The keys that count what works in parallel, in the order of the charts.
pub const FAN_OUT: &str = "subscriptions";
pub const SHARING: &str = "consumers";

/// What one label carried at one number of subscriptions or consumers.
pub struct ScaledRate<'a> {
    pub label: &'a str,
    pub system: &'a str,
    /// Values of the other keys.
    pub condition: String,
    pub n: f64,
    /// Messages a second.
    pub rate: f64,
    /// Whether everything arrived everywhere; `true` where nothing says otherwise.
    pub complete: bool,
    /// Whether it was the consumers that limited.
    pub limited: bool,
}

/// The curves of one condition, such as 1 ms of work: against the number the speed-up, filled where
/// it is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeedupGroup {
    pub key: &'static str,
    pub condition: String,
    pub curves: Vec<Curve>,
}

/// `None` at a point that does not say the number.
pub fn scaled<'a>(
    key: &str,
    (label, system, point): (&'a str, &'a str, &str),
    rate: f64,
    complete: bool,
    held_by_consumers: Option<f64>,
) -> Option<ScaledRate<'a>> {
    let point = Point::read(point);
    let condition = point.without(&[key]).values();
    let limited = held_by_consumers.is_some_and(|share| share >= LIMITED);
    Some(ScaledRate { label, system, condition, n: point.number(key)?, rate, complete, limited })
}

/// All families of a row, fan-out first.
pub fn families(cells: &Cells<'_>) -> Vec<SpeedupGroup> {
    let of_key = |key| {
        let own =
            cells.labels().into_iter().flat_map(|(label, _)| cells.of_label(label, "goodput"));
        let rates = own.filter(|cell| key_of(&cell.cell) == Some(key)).filter_map(|cell| {
            let held = cells.beside(cell, HELD_BY_CONSUMERS.name).and_then(|held| held.value);
            let place = (&*cell.label, &*cell.system, &*cell.cell);
            scaled(key, place, cell.value?, complete(cells, cell), held)
        });
        speedups(key, &rates.collect::<Vec<_>>())
    };
    [FAN_OUT, SHARING].into_iter().flat_map(of_key).collect()
}

/// The families of one key, each label with all its rates of one condition.
pub fn speedups(key: &'static str, rates: &[ScaledRate<'_>]) -> Vec<SpeedupGroup> {
    let mut families: Vec<SpeedupGroup> = Vec::new();
    for (label, system, condition) in
        rates.iter().map(|one| (one.label, one.system, &one.condition)).unique()
    {
        let own: Vec<_> = (rates.iter())
            .filter(|one| one.label == label && one.condition == *condition)
            .collect();
        if key == SHARING && !own.iter().any(|one| one.n == 1.0 && one.limited) {
            continue;
        }
        let own = own.into_iter();
        let points = speedup(key, own.map(|one| (one.n, one.rate, one.complete)).collect());
        if !points.is_empty() {
            let new = || SpeedupGroup { key, condition: condition.clone(), curves: Vec::new() };
            let family = known_or_new(&mut families, |family| family.condition == *condition, new);
            family.curves.push(Curve {
                label: label.to_owned(),
                system: system.to_owned(),
                points,
            });
        }
    }
    families
}

/// Number, speed-up and whether it is complete, from (number, messages a second, complete) in any
/// order. The speed-up is 1 at the smallest number if that is 1.
fn speedup(key: &str, mut values: Vec<(f64, f64, bool)>) -> Vec<(f64, f64, bool)> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values.dedup_by_key(|(n, ..)| *n);
    let work = |n: f64, value: f64| if key == FAN_OUT { n * value } else { value };
    let first = values.first().map(|(n, value, _)| (*n, work(*n, *value)));
    let Some((first, base)) = first.filter(|(_, base)| *base > 0.0) else { return Vec::new() };
    values
        .into_iter()
        .map(|(n, value, complete)| (n, first * work(n, value) / base, complete))
        .collect()
}

fn key_of(cell: &str) -> Option<&'static str> {
    [FAN_OUT, SHARING].into_iter().find(|key| Point::read(cell).get(key).is_some())
}

fn complete(cells: &Cells<'_>, cell: &ComparedCell) -> bool {
    let said =
        cells.of_label(&cell.label, "complete").into_iter().find(|other| other.cell == cell.cell);
    said.and_then(|cell| cell.value).is_none_or(|value| value >= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fan_out_counts_deliveries_and_sharing_counts_messages() {
        let factors = |key: &str, values: Vec<(f64, f64, bool)>| {
            speedup(key, values).into_iter().map(|(_, factor, _)| factor).collect::<Vec<_>>()
        };
        assert_eq!(factors(SHARING, vec![(4.0, 390.0, true), (1.0, 100.0, true)]), [1.0, 3.9]);
        assert_eq!(factors(FAN_OUT, vec![(1.0, 100.0, true), (4.0, 50.0, true)]), [1.0, 2.0]);
        assert_eq!(
            factors(SHARING, vec![(2.0, 100.0, true), (4.0, 150.0, true)]),
            [2.0, 3.0],
            "from the ideal of 2"
        );
        assert!(speedup(SHARING, vec![(1.0, 0.0, true)]).is_empty());
    }
}
