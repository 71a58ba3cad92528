//! `load.rate: half-capacity` and `own-half-capacity`: before the first block, finds the highest
//! fixed rate that each label sustains, and the rates that follow.
//!
//! It is the search of the experiment `capacity`, in the open loop: what a closed loop carries for
//! some seconds is more than any steady rate. Every label is searched on a broker of its own,
//! warmed like the others and thrown away: no block inherits from a search. What it finds says at
//! which rate latency is measured and nothing else; it carries no verdict. A search without a
//! lower end gives no rate, and the cells that needed it say so; one under which the broker died
//! ends its label.

use super::{RunningStudy, StudyError, by_broker, death};
use crate::experiment::{self, ExperimentContext};
use crate::model::{Metric, Point, Unit, metric};
use crate::result::{Blame, Carried, CellOutput, CellRecord, Gate, Observation, RateFound};
use crate::scenario::{Cell, HalfOf, half_of};
use std::collections::BTreeMap;

/// What the search of a label found, or why it tells nothing.
type Searched = (String, Result<Carried, String>);

impl RunningStudy<'_, '_> {
    /// Finds the rate of every matrix point that asks for one, into the manifest.
    /// Ends early when interrupted.
    pub(super) fn find_rates(&mut self) -> Result<(), StudyError> {
        // By the point without its rate.
        let mut found: BTreeMap<String, Vec<Searched>> = BTreeMap::new();
        for (label, _) in self.study.scenario.systems.clone() {
            let searches = self.study.scenario.capacity_searches(&label);
            let mut number = 0;
            for searches in by_broker(searches) {
                let mut carried = Vec::new();
                if let Err(error) = self.search_all(&label, &searches, &mut number, &mut carried) {
                    self.lose(&searches[0], error)?;
                }
                if self.interrupted() {
                    return Ok(());
                }
                let gone = self.gone.why(&searches[0]).unwrap_or_default().to_owned();
                let gone = std::iter::repeat_with(|| Err(gone.clone()));
                for (cell, carried) in searches.iter().zip(carried.into_iter().chain(gone)) {
                    found.entry(cell.point.clone()).or_default().push((label.clone(), carried));
                }
            }
        }
        for (label, config) in &self.study.scenario.systems {
            for searched in found.values_mut() {
                let same = |(other, _): &&Searched| Some(other) == config.same_as.as_ref();
                let same = searched.iter().find(same).map(|(_, carried)| carried.clone());
                searched.extend(same.map(|carried| (label.clone(), carried)));
            }
        }
        for cell in self.study.scenario.cells() {
            let known = self.manifest.rates_found.contains_key(&cell.point);
            let searched = found.get(&without_rate(&cell.point));
            if let (Some(of), Some(searched), false) = (cell.load.half_of, searched, known) {
                let point = cell.point;
                let found = conclude(of, searched);
                match (found.rate, found.own.is_empty()) {
                    (None, true) => self.warn(format!("{point}: {}", found.because)),
                    (None, false) => self.step(&format!("{point}: {}", found.because)),
                    (Some(rate), _) => self.step(&format!("{point}: {rate}, {}", found.because)),
                }
                self.manifest.rates_found.insert(point, found);
            }
        }
        self.folder.write_manifest(&self.manifest)?;
        Ok(())
    }

    /// Searches of one label that one broker serves, on a broker of their own, `number` of which
    /// there have been; ends early when interrupted.
    fn search_all(
        &mut self,
        label: &str,
        searches: &[Cell],
        number: &mut u64,
        carried: &mut Vec<Result<Carried, String>>,
    ) -> Result<(), StudyError> {
        let here = |cell: &&Cell| self.gone.why(cell).is_none();
        let Some(first) = searches.first().filter(here) else { return Ok(()) };
        let mut broker = self.ready_broker(label, &first.config, first, "search")?;
        for cell in searches {
            self.step(&format!("{label} {}: capacity search", cell.point));
            let place = format!("search-{label}-{number}");
            let mut stage = self.context(cell, 0, *number, &place, broker.as_mut());
            carried.push(search(&mut stage, label)?);
            *number += 1;
            if self.interrupted() {
                return Ok(());
            }
        }
        self.dismiss(broker, label, "capacity search")
    }

    /// The cell with the rate that was found for it.
    pub(super) fn with_rate(&self, mut cell: Cell) -> Cell {
        if cell.awaits_rate() {
            let found = self.manifest.rates_found.get(&cell.point);
            let rate = found.and_then(|found| found.rate.or(found.own.get(&cell.label).copied()));
            cell.load.rate = rate;
        }
        cell
    }

