//! Parallelism: fan-out (every subscription gets everything) and work sharing (more consumers carry
//! more), each on its own.
//!
//! The claim is true of a primitive where Kafka supports a kind and the primitive does not.
//! Completeness is a fact; speed-up is a speed, and so needs three blocks.

use super::fact::{Fact, of, short};
use super::{CROWDED, Inputs, Judgement, crowded, ratio, times};
use crate::claims::finding::{Answer, all};
use crate::model::{Point, System};
use crate::result::words::significant;
use crate::result::{ComparedCell, Kind};
use crate::stats::compare::{Side, decide_one};
use itertools::Itertools;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ParallelismLimits {
    subscriptions_at_least: f64,
    /// Share of what every subscription is due.
    complete_at_least: f64,
    consumers: u32,
    work: String,
    speed_up_at_least: f64,
}

pub fn judge(limits: &ParallelismLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    type Supports = fn(&ParallelismLimits, &Inputs<'_>, &str) -> Support;
    for (kind, supports) in [("fan-out", fan_out as Supports), ("work sharing", sharing)] {
        let support = System::NAMES.map(|system| (system, supports(limits, inputs, system)));
        let [(_, kafka), primitives @ ..] = &support;
        for (primitive, own) in primitives {
            let lacks = own.answer.clone().map(|supported| !supported);
            judged.find(primitive, format!("at {kind}"), &[kafka.answer.clone(), lacks]);
        }
        let words =
            support.iter().map(|(system, own)| format!("{system} {}", own.words)).join(", ");
        judged.sentences.push(format!("{kind}: {words}"));
    }
    judged.derived = speed_ups(inputs);
    judged
}

/// Whether a system supports it, and the figure in words.
struct Support {
    answer: Answer,
    words: String,
}

fn fan_out(limits: &ParallelismLimits, inputs: &Inputs<'_>, system: &str) -> Support {
    let own = inputs.judged.iter().filter(|cell| cell.label == system && cell.metric == "complete");
    let counted = own.filter_map(|cell| Some((axis(cell, "subscriptions")?, of(cell))));
    let facts: Vec<(f64, Fact<'_>)> =
        counted.filter(|(count, _)| *count >= limits.subscriptions_at_least).collect();
    if facts.is_empty() {
        return Support {
            answer: Err(format!("no fan-out of {system}")),
            words: "not measured".to_owned(),
        };
    }
    let answers: Vec<Answer> =
        facts.iter().map(|(_, fact)| fact.at_least(limits.complete_at_least)).collect();
    let percent = |share: f64| {
        if share == 1.0 { "100 %".to_owned() } else { format!("{:.3} %", share * 100.0) }
    };
    // The worst of them speaks for all.
    let cannot = facts.iter().find(|(_, fact)| matches!(fact, Fact::Cannot(_)));
    let least = |(_, fact): &(f64, Fact<'_>)| match fact {
        Fact::Range { least, .. } => Some(*least),
        _ => None,
    };
    let words = match (cannot, facts.iter().filter_map(least).reduce(f64::min)) {
        (Some((_, cannot)), _) => cannot.words(percent),
        (None, Some(worst)) => {
            let most = facts.iter().map(|(count, _)| *count).fold(0.0, f64::max);
            format!("{} complete up to {most} subscriptions", percent(worst))
        }
        (None, None) => "not measured".to_owned(),
    };
    Support { answer: all(&answers), words }
}

fn sharing(limits: &ParallelismLimits, inputs: &Inputs<'_>, system: &str) -> Support {
    let at = |cell: &&ComparedCell, consumers: f64| {
        cell.label == system
            && axis(cell, "consumers") == Some(consumers)
            && text(cell, "work") == Some(&limits.work)
    };
    let many = f64::from(limits.consumers);
    let refused = inputs.judged.iter().find(|cell| cell.kind == Kind::Cannot && at(cell, many));
    if let Some(cell) = refused {
        return Support { answer: Ok(false), words: format!("cannot ({})", short(&cell.text)) };
    }
    let goodput = |consumers| {
        inputs.judged.iter().find(|cell| cell.metric == "goodput" && at(cell, consumers))
    };
    let pair = goodput(many).zip(goodput(1.0));
    let Some((more, ratio)) = pair.and_then(|(more, one)| Some((more, ratio(more, one)?))) else {
        let what = format!("no speed-up of {system} at {} consumers", limits.consumers);
        return Support { answer: Err(what), words: "not measured".to_owned() };
    };
    let answer = match crowded(more, inputs.runs) {
        true => Err(CROWDED.to_owned()),
        false => decide_one(Some(ratio), Side::Above, limits.speed_up_at_least)
            .map_err(|why| why.to_string()),
    };
    let interval = ratio
        .interval()
        .map(|[low, high]| format!(" [{}, {}]", significant(low), significant(high)));
    let words = format!(
        "{}×{}",
        significant(ratio.value()),
        interval.unwrap_or_else(|| " (fewer than 3 blocks)".to_owned())
    );
    Support { answer, words }
}

/// `speed_up` of every cell with more than one consumer against the one with a single consumer and
/// the same work.
fn speed_ups(inputs: &Inputs<'_>) -> Vec<ComparedCell> {
    let goodput = || inputs.judged.iter().copied().filter(|cell| cell.metric == "goodput");
    let shared = goodput().filter(|cell| axis(cell, "consumers").is_some_and(|count| count > 1.0));
    let derived = shared.filter_map(|more| {
        let one = goodput().find(|one| {
            one.label == more.label
                && one.run == more.run
                && axis(one, "consumers") == Some(1.0)
                && text(one, "work") == text(more, "work")
        })?;
        let ratio = ratio(more, one)?;
        let text = "against one consumer with the same work".to_owned();
        Some(times(more, "speed_up", Some(ratio), more.n + one.n, text))
    });
    derived.collect()
}

fn text<'a>(cell: &'a ComparedCell, axis: &str) -> Option<&'a str> {
    Point::read(&cell.cell).get(axis)
}

