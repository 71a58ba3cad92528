//! Real brokers as containers, driven through compose: a project of its own for each broker, on
//! free ports of 127.0.0.1.
//!
//! Invariant: whatever was begun is taken away, with its volumes and networks: when the broker is
//! stopped, by the janitor when this process ends in whatever way, and by the next run on
//! containers where the janitor was killed too. Nothing listens on any other address than loopback.

mod brokers;
mod compose;
mod container;
mod engine;
mod project;

pub use engine::{
    Choice, Engine, Image, NETWORK, Network, choose, find as find_engine, image_name,
};

use super::janitor::containers;
use super::nodes::{age, run_step};
use super::{
    Broker, Environment, EnvironmentError, FaultableBroker, Janitor, Launch, nodes, probe, program,
    storage,
};
use crate::model::Software;
use crate::result::Storage;
use crate::scenario::SystemConfig;
use brokers::{KAFKA_DATA, Launcher, REDIS_DATA};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Some hundred megabytes from a registry that may be far away.
const PULL: Duration = Duration::from_secs(900);
/// Round trips for the cost of the way to a broker.
const TIMES: usize = 1000;

/// The docker environment. The janitor is started with the first broker.
pub struct Docker {
    exe: PathBuf,
    engine: Arc<Engine>,
    janitor: Option<Arc<Janitor>>,
    warnings: Vec<String>,
    /// Under the volumes of the first broker. What a sync costs there is not tried.
    storage: Option<Storage>,
    images: BTreeMap<String, Image>,
    /// What a round trip took, by the product and what it was asked.
    cost: BTreeMap<&'static str, Duration>,
    /// Brokers started so far: numbers their projects.
    started: u32,
}

impl Docker {
    /// `exe` is a brokerbench binary, normally this process's own: the janitor is another process
    /// of it.
    pub fn new(exe: PathBuf) -> Result<Self, EnvironmentError> {
        Ok(Self {
            exe,
            engine: Arc::new(find_engine()?),
            janitor: None,
            warnings: Vec::new(),
            storage: None,
            images: BTreeMap::new(),
            cost: BTreeMap::new(),
            started: 0,
        })
    }

    /// The janitor; with a new one, what dead runs have left is taken away first, if it can be.
    fn janitor(&mut self) -> Result<Arc<Janitor>, EnvironmentError> {
        if let Some(janitor) = self.janitor.as_ref().filter(|janitor| janitor.is_alive()) {
            return Ok(Arc::clone(janitor));
        }
        let janitor = Arc::new(Janitor::start(&self.exe)?);
        self.janitor = Some(Arc::clone(&janitor));
        if let Err(error) = containers::sweep(&self.engine.docker) {
            self.warn(Some(format!("what earlier runs have left is still there: {error}")));
        }
        Ok(janitor)
    }

    /// The image of a system, pulled if need be.
    fn image(
        &mut self,
        config: &SystemConfig,
        janitor: &Janitor,
    ) -> Result<Image, EnvironmentError> {
        let name = image_name(config.system.software(), config.server)?;
        if let Some(image) = self.images.get(&name) {
            return Ok(image.clone());
        }
        let image = match self.engine.image(&name)? {
            Some(image) => image,
            None => {
                let launch = Launch {
                    argv: vec![
                        self.engine.docker.display().to_string(),
                        "pull".into(),
                        "--quiet".into(),
                        name.clone(),
                    ],
                    env: BTreeMap::new(),
                    cwd: janitor.folder().to_owned(),
                    log: janitor.folder().join("pull.log"),
                };
                let pulled =
                    run_step(janitor, launch, &format!("image {name}"), "pulling it", PULL);
                pulled.map_err(|error| {
                    let remedy = "set KAFKA_IMAGE, REDIS_IMAGE or VALKEY_IMAGE to images that are \
                                  here (`scripts/local-images` builds some without a registry), \
                                  or use `--env native`";
                    EnvironmentError::Refused(format!("{error}\n  {remedy}"))
                })?;
                let gone = || {
                    EnvironmentError::Refused(format!("image {name} was pulled and is not here"))
                };
                self.engine.image(&name)?.ok_or_else(gone)?
            }
        };
        self.images.insert(name, image.clone());
        Ok(image)
    }

