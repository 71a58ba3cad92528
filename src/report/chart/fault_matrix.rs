//! Fault × system × configuration: what was lost (RPO) and how long it took (RTO), as a matrix in words.
//!
//! Blocks and injections are put together: losses summed, times as the median with their range.

use super::canvas::{DataTable, Figure, INK, MUTED};
use super::comparison::matrix::{self, MatrixEntry, MatrixRow};
use crate::model::Point;
use crate::report::fault_cost::FaultCost;
use crate::result::fault_figures::{
    FaultFigure, PROBE, REDUNDANCY, RPO_TIME, RTO_90, RTO_DELIVER, RTO_PUBLISH, SCRIPTED,
};
use crate::result::words::{grouped, time};

const WIDTH: f64 = 900.0;
const SMALL: f64 = 11.0;

const TIMES: [(&str, FaultFigure); 7] = [
    ("of the last (RPO)", RPO_TIME),
    ("taken again after (RTO)", RTO_PUBLISH),
    ("delivered again after", RTO_DELIVER),
    ("90 % of the rate after", RTO_90),
    ("of it by the script", SCRIPTED),
    ("new client after", PROBE),
    ("all copies after", REDUNDANCY),
];
type Time = (&'static str, FaultFigure);

/// `None` for fewer than two labels: then there is nothing to compare.
pub fn draw(costs: &[FaultCost<'_>]) -> Option<Figure> {
    let first = costs.first()?;
    if costs.iter().all(|cost| cost.label == first.label) {
        return None;
    }
    let mut figure = Figure::new(WIDTH, title(costs), caption(costs));
    let mut y = figure.wrapped((16.0, 24.0), &figure.title.clone(), 15.0, INK, WIDTH - 32.0, true);
    let shown: Vec<&Time> = TIMES.iter().filter(|(_, of)| costs.iter().any(|cost| cost.time(of).is_some())).collect();
    let head: Vec<String> = std::iter::once("acknowledged and gone")
        .chain(shown.iter().map(|(name, _)| *name))
        .map(str::to_owned)
        .collect();
    let mut faults: Vec<&str> = Vec::new();
    for cost in costs {
        if !faults.contains(&cost.fault.as_str()) {
            faults.push(&cost.fault);
        }
    }
    for fault in &faults {
        let here: Vec<&FaultCost<'_>> = costs.iter().filter(|cost| cost.fault == *fault).collect();
        y = figure.wrapped((16.0, y + 6.0), fault, 12.5, INK, WIDTH - 32.0, true);
        let lines: Vec<MatrixRow> = here.iter().map(|cost| line(cost, &shown)).collect();
        y = matrix::draw(&mut figure, &head, &lines, y) + 4.0;
    }
    figure.height = figure.wrapped((16.0, y), &figure.caption.clone(), SMALL, MUTED, WIDTH - 32.0, false) + 4.0;
    figure.data = DataTable {
        head: ["fault", "label", "matrix point", "injections"].map(str::to_owned).into_iter().chain(head).collect(),
        rows: costs.iter().map(|cost| row(cost, &shown)).collect(),
    };
    Some(figure)
}

fn line(cost: &FaultCost<'_>, shown: &[&Time]) -> MatrixRow {
    let known = |text: String, known: bool| MatrixEntry { text, share: None, known };
    let mut entries = vec![known(cost.lost_in_words(), cost.lost().is_some())];
    entries.extend(shown.iter().map(|(_, of)| known(cost.time_in_words(of), cost.time(of).is_some())));
    let point = Point::read(cost.point).values();
    let label = if point.is_empty() { cost.label.to_owned() } else { format!("{}, {point}", cost.label) };
    MatrixRow { label, system: cost.system.to_owned(), entries }
}

fn row(cost: &FaultCost<'_>, shown: &[&Time]) -> Vec<String> {
    let mut row =
        vec![cost.fault.clone(), cost.label.to_owned(), cost.point.to_owned(), cost.struck().count().to_string()];
    row.push(cost.lost_in_words());
    row.extend(shown.iter().map(|(_, of)| cost.time_in_words(of)));
    row
}

/// Who lost most, and who took longest.
fn title(costs: &[FaultCost<'_>]) -> String {
    let lost: Vec<(u64, &FaultCost<'_>)> = costs.iter().filter_map(|cost| Some((cost.lost()?, cost))).collect();
    let losers = lost.iter().filter(|(lost, _)| *lost > 0).count();
    let loss = match lost.iter().max_by_key(|(lost, _)| *lost) {
        Some((most, cost)) if *most > 0 && losers > 1 => {
            format!("{losers} of {} lost acknowledged messages, {} most ({})", costs.len(), cost.label, grouped(*most))
        }
        Some((most, cost)) if *most > 0 => {
            format!("{} lost {} acknowledged messages, {} others none", cost.label, grouped(*most), lost.len() - 1)
        }
        Some(_) => format!("Nothing acknowledged was lost by {} of {}", lost.len(), costs.len()),
        None => "What was lost is not known".to_owned(),
    };
    let back = costs.iter().filter_map(|cost| Some((cost.time(&RTO_PUBLISH)?[2], cost)));
    let unseen = |cost: &&FaultCost<'_>| cost.struck().next().is_some() && cost.time(&RTO_PUBLISH).is_none();
    let away = match costs.iter().filter(unseen).count() {
        0 => String::new(),
        count => format!("; {count} of {} not seen to come back", costs.len()),
    };
    match back.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((ns, cost)) => {
            let others = if away.is_empty() { "" } else { "the others " };
            format!("{loss}{away}; {others}back after at most {} ({})", time(ns), cost.label)
        }
        None => loss + &away,
    }
}

fn caption(costs: &[FaultCost<'_>]) -> String {
    let least = costs.iter().map(|cost| cost.struck().count()).min().unwrap_or(0);
    let most = costs.iter().map(|cost| cost.struck().count()).max().unwrap_or(0);
    let count = if least == most { format!("{most}") } else { format!("{least} to {most}") };
    let mut text = format!(
        "{count} injection{} each; losses summed, times: median with range, from the moment a fault took effect, of the \
         slowest partition or stream.",
        if most == 1 { "" } else { "s" }
    );
    let mut missed: Vec<String> = Vec::new();
    for cost in costs.iter().filter(|cost| !cost.missed.is_empty()) {
        missed.push(format!("{}: {}", cost.label, cost.missed[0]));
    }
    if !missed.is_empty() {
        text.push_str(&format!(" Not applied: {}.", missed.join("; ")));
    }
    text
}
