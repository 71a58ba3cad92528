//! Kafka and Redis as containers: the nodes of [`nodes`](crate::environment::nodes), each told its
//! settings by the contract of its official image.

use super::compose::{Service, kafka_variable};
use super::project::{ContainerTerms, Project, shared_file};
use super::{Engine, Image, Network};
use crate::environment::nodes::{LaunchSpec, NodesBroker, kafka, port, redis};
use crate::environment::{EnvironmentError, Janitor, NodeRole};
use crate::model::Software;
use crate::scenario::{ServerKind, SystemConfig};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

pub type DockerBroker = NodesBroker<Project>;

pub const KAFKA_DATA: &str = "/var/lib/kafka/data";
pub const REDIS_DATA: &str = "/data";
/// Where a container of Redis finds its configuration.
const CONFIG: &str = "/brokerbench";
/// Nodes of a Redis Cluster in the compose file.
const CLUSTER: usize = 6;
const REDIS_PROFILES: [&str; 2] = ["redis", "redis-sentinel"];
/// What the compose files ask of the ports of Redis: those of servers, Sentinels and of a Cluster.
const REDIS_PORTS: [&str; 12] = [
    "REDIS_PORT",
    "REDIS_PORT_2",
    "REDIS_PORT_3",
    "SENTINEL_PORT",
    "SENTINEL_PORT_2",
    "SENTINEL_PORT_3",
    "CLUSTER_PORT",
    "CLUSTER_PORT_2",
    "CLUSTER_PORT_3",
    "CLUSTER_PORT_4",
    "CLUSTER_PORT_5",
    "CLUSTER_PORT_6",
];
/// Until Kafka names its version it writes some hundred lines.
const FIRST_LINES: usize = 2000;

/// What every broker of this environment is made with.
pub struct Launcher<'a> {
    pub engine: &'a Arc<Engine>,
    pub janitor: &'a Arc<Janitor>,
    pub image: &'a Image,
    pub config: &'a SystemConfig,
    /// Of the broker in this run.
    pub number: u32,
    /// Whether and why not its disks can be faulted.
    pub preload: Result<(), String>,
}