    /// Whether disks of containers can be faulted: their files are those of the containers' users.
    fn preload(&self, config: &SystemConfig) -> Result<(), String> {
        if !config.preloaded {
            return Err(String::new());
        }
        if !self.engine.here {
            return Err(
                "the engine is not of this machine's kernel, so its disk is not seen from here"
                    .into(),
            );
        }
        if !rustix::process::geteuid().is_root() {
            return Err(
                "the files of containers belong to other users: this needs root, or `--env native`"
                    .into(),
            );
        }
        Ok(())
    }

    fn measure(&mut self, software: Software, broker: &dyn FaultableBroker) {
        let name = if software == Software::Kafka { "Kafka ApiVersions" } else { "Redis PING" };
        if let Some(node) = broker.nodes().first().filter(|_| !self.cost.contains_key(name))
            && let Ok(median) = probe::round_trip(software, &node.address, TIMES)
        {
            self.cost.insert(name, median);
        }
    }

    fn warn(&mut self, warning: Option<String>) {
        self.warnings.extend(warning.filter(|new| !self.warnings.contains(new)));
    }
}

impl Environment for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn network_path(&self) -> String {
        let way = match self.engine.network {
            Network::Host => "host networking on 127.0.0.1",
            Network::Published => "ports published on 127.0.0.1",
        };
        let cost = |(name, median): (&&str, &Duration)| {
            format!("{name} {:.0} µs", median.as_nanos() as f64 / 1e3)
        };
        let costs: Vec<String> = self.cost.iter().map(cost).collect();
        if costs.is_empty() {
            way.to_owned()
        } else {
            format!("{way}; round trip {}", costs.join(", "))
        }
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        nodes::check(config)?;
        let software = config.system.software();
        image_name(software, config.server)?;
        let janitor = self.janitor()?;
        let image = self.image(config, &janitor)?;
        self.started += 1;
        let engine = Arc::clone(&self.engine);
        let mut launcher = Launcher {
            engine: &engine,
            janitor: &janitor,
            image: &image,
            config,
            number: self.started,
            preload: self.preload(config),
        };
        let broker = match launcher.start() {
            // A C library that cannot take ours ends the program instead of leaving it out.
            Err(EnvironmentError::DidNotStart { log_tail, .. })
                if launcher.preload.is_ok() && log_tail.contains("Error relocating") =>
            {
                launcher.preload = Err(format!("the C library of {} does not take it", image.name));
                launcher.start()?
            }
            started => started?,
        };
        let remedy = "set KAFKA_IMAGE, REDIS_IMAGE or VALKEY_IMAGE to a newer image, or unset it";
        let aged = |version: String| age::warning(&version, config.server, remedy);
        self.warn(broker.version().and_then(aged));
        self.measure(software, &broker);
        if self.storage.is_none() {
            let data = if software == Software::Kafka { KAFKA_DATA } else { REDIS_DATA };
            let mounts = broker.first_mounts();
            self.storage = mounts.and_then(|mounts| storage::mounted(&mounts, Path::new(data)));
            // Through the process, where we may look into it; a container need not have a tool.
            let seen = broker.pids().first().map(|pid| format!("/proc/{pid}/root{data}"));
            let cost = seen.and_then(|seen| storage::sync_cost(Path::new(&seen)).ok());
            if let Some(storage) = &mut self.storage {
                storage.fdatasync = cost;
            }
        }
        Ok(Box::new(broker))
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn storage(&self) -> Option<Storage> {
        self.storage.clone()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts: BTreeMap<String, String> = self
            .images
            .values()
            .map(|image| (format!("image {}", image.name), image.digest.clone()))
            .collect();
        facts.insert("engine".into(), format!("Docker {}", self.engine.version));
        facts.insert("compose".into(), self.engine.compose.name.clone());
        for variable in ["KAFKA_CPUS", "KAFKA_MEMORY", "REDIS_CPUS", "REDIS_MEMORY"] {
            facts.extend(program::variable(variable).map(|value| (variable.to_owned(), value)));
        }
        facts
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Some(janitor) = &self.janitor {
            janitor.shut_down();
        }
    }
}
