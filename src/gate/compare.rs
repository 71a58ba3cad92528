//! Two runs beside each other: of each figure its change, the interval of that, and a word.
//!
//! Blocks are the repeats: a side with fewer than three says how it changed, and gives no verdict.
//! Figures that count are one family, and the chance that a run of the same build is said to be
//! worse in any of them is 5 % at most; all others are a second one, and end nothing. What two runs
//! differ by beyond their blocks, such as the mood of a shared machine, no run can see from inside:
//! `relative_to` takes it out where a label was measured beside that nobody changed.

use super::alike::{differences, unlike};
use crate::model::{Direction, Measure, Point, Unit, metric, three_digits};
use crate::result::{
    Baseline, BaselineFigure, BaselineResult, Change, ComparisonTerms, FigureChange,
};
use crate::scenario::HalfOf;
use crate::stats::compare::{GeometricMean, Points, Side, Undecided, decide, margin};
use crate::stats::{over_blocks, power::Design};
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// Count by themselves, beside what the scenario is about and what an experiment observes.
const USUAL: [&str; 3] = ["goodput", "end_to_end.p50", "end_to_end.p99"];
/// Where there were none and now are some, one block is enough.
const HARM: [&str; 3] = ["counts.lost", "counts.broker_lost", "counts.corrupt"];

/// `name` is what the user calls the earlier run.
pub fn compare(
    name: &str,
    before: &Baseline,
    now: &Baseline,
    terms: &ComparisonTerms,
) -> BaselineResult {
    let mut pairs = pairs_of(before, now, terms);
    for counts in [true, false] {
        decide_family(&mut pairs, counts, 1.0 + terms.tolerance);
    }
    pairs.iter_mut().filter(|pair| pair.cost.is_none()).for_each(FigurePair::decide_fact);
    pairs.iter_mut().for_each(FigurePair::mind_unmeasured);
    let figures: Vec<FigureChange> = pairs.into_iter().map(FigurePair::told).collect();
    BaselineResult {
        name: name.to_owned(),
        run: before.run.clone(),
        started_at: before.started_at.clone(),
        tolerance: terms.tolerance,
        relative_to: terms.relative_to.clone(),
        unlike: unlike(before, now),
        settings: differences(before, now),
        worse: figures.iter().any(|one| one.counts && one.change == Change::Worse),
        figures,
    }
}

/// One run's side of a figure.
#[derive(Clone, Copy, Default)]
struct FigureSide<'a> {
    value: Option<f64>,
    mean: Option<GeometricMean>,
    /// Why some block has no value; empty where all have.
    unmeasured: &'a str,
}

/// A figure of both runs, on the way to its word.
struct FigurePair<'a> {
    figure: &'a BaselineFigure,
    unit: String,
    before: FigureSide<'a>,
    now: FigureSide<'a>,
    /// Above 1 where it became worse, and its inverse; `None` of what has no interval or no better
    /// direction.
    cost: Option<GeometricMean>,
    gain: Option<GeometricMean>,
    counts: bool,
    change: Change,
    because: String,
}

type Place<'a> = (&'a str, &'a str, &'a str);

fn place(figure: &BaselineFigure) -> Place<'_> {
    (&figure.label, &figure.cell, &figure.metric)
}

