//! One colour, dash and marker per system, in every chart: those of the table of systems.

use crate::model::{System, SystemStyle};

pub fn of(system: &str) -> SystemStyle {
    System::from_name(system).map_or(SystemStyle::NEUTRAL, System::style)
}

/// Whether a label is drawn filled: the first of its system; variants are hollow.
pub fn filled(label: &str, system: &str) -> bool {
    label == system
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_has_a_look_of_its_own() {
        let look = |system: &str| (of(system).color, of(system).marker as u8);
        for (at, system) in System::NAMES.into_iter().enumerate() {
            let others = System::NAMES[..at].iter().copied().chain(["another"]);
            assert!(others.into_iter().all(|other| look(other) != look(system)), "{system}");
        }
    }
}
