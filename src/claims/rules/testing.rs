//! Tests only: cells and rows made by hand.

use super::{Inputs, Judgement, Rule};
use crate::claims::cells::recompute;
use crate::claims::data::{Documented, empty_cell, load};
use crate::result::RunInfo;
use crate::result::{BlockValue, CellOutcome, ComparedCell, Kind, Status, Survives};

impl Judgement {
    pub fn because(&self) -> String {
        crate::claims::finding::because(&self.sentences)
    }

    pub fn verdict(&self) -> String {
        self.answer().1
    }
}

/// One value per block.
pub fn measured(label: &str, metric: &str, point: &str, values: &[f64]) -> ComparedCell {
    let block = |(at, value): (usize, &f64)| BlockValue {
        block: at as u32 + 1,
        value: Some(*value),
        n: 100_000,
        valid: true,
        outcome: CellOutcome::Ok,
        ..BlockValue::default()
    };
    let system =
        crate::result::testing::SYSTEMS.into_iter().rfind(|system| label.starts_with(system));
    recompute(ComparedCell {
        nodes: Some(1),
        cell: point.to_owned(),
        kind: Kind::Measured,
        run: Some("run".to_owned()),
        survives: Some(Survives { process_kill: true, copies: 1, ..Survives::default() }),
        per_block: values.iter().enumerate().map(block).collect(),
        ..empty_cell(label, system.unwrap_or("kafka"), metric)
    })
}

pub fn cannot(label: &str, metric: &str, point: &str, why: &str) -> ComparedCell {
    let mut cell = measured(label, metric, point, &[0.0]);
    cell.kind = Kind::Cannot;
    cell.per_block[0].value = None;
    cell.per_block[0].because = why.to_owned();
    recompute(cell)
}

pub fn run_info(scenario: &str) -> RunInfo {
    RunInfo {
        run: "run".to_owned(),
        scenario: scenario.to_owned(),
        environment: "native".to_owned().try_into().unwrap(),
        network_path: "loopback".to_owned(),
        status: Status::Complete,
        blocks: 1,
        cores: Some(2),
        selfcheck: "passed".to_owned(),
        ..RunInfo::default()
    }
}

/// The rule of a row as it stands in `claims.yaml`.
pub fn rule(id: &str) -> Rule {
    load().unwrap().rows().find(|row| row.id == id).unwrap().judge.clone()
}

/// The rule of a row with one piece of the data changed.
pub fn rule_with(id: &str, from: &str, to: &str) -> Rule {
    let text = include_str!("../claims.yaml");
    assert!(text.contains(from), "{from}");
    let claims = crate::claims::data::parse(&text.replace(from, to)).unwrap();
    claims.rows().find(|row| row.id == id).unwrap().judge.clone()
}

pub fn judge_with(rule: &Rule, cells: &[ComparedCell], documented: &[Documented]) -> Judgement {
    let runs = [run_info("x")];
    let judged = rule.judge(&Inputs {
        judged: cells.iter().collect(),
        shown: Vec::new(),
        runs: &runs,
        documented,
    });
    assert!(judged.because().chars().count() <= crate::claims::finding::LONGEST_BECAUSE);
    judged
}

pub fn verdict(rule: &Rule, cells: &[ComparedCell]) -> String {
    judge_with(rule, cells, &[]).verdict()
}