/// What both runs measured, or could have: the same label at the same point.
fn pairs_of<'a>(
    before: &'a Baseline,
    now: &'a Baseline,
    terms: &ComparisonTerms,
) -> Vec<FigurePair<'a>> {
    let index = |of: &'a Baseline| -> BTreeMap<Place<'a>, &'a BaselineFigure> {
        of.figures.iter().map(|figure| (place(figure), figure)).collect()
    };
    let (old, new) = (index(before), index(now));
    let cell = |of: &Baseline, figure: &BaselineFigure| {
        of.figures.iter().any(|one| (&one.label, &one.cell) == (&figure.label, &figure.cell))
    };
    let gone = before.figures.iter().filter(|figure| !new.contains_key(&place(figure)));
    let all = now.figures.iter().chain(gone).filter(|figure| figure.same_as.is_none());
    let both = all.filter(|figure| cell(before, figure) && cell(now, figure));
    let faults = [before, now].iter().any(|of| has_faults(of));
    let pair = |figure: &'a BaselineFigure| {
        let reference = terms.relative_to.as_deref().filter(|_| has_mean(figure));
        let unit = reference.map_or(figure.unit.as_str(), |_| Unit::Times.name());
        let side = |of: &'a Baseline, found: &BTreeMap<Place<'a>, &'a BaselineFigure>| {
            let own = found.get(&place(figure)).copied();
            own.map_or_else(FigureSide::default, |own| FigureSide::of(of, own, reference, unit))
        };
        let (then, here) = (side(before, &old), side(now, &new));
        let both = then.mean.zip(here.mean).filter(|_| direction(figure) != Direction::Neutral);
        let twice = [twice(before, figure), twice(now, figure)].concat();
        let of = |over: &GeometricMean, under: &GeometricMean| {
            over.over(under).with_margin(margin(&twice))
        };
        let ratios = both.map(|(then, here)| (of(&here, &then), of(&then, &here)));
        let ratios = ratios.map(|(change, back)| match direction(figure) {
            Direction::Higher => (back, change),
            Direction::Lower | Direction::Neutral => (change, back),
        });
        FigurePair {
            figure,
            unit: unit.to_owned(),
            before: then,
            now: here,
            cost: ratios.map(|(cost, _)| cost),
            gain: ratios.map(|(_, gain)| gain),
            counts: counts(figure, &before.primary, faults, terms),
            change: Change::Missing,
            because: String::new(),
        }
    };
    both.map(pair).filter(|pair| pair.before.told() || pair.now.told()).collect()
}

fn has_faults(of: &Baseline) -> bool {
    of.settings.keys().any(|key| key.starts_with("faults."))
}

fn direction(figure: &BaselineFigure) -> Direction {
    metric::better(&figure.metric)
}

/// Whether it is put together by the geometric mean, which has an interval.
fn has_mean(figure: &BaselineFigure) -> bool {
    over_blocks(&figure.metric, &figure.unit, &[1.0]).is_some_and(|over| over.mean.is_some())
}

fn counts(figure: &BaselineFigure, primary: &str, faults: bool, terms: &ComparisonTerms) -> bool {
    let name = figure.metric.as_str();
    let observed = || name.parse::<Measure>().is_err();
    let named = match &terms.metrics[..] {
        [] if HARM.contains(&name) => !faults,
        [] => USUAL.contains(&name) || name == primary || observed(),
        metrics => metrics.iter().any(|metric| metric == name),
    };
    // There each run has found a rate of its own.
    let own_rates = [HalfOf::Slowest, HalfOf::Own].map(HalfOf::name);
    let found = Point::read(&figure.cell).get("rate").is_some_and(|rate| own_rates.contains(&rate));
    named && !found && terms.relative_to.as_ref() != Some(&figure.label)
}

/// The ratios of what a run measured twice where this figure is.
fn twice(of: &Baseline, figure: &BaselineFigure) -> Vec<GeometricMean> {
    let here = || {
        of.figures
            .iter()
            .filter(move |one| (&one.cell, &one.metric) == (&figure.cell, &figure.metric))
    };
    let ratio = |again: &BaselineFigure| {
        let label = again.same_as.as_deref()?;
        let first = here().find(|one| one.label == label)?;
        let ratios =
            again.values.iter().filter_map(|(block, value)| Some(value / first.values.get(block)?));
        GeometricMean::of(&ratios.collect::<Vec<f64>>())
    };
    here().filter_map(ratio).collect()
}

impl<'a> FigureSide<'a> {
    /// Over its blocks, or over those that the reference has as well, divided by it.
    fn of(of: &Baseline, own: &'a BaselineFigure, reference: Option<&str>, unit: &str) -> Self {
        let by = |label: &str| {
            let there = (label, own.cell.as_str(), own.metric.as_str());
            let here = |one: &&BaselineFigure| place(one) == there;
            of.figures.iter().find(here)
        };
        let beside = reference.map(by);
        let value = |(block, value): (&u32, &f64)| match beside {
            None => Some(*value),
            Some(beside) => beside?.values.get(block).filter(|by| **by > 0.0).map(|by| value / by),
        };
        let values: Vec<f64> = own.values.iter().filter_map(value).collect();
        let over = over_blocks(&own.metric, unit, &values);
        Self {
            value: over.map(|over| over.value),
            mean: over.and_then(|over| over.mean),
            unmeasured: &own.unmeasured,
        }
    }

