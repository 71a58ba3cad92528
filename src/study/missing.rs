//! What brokers that run already lack of what scenarios need: asked before anything is measured,
//! and all of it, so that nobody waits for a measurement to hear of the next thing.

use super::StudyError;
use crate::clock::Clock;
use crate::driver::{self, DriverError};
use crate::environment::{Environment, EnvironmentError};
use crate::model::Software;
use crate::scenario::{Cell, Scenario, SystemConfig};
use itertools::Itertools;
use std::collections::BTreeSet;

/// Each thing once, with every label that it concerns. Brokers that are started here are not
/// concerned, but for what they are started from.
pub fn missing<'a>(
    environment: &mut dyn Environment,
    scenarios: impl IntoIterator<Item = &'a Scenario>,
) -> Vec<StudyError> {
    let scenarios: Vec<&Scenario> = scenarios.into_iter().collect();
    let systems = scenarios.iter().flat_map(|scenario| &scenario.systems);
    let software: BTreeSet<Software> =
        systems.map(|(_, config)| config.system.software()).collect();
    let mut missing = Vec::new();
    for software in software {
        if let Some(error) = environment.lacks(software) {
            missing.push(error.into());
        } else if environment.name() == "external" {
            let cells = scenarios.iter().flat_map(|scenario| scenario.cells());
            let of_it =
                |cell: &Cell| cell.config.system.software() == software && cell.cannot().is_none();
            missing.extend(of_brokers(environment, &cells.filter(of_it).collect::<Vec<_>>()));
        }
    }
    missing
}

/// Of cells on the brokers of one software.
fn of_brokers(environment: &mut dyn Environment, cells: &[Cell]) -> Vec<StudyError> {
    let Some(first) = cells.first() else { return Vec::new() };
    // Nothing of a scenario, which its own turn reports as not set.
    let broker = match environment.start(&SystemConfig::defaults(first.config.system)) {
        Ok(broker) => broker,
        Err(error) => return vec![error.into()],
    };
    let target = broker.target(&format!("bb-look-{}", std::process::id()), Clock::start());
    // What the points of a sweep have in common is asked once.
    let mut asked: Vec<(&Cell, Option<DriverError>)> = Vec::new();
    let mut told: Vec<(DriverError, Vec<&str>)> = Vec::new();
    for cell in cells {
        let known = asked.iter().find(|(other, _)| alike(cell, other)).map(|(_, why)| why.clone());
        let why = known.unwrap_or_else(|| {
            let looked = driver::open(cell, target.clone()).and_then(|driver| driver.look());
            asked.push((cell, looked.clone().err()));
            looked.err()
        });
        let Some(why) = why else { continue };
        match told.iter_mut().find(|(other, _)| other.reason() == why.reason()) {
            Some((_, labels)) => labels.push(&cell.label),
            None => told.push((why, vec![&cell.label])),
        }
    }
    let stopped = broker.stop().err().map(StudyError::from);
    told.into_iter().map(|(why, labels)| refused(&labels, why)).chain(stopped).collect()
}

fn refused(labels: &[&str], why: DriverError) -> StudyError {
    let label = labels.iter().unique().join(", ");
    match why {
        // Of whoever described the brokers: no environment is missing.
        DriverError::Setting { .. } => StudyError::CellRun { label, cause: why.into() },
        _ => EnvironmentError::Refused(format!("{label}: {}", why.reason())).into(),
    }
}

/// Whether two cells need the same of their brokers.
fn alike(one: &Cell, other: &Cell) -> bool {
    let needs = |cell: &Cell| (cell.load.producers > 0, cell.message.key.is_some());
    one.config == other.config && needs(one) == needs(other)
}
