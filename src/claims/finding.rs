//! What a rule finds of each primitive under each condition, and how findings become one verdict
//! and its reasons.
//!
//! The words of verdicts are made here and nowhere else.

use crate::model::System;
use itertools::Itertools;

/// The Redis primitives: systems of their own, judged one by one.
pub const PRIMITIVES: [&str; System::PRIMITIVES.len()] = System::PRIMITIVES;
/// Reasons stay readable: what is longer stands in the cells.
pub const LONGEST_BECAUSE: usize = 600;

/// Whether a statement (or a claim, of a primitive) is true by what was measured, or why that
/// cannot be said.
pub type Answer = Result<bool, String>;

/// True when all statements are, false when any is not; else undecided, for the first reason.
pub fn all(statements: &[Answer]) -> Answer {
    match statements.contains(&Ok(false)) {
        true => Ok(false),
        false => statements.iter().cloned().try_fold(true, |_, answer| answer),
    }
}

pub fn word(decision: &Answer) -> &str {
    match decision {
        Ok(true) => "shown",
        Ok(false) => "refuted",
        Err(reason) => reason,
    }
}

/// One primitive under one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub primitive: String,
    /// With its preposition: `at load.rate=1k/s`, `with share groups`; empty where there is only
    /// one.
    pub condition: String,
    pub decision: Answer,
}

impl Finding {
    pub fn new(primitive: &str, condition: impl Into<String>, decision: Answer) -> Self {
        Self { primitive: primitive.to_owned(), condition: condition.into(), decision }
    }

    fn shown(&self) -> bool {
        self.decision == Ok(true)
    }
}

/// The verdict over everything that was found.
pub fn verdict(findings: &[Finding]) -> String {
    let of = |name: &str| {
        findings.iter().filter(|finding| finding.primitive == name).collect::<Vec<_>>()
    };
    let found = PRIMITIVES
        .into_iter()
        .map(|name| (name, of(name)))
        .filter(|(_, all)| !all.is_empty())
        .collect::<Vec<_>>();
    if found.is_empty() {
        return "not measured".to_owned();
    }
    let mut holding = Vec::new();
    let mut partly: Vec<String> = Vec::new();
    for (name, all) in &found {
        if all.iter().all(|finding| finding.shown()) {
            holding.push((*name).to_owned());
            continue;
        }
        // A condition counts when everything found under it is shown: both quantiles of a rate, for
        // instance.
        let wholly = |condition: &&str| {
            all.iter()
                .filter(|finding| finding.condition == *condition)
                .all(|finding| finding.shown())
        };
        let conditions = all
            .iter()
            .map(|finding| &*finding.condition)
            .unique()
            .filter(wholly)
            .collect::<Vec<_>>();
        if !conditions.is_empty() {
            let conditions = joined(&conditions);
            holding.push(format!("{name} {conditions}"));
            partly.push(conditions);
        }
    }
    if holding.len() == found.len() && partly.is_empty() {
        return "holds".to_owned();
    }
    if found.len() > 1 && partly.len() == found.len() && partly.iter().all_equal() {
        return format!("holds only {}", partly[0]);
    }
    if !holding.is_empty() {
        return format!("holds only for {}", holding.join(", "));
    }
    let reasons =
        findings.iter().filter_map(|finding| finding.decision.as_ref().err()).unique().join("; ");
    if reasons.is_empty() {
        "does not hold".to_owned()
    } else {
        format!("inconclusive ({reasons})")
    }
}

/// `at a, b` rather than `at a, at b`.
fn joined(conditions: &[&str]) -> String {
    let (preposition, _) = conditions[0].split_once(' ').unwrap_or((conditions[0], ""));
    let start = format!("{preposition} ");
    let rest =
        conditions[1..].iter().map(|condition| condition.strip_prefix(&start).unwrap_or(condition));
    std::iter::once(conditions[0]).chain(rest).join(", ")
}

/// Sentences in order of weight, as many whole ones as are readable.
pub fn because(sentences: &[String]) -> String {
    const REST: &str = "the rest stands in the cells";
    let length = |text: &str| text.chars().count() + 2;
    let all: usize = sentences.iter().map(|sentence| length(sentence)).sum();
    if all <= LONGEST_BECAUSE + 2 {
        return sentences.join("; ");
    }
    let mut room = LONGEST_BECAUSE - REST.len();
    let kept = sentences.iter().map(String::as_str).filter(|sentence| {
        let left = room.checked_sub(length(sentence));
        room = left.unwrap_or(room);
        left.is_some()
    });
    kept.chain([REST]).join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(primitive: &str, condition: &str, decision: Answer) -> Finding {
        Finding::new(primitive, condition, decision)
    }

    #[test]
    fn every_verdict() {
        const SHOWN: Answer = Ok(true);
        const REFUTED: Answer = Ok(false);
        let undecided = || Err("exploratory".into());
        let verdict = |list: &[(&str, &str, Answer)]| {
            verdict(
                &list
                    .iter()
                    .map(|(name, at, said)| finding(name, at, said.clone()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(verdict(&[]), "not measured");
        assert_eq!(verdict(&[("redis-lists", "", SHOWN), ("redis-streams", "", SHOWN)]), "holds");
        assert_eq!(
            verdict(&[("redis-lists", "", SHOWN), ("redis-streams", "", REFUTED)]),
            "holds only for redis-lists"
        );
        assert_eq!(verdict(&[("redis-lists", "", REFUTED)]), "does not hold");
        assert_eq!(verdict(&[("redis-lists", "", undecided())]), "inconclusive (exploratory)");
        let alike = [("redis-lists", "at a", SHOWN), ("redis-streams", "at a", SHOWN)];
        let alike: Vec<_> = (alike.iter().cloned())
            .chain([("redis-lists", "at b", REFUTED), ("redis-streams", "at b", REFUTED)])
            .collect();
        assert_eq!(verdict(&alike), "holds only at a");
        let two = [
            ("redis-lists", "at a", SHOWN),
            ("redis-lists", "at b", SHOWN),
            ("redis-lists", "at c", REFUTED),
        ];
        assert_eq!(verdict(&two), "holds only for redis-lists at a, b");
        let mixed = [("redis-lists", "at a", SHOWN), ("redis-lists", "at a", REFUTED)];
        assert_eq!(verdict(&mixed), "does not hold", "one quantile of two");
        let other = [("redis-lists", "at fan-out", SHOWN), ("redis-lists", "with work", REFUTED)];
        assert_eq!(verdict(&other), "holds only for redis-lists at fan-out");
    }

    #[test]
    fn all_statements() {
        assert_eq!(all(&[Ok(true), Ok(true)]), Ok(true));
        assert_eq!(all(&[Err("why".into()), Ok(false)]), Ok(false));
        assert_eq!(all(&[Ok(true), Err("why".into()), Ok(true)]), Err("why".into()));
    }

    #[test]
    fn reasons_are_cut_between_sentences() {
        assert_eq!(because(&["a".into(), "b".into()]), "a; b");
        let long: Vec<String> = (0..20).map(|at| format!("{at}{}", "x".repeat(80))).collect();
        let text = because(&long);
        assert!(
            text.chars().count() <= LONGEST_BECAUSE
                && text.ends_with("x; the rest stands in the cells"),
            "{text}"
        );
        assert_eq!(because(&["y".repeat(1000)]), "the rest stands in the cells");
        assert_eq!(because(&["y".repeat(1000), "z".into()]), "z; the rest stands in the cells");
    }
}
