//! The comparison at a glance: the finding, a line for each claim with its verdict, and charts of
//! the strongest findings. At most 1200 × 900, no letter below 12 px, nothing cut off.

use super::axis::Scale;
use super::canvas::{
    Align, BAD, BAND, Figure, GOOD, GOOD_BAND, GRID, HALF, HALF_BAND, INK, MUTED, SHADE,
};
use super::palette;
use crate::claims::{self, FaceDrawing, Pick, Struck};
use crate::model::metric::FAULT_RPO_TIME;
use crate::model::{System, Unit};
use crate::report::cells::Cells;
use crate::report::face::{self, Chip, FaceLine, short};
use crate::report::quantity;
use crate::report::table::DataTable;
use crate::result::words::{TimeUnit, compact};
use crate::result::{ComparedCell, Comparison, Verdict};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
const STEP: f64 = 42.0;
const HALF_STEP: f64 = 28.0;
/// The smallest letters; those of the lines; of titles of charts.
const NOTE: f64 = 12.0;
const TEXT: f64 = 14.0;
const TITLE: f64 = 15.0;
/// Where the values of each system end, and where the verdicts begin.
const COLUMNS: [f64; 4] = [560.0, 690.0, 820.0, 950.0];
const CHIPS: f64 = 976.0;
/// A chart, of three in a row.
const CHART: f64 = 368.0;
const GAP: f64 = 24.0;
const LANE: f64 = 40.0;
/// Between the title of a chart and its lanes.
const HEAD: f64 = 66.0;

pub fn draw(comparison: &Comparison) -> Figure {
    let lines = face::lines(comparison);
    let about = face::about(comparison);
    let mut figure = Figure::new(WIDTH, face::title(comparison), about.clone());
    let title = figure.title.clone();
    let mut y = figure.wrapped((MARGIN, 34.0), &title, 22.0, INK, WIDTH - 2.0 * MARGIN, true);
    y = figure.wrapped((MARGIN, y - 4.0), &about, NOTE, MUTED, WIDTH - 2.0 * MARGIN, false);
    y = heads(&mut figure, y + 10.0);
    for line in &lines {
        y = row(&mut figure, line, y);
    }
    figure.line(vec![(MARGIN, y), (WIDTH - MARGIN, y)], GRID, 1.0, &[]);
    let legend = face::legend(&lines).join(" · ");
    y = figure.wrapped((MARGIN, y + 16.0), &legend, NOTE, MUTED, WIDTH - 2.0 * MARGIN, false);
    figure.height = charts(&mut figure, comparison, y + 12.0) + 8.0;
    figure.data = data(&lines);
    figure
}

fn heads(figure: &mut Figure, y: f64) -> f64 {
    for (system, right) in System::NAMES.into_iter().zip(COLUMNS) {
        let style = palette::of(system);
        figure.bold((right, y), short(system), TEXT, INK, Align::Right);
        let left = right - super::letters::width(short(system), TEXT, true);
        figure.marker((left - 12.0, y), style.marker, 4.5, style.color, true);
    }
    figure.bold((CHIPS + 10.0, y), "Is the claim right?", TEXT, INK, Align::Left);
    y + 18.0
}

fn row(figure: &mut Figure, line: &FaceLine, top: f64) -> f64 {
    figure.line(vec![(MARGIN, top), (WIDTH - MARGIN, top)], GRID, 1.0, &[]);
    let step = if line.says.is_some() { STEP } else { HALF_STEP };
    let y = top + step / 2.0;
    match &line.says {
        Some(says) => {
            figure.bold((MARGIN, y - 8.0), says, TEXT, INK, Align::Left);
            figure.text((MARGIN, y + 9.0), &line.question, NOTE, MUTED, Align::Left);
        }
        None => figure.text((MARGIN, y), &line.question, NOTE, MUTED, Align::Left),
    }
    for (value, right) in line.values.iter().zip(COLUMNS) {
        figure.text((right, y), value, TEXT, INK, Align::Right);
    }
    if let Some(chip) = &line.chip {
        pill(figure, chip, y);
    }
    top + step
}

