//! `load.rate: half-capacity`: half of what the slowest label carries, a rate that is found when the scenario runs.
//!
//! Until it is found such a cell has no rate; then it has one as if it had been written, and keeps the point by which
//! labels, blocks and runs are paired. Nothing here measures: the probe of a cell is a cell like any other.

use super::cell::Cell;
use super::load::Model;
use crate::units::{Rate, Span};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

/// As it stands in a file and in the names of matrix points.
pub(super) const HALF_CAPACITY: &str = "half-capacity";

/// Long enough for a goodput that is good to a few per cent: the rate that follows is rounded by more.
const WARM_UP: Span = Span::from_secs(2);
const WARM_UP_LIMIT: Span = Span::from_secs(10);
const WINDOW: Span = Span::from_secs(5);

/// What a file may say under `load.rate`: a rate, or the word that stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateKey(pub Option<Rate>);

impl<'de> Deserialize<'de> for RateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse() {
            Ok(rate) => Ok(Self(Some(rate))),
            Err(_) if text == HALF_CAPACITY => Ok(Self(None)),
            // A word: most likely this one was meant.
            Err(cause) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                Err(D::Error::custom(format_args!("{cause}, or `{HALF_CAPACITY}`")))
            }
            Err(cause) => Err(D::Error::custom(cause)),
        }
    }
}

/// Of an optional one.
pub(super) fn rate_key(generator: &mut SchemaGenerator) -> Schema {
    let rate = generator.subschema_for::<Rate>();
    json_schema!({ "anyOf": [{ "anyOf": [rate, { "const": HALF_CAPACITY }] }, { "type": "null" }] })
}

impl Cell {
    /// Whether its rate is yet to be found.
    pub fn awaits_rate(&self) -> bool {
        self.load.half_capacity && self.load.rate.is_none()
    }

    /// The same load as fast as it goes, and short: finds what this label carries. `None` where no rate is to be found,
    /// and where the system cannot run the cell at all.
    pub fn capacity_probe(&self) -> Option<Self> {
        if !self.awaits_rate() || self.cannot().is_some() {
            return None;
        }
        let mut probe = self.clone();
        let load = &mut probe.load;
        load.model = Model::Closed;
        load.half_capacity = false;
        load.warm_up = WARM_UP;
        load.warm_up_limit = WARM_UP_LIMIT;
        load.duration = WINDOW;
        load.messages = None;
        // Of a probe only its speed is asked.
        load.audit = false;
        probe.faults.clear();
        Some(probe)
    }
}

/// The rate that follows from a capacity in messages a second: two digits, since it is not known any better.
pub fn half_of(capacity_per_s: f64) -> Rate {
    Rate::from_f64(capacity_per_s / 2.0).two_digits_down()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Scenario, from_text};

    fn scenario(rest: &str) -> Result<Scenario, String> {
        let text = format!("schema: 1\nname: t\nquestion: Q?\nsystems: [kafka, redis-lists]\n{rest}");
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    fn refused(rest: &str) -> String {
        scenario(rest).map(|_| ()).unwrap_err()
    }

    #[test]
    fn it_stands_for_a_rate_alone_and_among_others() {
        let alone = scenario("load: {model: open, rate: half-capacity}\n").unwrap();
        let row = alone.resolved().iter().find(|row| row.key == "load.rate").unwrap();
        assert_eq!((row.value.as_str(), row.origin.as_str()), ("half-capacity", "file"));
        assert!(alone.cells().iter().all(|cell| cell.awaits_rate() && cell.point == "base"));
        let listed = scenario("load: {model: open}\nmatrix: {load.rate: [1k/s, half-capacity]}\n").unwrap();
        let cells = listed.cells();
        let found: Vec<_> =
            cells.iter().map(|cell| (cell.point.as_str(), cell.load.rate, cell.awaits_rate())).collect();
        let (fixed, half) =
            (("load.rate=1k/s", Some(Rate::per_second(1000)), false), ("load.rate=half-capacity", None, true));
        assert_eq!(found, [fixed, fixed, half, half]);
    }

    #[test]
    fn only_plain_load_of_the_open_model_has_it() {
        let closed = refused("load: {model: closed, rate: half-capacity}\n");
        assert!(closed.contains("`load.rate` = `half-capacity`") && closed.contains("takes no rate"), "{closed}");
        let listed = refused("load: {model: closed}\nmatrix: {load.rate: [half-capacity]}\n");
        assert!(listed.contains("takes no rate"), "{listed}");
        let experiment = refused("load: {model: open, rate: half-capacity}\nexperiment: {kind: capacity}\n");
        assert!(experiment.contains("only plain load"), "{experiment}");
        let twice = refused("load: {model: open}\nmatrix: {load.rate: [half-capacity, half-capacity]}\n");
        assert!(twice.contains("stands twice"), "{twice}");
    }

    #[test]
    fn a_misspelt_word_is_told_what_was_meant() {
        let error = refused("load: {model: open, rate: half}\n");
        assert!(error.contains("`half` is not a rate") && error.contains("or `half-capacity`"), "{error}");
        let error = refused("load: {model: open, rate: 5}\n");
        assert!(error.contains("the unit is missing") && !error.contains(HALF_CAPACITY), "{error}");
    }

    #[test]
    fn a_probe_is_the_same_load_as_fast_as_it_goes() {
        let load = "{model: open, rate: half-capacity, in-flight: 77, batch: 7, messages: 5000, subscriptions: 2}";
        let cells = scenario(&format!("load: {load}\nmessage: {{size: 100B}}\n")).unwrap().cells();
        let probe = cells[0].capacity_probe().unwrap();
        assert_eq!((probe.load.model, probe.load.rate, probe.load.messages), (Model::Closed, None, None));
        assert_eq!((probe.load.in_flight, probe.load.batch, probe.load.subscriptions), (77, 7, 2));
        assert_eq!((&probe.config, &probe.message), (&cells[0].config, &cells[0].message));
        assert!(!probe.awaits_rate(), "a probe is not probed");
        assert_eq!(cells[1].capacity_probe(), None, "a list has no second reader: it cannot run the cell either");
        let mut known = cells[0].clone();
        known.load.rate = Some(Rate::per_second(1000));
        assert_eq!(known.capacity_probe(), None);
    }

    #[test]
    fn it_is_explained_and_its_probes_are_estimated() {
        let with = |rates: &str| scenario(&format!("load: {{model: open}}\nmatrix: {{load.rate: {rates}}}\n")).unwrap();
        let (fixed, half) = (with("[1k/s, 2k/s]"), with("[1k/s, half-capacity]"));
        let text = half.explain();
        assert!(text.contains("found when it runs") && text.contains("2 probes"), "{text}");
        assert!(!fixed.explain().contains("found when it runs"));
        // Two probes of 2 s and 5 s with 4 s around each, and the warm-up of a Kafka that is thrown away.
        let seconds = |scenario: &Scenario| scenario.estimate().duration.secs_f64();
        assert_eq!(seconds(&half) - seconds(&fixed), 22.0 + 30.0);
        assert_eq!(half.estimate().messages, None, "nobody knows before");
    }

    #[test]
    fn half_of_a_capacity_has_two_digits() {
        assert_eq!(half_of(51_999.0), Rate::per_second(25_000));
        assert_eq!(half_of(3.0).to_string(), "1.5/s");
    }
}
