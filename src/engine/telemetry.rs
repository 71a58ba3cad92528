//! What the coordinator of a cell gathers while the load runs.

use super::collect::Collector;
use super::health::Health;
use crate::clock::Clock;
use crate::result::Event;

/// What the coordinator gathers while the load runs.
pub struct Telemetry {
    pub collector: Collector,
    pub health: Health,
    pub events: Vec<Event>,
    pub settled: bool,
    pub clock: Clock,
}

impl Telemetry {
    pub fn new(collector: Collector, clock: Clock) -> Self {
        Self { collector, health: Health::default(), events: Vec::new(), settled: false, clock }
    }

    pub fn event(&mut self, kind: &str, text: &str) {
        self.event_at(self.clock.now_ns(), kind, text);
    }

    pub fn event_at(&mut self, at_ns: u64, kind: &str, text: &str) {
        self.events.push(Event { at_ns, kind: kind.into(), text: text.into() });
    }
}
