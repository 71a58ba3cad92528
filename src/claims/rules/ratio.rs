//! Ratios of speeds between Kafka and a primitive, over paired blocks, against a limit.
//!
//! A verdict needs three blocks, enough samples beyond the quantile, equal survival classes (or the scenario's reason to
//! compare across them), and values that the instrument does not make up itself.

use super::{Inputs, Judged};
use crate::claims::cells::figure;
use crate::claims::data::empty_cell;
use crate::claims::finding::{Decision, Finding, PRIMITIVES};
use crate::claims::rules::fact::short;
use crate::result::words::{same_class, significant, survival};
use crate::result::{BlockValue, ComparedCell, Kind, Outcome, RunInfo};
use crate::stats::compare::{ALPHA, GeometricMean, LEAST_BLOCKS, holm};
use serde::{Deserialize, Serialize};

/// A quantile carries a verdict with this many samples beyond it in every block.
const BEYOND: f64 = 100.0;
/// A latency carries a verdict while the instrument's floor is at most this share of the smaller side, or while the ratio
/// stays on its side of the limit wherever between nothing and its floor each side's own path cost lies. (A responder
/// that does nothing is hardly faster than Redis: the share alone would forbid every verdict on it.)
const FLOOR_SHARE: f64 = 0.25;
const BELOW_FLOOR: &str = "below the instrument's floor";
const EXPLORATORY: &str = "exploratory";

/// `above` claims that Kafka is the better one, `below` that the primitive is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    metrics: Vec<String>,
    of: Of,
    must_be: Side,
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Of {
    #[serde(rename = "Kafka ÷ primitive")]
    KafkaToPrimitive,
    #[serde(rename = "primitive ÷ Kafka")]
    PrimitiveToKafka,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Side {
    Above,
    Below,
}

impl Limits {
    /// Kafka's and the primitive's in the order of the ratio.
    fn order<T>(&self, kafka: T, primitive: T) -> (T, T) {
        match self.of {
            Of::KafkaToPrimitive => (kafka, primitive),
            Of::PrimitiveToKafka => (primitive, kafka),
        }
    }

    fn kept(&self, ratio: f64) -> bool {
        match self.must_be {
            Side::Above => ratio > self.limit,
            Side::Below => ratio < self.limit,
        }
    }
}

/// One Kafka cell against one primitive's.
struct Pair<'a> {
    kafka: &'a ComparedCell,
    primitive: &'a ComparedCell,
    ratio: Option<GeometricMean>,
    n: u64,
    cross_class: Option<&'a str>,
    floor: FloorRule,
    /// Why it carries no verdict, whatever the ratio.
    barred: Option<String>,
    decision: Decision,
}

pub fn judge(limits: &Limits, inputs: &Inputs<'_>) -> Judged {
    let mut pairs = pairs(limits, &inputs.judged, inputs.runs);
    decide(&mut pairs, limits);
    let mut findings: Vec<Finding> =
        pairs.iter().map(|pair| Finding::new(&pair.primitive.system, condition(pair), pair.decision.clone())).collect();
    let mut sentences = ratios_in_words(&pairs, limits);
    for cell in inputs.judged.iter().filter(|cell| cell.kind == Kind::Cannot) {
        // Who cannot is not the better one.
        let shown = (cell.system == "kafka") == (limits.must_be == Side::Below);
        let decision = if shown { Decision::Shown } else { Decision::Refuted };
        let concerned: Vec<&str> = if cell.system == "kafka" { PRIMITIVES.into() } else { vec![&cell.system] };
        findings.extend(concerned.iter().map(|name| Finding::new(name, format!("at {}", cell.cell), decision.clone())));
        sentences.push(format!("{} cannot at {}: {}", cell.label, cell.cell, short(&cell.text)));
    }
    if findings.is_empty() && !inputs.judged.is_empty() {
        sentences.push("no Kafka cell stands beside one of Redis".to_owned());
    }
    sentences.extend(classes_in_words(&pairs));
    sentences.extend(floors_in_words(&pairs));
    let beside = self::pairs(limits, &inputs.shown, inputs.runs);
    let shown_only = beside
        .iter()
        .map(|pair| ComparedCell { text: "stands beside the verdict".to_owned(), ..ratio_cell(pair, limits) });
    let derived = pairs.iter().map(|pair| ratio_cell(pair, limits)).chain(shown_only).collect();
    Judged { findings, verdict: None, sentences, derived }
}

