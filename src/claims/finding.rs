//! What a rule finds of each primitive under each condition, and how findings become one verdict
//! and its reasons.
//!
//! The words of verdicts are made here and nowhere else.

use crate::model::System;
use crate::result::{Decision, Finding, Verdict};
use indexmap::IndexMap;
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

/// Of a statement about one ratio.
pub fn word(decision: &Answer) -> String {
    match decision {
        Ok(true) => "shown".to_owned(),
        Ok(false) => "refuted".to_owned(),
        Err(missing) => format!("open ({missing})"),
    }
}

/// One primitive under one condition.
pub fn finding(primitive: &str, condition: impl Into<String>, answer: Answer) -> Finding {
    let (decision, missing) = match answer {
        Ok(true) => (Decision::Right, String::new()),
        Ok(false) => (Decision::Wrong, String::new()),
        Err(missing) => (Decision::Open, missing),
    };
    Finding { primitive: primitive.to_owned(), condition: condition.into(), decision, missing }
}

/// The verdict over everything that was found, and its words. All lists are always told.
pub fn verdict(findings: &[Finding]) -> (Verdict, String) {
    const LISTS: [(Decision, &str); 4] = [
        (Decision::Right, "right"),
        (Decision::Wrong, "wrong"),
        (Decision::Open, "open"),
        (Decision::NotApplicable, "n/a"),
    ];
    if findings.is_empty() {
        return (Verdict::NotMeasured, "not measured".to_owned());
    }
    let told = |(decision, word)| Some(format!("{word}{}", list(findings, decision)?));
    let words = LISTS.into_iter().filter_map(told).join(" · ");
    let judged = findings.iter().map(|finding| finding.decision);
    let judged = judged.filter(|decision| *decision != Decision::NotApplicable).unique();
    match *judged.collect::<Vec<_>>() {
        [] => (Verdict::Open, format!("? open: nothing to compare · {words}")),
        [Decision::Right] => (Verdict::Right, format!("✓ {words}")),
        [Decision::Wrong] => (Verdict::Wrong, format!("✗ {words}")),
        [_] => (Verdict::Open, format!("? {words}")),
        _ => (Verdict::Mixed, format!("◐ {words}")),
    }
}

/// ` for a, b at x; c`: of whom, and under which conditions where not under all of theirs. The
/// conditions alone where it is of all alike; nothing where it is of all wholly.
fn list(findings: &[Finding], decision: Decision) -> Option<String> {
    let not_run = |finding: &Finding| finding.decision == Decision::NotApplicable;
    let counted = || {
        findings.iter().filter(|finding| decision == Decision::NotApplicable || !not_run(finding))
    };
    let mut groups: IndexMap<Option<String>, Vec<&str>> = IndexMap::new();
    let names: Vec<&str> = counted().map(|finding| finding.primitive.as_str()).unique().collect();
    for name in &names {
        let own = || counted().filter(|finding| finding.primitive == *name);
        let here: Vec<&str> = own()
            .filter(|finding| finding.decision == decision)
            .map(|finding| finding.condition.as_str())
            .unique()
            .collect();
        if !here.is_empty() {
            let wholly = own().all(|finding| finding.decision == decision);
            groups.entry((!wholly).then(|| joined(&here))).or_default().push(name);
        }
    }
    let missing = counted().filter(|finding| finding.decision == decision);
    let missing =
        missing.map(|finding| &finding.missing).filter(|text| !text.is_empty()).unique().join("; ");
    let alike = groups.len() == 1 && groups[0].len() == names.len();
    let whose = |(conditions, names): (Option<String>, Vec<&str>)| {
        let conditions = conditions.map(|conditions| format!(" {conditions}")).unwrap_or_default();
        if alike { conditions } else { format!("{}{conditions}", names.join(", ")) }
    };
    if groups.is_empty() {
        return None;
    }
    let whose = groups.into_iter().map(whose).join("; ");
    let whose = if alike { whose } else { format!(" for {whose}") };
    Some(match (missing.is_empty(), whose.is_empty()) {
        (true, _) => whose,
        (false, true) => format!(": {missing}"),
        (false, false) => format!("{whose} ({missing})"),
    })
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

    #[test]
    fn every_verdict() {
        const SHOWN: Answer = Ok(true);
        const REFUTED: Answer = Ok(false);
        let undecided = || Err("fewer than 3 blocks".into());
        let found = |list: &[(&str, &str, Answer)]| -> Vec<Finding> {
            list.iter().map(|(name, at, said)| finding(name, *at, said.clone())).collect()
        };
        let words = |list: &[(&str, &str, Answer)]| verdict(&found(list)).1;
        assert_eq!(words(&[]), "not measured");
        assert_eq!(words(&[("redis-lists", "", SHOWN), ("redis-streams", "", SHOWN)]), "✓ right");
        assert_eq!(words(&[("redis-lists", "", REFUTED)]), "✗ wrong");
        assert_eq!(words(&[("redis-lists", "", undecided())]), "? open: fewer than 3 blocks");
        let three = [
            ("redis-lists", "", SHOWN),
            ("redis-streams", "", REFUTED),
            ("redis-pubsub", "", undecided()),
        ];
        assert_eq!(
            words(&three),
            "◐ right for redis-lists · wrong for redis-streams · open for redis-pubsub (fewer than \
             3 blocks)"
        );
        let alike = [
            ("redis-lists", "at a", SHOWN),
            ("redis-streams", "at a", SHOWN),
            ("redis-lists", "at b", REFUTED),
            ("redis-streams", "at b", REFUTED),
        ];
        assert_eq!(words(&alike), "◐ right at a · wrong at b");
        let two = [
            ("redis-lists", "at a", SHOWN),
            ("redis-lists", "at b", SHOWN),
            ("redis-lists", "at c", undecided()),
            ("redis-streams", "at a", REFUTED),
        ];
        assert_eq!(
            words(&two),
            "◐ right for redis-lists at a, b · wrong for redis-streams · open for redis-lists at c \
             (fewer than 3 blocks)"
        );
    }

    /// What could not run is told apart, and is no evidence for anything.
    #[test]
    fn who_could_not_run_is_in_no_list() {
        let cannot = |name: &str| Finding {
            decision: Decision::NotApplicable,
            ..finding(name, "at a", Ok(true))
        };
        let right = finding("redis-streams", "at a", Ok(true));
        let words = |findings: &[Finding]| verdict(findings);
        assert_eq!(
            words(&[right, cannot("redis-lists")]),
            (Verdict::Right, "✓ right · n/a for redis-lists".into())
        );
        let nobody = words(&[cannot("redis-lists")]);
        assert_eq!(nobody, (Verdict::Open, "? open: nothing to compare · n/a".into()));
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
