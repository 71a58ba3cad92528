//! One colour, dash and marker per system, in every chart: those of the table of systems.

use super::canvas::{Color, Dash};
use crate::model::{Marker, System, SystemStyle};

#[derive(Clone, Copy, Debug)]
pub struct LineStyle {
    pub color: Color,
    pub dash: Dash,
    pub shape: Marker,
}

pub fn of(system: &str) -> LineStyle {
    let style = System::from_name(system).map_or(SystemStyle::NEUTRAL, System::style);
    let [red, green, blue] = style.color;
    LineStyle { color: Color(red, green, blue), dash: style.dash, shape: style.marker }
}

/// Whether a label is drawn filled: the first of its system; variants are hollow.
pub fn filled(label: &str, system: &str) -> bool {
    label == system
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::SYSTEMS;

    #[test]
    fn every_system_has_a_look_of_its_own() {
        let look = |system: &str| (of(system).color, of(system).shape);
        for (at, system) in SYSTEMS.into_iter().enumerate() {
            let others = SYSTEMS[..at].iter().copied().chain(["another"]);
            assert!(others.into_iter().all(|other| look(other) != look(system)), "{system}");
        }
    }
}