/// Every primitive against the Kafka labels of its run and matrix point: those of equal survival class where there are
/// some, else all of them, which carries a verdict only with the scenario's reason.
fn pairs<'a>(limits: &Limits, cells: &[&'a ComparedCell], runs: &'a [RunInfo]) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    let beyond = |metric: &str| figure(metric).map_or(1.0, |figure| figure.beyond);
    for metric in &limits.metrics {
        let cells = || cells.iter().filter(|cell| cell.metric == *metric && !cell.per_block.is_empty());
        for primitive in cells().filter(|cell| PRIMITIVES.contains(&cell.system.as_str())) {
            let beside: Vec<&&ComparedCell> = cells()
                .filter(|kafka| kafka.system == "kafka" && kafka.run == primitive.run && kafka.cell == primitive.cell)
                .collect();
            let equal = |kafka: &ComparedCell| match (&kafka.survives, &primitive.survives) {
                (Some(kafka), Some(primitive)) => same_class(kafka, primitive),
                _ => false,
            };
            let reason = runs
                .iter()
                .find(|run| Some(&run.run) == primitive.run.as_ref())
                .and_then(|run| run.cross_class.as_deref());
            let some_equal = beside.iter().any(|kafka| equal(kafka));
            for kafka in beside.into_iter().filter(|kafka| !some_equal || equal(kafka)) {
                let cross_class = if some_equal { None } else { reason };
                let (ratio, n) = paired(kafka, primitive, limits);
                let floor = floor_rule(kafka, primitive, limits, beyond(metric) < 1.0);
                let barred = (!some_equal && cross_class.is_none())
                    .then(|| {
                        "survival classes differ and the scenario gives no reason to compare across them".to_owned()
                    })
                    .or_else(|| barred(kafka, primitive, beyond(metric)))
                    .or_else(|| (floor == FloorRule::Barred).then(|| BELOW_FLOOR.to_owned()));
                let decision = Decision::Refuted;
                pairs.push(Pair { kafka, primitive, ratio, n, cross_class, floor, barred, decision });
            }
        }
    }
    pairs
}

/// Both sides' blocks of the same number.
fn blocks<'a>(
    kafka: &'a ComparedCell,
    primitive: &'a ComparedCell,
) -> impl Iterator<Item = (&'a BlockValue, &'a BlockValue)> {
    kafka
        .per_block
        .iter()
        .filter_map(|block| Some((block, primitive.per_block.iter().find(|other| other.block == block.block)?)))
}

/// The ratio over the blocks in which both sides have a value, and the messages behind it.
fn paired(kafka: &ComparedCell, primitive: &ComparedCell, limits: &Limits) -> (Option<GeometricMean>, u64) {
    let (mut above, mut below, mut n) = (Vec::new(), Vec::new(), 0);
    for (kafka, primitive) in blocks(kafka, primitive) {
        if let (Some(a), Some(b)) = (kafka.value, primitive.value) {
            let (a, b) = limits.order(a, b);
            above.push(a);
            below.push(b);
            n += kafka.n + primitive.n;
        }
    }
    (GeometricMean::of_ratios(&above, &below), n)
}

/// Why a pair carries no verdict: overload, or too few samples.
fn barred(kafka: &ComparedCell, primitive: &ComparedCell, beyond: f64) -> Option<String> {
    for side in [kafka, primitive] {
        if beyond < 1.0 && side.per_block.iter().any(|block| block.valid && block.outcome == Outcome::Overloaded) {
            return Some(format!("{} is overloaded at {}", side.label, side.cell));
        }
        if let Some(block) =
            side.per_block.iter().find(|block| (block.n as f64) * beyond < BEYOND && block.value.is_some())
        {
            let needed = (BEYOND / beyond).round();
            return Some(format!("{} has {} samples a block, {needed} needed", side.label, block.n));
        }
    }
    None
}

