//! Speed-up against the number of subscriptions and of consumers, the ideal dashed; a hollow mark: not complete.

use super::super::canvas::{Figure, MUTED};
use super::super::lines::{self, Curve, Plot};
use super::{MARGIN, SMALL, absences};
use crate::model::Point;
use crate::report::cells::{Cells, reason};
use crate::report::scaling::{FAN_OUT, SpeedupGroup, families};
use crate::result::Kind;
use crate::result::words::significant;

const HIGH: f64 = 220.0;
const GAP: f64 = 14.0;

pub fn draw(figure: &mut Figure, cells: &Cells<'_>, top: f64) -> f64 {
    let families = families(cells);
    let room = figure.width - 2.0 * MARGIN;
    let mut y = top;
    for row in families.chunks(3) {
        let wide = (room - GAP * (row.len() as f64 - 1.0)) / row.len() as f64;
        for (at, family) in row.iter().enumerate() {
            let left = MARGIN + (wide + GAP) * at as f64;
            plot(figure, family, (left, left + wide, y, y + HIGH));
        }
        y += HIGH + 4.0;
    }
    let drawn = |label: &str| families.iter().flat_map(|family| &family.curves).any(|curve| curve.label == label);
    let labels = cells.labels().into_iter().filter(|(label, _)| drawn(label));
    let labels: Vec<(String, String)> = labels.map(|(label, system)| (label.to_owned(), system.to_owned())).collect();
    if !labels.is_empty() {
        y = lines::legend(figure, &labels, true, (MARGIN, y + 6.0), room);
        let text = "Factor of messages delivered a second against one. Hollow: not everything arrived everywhere.";
        y = figure.wrapped((MARGIN, y + 2.0), text, SMALL, MUTED, room, false);
    }
    // Labels with curves may still be unable to do a part of it.
    let mut unable: Vec<String> = (cells.all.iter())
        .filter(|cell| cell.kind == Kind::Cannot && drawn(&cell.label))
        .map(|cell| {
            let what = if Point::read(&cell.cell).get(FAN_OUT).is_some() { "fan-out" } else { "sharing" };
            format!("{}, {what}: {}.", cell.label, reason(cell))
        })
        .collect();
    unable.dedup();
    for text in unable {
        y = figure.wrapped((MARGIN, y), &text, SMALL, MUTED, room, false);
    }
    absences(figure, cells, y)
}

fn plot(figure: &mut Figure, family: &SpeedupGroup, room: lines::Room) {
    let what = if family.key == FAN_OUT { "Every one reads all" } else { "They share the work" };
    let curves: Vec<Curve> = (family.curves.iter())
        .map(|curve| Curve {
            label: curve.label.clone(),
            system: curve.system.clone(),
            points: curve.steps.iter().map(|step| (step.n, step.factor, step.complete)).collect(),
        })
        .collect();
    let title = match family.condition.as_str() {
        "" => what.to_owned(),
        condition if family.key == FAN_OUT => format!("{what}, {condition}"),
        condition => format!("Shared, {condition} each"),
    };
    let plot = Plot {
        title,
        x_name: family.key,
        y_name: "speed-up, ×".to_owned(),
        x_tick: &significant_whole,
        y_tick: &significant_whole,
        ideal: true,
    };
    lines::draw(figure, &curves, &plot, room);
}

fn significant_whole(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { significant(value) }
}
