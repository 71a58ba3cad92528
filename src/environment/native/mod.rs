//! Real brokers as processes of this machine: on free ports of 127.0.0.1, with their data in the
//! run folder, held by the janitor.
//!
//! Invariant: nothing listens on any other address, nothing is written outside the run folder
//! (what is fetched into the cache is fetched before, by [`supply`]), and dropping [`Native`] (or
//! the end of this process) takes everything away.

mod java;
mod kafka;
mod kafka_jars;
mod processes;
mod redis;
pub mod supply;

pub(super) use java::find as find_java;
pub(super) use redis::look as find_redis;

use super::{Broker, Environment, EnvironmentError, Janitor, nodes, storage};
use crate::model::Software;
use crate::result::Storage;
use crate::result::words::name;
use crate::scenario::{ServerKind, SystemConfig};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// For a program to say its version, on a loaded machine.
const ANSWER: Duration = Duration::from_secs(20);

/// The native environment. The janitor is started with the first broker.
pub struct Native {
    exe: PathBuf,
    janitor: Option<Arc<Janitor>>,
    warnings: Vec<String>,
    /// Under the janitor's folder, where all data lies.
    storage: Option<Storage>,
    /// Where each program comes from.
    origins: BTreeMap<String, String>,
    /// Brokers started so far: numbers their folders.
    started: u32,
}

impl Native {
    /// `exe` is a brokerbench binary, normally this process's own: the janitor is another process
    /// of it.
    pub fn new(exe: PathBuf) -> Self {
        Self {
            exe,
            janitor: None,
            warnings: Vec::new(),
            storage: None,
            origins: BTreeMap::new(),
            started: 0,
        }
    }

    /// The janitor, started if there is none: its folder is the place for anything temporary.
    pub fn janitor(&mut self) -> Result<Arc<Janitor>, EnvironmentError> {
        match &self.janitor {
            Some(janitor) if janitor.is_alive() => Ok(Arc::clone(janitor)),
            _ => {
                let janitor = Arc::new(Janitor::start(&self.exe)?);
                self.storage = storage::probed(janitor.folder());
                self.janitor = Some(Arc::clone(&janitor));
                Ok(janitor)
            }
        }
    }

    fn warn(&mut self, warning: Option<String>) {
        self.warnings.extend(warning.filter(|new| !self.warnings.contains(new)));
    }
}

impl Environment for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn network_path(&self) -> String {
        "loopback".to_owned()
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        nodes::check(config)?;
        self.started += 1;
        let number = self.started;
        let broker = match config.system.software() {
            Software::Kafka => {
                let java = java::find(ANSWER)?;
                let janitor = self.janitor()?;
                let jars = kafka_jars::installed()?;
                let jars = jars.ok_or_else(|| supply::absent(Software::Kafka, None))?;
                self.warn(jars.warning());
                self.origins.insert("java".into(), java.origin());
                self.origins.insert("kafka".into(), jars.origin());
                kafka::start(&janitor, &java, &jars, config, number)?
            }
            _ => {
                let server = redis::look(config.server, ANSWER)?;
                let server =
                    server.ok_or_else(|| supply::absent(Software::Redis, config.server))?;
                self.warn(server.warning());
                let kind = config.server.unwrap_or(ServerKind::Redis);
                self.origins.insert(format!("{}-server", name(&kind)), server.origin());
                redis::start(&self.janitor()?, &server, config, number)?
            }
        };
        Ok(Box::new(broker))
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn storage(&self) -> Option<Storage> {
        self.storage.clone()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        self.origins.clone()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        if let Some(janitor) = &self.janitor {
            janitor.shut_down();
        }
    }
}