/// What the instrument's floor does to a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FloorRule {
    /// The floor is small beside both values.
    Small,
    /// It is this share of the smaller value, and yet cannot have turned the ratio.
    Harmless(f64),
    Barred,
}

/// A measured latency is the system's own and something between nothing and the floor on top. So the ratio of what is the
/// systems' own lies between its extremes: the floor off the upper side only, and off the lower side only. While both
/// extremes lie on the same side of the limit as the ratio itself, in every block, the floor cannot have made the verdict.
fn floor_rule(kafka: &ComparedCell, primitive: &ComparedCell, limits: &Limits, latency: bool) -> FloorRule {
    let all = || kafka.per_block.iter().chain(&primitive.per_block).filter(|block| block.value.is_some());
    let smaller = all().filter_map(|block| block.value).reduce(f64::min);
    let floor = all().filter_map(|block| block.floor).reduce(f64::max);
    let (true, Some(smaller), Some(floor)) = (latency, smaller, floor) else { return FloorRule::Small };
    if floor <= FLOOR_SHARE * smaller {
        return FloorRule::Small;
    }
    let decides = blocks(kafka, primitive).any(|(kafka, primitive)| {
        let (above, below) = limits.order(kafka, primitive);
        let (Some(a), Some(b)) = (above.value, below.value) else { return false };
        let (least_a, least_b) = (a - above.floor.unwrap_or(0.0), b - below.floor.unwrap_or(0.0));
        let extremes = [least_a.max(0.0) / b, if least_b > 0.0 { a / least_b } else { f64::INFINITY }];
        extremes.iter().any(|extreme| limits.kept(*extreme) != limits.kept(a / b))
    });
    if decides { FloorRule::Barred } else { FloorRule::Harmless(floor / smaller) }
}

