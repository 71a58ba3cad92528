//! Two runs beside each other: of each figure its change, the interval of that, and a word.
//!
//! Blocks are the repeats: a side with fewer than three says how it changed, and gives no verdict.
//! Figures that count are one family, and the chance that a run of the same build is said to be
//! worse in any of them is 5 % at most; all others are a second one, and end nothing. What two runs
//! differ by beyond their blocks, such as the mood of a shared machine, no run can see from inside:
//! `relative_to` takes it out where a label was measured beside that nobody changed.

use super::alike::{differences, unlike};
use super::index::{FigureIndex, FigureSide, unit};
use crate::model::{Direction, Measure, Point, metric, three_digits};
use crate::result::{
    Baseline, BaselineFigure, BaselineResult, Change, ComparisonTerms, FigureChange,
};
use crate::scenario::HalfOf;
use crate::stats::compare::{GeometricMean, Points, Side, Undecided, decide};
use crate::stats::power::Design;
use indexmap::IndexMap;

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

/// A figure of both runs, on the way to its word.
struct FigurePair<'a> {
    figure: &'a BaselineFigure,
    unit: &'a str,
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

/// What both runs measured, or could have: the same label at the same point. What a run measured
/// twice is its margin and no figure of its own.
fn pairs_of<'a>(
    before: &'a Baseline,
    now: &'a Baseline,
    terms: &ComparisonTerms,
) -> Vec<FigurePair<'a>> {
    let (old, new) = (FigureIndex::of(before), FigureIndex::of(now));
    let gone = before.figures.iter().filter(|figure| !new.has(figure));
    let all = now.figures.iter().chain(gone).filter(|figure| figure.same_as.is_none());
    let both = all.filter(|figure| old.measured(figure) && new.measured(figure));
    let faults = [before, now].iter().any(|of| has_faults(of));
    let reference = terms.relative_to.as_deref();
    let pair = |figure: &'a BaselineFigure| {
        let (then, here) = (old.side(figure, reference), new.side(figure, reference));
        let margin = old.margin(figure).into_iter().chain(new.margin(figure)).reduce(f64::max);
        let both = then.mean.zip(here.mean);
        let (cost, gain) = match (both, metric::better(&figure.metric)) {
            (None, _) | (_, Direction::Neutral) => (None, None),
            (Some((then, here)), Direction::Lower) => {
                (Some(here.over(&then)), Some(then.over(&here)))
            }
            (Some((then, here)), Direction::Higher) => {
                (Some(then.over(&here)), Some(here.over(&then)))
            }
        };
        FigurePair {
            figure,
            unit: unit(figure, reference),
            before: then,
            now: here,
            cost: cost.map(|cost| cost.with_margin(margin)),
            gain: gain.map(|gain| gain.with_margin(margin)),
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
        let name = self.figure.metric.as_str();
        let higher = metric::better(name) == Direction::Higher;
        let harm = |before: f64, now: f64| {
            let some = HARM.contains(&name) && before == 0.0 && now > 0.0;
            some || (higher && before > 0.0 && now == 0.0)
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
            unit: self.unit.to_owned(),
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
