//! `load.rate: half-capacity`: before the first block, finds what each label carries and the one
//! rate that follows.
//!
//! Every label is probed on a broker of its own, warmed like the others and thrown away: no block
//! inherits from a probe. The probe says at which rate latency is measured and nothing else; its
//! goodput carries no verdict. A probe that the harness spoilt gives no rate, and the cells that
//! needed it say so; one that the broker spoilt ends the run.

use super::{RunningStudy, StudyError, death};
use crate::engine::CellRunError;
use crate::experiment::ExperimentContext;
use crate::model::{Unit, metric};
use crate::result::words::name;
use crate::result::{
    Blame, Carried, CellOutcome, CellOutput, CellRecord, Gate, Observation, RateFound,
    invalid_because, rates,
};
use crate::scenario::{Cell, half_of};

/// A probe that the harness spoilt is repeated once: the rate it would have found judges nothing.
const TRIES: u32 = 2;

/// What the probe of a label found, or why it tells nothing.
type Probed = (String, Result<Carried, String>);

impl RunningStudy<'_, '_> {
    /// Finds the rate of every matrix point that asks for one, into the manifest.
    /// Ends early when interrupted.
    pub(super) fn find_rates(&mut self) -> Result<(), StudyError> {
        let mut points: Vec<(String, Vec<Probed>)> = Vec::new();
        for (label, config) in self.study.scenario.systems.clone() {
            let cells = self.study.scenario.cells().into_iter().filter(|cell| cell.label == label);
            let probes: Vec<Cell> = cells.filter_map(|cell| cell.capacity_probe()).collect();
            let Some(first) = probes.first() else { continue };
            let mut broker = self.ready_broker(&label, &config, first, "probe")?;
            for (number, cell) in probes.iter().enumerate() {
                self.step(&format!("{label} {}: capacity probe", cell.point));
                let place = format!("probe-{label}-{number}");
                let mut stage = self.context(cell, 0, number as u64, &place, broker.as_mut());
                let found = probe(&mut stage, &label)?;
                if self.interrupted() {
                    return Ok(());
                }
                match points.iter_mut().find(|(point, _)| *point == cell.point) {
                    Some((_, all)) => all.push((label.clone(), found)),
                    None => points.push((cell.point.clone(), vec![(label.clone(), found)])),
                }
            }
            self.dismiss(broker, &label, "capacity probe")?;
        }
        for (point, probed) in points {
            let found = conclude(probed);
            match &found.rate {
                Some(rate) => self.step(&format!("{point}: {rate}, {}", found.because)),
                None => self.warn(format!("{point}: {}", found.because)),
            }
            self.manifest.rates_found.insert(point, found);
        }
        self.folder.write_manifest(&self.manifest)?;
        Ok(())
    }

