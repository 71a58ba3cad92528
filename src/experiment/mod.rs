//! Procedures that plain load cannot express: one file each, every one a function from an
//! [`ExperimentContext`] to a cell's raw result.
//!
//! An experiment observes and never judges: it returns [`Observation`]s, and says `cannot` with a
//! reason where a system has no such thing by its nature. It speaks to systems through
//! [`crate::driver`] only, and to their processes through [`Broker`].

mod cache;
mod capacity;
mod delivery;
mod findings;
mod poison;
mod receiver;
mod retention;
mod sender;
mod size_ladder;

use crate::clock::Clock;
use crate::driver::{self, Driver, DriverError, Target};
use crate::engine::{CellRun, CellRunError, Observer};
use crate::environment::Broker;
use crate::inject::Shared;
use crate::result::{CellJournal, CellOutput, CellRecord, Observation};
use crate::scenario::{Cell, Experiment};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub struct ExperimentContext<'a> {
    pub cell: &'a Cell,
    pub block: u32,
    /// Names this cell in every envelope.
    pub run: u64,
    /// The broker's addresses, and a name that no other cell uses; a driver of its own for each
    /// `name` made from it.
    pub target: Target,
    pub broker: &'a mut dyn Broker,
    /// Set by the first Ctrl-C: return early with what there is.
    pub interrupted: &'a AtomicBool,
    pub observer: &'a mut dyn Observer,
    /// Of plain load that is a cell by itself: where its seconds go as they come.
    pub journal: Option<CellJournal>,
}

impl ExperimentContext<'_> {
    pub fn clock(&self) -> Clock {
        self.target.clock
    }

    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// A driver for this cell, or for `cell` where it was changed, on a topic, stream or list of
    /// its own: `part` is `[a-z0-9]`, short, and different for every driver of the cell.
    pub fn driver(&self, cell: &Cell, part: &str) -> Result<Box<dyn Driver>, DriverError> {
        let mut target = self.target.clone();
        target.name = format!("{}-{part}", target.name);
        driver::open(cell, target)
    }

    /// The same, with its topic, stream or list made.
    pub fn prepared(&self, cell: &Cell, part: &str) -> Result<Box<dyn Driver>, DriverError> {
        let driver = self.driver(cell, part)?;
        driver.prepare()?;
        Ok(driver)
    }

    /// Plain load as a part of the experiment: the engine's whole cell, on `driver`.
    pub fn load(
        &mut self,
        cell: &Cell,
        driver: &dyn Driver,
        part: u64,
    ) -> Result<CellOutput, CellRunError> {
        let shared: Shared<'_> = Mutex::new(&mut *self.broker);
        let run = CellRun {
            block: self.block,
            run: self.run.wrapping_add(part),
            broker: Some(&shared),
            interrupted: self.interrupted,
            observer: Some(&mut *self.observer),
            journal: self.journal.take(),
            ..CellRun::new(cell, self.target.clock)
        };
        run.run(driver)
    }

    /// The cell's raw result. `observations` may be few when the user interrupted.
    pub fn output(&self, observations: Vec<Observation>) -> Result<CellOutput, CellRunError> {
        let driver = self.driver(self.cell, "about")?;
        Ok(CellOutput::of_record(CellRecord {
            survives: driver.survives(),
            experiment: self
                .cell
                .experiment
                .as_ref()
                .map(|experiment| experiment.kind().to_owned()),
            observations,
            description: driver.describe().unwrap_or_default(),
            interrupted: self.interrupted(),
            ..self.cell.record(self.block)
        }))
    }
}

/// Runs the experiment of `context.cell`.
pub fn run(
    context: &mut ExperimentContext<'_>,
    experiment: &Experiment,
) -> Result<CellOutput, CellRunError> {
    match experiment {
        Experiment::SizeLadder(keys) => size_ladder::run(context, keys),
        Experiment::Delivery(keys) => delivery::run(context, keys),
        Experiment::Retention(keys) => retention::run(context, keys),
        Experiment::Poison(keys) => poison::run(context, keys),
        Experiment::Capacity(keys) => capacity::run(context, keys),
        Experiment::Cache(keys) => cache::run(context, keys),
    }
}
