//! Fault × system × configuration: what was lost (RPO) and how long it took (RTO), as a matrix in
//! words.
//!
//! Blocks and injections are put together: losses summed, times as the median with their range.

use super::canvas::{Figure, INK, MARGIN};
use super::comparison::matrix::{Matrix, MatrixEntry, MatrixRow};
use crate::model::{Point, Told};
use crate::report::faults::FaultCost;
use crate::report::table::DataTable;
use crate::result::fault_figures::{FAULT_FIGURES, FaultFigure, PARTS_HEAD, RTO_PUBLISH};
use crate::result::words::{grouped, time};
use itertools::Itertools;
use std::cmp::Ordering;

/// `None` for fewer than two labels: then there is nothing to compare.
pub fn draw(costs: &[FaultCost<'_>]) -> Option<Figure> {
    let first = costs.first()?;
    if costs.iter().all(|cost| cost.label == first.label) {
        return None;
    }
    let (mut figure, mut y) = Figure::titled(title(costs), caption(costs));
    // The first is what was lost, which is always shown; the others are times.
    let (lost, times) = FAULT_FIGURES.split_first()?;
    let any = |of: &&FaultFigure| costs.iter().any(|cost| cost.time(of).is_some());
    let shown: Vec<&FaultFigure> = times.iter().filter(any).collect();
    let mut head: Vec<&str> =
        [lost].into_iter().chain(shown.iter().copied()).map(|of| of.head).collect();
    let parts = costs.iter().any(|cost| !cost.parts_in_words().is_empty());
    head.extend(parts.then_some(PARTS_HEAD));
    for fault in costs.iter().map(|cost| &cost.fault).unique() {
        y = figure.wrapped((MARGIN, y + 6.0), fault, 12.5, INK, figure.room(), true);
        let here = costs.iter().filter(|cost| cost.fault == *fault);
        let lines: Vec<MatrixRow> = here.map(|cost| line(cost, &shown, parts)).collect();
        y = Matrix { head: head.clone(), lines }.draw(&mut figure, y) + 4.0;
    }
    let head = ["fault", "label", "matrix point", "injections"].into_iter().chain(head);
    figure.data = DataTable::new(head, costs.iter().map(|cost| row(cost, &shown, parts)).collect());
    Some(figure.captioned(y))
}

fn line(cost: &FaultCost<'_>, shown: &[&FaultFigure], parts: bool) -> MatrixRow {
    let known = |text: String, known: bool| MatrixEntry { text, share: None, known };
    let mut entries = vec![known(cost.lost_in_words(), cost.lost().is_some())];
    entries.extend(shown.iter().map(|of| known(cost.time_in_words(of), cost.time(of).is_some())));
    entries.extend(parts.then(|| known(cost.parts_in_words(), true)));
    let point = Point::read(cost.point).values();
    let label =
        if point.is_empty() { cost.label.to_owned() } else { format!("{}, {point}", cost.label) };
    MatrixRow { label, system: cost.system.to_owned(), entries }
}

fn row(cost: &FaultCost<'_>, shown: &[&FaultFigure], parts: bool) -> Vec<String> {
    let place = [cost.fault.as_str(), cost.label, cost.point].map(str::to_owned).into_iter();
    let figures = [cost.struck().count().to_string(), cost.lost_in_words()];
    let times = shown.iter().map(|of| cost.time_in_words(of));
    place.chain(figures).chain(times).chain(parts.then(|| cost.parts_in_words())).collect()
}

fn title(costs: &[FaultCost<'_>]) -> String {
    let lost: Vec<(u64, &FaultCost<'_>)> =
        costs.iter().filter_map(|cost| Some((cost.lost()?, cost))).collect();
    let losers = lost.iter().filter(|(lost, _)| *lost > 0).count();
    let loss = match lost.iter().max_by_key(|(lost, _)| *lost) {
        Some((most, cost)) if *most > 0 && losers > 1 => {
            format!(
                "{losers} of {} lost acknowledged messages, {} most ({})",
                costs.len(),
                cost.label,
                grouped(*most)
            )
        }
        Some((most, cost)) if *most > 0 => {
            format!(
                "{} lost {} acknowledged messages, {} others none",
                cost.label,
                grouped(*most),
                lost.len() - 1
            )
        }
        Some(_) => format!("Nothing acknowledged was lost by {} of {}", lost.len(), costs.len()),
        None => "What was lost is not known".to_owned(),
    };
    let back = costs.iter().filter_map(|cost| Some((cost.time(&RTO_PUBLISH)?[2], cost)));
    let unseen =
        |cost: &&FaultCost<'_>| cost.struck().next().is_some() && cost.time(&RTO_PUBLISH).is_none();
    let away = match costs.iter().filter(unseen).count() {
        0 => String::new(),
        count => format!("; {count} of {} not seen to come back", costs.len()),
    };
    match back.max_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal)) {
        Some((Told::AtMost(_), _)) => {
            let others = if away.is_empty() { "none" } else { "of the others none" };
            format!("{loss}{away}; {others} was ever interrupted")
        }
        Some((Told::AtLeast(ns), cost)) => format!(
            "{loss}{away}; {} back only once the fault was over, after {}",
            cost.label,
            time(ns)
        ),
        Some((Told::Value(ns), cost)) => {
            let others = if away.is_empty() { "" } else { "the others " };
            format!("{loss}{away}; {others}back after at most {} ({})", time(ns), cost.label)
        }
        None => loss + &away,
    }
}

fn caption(costs: &[FaultCost<'_>]) -> String {
    let (least, most) =
        costs.iter().map(|cost| cost.struck().count()).minmax().into_option().unwrap_or_default();
    let count = if least == most { format!("{most}") } else { format!("{least} to {most}") };
    let text = format!(
        "{count} injection{} each; losses summed, times: median with range, from the moment a \
         fault took effect, of the slowest partition or stream.",
        if most == 1 { "" } else { "s" }
    );
    let missed = |cost: &FaultCost<'_>| Some(format!("{}: {}", cost.label, cost.missed.first()?));
    let missed = costs.iter().filter_map(missed).join("; ");
    if missed.is_empty() { text } else { format!("{text} Not applied: {missed}.") }
}