/// Decides every pair that may be decided. The family of Holm's adjustment is all that the row declares: one that bars
/// itself counts as well, else the data would choose how strictly they are judged.
fn decide(pairs: &mut [Pair<'_>], limits: &Limits) {
    let testable = |pair: &Pair<'_>| pair.ratio.filter(|ratio| pair.barred.is_none() && ratio.blocks() >= LEAST_BLOCKS);
    let (shown, refuted): (Vec<f64>, Vec<f64>) = pairs
        .iter()
        .map(|pair| match (testable(pair), limits.must_be) {
            (Some(ratio), Side::Above) => (ratio.p_above(limits.limit), ratio.p_below(limits.limit)),
            (Some(ratio), Side::Below) => (ratio.p_below(limits.limit), ratio.p_above(limits.limit)),
            (None, _) => (None, None),
        })
        .map(|(shown, refuted)| (shown.unwrap_or(1.0), refuted.unwrap_or(1.0)))
        .unzip();
    let family = pairs.len();
    let adjusted = holm(&shown).into_iter().zip(holm(&refuted));
    for (pair, adjusted) in pairs.iter_mut().zip(adjusted) {
        pair.decision = match (testable(pair).map(|_| adjusted), &pair.barred, &pair.ratio) {
            (Some((shown, _)), ..) if shown < ALPHA => Decision::Shown,
            (Some((_, refuted)), ..) if refuted < ALPHA => Decision::Refuted,
            (Some(_), _, Some(ratio)) => Decision::Undecided(undecided(ratio, limits, family)),
            (None, Some(reason), _) => Decision::Undecided(reason.clone()),
            (None, None, Some(_)) => Decision::Undecided(EXPLORATORY.to_owned()),
            (_, _, None) => Decision::Undecided("no block is valid on both sides".to_owned()),
        };
    }
}

/// Why the blocks do not decide: the interval itself, or that it is one of many.
fn undecided(ratio: &GeometricMean, limits: &Limits, family: usize) -> String {
    let includes = ratio.interval().is_none_or(|[low, high]| low <= limits.limit && limits.limit <= high);
    if includes { "the interval includes the limit".to_owned() } else { format!("not shown as one of {family} (Holm)") }
}

/// The matrix point of a pair, with the labels where they are not the plain ones.
fn condition(pair: &Pair<'_>) -> String {
    let mut text = match pair.primitive.cell.as_str() {
        "base" => String::new(),
        point => format!("at {point}"),
    };
    if pair.primitive.label != pair.primitive.system {
        text = format!("as {} {text}", pair.primitive.label);
    }
    if pair.kafka.label != "kafka" {
        text = format!("{text} against {}", pair.kafka.label);
    }
    text.trim().to_owned()
}

/// The ratios of each two labels in one sentence, decision by decision.
fn ratios_in_words(pairs: &[Pair<'_>], limits: &Limits) -> Vec<String> {
    let name = |pair: &Pair<'_>| {
        let (above, below) = limits.order(&pair.kafka.label, &pair.primitive.label);
        format!("{above} ÷ {below}")
    };
    let mut sentences: Vec<String> = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.ratio.is_some() || pair.barred.is_some()) {
        let name_of = name(pair);
        if named.contains(&name_of) {
            continue;
        }
        let same: Vec<&Pair<'_>> = pairs.iter().filter(|other| name(other) == name_of).collect();
        let mut decisions: Vec<&Decision> = Vec::new();
        for other in &same {
            if !decisions.contains(&&other.decision) {
                decisions.push(&other.decision);
            }
        }
        let parts = decisions.iter().map(|decision| {
            let of: Vec<&Pair<'_>> = same.iter().copied().filter(|other| other.decision == **decision).collect();
            let places = if decisions.len() > 1 { format!(" ({})", places(&of, limits)) } else { String::new() };
            format!("{} {}{places}", range(&of, decisions.len() == 1), decision.word())
        });
        sentences.push(format!("{name_of}: {}", parts.collect::<Vec<_>>().join(", ")));
        named.push(name_of);
    }
    if let Some(fewest) = pairs.iter().filter_map(|pair| pair.ratio).map(|ratio| ratio.blocks()).min() {
        let blocks = if fewest == 1 { "1 paired block".to_owned() } else { format!("{fewest} paired blocks") };
        let few =
            if fewest < LEAST_BLOCKS { format!(": below {LEAST_BLOCKS} no verdict on speed") } else { String::new() };
        sentences.push(blocks + &few);
    }
    sentences
}

