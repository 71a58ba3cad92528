//! `half-capacity` and `own-half-capacity`: rates that a run finds before its first block.

use super::cell::Cell;
use super::experiment::{Capacity, Experiment};
use crate::model::Point;
use crate::units::{Rate, Span};

/// Whose capacity a rate is half of, as it stands in a file and in the names of matrix points.
/// Until a run has found it such a cell has no rate; then it has one as if it had been written, and
/// keeps the point by which labels, blocks and runs are paired. Nothing here measures: the search
/// of a cell is a cell like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfOf {
    /// The least of all labels': one rate for all.
    Slowest,
    /// Each label's own: the same utilisation for all.
    Own,
}

impl HalfOf {
    pub(super) const ALL: [Self; 2] = [Self::Slowest, Self::Own];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Slowest => "half-capacity",
            Self::Own => "own-half-capacity",
        }
    }
}

/// The search for a capacity: short probes, since what follows is rounded to two digits.
const FIRST_PROBE: Rate = Rate::per_second(16_000);
const WARM_UP: Span = Span::from_secs(1);
const WINDOW: Span = Span::from_secs(2);
const DRAIN: Span = Span::from_secs(3);
const WITHIN: f64 = 0.2;

impl Cell {
    /// Whether its rate is yet to be found.
    pub fn awaits_rate(&self) -> bool {
        self.load.half_of.is_some() && self.load.rate.is_none()
    }

    /// The search for the highest fixed rate that this label sustains under the same load; its
    /// point names no rate, so that all points that differ in their rates alone share it. `None`
    /// where no rate is to be found, and where the system cannot run the cell at all.
    pub fn capacity_search(&self) -> Option<Self> {
        if !self.awaits_rate() || self.cannot().is_some() {
            return None;
        }
        let mut search = self.clone();
        search.point = Point::read(&self.point).without(&["rate"]).to_string();
        let keys = Capacity { within: WITHIN, ..Capacity::default() };
        search.experiment = Some(Experiment::Capacity(keys));
        let load = &mut search.load;
        load.rate = Some(FIRST_PROBE);
        load.half_of = None;
        load.warm_up = WARM_UP;
        load.warm_up_limit = WARM_UP;
        load.duration = WINDOW;
        load.drain = DRAIN;
        load.messages = None;
        search.faults.clear();
        Some(search)
    }
}

/// The rate that follows from a capacity in messages a second: two digits, since it is not known
/// any better.
pub fn half_of(capacity_per_s: f64) -> Rate {
    Rate::from_f64(capacity_per_s / 2.0).two_digits_down()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Model, Overrides, Scenario, from_text};

    fn scenario(rest: &str) -> Result<Scenario, String> {
        let text =
            format!("schema: 1\nname: t\nquestion: Q?\nsystems: [kafka, redis-lists]\n{rest}");
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
        let listed =
            scenario("load: {model: open}\nmatrix: {load.rate: [1k/s, half-capacity]}\n").unwrap();
        let cells = listed.cells();
        let found: Vec<_> = cells
            .iter()
            .map(|cell| (cell.point.as_str(), cell.load.rate, cell.awaits_rate()))
            .collect();
        let (fixed, half) = (
            ("load.rate=1k/s", Some(Rate::per_second(1000)), false),
            ("load.rate=half-capacity", None, true),
        );
        assert_eq!(found, [fixed, fixed, half, half]);
    }

    #[test]
    fn only_plain_load_of_the_open_model_has_it() {
        let closed = refused("load: {model: closed, rate: half-capacity}\n");
        assert!(
            closed.contains("`load.rate` = `half-capacity`") && closed.contains("takes no rate"),
            "{closed}"
        );
        let listed = refused("load: {model: closed}\nmatrix: {load.rate: [half-capacity]}\n");
        assert!(listed.contains("takes no rate"), "{listed}");
        let experiment =
            refused("load: {model: open, rate: half-capacity}\nexperiment: {kind: capacity}\n");
        assert!(experiment.contains("only plain load"), "{experiment}");
        let twice =
            refused("load: {model: open}\nmatrix: {load.rate: [half-capacity, half-capacity]}\n");
        assert!(twice.contains("stands twice"), "{twice}");
    }

    #[test]
    fn a_misspelt_word_is_told_what_was_meant() {
        let error = refused("load: {model: open, rate: half}\n");
        let meant = "or `half-capacity`, or `own-half-capacity`";
        assert!(error.contains("`half` is not a rate") && error.contains(meant), "{error}");
        let error = refused("load: {model: open, rate: 5}\n");
        assert!(error.contains("the unit is missing") && !error.contains("half"), "{error}");
    }

    #[test]
    fn a_search_is_the_same_load_at_other_rates() {
        let load = "{model: open, in-flight: 77, batch: 7, messages: 5000, subscriptions: 2}";
        let rates = "load.rate: [1k/s, half-capacity, own-half-capacity]";
        let cells = scenario(&format!(
            "load: {load}\nmatrix: {{{rates}, message.size: [100B]}}\nblocks: 1\n"
        ));
        let cells = cells.unwrap().cells();
        let of = |label: &str| -> Vec<Option<Cell>> {
            let own = cells.iter().filter(|cell| cell.label == label);
            own.map(Cell::capacity_search).collect()
        };
        let searches = of("kafka");
        assert_eq!((&searches[0], &searches[1]), (&None, &searches[2]), "one search for both");
        let search = searches[1].clone().unwrap();
        assert_eq!(search.point, "message.size=100B");
        assert_eq!((search.load.model, search.load.messages), (Model::Open, None));
        let load = &search.load;
        assert_eq!((load.in_flight, load.batch, load.subscriptions), (77, 7, 2));
        assert_eq!((&search.config, &search.message), (&cells[0].config, &cells[0].message));
        assert!(!search.awaits_rate(), "a search is not searched");
        assert_eq!(
            of("redis-lists"),
            [None, None, None],
            "a list has no second reader: it cannot run the cell either"
        );
        let mut known = cells[2].clone();
        assert!(known.awaits_rate());
        known.load.rate = Some(Rate::per_second(1000));
        assert_eq!(known.capacity_search(), None);
    }

    #[test]
    fn it_is_explained_and_its_searches_are_estimated() {
        let with = |rates: &str| {
            scenario(&format!("load: {{model: open}}\nmatrix: {{load.rate: {rates}}}\n")).unwrap()
        };
        let fixed = with("[1k/s, 2k/s, 3k/s]");
        let half = with("[1k/s, half-capacity, own-half-capacity]");
        let text = half.explain();
        assert!(text.contains("found when it runs") && text.contains("2 searches"), "{text}");
        assert!(!fixed.explain().contains("found when it runs"));
        // A search of each label, and the warm-up of a Kafka that is thrown away.
        let seconds = |scenario: &Scenario| scenario.estimate().duration.secs_f64();
        let took = seconds(&half) - seconds(&fixed) - 30.0;
        assert!((80.0..=160.0).contains(&took), "{took}");
        assert_eq!(half.estimate().messages, None, "nobody knows before");
    }

    #[test]
    fn half_of_a_capacity_has_two_digits() {
        assert_eq!(half_of(51_999.0), Rate::per_second(25_000));
        assert_eq!(half_of(3.0).to_string(), "1.5/s");
    }
}
