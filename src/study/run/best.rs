//! `load.best-of`: before the first block, tries each label at a few settings of the generator and
//! keeps the one that carried most.
//!
//! Tried on a broker of its own, warmed like the others and thrown away: no block inherits from a
//! try. What a try carried chooses the setting and is told beside the figure; it is never a part of
//! it, so that nobody publishes the luckiest of several windows. A try that the harness spoilt
//! chooses nothing; where all are spoilt the cells have no setting and say so.

use super::{RunningStudy, StudyError, by_broker, death};
use crate::engine::CellRunError;
use crate::environment::Broker;
use crate::model::{Unit, metric};
use crate::result::{
    Blame, CellOutput, CellRecord, Gate, Observation, SettingFound, TriedSetting, invalid_because,
    rates,
};
use crate::scenario::{Cell, Setting};

/// Cells are numbered from 1.
const NOT_OF_A_CELL: u64 = 1 << 32;

impl RunningStudy<'_, '_> {
    /// Chooses the setting of every cell that has several, into the manifest. Ends early when
    /// interrupted.
    pub(super) fn choose_settings(&mut self) -> Result<(), StudyError> {
        for (label, config) in self.study.scenario.systems.clone() {
            let cells = self.study.scenario.cells().into_iter();
            let cells: Vec<Cell> =
                cells.filter(|cell| cell.label == label && cell.awaits_setting()).collect();
            if let Some(other) = &config.same_as {
                self.settle_as(other, &cells);
                continue;
            }
            for cells in by_broker(cells) {
                if let Err(error) = self.try_all(&label, &cells) {
                    self.lose(&cells[0], error)?;
                }
                if self.interrupted() {
                    return Ok(());
                }
            }
        }
        self.folder.write_manifest(&self.manifest)?;
        Ok(())
    }

    /// Every setting of cells that one broker serves, on a broker of their own; ends early when
    /// interrupted.
    fn try_all(&mut self, label: &str, cells: &[Cell]) -> Result<(), StudyError> {
        let here = |cell: &&Cell| self.gone.why(cell).is_none();
        let Some(first) = cells.first().filter(here) else { return Ok(()) };
        let mut broker = self.ready_broker(label, &first.config, first, "best-of")?;
        let before = self.tries;
        for cell in cells {
            let mut tried: Vec<(Setting, TriedSetting)> = Vec::new();
            for (setting, short) in cell.tried_settings() {
                if self.tries > before {
                    self.quiet(&format!("{label} {}, before {setting} is tried", cell.point));
                }
                self.step(&format!("{label} {}: trying {setting}", cell.point));
                let found = self.try_setting(&short, broker.as_mut())?;
                if self.interrupted() {
                    return Ok(());
                }
                tried.push((setting, TriedSetting { setting: setting.to_string(), ..found }));
            }
            self.choose(cell, tried);
        }
        self.dismiss(broker, label, "best-of")
    }

    /// A label that is the same as another has its setting too, or they were not the same.
    fn settle_as(&mut self, other: &str, cells: &[Cell]) {
        for Cell { label, point, .. } in cells {
            let chosen = self.settings.get(&(other.to_owned(), point.clone())).copied();
            self.settings.extend(chosen.map(|setting| ((label.clone(), point.clone()), setting)));
            let found = self.manifest.settings_found.get(other).and_then(|all| all.get(point));
            let found = found.map(|found| SettingFound { tried: Vec::new(), ..found.clone() });
            let own = self.manifest.settings_found.entry(label.clone()).or_default();
            own.extend(found.map(|found| (point.clone(), found)));
        }
    }

    fn try_setting(
        &mut self,
        cell: &Cell,
        broker: &mut dyn Broker,
    ) -> Result<TriedSetting, StudyError> {
        self.tries += 1;
        let (number, place) =
            (NOT_OF_A_CELL + self.tries, format!("best-{}-{}", cell.label, self.tries));
        let label = format!("{}, best-of", cell.label);
        let failed = |cause: CellRunError| StudyError::CellRun { label: label.clone(), cause };
        let mut stage = self.context(cell, 0, number, &place, broker);
        let driver = stage.driver(cell, "try").map_err(|error| failed(error.into()))?;
        let CellOutput { record, .. } = stage.load(cell, driver.as_ref(), 0).map_err(failed)?;
        if let Some(cause) = record.error {
            return Err(StudyError::Search { label, cause: death(cause, stage.broker) });
        }
        // What is left behind is a nuisance to the next one, not a reason to give up.
        let _ = driver.clean_up();
        let spoilt = invalid_because(&record).join("; ");
        let goodput = rates(&record).goodput_per_s.filter(|rate| *rate > 0.0 && spoilt.is_empty());
        let spoilt = match goodput {
            None if spoilt.is_empty() => "nothing was carried end to end".to_owned(),
            _ => spoilt,
        };
        let messages = record.window_consumed;
        Ok(TriedSetting { setting: String::new(), goodput_per_s: goodput, messages, spoilt })
    }