    /// The cell with the rate that was found for it.
    pub(super) fn with_rate(&self, mut cell: Cell) -> Cell {
        if cell.awaits_rate() {
            cell.load.rate =
                self.manifest.rates_found.get(&cell.point).and_then(|found| found.rate);
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
            .map_or_else(|| "no probe".to_owned(), because);
        cell.awaits_rate().then(|| CellRecord {
            gates: vec![Gate {
                name: "capacity-probe".to_owned(),
                held: false,
                blames: Blame::Harness,
                found: because,
                limit: "a probe of every label".to_owned(),
            }],
            ..cell.record(block)
        })
    }

    /// What was found for this cell's point. It stands in the first block alone:
    /// the probe was made once.
    pub(super) fn seen_by_probe(&self, cell: &Cell, block: u32) -> Vec<Observation> {
        let found = self
            .manifest
            .rates_found
            .get(&cell.point)
            .filter(|_| cell.load.half_capacity && block == 1);
        found.map_or_else(Vec::new, |found| observations(found, &cell.label))
    }
}

/// Loads the broker as fast as it goes; again where the harness was at fault.
fn probe(
    stage: &mut ExperimentContext<'_>,
    label: &str,
) -> Result<Result<Carried, String>, StudyError> {
    let failed = |cause: CellRunError| StudyError::CellRun {
        label: format!("{label}, capacity probe"),
        cause,
    };
    let cell = stage.cell;
    let mut found = Err(String::new());
    for part in 0..TRIES {
        let driver =
            stage.driver(cell, &format!("p{part}")).map_err(|error| failed(error.into()))?;
        let CellOutput { record, .. } =
            stage.load(cell, driver.as_ref(), part.into()).map_err(failed)?;
        if let Some(cause) = record.error {
            return Err(StudyError::Probe {
                label: label.to_owned(),
                cause: death(cause, stage.broker),
            });
        }
        // What is left behind is a nuisance to the next probe, not a reason to give up.
        let _ = driver.clean_up();
        found = carried(&record);
        if found.is_ok() || stage.interrupted() {
            break;
        }
    }
    Ok(found)
}

/// What a probe found, or why it tells nothing of the system.
fn carried(record: &CellRecord) -> Result<Carried, String> {
    let spoilt = invalid_because(record);
    if !spoilt.is_empty() {
        return Err(spoilt.join("; "));
    }
    match rates(record).goodput_per_s {
        Some(goodput_per_s) if goodput_per_s > 0.0 => {
            Ok(Carried { goodput_per_s, messages: record.window_consumed, outcome: record.outcome })
        }
        _ => Err("nothing was carried end to end".to_owned()),
    }
}

/// One rate for all labels: half of the slowest one's goodput, and only if every probe found one.
fn conclude(probed: Vec<Probed>) -> RateFound {
    let spoilt = probed
        .iter()
        .find_map(|(label, found)| Some((label.clone(), found.as_ref().err()?.clone())));
    let carried: Vec<(String, Carried)> =
        probed.into_iter().filter_map(|(label, found)| Some((label, found.ok()?))).collect();
    let slowest = carried.iter().min_by(|a, b| a.1.goodput_per_s.total_cmp(&b.1.goodput_per_s));
    let slowest = slowest.filter(|_| spoilt.is_none());
    let words = |(label, found): &(String, Carried)| {
        let steady = matches!(found.outcome, CellOutcome::Ok);
        let outcome = if steady { String::new() } else { format!(" ({})", name(&found.outcome)) };
        format!("{label} {}{outcome}", Unit::MessagesPerSecond.show(found.goodput_per_s))
    };
    let because = match (slowest, spoilt) {
        (Some((label, _)), _) => format!(
            "half of what {label}, the slowest, carried in the closed loop before the first block, \
             rounded down to two digits: {}",
            carried.iter().map(words).collect::<Vec<_>>().join(", ")
        ),
        (_, Some((label, why))) => {
            format!("no rate, since the capacity probe of {label} was spoilt: {why}")
        }
        (None, None) => "no rate: there was nobody to probe".to_owned(),
    };
    let rate = slowest.map(|(_, slowest)| half_of(slowest.goodput_per_s));
    RateFound { rate, carried: carried.into_iter().collect(), because }
}

/// What a reader of one label's cells must know of the rate.
fn observations(found: &RateFound, label: &str) -> Vec<Observation> {
    let own = found.carried.get(label).map(|own| {
        let text = match own.outcome {
            CellOutcome::Ok => "the closed loop, once before the first block".to_owned(),
            outcome => format!("the closed loop, once before the first block; {}", name(&outcome)),
        };
        Observation::measured(metric::CAPACITY_PROBE, "", own.goodput_per_s, own.messages)
            .with_text(text)
    });
    let messages = found.carried.values().map(|carried| carried.messages).sum();
    let half = found.rate.map(|rate| {
        Observation::measured(metric::CAPACITY_HALF, "", rate.per_s(), messages)
            .with_text(found.because.clone())
    });
    half.into_iter().chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Rate;

    fn record(consumed: u64) -> CellRecord {
        CellRecord {
            subscriptions: 1,
            window_start_ns: Some(0),
            window_end_ns: Some(5_000_000_000),
            window_acked: 300_000,
            window_consumed: consumed,
            ..CellRecord::empty()
        }
    }

    fn at(label: &str, per_s: f64) -> Probed {
        (
            label.to_owned(),
            Ok(Carried { goodput_per_s: per_s, messages: 1000, outcome: CellOutcome::Ok }),
        )
    }

    #[test]
    fn what_both_ends_carried_is_the_capacity() {
        assert_eq!(carried(&record(250_000)).unwrap().goodput_per_s, 50_000.0);
        assert_eq!(carried(&record(400_000)).unwrap().goodput_per_s, 60_000.0);
        assert!(carried(&record(0)).unwrap_err().contains("nothing was carried"));
        let gate = Gate {
            name: "steal-time".into(),
            held: false,
            blames: Blame::Harness,
            found: "9 %".into(),
            limit: "5 %".into(),
        };
        assert_eq!(
            carried(&CellRecord { gates: vec![gate], ..record(1) }),
            Err("steal-time: 9 % (limit 5 %)".into())
        );
    }

    #[test]
    fn the_slowest_label_sets_the_rate_of_all_and_is_named() {
        let found = conclude(vec![
            at("kafka", 91_234.0),
            at("redis-lists", 51_999.0),
            at("redis-pubsub", 120_000.0),
        ]);
        assert_eq!(found.rate, Some(Rate::per_second(25_000)));
        assert!(
            found.because.starts_with("half of what redis-lists, the slowest,"),
            "{}",
            found.because
        );
        assert!(
            found.because.contains("kafka 91.2k/s, redis-lists 52.0k/s, redis-pubsub 120k/s"),
            "{}",
            found.because
        );
        let seen = observations(&found, "kafka");
        let seen: Vec<_> = seen.iter().map(|one| (one.metric.as_str(), one.value, one.n)).collect();
        assert_eq!(
            seen,
            [("capacity.half", Some(25_000.0), 3000), ("capacity.probe", Some(91_234.0), 1000)]
        );
    }

    #[test]
    fn a_probe_that_is_spoilt_gives_no_rate_and_says_whose() {
        let found = conclude(vec![
            at("kafka", 91_234.0),
            ("redis-lists".into(), Err("steal-time: 9 %".into())),
        ]);
        assert_eq!(found.rate, None);
        assert_eq!(
            found.because,
            "no rate, since the capacity probe of redis-lists was spoilt: steal-time: 9 %"
        );
        assert_eq!(observations(&found, "redis-lists"), []);
    }
}
