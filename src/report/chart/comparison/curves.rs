//! Speed-up against the number of subscriptions and of consumers, the ideal dashed; a hollow mark:
//! not complete.

use super::super::canvas::Figure;
use super::super::lines::{self, Plot};
use super::absences;
use crate::model::Point;
use crate::model::metric::SPEED_UP;
use crate::report::cells::{Cells, reason};
use crate::report::scaling::{FAN_OUT, SpeedupGroup, families};
use crate::result::words::significant;
use crate::result::{ComparedCell, Kind};
use itertools::Itertools;

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let families = families(cells);
    let plots: Vec<_> =
        families.iter().map(|family| (family.curves.clone(), plot(family))).collect();
    let mut y = lines::plots(figure, &plots, (3, 24.0, 230.0), top);
    let drawn = |label: &str| {
        families.iter().flat_map(|family| &family.curves).any(|curve| curve.label == label)
    };
    if !families.is_empty() {
        let labels = cells.labels().into_iter().filter(|(label, _)| drawn(label));
        y = lines::legend_of(figure, labels, true, y + 6.0);
        let text = "Factor of messages delivered a second against one. Hollow: not everything \
            arrived everywhere.";
        figure.notes.push(text.to_owned());
    }
    figure.notes.extend(unlimited(cells));
    // Labels with curves may still be unable to do a part of it.
    let unable = cells
        .all
        .iter()
        .filter(|cell| cell.kind == Kind::Cannot && drawn(&cell.label))
        .map(|cell| {
            let what =
                if Point::read(&cell.cell).get(FAN_OUT).is_some() { "fan-out" } else { "sharing" };
            format!("{}, {what}: {}.", cell.label, reason(cell))
        });
    figure.notes.extend(unable.unique());
    absences(figure, cells);
    y
}

/// Where work is shared and consumers were not what limited: there is no curve.
fn unlimited(cells: &Cells<'_>) -> Vec<String> {
    let none = cells.metric(SPEED_UP.name).into_iter().filter(|cell| cell.value.is_none());
    let of = |cell: &ComparedCell| {
        let why = cell.text.split(':').next().unwrap_or_default().to_owned();
        let work = Point::read(&cell.cell).get("work").unwrap_or_default();
        (why, format!("{} at {work}", cell.label))
    };
    let whose = none.map(of).unique().into_group_map();
    let told = |(why, whose): (String, Vec<String>)| {
        format!("No speed-up of {}: {why}.", whose.join(", "))
    };
    whose.into_iter().sorted().map(told).collect()
}

fn plot(family: &SpeedupGroup) -> Plot<'_> {
    let what = if family.key == FAN_OUT { "Every one reads all" } else { "They share the work" };
    let title = match family.condition.as_str() {
        "" => what.to_owned(),
        condition if family.key == FAN_OUT => format!("{what}, {condition}"),
        condition => format!("Shared, {condition} each"),
    };
    Plot {
        title,
        x_name: family.key,
        y_name: "speed-up, ×",
        better: SPEED_UP.better,
        x_tick: &whole,
        y_tick: &whole,
        ideal: true,
    }
}

fn whole(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { significant(value) }
}