impl Launcher<'_> {
    pub fn start(&self) -> Result<DockerBroker, EnvironmentError> {
        let mut broker = match self.config.system.software() {
            Software::Kafka => self.kafka()?,
            _ => self.redis()?,
        };
        if let Some(version) = version(&broker.first_log(FIRST_LINES)) {
            broker.rename(version);
        }
        Ok(broker)
    }

    fn spec(&self, software: Software, name: &str, limit: std::time::Duration) -> LaunchSpec {
        LaunchSpec {
            software,
            what: self.image.name.clone(),
            home: self.janitor.folder().join(format!("{name}-{}", self.number)),
            limit,
        }
    }

    /// Where clients are let in: in a network of its own, a published port arrives from elsewhere
    /// than loopback.
    fn bind(&self) -> Ipv4Addr {
        if self.engine.network == Network::Host {
            Ipv4Addr::LOCALHOST
        } else {
            Ipv4Addr::UNSPECIFIED
        }
    }

    fn terms(
        &self,
        profile: [&'static str; 2],
        image: &str,
        ports: &[(&str, u16)],
        data: &'static str,
    ) -> ContainerTerms {
        let mut variables: BTreeMap<String, String> =
            ports.iter().map(|(name, port)| ((*name).to_owned(), port.to_string())).collect();
        variables.insert(image.to_owned(), self.image.name.clone());
        let profile = if self.config.nodes == 1 { profile[0] } else { profile[1] };
        ContainerTerms { profile, variables, preload: self.preload.clone().map(|()| data) }
    }

    /// The name of a node's service in the compose file.
    fn service(&self, name: &str, number: usize) -> String {
        if self.config.nodes == 1 { name.to_owned() } else { format!("{name}-{number}") }
    }

    fn kafka(&self) -> Result<DockerBroker, EnvironmentError> {
        let spec = self.spec(Software::Kafka, "kafka", kafka::limit(self.config));
        DockerBroker::start(&spec, || {
            let nodes = kafka::lay_out(self.config, self.engine.network == Network::Host)?;
            // Those that no node needs are published nevertheless, and must be free too.
            let (mut free, _) = port::free::<3>()?;
            free.iter_mut().zip(&nodes).for_each(|(free, (_, node))| *free = node.client);
            let ports =
                [("KAFKA_PORT", free[0]), ("KAFKA_PORT_2", free[1]), ("KAFKA_PORT_3", free[2])];
            let terms = self.terms(["kafka", "kafka-cluster"], "KAFKA_IMAGE", &ports, KAFKA_DATA);
            let host = Project::fresh(self.engine, self.janitor, &spec.home, terms)?;
            let mut plans = Vec::new();
            for (plan, node) in nodes {
                let settings = node.settings(KAFKA_DATA, self.bind(), self.config);
                let environment = kafka_environment(&settings, self.config)?;
                let name = self.service("kafka", usize::from(node.id));
                plans.push((plan, Service { name, environment, ..Service::default() }));
            }
            Ok((host, plans))
        })
    }

    fn redis(&self) -> Result<DockerBroker, EnvironmentError> {
        let spec = self.spec(Software::Redis, "redis", redis::limit(self.config));
        let clustered = self.config.cluster.is_some();
        if clustered && usize::from(self.config.nodes) > CLUSTER {
            return Err(EnvironmentError::refused(
                format!("a Redis Cluster of {} containers", self.config.nodes),
                format!("docker-compose.yml has {CLUSTER}; use `--env native`"),
            ));
        }
        DockerBroker::start(&spec, || {
            let nodes = redis::lay_out(self.config, self.engine.network == Network::Host)?;
            let (mut free, _) = port::free::<{ REDIS_PORTS.len() }>()?;
            for (_, node) in &nodes {
                let first = match node.role {
                    NodeRole::Data if clustered => 6,
                    NodeRole::Data => 0,
                    NodeRole::Sentinel => 3,
                };
                free[first + node.number - 1] = node.port;
            }
            let ports: Vec<_> = REDIS_PORTS.into_iter().zip(free).collect();
            let profiles = if clustered { ["redis-cluster"; 2] } else { REDIS_PROFILES };
            let mut terms = self.terms(profiles, "REDIS_IMAGE", &ports, REDIS_DATA);
            let valkey = self.config.server == Some(ServerKind::Valkey);
            let (user, program) =
                if valkey { ("valkey", "valkey-server") } else { ("redis", "redis-server") };
            terms.variables.insert("REDIS_USER".into(), user.into());
            let host = Project::fresh(self.engine, self.janitor, &spec.home, terms)?;
            let mut plans = Vec::new();
            for (plan, node) in nodes {
                let name = match node.role {
                    NodeRole::Data if clustered => format!("cluster-{}", node.number),
                    NodeRole::Data => self.service("redis", node.number),
                    NodeRole::Sentinel => self.service("sentinel", node.number),
                };
                let ((file, more), folder) = (node.file(), spec.home.join(&name).join("config"));
                shared_file(
                    &folder,
                    file,
                    &node.print(Path::new(REDIS_DATA), self.bind(), self.config),
                )?;
                let mut command = vec![format!("{CONFIG}/{file}")];
                command.extend(more.iter().map(|&word| word.to_owned()));
                let (entrypoint, environment) = (vec![program.into()], BTreeMap::new());
                let mounts = vec![(folder.display().to_string(), CONFIG.to_owned())];
                plans.push((plan, Service { name, environment, entrypoint, command, mounts }));
            }
            Ok((host, plans))
        })
    }
}

fn kafka_environment(
    settings: &BTreeMap<String, String>,
    config: &SystemConfig,
) -> Result<BTreeMap<String, String>, EnvironmentError> {
    // The image writes each into its server.properties as it stands.
    let variable =
        |(key, value): (&String, &String)| Ok((kafka_variable(key)?, value.replace('\\', "\\\\")));
    let mut environment =
        settings.iter().map(variable).collect::<Result<BTreeMap<_, _>, EnvironmentError>>()?;
    environment.insert("KAFKA_HEAP_OPTS".into(), kafka::heap(config.heap.0).join(" "));
    environment.insert("KAFKA_JVM_PERFORMANCE_OPTS".into(), kafka::PERFORMANCE.join(" "));
    environment.insert("CLUSTER_ID".into(), kafka::CLUSTER_ID.into());
    Ok(environment)
}

