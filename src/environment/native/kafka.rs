//! Real Apache Kafka in KRaft mode: broker and controller in one process, one or three of these.
//!
//! The JVM runs with the settings of Kafka's own start scripts, since it is measured. What differs from stock is said
//! here: as many copies of the internal topics as there are nodes, fewer partitions of them, no wait for the first
//! consumer of a group, no topics by accident; and half the heap for each of several nodes, which share a machine.

use super::MOST_NODES;
use super::broker::{Job, NativeBroker};
use super::files::{make_folder, tail, write_file};
use super::java::Java;
use super::kafka_jars::Jars;
use super::node::{LOG_LINES, Plan, Proxies};
use super::port;
use crate::environment::probe::{self, Probe};
use crate::environment::{EnvironmentError, Janitor, Launch, Role};
use crate::scenario::{Software, SystemConfig};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pins the port that clients connect to.
pub const PORT: &str = "BROKERBENCH_KAFKA_PORT";

/// Any will do: no two clusters of ours ever meet.
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";
const START: Duration = Duration::from_secs(60);
const FORMAT: Duration = Duration::from_secs(60);

/// From process start to three nodes that know each other, on machines with fewer cores than that.
const START_CLUSTER: Duration = Duration::from_secs(120);

/// From Kafka's `kafka-server-start.sh` and `kafka-run-class.sh`, its log of collector pauses included.
const JVM: &[&str] = &[
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
    "-Xlog:gc*:file=gc.log:time,tags:filecount=10,filesize=100M",
];
/// What the start scripts give it at once; a larger heap grows when it is needed.
const FIRST_HEAP: u64 = 1 << 30;
/// Formatting is over in half a second and is not measured.
const FORMAT_JVM: &[&str] = &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

const LOGGING: &str = "\
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
";

pub fn start(
    janitor: &Arc<Janitor>,
    java: &Java,
    jars: &Jars,
    config: &SystemConfig,
    number: u32,
) -> Result<NativeBroker, EnvironmentError> {
    let nodes = config.nodes;
    let alone = nodes == 1;
    let job = Job {
        janitor,
        preloaded: config.preloaded,
        software: Software::Kafka,
        what: format!("Kafka {}", jars.version),
        home: janitor.folder().join(format!("kafka-{number}")),
        limit: if alone { START } else { START_CLUSTER },
    };
    NativeBroker::start(&job, |home| {
        let ports = port::free::<{ 3 * MOST_NODES }>()?;
        let pinned = port::pinned(PORT)?;
        let mut plans = Vec::new();
        for (id, ports) in (1..=nodes).zip(ports.chunks(3)) {
            let pinned = pinned.filter(|_| id == 1);
            let home = if alone { home.to_owned() } else { home.join(format!("node-{id}")) };
            let (client, proxies) = if config.proxied {
                (ports[0], Proxies::for_clients(pinned, ports[0])?)
            } else {
                (pinned.unwrap_or(ports[0]), Proxies::default())
            };
            plans.push(NodePlan { id, home, client, controller: ports[1], peers: ports[2], proxies });
        }
        let voters: Vec<String> =
            plans.iter().map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller)).collect();
        let all: Vec<String> = plans.iter().map(NodePlan::advertised).collect();
        plans.into_iter().map(|node| node.prepare(janitor, java, jars, &voters.join(","), &all, config)).collect()
    })
}

/// One node's place: its number, folder and ports.
struct NodePlan {
    id: u16,
    home: PathBuf,
    client: u16,
    controller: u16,
    /// Where the other nodes reach it when clients come through a proxy.
    peers: u16,
    proxies: Proxies,
}

impl NodePlan {
    /// The address that it sends clients to.
    fn advertised(&self) -> String {
        match &self.proxies.clients {
            Some(proxy) => proxy.address().to_string(),
            None => format!("127.0.0.1:{}", self.client),
        }
    }