fn pill(figure: &mut Figure, chip: &Chip, y: f64) {
    let (ink, band) = match chip.answer {
        Verdict::Right => (GOOD, GOOD_BAND),
        Verdict::Wrong => (BAD, BAND),
        Verdict::Mixed => (HALF, HALF_BAND),
        Verdict::Open | Verdict::Documented | Verdict::NotMeasured => (MUTED, SHADE),
    };
    figure.pill((CHIPS, y - 11.0), (WIDTH - MARGIN - CHIPS, 22.0), band);
    figure.bold((CHIPS + 10.0, y), &chip.text, NOTE, ink, Align::Left);
}

fn data(lines: &[FaceLine]) -> DataTable {
    let head = ["Question"].into_iter().chain(System::NAMES.map(short)).chain(["Verdict"]);
    let row = |line: &FaceLine| {
        let chip = line.chip.as_ref().map_or_else(String::new, |chip| chip.text.clone());
        let says = line.says.as_ref().map_or_else(String::new, |says| format!("{says}: "));
        let cells = line.values.iter().cloned().chain([chip]);
        std::iter::once(says + &line.question).chain(cells).collect()
    };
    DataTable::new(head, lines.iter().map(row).collect())
}

/// Side by side; returns where the longest ends.
fn charts(figure: &mut Figure, comparison: &Comparison, top: f64) -> f64 {
    let mut bottom = top;
    for (at, chart) in claims::face_charts().iter().enumerate() {
        let place = (MARGIN + (CHART + GAP) * at as f64, top);
        let Some(claim) = comparison.claims.iter().find(|claim| claim.id == chart.claim) else {
            continue;
        };
        let title = face::core(comparison, &chart.finding).unwrap_or_else(|| chart.title.clone());
        figure.wrapped((place.0, top + 8.0), &title, TITLE, INK, CHART, true);
        figure.text((place.0, top + 50.0), &chart.note, NOTE, MUTED, Align::Left);
        let cells = Cells::of(claim, &comparison.runs);
        let end = match &chart.draw {
            FaceDrawing::Pair { from, to } => pair(figure, &cells, [from, to], place),
            FaceDrawing::Quantiles { of } => quantiles(figure, &cells, of, place),
            FaceDrawing::Lost { of } => lost(figure, &cells, of, place),
        };
        bottom = bottom.max(end);
    }
    bottom
}

/// Of each system two values on one log axis: hollow and filled.
fn pair(
    figure: &mut Figure,
    cells: &Cells<'_>,
    [from, to]: [&Pick; 2],
    (left, top): (f64, f64),
) -> f64 {
    let value = |pick: &Pick, system: &str| face::picked(cells, pick, system)?.value;
    let lanes: Vec<(&str, Option<f64>, Option<f64>)> = System::NAMES
        .into_iter()
        .map(|system| (system, value(from, system), value(to, system)))
        .filter(|(_, from, to)| from.or(*to).is_some())
        .collect();
    let all = || lanes.iter().flat_map(|(_, from, to)| from.iter().chain(to)).copied();
    let scale = Scale::log(all(), left + 84.0, left + CHART - 30.0);
    let bottom = axis(figure, &scale, (left, top + HEAD), lanes.len(), "better →", &compact);
    for (lane, (system, from, to)) in lanes.iter().enumerate() {
        let (y, style) = (lane_at(top, lane), palette::of(system));
        figure.text((left, y), short(system), 13.0, INK, Align::Left);
        if let (Some(from), Some(to)) = (from, to) {
            let bar = vec![(scale.at(*from), y), (scale.at(*to), y)];
            figure.line(bar, style.color, 2.5, &[]);
        }
        let near = from.zip(*to).is_some_and(|(a, b)| (scale.at(a) - scale.at(b)).abs() < 44.0);
        for (value, filled) in [(from, false), (to, true)] {
            let Some(value) = value else { continue };
            let at = (scale.at(*value), y);
            figure.marker(at, style.marker, 5.5, style.color, filled);
            let above = if near && !filled { -14.0 } else { 13.0 };
            figure.text((at.0, y - above), compact(*value), NOTE, INK, Align::Middle);
        }
    }
    bottom
}

