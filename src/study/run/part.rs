//! A cell that several shards run: this process meets the others on the cell's own broker and loads
//! its part. Whatever happens to any of them, all end, and what was made is taken away: by the
//! first shard, or by the others once it is gone.

use super::{RunningStudy, StudyError};
use crate::clock;
use crate::driver::{self, Driver, DriverError, Target};
use crate::engine::{BOARDS, Barrier, BarrierError, CellRun, CellRunError, Gathering, Host, Terms};
use crate::environment::{Broker, synchronised_by};
use crate::inject::Shared;
use crate::result::shard::Sharded;
use crate::result::{Build, CellOutput, CellRecord, ScenarioInfo, sha256};
use crate::scenario::{Cell, Scenario};
use crate::schedule::Shard;
use crate::units::Rate;
use std::sync::Mutex;
use std::time::Duration;

/// How long the others have to read why all end, before the boards go.
const FAREWELL: Duration = Duration::from_secs(3);

/// Which part of a run this process is.
#[derive(Clone, Debug)]
pub struct RunPart {
    pub shard: Shard,
    /// The same for all shards of a run, and for no other run.
    pub run_id: String,
    /// How long the others may take to come.
    pub wait: Duration,
}

impl RunPart {
    pub fn info(&self) -> Sharded {
        let Self { shard, run_id, .. } = self.clone();
        Sharded { run_id, count: shard.count, shard: Some(shard), parts: Vec::new() }
    }

    /// What everything that the shards load is called after, as long as the marks of other runs.
    pub fn mark(&self) -> String {
        digest(&self.run_id).chars().take(6).collect()
    }

    /// The same of what this process alone makes, such as for warming a broker.
    pub fn own_mark(&self) -> String {
        let Self { run_id, shard, .. } = self;
        let own = format!("{run_id} {shard} {} {}", std::process::id(), clock::monotonic_ns());
        digest(&own).chars().take(6).collect()
    }

    /// Names the run in every envelope.
    pub fn number(&self) -> u64 {
        let digest = digest(&self.run_id);
        digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0)
    }

    /// About as much of a cell as one shard runs, by itself: for what the path costs here.
    pub fn own(&self, cell: &Cell) -> Cell {
        let (mut own, count) = (cell.clone(), self.shard.count.max(1));
        let load = &mut own.load;
        load.rate = load.rate.map(|rate| Rate::from_f64(rate.per_s() / f64::from(count)));
        load.producers = load.producers.div_ceil(count);
        load.consumers = load.consumers.div_ceil(count);
        own
    }

    /// What all shards must have in common.
    fn terms(&self, scenario: &Scenario) -> Terms {
        let info = ScenarioInfo { source: String::new(), ..scenario.info() };
        let what = (info, &scenario.profile);
        Terms {
            program: format!("{}, {}", env!("CARGO_PKG_VERSION"), Build::this()),
            // Names and numbers: it cannot fail.
            scenario: digest(&serde_json::to_string(&what).unwrap_or_default()),
            seed: scenario.seed,
            shards: self.shard.count,
        }
    }
}

/// SHA-256.
fn digest(text: &str) -> String {
    // Memory is always read.
    sha256(&mut text.as_bytes()).unwrap_or_default()
}

impl RunningStudy<'_, '_> {
    /// Whether this process does what is done once for all.
    pub(super) fn leads(&self) -> bool {
        self.study.part.as_ref().is_none_or(|part| part.shard.leads())
    }

    /// This process's part of a cell. That the shards did not come together, or that one of them
    /// ended, is a result: an invalid one.
    pub(super) fn part(
        &mut self,
        cell: &Cell,
        block: u32,
        of: &RunPart,
        broker: &mut dyn Broker,
    ) -> Result<CellOutput, StudyError> {
        // The same for all shards.
        self.windows = self.done as u64 + 1;
        let name = format!("bb-{}-{}-{block}-{}", of.mark(), cell.label, self.windows);
        let target = broker.target_unnoted(&name, self.clock);
        match self.together(cell, block, of, target, broker) {
            Err(CellRunError::Barrier(error)) => Ok(CellOutput::of_record(CellRecord {
                error: Some(error.to_string()),
                ..cell.record(block)
            })),
            Err(cause) => Err(StudyError::CellRun { label: cell.label.clone(), cause }),
            Ok(output) => Ok(output),
        }
    }

