//! One window, measured again where the harness spoilt it: blind to what it measured, at most as
//! often as the scenario fixed beforehand, and counted. Without it the chance that all windows of a
//! long study are fit to be judged is small, and who reruns until they are chooses.

use super::{RunningStudy, StudyError, in_short};
use crate::driver::{self, Driver};
use crate::engine::CellRunError;
use crate::environment::Broker;
use crate::experiment::{self, ExperimentContext};
use crate::result::{CellOutput, CellRecord, Gate};
use crate::scenario::Cell;

/// Books that do not balance are a fault of the program: doing it again would hide it.
const NEVER: &str = "books-balance";

impl RunningStudy<'_, '_> {
    /// What was measured last, with the driver that it was put on, if that was plain load.
    pub(super) fn window(
        &mut self,
        cell: &Cell,
        block: u32,
        name: &str,
        broker: &mut dyn Broker,
    ) -> Result<(CellOutput, Option<Box<dyn Driver>>), StudyError> {
        if let Some(part) = self.study.part.clone() {
            return Ok((self.part(cell, block, &part, broker)?, None));
        }
        let plain = cell.experiment.is_none() && cell.faults.is_empty();
        let most = if plain { self.study.scenario.repeat_spoilt } else { 0 };
        let mut repeated = Vec::new();
        loop {
            self.windows += 1;
            let place = format!("{}-{block}-{}", cell.label, self.windows);
            let journal = match cell.experiment {
                Some(_) => None,
                None => Some(self.folder.journal(&cell.record(block))?),
            };
            let context = self.context(cell, block, self.windows, &place, broker);
            let measured = measure(&mut ExperimentContext { journal, ..context });
            let (mut output, used) = measured.map_err(|cause| match cause {
                CellRunError::Result(error) => StudyError::Result(error),
                cause => StudyError::CellRun { label: cell.label.clone(), cause },
            })?;
            match spoilt(&output.record) {
                Some(why) if repeated.len() < most as usize && !self.interrupted() => {
                    let text = format!("{name}: spoilt by the harness ({why}), measured again");
                    let short = format!("{}, again", in_short(cell));
                    self.step_at(&text, &short, Some((cell, block)));
                    self.deleted(name, used);
                    repeated.push(why);
                }
                _ => {
                    self.repeated += repeated.len();
                    output.record.repeated_because = repeated;
                    return Ok((output, used));
                }
            }
        }
    }

    /// Deletes what a cell made; what cannot be deleted is a nuisance, and told.
    pub(super) fn deleted(&mut self, name: &str, used: Option<Box<dyn Driver>>) {
        if let Some(Err(error)) = used.map(|driver| driver.clean_up()) {
            self.warn(format!("{name}: what the cell made could not be deleted: {error}"));
        }
    }
}

/// By which gates, where measuring again may help.
fn spoilt(record: &CellRecord) -> Option<String> {
    let failed: Vec<&Gate> = record.gates.iter().filter(|gate| gate.spoils()).collect();
    let helps = record.error.is_none() && failed.iter().all(|gate| gate.name != NEVER);
    let why = failed.iter().map(|gate| format!("{}: {}", gate.name, gate.found));
    (helps && !failed.is_empty()).then(|| why.collect::<Vec<_>>().join("; "))
}

/// An experiment, or plain load with the driver that it was put on.
fn measure(
    context: &mut ExperimentContext<'_>,
) -> Result<(CellOutput, Option<Box<dyn Driver>>), CellRunError> {
    let cell = context.cell;
    if let Some(experiment) = &cell.experiment {
        return Ok((experiment::run(context, experiment)?, None));
    }
    let driver = driver::open(cell, context.target.clone())?;
    let output = context.load(cell, driver.as_ref(), 0).inspect_err(|_| {
        // What was made before the rest was refused does not stay behind.
        let _ = driver.clean_up();
    })?;
    Ok((output, Some(driver)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Blame;

    #[test]
    fn what_the_machine_spoilt_is_measured_again_and_what_we_got_wrong_is_not() {
        let gate = |name: &str, held, blames| Gate {
            name: name.into(),
            held,
            blames,
            found: "97 %".into(),
            limit: String::new(),
        };
        let of = |gates: Vec<Gate>| spoilt(&CellRecord { gates, ..CellRecord::empty() });
        let late = || gate("generator-cpu", Some(false), Blame::Harness);
        assert_eq!(of(vec![late()]), Some("generator-cpu: 97 %".into()));
        assert_eq!(of(vec![gate("generator-cpu", None, Blame::Harness)]), None);
        assert_eq!(of(vec![gate("rate-reached", Some(false), Blame::Broker)]), None);
        assert_eq!(of(vec![late(), gate("books-balance", Some(false), Blame::Harness)]), None);
        let died =
            CellRecord { gates: vec![late()], error: Some("gone".into()), ..CellRecord::empty() };
        assert_eq!(spoilt(&died), None);
    }
}
