//! The nodes of Apache Kafka in KRaft mode, whatever runs them: broker and controller in one, one
//! or three of these.
//!
//! What differs from stock settings is said here: as many copies of the internal topics as there
//! are nodes; and, but for a broker as it comes (`stock`), fewer partitions of them, no wait for
//! the first consumer of a group, no topics by accident.

use super::node::{Plan, Proxies};
use super::{MOST_NODES, port};
use crate::environment::{EnvironmentError, NodeRole, probe};
use crate::scenario::SystemConfig;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
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

/// One node's place: its number and ports.
pub struct KafkaNode {
    pub id: u16,
    pub client: u16,
    controller: u16,
    /// Where the other nodes reach it when clients come through a proxy.
    peers: u16,
    /// Where it sends clients, if not to itself.
    proxy: Option<SocketAddr>,
    voters: String,
}

/// Gives each node its ports, and its proxies where the scenario needs them.
pub fn lay_out(config: &SystemConfig) -> Result<Vec<(Plan, KafkaNode)>, EnvironmentError> {
    let (ports, _held) = port::free::<{ 3 * MOST_NODES }>()?;
    let pinned = port::pinned(PORT)?;
    let places = || (1..=config.nodes).zip(ports.chunks(3));
    let voters: Vec<String> =
        places().map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports[1])).collect();
    let mut nodes = Vec::new();
    for (id, ports) in places() {
        let (client, proxies) =
            Proxies::before(config.proxied, pinned.filter(|_| id == 1), ports[0])?;
        let proxy = proxies.clients.as_ref().map(|proxy| proxy.address());
        let (controller, peers, voters) = (ports[1], ports[2], voters.join(","));
        nodes.push((proxies, KafkaNode { id, client, controller, peers, proxy, voters }));
    }
    let advertised: Vec<String> = nodes.iter().map(|(_, node)| node.advertised()).collect();
    let plan = |(proxies, node): (Proxies, KafkaNode)| {
        let plan = Plan {
            name: format!("node {}", node.id),
            role: NodeRole::Data,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, node.client)),
            alive: probe::kafka_tells_itself(node.advertised()),
            whole: probe::kafka_tells(advertised.clone()),
            proxies,
        };
        (plan, node)
    };
    Ok(nodes.into_iter().map(plan).collect())
}

impl KafkaNode {
    /// The address that it sends clients to.
    fn advertised(&self) -> String {
        self.proxy.map_or_else(|| format!("127.0.0.1:{}", self.client), |proxy| proxy.to_string())
    }

    /// Its settings, with clients let in at the address `bind` and its data in the folder `data`.
    pub fn settings(
        &self,
        data: &str,
        bind: Ipv4Addr,
        config: &SystemConfig,
    ) -> BTreeMap<String, String> {
        let copies = config.nodes.min(3).to_string();
        let in_sync = config.nodes.min(3).saturating_sub(1).max(1).to_string();
        let (client, controller, peers) = (self.client, self.controller, self.peers);
        let inside = format!("CONTROLLER://127.0.0.1:{controller}");
        let ours = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", self.id.to_string()),
            ("listeners", format!("PLAINTEXT://{bind}:{client},{inside}")),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{client}")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
            ),
            ("controller.quorum.voters", self.voters.clone()),
            ("log.dirs", data.to_owned()),
            ("offsets.topic.replication.factor", copies.clone()),
            ("transaction.state.log.replication.factor", copies.clone()),
            ("transaction.state.log.min.isr", in_sync.clone()),
            ("share.coordinator.state.topic.replication.factor", copies),
            ("share.coordinator.state.topic.min.isr", in_sync),
        ];
        let quicker = [
            ("offsets.topic.num.partitions", "3"),
            ("transaction.state.log.num.partitions", "3"),
            ("share.coordinator.state.topic.num.partitions", "3"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("auto.create.topics.enable", "false"),
        ];
        let quicker = quicker.map(|(key, value)| (key, value.to_owned()));
        let quicker = quicker.into_iter().filter(|_| !config.stock);
        let through = self.proxy.iter().flat_map(|proxy| {
            let peers = format!("PLAINTEXT://127.0.0.1:{peers}");
            let protocols = "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT";
            [
                ("listeners", format!("CLIENT://{bind}:{client},{peers},{inside}")),
                ("advertised.listeners", format!("CLIENT://{proxy},{peers}")),
                ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
                ("listener.security.protocol.map", protocols.to_owned()),
            ]
        });
        let ours = ours
            .into_iter()
            .chain(quicker)
            .chain(through)
            .map(|(key, value)| (key.to_owned(), value));
        ours.chain(config.broker.clone()).collect()
    }
}

