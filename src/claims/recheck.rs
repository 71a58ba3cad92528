//! The verdicts of a table, and its rows of services, computed again from `comparison.json` alone:
//! what was edited by hand, or judged by other rules, shows.

use super::data::{self, ClaimText, Claims};
use super::{ClaimError, inputs, judge, managed};
use crate::result::{Claim, ComparedCell, Comparison, Kind, RunInfo, words};

/// Computes every verdict again from the file alone; the differences, in words.
pub fn recheck(comparison: &Comparison) -> Result<(), Vec<String>> {
    match data::load() {
        Ok(texts) => recheck_by(texts, comparison),
        Err(error) => Err(vec![error.to_string()]),
    }
}

/// A row from its text and its measured cells.
type Again<'a> = &'a dyn Fn(&ClaimText, Vec<ComparedCell>) -> Result<Claim, ClaimError>;

pub(super) fn recheck_by(texts: &Claims, comparison: &Comparison) -> Result<(), Vec<String>> {
    let Claims { claims, uses, .. } = texts;
    let mut wrong = Vec::new();
    let own: Vec<RunInfo> = comparison.runs.iter().filter(|run| !run.managed()).cloned().collect();
    let mut marked = comparison.runs.clone();
    RunInfo::mark_builds(&mut marked);
    for (run, marked) in comparison.runs.iter().zip(&marked) {
        if run.other_build != marked.other_build {
            wrong.push(format!(
                "{}: other_build is `{}`, computed `{}`",
                run.run, run.other_build, marked.other_build
            ));
        }
    }
    let judged: Again<'_> = &|text, cells| Ok(judge(text, &comparison.profile, cells, &own));
    for (kind, texts, rows, again) in [
        ("claim", claims, &comparison.claims, judged),
        ("use", uses, &comparison.uses, judged),
        ("managed row", claims, &comparison.managed, &managed::row as Again<'_>),
    ] {
        let found: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let expected: Vec<&str> = texts.iter().map(|text| text.id.as_str()).collect();
        if found != expected {
            wrong.push(format!(
                "{kind}s: found {}, expected {}",
                found.join(", "),
                expected.join(", ")
            ));
        }
        for (text, row) in texts
            .iter()
            .flat_map(|text| rows.iter().find(|row| row.id == text.id).map(|row| (text, row)))
        {
            match again(text, inputs(row).collect()) {
                Ok(again) => compare(row, &again, &mut wrong),
                Err(error) => wrong.push(error.to_string()),
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Notes every difference between a row as found and as computed.
fn compare(found: &Claim, computed: &Claim, wrong: &mut Vec<String>) {
    let id = &computed.id;
    let mut differ = |what: &str, found: &str, computed: &str| {
        if found != computed {
            wrong.push(format!("{id}: {what} is `{found}`, computed `{computed}`"));
        }
    };
    differ("verdict", &found.verdict, &computed.verdict);
    differ("answer", &words::name(&found.answer), &words::name(&computed.answer));
    let findings = |row: &Claim| format!("{:?}", row.findings);
    differ("findings", &findings(found), &findings(computed));
    differ("because", &found.because, &computed.because);
    differ("rule", &found.rule, &computed.rule);
    differ("kafka_claim", &found.kafka_claim, &computed.kafka_claim);
    differ("redis_claim", &found.redis_claim, &computed.redis_claim);
    differ("source", &found.source, &computed.source);
    differ("number of cells", &found.cells.len().to_string(), &computed.cells.len().to_string());
    for (found, computed) in found.cells.iter().zip(&computed.cells) {
        let name = |cell: &ComparedCell| format!("{} {} {}", cell.label, cell.cell, cell.metric);
        let kind = |kind: Kind| words::name(&kind).replace('-', " ");
        differ("cell", &name(found), &name(computed));
        differ(&format!("kind of {}", name(computed)), &kind(found.kind), &kind(computed.kind));
        let numbers = |cell: &ComparedCell| {
            [cell.value, cell.interval.map(|i| i[0]), cell.interval.map(|i| i[1])]
        };
        // A number read back from JSON may differ in its last bit.
        let close = |(a, b): (Option<f64>, Option<f64>)| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !numbers(found).into_iter().zip(numbers(computed)).all(close) {
            differ(
                &name(computed),
                &format!("{:?}", numbers(found)),
                &format!("{:?}", numbers(computed)),
            );
        }
        differ(&format!("text of {}", name(computed)), &found.text, &computed.text);
        let source = |cell: &ComparedCell| cell.source.clone().unwrap_or_default();
        differ(&format!("source of {}", name(computed)), &source(found), &source(computed));
    }
}
