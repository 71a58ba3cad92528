//! One run of one scenario: rates that are found first, blocks, the order of systems in them, fresh
//! and warmed brokers, cells, results.
//!
//! Results are written before anything is torn down, cell by cell: a run that is killed leaves what
//! it had.

mod best;
mod first;
mod half;
mod part;
mod refuse;
mod step;
mod window;

use super::StudyError;
use super::broker::{order, points, settle, warm};
use crate::clock::Clock;
use crate::driver::Target;
use crate::engine::{Floor, Observer, floor};
use crate::environment::{Broker, Environment, EnvironmentError};
use crate::experiment::ExperimentContext;
use crate::model::Software;
use crate::random::SplitMix64;
use crate::result::{CellOutput, CellRecord, Manifest, ResultError, RunFolder, Status, Storage};
use crate::scenario::{Cell, Scenario, Setting, SystemConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use part::RunPart;
pub use refuse::can_shard;
pub use step::Step;
use step::in_short;

/// What the user is told while it runs.
pub trait StudyObserver: Observer {
    fn step(&mut self, step: &Step<'_>);
    fn warning(&mut self, text: &str);
}

pub struct Study<'a> {
    pub scenario: &'a Scenario,
    pub environment: &'a mut dyn Environment,
    /// Why this one, in words.
    pub environment_because: String,
    pub results_dir: &'a Path,
    pub command_line: Vec<String>,
    /// What the user calls the run by.
    pub tags: BTreeMap<String, String>,
    /// `passed`, `failed: …` or `not run`.
    pub selfcheck: String,
    pub interrupted: &'a AtomicBool,
    /// Where several processes run the scenario together: which of them this is.
    pub part: Option<RunPart>,
}

/// A finished run: where it lies and what it lacks.
pub struct FinishedStudy {
    pub folder: RunFolder,
    pub manifest: Manifest,
}

struct RunningStudy<'a, 'b> {
    study: Study<'a>,
    observer: &'b mut dyn StudyObserver,
    folder: RunFolder,
    manifest: Manifest,
    clock: Clock,
    done: usize,
    all: usize,
    floors: BTreeMap<(String, String), Floor>,
    /// Chosen before the first block, by label and matrix point.
    settings: BTreeMap<(String, String), Setting>,
    /// Settings tried so far.
    tries: u64,
    broker_died: bool,
    /// Measured so far, those included that the harness spoilt.
    windows: u64,
    /// Of them, those that the harness spoilt and that were measured again.
    repeated: usize,
}

/// Runs a scenario. The manifest's status is set, its exit code is left to the caller, who knows
/// the rules.
pub fn run(
    study: Study<'_>,
    observer: &mut dyn StudyObserver,
) -> Result<FinishedStudy, StudyError> {
    refuse::faults_of_others(&study)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    refuse::to_spin_on(cores, study.scenario, study.environment.name() != "external")?;
    refuse::shards(&study)?;
    let folder = match &study.part {
        Some(part) => RunFolder::create_shard(study.results_dir, &part.run_id, part.shard)?,
        None => RunFolder::create(study.results_dir, &study.scenario.name)?,
    };
    let clock = Clock::start();
    let manifest = first::manifest(&study, &folder);
    folder.write_manifest(&manifest)?;
    for warning in study.scenario.warnings() {
        observer.warning(&warning);
    }
    let all = study.scenario.cells().len() * study.scenario.blocks as usize;
    let mut running = RunningStudy {
        study,
        observer,
        folder,
        manifest,
        clock,
        done: 0,
        all,
        floors: BTreeMap::new(),
        settings: BTreeMap::new(),
        tries: 0,
        broker_died: false,
        windows: 0,
        repeated: 0,
    };
    let result = running.blocks();
    running.finish(result)
}

impl RunningStudy<'_, '_> {
    fn blocks(&mut self) -> Result<(), StudyError> {
        let systems = self.study.scenario.systems.clone();
        if let Some(cost) = first::proxy_cost(self.study.scenario) {
            self.warn(cost);
        }
        self.find_rates()?;
        self.choose_settings()?;
        if self.interrupted() {
            return Ok(());
        }
        for block in 1..=self.study.scenario.blocks {
            if self.study.scenario.renews_brokers(block) {
                self.study.environment.renew()?;
            }
            for index in order(systems.len(), block) {
                let (label, config) = &systems[index];
                self.system(label, config, block)?;
                if self.interrupted() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// All cells of one label in one block. A broker that went through faults serves no other cell.
    fn system(&mut self, label: &str, config: &SystemConfig, block: u32) -> Result<(), StudyError> {
        let cells = self.study.scenario.cells().into_iter().filter(|cell| cell.label == label);
        let cells: Vec<Cell> = cells.map(|cell| self.with_setting(self.with_rate(cell))).collect();
        let together =
            if cells.iter().all(|cell| cell.faults.is_empty()) { cells.len().max(1) } else { 1 };
        for cells in cells.chunks(together) {
            if self.interrupted() || self.broker_died {
                break;
            }
            self.on_one_broker(label, config, cells, block)?;
        }
        Ok(())
    }

    fn on_one_broker(
        &mut self,
        label: &str,
        config: &SystemConfig,
        cells: &[Cell],
        block: u32,
    ) -> Result<(), StudyError> {
        let mut broker = match cells.iter().rfind(|cell| self.not_run(cell, block).is_none()) {
            Some(able) => Some(self.ready_broker(label, config, able, &block.to_string())?),
            None => None,
        };
        let mut used = false;
        for index in points(cells.len(), self.study.scenario.seed, block) {
            let cell = &cells[index];
            if self.interrupted() || self.broker_died {
                break;
            }
            if let Some(record) = self.not_run(cell, block) {
                // Kept with the reason, so that the table shows it.
                self.store(&CellOutput::of_record(record))?;
            } else if let Some(broker) = &mut broker {
                if std::mem::replace(&mut used, true) {
                    self.quiet(&format!("{label}, before {} in block {block}", cell.point));
                }
                self.cell(cell, block, broker.as_mut())?;
            }
        }
        match broker {
            Some(broker) => self.dismiss(broker, label, &format!("block {block}")),
            None => Ok(()),
        }
    }

    /// A broker that was started for this label, and warmed if `able` needs it.
    fn ready_broker(
        &mut self,
        label: &str,
        config: &SystemConfig,
        able: &Cell,
        when: &str,
    ) -> Result<Box<dyn Broker>, StudyError> {
        self.step(&format!("{label}: starting the broker"));
        if self.study.scenario.fresh_brokers.is_none() {
            self.study.environment.renew()?;
        }
        if u32::from(config.nodes) > self.manifest.host.cores {
            let (nodes, cores) = (config.nodes, self.manifest.host.cores);
            self.warn(format!(
                "{label}: more brokers ({nodes}) than cores ({cores}): no speed verdict"
            ));
        }
        let mut broker = self.study.environment.start(config)?;
        self.manifest.storage = self.study.environment.storage();
        if let Some(warning) = self.manifest.storage.as_ref().and_then(Storage::warning) {
            self.warn(warning);
        }
        // An experiment takes its own time over a cell;
        // only a compiler takes more than that to get warm.
        let compiled = config.system.software() == Software::Kafka;
        let warms = able.experiment.as_ref().is_none_or(|own| own.needs_warm_broker() && compiled);
        let asked = able.load.broker_warm_up.nanos() > 0 && self.leads();
        if warms && asked && !broker.is_warm() {
            self.step(&format!("{label}: warming the broker"));
            let target = self.target(broker.as_ref(), &format!("warm-{label}-{when}"));
            let cold = warm(able, broker.as_mut(), target, self.study.interrupted, self.observer)
                .map_err(|cause| StudyError::CellRun { label: label.to_owned(), cause })?;
            self.manifest.cold_start.entry(label.to_owned()).or_insert(cold);
            broker.note_warm();
        }
        Ok(broker)
    }

    /// Takes the broker away and waits until the machine is quiet.
    fn dismiss(
        &mut self,
        broker: Box<dyn Broker>,
        label: &str,
        when: &str,
    ) -> Result<(), StudyError> {
        self.step(&format!("{label}: stopping the broker"));
        broker.stop()?;
        self.quiet(&format!("{label}, {when}"));
        Ok(())
    }

    /// Waits until what was written is on the disk: nobody pays for what came before.
    fn quiet(&mut self, what: &str) {
        if !self.interrupted() && !settle(self.study.interrupted) {
            self.warn(format!("{what}: the disk was still writing 20 s after it"));
        }
    }

    /// The record of a cell that is not run: its system cannot, or no rate was found for it.
    fn not_run(&self, cell: &Cell, block: u32) -> Option<CellRecord> {
        let unable = cell.cannot().map(|why| cell.record(block).unable(why));
        unable
            .or_else(|| self.without_rate(cell, block))
            .or_else(|| self.without_setting(cell, block))
    }

    fn cell(&mut self, cell: &Cell, block: u32, broker: &mut dyn Broker) -> Result<(), StudyError> {
        let name = format!("{} {} block {block}", cell.label, cell.point);
        let floor = self.floor(cell, &name);
        self.step_in_short(&name, &in_short(cell));
        let (mut output, used) = self.window(cell, block, &name, broker)?;
        raise(&mut output.record.floor, &floor);
        output.broker_log = broker.log_tail(200);
        if let Some(storage) = &self.manifest.storage {
            output.record.survives = output.record.survives.on(storage);
        }
        output.record.error = output.record.error.take().map(|error| death(error, broker));
        output.record.observations.extend(self.seen_by_search(cell, block));
        output.record.observations.extend(self.seen_by_tries(cell, block));
        output.record.setting = self.setting_found(cell).and_then(|found| found.setting.clone());
        // Kafka does not tell its own version; who started it knows.
        if let Some(version) = broker.version() {
            output.record.description.broker_version = version;
        }
        for fault in &output.record.faults {
            let why = [("not applied", &fault.not_applied), ("not healed", &fault.not_healed)];
            for (what, why) in why.into_iter().filter_map(|(what, why)| Some((what, why.as_ref()?)))
            {
                self.warn(format!("{name}: {} {what}: {why}", fault.kind));
            }
        }
        self.keep(&output)?;
        self.broker_died = output.record.error.is_some();
        // What went through faults is thrown away whole.
        let used = used.filter(|_| !self.broker_died && cell.faults.is_empty());
        self.deleted(&name, used);
        Ok(())
    }

    /// What a cell of this study runs on: in a place, and under a number, of its own.
    fn context<'c>(
        &'c mut self,
        cell: &'c Cell,
        block: u32,
        number: u64,
        place: &str,
        broker: &'c mut dyn Broker,
    ) -> ExperimentContext<'c> {
        let (run, target) = (self.run_number(number), self.target(broker, place));
        let (interrupted, observer) = (self.study.interrupted, &mut *self.observer);
        ExperimentContext { cell, block, run, target, broker, interrupted, observer }
    }

    /// The instrument's own share of plain load, found once for each label and point.
    fn floor(&mut self, cell: &Cell, name: &str) -> Floor {
        if !cell.load.floor || cell.experiment.is_some() {
            return Floor::new();
        }
        let key = (cell.label.clone(), cell.point.clone());
        if let Some(known) = self.floors.get(&key) {
            return known.clone();
        }
        self.step(&format!("{name}: instrument floor"));
        let found = floor(cell, self.clock, self.study.interrupted).unwrap_or_else(|error| {
            self.warn(format!("{name}: no instrument floor: {error}"));
            Floor::new()
        });
        self.floors.entry(key).or_insert(found).clone()
    }

    fn keep(&mut self, output: &CellOutput) -> Result<(), ResultError> {
        let record = &output.record;
        self.manifest
            .systems
            .entry(record.label.clone())
            .or_insert_with(|| record.description.clone());
        if let Some(error) = &record.error {
            self.warn(format!("{} {} block {}: {error}", record.label, record.cell, record.block));
        }
        self.store(output)
    }

    fn store(&mut self, output: &CellOutput) -> Result<(), ResultError> {
        let record = &output.record;
        self.folder.write_cell(output)?;
        self.done += 1;
        self.manifest
            .order
            .push(format!("{}/{}/block-{}", record.label, record.cell, record.block));
        self.folder.write_manifest(&self.manifest)
    }

    fn finish(mut self, result: Result<(), StudyError>) -> Result<FinishedStudy, StudyError> {
        let interrupted = self.interrupted();
        let result =
            if interrupted && self.done == 0 { Err(StudyError::Interrupted) } else { result };
        if let Err(error) = result {
            if self.done == 0 {
                // Nobody has a use for a run without a cell. That it cannot be deleted does not
                // change how this one ended.
                let _ = self.folder.discard();
                return Err(error);
            }
            // Something is measured: keep it, and say what stopped the rest.
            if let StudyError::Result(_) = error {
                return Err(error);
            }
            self.broker_died = true;
            self.warn(format!("the run ended early: {error}"));
        }
        for warning in self.study.environment.warnings() {
            self.warn(warning);
        }
        if self.repeated > 0 {
            let (repeated, most) = (self.repeated, self.study.scenario.repeat_spoilt);
            self.warn(format!(
                "{repeated} windows that the harness spoilt were measured again, blind to their \
                 values, each at most {most} times"
            ));
        }
        self.manifest.network_path = self.study.environment.network_path();
        self.manifest.provided = self.study.environment.facts();
        self.manifest.status = match () {
            () if interrupted => Status::Interrupted,
            () if self.broker_died => Status::Invalid,
            () => Status::Complete,
        };
        self.manifest.finished_at = Some(jiff::Timestamp::now().to_string());
        self.folder.write_manifest(&self.manifest)?;
        Ok(FinishedStudy { folder: self.folder, manifest: self.manifest })
    }

    fn target(&self, broker: &dyn Broker, name: &str) -> Target {
        let of_run = match &self.study.part {
            Some(part) => part.run_id.as_str(),
            None => self.folder.id(),
        };
        broker.target(&format!("bb-{of_run}-{name}"), self.clock)
    }

    /// Names a cell in every envelope of it; no two runs share one.
    fn run_number(&self, number: u64) -> u64 {
        let own = || u64::from(std::process::id()) ^ self.folder.epoch().as_millisecond() as u64;
        let run = self.study.part.as_ref().map_or_else(own, RunPart::number);
        SplitMix64::stream(run, number).next_u64()
    }

    fn interrupted(&self) -> bool {
        self.study.interrupted.load(Relaxed)
    }

    fn step(&mut self, text: &str) {
        self.step_in_short(text, text);
    }

    fn step_in_short(&mut self, text: &str, short: &str) {
        self.observer.step(&Step { text, short, done: self.done, all: self.all });
    }

    fn warn(&mut self, text: String) {
        if self.manifest.warnings.contains(&text) {
            return;
        }
        self.observer.warning(&text);
        self.manifest.warnings.push(text);
    }
}

/// Raises a floor to another one where that is higher, quantile by quantile.
fn raise(floor: &mut Floor, other: &Floor) {
    for (metric, quantiles) in other {
        let mine = floor.entry(metric.clone()).or_default();
        for (quantile, ns) in quantiles {
            let value = mine.entry(quantile.clone()).or_default();
            *value = (*value).max(*ns);
        }
    }
}

/// An error with the broker's death behind it: the driver may notice first, and knows only that the
/// connection is gone.
fn death(error: String, broker: &mut dyn Broker) -> String {
    match broker.check() {
        Err(EnvironmentError::Died { what, cause, .. }) if !error.contains(&cause) => {
            format!("{error}; {what} died: {cause}")
        }
        _ => error,
    }
}