/// Memory outside the heap, where the JVM reads and writes sockets and files, may grow as large as
/// the heap by itself.
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
        assert_eq!(
            heap(SystemConfig::defaults(System::Kafka).heap.0),
            ["-Xms1073741824", "-Xmx1073741824"]
        );
        assert_eq!(heap(6 << 30), ["-Xms1073741824", "-Xmx6442450944"]);
        assert_eq!(heap(256 << 20), ["-Xms268435456", "-Xmx268435456"]);
    }

    fn node(id: u16, proxy: Option<SocketAddr>) -> KafkaNode {
        KafkaNode {
            id,
            client: 1000,
            controller: 1001,
            peers: 1002,
            proxy,
            voters: "1@127.0.0.1:1001".into(),
        }
    }

    #[test]
    fn the_scenario_has_the_last_word_and_everything_listens_on_loopback() {
        let mut config = SystemConfig::defaults(System::Kafka);
        config.broker.insert("auto.create.topics.enable".into(), "true".into());
        config.broker.insert("some.path".into(), "a\\b".into());
        let text = print(&node(1, None).settings("/d", Ipv4Addr::LOCALHOST, &config));
        assert!(text.contains("auto.create.topics.enable=true\n"), "{text}");
        assert!(text.contains("some.path=a\\\\b\n"), "{text}");
        assert!(
            text.contains("listeners=PLAINTEXT://127.0.0.1:1000,CONTROLLER://127.0.0.1:1001\n"),
            "{text}"
        );
        assert!(text.contains("offsets.topic.replication.factor=1\n"), "{text}");
    }

    #[test]
    fn as_it_comes_only_what_makes_one_node_whole_is_set() {
        let stock = SystemConfig { stock: true, ..SystemConfig::defaults(System::Kafka) };
        let settings = node(1, None).settings("/d", Ipv4Addr::LOCALHOST, &stock);
        for key in ["group.initial.rebalance.delay.ms", "offsets.topic.num.partitions"] {
            assert_eq!(settings.get(key), None);
        }
        assert_eq!(settings["offsets.topic.replication.factor"], "1");
    }

    #[test]
    fn behind_a_proxy_clients_are_sent_through_it_and_nodes_are_not() {
        let node = node(1, Some("127.0.0.1:7".parse().unwrap()));
        let settings =
            node.settings("/d", Ipv4Addr::LOCALHOST, &SystemConfig::defaults(System::Kafka));
        let listeners =
            "CLIENT://127.0.0.1:1000,PLAINTEXT://127.0.0.1:1002,CONTROLLER://127.0.0.1:1001";
        assert_eq!(settings["listeners"], listeners);
        assert_eq!(
            settings["advertised.listeners"],
            "CLIENT://127.0.0.1:7,PLAINTEXT://127.0.0.1:1002"
        );
        assert_eq!(settings["inter.broker.listener.name"], "PLAINTEXT");
        let config = SystemConfig { proxied: true, ..SystemConfig::defaults(System::Kafka) };
        let (plan, laid_out) = lay_out(&config).unwrap().remove(0);
        assert_eq!(
            laid_out.advertised(),
            plan.proxies.clients.as_ref().unwrap().address().to_string()
        );
    }

    #[test]
    fn three_nodes_keep_their_own_books_three_times() {
        let config = SystemConfig { nodes: 3, ..SystemConfig::defaults(System::Kafka) };
        let settings = node(2, None).settings("/d", Ipv4Addr::LOCALHOST, &config);
        for key in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            assert_eq!(settings[&format!("{key}.replication.factor")], "3");
        }
        assert_eq!(settings["transaction.state.log.min.isr"], "2");
        assert_eq!(settings["node.id"], "2");
        let voters = lay_out(&config).unwrap().remove(1).1.voters;
        assert!(voters.starts_with("1@127.0.0.1:") && voters.contains(",3@"), "{voters}");
    }
}
