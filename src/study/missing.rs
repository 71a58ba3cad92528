//! What brokers that run already lack of what scenarios need: asked before anything is measured,
//! and all of it, so that nobody waits for a measurement to hear of the next thing. Brokers that
//! are started here are not concerned.

use super::StudyError;
use crate::clock::Clock;
use crate::driver::{self, DriverError};
use crate::environment::{Broker, Environment, EnvironmentError};
use crate::model::{Service, Software, System};
use crate::scenario::{Cell, Scenario, SystemConfig};
use itertools::Itertools;
use std::collections::BTreeMap;

/// Where no broker answers.
pub fn unanswered(environment: &mut dyn Environment, scenarios: &[&Scenario]) -> Vec<StudyError> {
    let systems = systems_of(scenarios).into_values();
    systems.filter_map(|system| answering(environment, system).err()).collect()
}

/// The same, and what there is not that a label needs: each thing once, with every label that it
/// concerns.
pub fn missing(environment: &mut dyn Environment, scenarios: &[&Scenario]) -> Vec<StudyError> {
    let mut missing = Vec::new();
    for (place, system) in systems_of(scenarios) {
        match answering(environment, system) {
            Err(error) => missing.push(error),
            Ok(None) => {}
            Ok(Some(broker)) => {
                let of_it =
                    |cell: &Cell| place_of(cell.config.system) == place && cell.cannot().is_none();
                let cells = scenarios.iter().flat_map(|scenario| scenario.cells());
                let cells: Vec<Cell> = cells.filter(of_it).collect();
                missing.extend(of_labels(broker.as_ref(), &cells));
                missing.extend(broker.stop().err().map(StudyError::from));
            }
        }
    }
    missing
}

/// What addresses are given for: a software, or a service of it.
type Place = (Software, Option<Service>);

fn place_of(system: System) -> Place {
    (system.software(), system.service())
}

/// A system at each place.
fn systems_of(scenarios: &[&Scenario]) -> BTreeMap<Place, System> {
    let systems = scenarios.iter().flat_map(|scenario| &scenario.systems);
    systems.map(|(_, config)| (place_of(config.system), config.system)).collect()
}

/// `None` where brokers are started here.
fn answering(
    environment: &mut dyn Environment,
    system: System,
) -> Result<Option<Box<dyn Broker>>, StudyError> {
    match environment.lacks(system) {
        Some(error) => Err(error.into()),
        None if environment.name() != "external" => Ok(None),
        // Nothing of a scenario, which its own turn reports as not set.
        None => Ok(Some(environment.start(&SystemConfig::defaults(system))?)),
    }
}

/// Of cells on one software.
fn of_labels(broker: &dyn Broker, cells: &[Cell]) -> Vec<StudyError> {
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
    told.into_iter().map(|(why, labels)| refused(&labels, why)).collect()
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
