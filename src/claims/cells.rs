//! The measured cells of a row: one per label, point and metric, with the value of every block.
//!
//! Plain load gives the figures that the row names, and what its faults cost; an experiment gives
//! what it observed. A block that the harness spoilt has no value; neither has a latency of an
//! overloaded or violated one, since a percentile of a saturated system is no property of it. Both
//! stay visible as blocks without value.

use super::data::empty_cell;
use super::faults;
use super::saturation;
use super::tries;
use crate::model::{Aggregate, Measure, Point, Told, Unit, metric};
use crate::result::words::{name, survival, time};
use crate::result::{
    BlockValue, CellOutcome, CellResources, CellSummary, ComparedCell, Kind, LatencyValue,
    Resources, Summary, Survives, latency_value, measured,
};
use crate::stats::compare::LEAST_BLOCKS;
use crate::stats::{over_blocks, told_over_blocks};
use indexmap::IndexMap;
use itertools::Itertools;

/// The cells of one run, ordered by matrix point, then as the summary orders its labels, then by
/// metric.
pub fn of_run(figures: &[String], summary: &Summary) -> Vec<ComparedCell> {
    let mut groups: IndexMap<(&str, &str), Vec<&CellSummary>> = IndexMap::new();
    for cell in &summary.cells {
        groups.entry((&cell.cell, &cell.label)).or_default().push(cell);
    }
    // Stable: labels keep their order.
    groups.sort_by(|(a, _), _, (b, _), _| Point::read(a).cmp(&Point::read(b)));
    let mut cells = Vec::new();
    for group in groups.into_values() {
        // Load that a system cannot carry by its nature has no figures, only the reason.
        let unable =
            |cell: &&CellSummary| cell.observations.iter().any(|seen| seen.kind == Kind::Cannot);
        if !group.iter().any(|cell| cell.experiment.is_some() || unable(cell)) {
            let wanted = figures.iter().filter_map(|name| name.parse().ok());
            cells.extend(wanted.map(|measure| plain_cell(&group, measure, &summary.run)));
        }
        cells.extend(tries::condensed(observed_cells(&group, &summary.run)));
        cells.extend(faults::of_group(&group, &summary.run));
    }
    cells
}

pub(super) fn cell_of(first: &CellSummary, metric: &str, unit: Unit, run: &str) -> ComparedCell {
    ComparedCell {
        variant: first.variant.clone(),
        same_as: first.same_as.clone(),
        nodes: Some(first.nodes),
        cell: first.cell.clone(),
        unit: unit.name().to_owned(),
        run: Some(run.to_owned()),
        survives: Some(Survives { because: String::new(), ..first.survives }),
        ..empty_cell(&first.label, &first.system, metric)
    }
}

fn plain_cell(group: &[&CellSummary], measure: Measure, run: &str) -> ComparedCell {
    let per_block = group.iter().map(|cell| block_value(cell, measure)).collect();
    let cell = cell_of(group[0], &measure.to_string(), measure.unit(), run);
    let resources = Some(resources(group));
    let speed = measure.metric == metric::GOODPUT;
    let notes = if speed { saturation::notes(group) } else { Vec::new() };
    let setting = group.iter().find_map(|cell| cell.setting.clone()).filter(|_| speed);
    recompute(ComparedCell { kind: Kind::Measured, per_block, resources, notes, setting, ..cell })
}

fn resources(group: &[&CellSummary]) -> CellResources {
    let all_spoilt = !group.iter().any(|cell| cell.valid);
    let valid = || group.iter().filter(|cell| cell.valid || all_spoilt).map(|cell| &cell.resources);
    let mean = |of: fn(&Resources) -> Option<f64>| {
        let found: Vec<f64> = valid().filter_map(of).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    };
    let saturated = valid().filter_map(|of| of.saturated.clone()).counts();
    CellResources {
        client_cpu_ns_per_message: mean(|of| of.client_cpu_ns_per_message),
        broker_cpu_ns_per_message: mean(|of| of.broker_cpu_ns_per_message),
        client_share: mean(|of| of.client_share),
        saturated: saturated.into_iter().map(|(what, blocks)| (what, blocks as u32)).collect(),
    }
}

fn block_value(cell: &CellSummary, measure: Measure) -> BlockValue {
    let latency = measure.latency();
    let saturated = latency.is_some() && cell.outcome.spoils_latency();
    // Neither a rate nor a latency is ever zero: nothing went through.
    let nothing = |value: &f64| measure.metric.over_blocks == Aggregate::Geometric && *value <= 0.0;
    let value = measured(measure, cell).filter(|value| cell.valid && !saturated && !nothing(value));
    let mut because = what_happened(cell);
    let bound = latency_value(measure, cell).filter(|_| cell.valid && !saturated);
    let at_least = bound.filter(|bound| bound.exact().is_none()).map(LatencyValue::least);
    if because.is_empty() && value.is_none() {
        because = match (latency, at_least) {
            (_, Some(ns)) => format!("more than {}", time(ns)),
            (Some(_), _) => "fewer than 10 samples beyond the quantile".to_owned(),
            (None, _) => "nothing carried end to end".to_owned(),
        };
    }
    let floor = || {
        let quantile = measure.to_string().rsplit_once('.')?.1.to_owned();
        Some(*cell.floor.get(latency?.name())?.get(&quantile)? as f64)
    };
    let n = match latency {
        Some(latency) => cell.latency.get(latency).map_or(0, |quantiles| quantiles.count),
        None => cell.counts.delivered.unwrap_or(0),
    };
    BlockValue { at_least, floor: floor(), ..block(cell, value, n, because) }
}

