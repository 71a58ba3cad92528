//! What an experiment stands on: its cell, a running broker, and the way to its result.

use crate::clock::Clock;
use crate::driver::{self, Driver, DriverError, Target};
use crate::engine::{CellRun, Observer, TrialError};
use crate::environment::Broker;
use crate::inject::Shared;
use crate::result::{CellOutput, CellRecord, Description, Observation, Survives};
use crate::scenario::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// One cell of an experiment on a running broker.
pub struct ExperimentContext<'a> {
    pub cell: &'a Cell,
    pub block: u32,
    /// Names this cell in every envelope.
    pub run: u64,
    /// The broker's addresses, and a name that no other cell uses; a driver of its own for each `name` made from it.
    pub target: Target,
    pub broker: &'a mut dyn Broker,
    /// Set by the first Ctrl-C: return early with what there is.
    pub interrupted: &'a AtomicBool,
    pub observer: &'a mut dyn Observer,
}

impl ExperimentContext<'_> {
    pub fn clock(&self) -> Clock {
        self.target.clock
    }

    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// A driver for this cell, or for `cell` where it was changed, on a topic, stream or list of its own: `part` is
    /// `[a-z0-9]`, short, and different for every driver of the cell.
    pub fn driver(&self, cell: &Cell, part: &str) -> Result<Box<dyn Driver>, DriverError> {
        let mut target = self.target.clone();
        target.name = format!("{}-{part}", target.name);
        driver::open(cell, target)
    }

    /// Plain load as a part of the experiment: the engine's whole cell, on `driver`.
    pub fn load(&mut self, cell: &Cell, driver: &dyn Driver, part: u64) -> Result<CellOutput, TrialError> {
        let shared: Shared<'_> = Mutex::new(&mut *self.broker);
        CellRun::new(cell, self.target.clock)
            .named(self.block, self.run.wrapping_add(part))
            .on(&shared)
            .until(self.interrupted)
            .watched_by(&mut *self.observer)
            .run(driver)
    }

    /// The cell's raw result. `observations` may be few when the user interrupted.
    pub fn output(&self, observations: Vec<Observation>) -> Result<CellOutput, TrialError> {
        let driver = self.driver(self.cell, "about")?;
        let record = self.record(driver.survives(), driver.describe().unwrap_or_default(), observations);
        Ok(CellOutput::of_record(record))
    }

    fn record(&self, survives: Survives, description: Description, observations: Vec<Observation>) -> CellRecord {
        let cell = self.cell;
        CellRecord {
            survives,
            experiment: cell.experiment.as_ref().map(|experiment| experiment.kind().to_owned()),
            observations,
            description,
            interrupted: self.interrupted(),
            ..cell.record(self.block)
        }
    }
}
