//! The broker of one label: started and warmed before its cells, taken away after them, and quiet
//! around all of it.

use super::{RunningStudy, StudyError};
use crate::environment::Broker;
use crate::model::Software;
use crate::result::Storage;
use crate::scenario::{Cell, SystemConfig};
use crate::study::broker::{settle, warm};

impl RunningStudy<'_, '_> {
    /// A broker that was started for this label, and warmed if `able` needs it.
    pub(super) fn ready_broker(
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
        if self.ours() && u32::from(config.nodes) > self.manifest.host.cores {
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
        // What is there already is not warmed with messages of ours.
        let own = able.config.existing().is_none();
        let warms = able.experiment.as_ref().is_none_or(|own| own.needs_warm_broker() && compiled);
        let asked = able.load.broker_warm_up.nanos() > 0 && self.leads();
        if own && warms && asked && !broker.is_warm() {
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
    pub(super) fn dismiss(
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
    pub(super) fn quiet(&mut self, what: &str) {
        if !self.interrupted() && !settle(self.study.interrupted) {
            self.warn(format!("{what}: the disk was still writing 20 s after it"));
        }
    }
}
