//! Parallelism: whether every subscription receives every message, however many there are. That is
//! the claim; it is a fact, and needs no repetition.
//!
//! Beside it stands how much more consumers carry that share the work of one subscription. It is a
//! figure and decides nothing, and it is one only where the single consumer was what limited:
//! anything else that more consumers do not change would be compared with itself.

use super::fact::{Fact, of};
use super::{Inputs, Judgement, paired_ratio, times};
use crate::claims::finding::{Answer, all};
use crate::model::metric::{GOODPUT, HELD_BY_CONSUMERS, SPEED_UP};
use crate::model::{Point, System};
use crate::result::{ComparedCell, LIMITED};
use itertools::Itertools;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ParallelismLimits {
    subscriptions_at_least: f64,
    /// Share of what every subscription is due.
    complete_at_least: f64,
}

pub fn judge(limits: &ParallelismLimits, inputs: &Inputs<'_>) -> Judgement {
    let mut judged = Judgement::default();
    let support = System::NAMES.map(|system| (system, fan_out(limits, inputs, system)));
    let [(_, kafka), primitives @ ..] = &support;
    for (primitive, own) in primitives {
        let lacks = own.answer.clone().map(|supported| !supported);
        judged.find(primitive, "", &[kafka.answer.clone(), lacks]);
    }
    let words = support.iter().map(|(system, own)| format!("{system} {}", own.words)).join(", ");
    judged.sentences.push(format!("fan-out: {words}"));
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

/// `speed_up` of every cell with more than one consumer against the one with a single consumer and
/// the same work.
fn speed_ups(inputs: &Inputs<'_>) -> Vec<ComparedCell> {
    let all = || inputs.judged.iter().chain(&inputs.shown).copied();
    let goodput = || all().filter(|cell| cell.metric == GOODPUT.name);
    let shared = goodput().filter(|cell| axis(cell, "consumers").is_some_and(|count| count > 1.0));
    let derived = shared.filter_map(|more| {
        let one = goodput().find(|one| {
            one.label == more.label
                && one.run == more.run
                && axis(one, "consumers") == Some(1.0)
                && text(one, "work") == text(more, "work")
        })?;
        let held = all().find(|held| {
            held.metric == HELD_BY_CONSUMERS.name
                && (&held.label, &held.run, &held.cell) == (&one.label, &one.run, &one.cell)
        });
        let (ratio, text) = match unlimited(held) {
            Some(why) => (None, why),
            None => (
                Some(paired_ratio(more, one)?),
                "against one consumer with the same work".to_owned(),
            ),
        };
        Some(times(more, SPEED_UP.name, ratio, more.n + one.n, text))
    });
    derived.collect()
}

/// Why more consumers tell nothing of how work is shared: in some block it was not the one consumer
/// that limited.
fn unlimited(held: Option<&ComparedCell>) -> Option<String> {
    match held.map(of) {
        Some(Fact::Range { least, .. }) if least >= LIMITED => None,
        Some(Fact::Range { least, .. }) => Some(format!(
            "not limited by consumers: producers waited for the single one through {:.0} % of the \
             window",
            100.0 * least
        )),
        _ => Some("not observed whether the single consumer limited".to_owned()),
    }
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
    use crate::result::Kind;

    const FAN_OUT: &str = "◐ right for redis-lists · wrong for redis-pubsub, redis-streams";

    /// Kafka, Streams and Pub/Sub fan out, Lists only share; `held` of the window the one consumer
    /// held the producers back.
    fn cells(held: f64, blocks: usize) -> Vec<ComparedCell> {
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
        for (consumers, rate) in [("1", 900.0), ("4", 3500.0)] {
            let point = format!("load.consumers={consumers},load.work=1ms");
            for system in ["kafka", "redis-streams", "redis-lists"] {
                let near = [rate, rate * 1.01, rate * 0.99];
                cells.push(measured(system, "goodput", &point, &near[..blocks]));
                let held = if consumers == "1" { held } else { 0.2 };
                cells.push(measured(system, "held_by_consumers", &point, &vec![held; blocks]));
            }
            if consumers != "1" {
                cells.push(cannot("redis-pubsub", "complete", &point, "everyone gets everything"));
            }
        }
        cells
    }

    #[test]
    fn whether_every_subscription_is_complete_decides_and_needs_no_blocks() {
        let rule = rule("parallelism");
        for blocks in [1, 3] {
            let judged = judge_with(&rule, &cells(1.0, blocks), &[]);
            assert_eq!(judged.verdict(), FAN_OUT);
            let because = judged.because();
            assert!(
                because.contains("redis-lists cannot (an element is popped once)"),
                "{because}"
            );
            assert!(
                because.contains("redis-streams 100 % complete up to 8 subscriptions"),
                "{because}"
            );
        }
        let mut lossy = cells(1.0, 3);
        for cell in lossy
            .iter_mut()
            .filter(|cell| cell.label == "kafka" && cell.cell == "load.subscriptions=8")
        {
            cell.per_block.iter_mut().for_each(|block| block.value = Some(0.999));
        }
        assert_eq!(verdict(&rule, &lossy), "✗ wrong", "Kafka is not complete");
    }

    #[test]
    fn a_speed_up_is_a_figure_only_where_the_single_consumer_limited() {
        let rule = rule("parallelism");
        let told = |cells: &[ComparedCell]| {
            let derived = judge_with(&rule, cells, &[]).derived;
            let told = derived.into_iter().map(|cell| (cell.kind, cell.value, cell.text));
            told.collect::<Vec<_>>()
        };
        for (kind, value, _) in told(&cells(0.97, 3)) {
            assert!(kind == Kind::Measured && value.is_some_and(|value| value > 3.8), "{value:?}");
        }
        let text = "not limited by consumers: producers waited for the single one through 12 % of \
                    the window";
        assert_eq!(told(&cells(0.12, 3)), vec![(Kind::NotMeasured, None, text.to_owned()); 3]);
        let mut old = cells(1.0, 3);
        old.retain(|cell| cell.metric != "held_by_consumers");
        let text = "not observed whether the single consumer limited";
        assert_eq!(told(&old), vec![(Kind::NotMeasured, None, text.to_owned()); 3]);
    }

    #[test]
    fn the_limits_in_the_data_decide() {
        let mut few = cells(1.0, 3);
        few.iter_mut()
            .filter(|cell| cell.metric == "complete" && cell.label == "redis-streams")
            .for_each(|cell| {
                cell.per_block.iter_mut().for_each(|block| block.value = Some(0.99));
            });
        assert_eq!(
            verdict(&rule("parallelism"), &few),
            "◐ right for redis-streams, redis-lists · wrong for redis-pubsub"
        );
        let lenient =
            rule_with("parallelism", "complete-at-least: 1\n", "complete-at-least: 0.9\n");
        assert_eq!(verdict(&lenient, &few), FAN_OUT);
    }
}
