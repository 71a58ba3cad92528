//! From cells to a verdict: ratios over paired blocks, each decided, undecided or refuted, gathered per Redis primitive.
//!
//! Only what stands in the cells and in the runs' cross-class reasons decides. Reads nothing else, so that anyone can do
//! it again from `comparison.json`.

use super::cells::{Figure, figures};
use crate::result::words::{same_class, significant, survival};
use crate::result::{BlockValue, ComparedCell, Kind, Outcome, RunInfo};
use crate::stats::compare::{ALPHA, GeometricMean, LEAST_BLOCKS, holm};

/// A quantile carries a verdict with this many samples beyond it in every block.
const BEYOND: f64 = 100.0;
/// A latency carries a verdict while the instrument's floor is at most this share of the smaller side, or while taking
/// each side's floor off leaves the ratio on the same side of the limit: the floor adds to both sides and so can only
/// hide a difference, never make one. (A responder that does nothing is hardly faster than Redis: the share alone would
/// forbid every verdict on it.)
const FLOOR_SHARE: f64 = 0.25;
const BELOW_FLOOR: &str = "below the instrument's floor";
const PRIMITIVES: [&str; 3] = ["redis-pubsub", "redis-streams", "redis-lists"];
const EXPLORATORY: &str = "exploratory";

pub struct Judged {
    pub verdict: String,
    pub because: String,
    pub ratios: Vec<ComparedCell>,
}

/// What a claim says of a ratio.
#[derive(Clone, Copy)]
enum Says {
    /// Kafka ÷ primitive is above this.
    KafkaAbove(f64),
    /// Primitive ÷ Kafka is below this.
    PrimitiveBelow(f64),
}

#[derive(Clone, Debug, PartialEq)]
enum Decision {
    Shown,
    Refuted,
    Undecided(String),
}

/// One Kafka cell against one primitive's.
struct Pair<'a> {
    kafka: &'a ComparedCell,
    primitive: &'a ComparedCell,
    ratio: Option<GeometricMean>,
    n: u64,
    cross_class: Option<&'a str>,
    /// Why it carries no verdict, whatever the ratio.
    barred: Option<String>,
    decision: Decision,
}

pub fn judge(claim: &str, cells: &[ComparedCell], runs: &[RunInfo]) -> Judged {
    let says = match claim {
        "throughput" => Says::KafkaAbove(1.05),
        "latency" => Says::PrimitiveBelow(0.95),
        _ => return not_measured("its measurement is not built yet"),
    };
    if cells.is_empty() {
        return not_measured("no run of this comparison serves it");
    }
    let mut pairs: Vec<Pair<'_>> = figures(claim)
        .iter()
        .filter(|figure| figure.judged)
        .flat_map(|figure| pairs_of(figure, says, cells, runs))
        .collect();
    if pairs.is_empty() {
        return not_measured("no Kafka cell stands beside one of Redis");
    }
    decide(&mut pairs, says);
    Judged {
        verdict: verdict(&pairs),
        because: because(&pairs),
        ratios: pairs.iter().map(|pair| ratio_cell(pair, says)).collect(),
    }
}

fn not_measured(why: &str) -> Judged {
    Judged { verdict: "not measured".to_owned(), because: why.to_owned(), ratios: Vec::new() }
}

/// Every primitive against the Kafka labels of its run and matrix point: those of equal survival class where there are
/// some, else all of them, which carries a verdict only with the scenario's reason.
fn pairs_of<'a>(figure: &Figure, says: Says, cells: &'a [ComparedCell], runs: &'a [RunInfo]) -> Vec<Pair<'a>> {
    let cells: Vec<&ComparedCell> = cells.iter().filter(|cell| cell.metric == figure.metric).collect();
    let mut pairs = Vec::new();
    for primitive in cells.iter().filter(|cell| PRIMITIVES.contains(&cell.system.as_str())) {
        let beside: Vec<&&ComparedCell> = (cells.iter())
            .filter(|kafka| kafka.system == "kafka" && kafka.run == primitive.run && kafka.cell == primitive.cell)
            .collect();
        let equal = |kafka: &ComparedCell| match (&kafka.survives, &primitive.survives) {
            (Some(kafka), Some(primitive)) => same_class(kafka, primitive),
            _ => false,
        };
        let reason =
            runs.iter().find(|run| Some(&run.run) == primitive.run.as_ref()).and_then(|run| run.cross_class.as_deref());
        let some_equal = beside.iter().any(|kafka| equal(kafka));
        for kafka in beside.into_iter().filter(|kafka| !some_equal || equal(kafka)) {
            let cross_class = if some_equal { None } else { reason };
            let (ratio, n) = paired(kafka, primitive, says);
            let barred = (!some_equal && cross_class.is_none())
                .then(|| "survival classes differ and the scenario gives no reason to compare across them".to_owned())
                .or_else(|| barred(kafka, primitive, figure, says));
            pairs.push(Pair { kafka, primitive, ratio, n, cross_class, barred, decision: Decision::Refuted });
        }
    }
    pairs
}

