//! Fault × system × configuration: what was lost (RPO) and how long it took (RTO), as a matrix in words.
//!
//! Blocks and injections are gathered: losses summed, times as the median with their range.

use super::canvas::{DataTable, Figure, INK, MUTED};
use super::comparison::matrix::{self, Entry, Line};
use crate::report::toll::Toll;
use crate::result::Fault;
use crate::result::words::{grouped, time};

const WIDTH: f64 = 900.0;
const SMALL: f64 = 11.0;

type Time = (&'static str, fn(&Fault) -> Option<u64>);
const TIMES: [Time; 7] = [
    ("of the last (RPO)", |fault| fault.rpo_ns),
    ("taken again after (RTO)", |fault| fault.rto_publish_ns),
    ("delivered again after", |fault| fault.rto_deliver_ns),
    ("90 % of the rate after", |fault| fault.rto_90_ns),
    ("of it by the script", |fault| fault.scripted_ns),
    ("new client after", |fault| fault.probe_rto_ns),
    ("all copies after", |fault| fault.redundancy_ns),
];

/// `None` for fewer than two labels: then there is nothing to compare.
pub fn draw(tolls: &[Toll<'_>]) -> Option<Figure> {
    let first = tolls.first()?;
    if tolls.iter().all(|toll| toll.label == first.label) {
        return None;
    }
    let mut figure = Figure::new(WIDTH, title(tolls), caption(tolls));
    let mut y = figure.wrapped((16.0, 24.0), &figure.title.clone(), 15.0, INK, WIDTH - 32.0, true);
    let shown: Vec<&Time> = TIMES.iter().filter(|(_, of)| tolls.iter().any(|toll| toll.time(of).is_some())).collect();
    let head: Vec<String> = std::iter::once("acknowledged and gone")
        .chain(shown.iter().map(|(name, _)| *name))
        .map(str::to_owned)
        .collect();
    let mut faults: Vec<&str> = Vec::new();
    for toll in tolls {
        if !faults.contains(&toll.fault.as_str()) {
            faults.push(&toll.fault);
        }
    }
    for fault in &faults {
        let here: Vec<&Toll<'_>> = tolls.iter().filter(|toll| toll.fault == *fault).collect();
        y = figure.wrapped((16.0, y + 6.0), fault, 12.5, INK, WIDTH - 32.0, true);
        let lines: Vec<Line> = here.iter().map(|toll| line(toll, &shown)).collect();
        y = matrix::draw(&mut figure, &head, &lines, y) + 4.0;
    }
    figure.height = figure.wrapped((16.0, y), &figure.caption.clone(), SMALL, MUTED, WIDTH - 32.0, false) + 4.0;
    figure.data = DataTable {
        head: ["fault", "label", "matrix point", "injections"].map(str::to_owned).into_iter().chain(head).collect(),
        rows: tolls.iter().map(|toll| row(toll, &shown)).collect(),
    };
    Some(figure)
}

fn line(toll: &Toll<'_>, shown: &[&Time]) -> Line {
    let known = |text: String, known: bool| Entry { text, share: None, known };
    let mut entries = vec![known(toll.lost_in_words(), toll.lost().is_some())];
    entries.extend(shown.iter().map(|(_, of)| known(toll.time_in_words(of), toll.time(of).is_some())));
    let point = crate::report::point::short(toll.point);
    let label = if point.is_empty() { toll.label.to_owned() } else { format!("{}, {point}", toll.label) };
    Line { label, system: toll.system.to_owned(), entries }
}

fn row(toll: &Toll<'_>, shown: &[&Time]) -> Vec<String> {
    let mut row = vec![toll.fault.clone(), toll.label.to_owned(), toll.point.to_owned(), toll.struck.len().to_string()];
    row.push(toll.lost_in_words());
    row.extend(shown.iter().map(|(_, of)| toll.time_in_words(of)));
    row
}

/// Who lost most, and who took longest.
fn title(tolls: &[Toll<'_>]) -> String {
    let lost: Vec<(u64, &Toll<'_>)> = tolls.iter().filter_map(|toll| Some((toll.lost()?, toll))).collect();
    let losers = lost.iter().filter(|(lost, _)| *lost > 0).count();
    let loss = match lost.iter().max_by_key(|(lost, _)| *lost) {
        Some((most, toll)) if *most > 0 && losers > 1 => {
            format!("{losers} of {} lost acknowledged messages, {} most ({})", tolls.len(), toll.label, grouped(*most))
        }
        Some((most, toll)) if *most > 0 => {
            format!("{} lost {} acknowledged messages, {} others none", toll.label, grouped(*most), lost.len() - 1)
        }
        Some(_) => format!("Nothing acknowledged was lost by {} of {}", lost.len(), tolls.len()),
        None => "What was lost is not known".to_owned(),
    };
    let back = tolls.iter().filter_map(|toll| Some((toll.time(|fault| fault.rto_publish_ns)?[2], toll)));
    let unseen = |toll: &&Toll<'_>| !toll.struck.is_empty() && toll.time(|fault| fault.rto_publish_ns).is_none();
    let away = match tolls.iter().filter(unseen).count() {
        0 => String::new(),
        count => format!("; {count} of {} not seen to come back", tolls.len()),
    };
    match back.max_by_key(|(ns, _)| *ns) {
        Some((ns, toll)) => {
            let others = if away.is_empty() { "" } else { "the others " };
            format!("{loss}{away}; {others}back after at most {} ({})", time(ns as f64), toll.label)
        }
        None => loss + &away,
    }
}

fn caption(tolls: &[Toll<'_>]) -> String {
    let least = tolls.iter().map(|toll| toll.struck.len()).min().unwrap_or(0);
    let most = tolls.iter().map(|toll| toll.struck.len()).max().unwrap_or(0);
    let count = if least == most { format!("{most}") } else { format!("{least} to {most}") };
    let mut text = format!(
        "{count} injection{} each; losses summed, times: median with range, from the moment a fault took effect, of the \
         slowest partition or stream.",
        if most == 1 { "" } else { "s" }
    );
    let mut missed: Vec<String> = Vec::new();
    for toll in tolls.iter().filter(|toll| !toll.missed.is_empty()) {
        missed.push(format!("{}: {}", toll.label, toll.missed[0]));
    }
    if !missed.is_empty() {
        text.push_str(&format!(" Not applied: {}.", missed.join("; ")));
    }
    text
}