pub(super) fn block(cell: &CellSummary, value: Option<f64>, n: u64, because: String) -> BlockValue {
    BlockValue {
        block: cell.block,
        value,
        n,
        valid: cell.valid,
        outcome: cell.outcome,
        because,
        ..BlockValue::default()
    }
}

/// Why a block is invalid or its outcome not `ok`; empty otherwise.
fn what_happened(cell: &CellSummary) -> String {
    if !cell.valid {
        return format!("invalid: {}", cell.invalid_because.join("; "));
    }
    if cell.outcome == CellOutcome::Ok {
        return String::new();
    }
    let outcome = name(&cell.outcome);
    let reasons = cell.outcome_because.join("; ");
    if reasons.is_empty() { outcome } else { format!("{outcome}: {reasons}") }
}

/// What an experiment observed of one label at one matrix point: a cell for each metric and point
/// of its own.
fn observed_cells(group: &[&CellSummary], run: &str) -> Vec<ComparedCell> {
    let mut cells: IndexMap<(String, &str), ComparedCell> = IndexMap::new();
    for cell in group {
        for observation in &cell.observations {
            let point = joined(&cell.cell, &observation.point);
            let because = [&what_happened(cell), &observation.text];
            let because = because.into_iter().filter(|text| !text.is_empty()).join("; ");
            let value =
                observation.value.filter(|_| cell.valid && observation.kind == Kind::Measured);
            let value = block(cell, value, observation.n, because);
            let seen =
                cells.entry((point, &observation.metric)).or_insert_with_key(|(point, metric)| {
                    ComparedCell {
                        cell: point.clone(),
                        kind: observation.kind,
                        unit: observation.unit.clone(),
                        ..cell_of(cell, metric, Unit::Messages, run)
                    }
                });
            seen.kind = stronger(seen.kind, observation.kind);
            seen.per_block.push(value);
        }
    }
    cells.into_values().map(recompute).collect()
}

/// What was measured in one block counts over what could not be in another.
fn stronger(a: Kind, b: Kind) -> Kind {
    let strongest = [Kind::Measured, Kind::Cannot].into_iter().find(|kind| [a, b].contains(kind));
    strongest.unwrap_or(a)
}

/// The matrix point and the experiment's own, as one.
pub(super) fn joined(matrix: &str, own: &str) -> String {
    Point::read(matrix).and(&Point::read(own)).to_string()
}

/// Fills in what follows from the blocks of a cell: value, interval, counts and text.
///
/// The value is what the registry makes of the blocks.
pub fn recompute(mut cell: ComparedCell) -> ComparedCell {
    let values: Vec<f64> = cell.per_block.iter().filter_map(|block| block.value).collect();
    let over = over_blocks(&cell.metric, &cell.unit, &values);
    let told: Vec<Told<f64>> = cell.per_block.iter().filter_map(BlockValue::told).collect();
    let whole = told_over_blocks(&cell.metric, &cell.unit, &told);
    let mean = over.and_then(|over| over.mean).filter(|_| values.len() == told.len());
    cell.value = whole.and_then(Told::value);
    cell.at_most = whole.and_then(Told::at_most);
    cell.at_least = whole.and_then(Told::at_least);
    cell.interval = mean.and_then(|mean| mean.interval());
    cell.blocks = told.len() as u32;
    let counted = cell.per_block.iter().filter(|block| block.told().is_some());
    cell.n = counted.fold(0, |n, block| n.saturating_add(block.n));
    let unit = metric::find(&cell.metric).map_or("", |metric| metric.counted());
    cell.n_unit = unit.to_owned();
    cell.kind = match cell.kind {
        Kind::Cannot | Kind::NotMeasured if told.is_empty() => cell.kind,
        _ if cell.per_block.iter().any(|block| block.valid) => Kind::Measured,
        _ => Kind::NotMeasured,
    };
    let plain = cell.metric.parse::<Measure>().is_ok() && cell.kind != Kind::Cannot;
    let mut text: Vec<String> = cell.survives.iter().filter(|_| plain).map(survival).collect();
    text.extend(cell.setting.iter().map(|setting| format!("best setting tried: {setting}")));
    text.extend(cell.notes.iter().cloned());
    if mean.is_some() && cell.interval.is_none() {
        let blocks = if values.len() == 1 {
            "1 block".to_owned()
        } else {
            format!("{} blocks", values.len())
        };
        text.push(format!("no interval: {blocks}, {LEAST_BLOCKS} needed"));
    }
    text.extend(floor_in_words(&cell));
    text.extend(
        cell.per_block
            .iter()
            .map(|block| block.because.clone())
            .filter(|note| !note.is_empty())
            .unique(),
    );
    cell.text = text.join("; ");
    cell
}

/// How much of a value is the instrument's own floor, where it is more than half.
fn floor_in_words(cell: &ComparedCell) -> Option<String> {
    let share = cell.floor_share().filter(|share| *share > ComparedCell::LARGE_FLOOR)?;
    let of = format!("the instrument's floor is {:.0} % of it", share * 100.0);
    Some(if share > 1.0 { of + ": the broker adds nothing that is seen" } else { of })
}
