//! What a rule finds of each primitive under each condition, and how findings become one verdict and its reasons.
//!
//! The words of verdicts are made here and nowhere else.

use crate::model::System;

/// The Redis primitives: systems of their own, judged one by one.
pub const PRIMITIVES: [&str; System::PRIMITIVES.len()] = System::PRIMITIVES;
/// Reasons stay readable: what is longer stands in the cells.
pub const LONGEST_BECAUSE: usize = 600;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The claim was shown to be true of it.
    Shown,
    /// The claim was shown to be untrue of it.
    Refuted,
    /// Neither, and why.
    Undecided(String),
}

impl Decision {
    /// True when all statements are, false when any is not; else undecided, for the first reason.
    pub fn all(statements: &[Answer]) -> Self {
        if statements.contains(&Ok(false)) {
            return Self::Refuted;
        }
        match statements.iter().find_map(|answer| answer.as_ref().err()) {
            Some(reason) => Self::Undecided(reason.clone()),
            None => Self::Shown,
        }
    }

    pub fn word(&self) -> &str {
        match self {
            Self::Shown => "shown",
            Self::Refuted => "refuted",
            Self::Undecided(reason) => reason,
        }
    }
}

/// Whether a statement is true of what was measured, or why that cannot be said.
pub type Answer = Result<bool, String>;

/// One primitive under one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub primitive: String,
    /// With its preposition: `at load.rate=1k/s`, `with share groups`; empty where there is only one.
    pub condition: String,
    pub decision: Decision,
}

impl Finding {
    pub fn new(primitive: &str, condition: impl Into<String>, decision: Decision) -> Self {
        Self { primitive: primitive.to_owned(), condition: condition.into(), decision }
    }
}

/// The verdict over everything that was found.
pub fn verdict(findings: &[Finding]) -> String {
    let primitives: Vec<&str> =
        PRIMITIVES.into_iter().filter(|name| findings.iter().any(|finding| finding.primitive == *name)).collect();
    if primitives.is_empty() {
        return "not measured".to_owned();
    }
    let mut holding = Vec::new();
    let mut wholly = 0;
    let mut partly: Vec<String> = Vec::new();
    for name in &primitives {
        let all: Vec<&Finding> = findings.iter().filter(|finding| finding.primitive == *name).collect();
        if all.iter().all(|finding| finding.decision == Decision::Shown) {
            holding.push((*name).to_owned());
            wholly += 1;
            continue;
        }
        // A condition counts when everything found under it is shown: both quantiles of a rate, for instance.
        let mut conditions: Vec<&str> = Vec::new();
        for finding in &all {
            let same = all.iter().filter(|other| other.condition == finding.condition);
            if !conditions.contains(&finding.condition.as_str())
                && same.into_iter().all(|other| other.decision == Decision::Shown)
            {
                conditions.push(&finding.condition);
            }
        }
        if !conditions.is_empty() {
            holding.push(format!("{name} {}", joined(&conditions)));
            partly.push(joined(&conditions));
        }
    }
    if wholly == primitives.len() {
        return "holds".to_owned();
    }
    if primitives.len() > 1
        && partly.len() == primitives.len()
        && partly.iter().all(|conditions| *conditions == partly[0])
    {
        return format!("holds only {}", partly[0]);
    }
    if !holding.is_empty() {
        return format!("holds only for {}", holding.join(", "));
    }
    let mut reasons: Vec<&str> = Vec::new();
    for finding in findings {
        if let Decision::Undecided(reason) = &finding.decision
            && !reasons.contains(&reason.as_str())
        {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() { "does not hold".to_owned() } else { format!("inconclusive ({})", reasons.join("; ")) }
}

/// `at a, b` rather than `at a, at b`.
fn joined(conditions: &[&str]) -> String {
    let (preposition, _) = conditions[0].split_once(' ').unwrap_or((conditions[0], ""));
    let start = format!("{preposition} ");
    let rest = conditions[1..].iter().map(|condition| condition.strip_prefix(&start).unwrap_or(condition));
    std::iter::once(conditions[0]).chain(rest).collect::<Vec<_>>().join(", ")
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
    let mut kept: Vec<&str> = Vec::new();
    for sentence in sentences.iter() {
        if let Some(left) = room.checked_sub(length(sentence)) {
            kept.push(sentence);
            room = left;
        }
    }
    kept.push(REST);
    kept.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(primitive: &str, condition: &str, decision: Decision) -> Finding {
        Finding::new(primitive, condition, decision)
    }

    #[test]
    fn every_verdict() {
        use Decision::{Refuted, Shown};
        let undecided = || Decision::Undecided("exploratory".into());
        let verdict = |list: &[(&str, &str, Decision)]| {
            verdict(&list.iter().map(|(name, at, said)| finding(name, at, said.clone())).collect::<Vec<_>>())
        };
        assert_eq!(verdict(&[]), "not measured");
        assert_eq!(verdict(&[("redis-lists", "", Shown), ("redis-streams", "", Shown)]), "holds");
        assert_eq!(
            verdict(&[("redis-lists", "", Shown), ("redis-streams", "", Refuted)]),
            "holds only for redis-lists"
        );
        assert_eq!(verdict(&[("redis-lists", "", Refuted)]), "does not hold");
        assert_eq!(verdict(&[("redis-lists", "", undecided())]), "inconclusive (exploratory)");
        let alike = [("redis-lists", "at a", Shown), ("redis-streams", "at a", Shown)];
        let alike: Vec<_> = (alike.iter().cloned())
            .chain([("redis-lists", "at b", Refuted), ("redis-streams", "at b", Refuted)])
            .collect();
        assert_eq!(verdict(&alike), "holds only at a");
        let two = [("redis-lists", "at a", Shown), ("redis-lists", "at b", Shown), ("redis-lists", "at c", Refuted)];
        assert_eq!(verdict(&two), "holds only for redis-lists at a, b");
        let mixed = [("redis-lists", "at a", Shown), ("redis-lists", "at a", Refuted)];
        assert_eq!(verdict(&mixed), "does not hold", "one quantile of two");
        let other = [("redis-lists", "at fan-out", Shown), ("redis-lists", "with work", Refuted)];
        assert_eq!(verdict(&other), "holds only for redis-lists at fan-out");
    }

    #[test]
    fn all_statements() {
        assert_eq!(Decision::all(&[Ok(true), Ok(true)]), Decision::Shown);
        assert_eq!(Decision::all(&[Err("why".into()), Ok(false)]), Decision::Refuted);
        assert_eq!(Decision::all(&[Ok(true), Err("why".into())]), Decision::Undecided("why".into()));
    }

    #[test]
    fn reasons_are_cut_between_sentences() {
        assert_eq!(because(&["a".into(), "b".into()]), "a; b");
        let long: Vec<String> = (0..20).map(|at| format!("{at}{}", "x".repeat(80))).collect();
        let text = because(&long);
        assert!(text.chars().count() <= LONGEST_BECAUSE && text.ends_with("x; the rest stands in the cells"), "{text}");
        assert_eq!(because(&["y".repeat(1000)]), "the rest stands in the cells");
        assert_eq!(because(&["y".repeat(1000), "z".into()]), "z; the rest stands in the cells");
    }
}
