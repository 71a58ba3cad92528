//! One run of one scenario: blocks, the order of systems in them, fresh and warmed brokers, cells, results.
//!
//! Results are written before anything is torn down, cell by cell: a run that is killed leaves what it had.

use super::order::order;
use super::settle::settle;
use super::warm::warm;
use crate::clock::{self, Clock};
use crate::driver::{self, Driver, DriverError, Target};
use crate::engine::{Floor, Observer, Trial, TrialError, floor};
use crate::environment::{Broker, Environment, EnvironmentError};
use crate::experiment::{self, Stage};
use crate::fault::inject::Shared;
use crate::random::SplitMix64;
use crate::result::{CellOutput, CellRecord, Host, Manifest, ResultError, RunFolder, SCHEMA, Status};
use crate::scenario::{Cell, Scenario, Software, SystemConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, TryLockError};

/// Why a run has no result at all.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Result(#[from] ResultError),
    #[error("{label}: {cause}")]
    Trial { label: String, cause: TrialError },
    #[error("interrupted before anything was measured")]
    Interrupted,
}

/// What the user is told while it runs.
pub trait StudyObserver: Observer {
    /// A new step: starting a broker, warming it, a cell. `done` of `all` cells are finished.
    fn step(&mut self, text: &str, done: usize, all: usize);
    fn warning(&mut self, text: &str);
}

/// What is to be run, and with what.
pub struct Study<'a> {
    pub scenario: &'a Scenario,
    pub environment: &'a mut dyn Environment,
    pub results_dir: &'a Path,
    pub command_line: Vec<String>,
    /// `passed`, `failed: …` or `not run`.
    pub selfcheck: String,
    pub interrupted: &'a AtomicBool,
}

/// A finished run: where it lies and what it lacks.
pub struct Finished {
    pub folder: RunFolder,
    pub manifest: Manifest,
}

struct Running<'a, 'b> {
    study: Study<'a>,
    observer: &'b mut dyn StudyObserver,
    folder: RunFolder,
    manifest: Manifest,
    clock: Clock,
    done: usize,
    all: usize,
    floors: BTreeMap<(String, String), Floor>,
    broker_died: bool,
}

/// Runs a scenario. The manifest's status is set, its exit code is left to the caller, who knows the rules.
pub fn run(study: Study<'_>, observer: &mut dyn StudyObserver) -> Result<Finished, StudyError> {
    refuse_faults_of_others(&study)?;
    let folder = RunFolder::create(study.results_dir, &study.scenario.name)?;
    let clock = Clock::start();
    let manifest = first_manifest(&study, &folder);
    folder.write_manifest(&manifest)?;
    for warning in study.scenario.warnings() {
        observer.warning(&warning);
    }
    let all = study.scenario.cells().len() * study.scenario.blocks as usize;
    let mut running =
        Running { study, observer, folder, manifest, clock, done: 0, all, floors: BTreeMap::new(), broker_died: false };
    let result = running.blocks();
    running.finish(result)
}