/// The ratio over the blocks in which both sides have a value, and the messages behind it.
fn paired(kafka: &ComparedCell, primitive: &ComparedCell, says: Says) -> (Option<GeometricMean>, u64) {
    let (mut above, mut below, mut n) = (Vec::new(), Vec::new(), 0);
    for block in &kafka.per_block {
        let other = primitive.per_block.iter().find(|other| other.block == block.block);
        if let Some((other, (a, b))) = other.and_then(|other| Some((other, (block.value?, other.value?)))) {
            above.push(a);
            below.push(b);
            n += block.n + other.n;
        }
    }
    let ratio = match says {
        Says::KafkaAbove(_) => GeometricMean::of_ratios(&above, &below),
        Says::PrimitiveBelow(_) => GeometricMean::of_ratios(&below, &above),
    };
    (ratio, n)
}

/// Why a pair carries no verdict: overload, too few samples, or values that the instrument itself makes up.
fn barred(kafka: &ComparedCell, primitive: &ComparedCell, figure: &Figure, says: Says) -> Option<String> {
    let quantile = figure.beyond < 1.0;
    for side in [kafka, primitive] {
        if quantile && side.per_block.iter().any(|block| block.valid && block.outcome == Outcome::Overloaded) {
            return Some(format!("{} is overloaded at {}", side.label, side.cell));
        }
        if let Some(block) =
            side.per_block.iter().find(|block| (block.n as f64) * figure.beyond < BEYOND && block.value.is_some())
        {
            let needed = (BEYOND / figure.beyond).round();
            return Some(format!("{} has {} samples a block, {needed} needed", side.label, block.n));
        }
    }
    let Says::PrimitiveBelow(limit) = says else { return None };
    let all = || kafka.per_block.iter().chain(&primitive.per_block);
    let extreme = |of: fn(&BlockValue) -> Option<f64>, pick: fn(f64, f64) -> f64| all().filter_map(of).reduce(pick);
    let smaller = extreme(|block| block.value, f64::min)?;
    let floor = extreme(|block| block.floor, f64::max)?;
    let decides = || {
        let pairs =
            kafka.per_block.iter().filter_map(|k| Some((k, primitive.per_block.iter().find(|p| p.block == k.block)?)));
        pairs.filter_map(|(k, p)| Some((k.value?, k.floor.unwrap_or(0.0), p.value?, p.floor.unwrap_or(0.0)))).any(
            |(k, k_floor, p, p_floor)| {
                let own = k - k_floor;
                own <= 0.0 || ((p - p_floor).max(0.0) < limit * own) != (p < limit * k)
            },
        )
    };
    (floor > FLOOR_SHARE * smaller && decides()).then(|| BELOW_FLOOR.to_owned())
}

