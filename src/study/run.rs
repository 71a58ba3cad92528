//! One run of one scenario: rates that are found first, blocks, the order of systems in them, fresh
//! and warmed brokers, cells, results.
//!
//! Results are written before anything is torn down, cell by cell: a run that is killed leaves what
//! it had. What goes wrong with one cell or one label is kept with it and told; the others are
//! measured all the same.

mod best;
mod brokers;
mod end;
mod first;
mod gone;
mod half;
mod part;
mod refuse;
mod step;
mod window;

use super::StudyError;
use super::broker::{by_broker, order, points};
use crate::clock::Clock;
use crate::driver::Target;
use crate::engine::{Floor, Observer, floor};
use crate::environment::{Broker, Environment, EnvironmentError, open_files};
use crate::experiment::ExperimentContext;
use crate::random::SplitMix64;
use crate::result::{CellOutput, CellRecord, Manifest, ResultError, RunFolder};
use crate::scenario::{Cell, Scenario, Setting};
use gone::GoneBrokers;
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
    /// A cell is over.
    fn kept(&mut self, _record: &CellRecord) {}
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
    /// Nothing of what they serve is measured.
    gone: GoneBrokers,
    /// What kept a cell from being measured first: all there is to say where none was.
    first_error: Option<StudyError>,
    /// Cells of which something was measured.
    measured: u64,
    /// Windows so far, those included that the harness spoilt.
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
    let ours = study.environment.name() != "external";
    if ours {
        refuse::clusters_of_others(study.scenario)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    refuse::to_spin_on(cores, study.scenario, ours)?;
    refuse::too_many_files(open_files(), study.scenario, ours)?;
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
        gone: GoneBrokers::default(),
        first_error: None,
        measured: 0,
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
                self.system(&systems[index].0, block)?;
                if self.interrupted() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// All cells of one label in one block. A broker that went through faults serves no other cell.
    fn system(&mut self, label: &str, block: u32) -> Result<(), StudyError> {
        let cells = self.study.scenario.cells().into_iter().filter(|cell| cell.label == label);
        let cells: Vec<Cell> = cells.map(|cell| self.with_setting(self.with_rate(cell))).collect();
        let plain = cells.iter().all(|cell| cell.faults.is_empty());
        let groups: Vec<Vec<Cell>> = match plain {
            true => by_broker(cells),
            false => cells.into_iter().map(|cell| vec![cell]).collect(),
        };
        let order = match plain {
            true => points(groups.len(), self.study.scenario.seed, block),
            false => (0..groups.len()).collect(),
        };
        for index in order {
            if self.interrupted() {
                break;
            }
            self.on_one_broker(label, &groups[index], block)?;
        }
        Ok(())
    }

    fn on_one_broker(&mut self, label: &str, cells: &[Cell], block: u32) -> Result<(), StudyError> {
        let able = cells.iter().rfind(|cell| self.not_run(cell, block).is_none());
        let mut broker = match able {
            None => None,
            Some(able) => match self.ready_broker(label, &able.config, able, &block.to_string()) {
                Ok(broker) => Some(broker),
                Err(error) => {
                    self.lose(able, error)?;
                    None
                }
            },
        };
        let mut used = false;
        for index in points(cells.len(), self.study.scenario.seed, block) {
            let cell = &cells[index];
            if self.interrupted() {
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

    /// The record of a cell that is not run: its system cannot, no rate was found for it, or its
    /// broker is gone.
    fn not_run(&self, cell: &Cell, block: u32) -> Option<CellRecord> {
        let unable = cell.cannot().map(|why| cell.record(block).unable(why));
        unable
            .or_else(|| self.without_rate(cell, block))
            .or_else(|| self.without_setting(cell, block))
            .or_else(|| self.without_broker(cell, block))
    }

    fn cell(&mut self, cell: &Cell, block: u32, broker: &mut dyn Broker) -> Result<(), StudyError> {
        let name = format!("{} {} block {block}", cell.label, cell.point);
        let floor = self.floor(cell, &name);
        self.step_at(&name, &in_short(cell), Some((cell, block)));
        let (mut output, used) = match self.window(cell, block, &name, broker) {
            Ok(measured) => measured,
            Err(error) => return self.not_begun(cell, block, error, broker),
        };
        self.measured += 1;
        raise(&mut output.record.floor, &floor);
        output.broker_log = broker.log_tail(200);
        if let Some(storage) = &self.manifest.storage {
            output.record.survives = output.record.survives.on(storage);
        }
        output.record.error = output.record.error.take().map(|error| death(error, broker));
        output.record.observations.extend(self.seen_by_search(cell, block));
        output.record.observations.extend(self.seen_by_tries(cell, block));
        output.record.setting = self.setting_found(cell).and_then(|found| found.setting.clone());
        // Of brokers that run already they know how many they are.
        let told = output.record.description.broker_config.get("brokers");
        let told = told.and_then(|nodes| nodes.parse().ok());
        if let Some(nodes) = told.filter(|_| !self.ours()) {
            output.record.id.nodes = nodes;
        }
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
        self.unless_ended(&output.record)?;
        if let Some(error) = output.record.error.filter(|_| broker.check().is_err()) {
            self.gone.add(cell, error);
        }
        // What went through faults is thrown away whole.
        let here = self.gone.why(cell).is_none();
        self.deleted(&name, used.filter(|_| here && cell.faults.is_empty()));
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
        let journal = None;
        ExperimentContext { cell, block, run, target, broker, interrupted, observer, journal }
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
        let own = self.study.part.as_ref().map(|part| part.own(cell));
        let own = own.as_ref().unwrap_or(cell);
        let found = floor(own, self.clock, self.study.interrupted).unwrap_or_else(|error| {
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
        self.observer.kept(record);
        self.done += 1;
        self.manifest
            .order
            .push(format!("{}/{}/block-{}", record.label, record.cell, record.block));
        self.folder.write_manifest(&self.manifest)
    }

    fn target(&self, broker: &dyn Broker, name: &str) -> Target {
        let own = self.study.part.as_ref().map(RunPart::own_mark);
        let mark = own.as_deref().unwrap_or(self.folder.id());
        broker.target(&format!("bb-{mark}-{name}"), self.clock)
    }

    /// Names a cell in every envelope of it; no two runs share one.
    fn run_number(&self, number: u64) -> u64 {
        let own = || u64::from(std::process::id()) ^ self.folder.epoch().as_millisecond() as u64;
        let run = self.study.part.as_ref().map_or_else(own, RunPart::number);
        SplitMix64::stream(run, number).next_u64()
    }

    /// Whether the brokers are started here.
    fn ours(&self) -> bool {
        self.study.environment.name() != "external"
    }

    fn interrupted(&self) -> bool {
        self.study.interrupted.load(Relaxed)
    }

    fn step(&mut self, text: &str) {
        self.step_at(text, text, None);
    }

    fn step_at(&mut self, text: &str, short: &str, cell: Option<(&Cell, u32)>) {
        let (done, all) = (self.done, self.all);
        self.observer.step(&Step { text, short, cell, done, all });
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