    /// Writes its files and formats its data folder.
    fn prepare(
        self,
        janitor: &Janitor,
        java: &Java,
        jars: &Jars,
        voters: &str,
        all: &[String],
        config: &SystemConfig,
    ) -> Result<Plan, EnvironmentError> {
        let data = self.home.join("data");
        let properties = self.home.join("server.properties");
        make_folder(&data)?;
        write_file(&properties, &print(&self.settings(voters, &data, config)))?;
        write_file(&self.home.join("log4j2.properties"), LOGGING)?;
        let command = |jvm: &[&str], main: &[&str]| {
            let mut argv = vec![java.program.display().to_string()];
            argv.extend(jvm.iter().map(|arg| (*arg).to_owned()));
            // Paths relative to the working directory: options of the JVM have their own meaning for `:` and `,`.
            argv.push("-Dlog4j2.configurationFile=log4j2.properties".into());
            argv.extend(["-cp".into(), jars.class_path()]);
            argv.extend(main.iter().map(|&arg| arg.to_owned()));
            argv
        };
        let heap = heap(config.heap.0);
        let jvm: Vec<&str> = heap.iter().map(String::as_str).chain(JVM.iter().copied()).collect();
        let launch = |argv: Vec<String>, log: &str| Launch {
            argv,
            env: BTreeMap::new(),
            cwd: self.home.clone(),
            log: self.home.join(log),
        };
        let format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", "server.properties"];
        run(janitor, launch(command(FORMAT_JVM, &format), "format.log"), "formatting its data folder", FORMAT)?;
        let (itself, all) = (self.advertised(), all.to_owned());
        // One that listens nowhere else needs no look at where it sends its clients.
        let alone = all.len() == 1 && self.proxies.clients.is_none();
        let alive: Probe =
            if alone { Arc::new(probe::kafka) } else { Arc::new(move |at| probe::kafka_tells_itself(at, &itself)) };
        let whole: Probe = if alone { alive.clone() } else { Arc::new(move |at| probe::kafka_tells(at, &all)) };
        Ok(Plan {
            name: format!("node {}", self.id),
            role: Role::Data,
            launch: launch(command(&jvm, &["kafka.Kafka", "server.properties"]), "broker.log"),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.client)),
            alive,
            whole,
            proxies: self.proxies,
        })
    }

    fn settings(&self, voters: &str, data: &Path, config: &SystemConfig) -> BTreeMap<String, String> {
        let copies = config.nodes.min(3).to_string();
        let in_sync = config.nodes.min(3).saturating_sub(1).max(1).to_string();
        let (client, controller, peers) = (self.client, self.controller, self.peers);
        let ours = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", self.id.to_string()),
            ("listeners", format!("PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}")),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{client}")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned()),
            ("controller.quorum.voters", voters.to_owned()),
            ("log.dirs", data.display().to_string()),
            ("offsets.topic.num.partitions", "3".to_owned()),
            ("offsets.topic.replication.factor", copies.clone()),
            ("transaction.state.log.num.partitions", "3".to_owned()),
            ("transaction.state.log.replication.factor", copies.clone()),
            ("transaction.state.log.min.isr", in_sync.clone()),
            ("share.coordinator.state.topic.num.partitions", "3".to_owned()),
            ("share.coordinator.state.topic.replication.factor", copies),
            ("share.coordinator.state.topic.min.isr", in_sync),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
            ("auto.create.topics.enable", "false".to_owned()),
        ];
        let mut settings: BTreeMap<String, String> =
            ours.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        if self.proxies.clients.is_some() {
            let ours = [
                (
                    "listeners",
                    format!(
                        "CLIENT://127.0.0.1:{client},PLAINTEXT://127.0.0.1:{peers},CONTROLLER://127.0.0.1:{controller}"
                    ),
                ),
                ("advertised.listeners", format!("CLIENT://{},PLAINTEXT://127.0.0.1:{peers}", self.advertised())),
                ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
                (
                    "listener.security.protocol.map",
                    "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
                ),
            ];
            settings.extend(ours.map(|(key, value)| (key.to_owned(), value)));
        }
        settings.extend(config.broker.clone());
        settings
    }
}

/// Memory outside the heap, where the JVM reads and writes sockets and files, may grow as large as the heap by itself.
fn heap(bytes: u64) -> [String; 2] {
    [format!("-Xms{}", bytes.min(FIRST_HEAP)), format!("-Xmx{bytes}")]
}