    /// The record of a cell that has no rate to run at.
    pub(super) fn without_rate(&self, cell: &Cell, block: u32) -> Option<CellRecord> {
        let because = |found: &RateFound| found.because.clone();
        let because = self
            .manifest
            .rates_found
            .get(&cell.point)
            .map_or_else(|| "no search".to_owned(), because);
        cell.awaits_rate().then(|| CellRecord {
            gates: vec![Gate {
                name: "capacity-search".to_owned(),
                held: Some(false),
                blames: Blame::Harness,
                found: because,
                limit: "a rate that the label sustains".to_owned(),
            }],
            ..cell.record(block)
        })
    }

    /// What was found of this cell's label: how much of its capacity the cell asks for, and where
    /// the rate itself was found, from what. It stands in the first block alone: the search was
    /// made once.
    pub(super) fn seen_by_search(&self, cell: &Cell, block: u32) -> Vec<Observation> {
        let rates = &self.manifest.rates_found;
        let place = without_rate(&cell.point);
        let own = rates.iter().filter(|(point, _)| without_rate(point) == place);
        let own = own.filter_map(|(_, found)| found.carried.get(&cell.label)).next();
        let (Some(rate), Some(own)) = (cell.load.rate.filter(|_| block == 1), own) else {
            return Vec::new();
        };
        let because = rates.get(&cell.point).map(|found| found.because.as_str());
        observations(rate.per_s(), own, because)
    }
}

fn without_rate(point: &str) -> String {
    Point::read(point).without(&["rate"]).to_string()
}

/// The highest fixed rate that a label sustains, or why it was not found.
fn search(
    stage: &mut ExperimentContext<'_>,
    label: &str,
) -> Result<Result<Carried, String>, StudyError> {
    let Some(keys) = stage.cell.experiment.clone() else {
        return Ok(Err("nothing to search by".to_owned()));
    };
    let died = |error: String, stage: &mut ExperimentContext<'_>| StudyError::Search {
        label: label.to_owned(),
        cause: death(error, stage.broker),
    };
    match experiment::run(stage, &keys) {
        Ok(CellOutput { record, .. }) => match record.error {
            Some(cause) => Err(died(cause, stage)),
            None => Ok(carried(&record)),
        },
        Err(cause) if stage.broker.check().is_err() => Err(died(cause.to_string(), stage)),
        Err(cause) => {
            Err(StudyError::CellRun { label: format!("{label}, capacity search"), cause })
        }
    }
}

/// The bracket of a search, or why it has no lower end.
fn carried(record: &CellRecord) -> Result<Carried, String> {
    let end = |metric: &Metric| record.observations.iter().find(|seen| seen.metric == metric.name);
    let low = end(metric::CAPACITY_LOW);
    let value = |seen: Option<&Observation>| seen.and_then(|seen| seen.value);
    match value(low) {
        Some(low_per_s) => Ok(Carried {
            low_per_s,
            high_per_s: value(end(metric::CAPACITY_HIGH)),
            probes: low.map_or(0, |seen| seen.n),
        }),
        None => Err(low.map_or_else(|| "it ended early".to_owned(), |seen| seen.text.clone())),
    }
}

/// Half of the least that any label sustains, if every search found one; or half of each one's own.
fn conclude(of: HalfOf, searched: &[Searched]) -> RateFound {
    let spoilt = searched.iter().find_map(|(label, found)| Some((label, found.as_ref().err()?)));
    let spoilt = spoilt.map(|(label, why)| {
        format!("no rate, since the search for the capacity of {label} found none: {why}")
    });
    let carried: BTreeMap<String, Carried> = searched
        .iter()
        .filter_map(|(label, found)| Some((label.clone(), found.clone().ok()?)))
        .collect();
    let words = |(label, found): (&String, &Carried)| {
        let gave_out = if found.high_per_s.is_some() { "" } else { " or more" };
        format!("{label} {}{gave_out}", Unit::MessagesPerSecond.show(found.low_per_s))
    };
    let all = carried.iter().map(words).collect::<Vec<_>>().join(", ");
    let sustained = "at a fixed rate before the first block, rounded down to two digits";
    let slowest = carried.iter().min_by(|a, b| a.1.low_per_s.total_cmp(&b.1.low_per_s));
    let (mut rate, mut own) = (None, BTreeMap::new());
    let because = match (of, slowest, spoilt) {
        (HalfOf::Own, Some(_), spoilt) => {
            let half =
                |(label, found): (&String, &Carried)| (label.clone(), half_of(found.low_per_s));
            own = carried.iter().map(half).collect();
            let spoilt = spoilt.map_or_else(String::new, |why| format!("; {why}"));
            format!("half of what each sustained {sustained}: {all}{spoilt}")
        }
        (HalfOf::Slowest, Some((label, slowest)), None) => {
            rate = Some(half_of(slowest.low_per_s));
            format!("half of what {label}, the slowest, sustained {sustained}: {all}")
        }
        (_, _, Some(spoilt)) => spoilt,
        (_, None, None) => "no rate: there was nobody to search".to_owned(),
    };
    RateFound { rate, own, carried, because }
}