    /// Whoever ends, all end: of no cell after that one could the shards make a whole.
    pub(super) fn unless_ended(&self, record: &CellRecord) -> Result<(), StudyError> {
        let goes_on = self.study.part.is_none() || self.interrupted();
        match record.error.as_ref().filter(|_| !goes_on) {
            None => Ok(()),
            Some(why) => {
                let cause = CellRunError::from(BarrierError::Ended(why.clone()));
                Err(StudyError::CellRun { label: record.label.clone(), cause })
            }
        }
    }

    fn together(
        &mut self,
        cell: &Cell,
        block: u32,
        of: &RunPart,
        target: Target,
        broker: &mut dyn Broker,
    ) -> Result<CellOutput, CellRunError> {
        let interrupted = self.study.interrupted;
        let mut barrier = self.gathered(cell, of, &target)?;
        // Not before it is known that this run has its name alone: what is noted is deleted. And by
        // the first shard only: another one's note would take away what that still audits.
        if of.shard.leads() {
            broker.note(&target.name);
        }
        // From here on all have one time.
        let target = Target { clock: barrier.clock(), ..target };
        let driver = match driver::open(cell, target) {
            Ok(driver) => driver,
            Err(error) => {
                barrier.abort(&error.to_string());
                self.clear_up(barrier, None, false);
                return Err(error.into());
            }
        };
        let (run, clock) = (self.run_number(self.windows), barrier.clock());
        let shared: Shared<'_> = Mutex::new(broker);
        let run = CellRun {
            block,
            run,
            broker: Some(&shared),
            interrupted,
            observer: Some(&mut *self.observer),
            barrier: Some(&mut barrier),
            ..CellRun::new(cell, clock)
        };
        let ran = run.run(driver.as_ref());
        if let Err(error) = &ran {
            barrier.abort(&error.to_string());
        }
        let well = ran.as_ref().is_ok_and(|output| output.record.error.is_none());
        self.clear_up(barrier, Some(driver.as_ref()), well);
        ran
    }

    fn gathered(
        &mut self,
        cell: &Cell,
        of: &RunPart,
        target: &Target,
    ) -> Result<Barrier, CellRunError> {
        let driver = driver::open(cell, target.clone())?;
        let [up, down] = BOARDS.map(|name| driver.board(name));
        let host = Host {
            name: self.manifest.host.name.clone(),
            boot: clock::boot(),
            synchronised_by: synchronised_by(),
        };
        let terms = of.terms(self.study.scenario);
        let observer = &mut *self.observer;
        let gathering = Gathering {
            shard: of.shard,
            placement: cell.load.placement,
            terms,
            host,
            wait: of.wait,
            interrupted: self.study.interrupted,
            tell: &mut |text: &str| observer.happened(text),
        };
        Ok(Barrier::gather(gathering, [up?, down?], self.clock)?)
    }

    /// Takes away what was made, where that is this shard's to do.
    fn clear_up(&mut self, barrier: Barrier, driver: Option<&dyn Driver>, well: bool) {
        if !barrier.clears_up() {
            return;
        }
        if !well {
            std::thread::sleep(FAREWELL);
        }
        let gone = |error: DriverError| format!("what the cell made could not be deleted: {error}");
        let left = driver.and_then(|driver| driver.clean_up().err()).map(gone);
        let boards = barrier.dismiss().err().map(|error| format!("a board stays: {error}"));
        left.into_iter().chain(boards).for_each(|text| self.warn(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::scenario::Load;

    fn part(run_id: &str) -> RunPart {
        let shard = Shard { index: 1, count: 4 };
        RunPart { shard, run_id: run_id.into(), wait: Duration::from_secs(1) }
    }

    /// What begins with the mark of a run is swept with it.
    #[test]
    fn a_run_has_a_mark_of_its_own() {
        let [one, two] = ["night1-2", "night1-3"].map(|id| part(id).mark());
        assert_ne!(one, two);
        assert_eq!(one, part("night1-2").mark());
        let plain = |mark: &str| mark.len() == 6 && mark.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(plain(&one) && plain(&two), "{one} {two}");
    }

    #[test]
    fn a_shard_has_its_part_of_the_load() {
        let load = Load { producers: 6, consumers: 2, ..Load::open(Rate::per_second(8000)) };
        let own = part("x").own(&Cell::plain(System::Fake, load)).load;
        assert_eq!((own.rate, own.producers), (Some(Rate::per_second(2000)), 2));
        assert_eq!(own.consumers, 1);
    }
}
