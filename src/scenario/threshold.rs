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

use crate::model::{Measure, measure::STATISTICS, metric, three_digits};
use crate::result::{self, CellSummary, LatencyValue, words};
use crate::stats::compare::{GeometricMean, Side, decide, margin};
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

#[derive(Clone, Debug, PartialEq)]
pub struct ThresholdResult {
    pub rule: String,
    /// Not where there is nothing to judge by, either.
    pub held: bool,
    /// Whether there was something to judge by.
    pub decided: bool,
    /// One line for people: the value that decided (of the first cell that fails, else the one
    /// nearest to failing), its cell, and why.
    pub words: String,
}

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
            let limit = measure.unit().parse(right).map_err(|problem| fail(&problem, ""))?;
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
        let decided = judged.is_ok();
        let (held, words) = judged.unwrap_or_else(|why| (false, why));
        ThresholdResult { rule: self.text.clone(), held, decided, words }
    }

    /// Whether it holds, and by which value; the error says why that is not known.
    fn of_cells(
        &self,
        cells: &[CellSummary],
        label: Option<&str>,
    ) -> Result<(bool, String), String> {
        let sample = |cell: &CellSummary| match measured(self.measure, cell) {
            Ok(value) => Ok((place(cell), value)),
            Err(why) => Err(format!("not measured in {}: {why}", place(cell))),
        };
        let concerned = cells.iter().filter(|cell| label.is_none_or(|label| label == cell.label));
        let samples = concerned.map(sample).collect::<Result<Vec<_>, String>>()?;
        let fails = |value| !(self.op.holds)(&value, &self.limit);
        let decides = samples.iter().reduce(|worst, next| {
            let worse = self.op.worse(next.1, worst.1) || (fails(next.1) && !fails(worst.1));
            if worse { next } else { worst }
        });
        let (place, value) = decides.ok_or("no cell that it concerns was run")?;
        let (shown, limit) =
            (self.measure.unit().show(*value), self.measure.unit().show(self.limit));
        Ok(match (fails(*value), samples.len()) {
            (true, _) => (false, format!("{shown} in {place}, not {} {limit}", self.op.sign)),
            (false, 1) => (true, format!("{shown} in {place}")),
            (false, n) => (true, format!("at worst {shown}, in {place} (of {n} cells)")),
        })
    }

    /// Decides the ratio at every matrix point by the rule of every verdict on speed. It is held
    /// when it is shown at all of them, and failed when the opposite is shown at any.
    fn of_ratio(
        &self,
        cells: &[CellSummary],
        over: &str,
        under: &str,
    ) -> Result<(bool, String), String> {
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
        let mut open = None;
        let mut decides: Option<(GeometricMean, String)> = None;
        for ((point, mean), decided) in points.iter().zip(means).zip(decided) {
            let at = format!("{over} {point}");
            let found = format!("{} in {at}", shown(&mean));
            match decided {
                Ok(false) => {
                    return Ok((
                        false,
                        format!("{found}, not {} {}", self.op.sign, three_digits(self.limit)),
                    ));
                }
                Ok(true) => {}
                Err(why) => open = open.or(Some(format!("not decided: {found}: {why}"))),
            }
            if decides.as_ref().is_none_or(|(worst, _)| self.op.worse(mean.value(), worst.value()))
            {
                decides = Some((mean, at));
            }
        }
        let (mean, at) = decides.ok_or("no cell that it concerns was run")?;
        match (open, points.len()) {
            (Some(why), _) => Err(why),
            (None, 1) => Ok((true, format!("{} in {at}", shown(&mean)))),
            (None, n) => Ok((true, format!("at worst {}, in {at} (of {n} points)", shown(&mean)))),
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
        let (above, below) = (measured(measure, cell)?, measured(measure, other)?);
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

fn place(cell: &CellSummary) -> String {
    format!("{} {} block {}", cell.label, cell.cell, cell.block)
}

fn measured(measure: Measure, cell: &CellSummary) -> Result<f64, String> {
    if !cell.valid {
        return Err(format!("{} is invalid ({})", place(cell), cell.invalid_because.join("; ")));
    }
    if measure.latency().is_some() && cell.outcome.spoils_latency() {
        let outcome = words::name(&cell.outcome);
        return Err(format!("the cell was {outcome} ({})", cell.outcome_because.join("; ")));
    }
    match result::latency_value(measure, cell) {
        Some(LatencyValue::AtLeast(ns)) => {
            Err(format!("it is more than {}: not every message came to its end", words::time(ns)))
        }
        _ => result::measured(measure, cell)
            .ok_or_else(|| format!("{measure} of {} is null", cell.label)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{CellId, CellOutcome, Counts, Latencies, Quantiles, Rates};
    use proptest::prelude::*;

    const LABELS: [&str; 2] = ["kafka", "redis-streams"];

    fn cell(label: &str, block: u32, p99_ms: u64, goodput: f64) -> CellSummary {
        let latency =
            Quantiles { count: 1000, p99_ns: Some(p99_ms * 1_000_000), ..Quantiles::default() };
        let id = CellId {
            label: label.into(),
            system: label.into(),
            nodes: 1,
            cell: "base".into(),
            block,
            ..CellId::default()
        };
        CellSummary {
            counts: Counts { lost: Some(0), ..Counts::default() },
            latency: Latencies { end_to_end: Some(latency), ..Latencies::default() },
            rates: Rates { goodput_per_s: Some(goodput), ..Rates::default() },
            id,
            valid: true,
            ..CellSummary::default()
        }
    }

    fn judge(rule: &str, cells: &[CellSummary]) -> ThresholdResult {
        Threshold::parse(rule, &LABELS.map(String::from)).unwrap().evaluate(cells)
    }

    /// There was nothing to judge by: a rule that fails names a value first.
    fn undecided(result: &ThresholdResult) -> bool {
        let why = ["not measured", "not decided", "no cell"];
        let told = why.iter().any(|why| result.words.starts_with(why));
        assert_eq!(told, !result.decided, "{result:?}");
        !result.held && told
    }

    #[test]
    fn a_rule_holds_when_it_holds_in_every_cell() {
        let cells = [
            cell("kafka", 1, 10, 100e3),
            cell("kafka", 2, 30, 90e3),
            cell("redis-streams", 1, 60, 200e3),
        ];
        assert!(!judge("end_to_end.p99 < 50ms", &cells).held);
        let scoped = judge("kafka: end_to_end.p99 < 50ms", &cells);
        assert_eq!(
            (scoped.held, &*scoped.words),
            (true, "at worst 30.0 ms, in kafka base block 2 (of 2 cells)")
        );
        let failed = judge("goodput >= 100k/s", &cells);
        assert_eq!(
            (failed.held, &*failed.words),
            (false, "90.0k/s in kafka base block 2, not >= 100k/s")
        );
        assert!(judge("counts.lost == 0", &cells).held);
    }

    /// Three blocks of goodput on each side.
    fn blocks(kafka: [f64; 3], streams: [f64; 3]) -> Vec<CellSummary> {
        let of = |label, values: [f64; 3]| {
            values.into_iter().zip(1..).map(move |(value, block)| cell(label, block, 1, value))
        };
        of("kafka", kafka).chain(of("redis-streams", streams)).collect()
    }

    #[test]
    fn ratios_are_decided_as_verdicts_are() {
        // Both drift by a factor of three between blocks; the ratio does not.
        let cells = blocks([220.0, 663.0, 441.0], [200.0, 600.0, 400.0]);
        let above = judge("ratio(goodput, kafka, redis-streams) > 1.05", &cells);
        assert!(
            above.held && above.words.starts_with("1.10 [1.10, 1.11] in kafka base"),
            "{}",
            above.words
        );
        let below = judge("ratio(goodput, redis-streams, kafka) > 1.05", &cells);
        assert!(!below.held && below.words.contains(", not > 1.05"), "{}", below.words);
        assert!(judge("ratio(goodput, redis-streams, kafka) < 0.95", &cells).held);
        let noisy = blocks([220.0, 600.0, 480.0], [200.0, 600.0, 400.0]);
        let open = judge("ratio(goodput, kafka, redis-streams) > 1.05", &noisy);
        assert!(undecided(&open), "every block's mean above the limit is not enough");
        assert!(open.words.contains("difference within the spread"), "{}", open.words);
        let few = [cells[0].clone(), cells[3].clone()];
        let few = judge("ratio(goodput, kafka, redis-streams) > 1.05", &few);
        assert!(undecided(&few) && few.words.contains("fewer than 3 blocks"), "{}", few.words);
        let alone = judge("ratio(goodput, kafka, redis-streams) > 1.05", &cells[..1]);
        assert!(
            undecided(&alone) && alone.words.contains("was not run beside it"),
            "{}",
            alone.words
        );
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let mut spoilt = cell("kafka", 1, 1, 1.0);
        assert!(undecided(&judge("counts.broker_lost == 0", &[spoilt.clone()])));
        assert!(undecided(&judge("redis-streams: counts.lost == 0", &[spoilt.clone()])));
        spoilt.valid = false;
        spoilt.invalid_because = vec!["schedule lag".into()];
        let finding = judge("counts.lost == 0", &[spoilt]);
        assert!(undecided(&finding) && finding.words.contains("schedule lag"), "{}", finding.words);
    }

    #[test]
    fn latencies_of_a_saturated_cell_are_not_measured() {
        let rule = "end_to_end.p99 < 50ms";
        for outcome in [CellOutcome::Overloaded, CellOutcome::Violated, CellOutcome::Stalled] {
            let because = vec!["rate-reached: 10 %".to_owned()];
            let cell =
                CellSummary { outcome, outcome_because: because, ..cell("kafka", 1, 1, 9.0) };
            let found = judge(rule, std::slice::from_ref(&cell));
            let why = format!("the cell was {} (rate-reached: 10 %)", words::name(&outcome));
            assert!(undecided(&found) && found.words.contains(&why), "{}", found.words);
            let beside = [cell.clone(), super::tests::cell("redis-streams", 1, 1, 9.0)];
            let ratio = judge("ratio(end_to_end.p99, kafka, redis-streams) < 2", &beside);
            assert!(undecided(&ratio) && ratio.words.contains(&why), "{}", ratio.words);
            assert!(judge("goodput > 1/s", &[cell]).held, "what it carried is known");
        }
        let mut censored = cell("kafka", 1, 1, 9.0);
        let latency = censored.latency.end_to_end.as_mut().unwrap();
        (latency.p99_ns, latency.censored) = (None, 500);
        latency.at_least_ns.insert("p99".into(), 3_000_000_000);
        let found = judge(rule, &[censored]);
        assert!(undecided(&found) && found.words.contains("more than 3.00 s"), "{}", found.words);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let refused = |text: &str| {
            let Problem { what, remedy, .. } =
                Threshold::parse(text, &LABELS.map(String::from)).unwrap_err();
            format!("{what}; {remedy}")
        };
        for (rule, words) in [
            ("end_to_end.p99", "exactly one comparison"),
            (
                "end_to_end.p100 < 5ms",
                "unknown figure `end_to_end.p100`; a latency has any quantile such as `p99`",
            ),
            ("end_to_end < 5ms", "`mean`, `min`, `max` or `count`"),
            ("gooodput > 5k/s", "did you mean `goodput`?"),
            ("end_to_end.p99 < 5", "unit is missing"),
            ("counts.lost < 0", "can never hold"),
            ("end_to_end.p99 < 0ms", "can never hold"),
            ("ratio(goodput, kafka, redis-streams) < 0", "can never hold"),
            ("ratio(goodput, kafka, redis-streams) == 1", "never equals a number"),
            ("counts.lost == 0.5", "not a number of messages"),
            ("counts.lost != 0", "exactly one comparison"),
            ("1 < counts.lost < 3", "exactly one comparison"),
            ("counts.lost = 0", "exactly one comparison"),
            ("kafak: counts.lost == 0", "no label `kafak` under `systems`; did you mean `kafka`?"),
            ("ratio(goodput, kafka, kafka) > 1", "compares a label with itself"),
            ("ratio(goodput, kafka) > 1", "a figure and two labels"),
            ("ratio(goodput, kafka, redis-streams) > 5ms", "a plain number"),
        ] {
            assert!(refused(rule).contains(words), "{rule}: {}", refused(rule));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", tail in "[a-z_.:<>=0-9(), ]{0,40}") {
            let _ = Threshold::parse(&text, &LABELS.map(String::from));
            let _ = Threshold::parse(&tail, &LABELS.map(String::from));
        }
    }
}