fn axis(cell: &ComparedCell, name: &str) -> Option<f64> {
    Point::read(&cell.cell).number(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with, verdict};

    /// Where Kafka's consumers do not carry more.
    const NO_SHARING: &str = "◐ right for redis-lists at fan-out · wrong for redis-pubsub, \
                              redis-streams; redis-lists at work sharing";

    /// Kafka and Streams do both, Pub/Sub only fans out, Lists only share.
    fn cells(kafka_speed_up: f64, blocks: usize) -> Vec<ComparedCell> {
        let mut cells = Vec::new();
        for count in ["1", "2", "8"] {
            let point = format!("load.subscriptions={count}");
            for system in ["kafka", "redis-streams", "redis-pubsub"] {
                cells.push(measured(system, "complete", &point, &vec![1.0; blocks]));
            }
            if count != "1" {
                cells.push(cannot("redis-lists", "complete", &point, "an element is popped once"));
            }
        }
        for (consumers, share) in [("1", 0.0), ("4", 1.0)] {
            for work in ["0s", "1ms"] {
                let point = format!("load.consumers={consumers},load.work={work}");
                for (system, speed_up) in
                    [("kafka", kafka_speed_up), ("redis-streams", 3.9), ("redis-lists", 3.8)]
                {
                    let rate = 900.0 * (1.0 + share * (speed_up - 1.0));
                    let near = [rate, rate * 1.01, rate * 0.99];
                    cells.push(measured(system, "goodput", &point, &near[..blocks]));
                }
                if consumers != "1" {
                    cells.push(cannot(
                        "redis-pubsub",
                        "complete",
                        &point,
                        "everyone receives everything",
                    ));
                }
            }
        }
        cells
    }

    #[test]
    fn the_cells_decide_kind_by_kind() {
        let rule = rule("parallelism");
        let judged = judge_with(&rule, &cells(3.9, 3), &[]);
        assert_eq!(
            judged.verdict(),
            "◐ right for redis-pubsub at work sharing; redis-lists at fan-out · wrong for \
             redis-pubsub at fan-out; redis-streams; redis-lists at work sharing"
        );
        let because = judged.because();
        assert!(because.contains("redis-lists cannot (an element is popped once)"), "{because}");
        assert!(
            because.contains("redis-streams 100 % complete up to 8 subscriptions"),
            "{because}"
        );
        assert!(
            judged
                .derived
                .iter()
                .any(|cell| cell.metric == "speed_up" && cell.value.is_some_and(|v| v > 3.8))
        );
        assert_eq!(verdict(&rule, &cells(1.1, 3)), NO_SHARING, "Kafka does not share");
        let mut lossy = cells(3.9, 3);
        for cell in lossy
            .iter_mut()
            .filter(|cell| cell.label == "kafka" && cell.cell == "load.subscriptions=8")
        {
            cell.per_block.iter_mut().for_each(|block| block.value = Some(0.999));
        }
        assert_eq!(
            verdict(&rule, &lossy),
            "◐ right for redis-pubsub at work sharing · wrong for redis-pubsub at fan-out; \
             redis-streams, redis-lists",
            "Kafka is not complete"
        );
    }

    #[test]
    fn completeness_needs_no_blocks_and_speed_does() {
        let rule = rule("parallelism");
        assert_eq!(
            verdict(&rule, &cells(3.9, 1)),
            "◐ right for redis-lists at fan-out · wrong for redis-pubsub, redis-streams at fan-out \
             · open at work sharing (fewer than 3 blocks)"
        );
        let mut no_lists = cells(3.9, 1);
        no_lists.retain(|cell| cell.label != "redis-lists");
        assert!(verdict(&rule, &no_lists).contains("fewer than 3 blocks"));
    }

    #[test]
    fn more_brokers_than_cores_share_nothing_that_counts() {
        let mut cells = cells(3.9, 3);
        cells.iter_mut().filter(|cell| cell.label == "kafka").for_each(|cell| cell.nodes = Some(3));
        let judged = judge_with(&rule("parallelism"), &cells, &[]);
        let sharing = judged.findings.iter().find(|finding| finding.condition == "at work sharing");
        assert_eq!(sharing.unwrap().missing, CROWDED);
        assert_eq!(
            judged.verdict(),
            "◐ right for redis-lists at fan-out · wrong for redis-pubsub at fan-out; \
             redis-streams; redis-lists at work sharing · open for redis-pubsub at work sharing \
             (more brokers than cores)",
            "completeness is no speed"
        );
    }

    #[test]
    fn the_limits_in_the_data_decide() {
        let cells = cells(3.9, 3);
        let steep = rule_with("parallelism", "speed-up-at-least: 2", "speed-up-at-least: 5");
        assert_eq!(verdict(&steep, &cells), NO_SHARING);
        let mut few = cells.clone();
        few.iter_mut()
            .filter(|cell| cell.metric == "complete" && cell.label == "redis-streams")
            .for_each(|cell| {
                cell.per_block.iter_mut().for_each(|block| block.value = Some(0.99));
            });
        assert!(
            verdict(&rule("parallelism"), &few).contains("redis-streams, redis-lists at fan-out")
        );
        let lenient =
            rule_with("parallelism", "complete-at-least: 1\n", "complete-at-least: 0.9\n");
        assert!(verdict(&lenient, &few).contains("at fan-out; redis-streams; redis-lists"));
        let other = rule_with("parallelism", "consumers: 4", "consumers: 8");
        assert!(verdict(&other, &cells).contains("open at work sharing (no speed-up of kafka"));
    }
}
