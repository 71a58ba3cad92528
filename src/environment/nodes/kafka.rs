//! The nodes of Apache Kafka in KRaft mode, whatever runs them: broker and controller in one, one or three of these.
//!
//! What differs from stock settings is said here: as many copies of the internal topics as there are nodes, fewer
//! partitions of them, no wait for the first consumer of a group, no topics by accident.

use super::node::{Plan, Proxies};
use super::{MOST_NODES, port};
use crate::environment::probe::{self, Probe};
use crate::environment::{EnvironmentError, NodeRole};
use crate::scenario::SystemConfig;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Pins the port that clients connect to.
pub const PORT: &str = "BROKERBENCH_KAFKA_PORT";
/// Any will do: no two clusters of ours ever meet.
pub const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";
const START: Duration = Duration::from_secs(60);
/// From process start to three nodes that know each other, on machines with fewer cores than that.
const START_CLUSTER: Duration = Duration::from_secs(120);
/// What the start scripts give it at once; a larger heap grows when it is needed.
const FIRST_HEAP: u64 = 1 << 30;

/// How long the nodes may take to answer.
pub fn limit(config: &SystemConfig) -> Duration {
    if config.nodes == 1 { START } else { START_CLUSTER }
}

/// Gives each node its ports, and its proxies where the scenario needs them.
pub fn lay_out(config: &SystemConfig) -> Result<Cluster, EnvironmentError> {
    let ports = port::free::<{ 3 * MOST_NODES }>()?;
    let pinned = port::pinned(PORT)?;
    let mut nodes = Vec::new();
    for (id, ports) in (1..=config.nodes).zip(ports.chunks(3)) {
        let pinned = pinned.filter(|_| id == 1);
        let (client, proxies) = if config.proxied {
            (ports[0], Proxies::for_clients(pinned, ports[0])?)
        } else {
            (pinned.unwrap_or(ports[0]), Proxies::default())
        };
        nodes.push(KafkaNode { id, client, controller: ports[1], peers: ports[2], proxies });
    }
    let voters: Vec<String> = nodes.iter().map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller)).collect();
    let advertised = nodes.iter().map(KafkaNode::advertised).collect();
    Ok(Cluster { voters: voters.join(","), advertised, nodes })
}

pub struct Cluster {
    pub nodes: Vec<KafkaNode>,
    pub voters: String,
    /// Where clients are sent.
    pub advertised: Vec<String>,
}

/// One node's place: its number and ports.
pub struct KafkaNode {
    pub id: u16,
    pub client: u16,
    controller: u16,
    /// Where the other nodes reach it when clients come through a proxy.
    peers: u16,
    proxies: Proxies,
}

impl KafkaNode {
    /// The address that it sends clients to.
    fn advertised(&self) -> String {
        match &self.proxies.clients {
            Some(proxy) => proxy.address().to_string(),
            None => format!("127.0.0.1:{}", self.client),
        }
    }

    /// How it is reached, where `all` are the addresses that its cluster sends clients to.
    pub fn plan(self, all: &[String]) -> Plan {
        let (itself, all) = (self.advertised(), all.to_owned());
        // One that listens nowhere else needs no look at where it sends its clients.
        let alone = all.len() == 1 && self.proxies.clients.is_none();
        let alive: Probe =
            if alone { Arc::new(probe::kafka) } else { Arc::new(move |at| probe::kafka_tells_itself(at, &itself)) };
        let whole: Probe = if alone { alive.clone() } else { Arc::new(move |at| probe::kafka_tells(at, &all)) };
        Plan {
            name: format!("node {}", self.id),
            role: NodeRole::Data,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.client)),
            alive,
            whole,
            proxies: self.proxies,
        }
    }

    /// Its settings, with clients let in at the address `bind` and its data in the folder `data`.
    pub fn settings(
        &self,
        voters: &str,
        data: &str,
        bind: Ipv4Addr,
        config: &SystemConfig,
    ) -> BTreeMap<String, String> {
        let copies = config.nodes.min(3).to_string();
        let in_sync = config.nodes.min(3).saturating_sub(1).max(1).to_string();
        let (client, controller, peers) = (self.client, self.controller, self.peers);
        let ours = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", self.id.to_string()),
            ("listeners", format!("PLAINTEXT://{bind}:{client},CONTROLLER://127.0.0.1:{controller}")),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{client}")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned()),
            ("controller.quorum.voters", voters.to_owned()),
            ("log.dirs", data.to_owned()),
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
                        "CLIENT://{bind}:{client},PLAINTEXT://127.0.0.1:{peers},CONTROLLER://127.0.0.1:{controller}"
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
pub fn heap(bytes: u64) -> [String; 2] {
    [format!("-Xms{}", bytes.min(FIRST_HEAP)), format!("-Xmx{bytes}")]
}

/// As `java.util.Properties` reads it, where a backslash escapes.
pub fn print(settings: &BTreeMap<String, String>) -> String {
    settings.iter().map(|(key, value)| format!("{key}={}\n", value.replace('\\', "\\\\"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

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
        let node = KafkaNode { id: 1, client: 1000, controller: 1001, peers: 1002, proxies: Proxies::default() };
        let text = print(&node.settings("1@127.0.0.1:1001", "/d", Ipv4Addr::LOCALHOST, &config));
        assert!(text.contains("auto.create.topics.enable=true\n"), "{text}");
        assert!(text.contains("some.path=a\\\\b\n"), "{text}");
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:1000,CONTROLLER://127.0.0.1:1001\n"), "{text}");
        assert!(text.contains("offsets.topic.replication.factor=1\n"), "{text}");
    }

    #[test]
    fn behind_a_proxy_clients_are_sent_through_it_and_nodes_are_not() {
        let proxies = Proxies::for_clients(None, 1000).unwrap();
        let proxy = proxies.clients.as_ref().unwrap().address();
        let node = KafkaNode { id: 1, client: 1000, controller: 1001, peers: 1002, proxies };
        let settings =
            node.settings("1@127.0.0.1:1001", "/d", Ipv4Addr::LOCALHOST, &SystemConfig::defaults(System::Kafka));
        let listeners = "CLIENT://127.0.0.1:1000,PLAINTEXT://127.0.0.1:1002,CONTROLLER://127.0.0.1:1001";
        assert_eq!(settings["listeners"], listeners);
        assert_eq!(settings["advertised.listeners"], format!("CLIENT://{proxy},PLAINTEXT://127.0.0.1:1002"));
        assert_eq!(settings["inter.broker.listener.name"], "PLAINTEXT");
        assert_eq!(node.advertised(), proxy.to_string());
    }

    #[test]
    fn three_nodes_keep_their_own_books_three_times() {
        let config = SystemConfig { nodes: 3, ..SystemConfig::defaults(System::Kafka) };
        let node = KafkaNode { id: 2, client: 1000, controller: 1001, peers: 1002, proxies: Proxies::default() };
        let settings =
            node.settings("1@127.0.0.1:1,2@127.0.0.1:1001,3@127.0.0.1:3", "/d", Ipv4Addr::LOCALHOST, &config);
        for key in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            assert_eq!(settings[&format!("{key}.replication.factor")], "3");
        }
        assert_eq!(settings["transaction.state.log.min.isr"], "2");
        assert_eq!(settings["node.id"], "2");
    }
}