/// From the first words of a broker: `Kafka version: 4.4.0 (…)`, `Redis version=8.2.3, bits=64, …`.
fn version(log: &str) -> Option<String> {
    let number = |text: &str| -> Option<String> {
        let number: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        (!number.is_empty()).then_some(number)
    };
    log.lines().find_map(|line| {
        if let Some((_, rest)) = line.split_once("Kafka version: ") {
            return Some(format!("Kafka {}", number(rest)?));
        }
        let (before, rest) = line.split_once(" version=")?;
        let product = before.rsplit([' ', '*']).next().filter(|product| !product.is_empty())?;
        Some(format!("{product} {}", number(rest)?))
    })
}

#[cfg(test)]
mod tests {
    use super::super::compose::FILE;
    use super::*;
    use crate::model::System;

    #[test]
    fn a_broker_names_its_version() {
        let of = |line: &str| version(&format!("first\n{line}\n"));
        let kafka = "[2026-11-23 04:54:30] INFO Kafka version: 4.4.0 \
            (org.apache.kafka.common.utils.AppInfoParser)";
        assert_eq!(of(kafka).as_deref(), Some("Kafka 4.4.0"));
        let redis = "1:C 23 Nov 2026 04:53:51.594 * Redis version=8.2.3, bits=64, commit=00000000, \
            modified=0, pid=1";
        assert_eq!(of(redis).as_deref(), Some("Redis 8.2.3"));
        assert_eq!(
            of("1:C 1 Jan 2026 * Valkey version=9.1.2, bits=64").as_deref(),
            Some("Valkey 9.1.2")
        );
        assert_eq!(of("nothing"), None);
    }

    /// What the file says of a service that we do not, would hold in containers and not in
    /// processes.
    #[test]
    fn the_compose_file_sets_nothing_that_the_environment_does_not_set_too() {
        let file: serde_json::Value = serde_saphyr::from_str(FILE).unwrap();
        for nodes in [1, 3] {
            let config = SystemConfig { nodes, ..SystemConfig::defaults(System::Kafka) };
            for (_, node) in kafka::lay_out(&config, true).unwrap() {
                let settings = node.settings(KAFKA_DATA, Ipv4Addr::LOCALHOST, &config);
                let ours = kafka_environment(&settings, &config).unwrap();
                let name =
                    if nodes == 1 { "kafka".to_owned() } else { format!("kafka-{}", node.id) };
                let theirs = file["services"][&name]["environment"].as_object().unwrap();
                assert!(theirs.len() > 10, "{name}: {theirs:?}");
                for (key, value) in theirs {
                    let ours = ours.get(key).unwrap_or_else(|| panic!("{name}: {key}"));
                    let place =
                        ["LISTENERS", "VOTERS", "HEAP"].iter().any(|word| key.contains(word));
                    assert!(place || value == ours.as_str(), "{name}: {key}: {value} {ours}");
                }
            }
        }
    }

    #[test]
    fn settings_of_the_scenario_reach_the_container() {
        let mut config = SystemConfig::defaults(System::Kafka);
        config.broker.insert("num.io.threads".into(), "3".into());
        config.broker.insert("some.path".into(), "a\\b".into());
        let (_, node) = kafka::lay_out(&config, true).unwrap().remove(0);
        let settings = node.settings(KAFKA_DATA, Ipv4Addr::UNSPECIFIED, &config);
        let environment = kafka_environment(&settings, &config).unwrap();
        assert_eq!(environment["KAFKA_NUM_IO_THREADS"], "3");
        assert_eq!(environment["KAFKA_SOME_PATH"], "a\\\\b");
        assert!(environment["KAFKA_LISTENERS"].starts_with("PLAINTEXT://0.0.0.0:"));
        assert!(environment["KAFKA_ADVERTISED_LISTENERS"].starts_with("PLAINTEXT://127.0.0.1:"));
    }
}
