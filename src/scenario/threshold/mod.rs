//! The small grammar that thresholds and verdict rules share.
//!
//! ```text
//! [label:] metric op limit            kafka: end_to_end.p99 < 50ms
//!                                     counts.lost == 0
//!                                     goodput > 100k/s
//! ratio(metric, label, label) op x    ratio(goodput, kafka, redis-streams) > 1.05
//! ```
//! A rule holds when it holds in every cell that it concerns. What was not measured does not hold.
//! A rule that no measurement could satisfy is refused when it is read.

use crate::model::{Measure, Unit, measure::STATISTICS, metric, three_digits};
use crate::result::{self, CellSummary, ThresholdResult};
use crate::stats::compare::{GeometricMean, Side, decide, margin};
use crate::units::ByteRate;
use crate::yaml::{Problem, suggest};
use itertools::Itertools;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    pub text: String,
    pub measure: Measure,
    subject: Subject,
    pub op: Op,
    /// In the metric's unit (ns, messages, messages/s, bytes); plain for a ratio.
    pub limit: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    /// Only cells of this label; `None` concerns every label.
    Cells(Option<String>),
    /// `over` ÷ `under`, at the same matrix point, over their blocks of the same number.
    Ratio { over: String, under: String },
}

/// A comparison.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    sign: &'static str,
    holds: fn(&f64, &f64) -> bool,
    /// On which the found value must lie of the limit; `None` where it must be the limit.
    side: Option<Side>,
}

/// Longest first, so that `<=` is not read as `<`.
const OPS: [Op; 5] = [
    Op { sign: "<=", holds: f64::le, side: Some(Side::Below) },
    Op { sign: ">=", holds: f64::ge, side: Some(Side::Above) },
    Op { sign: "==", holds: f64::eq, side: None },
    Op { sign: "<", holds: f64::lt, side: Some(Side::Below) },
    Op { sign: ">", holds: f64::gt, side: Some(Side::Above) },
];

const IN_BYTES: &str =
    "`goodput` counts messages; its bytes are `rates.goodput_bytes_per_s > 10MB/s`";
const GRAMMAR: &str = "write it like `end_to_end.p99 < 50ms`, `kafka: counts.lost == 0` or \
                       `ratio(goodput, kafka, redis-streams) > 1.05`";

impl Op {
    /// Whether `a` is nearer to breaking the rule than `b`.
    fn worse(self, a: f64, b: f64) -> bool {
        match self.side {
            Some(Side::Below) => a > b,
            Some(Side::Above) => a < b,
            None => false,
        }
    }
}

