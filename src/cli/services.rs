//! `compare --systems`: the scenarios of the claims asked of services, and of nobody in their
//! place.

use super::exit::{Code, Failure};
use super::run::Chosen;
use super::say;
use crate::access::Targets;
use crate::claims::Planned;
use crate::model::System;
use crate::result::EMULATED;
use crate::scenario::{self, Overrides, Scenario};

/// The scenarios with each of these services in place of their systems, one at a time: what one
/// cannot be asked, the others still are. That is said, and nothing is missing because of it.
pub fn read_managed(
    plan: &[Planned],
    overrides: &Overrides,
    systems: &[String],
) -> Result<Vec<(Planned, Scenario)>, Failure> {
    let mut scenarios = Vec::new();
    for system in systems.iter().filter_map(|name| System::from_name(name)) {
        let overrides = Overrides { in_place: Some(system), ..overrides.clone() };
        for planned in plan {
            match scenario::load(&planned.scenario, &overrides) {
                Ok(scenario) => scenarios.push((planned.clone(), scenario)),
                Err(error) => say(&format!("{system} is not in {}: {error}", planned.scenario)),
            }
        }
    }
    if scenarios.is_empty() {
        let message = "--systems: none of these scenarios can be asked of these services; name \
                       others, or another --only";
        return Err(Failure::new(Code::Usage, message));
    }
    Ok(scenarios)
}

/// Before anything is measured: what a stand-in does enters no table.
pub fn no_stand_in(chosen: &Chosen, scenarios: &[(Planned, Scenario)]) -> Result<(), Failure> {
    let mut systems = scenarios.iter().flat_map(|(_, scenario)| &scenario.systems);
    match systems.find(|(_, config)| chosen.environment.emulates(config.system)) {
        None => Ok(()),
        Some((label, config)) => Err(Failure::new(
            Code::Usage,
            format!(
                "{label}: what answers at the address of `{}` in the targets file is not AWS, so \
                 its figures are {EMULATED} and enter no comparison; name AWS's own address, or \
                 use `brokerbench run`",
                Targets::block(config.system)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_stands_in_place_of_the_systems_and_is_asked_alone() {
        let quick = Overrides { profile: Some("quick".into()), ..Overrides::default() };
        let asked = |scenario: &str, systems: &[&str]| {
            let systems: Vec<String> = systems.iter().map(|name| (*name).to_owned()).collect();
            let planned = Planned { claim: "a-claim".into(), scenario: scenario.into() };
            read_managed(&[planned], &quick, &systems)
        };
        let read = asked("latency", &["msk", "memorydb-streams"]).unwrap();
        let labels = read.iter().flat_map(|(_, scenario)| &scenario.systems);
        let labels: Vec<&str> = labels.map(|(label, _)| label.as_str()).collect();
        assert_eq!(labels, ["msk", "memorydb-streams"]);
        let [(_, msk), (_, memorydb)] = [0, 1].map(|at: usize| &read[at].1.systems[0]);
        assert_eq!((msk.topic.partitions, msk.topic.replicas), (1, 3));
        assert!(memorydb.broker.is_empty() && memorydb.cluster.is_some(), "{memorydb:?}");
        // What breaks brokers is asked of no service.
        let refused = asked("fault-tolerance", &["msk"]).unwrap_err();
        assert!(refused.code == Code::Usage && refused.message.contains("--systems"));
    }
}
