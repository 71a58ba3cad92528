//! What goes wrong with one cell or one label: kept with it, told at once, and the end of nothing
//! else.
//!
//! A cell that its broker refuses before any load is a result. A broker that is gone, or never
//! came, ends its own label. Only what concerns all of them ends the run: the user, results that
//! cannot be written, and a setting that a client library refuses while nothing is measured yet.

use super::{RunningStudy, StudyError};
use crate::environment::Broker;
use crate::result::{Blame, CellOutcome, CellOutput, CellRecord, Gate};
use crate::scenario::Cell;
use crate::study::is_refusal;

impl RunningStudy<'_, '_> {
    /// A label that cannot be measured any more.
    pub(super) fn lose(&mut self, label: &str, error: StudyError) -> Result<(), StudyError> {
        if self.ends_all(&error) {
            return Err(error);
        }
        self.warn(format!("{label} is not measured: {error}"));
        self.gone.entry(label.to_owned()).or_insert_with(|| error.to_string());
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
        let why = self.gone.get(&cell.label)?;
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
            self.lose(&cell.label, gone.into())?;
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