impl PartialEq for Op {
    fn eq(&self, other: &Self) -> bool {
        self.sign == other.sign
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The operator and the texts around it.
fn split(text: &str) -> Option<(&str, Op, &str)> {
    let at = text.find(['<', '>', '='])?;
    let op = OPS.into_iter().find(|op| text[at..].starts_with(op.sign))?;
    Some((text[..at].trim(), op, text[at + op.sign.len()..].trim()))
}

impl Threshold {
    pub fn parse(text: &str, labels: &[String]) -> Result<Self, Problem> {
        let text = text.trim();
        let fail = |what: &str, remedy: &str| Problem::new::<String>([], what, remedy);
        let one = "it needs exactly one comparison: `<`, `<=`, `>`, `>=` or `==`";
        let (left, op, right) = split(text).ok_or_else(|| fail(one, GRAMMAR))?;
        if right.contains(['<', '>', '=']) || left.ends_with('!') {
            return Err(fail(one, GRAMMAR));
        }
        let measure = |name: &str| {
            measure(name).map_err(|remedy| fail(&format!("unknown figure `{name}`"), &remedy))
        };
        let label = |name: &str| match labels.iter().find(|label| *label == name) {
            Some(label) => Ok(label.clone()),
            None => {
                let known = labels.iter().map(String::as_str);
                Err(fail(&format!("no label `{name}` under `systems`"), &suggest(name, known)))
            }
        };
        let ratio =
            left.strip_prefix("ratio").map(str::trim_start).filter(|rest| rest.starts_with('('));
        let (measure, subject, limit) = if let Some(arguments) = ratio {
            let arguments = arguments.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let parts: Vec<&str> = arguments.unwrap_or("").split(',').map(str::trim).collect();
            let [name, over, under] = parts[..] else {
                return Err(fail("a ratio takes a figure and two labels", GRAMMAR));
            };
            let (measure, subject) =
                (measure(name)?, Subject::Ratio { over: label(over)?, under: label(under)? });
            if over == under {
                return Err(fail("it compares a label with itself", "name two different labels"));
            }
            if op.side.is_none() {
                return Err(fail(
                    "a ratio of two measurements never equals a number",
                    "write `<` or `>`",
                ));
            }
            let limit = right.parse::<f64>().ok().filter(|limit| limit.is_finite());
            let limit =
                limit.ok_or_else(|| fail("a ratio is compared with a plain number", GRAMMAR))?;
            (measure, subject, limit)
        } else {
            let (scope, name) = match left.split_once(':') {
                Some((scope, name)) => (Some(label(scope.trim())?), name.trim()),
                None => (None, left),
            };
            let measure = measure(name)?;
            let limit = measure.unit().parse(right).map_err(|problem| {
                let bytes = measure.metric == metric::GOODPUT && right.parse::<ByteRate>().is_ok();
                let (what, remedy) = problem.split_once("; ").unwrap_or((&problem, GRAMMAR));
                fail(what, if bytes { IN_BYTES } else { remedy })
            })?;
            (measure, Subject::Cells(scope), limit)
        };
        // No figure is negative, and a ratio of two positive ones is above zero.
        let lowest_passes = match (&subject, op.side) {
            (_, Some(Side::Above)) => true,
            (Subject::Cells(_), Some(Side::Below)) => (op.holds)(&0.0, &limit),
            (Subject::Cells(_), None) => limit >= 0.0,
            (Subject::Ratio { .. }, _) => limit > 0.0,
        };
        if !lowest_passes {
            return Err(fail(
                "it can never hold: the smallest possible value is 0",
                "raise the limit",
            ));
        }
        Ok(Self { text: text.to_owned(), measure, subject, op, limit })
    }

    pub fn labels(&self) -> Vec<&str> {
        match &self.subject {
            Subject::Cells(label) => label.as_deref().into_iter().collect(),
            Subject::Ratio { over, under } => vec![over, under],
        }
    }

    /// Judges every cell that the rule concerns: all labels (or its own), matrix points and blocks.
    pub fn evaluate(&self, cells: &[CellSummary]) -> ThresholdResult {
        let judged = match &self.subject {
            Subject::Cells(label) => self.of_cells(cells, label.as_deref()),
            Subject::Ratio { over, under } => self.of_ratio(cells, over, under),
        };
        judged.unwrap_or_else(|why| ThresholdResult {
            label: self.labels().first().map(|label| (*label).to_owned()),
            text: why,
            ..self.unjudged()
        })
    }

    fn unjudged(&self) -> ThresholdResult {
        let unit = match self.subject {
            Subject::Cells(_) => self.measure.unit(),
            Subject::Ratio { .. } => Unit::Times,
        };
        ThresholdResult {
            rule: self.text.clone(),
            limit: Some(self.limit),
            unit: unit.name().to_owned(),
            ..ThresholdResult::default()
        }
    }

    /// By which value it holds or fails; the error says why that is not known.
    fn of_cells(
        &self,
        cells: &[CellSummary],
        label: Option<&str>,
    ) -> Result<ThresholdResult, String> {
        let concerned = cells.iter().filter(|cell| label.is_none_or(|label| label == cell.label));
        let samples = concerned.map(|cell| match result::usable(self.measure, cell) {
            Ok(value) => Ok((cell, value)),
            Err(why) => Err(format!("not measured in {}: {why}", cell.place())),
        });
        let samples = samples.collect::<Result<Vec<_>, String>>()?;
        let fails = |value| !(self.op.holds)(&value, &self.limit);
        let decides = samples.iter().reduce(|worst, next| {
            let worse = self.op.worse(next.1, worst.1) || (fails(next.1) && !fails(worst.1));
            if worse { next } else { worst }
        });
        let (cell, value) = decides.ok_or("no cell that it concerns was run")?;
        let (shown, limit) =
            (self.measure.unit().show(*value), self.measure.unit().show(self.limit));
        let place = cell.place();
        let text = match (fails(*value), samples.len()) {
            (true, _) => format!("{shown} in {place}, not {} {limit}", self.op.sign),
            (false, 1) => format!("{shown} in {place}"),
            (false, n) => format!("at worst {shown}, in {place} (of {n} cells)"),
        };
        Ok(ThresholdResult {
            held: Some(!fails(*value)),
            label: Some(cell.label.clone()),
            cell: Some(cell.cell.clone()),
            block: Some(cell.block),
            value: Some(*value),
            text,
            ..self.unjudged()
        })
    }

    /// Decides the ratio at every matrix point by the rule of every verdict on speed. It is held
    /// when it is shown at all of them, and failed when the opposite is shown at any.
    fn of_ratio(
        &self,
        cells: &[CellSummary],
        over: &str,
        under: &str,
    ) -> Result<ThresholdResult, String> {
        let of_label = cells.iter().filter(|cell| cell.label == over);
        let points: Vec<&str> = of_label.map(|cell| cell.cell.as_str()).unique().collect();
        // Never `==`.
        let side = self.op.side.unwrap_or(Side::Above);
        let mean = |point: &&str| {
            ratio(cells, self.measure, over, under, point)
                .map_err(|why| format!("not measured in {over} {point}: {why}"))
        };
        let means = points.iter().map(mean).collect::<Result<Vec<_>, _>>()?;
        let margin = |point: &str| margin(&equals(cells, self.measure, point));
        let means = points.iter().zip(means).map(|(at, mean)| mean.with_margin(margin(at)));
        let means: Vec<GeometricMean> = means.collect();
        let conditions = means.iter().map(|mean| vec![Some(*mean)]).collect();
        let decided = decide(&[conditions], side, self.limit).concat();
        let mut open: Option<ThresholdResult> = None;
        let mut decides: Option<(&str, GeometricMean)> = None;
        for ((point, mean), decided) in points.iter().copied().zip(means).zip(decided) {
            let found = format!("{} in {over} {point}", shown(&mean));
            let sign = self.op.sign;
            match decided {
                Ok(false) => {
                    let text = format!("{found}, not {sign} {}", three_digits(self.limit));
                    return Ok(self.at((over, point), &mean, Some(false), text));
                }
                Ok(true) => {}
                Err(why) => {
                    let text = format!("not decided: {found}: {why}");
                    open = open.or_else(|| Some(self.at((over, point), &mean, None, text)));
                }
            }
            if decides.is_none_or(|(_, worst)| self.op.worse(mean.value(), worst.value())) {
                decides = Some((point, mean));
            }
        }
        let (point, mean) = decides.ok_or("no cell that it concerns was run")?;
        let text = match points.len() {
            1 => format!("{} in {over} {point}", shown(&mean)),
            n => format!("at worst {}, in {over} {point} (of {n} points)", shown(&mean)),
        };
        Ok(open.unwrap_or_else(|| self.at((over, point), &mean, Some(true), text)))
    }

    /// A ratio of the label `over`, with what it came to.
    fn at(
        &self,
        (over, point): (&str, &str),
        mean: &GeometricMean,
        held: Option<bool>,
        text: String,
    ) -> ThresholdResult {
        ThresholdResult {
            held,
            label: Some(over.to_owned()),
            cell: Some(point.to_owned()),
            value: Some(mean.value()),
            interval: mean.interval(),
            text,
            ..self.unjudged()
        }
    }
}

/// The metric of this name; the error says what is allowed.
pub fn measure(name: &str) -> Result<Measure, String> {
    name.parse().map_err(|()| {
        let asked = name.split('.').next().and_then(|latency| metric::find(latency)?.latency());
        match asked {
            Some(latency) => format!("a latency has {STATISTICS}: `{latency}.p99`"),
            None => {
                let usual: Vec<String> =
                    Measure::usual().map(|measure| measure.to_string()).collect();
                suggest(&name.replace('-', "_"), usual.iter().map(String::as_str))
            }
        }
    })
}

/// `over` ÷ `under` at a matrix point, over all its blocks.
fn ratio(
    cells: &[CellSummary],
    measure: Measure,
    over: &str,
    under: &str,
    point: &str,
) -> Result<GeometricMean, String> {
    let of = |label| cells.iter().filter(move |cell| cell.label == label && cell.cell == point);
    let ratios = of(over).map(|cell| {
        let other = of(under).find(|other| other.block == cell.block);
        let other = other.ok_or_else(|| format!("{under} was not run beside it"))?;
        let (above, below) = (result::usable(measure, cell)?, result::usable(measure, other)?);
        if below == 0.0 { Err(format!("{measure} of {under} is 0")) } else { Ok(above / below) }
    });
    let ratios = ratios.collect::<Result<Vec<f64>, String>>()?;
    GeometricMean::of(&ratios).ok_or_else(|| format!("{measure} of {over} is 0"))
}

/// The ratios of what was run twice at a matrix point.
fn equals(cells: &[CellSummary], measure: Measure, point: &str) -> Vec<GeometricMean> {
    let twice =
        cells.iter().filter_map(|cell| Some((cell.label.as_str(), cell.same_as.as_deref()?)));
    let ratio = |(again, label)| ratio(cells, measure, again, label, point).ok();
    twice.unique().filter_map(ratio).collect()
}

/// `1.31 [1.20, 1.43]`.
fn shown(ratio: &GeometricMean) -> String {
    let interval = ratio.interval().map(|ends| ends.map(three_digits));
    let interval = interval.map_or_else(String::new, |[low, high]| format!(" [{low}, {high}]"));
    format!("{}{interval}", three_digits(ratio.value()))
}

#[cfg(test)]
mod tests;
