//! The comparison table as one figure: a panel for each measured claim with its verdict above, the rest in one line.

use super::canvas::{Align, Figure, GRID, INK, MUTED};
use super::rows::{self, Block, Row};
use super::run::quantile_text;
use crate::report::table::{claim_title, is_ratio};
use crate::result::words::{TimeUnit, compact, grouped};
use crate::result::{Claim, ComparedCell, Comparison};

const WIDTH: f64 = 900.0;

pub fn draw(comparison: &Comparison) -> Figure {
    let measured: Vec<&Claim> =
        comparison.claims.iter().filter(|claim| claim.cells.iter().any(|cell| cell.value.is_some())).collect();
    let rest: Vec<String> = comparison
        .claims
        .iter()
        .filter(|claim| !measured.iter().any(|m| m.id == claim.id))
        .map(|claim| claim_title(&claim.id))
        .collect();
    let verdicts: Vec<String> =
        measured.iter().map(|claim| format!("{}: {}", claim_title(&claim.id), claim.verdict)).collect();
    let title =
        if verdicts.is_empty() { "Kafka and Redis: nothing measured yet".to_owned() } else { verdicts.join(" · ") };
    let mut versions: Vec<String> = comparison
        .runs
        .iter()
        .flat_map(|run| run.versions.values())
        .filter_map(|version| version.split(';').next().map(str::to_owned))
        .collect();
    versions.sort();
    versions.dedup();
    let shown = || {
        comparison.claims.iter().flat_map(|claim| &claim.cells).filter(|cell| cell.value.is_some() && !is_ratio(cell))
    };
    let blocks = shown().map(|cell| cell.blocks).min().unwrap_or(0);
    let least = shown().map(|cell| cell.n).min().unwrap_or(0);
    let caption = format!(
        "Profile {}; at least {} and {} messages a figure; {}.",
        comparison.profile,
        super::super::group::blocks(blocks as usize),
        grouped(least),
        versions.join(", ")
    );
    let mut figure = Figure::new(WIDTH, title, caption);
    let mut y = figure.wrapped(
        (16.0, 26.0),
        "Kafka against Redis Pub/Sub, Streams and Lists, claim by claim",
        17.0,
        INK,
        WIDTH - 32.0,
        true,
    );
    y += 8.0;
    for claim in measured {
        y = panel(&mut figure, claim, y);
        y += 22.0;
    }
    figure.line(vec![(16.0, y - 8.0), (WIDTH - 16.0, y - 8.0)], GRID, 1.0, &[]);
    if !rest.is_empty() {
        y = figure.wrapped(
            (16.0, y + 8.0),
            &format!("Not measured: {}.", rest.join(", ")),
            12.0,
            INK,
            WIDTH - 32.0,
            false,
        );
    }
    let foot = figure.wrapped((16.0, y + 8.0), &figure.caption.clone(), 11.0, MUTED, WIDTH - 32.0, false);
    figure.height = foot + 6.0;
    figure
}

fn panel(figure: &mut Figure, claim: &Claim, top: f64) -> f64 {
    figure.bold((16.0, top + 6.0), claim_title(&claim.id), 14.0, INK, Align::Left);
    let claimed = format!("Claimed of Kafka: {}. Of Redis: {}.", claim.kafka_claim, claim.redis_claim);
    let mut y = figure.wrapped((16.0, top + 26.0), &claimed, 11.0, MUTED, WIDTH - 32.0, false);
    y = figure.wrapped((16.0, y + 2.0), &format!("Verdict: {}", claim.verdict), 12.5, INK, WIDTH - 32.0, true) + 2.0;
    let cells: Vec<&ComparedCell> = claim.cells.iter().filter(|cell| !is_ratio(cell)).collect();
    if claim.id == "latency" { latency(figure, &cells, y) } else { dots(figure, &cells, y) }
}

/// Cells of one matrix point in blocks, one row per label.
fn blocks<'a>(
    cells: &[&'a ComparedCell],
    header: impl Fn(&ComparedCell) -> String,
    row: impl Fn(&'a ComparedCell) -> Row,
) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for cell in cells {
        let header = header(cell);
        match blocks.iter_mut().find(|block| block.header == header) {
            Some(block) => block.rows.push(row(cell)),
            None => blocks.push(Block { header, rows: vec![row(cell)] }),
        }
    }
    blocks
}

fn absent(cell: &ComparedCell) -> String {
    // Behind the survival class, which the table names.
    cell.per_block
        .iter()
        .find(|block| !block.because.is_empty())
        .map_or_else(|| "no value".to_owned(), |block| block.because.split(':').next().unwrap_or_default().to_owned())
}

fn dots(figure: &mut Figure, cells: &[&ComparedCell], top: f64) -> f64 {
    let class = |cell: &ComparedCell| cell.survives.as_ref().map(crate::result::words::survival).unwrap_or_default();
    let header = |cell: &ComparedCell| format!("{} · {}", cell.cell, class(cell));
    let blocks = blocks(cells, header, |cell| Row {
        label: cell.label.clone(),
        system: cell.system.clone(),
        value: cell.value,
        others: if cell.interval.is_some() || cell.blocks < 2 {
            Vec::new()
        } else {
            cell.per_block.iter().filter_map(|block| block.value).collect()
        },
        bar: cell.interval.map(|[low, high]| (low, high)),
        text: cell.value.map_or_else(
            || absent(cell),
            |value| {
                let interval = cell.interval.map(|[low, high]| format!(" [{}, {}]", compact(low), compact(high)));
                format!("{} {}{}", compact(value), cell.unit, interval.unwrap_or_default())
            },
        ),
    });
    rows::draw(figure, &blocks, top, "goodput, messages a second (log); line: 95 % interval from 3 blocks on", compact)
}

fn latency(figure: &mut Figure, cells: &[&ComparedCell], top: f64) -> f64 {
    let unit = TimeUnit::for_column(cells.iter().filter_map(|cell| cell.value));
    let of = |cell: &ComparedCell, metric: &str| {
        cells
            .iter()
            .find(|other| {
                other.metric == metric
                    && (&other.run, &other.label, &other.cell) == (&cell.run, &cell.label, &cell.cell)
            })
            .and_then(|other| other.value)
    };
    let middle: Vec<&ComparedCell> = cells.iter().filter(|cell| cell.metric == "end_to_end.p99").copied().collect();
    let blocks = blocks(
        &middle,
        |cell| cell.cell.clone(),
        |cell| {
            let (low, high) = (of(cell, "end_to_end.p50"), of(cell, "end_to_end.p99_9"));
            let values: Vec<f64> = [low, cell.value, high].into_iter().flatten().collect();
            Row {
                label: cell.label.clone(),
                system: cell.system.clone(),
                value: cell.value,
                others: [low, high].into_iter().flatten().collect(),
                bar: values.first().copied().zip(values.last().copied()),
                text: quantile_text(unit, [low, cell.value, high]).unwrap_or_else(|| absent(cell)),
            }
        },
    );
    let axis = format!("end-to-end latency, {} (log): small marks p50 and p99.9, large mark p99", unit.name());
    rows::draw(figure, &blocks, top, &axis, |ns| unit.of(ns))
}