    /// Whether there is anything to say of it.
    fn told(&self) -> bool {
        self.value.is_some() || !self.unmeasured.is_empty()
    }
}

/// The figures that count, or all others: a label's metric over its points is one claim.
fn decide_family(pairs: &mut [FigurePair<'_>], counts: bool, limit: f64) {
    let mut claims: IndexMap<(&str, &str), Vec<usize>> = IndexMap::new();
    for (at, pair) in pairs.iter().enumerate() {
        if pair.counts == counts && pair.cost.is_some() {
            let claim = (pair.figure.label.as_str(), pair.figure.metric.as_str());
            claims.entry(claim).or_default().push(at);
        }
    }
    let claims: Vec<Vec<usize>> = claims.into_values().collect();
    let family = |of: &dyn Fn(&FigurePair<'_>) -> Option<GeometricMean>| {
        let conditions = |at: &Vec<usize>| -> Vec<Points> {
            at.iter().map(|at| vec![of(&pairs[*at])]).collect()
        };
        let family: Vec<Vec<Points>> = claims.iter().map(conditions).collect();
        decide(&family, Side::Above, limit).concat()
    };
    let (worse, better) = (family(&|pair| pair.cost), family(&|pair| pair.gain));
    let places = claims.iter().flatten();
    for ((at, worse), better) in places.zip(worse).zip(better) {
        let pair = &mut pairs[*at];
        pair.change = match (worse, better) {
            (Ok(true), _) => Change::Worse,
            (_, Ok(true)) => Change::Better,
            (Ok(false), Ok(false)) => Change::Same,
            (Ok(false), Err(_)) => Change::NotWorse,
            (Err(why), _) => {
                pair.because = why_open(why, pair.cost.as_ref(), claims.len(), limit);
                Change::Open
            }
        };
    }
}

/// What is missing, and what so many blocks would have shown.
fn why_open(why: Undecided, cost: Option<&GeometricMean>, family: usize, limit: f64) -> String {
    let shows = |cost: &GeometricMean| {
        Design { rounds: cost.blocks(), family, limit, margin: false }.shows(cost.log_sd())
    };
    match (why, cost.and_then(shows)) {
        (Undecided::WithinSpread, Some(shows)) => {
            format!("{why}; {}× would have been seen", three_digits(shows))
        }
        _ => why.to_string(),
    }
}

impl FigurePair<'_> {
    /// Of what has no interval: one block is enough to see harm where there was none.
    fn decide_fact(&mut self) {
        let (name, higher) = (self.figure.metric.as_str(), direction(self.figure));
        let harm = |before: f64, now: f64| {
            let some = HARM.contains(&name) && before == 0.0 && now > 0.0;
            some || (higher == Direction::Higher && before > 0.0 && now == 0.0)
        };
        self.change = match (self.before.value, self.now.value) {
            (Some(before), Some(now)) if before == now => Change::Same,
            (Some(before), Some(now)) if harm(before, now) => Change::Worse,
            (Some(_), Some(_)) => Change::Changed,
            _ => Change::Missing,
        };
    }

    /// A broker that carried the load and does not any more is worse, though there is no figure;
    /// where it did in some blocks, those alone decide nothing in its favour.
    fn mind_unmeasured(&mut self) {
        let lost = self.before.unmeasured.is_empty() && self.before.value.is_some();
        if !lost || self.now.unmeasured.is_empty() || self.change == Change::Worse {
            return;
        }
        let why = self.now.unmeasured;
        (self.change, self.because) = match self.now.value {
            None => (Change::Worse, format!("no value in any block now: {why}")),
            Some(_) => (Change::Open, format!("no value in some blocks now: {why}")),
        };
    }

    fn told(self) -> FigureChange {
        let both = self.before.mean.zip(self.now.mean);
        let change = both.map(|(before, now)| now.over(&before));
        FigureChange {
            label: self.figure.label.clone(),
            cell: self.figure.cell.clone(),
            metric: self.figure.metric.clone(),
            unit: self.unit,
            before: self.before.value,
            now: self.now.value,
            ratio: change.map(|change| change.value()),
            interval: change.and_then(|change| change.interval()),
            change: self.change,
            because: self.because,
            counts: self.counts,
        }
    }
}