/// What a reader of one label's cells must know of their rate.
fn observations(rate_per_s: f64, own: &Carried, half_of: Option<&str>) -> Vec<Observation> {
    let seen = |metric, value: f64| Observation::measured(metric, "", value, own.probes);
    let share = seen(metric::UTILISATION, rate_per_s / own.low_per_s);
    let half = half_of.into_iter().flat_map(|because| {
        let half = seen(metric::CAPACITY_HALF, rate_per_s).with_text(because.to_owned());
        let high = own.high_per_s.map(|rate| seen(metric::CAPACITY_HIGH, rate));
        [half, seen(metric::CAPACITY_LOW, own.low_per_s)].into_iter().chain(high)
    });
    half.chain([share]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Rate;

    fn at(label: &str, low_per_s: f64) -> Searched {
        let high_per_s = Some(low_per_s * 1.2);
        (label.to_owned(), Ok(Carried { low_per_s, high_per_s, probes: 9 }))
    }

    fn three() -> Vec<Searched> {
        vec![at("kafka", 91_234.0), at("redis-lists", 51_999.0), at("redis-pubsub", 120_000.0)]
    }

    #[test]
    fn the_lower_end_of_the_bracket_is_the_capacity() {
        let ends = |low: Option<f64>| {
            let end = |metric, value: Option<f64>| match value {
                Some(value) => Observation::measured(metric, "", value, 9),
                None => Observation::not_measured(metric, "", "no rate kept the limit"),
            };
            let observations =
                vec![end(metric::CAPACITY_LOW, low), end(metric::CAPACITY_HIGH, None)];
            carried(&CellRecord { observations, ..CellRecord::empty() })
        };
        let found = Carried { low_per_s: 64_000.0, high_per_s: None, probes: 9 };
        assert_eq!(ends(Some(64_000.0)), Ok(found));
        assert_eq!(ends(None), Err("no rate kept the limit".into()));
        assert_eq!(carried(&CellRecord::empty()), Err("it ended early".into()));
    }

    #[test]
    fn the_slowest_label_sets_the_rate_of_all_and_is_named() {
        let found = conclude(HalfOf::Slowest, &three());
        assert_eq!(found.rate, Some(Rate::per_second(25_000)));
        let because = &found.because;
        assert!(because.starts_with("half of what redis-lists, the slowest,"), "{because}");
        let all = "kafka 91.2k/s, redis-lists 52.0k/s, redis-pubsub 120k/s";
        assert!(because.contains(all), "{because}");
        let seen = observations(25_000.0, &found.carried["kafka"], Some(because));
        let seen: Vec<_> = seen.iter().map(|one| (one.metric.as_str(), one.value, one.n)).collect();
        let (high, share) = (Some(91_234.0 * 1.2), Some(25_000.0 / 91_234.0));
        assert_eq!(
            seen,
            [
                ("capacity.half", Some(25_000.0), 9),
                ("capacity.low", Some(91_234.0), 9),
                ("capacity.high", high, 9),
                ("utilisation", share, 9),
            ]
        );
        let fixed = observations(1000.0, &found.carried["kafka"], None);
        assert_eq!(fixed.len(), 1, "a rate that was written names its utilisation alone");
    }

    #[test]
    fn each_has_half_of_its_own() {
        let found = conclude(HalfOf::Own, &three());
        let own = |label: &str| found.own.get(label).map(|rate| rate.per_s());
        assert_eq!((found.rate, own("kafka")), (None, Some(45_000.0)));
        assert_eq!((own("redis-lists"), own("redis-pubsub")), (Some(25_000.0), Some(60_000.0)));
    }

    #[test]
    fn a_search_that_found_nothing_gives_no_rate_and_says_whose() {
        let searched =
            [at("kafka", 91_234.0), ("redis-lists".into(), Err("steal-time: 9 %".into()))];
        let found = conclude(HalfOf::Slowest, &searched);
        assert_eq!((found.rate, found.own.len()), (None, 0));
        let why = "no rate, since the search for the capacity of redis-lists found none: \
                   steal-time: 9 %";
        assert_eq!(found.because, why);
        let found = conclude(HalfOf::Own, &searched);
        assert_eq!(found.own.keys().collect::<Vec<_>>(), ["kafka"]);
        assert!(found.because.contains(why), "{}", found.because);
    }
}