/// Decides every pair that may be decided; Holm's adjustment over all of them, as one row is one family.
fn decide(pairs: &mut [Pair<'_>], says: Says) {
    let testable = |pair: &Pair<'_>| pair.ratio.filter(|ratio| pair.barred.is_none() && ratio.blocks() >= LEAST_BLOCKS);
    let (shown, refuted): (Vec<f64>, Vec<f64>) = pairs
        .iter()
        .filter_map(testable)
        .map(|ratio| match says {
            Says::KafkaAbove(limit) => (ratio.p_above(limit), ratio.p_below(limit)),
            Says::PrimitiveBelow(limit) => (ratio.p_below(limit), ratio.p_above(limit)),
        })
        .map(|(shown, refuted)| (shown.unwrap_or(1.0), refuted.unwrap_or(1.0)))
        .unzip();
    let mut adjusted = holm(&shown).into_iter().zip(holm(&refuted));
    for pair in pairs {
        pair.decision = match (testable(pair).and_then(|_| adjusted.next()), &pair.barred, &pair.ratio) {
            (Some((shown, _)), ..) if shown < ALPHA => Decision::Shown,
            (Some((_, refuted)), ..) if refuted < ALPHA => Decision::Refuted,
            (Some(_), ..) => Decision::Undecided("the interval includes the limit".to_owned()),
            (None, Some(reason), _) => Decision::Undecided(reason.clone()),
            (None, None, Some(_)) => Decision::Undecided(EXPLORATORY.to_owned()),
            (None, None, None) => Decision::Undecided("no block is valid on both sides".to_owned()),
        };
    }
}

/// The verdict over all primitives that were measured.
fn verdict(pairs: &[Pair<'_>]) -> String {
    let primitives: Vec<&str> =
        PRIMITIVES.into_iter().filter(|name| pairs.iter().any(|pair| pair.primitive.system == *name)).collect();
    let of = |name: &str| pairs.iter().filter(move |pair| pair.primitive.system == name).collect::<Vec<_>>();
    let mut holding = Vec::new();
    let mut partly = false;
    for name in &primitives {
        let all = of(name);
        let shown: Vec<_> = all.iter().filter(|pair| pair.decision == Decision::Shown).collect();
        if shown.len() == all.len() {
            holding.push((*name).to_owned());
        } else if !shown.is_empty() {
            partly = true;
            let mut points: Vec<String> = all
                .iter()
                .map(|pair| condition(pair))
                .filter(|point| all.iter().all(|pair| condition(pair) != *point || pair.decision == Decision::Shown))
                .collect();
            points.dedup();
            if !points.is_empty() {
                holding.push(format!("{name} at {}", points.join(", ")));
            }
        }
    }
    if holding.len() == primitives.len() && !partly {
        return "holds".to_owned();
    }
    if !holding.is_empty() {
        return format!("holds only for {}", holding.join(", "));
    }
    let mut reasons: Vec<&str> = Vec::new();
    for pair in pairs {
        if let Decision::Undecided(reason) = &pair.decision
            && !reasons.contains(&reason.as_str())
        {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() { "does not hold".to_owned() } else { format!("inconclusive ({})", reasons.join("; ")) }
}

/// The matrix point of a pair, with Kafka's label where it is not the plain one.
fn condition(pair: &Pair<'_>) -> String {
    if pair.kafka.label == "kafka" {
        pair.primitive.cell.clone()
    } else {
        format!("{} against {}", pair.primitive.cell, pair.kafka.label)
    }
}

/// Every ratio in words, and the reasons for comparisons across survival classes.
fn because(pairs: &[Pair<'_>]) -> String {
    let mut sentences = Vec::new();
    for pair in pairs {
        let decision = match &pair.decision {
            Decision::Shown => "shown".to_owned(),
            Decision::Refuted => "refuted".to_owned(),
            Decision::Undecided(reason) if reason == EXPLORATORY => {
                format!("exploratory: below {LEAST_BLOCKS} blocks no verdict on speed")
            }
            Decision::Undecided(reason) => reason.clone(),
        };
        let ratio = pair.ratio.map_or_else(
            || "no ratio".to_owned(),
            |ratio| {
                let interval =
                    ratio.interval().map(|[low, high]| format!(" [{}, {}]", significant(low), significant(high)));
                let blocks =
                    if ratio.blocks() == 1 { "1 block".to_owned() } else { format!("{} blocks", ratio.blocks()) };
                format!("{}×{}, {blocks}", significant(ratio.value()), interval.unwrap_or_default())
            },
        );
        sentences.push(format!(
            "{} of {} at {}: {ratio}: {decision}",
            pair.primitive.metric,
            names(pair),
            pair.primitive.cell
        ));
    }
    let mut reasons: Vec<String> = Vec::new();
    for pair in pairs {
        if let (Some(reason), Some(kafka), Some(primitive)) =
            (pair.cross_class, &pair.kafka.survives, &pair.primitive.survives)
        {
            let sentence = format!(
                "across survival classes ({} {}, {} {}): {reason}",
                pair.kafka.label,
                survival(kafka),
                pair.primitive.label,
                survival(primitive)
            );
            if !reasons.contains(&sentence) {
                reasons.push(sentence);
            }
        }
    }
    sentences.extend(reasons);
    sentences.join("; ")
}

/// Both labels in the order of the ratio.
fn names(pair: &Pair<'_>) -> String {
    if pair.primitive.metric == "goodput" {
        format!("{} ÷ {}", pair.kafka.label, pair.primitive.label)
    } else {
        format!("{} ÷ {}", pair.primitive.label, pair.kafka.label)
    }
}

fn ratio_cell(pair: &Pair<'_>, says: Says) -> ComparedCell {
    let (above, below) = match says {
        Says::KafkaAbove(_) => (pair.kafka, pair.primitive),
        Says::PrimitiveBelow(_) => (pair.primitive, pair.kafka),
    };
    ComparedCell {
        label: pair.primitive.label.clone(),
        system: pair.primitive.system.clone(),
        variant: pair.primitive.variant.clone(),
        cell: pair.primitive.cell.clone(),
        metric: format!("ratio({}, {}, {})", pair.primitive.metric, above.label, below.label),
        kind: if pair.ratio.is_some() { Kind::Measured } else { Kind::NotMeasured },
        value: pair.ratio.map(|ratio| ratio.value()),
        unit: "×".to_owned(),
        interval: pair.ratio.and_then(|ratio| ratio.interval()),
        n: pair.n,
        blocks: pair.ratio.map_or(0, |ratio| ratio.blocks() as u32),
        text: match &pair.decision {
            Decision::Shown => "shown".to_owned(),
            Decision::Refuted => "refuted".to_owned(),
            Decision::Undecided(reason) => reason.clone(),
        },
        run: pair.primitive.run.clone(),
        survives: None,
        per_block: Vec::new(),
    }
}
