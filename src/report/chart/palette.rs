//! One colour, dash and marker per system, in every chart: chosen for colour blindness and 3:1 contrast.

use super::canvas::{Color, Dash, Shape};

#[derive(Clone, Copy, Debug)]
pub struct SystemStyle {
    pub color: Color,
    pub dash: Dash,
    pub shape: Shape,
}

pub fn of(system: &str) -> SystemStyle {
    let (color, dash, shape): (_, Dash, _) = match system {
        "kafka" => (Color(0x00, 0x72, 0xB2), &[], Shape::Circle),
        "redis-streams" => (Color(0xD5, 0x5E, 0x00), &[9.0, 3.0], Shape::Square),
        "redis-pubsub" => (Color(0xCC, 0x79, 0xA7), &[2.5, 2.5], Shape::Triangle),
        "redis-lists" => (Color(0x00, 0x9E, 0x73), &[9.0, 3.0, 2.5, 3.0], Shape::Diamond),
        _ => (Color(0x6E, 0x77, 0x81), &[4.0, 4.0], Shape::Cross),
    };
    SystemStyle { color, dash, shape }
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