impl Running<'_, '_> {
    fn blocks(&mut self) -> Result<(), StudyError> {
        let systems = self.study.scenario.systems.clone();
        for block in 1..=self.study.scenario.blocks {
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
        let cells: Vec<Cell> = self.study.scenario.cells().into_iter().filter(|cell| cell.label == label).collect();
        let together = if cells.iter().all(|cell| cell.faults.is_empty()) { cells.len().max(1) } else { 1 };
        for cells in cells.chunks(together) {
            if self.interrupted() || self.broker_died {
                break;
            }
            self.on_one_broker(label, config, cells, block)?;
        }
        Ok(())
    }

    /// These cells on one fresh and warmed broker.
    fn on_one_broker(
        &mut self,
        label: &str,
        config: &SystemConfig,
        cells: &[Cell],
        block: u32,
    ) -> Result<(), StudyError> {
        let able = cells.iter().rfind(|cell| cell.cannot().is_none());
        let Some(able) = able else {
            return cells.iter().try_for_each(|cell| self.unable(cell, block));
        };
        self.step(&format!("{label}: starting the broker"));
        if u32::from(config.nodes) > self.manifest.host.cores {
            let (nodes, cores) = (config.nodes, self.manifest.host.cores);
            self.warn(format!("{label}: more brokers ({nodes}) than cores ({cores}): no speed verdict"));
        }
        let mut broker = self.study.environment.start(config)?;
        let failed = |cause: TrialError| StudyError::Trial { label: label.to_owned(), cause };
        // An experiment takes its own time over a cell; only a compiler takes more than that to get warm.
        let warms = match &able.experiment {
            None => true,
            Some(experiment) => experiment.needs_warm_broker() && config.system.software() == Software::Kafka,
        };
        if warms && able.load.broker_warm_up.nanos() > 0 && !broker.is_warm() {
            self.step(&format!("{label}: warming the broker"));
            let target = self.target(broker.as_ref(), &format!("warm-{label}-{block}"));
            let cold = warm(able, broker.as_mut(), target, self.study.interrupted, self.observer).map_err(failed)?;
            self.manifest.cold_start.entry(label.to_owned()).or_insert(cold);
            broker.note_warm();
        }
        for cell in cells {
            if self.interrupted() || self.broker_died {
                break;
            }
            if cell.cannot().is_some() {
                self.unable(cell, block)?;
                continue;
            }
            self.cell(cell, block, broker.as_mut()).map_err(|error| match error {
                CellError::Trial(cause) => failed(cause),
                CellError::Result(cause) => cause.into(),
            })?;
        }
        self.step(&format!("{label}: stopping the broker"));
        broker.stop()?;
        if !self.interrupted() && !settle(self.study.interrupted) {
            self.warn(format!("{label}, block {block}: the disk was still writing 20 s after the broker had stopped"));
        }
        Ok(())
    }

    /// A cell that its system cannot run: kept with the reason, so that the table shows it.
    fn unable(&mut self, cell: &Cell, block: u32) -> Result<(), StudyError> {
        let record = CellRecord::unable(cell, block, cell.cannot().unwrap_or_default());
        let output = CellOutput {
            record,
            windows: Vec::new(),
            events: Vec::new(),
            intervals: Vec::new(),
            broker_log: String::new(),
        };
        self.keep(&output)?;
        Ok(())
    }

    fn cell(&mut self, cell: &Cell, block: u32, broker: &mut dyn Broker) -> Result<(), CellError> {
        let name = format!("{} {} block {block}", cell.label, cell.point);
        let number = self.done as u64 + 1;
        let mut rng =
            SplitMix64::stream(u64::from(std::process::id()) ^ self.folder.epoch().as_millisecond() as u64, number);
        let run = rng.next_u64();
        let target = self.target(broker, &format!("{}-{block}-{number}", cell.label));
        let (mut output, used) = match &cell.experiment {
            None => self.plain(cell, &name, block, run, target, broker)?,
            Some(experiment) => {
                self.step(&name);
                let mut stage = Stage {
                    cell,
                    block,
                    run,
                    target,
                    broker: &mut *broker,
                    interrupted: self.study.interrupted,
                    observer: self.observer,
                };
                (experiment::run(&mut stage, experiment)?, None)
            }
        };
        output.broker_log = broker.log_tail(200);
        // The driver may notice first, and knows only that the connection is gone.
        if let (Some(error), Err(EnvironmentError::Died { what, cause, .. })) =
            (&mut output.record.error, broker.check())
            && !error.contains(&cause)
        {
            *error = format!("{error}; {what} died: {cause}");
        }
        // Kafka does not tell its own version; who started it knows.
        if let Some(version) = broker.version() {
            output.record.description.broker_version = version;
        }
        for fault in &output.record.faults {
            let why = [("not applied", &fault.not_applied), ("not healed", &fault.not_healed)];
            for (what, why) in why.into_iter().filter_map(|(what, why)| Some((what, why.as_ref()?))) {
                self.warn(format!("{name}: {} {what}: {why}", fault.kind));
            }
        }
        self.keep(&output).map_err(CellError::Result)?;
        self.broker_died = output.record.error.is_some();
        // What went through faults is thrown away whole.
        if let Some(driver) = used.filter(|_| !self.broker_died && cell.faults.is_empty())
            && let Err(error) = driver.clean_up()
        {
            self.warn(format!("{name}: what the cell made could not be deleted: {error}"));
        }
        Ok(())
    }

    /// A cell of plain load: the engine's, with the instrument's floor beside it.
    fn plain(
        &mut self,
        cell: &Cell,
        name: &str,
        block: u32,
        run: u64,
        target: Target,
        broker: &mut dyn Broker,
    ) -> Result<(CellOutput, Option<Box<dyn Driver>>), CellError> {
        let key = (cell.label.clone(), cell.point.clone());
        if cell.load.floor && !self.floors.contains_key(&key) {
            self.step(&format!("{name}: instrument floor"));
            let found = floor(cell, self.clock, self.study.interrupted).unwrap_or_else(|error| {
                self.warn(format!("{name}: no instrument floor: {error}"));
                BTreeMap::new()
            });
            self.floors.insert(key.clone(), found);
        }
        self.step(name);
        let driver = driver::open(cell, target).map_err(TrialError::from)?;
        let broker_pids = broker.pids();
        let shared: Shared<'_> = Mutex::new(broker);
        let trial = Trial {
            cell,
            block,
            run,
            clock: self.clock,
            broker_pids,
            broker_alive: &mut || match shared.try_lock() {
                Ok(mut broker) => broker.check().map_err(|error| error.to_string()),
                // Somebody does something to it on purpose.
                Err(TryLockError::WouldBlock) => Ok(()),
                Err(TryLockError::Poisoned(_)) => Err("whoever injected a fault ended unexpectedly".into()),
            },
            broker: Some(&shared),
            interrupted: self.study.interrupted,
            observer: self.observer,
            disturb: None,
        };
        let mut output = trial.run(driver.as_ref())?;
        if let Some(reflected) = self.floors.get(&key) {
            raise(&mut output.record.floor, reflected);
        }
        Ok((output, Some(driver)))
    }

    fn keep(&mut self, output: &CellOutput) -> Result<(), ResultError> {
        let record = &output.record;
        self.folder.write_cell(output)?;
        self.done += 1;
        self.manifest.order.push(format!("{}/{}/block-{}", record.label, record.cell, record.block));
        if record.cannot().is_none() {
            self.manifest.systems.entry(record.label.clone()).or_insert_with(|| record.description.clone());
        }
        if let Some(error) = &record.error {
            self.warn(format!("{} {} block {}: {error}", record.label, record.cell, record.block));
        }
        self.folder.write_manifest(&self.manifest)
    }

    fn finish(mut self, result: Result<(), StudyError>) -> Result<Finished, StudyError> {
        let interrupted = self.interrupted();
        if self.done == 0 {
            if interrupted {
                return Err(StudyError::Interrupted);
            }
            result?;
        } else if let Err(error) = result {
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
        self.manifest.status = match () {
            () if interrupted => Status::Interrupted,
            () if self.broker_died => Status::Invalid,
            () => Status::Complete,
        };
        self.manifest.finished_at = Some(jiff::Timestamp::now().to_string());
        self.folder.write_manifest(&self.manifest)?;
        Ok(Finished { folder: self.folder, manifest: self.manifest })
    }

    fn target(&self, broker: &dyn Broker, name: &str) -> Target {
        let tail: String = self.folder.name().chars().rev().take(6).collect::<Vec<_>>().into_iter().rev().collect();
        let addresses = match broker.login() {
            Some(login) => broker.addresses().iter().map(|address| login.reveal_url(address)).collect(),
            None => broker.addresses(),
        };
        Target { addresses, paths: broker.paths(), name: format!("bb-{tail}-{name}"), clock: self.clock }
    }

    fn interrupted(&self) -> bool {
        self.study.interrupted.load(Relaxed)
    }

    fn step(&mut self, text: &str) {
        self.observer.step(text, self.done, self.all);
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

enum CellError {
    Trial(TrialError),
    Result(ResultError),
}
impl From<TrialError> for CellError {
    fn from(error: TrialError) -> Self {
        Self::Trial(error)
    }
}

/// The manifest as it stands before anything has run: a run that is killed is an interrupted one.
fn first_manifest(study: &Study<'_>, folder: &RunFolder) -> Manifest {
    let scenario = study.scenario;
    Manifest {
        schema: SCHEMA,
        run: folder.name().to_owned(),
        status: Status::Interrupted,
        exit_code: 130,
        started_at: folder.epoch().to_string(),
        finished_at: None,
        command_line: study.command_line.clone(),
        brokerbench_version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: scenario.info(),
        profile: scenario.profile.clone(),
        environment: study.environment.name().to_owned(),
        network_path: study.environment.network_path().to_owned(),
        seed: scenario.seed,
        order: Vec::new(),
        blocks: scenario.blocks,
        host: host(),
        systems: BTreeMap::new(),
        selfcheck: study.selfcheck.clone(),
        cold_start: BTreeMap::new(),
        warnings: scenario.warnings(),
    }
}

fn host() -> Host {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let value = text.lines().find(|line| line.starts_with(name))?.split_once(':')?.1;
        Some(value.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let uname = rustix::system::uname();
    Host {
        name: uname.nodename().to_string_lossy().into_owned(),
        kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        memory_bytes: memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024,
        clock_source: clock::source(),
        clock_cost_ns: clock::cost_ns(),
    }
}

/// Nothing is broken that we did not start.
fn refuse_faults_of_others(study: &Study<'_>) -> Result<(), EnvironmentError> {
    let cells = study.scenario.cells();
    let mut kinds = cells.iter().flat_map(|cell| &cell.faults).map(|fault| fault.kind);
    match kinds.find(|kind| !kind.is_ours()) {
        Some(kind) if study.environment.name() == "external" => Err(EnvironmentError::Refused(format!(
            "`{}` is not done to brokers that brokerbench did not start: use `--env native`",
            kind.name()
        ))),
        _ => Ok(()),
    }
}

/// Whether an error says that the scenario, not the broker, must change.
pub fn is_refusal(error: &StudyError) -> bool {
    matches!(error, StudyError::Trial { cause: TrialError::Driver(DriverError::Refused { action, .. }), .. } if action.starts_with("client setting"))
}