    fn choose(&mut self, cell: &Cell, tried: Vec<(Setting, TriedSetting)>) {
        let place = (cell.label.clone(), cell.point.clone());
        let found = chosen(&tried);
        match found {
            Some((setting, best)) => {
                let carried = best.goodput_per_s.map(|rate| Unit::MessagesPerSecond.show(rate));
                let carried = carried.unwrap_or_default();
                let text = format!("{} {}: {setting} carries most, {carried}", place.0, place.1);
                self.settings.insert(place.clone(), *setting);
                self.step(&text);
            }
            None => {
                self.warn(format!("{} {}: no setting, since each try was spoilt", place.0, place.1))
            }
        }
        let (label, point) = place;
        let setting = found.map(|(setting, _)| setting.to_string());
        let tried = tried.into_iter().map(|(_, tried)| tried).collect();
        self.manifest
            .settings_found
            .entry(label)
            .or_default()
            .insert(point, SettingFound { setting, tried });
    }

    /// The cell at the setting that was chosen for it.
    pub(super) fn with_setting(&self, cell: Cell) -> Cell {
        let chosen = self.settings.get(&(cell.label.clone(), cell.point.clone()));
        chosen.map_or_else(|| cell.clone(), |setting| cell.at(*setting))
    }

    /// The record of a cell for which none could be chosen.
    pub(super) fn without_setting(&self, cell: &Cell, block: u32) -> Option<CellRecord> {
        let found = self.setting_found(cell)?;
        let spoilt = found.tried.iter().map(|tried| format!("{}: {}", tried.setting, tried.spoilt));
        found.setting.is_none().then(|| CellRecord {
            gates: vec![Gate {
                name: "best-of".to_owned(),
                held: Some(false),
                blames: Blame::Harness,
                found: spoilt.collect::<Vec<_>>().join("; "),
                limit: "one try that was not spoilt".to_owned(),
            }],
            ..cell.record(block)
        })
    }

    pub(super) fn setting_found(&self, cell: &Cell) -> Option<&SettingFound> {
        self.manifest.settings_found.get(&cell.label)?.get(&cell.point)
    }

    /// What each setting carried. It stands in the first block alone: it was tried once.
    pub(super) fn seen_by_tries(&self, cell: &Cell, block: u32) -> Vec<Observation> {
        let found = self.setting_found(cell).filter(|_| block == 1);
        let tried = found.map_or(&[][..], |found| &found.tried);
        tried.iter().filter_map(observation).collect()
    }
}

/// What a reader of the chosen setting's cells must know of the others.
fn observation(tried: &TriedSetting) -> Option<Observation> {
    let point = format!("setting={}", tried.setting.replace(", ", " + "));
    let seen =
        Observation::measured(metric::SETTING_GOODPUT, point, tried.goodput_per_s?, tried.messages);
    Some(seen.with_text("tried once before the first block: chooses, and is no part of the figure"))
}

/// The one that carried most; the first of equals, as the scenario lists them.
fn chosen(tried: &[(Setting, TriedSetting)]) -> Option<&(Setting, TriedSetting)> {
    let good = tried.iter().rev().filter(|(_, tried)| tried.goodput_per_s.is_some());
    let rate = |tried: &TriedSetting| tried.goodput_per_s.unwrap_or(0.0);
    good.max_by(|(_, a), (_, b)| rate(a).total_cmp(&rate(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(rates: &[Option<f64>]) -> Vec<(Setting, TriedSetting)> {
        let one = |(at, goodput_per_s): (usize, &Option<f64>)| {
            let setting = Setting { producers: Some(at as u16 + 1), ..Setting::default() };
            let found = TriedSetting { goodput_per_s: *goodput_per_s, ..TriedSetting::default() };
            (setting, found)
        };
        rates.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_one_that_carried_most_is_chosen_and_a_spoilt_one_never() {
        let producers = |rates: &[Option<f64>]| chosen(&tried(rates)).map(|(s, _)| s.producers);
        assert_eq!(producers(&[Some(3.0), None, Some(5.0)]), Some(Some(3)));
        assert_eq!(producers(&[Some(5.0), Some(5.0), Some(4.0)]), Some(Some(1)), "the first");
        assert_eq!(producers(&[None, None]), None);
    }

    #[test]
    fn what_was_tried_is_told_with_its_setting() {
        let setting = "4 producers, 2500 in flight".to_owned();
        let found = TriedSetting { setting, goodput_per_s: Some(9.0), ..TriedSetting::default() };
        let seen = observation(&found).unwrap();
        assert_eq!(
            (seen.point.as_str(), seen.value),
            ("setting=4 producers + 2500 in flight", Some(9.0))
        );
        assert_eq!(observation(&TriedSetting::default()), None);
    }
}
