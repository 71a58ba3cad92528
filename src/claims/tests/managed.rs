//! The table of the services stands beside the other and takes nothing from it.

use super::*;
use crate::model::Service;

/// A run of throughput on MSK and SNS, in a region and on what the environment says.
fn at_aws(systems: &[&str]) -> (Manifest, Summary) {
    let mut run = throughput(3);
    run.1.cells.retain(|cell| cell.label == "kafka");
    let cells = std::mem::take(&mut run.1.cells);
    for system in systems {
        run.1.cells.extend(cells.iter().cloned().map(|mut cell| {
            (cell.id.label, cell.id.system) = ((*system).to_owned(), (*system).to_owned());
            cell
        }));
    }
    run.0.run = format!("at-aws-{}", systems.join("-"));
    run.1.run = run.0.run.clone();
    run.0.environment = "external".into();
    let place = "eu-central-1, three kafka.m7g.large".to_owned();
    run.0.provided.insert(Service::Msk.title().to_owned(), place);
    run
}

fn systems_measured(row: &Claim) -> Vec<&str> {
    let measured = row.cells.iter().filter(|cell| cell.kind == Kind::Measured);
    measured.map(|cell| cell.system.as_str()).unique().collect()
}

fn managed(comparison: &Comparison) -> Claim {
    comparison.managed.iter().find(|row| row.id == "throughput").unwrap().clone()
}

#[test]
fn documents_stand_there_until_somebody_measures() {
    let comparison = build("quick", &[]).unwrap();
    recheck(&comparison).unwrap();
    let row = managed(&comparison);
    assert_eq!(row.verdict, "documented");
    let sourced = |cell: &ComparedCell| cell.source.is_some() && cell.text.contains("(read 2026-");
    assert!(row.cells.iter().all(sourced), "{row:?}");
    assert_eq!(comparison.managed.len(), comparison.claims.len());
}

#[test]
fn what_was_measured_at_aws_enters_its_own_table_and_no_other() {
    let own = throughput(3);
    let comparison = build("quick", &[own.clone(), at_aws(&["msk"])]).unwrap();
    recheck(&comparison).unwrap();
    let alone = build("quick", &[own]).unwrap();
    assert_eq!(comparison.claims, alone.claims);
    assert_eq!(systems_measured(&managed(&comparison)), ["msk"]);
    let place = comparison.runs.iter().find_map(|run| run.services.get("msk")).unwrap();
    assert_eq!(place, "eu-central-1, three kafka.m7g.large");
    let only = build("quick", &[at_aws(&["msk"])]).unwrap();
    let row = only.claims.iter().find(|row| row.id == "throughput").unwrap();
    assert_eq!(row.verdict, "not measured");
}

#[test]
fn one_service_measured_again_leaves_the_others() {
    let before = build("quick", &[throughput(3), at_aws(&["msk"])]).unwrap();
    let material = |runs| Material { profile: "quick", runs, before: Some(&before), failed: &[] };
    let after = super::super::build(&material(&[at_aws(&["sns"])])).unwrap();
    recheck(&after).unwrap();
    assert_eq!(after.claims, before.claims);
    assert_eq!(systems_measured(&managed(&after)), ["sns", "msk"]);
    assert_eq!(again(&after).unwrap().managed, after.managed);
}

#[test]
fn a_stand_in_is_refused_and_a_row_edited_by_hand_is_found_out() {
    let mut run = at_aws(&["sns"]);
    run.0.environment = crate::result::EMULATED.into();
    assert!(build("quick", &[run]).is_err());
    let mut edited = build("quick", &[at_aws(&["msk"])]).unwrap();
    edited.managed[5].cells[0].value = Some(1.0);
    assert!(recheck(&edited).unwrap_err()[0].contains("throughput"));
    let mut without = build("quick", &[]).unwrap();
    without.managed.clear();
    assert!(recheck(&without).unwrap_err()[0].contains("managed row"));
}