/// Of each system three quantiles on one log axis, the middle one filled and in words.
fn quantiles(
    figure: &mut Figure,
    cells: &Cells<'_>,
    picks: &[Pick],
    (left, top): (f64, f64),
) -> f64 {
    let values = |system: &str| -> Vec<Option<f64>> {
        picks.iter().map(|pick| face::picked(cells, pick, system)?.value).collect()
    };
    let mut lanes = System::NAMES.map(|system| (system, values(system))).to_vec();
    lanes.retain(|(_, own)| own.iter().any(Option::is_some));
    let all = || lanes.iter().flat_map(|(_, own)| own.iter().flatten()).copied();
    let unit = TimeUnit::for_column(all());
    let scale = Scale::log(all(), left + 84.0, left + CHART - 30.0);
    let tick = |ns: f64| unit.of(ns);
    let bottom = axis(figure, &scale, (left, top + HEAD), lanes.len(), "← better", &tick);
    for (lane, (system, own)) in lanes.iter().enumerate() {
        let (y, style) = (lane_at(top, lane), palette::of(system));
        figure.text((left, y), short(system), 13.0, INK, Align::Left);
        let found = || own.iter().flatten().map(|value| (scale.at(*value), y));
        figure.line(found().collect(), style.color, 2.5, &[]);
        for (at, value) in own.iter().enumerate() {
            let Some(value) = value else { continue };
            let middle = at == 1;
            let radius = if middle { 5.5 } else { 3.5 };
            figure.marker((scale.at(*value), y), style.marker, radius, style.color, middle);
            if middle {
                let text = format!("{} {}", unit.of(*value), unit.name());
                figure.text((scale.at(*value), y - 13.0), text, NOTE, INK, Align::Middle);
            }
        }
    }
    bottom
}

/// For how long what was acknowledged is gone, a bar for each setting.
fn lost(figure: &mut Figure, cells: &Cells<'_>, of: &[Struck], (left, top): (f64, f64)) -> f64 {
    const BAR: f64 = 24.0;
    let bars: Vec<(&Struck, &ComparedCell, f64)> = of
        .iter()
        .filter_map(|one| {
            let gone = face::gone(cells, one)?;
            Some((one, gone, cells.beside(gone, FAULT_RPO_TIME.name)?.value?))
        })
        .collect();
    let most = bars.iter().map(|(.., time)| *time).fold(0.0, f64::max);
    let (from, room) = (left + 226.0, CHART - 226.0 - 100.0);
    for (lane, (one, gone, time)) in bars.iter().enumerate() {
        let y = top + HEAD + 6.0 + BAR * lane as f64;
        figure.text((left, y), &one.words, NOTE, INK, Align::Left);
        let long = if most > 0.0 { room * time / most } else { 0.0 };
        figure.area(
            vec![
                (from, y - 7.0),
                (from + long.max(1.5), y - 7.0),
                (from + long.max(1.5), y + 7.0),
                (from, y + 7.0),
            ],
            palette::of(&gone.system).color,
        );
        let text = if *time > 0.0 {
            format!("the last {}", quantity::words(*time, Unit::Nanoseconds.name()))
        } else {
            format!("none in {}", gone.n)
        };
        figure.text((from + long.max(1.5) + 6.0, y), text, NOTE, INK, Align::Left);
    }
    top + HEAD + BAR * bars.len() as f64
}

fn lane_at(top: f64, lane: usize) -> f64 {
    top + HEAD + 22.0 + LANE * lane as f64
}

/// Grid and ticks below the lanes, and which way is better.
fn axis(
    figure: &mut Figure,
    scale: &Scale,
    (left, top): (f64, f64),
    lanes: usize,
    better: &str,
    tick: &dyn Fn(f64) -> String,
) -> f64 {
    let bottom = top + LANE * lanes as f64 + 8.0;
    scale.draw_grid(figure, top, bottom);
    scale.draw_labels(figure, bottom, tick);
    figure.text((left, bottom + 11.0), better, NOTE, MUTED, Align::Left);
    bottom + 22.0
}
