//! The measured cells of a row: one per label, matrix point and metric, with the value of every block.
//!
//! A block that the harness spoilt has no value; neither has a latency of an overloaded one, since a percentile of a
//! saturated system is no property of it. Both stay visible as blocks without value.

use crate::result::words::survival;
use crate::result::{BlockValue, CellSummary, ComparedCell, Kind, Outcome, Quantiles, Summary, compare_points};
use crate::stats::compare::{GeometricMean, LEAST_BLOCKS};

/// A figure that a claim shows.
pub struct Figure {
    pub metric: &'static str,
    pub unit: &'static str,
    /// Whether the claim's verdict rests on it.
    pub judged: bool,
    /// Share of samples beyond the quantile; 1 for what is no quantile.
    pub beyond: f64,
    value: fn(&CellSummary) -> Option<f64>,
}

const THROUGHPUT: &[Figure] =
    &[Figure { metric: "goodput", unit: "msg/s", judged: true, beyond: 1.0, value: |cell| cell.rates.goodput_per_s }];

const LATENCY: &[Figure] = &[
    Figure { metric: "end_to_end.p50", unit: "ns", judged: true, beyond: 0.5, value: |c| end_to_end(c, |q| q.p50_ns) },
    Figure { metric: "end_to_end.p99", unit: "ns", judged: true, beyond: 0.01, value: |c| end_to_end(c, |q| q.p99_ns) },
    Figure {
        metric: "end_to_end.p99_9",
        unit: "ns",
        judged: false,
        beyond: 0.001,
        value: |c| end_to_end(c, |q| q.p99_9_ns),
    },
];

fn end_to_end(cell: &CellSummary, quantile: fn(&Quantiles) -> Option<u64>) -> Option<f64> {
    cell.latency.end_to_end.as_ref().and_then(quantile).map(|ns| ns as f64)
}

/// What a claim shows; nothing where its measurement does not exist yet.
pub fn figures(claim: &str) -> &'static [Figure] {
    match claim {
        "throughput" => THROUGHPUT,
        "latency" => LATENCY,
        _ => &[],
    }
}

/// The cells of one run, ordered by matrix point, then as the summary orders its labels, then by metric.
pub fn of_run(claim: &str, summary: &Summary) -> Vec<ComparedCell> {
    let mut groups: Vec<Vec<&CellSummary>> = Vec::new();
    for cell in &summary.cells {
        match groups.iter_mut().find(|group| group[0].label == cell.label && group[0].cell == cell.cell) {
            Some(group) => group.push(cell),
            None => groups.push(vec![cell]),
        }
    }
    groups.sort_by(|a, b| compare_points(&a[0].cell, &b[0].cell)); // stable: labels keep their order
    let one = |group: &[&CellSummary], figure: &Figure| {
        let first = group[0];
        let per_block = group.iter().map(|cell| block_value(cell, figure)).collect();
        let cell = ComparedCell {
            label: first.label.clone(),
            system: first.system.clone(),
            variant: first.variant.clone(),
            cell: first.cell.clone(),
            metric: figure.metric.to_owned(),
            kind: Kind::Measured,
            value: None,
            unit: figure.unit.to_owned(),
            interval: None,
            n: 0,
            blocks: 0,
            text: String::new(),
            run: Some(summary.run.clone()),
            survives: Some(first.survives.clone()),
            per_block,
        };
        recompute(cell)
    };
    groups.iter().flat_map(|group| figures(claim).iter().map(|figure| one(group, figure))).collect()
}

fn block_value(cell: &CellSummary, figure: &Figure) -> BlockValue {
    let latency = figure.metric.strip_prefix("end_to_end.");
    let saturated = latency.is_some() && cell.outcome == Outcome::Overloaded;
    let value = (figure.value)(cell).filter(|value| cell.valid && !saturated && *value > 0.0);
    let because = match () {
        () if !cell.valid => format!("invalid: {}", cell.invalid_because.join("; ")),
        () if cell.outcome != Outcome::Ok => {
            let outcome = format!("{:?}", cell.outcome).to_lowercase();
            let reasons = cell.outcome_because.join("; ");
            if reasons.is_empty() { outcome } else { format!("{outcome}: {reasons}") }
        }
        () if value.is_none() && latency.is_some() => "fewer than 10 samples beyond the quantile".to_owned(),
        () if value.is_none() => "nothing carried end to end".to_owned(),
        () => String::new(),
    };
    let floor = latency.and_then(|quantile| Some(*cell.floor.get("end_to_end")?.get(quantile)? as f64));
    let n = match latency {
        Some(_) => cell.latency.end_to_end.as_ref().map_or(0, |quantiles| quantiles.count),
        None => cell.counts.delivered.unwrap_or(0),
    };
    BlockValue { block: cell.block, value, floor, n, valid: cell.valid, outcome: cell.outcome, because }
}

/// Fills in what follows from the blocks of a cell: value, interval, counts and text.
pub fn recompute(mut cell: ComparedCell) -> ComparedCell {
    let values: Vec<f64> = cell.per_block.iter().filter_map(|block| block.value).collect();
    let mean = GeometricMean::of(&values);
    cell.value = mean.map(|mean| mean.value());
    cell.interval = mean.and_then(|mean| mean.interval());
    cell.blocks = values.len() as u32;
    cell.n = cell.per_block.iter().filter(|block| block.value.is_some()).map(|block| block.n).sum();
    cell.kind = if cell.per_block.iter().any(|block| block.valid) { Kind::Measured } else { Kind::NotMeasured };
    let mut text: Vec<String> = cell.survives.iter().map(survival).collect();
    if cell.value.is_some() && cell.interval.is_none() {
        let blocks = if values.len() == 1 { "1 block".to_owned() } else { format!("{} blocks", values.len()) };
        text.push(format!("no interval: {blocks}, {LEAST_BLOCKS} needed"));
    }
    let mut notes: Vec<&str> = cell.per_block.iter().map(|block| block.because.as_str()).collect();
    notes.retain(|note| !note.is_empty());
    notes.dedup();
    text.extend(notes.iter().map(|note| (*note).to_owned()));
    cell.text = text.join("; ");
    cell
}
