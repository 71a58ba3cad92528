//! The small grammar that thresholds and verdict rules share.
//!
//! ```text
//! [label:] metric op limit            kafka: end_to_end.p99 < 50ms     counts.lost == 0     goodput > 100k/s
//! ratio(metric, label, label) op x    ratio(goodput, kafka, redis-streams) > 1.05
//! ```
//! A rule holds when it holds in every cell that it concerns. What was not measured does not hold. A rule that no
//! measurement could satisfy is refused when it is read.

use super::figure::measure;
use crate::model::{Measure, three_digits};
use crate::result::{self, CellSummary};
use crate::stats::compare::{GeometricMean, Side, decide};
use crate::yaml::suggest;
use serde::Serialize;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    pub text: String,
    pub subject: Subject,
    pub op: Op,
    /// In the metric's unit (ns, messages, messages/s, bytes); plain for a ratio.
    pub limit: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Metric {
        measure: Measure,
        /// Only cells of this label; `None` concerns every label.
        label: Option<String>,
    },
    /// `over` ÷ `under`, at the same matrix point, over their blocks of the same number.
    Ratio { measure: Measure, over: String, under: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` is no usable rule: {problem}{}{remedy}", if remedy.is_empty() { "" } else { "; " })]
pub struct ThresholdError {
    pub rule: String,
    pub problem: String,
    pub remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdVerdict {
    Held,
    Failed,
    /// Nothing to judge by. Counts as failed.
    Unmeasured,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdResult {
    pub rule: String,
    pub verdict: ThresholdVerdict,
    /// The value that decided: of the first cell that fails, else the one nearest to failing.
    pub found: Option<f64>,
    /// One line for people: value, cell, and why.
    pub words: String,
}

impl ThresholdResult {
    pub fn held(&self) -> bool {
        self.verdict == ThresholdVerdict::Held
    }
}

const GRAMMAR: &str = "write it like `end_to_end.p99 < 50ms`, `kafka: counts.lost == 0` or \
                       `ratio(goodput, kafka, redis-streams) > 1.05`";

impl Op {
    /// Longest first, so that `<=` is not read as `<`.
    const ALL: [(&'static str, Self); 5] =
        [("<=", Self::AtMost), (">=", Self::AtLeast), ("==", Self::Equal), ("<", Self::Less), (">", Self::More)];

    /// The side of the limit on which a ratio must lie.
    fn side(self) -> Side {
        match self {
            Self::Less | Self::AtMost => Side::Below,
            Self::More | Self::AtLeast | Self::Equal => Side::Above,
        }
    }

    pub fn holds(self, found: f64, limit: f64) -> bool {
        match self {
            Self::Less => found < limit,
            Self::AtMost => found <= limit,
            Self::More => found > limit,
            Self::AtLeast => found >= limit,
            Self::Equal => found == limit,
        }
    }

    /// Whether `a` is nearer to breaking the rule than `b`.
    fn worse(self, a: f64, b: f64) -> bool {
        match self {
            Self::Less | Self::AtMost => a > b,
            Self::More | Self::AtLeast => a < b,
            Self::Equal => false,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, op)| op == self).map_or("", |(text, _)| text))
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
    let (sign, op) = Op::ALL.into_iter().find(|(sign, _)| text[at..].starts_with(sign))?;
    Some((text[..at].trim(), op, text[at + sign.len()..].trim()))
}

impl Threshold {
    /// Reads a rule over cells with these labels.
    pub fn parse(text: &str, labels: &[&str]) -> Result<Self, ThresholdError> {
        let text = text.trim();
        let fail = |problem: &str, remedy: &str| ThresholdError {
            rule: text.to_owned(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        };
        let one = "it needs exactly one comparison: `<`, `<=`, `>`, `>=` or `==`";
        let (left, op, right) = split(text).ok_or_else(|| fail(one, GRAMMAR))?;
        if right.contains(['<', '>', '=']) || left.ends_with('!') {
            return Err(fail(one, GRAMMAR));
        }
        let measure = |name: &str| measure(name).map_err(|remedy| fail(&format!("unknown figure `{name}`"), &remedy));
        let label = |name: &str| match labels.contains(&name) {
            true => Ok(name.to_owned()),
            false => Err(fail(&format!("no label `{name}` under `systems`"), &suggest(name, labels.iter().copied()))),
        };
        let ratio = left.strip_prefix("ratio").map(str::trim_start).filter(|rest| rest.starts_with('('));
        let (subject, limit) = if let Some(arguments) = ratio {
            let arguments = arguments.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let parts: Vec<&str> = arguments.unwrap_or("").split(',').map(str::trim).collect();
            let [name, over, under] = parts[..] else {
                return Err(fail("a ratio takes a figure and two labels", GRAMMAR));
            };
            let subject = Subject::Ratio { measure: measure(name)?, over: label(over)?, under: label(under)? };
            if over == under {
                return Err(fail("it compares a label with itself", "name two different labels"));
            }
            if op == Op::Equal {
                return Err(fail("a ratio of two measurements never equals a number", "write `<` or `>`"));
            }
            let limit = right.parse::<f64>().ok().filter(|limit| limit.is_finite());
            let limit = limit.ok_or_else(|| fail("a ratio is compared with a plain number", GRAMMAR))?;
            (subject, limit)
        } else {
            let (scope, name) = match left.split_once(':') {
                Some((scope, name)) => (Some(label(scope.trim())?), name.trim()),
                None => (None, left),
            };
            let measure = measure(name)?;
            let limit = measure.unit().parse(right).map_err(|problem| fail(&problem, ""))?;
            (Subject::Metric { measure, label: scope }, limit)
        };
        // No figure is negative, and a ratio of two positive ones is above zero.
        let lowest_passes = match (&subject, op) {
            (_, Op::More | Op::AtLeast) => true,
            (Subject::Metric { .. }, Op::AtMost | Op::Equal) => limit >= 0.0,
            (Subject::Metric { .. } | Subject::Ratio { .. }, _) => limit > 0.0,
        };
        if !lowest_passes {
            return Err(fail("it can never hold: the smallest possible value is 0", "raise the limit"));
        }
        Ok(Self { text: text.to_owned(), subject, op, limit })
    }

    pub fn measure(&self) -> Measure {
        match self.subject {
            Subject::Metric { measure, .. } | Subject::Ratio { measure, .. } => measure,
        }
    }

    /// The labels that it names.
    pub fn labels(&self) -> Vec<&str> {
        match &self.subject {
            Subject::Metric { label, .. } => label.as_deref().into_iter().collect(),
            Subject::Ratio { over, under, .. } => vec![over, under],
        }
    }

    /// Judges every cell that the rule concerns: all labels (or its own), matrix points and blocks.
    pub fn evaluate(&self, cells: &[CellSummary]) -> ThresholdResult {
        let (measure, label) = match &self.subject {
            Subject::Metric { measure, label } => (*measure, label),
            Subject::Ratio { measure, over, under } => return self.evaluate_ratio(cells, *measure, over, under),
        };
        let samples: Vec<(String, Result<f64, String>)> = cells
            .iter()
            .filter(|cell| label.as_ref().is_none_or(|label| *label == cell.label))
            .map(|cell| (place(cell), measured(measure, cell)))
            .collect();
        let finding = |verdict, found, words| ThresholdResult { rule: self.text.clone(), verdict, found, words };
        if samples.is_empty() {
            return finding(ThresholdVerdict::Unmeasured, None, "no cell that it concerns was run".into());
        }
        if let Some((place, why)) = samples.iter().find_map(|(place, value)| Some((place, value.as_ref().err()?))) {
            return finding(ThresholdVerdict::Unmeasured, None, format!("not measured in {place}: {why}"));
        }
        let values = samples.iter().filter_map(|(place, value)| Some((place, *value.as_ref().ok()?)));
        let decides = values.reduce(|worst, next| {
            let fails = |value| !self.op.holds(value, self.limit);
            let worse = self.op.worse(next.1, worst.1) || (fails(next.1) && !fails(worst.1));
            if worse { next } else { worst }
        });
        let Some((place, value)) = decides else {
            return finding(ThresholdVerdict::Unmeasured, None, "nothing was measured".into());
        };
        let held = self.op.holds(value, self.limit);
        let (shown, limit) = (measure.unit().show(value), measure.unit().show(self.limit));
        let words = match (held, samples.len()) {
            (true, 1) => format!("{shown} in {place}"),
            (true, n) => format!("at worst {shown}, in {place} (of {n} cells)"),
            (false, _) => format!("{shown} in {place}, not {} {limit}", self.op),
        };
        finding(if held { ThresholdVerdict::Held } else { ThresholdVerdict::Failed }, Some(value), words)
    }

    /// Decides the ratio at every matrix point by the rule of every verdict on speed. It is held when it is shown at all
    /// of them, and failed when the opposite is shown at any.
    fn evaluate_ratio(&self, cells: &[CellSummary], measure: Measure, over: &str, under: &str) -> ThresholdResult {
        let finding = |verdict, found, words| ThresholdResult { rule: self.text.clone(), verdict, found, words };
        let unmeasured = |words| finding(ThresholdVerdict::Unmeasured, None, words);
        let mut points: Vec<&str> = Vec::new();
        for cell in cells.iter().filter(|cell| cell.label == over) {
            if !points.contains(&cell.cell.as_str()) {
                points.push(&cell.cell);
            }
        }
        let mut open = None;
        let mut decides: Option<(GeometricMean, &str)> = None;
        for point in &points {
            let mean = match ratio(cells, measure, over, under, point) {
                Ok(mean) => mean,
                Err(why) => return unmeasured(format!("not measured in {over} {point}: {why}")),
            };
            match decide(&[Some(mean)], self.op.side(), self.limit)[0] {
                Ok(false) => {
                    let words =
                        format!("{} in {over} {point}, not {} {}", shown(&mean), self.op, three_digits(self.limit));
                    return finding(ThresholdVerdict::Failed, Some(mean.value()), words);
                }
                Ok(true) => {}
                Err(why) => open = open.or(Some(format!("{} in {over} {point}: {why}", shown(&mean)))),
            }
            if decides.is_none_or(|(worst, _)| self.op.worse(mean.value(), worst.value())) {
                decides = Some((mean, point));
            }
        }
        match (open, decides) {
            (Some(why), _) => unmeasured(format!("not decided: {why}")),
            (None, None) => unmeasured("no cell that it concerns was run".to_owned()),
            (None, Some((mean, point))) => {
                let words = match points.len() {
                    1 => format!("{} in {over} {point}", shown(&mean)),
                    n => format!("at worst {}, in {over} {point} (of {n} points)", shown(&mean)),
                };
                finding(ThresholdVerdict::Held, Some(mean.value()), words)
            }
        }
    }
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
    result::measured(measure, cell).ok_or_else(|| format!("{measure} of {} is null", cell.label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{CellId, Counts, Latencies, Quantiles, Rates};
    use proptest::prelude::*;

    const LABELS: [&str; 2] = ["kafka", "redis-streams"];

    fn cell(label: &str, block: u32, p99_ms: u64, goodput: f64) -> CellSummary {
        let latency = Quantiles { count: 1000, p99_ns: Some(p99_ms * 1_000_000), ..Quantiles::default() };
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
            ..CellSummary::empty(id)
        }
    }

    fn judge(rule: &str, cells: &[CellSummary]) -> ThresholdResult {
        Threshold::parse(rule, &LABELS).unwrap().evaluate(cells)
    }

    #[test]
    fn a_rule_holds_when_it_holds_in_every_cell() {
        let cells = [cell("kafka", 1, 10, 100e3), cell("kafka", 2, 30, 90e3), cell("redis-streams", 1, 60, 200e3)];
        assert_eq!(judge("end_to_end.p99 < 50ms", &cells).verdict, ThresholdVerdict::Failed);
        let scoped = judge("kafka: end_to_end.p99 < 50ms", &cells);
        assert_eq!((scoped.verdict, scoped.found), (ThresholdVerdict::Held, Some(30e6)));
        assert_eq!(scoped.words, "at worst 30.0 ms, in kafka base block 2 (of 2 cells)");
        let failed = judge("goodput >= 100k/s", &cells);
        assert_eq!((failed.verdict, failed.found), (ThresholdVerdict::Failed, Some(90e3)));
        assert_eq!(failed.words, "90.0k/s in kafka base block 2, not >= 100k/s");
        assert!(judge("counts.lost == 0", &cells).held());
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
        assert!(above.held() && above.words.starts_with("1.10 [1.10, 1.11] in kafka base"), "{}", above.words);
        assert_eq!(judge("ratio(goodput, redis-streams, kafka) > 1.05", &cells).verdict, ThresholdVerdict::Failed);
        assert!(judge("ratio(goodput, redis-streams, kafka) < 0.95", &cells).held());
        let noisy = blocks([220.0, 600.0, 480.0], [200.0, 600.0, 400.0]);
        let open = judge("ratio(goodput, kafka, redis-streams) > 1.05", &noisy);
        assert_eq!(open.verdict, ThresholdVerdict::Unmeasured, "every block's mean above the limit is not enough");
        assert!(open.words.contains("the interval includes the limit"), "{}", open.words);
        let few = [cells[0].clone(), cells[3].clone()];
        let few = judge("ratio(goodput, kafka, redis-streams) > 1.05", &few);
        assert!(few.verdict == ThresholdVerdict::Unmeasured && few.words.contains("exploratory"), "{}", few.words);
        let alone = judge("ratio(goodput, kafka, redis-streams) > 1.05", &cells[..1]);
        assert_eq!(alone.verdict, ThresholdVerdict::Unmeasured);
        assert!(alone.words.contains("was not run beside it"), "{}", alone.words);
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let mut spoilt = cell("kafka", 1, 1, 1.0);
        assert_eq!(judge("counts.broker_lost == 0", &[spoilt.clone()]).verdict, ThresholdVerdict::Unmeasured);
        assert_eq!(judge("redis-streams: counts.lost == 0", &[spoilt.clone()]).verdict, ThresholdVerdict::Unmeasured);
        spoilt.valid = false;
        spoilt.invalid_because = vec!["schedule lag".into()];
        let finding = judge("counts.lost == 0", &[spoilt]);
        assert_eq!(finding.verdict, ThresholdVerdict::Unmeasured);
        assert!(finding.words.contains("schedule lag"), "{}", finding.words);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let refused = |text: &str| Threshold::parse(text, &LABELS).unwrap_err().to_string();
        for (rule, words) in [
            ("end_to_end.p99", "exactly one comparison"),
            ("end_to_end.p100 < 5ms", "unknown figure `end_to_end.p100`; a latency has any quantile such as `p99`"),
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
            let _ = Threshold::parse(&text, &LABELS);
            let _ = Threshold::parse(&tail, &LABELS);
        }
    }
}
