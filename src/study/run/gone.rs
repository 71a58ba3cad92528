//! What goes wrong with one cell or one label: kept with it, told at once, and the end of nothing
//! else.
//!
//! A cell that its broker refuses before any load is a result. A broker that is gone, or never
//! came, ends those cells of its label that it would have served: where a sweep varies what brokers
//! are set to, the other points have brokers of their own. Only what concerns all of them ends the
//! run: the user, results that cannot be written, and a setting that a client library refuses while
//! nothing is measured yet.

use super::{RunningStudy, StudyError};
use crate::environment::{Broker, same_broker};
use crate::result::{Blame, CellOutcome, CellOutput, CellRecord, Gate};
use crate::scenario::{Cell, SystemConfig};
use crate::study::is_refusal;
use itertools::Itertools;

/// Brokers that are gone or never came, by their labels and what they are set to, each with why.
#[derive(Default)]
pub(super) struct GoneBrokers(Vec<(String, SystemConfig, String)>);

impl GoneBrokers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why the broker of `cell` serves nobody any more.
    pub(super) fn why(&self, cell: &Cell) -> Option<&str> {
        let of_cell = |(label, config, _): &&(String, SystemConfig, String)| {
            *label == cell.label && same_broker(config, &cell.config)
        };
        self.0.iter().find(of_cell).map(|(_, _, why)| why.as_str())
    }

    /// The first reason stands.
    pub(super) fn add(&mut self, cell: &Cell, why: String) {
        if self.why(cell).is_none() {
            self.0.push((cell.label.clone(), cell.config.clone(), why));
        }
    }
}

impl RunningStudy<'_, '_> {
    /// A broker, that of `cell`, which serves nobody any more.
    pub(super) fn lose(&mut self, cell: &Cell, error: StudyError) -> Result<(), StudyError> {
        if self.ends_all(&error) {
            return Err(error);
        }
        let cells = self.study.scenario.cells().into_iter();
        let (with_it, others): (Vec<Cell>, Vec<Cell>) = cells
            .filter(|other| other.label == cell.label)
            .partition(|other| same_broker(&other.config, &cell.config));
        let points = with_it.iter().map(|cell| cell.point.as_str()).join("; ");
        let lost = match others.is_empty() {
            true => cell.label.clone(),
            false => format!("{} at {points}", cell.label),
        };
        self.warn(format!("{lost} is not measured: {error}"));
        self.gone.add(cell, error.to_string());
        self.first_error.get_or_insert(error);
        Ok(())
    }

    fn ends_all(&self, error: &StudyError) -> bool {
        // The other shards of a run would wait for this one in vain.
        let told = self.study.part.is_some()
            || matches!(error, StudyError::Result(_) | StudyError::Interrupted);
        told || self.interrupted() || (self.measured == 0 && is_refusal(error))
    }

    /// The record of a cell whose broker is gone.
    pub(super) fn without_broker(&self, cell: &Cell, block: u32) -> Option<CellRecord> {
        let why = self.gone.why(cell)?;
        Some(CellRecord { error: Some(format!("not begun: {why}")), ..cell.record(block) })
    }

    /// Keeps a cell that no load was offered to.
    pub(super) fn not_begun(
        &mut self,
        cell: &Cell,
        block: u32,
        error: StudyError,
        broker: &mut dyn Broker,
    ) -> Result<(), StudyError> {
        if let Err(gone) = broker.check() {
            self.lose(cell, gone.into())?;
        } else if self.ends_all(&error) {
            return Err(error);
        }
        let record = self.without_broker(cell, block).unwrap_or_else(|| {
            let why = match &error {
                StudyError::CellRun { cause, .. } => cause.to_string(),
                other => other.to_string(),
            };
            refused(cell.record(block), why)
        });
        if let Some(why) = record.outcome_because.first() {
            self.warn(format!("{} {} block {block}: {why}", cell.label, cell.point));
        }
        self.first_error.get_or_insert(error);
        self.store(&CellOutput::of_record(record))?;
        Ok(())
    }
}

/// Nothing came through, since the broker refused it beforehand.
fn refused(record: CellRecord, found: String) -> CellRecord {
    let (name, limit) = ("begun", "topic, stream or list made and tried, every client connected");
    CellRecord {
        outcome: CellOutcome::Stalled,
        outcome_because: vec![format!("{name}: {found}")],
        gates: vec![Gate {
            name: name.to_owned(),
            held: Some(false),
            blames: Blame::Broker,
            found,
            limit: limit.to_owned(),
        }],
        ..record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Judged, invalid_because, judge};
    use crate::scenario::{Overrides, from_text};

    #[test]
    fn points_with_brokers_of_their_own_are_not_gone_with_another() {
        let text = "schema: 1\nname: t\nquestion: Q?\nsystems: [redis-lists, redis-streams]\n\
                    load: {model: closed}\n";
        let sweeps = vec![
            "systems.redis-lists.broker.appendfsync=banana,always".to_owned(),
            "message.size=100B,1KiB".to_owned(),
        ];
        let overrides = Overrides { sweeps, ..Overrides::default() };
        let cells = from_text("t.yaml", text, &overrides).unwrap().cells();
        let mut gone = GoneBrokers::default();
        let banana = |cell: &&Cell| cell.point.contains("banana");
        gone.add(cells.iter().find(banana).unwrap(), "banana".to_owned());
        gone.add(cells.iter().find(banana).unwrap(), "later".to_owned());
        let lost: Vec<_> = cells.iter().filter(|cell| gone.why(cell) == Some("banana")).collect();
        assert_eq!(lost.len(), 2, "both sizes: {lost:#?}");
        assert!(lost.iter().all(banana), "{lost:#?}");
    }

    #[test]
    fn what_a_broker_refuses_beforehand_is_a_result_that_nothing_came_through() {
        let oom = "redis-lists: publishing a probe message refused: OOM command not allowed";
        let record = refused(CellRecord::empty(), oom.to_owned());
        assert_eq!(record.outcome, CellOutcome::Stalled);
        assert_eq!(record.outcome_because, [format!("begun: {oom}")]);
        assert_eq!(invalid_because(&record), Vec::<String>::new(), "it is nobody's fault of ours");
        let (judged, because) = judge(&record, "at-least-once", true);
        assert_eq!(judged, Some(Judged::Inconclusive), "{because:?}");
    }
}