/// `p50 at 1k/s, p50+p99 at 10k/s`; without the metric where the rule has only one.
fn places(pairs: &[&Pair<'_>], limits: &Limits) -> String {
    let mut points: Vec<(&str, Vec<String>)> = Vec::new();
    for pair in pairs {
        let point = pair.primitive.cell.as_str();
        let metric = pair.primitive.metric.rsplit('.').next().unwrap_or_default().replace('_', ".");
        match points.iter_mut().find(|(known, _)| *known == point) {
            Some((_, metrics)) => metrics.push(metric),
            None => points.push((point, vec![metric])),
        }
    }
    let words = points.into_iter().map(|(point, metrics)| {
        let values = point.split(',').map(|axis| axis.split_once('=').map_or(axis, |(_, value)| value));
        let values = values.collect::<Vec<_>>().join(" ");
        if limits.metrics.len() == 1 { values } else { format!("{} at {values}", metrics.join("+")) }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// `2.00× [1.95, 2.05]`, the interval where there is room, or from the least to the most of several ratios.
fn range(pairs: &[&Pair<'_>], room: bool) -> String {
    let ratios: Vec<GeometricMean> = pairs.iter().filter_map(|pair| pair.ratio).collect();
    if let ([ratio], true) = (ratios.as_slice(), room) {
        let interval = ratio.interval().map(|[low, high]| format!(" [{}, {}]", significant(low), significant(high)));
        return format!("{}×{}", significant(ratio.value()), interval.unwrap_or_default());
    }
    let words = |pick: fn(f64, f64) -> f64| ratios.iter().map(GeometricMean::value).reduce(pick).map(significant);
    match (words(f64::min), words(f64::max)) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most}×"),
        (Some(least), _) => format!("{least}×"),
        _ => "no ratio,".to_owned(),
    }
}

/// Where a verdict stands although the floor is a large share of a value, and why it may.
fn floors_in_words(pairs: &[Pair<'_>]) -> Option<String> {
    let decided = pairs.iter().filter(|pair| matches!(pair.decision, Decision::Shown | Decision::Refuted));
    let mut labels: Vec<&str> = Vec::new();
    let mut most: f64 = 0.0;
    for pair in decided {
        if let FloorRule::Harmless(share) = pair.floor {
            most = most.max(share);
            if !labels.contains(&pair.primitive.label.as_str()) {
                labels.push(&pair.primitive.label);
            }
        }
    }
    (!labels.is_empty()).then(|| {
        format!(
            "the instrument's floor is up to {} % of the smaller value ({}) and yet cannot turn these ratios",
            (most * 100.0).round(),
            labels.join(", ")
        )
    })
}

/// Whose survival classes differ, and the scenario's reason to compare them all the same: its first sentence.
fn classes_in_words(pairs: &[Pair<'_>]) -> Vec<String> {
    /// A class in words, and the labels in it.
    type Class<'a> = (String, Vec<&'a str>);
    let mut reasons: Vec<(&str, Vec<Class<'_>>)> = Vec::new();
    for pair in pairs {
        let (Some(reason), Some(kafka), Some(primitive)) =
            (pair.cross_class, &pair.kafka.survives, &pair.primitive.survives)
        else {
            continue;
        };
        let at = reasons.iter().position(|(known, _)| *known == reason).unwrap_or_else(|| {
            reasons.push((reason, Vec::new()));
            reasons.len() - 1
        });
        let classes = &mut reasons[at].1;
        for (label, survives) in [(&pair.kafka.label, kafka), (&pair.primitive.label, primitive)] {
            let class = survival(survives);
            match classes.iter_mut().find(|(known, _)| *known == class) {
                Some((_, labels)) if labels.contains(&label.as_str()) => {}
                Some((_, labels)) => labels.push(label),
                None => classes.push((class, vec![label])),
            }
        }
    }
    let sentence = |(reason, classes): (&str, Vec<(String, Vec<&str>)>)| {
        let first = reason.split_once(". ").map_or(reason, |(first, _)| first);
        // Many labels would crowd out the ratios; each class stands beside its figures.
        let labels: usize = classes.iter().map(|(_, labels)| labels.len()).sum();
        let classes: Vec<String> =
            classes.into_iter().map(|(class, labels)| format!("{} {class}", labels.join("/"))).collect();
        let named = if labels > 2 { String::new() } else { format!(" ({})", classes.join(", ")) };
        format!("across survival classes{named}: {}", first.trim_end_matches('.'))
    };
    reasons.into_iter().map(sentence).collect()
}

fn ratio_cell(pair: &Pair<'_>, limits: &Limits) -> ComparedCell {
    let (above, below) = limits.order(pair.kafka, pair.primitive);
    let metric = format!("ratio({}, {}, {})", pair.primitive.metric, above.label, below.label);
    let floor = match pair.floor {
        FloorRule::Harmless(share) if matches!(pair.decision, Decision::Shown | Decision::Refuted) => {
            format!("; the floor, {} % of the smaller value, cannot turn it", (share * 100.0).round())
        }
        _ => String::new(),
    };
    ComparedCell {
        variant: pair.primitive.variant.clone(),
        cell: pair.primitive.cell.clone(),
        kind: if pair.ratio.is_some() { Kind::Measured } else { Kind::NotMeasured },
        value: pair.ratio.map(|ratio| ratio.value()),
        unit: "×".to_owned(),
        interval: pair.ratio.and_then(|ratio| ratio.interval()),
        n: pair.n,
        blocks: pair.ratio.map_or(0, |ratio| ratio.blocks() as u32),
        text: format!("{}{floor}", pair.decision.word()),
        run: pair.primitive.run.clone(),
        ..empty_cell(&pair.primitive.label, &pair.primitive.system, &metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with, verdict};

    fn goodputs(kafka: f64, streams: f64) -> Vec<ComparedCell> {
        let near = |value: f64| [value, value * 1.01, value * 0.99];
        vec![
            measured("kafka", "goodput", "base", &near(kafka)),
            measured("redis-streams", "goodput", "base", &near(streams)),
        ]
    }

    fn latencies(kafka: (f64, f64), streams: (f64, f64)) -> Vec<ComparedCell> {
        [("kafka", kafka), ("redis-streams", streams)]
            .map(|(label, (value, floor))| {
                let mut cell = measured(label, "end_to_end.p99", "base", &[value, value * 1.01, value * 0.99]);
                cell.per_block.iter_mut().for_each(|block| block.floor = Some(floor));
                cell
            })
            .into()
    }

    #[test]
    fn the_cells_decide() {
        let throughput = rule("throughput");
        assert_eq!(verdict(&throughput, &goodputs(2e5, 1e5)), "holds");
        assert_eq!(verdict(&throughput, &goodputs(1e5, 2e5)), "does not hold");
        assert!(verdict(&throughput, &goodputs(1.05e5, 1e5)).starts_with("inconclusive"));
        let urgent = rule("urgent-messages");
        assert_eq!(verdict(&urgent, &latencies((2e6, 0.0), (1e6, 0.0))), "holds");
        assert_eq!(verdict(&urgent, &latencies((1e6, 0.0), (2e6, 0.0))), "does not hold");
        let realtime = rule("realtime-stream");
        assert_eq!(verdict(&realtime, &latencies((1e6, 0.0), (2e6, 0.0))), "holds");
        assert_eq!(verdict(&realtime, &latencies((2e6, 0.0), (1e6, 0.0))), "does not hold");
    }

    #[test]
    fn the_limit_in_the_data_decides() {
        let cells = goodputs(2e5, 1e5);
        for (limit, expected) in [("1.05", "holds"), ("1.5", "holds"), ("3", "does not hold")] {
            let changed =
                rule_with("log-aggregation", "must-be: above, limit: 1.05", &format!("must-be: above, limit: {limit}"));
            assert_eq!(verdict(&changed, &cells), expected, "{limit}");
        }
        let changed = rule_with("urgent-messages", "must-be: below, limit: 0.95", "must-be: below, limit: 0.4");
        assert_eq!(verdict(&changed, &latencies((2e6, 0.0), (1e6, 0.0))), "does not hold");
        let turned = rule_with("throughput", "of: Kafka ÷ primitive", "of: primitive ÷ Kafka");
        assert_eq!(verdict(&turned, &cells), "does not hold");
    }

    /// What is barred stays in the family: the others are judged as strictly as if it were not.
    #[test]
    fn the_family_is_all_that_the_row_declares() {
        let spread = |label: &str, point: &str, values: [f64; 3]| measured(label, "goodput", point, &values);
        let alone =
            vec![spread("kafka", "a=1", [2.0e5, 2.0e5, 2.0e5]), spread("redis-streams", "a=1", [1.0e5, 1.3e5, 1.4e5])];
        let throughput = rule("throughput");
        assert_eq!(verdict(&throughput, &alone), "holds");
        let mut more = alone;
        for point in ["a=2", "a=3", "a=4", "a=5", "a=6"] {
            more.push(spread("kafka", point, [2.0e5; 3]));
            more.push(spread("redis-streams", point, [1.0e5; 3]));
            for cell in more.iter_mut().filter(|cell| cell.cell == point) {
                cell.per_block.iter_mut().for_each(|block| block.n = 1);
            }
        }
        let found = verdict(&throughput, &more);
        assert!(found.starts_with("inconclusive (not shown as one of 6 (Holm); "), "{found}");
    }

    #[test]
    fn reasons_stay_readable_in_the_worst_case() {
        let mut cells = Vec::new();
        for (at, point) in ["load.rate=1k/s", "load.rate=10k/s", "load.rate=half-capacity"].into_iter().enumerate() {
            for metric in ["end_to_end.p50", "end_to_end.p99"] {
                for (label, value) in
                    [("kafka", 2e6), ("redis-pubsub", 1e6), ("redis-streams", 3e6), ("redis-lists", 1.9e6)]
                {
                    let value = value * (1.0 + at as f64 / 10.0);
                    cells.push(measured(label, metric, point, &[value, value * 1.3, value * 0.8]));
                }
            }
        }
        // The helper checks the length.
        let because = judge_with(&rule("latency"), &cells, &[]).because();
        assert!(because.contains("redis-lists ÷ kafka: 0.950×"), "{because}");
    }

    #[test]
    fn a_rate_that_was_found_is_judged_like_one_that_was_written() {
        let cells = |at_half: f64| -> Vec<ComparedCell> {
            let at = |label, point, value: f64| {
                let metrics = ["end_to_end.p50", "end_to_end.p99"];
                metrics.map(|metric| measured(label, metric, point, &[value, value * 1.01, value * 0.99]))
            };
            [("load.rate=1k/s", 1e5), ("load.rate=half-capacity", at_half)]
                .into_iter()
                .flat_map(|(point, value)| [at("kafka", point, 1e6), at("redis-streams", point, value)].concat())
                .chain([measured("redis-streams", "capacity.half", "load.rate=half-capacity", &[25_000.0])])
                .collect()
        };
        assert_eq!(verdict(&rule("latency"), &cells(1e5)), "holds");
        let judged = judge_with(&rule("latency"), &cells(3e6), &[]);
        assert_eq!(judged.verdict(), "holds only for redis-streams at load.rate=1k/s");
        assert!(judged.because().contains("p50+p99 at half-capacity"), "{}", judged.because());
    }

    #[test]
    fn who_cannot_is_not_the_better_one() {
        let (aggregation, urgent) = (rule("log-aggregation"), rule("urgent-messages"));
        let cells = [cannot("redis-pubsub", "goodput", "base", "keeps nothing")];
        let judged = judge_with(&aggregation, &cells, &[]);
        assert_eq!(judged.verdict(), "holds");
        assert!(judged.because().contains("redis-pubsub cannot at base: keeps nothing"), "{}", judged.because());
        assert_eq!(verdict(&urgent, &cells), "does not hold");
    }

    #[test]
    fn a_floor_that_could_turn_the_ratio_bars_it() {
        let urgent = rule("urgent-messages");
        // Redis is nothing but floor: whatever of it is Redis's own, it is below Kafka's.
        let judged = judge_with(&urgent, &latencies((2e6, 1e5), (2e5, 1.9e5)), &[]);
        assert_eq!(judged.verdict(), "holds");
        assert!(judged.because().contains("floor is up to 96 %"), "{}", judged.because());
        assert!(judged.derived[0].text.contains("cannot turn it"), "{}", judged.derived[0].text);
        // Kafka's own may be as little as 1e5: below Redis's 2e5.
        let judged = judge_with(&urgent, &latencies((2e6, 1.9e6), (2e5, 1e4)), &[]);
        assert_eq!(judged.verdict(), "inconclusive (below the instrument's floor)");
        // Taken off both sides at once the ratio would stay below the limit; taken off Kafka's alone it would not.
        let judged = judge_with(&urgent, &latencies((1.1e5, 5e4), (1e5, 9e4)), &[]);
        assert_eq!(judged.verdict(), "inconclusive (below the instrument's floor)");
        // Refuting is held to the same rule: what is above the limit may be all floor.
        let judged = judge_with(&urgent, &latencies((1e5, 1e4), (2e5, 1.9e5)), &[]);
        assert_eq!(judged.verdict(), "inconclusive (below the instrument's floor)");
        // A small floor is not mentioned.
        let judged = judge_with(&urgent, &latencies((2e6, 1e4), (2e5, 1e4)), &[]);
        assert!(judged.verdict() == "holds" && !judged.because().contains("floor"), "{}", judged.because());
    }
}