/// As `java.util.Properties` reads it, where a backslash escapes.
fn print(settings: &BTreeMap<String, String>) -> String {
    settings.iter().map(|(key, value)| format!("{key}={}\n", value.replace('\\', "\\\\"))).collect()
}

/// Runs a step before Kafka's start: a program that is to end by itself, and successfully.
pub fn run(janitor: &Janitor, launch: Launch, step: &str, limit: Duration) -> Result<(), EnvironmentError> {
    let log = launch.log.clone();
    let pid = janitor.spawn(launch)?;
    let ended = janitor.wait(pid, Instant::now() + limit)?;
    let cause = match ended {
        Some(end) if end.success => return Ok(()),
        Some(end) => end.how,
        None => {
            janitor.kill(pid)?;
            format!("not done within {} s", limit.as_secs())
        }
    };
    Err(EnvironmentError::DidNotStart {
        what: "Kafka".into(),
        cause: format!("{step}: {cause}"),
        log_tail: tail(&log, LOG_LINES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::System;

    #[test]
    fn the_heap_is_that_of_the_start_script_unless_the_scenario_says_otherwise() {
        assert_eq!(heap(SystemConfig::defaults(System::Kafka).heap.0), ["-Xms1073741824", "-Xmx1073741824"]);
        assert_eq!(heap(6 << 30), ["-Xms1073741824", "-Xmx6442450944"]);
        assert_eq!(heap(256 << 20), ["-Xms268435456", "-Xmx268435456"]);
    }

    #[test]
    fn the_scenario_has_the_last_word_and_everything_listens_on_loopback() {
        let mut config = SystemConfig::defaults(System::Kafka);
        config.broker.insert("auto.create.topics.enable".into(), "true".into());
        config.broker.insert("some.path".into(), "a\\b".into());
        let node = NodePlan {
            id: 1,
            home: PathBuf::new(),
            client: 1000,
            controller: 1001,
            peers: 1002,
            proxies: Proxies::default(),
        };
        let text = print(&node.settings("1@127.0.0.1:1001", Path::new("/d"), &config));
        assert!(text.contains("auto.create.topics.enable=true\n"), "{text}");
        assert!(text.contains("some.path=a\\\\b\n"), "{text}");
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:1000,CONTROLLER://127.0.0.1:1001\n"), "{text}");
        assert!(text.contains("offsets.topic.replication.factor=1\n"), "{text}");
    }

    #[test]
    fn behind_a_proxy_clients_are_sent_through_it_and_nodes_are_not() {
        let proxies = Proxies::for_clients(None, 1000).unwrap();
        let proxy = proxies.clients.as_ref().unwrap().address();
        let node = NodePlan { id: 1, home: PathBuf::new(), client: 1000, controller: 1001, peers: 1002, proxies };
        let settings = node.settings("1@127.0.0.1:1001", Path::new("/d"), &SystemConfig::defaults(System::Kafka));
        let listeners = "CLIENT://127.0.0.1:1000,PLAINTEXT://127.0.0.1:1002,CONTROLLER://127.0.0.1:1001";
        assert_eq!(settings["listeners"], listeners);
        assert_eq!(settings["advertised.listeners"], format!("CLIENT://{proxy},PLAINTEXT://127.0.0.1:1002"));
        assert_eq!(settings["inter.broker.listener.name"], "PLAINTEXT");
        assert_eq!(node.advertised(), proxy.to_string());
    }

    #[test]
    fn three_nodes_keep_their_own_books_three_times() {
        let config = SystemConfig { nodes: 3, ..SystemConfig::defaults(System::Kafka) };
        let node = NodePlan {
            id: 2,
            home: PathBuf::new(),
            client: 1000,
            controller: 1001,
            peers: 1002,
            proxies: Proxies::default(),
        };
        let settings = node.settings("1@127.0.0.1:1,2@127.0.0.1:1001,3@127.0.0.1:3", Path::new("/d"), &config);
        for key in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            assert_eq!(settings[&format!("{key}.replication.factor")], "3");
        }
        assert_eq!(settings["transaction.state.log.min.isr"], "2");
        assert_eq!(settings["node.id"], "2");
    }
}
