//! The nodes of Apache Kafka in KRaft mode, whatever runs them: broker and controller in one, one
//! or three of these.
//!
//! What differs from stock settings is said here: as many copies of the internal topics as there
//! are nodes; and, but for a broker as it comes (`stock`), fewer partitions of them, no wait for
//! the first consumer of a group, no topics by accident.
//!
//! With fault proxies, one stands before each node for clients, and one on each way from a node to
//! another, there and back apart, for brokers and for controllers: so any node can be cut off from
//! all others, whoever connects, and not from its clients.

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
/// Of one node: for clients, and for brokers and controllers from each of the nodes.
const PORTS: usize = 1 + 2 * MOST_NODES;
/// What the start scripts give it at once; a larger heap grows when it is needed.
const FIRST_HEAP: u64 = 1 << 30;

/// What Kafka's own `kafka-run-class.sh` tells the JVM unless it is told something else. The
/// official image's entry point tells it something else, and would leave the collector to the JVM.
pub const PERFORMANCE: [&str; 6] = [
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// How long the nodes may take to answer.
pub fn limit(config: &SystemConfig) -> Duration {
    if config.nodes == 1 { START } else { START_CLUSTER }
}

/// A place where other nodes come in.
struct PeerListener {
    name: String,
    port: u16,
    /// The port that is told to those who come: its own, or that of their proxy.
    told: u16,
}

impl PeerListener {
    fn straight(name: &str, port: u16) -> Self {
        Self { name: name.to_owned(), port, told: port }
    }
}

/// One node's place: its number and ports.
pub struct KafkaNode {
    pub id: u16,
    pub client: u16,
    /// Where it sends clients, if not to itself.
    proxy: Option<SocketAddr>,
    /// Where the other brokers reach it, the way that it goes itself first; none where they come as
    /// clients do.
    brokers: Vec<PeerListener>,
    /// Likewise its controller; at least one.
    controllers: Vec<PeerListener>,
    /// As this node reaches them.
    voters: String,
}

/// Gives each node its ports, and its proxies where the scenario needs them. Nodes that do not
/// share our network have no proxies between them (`linked` is false).
pub fn lay_out(
    config: &SystemConfig,
    linked: bool,
) -> Result<Vec<(Plan, KafkaNode)>, EnvironmentError> {
    let (ports, _held) = port::free::<{ PORTS * MOST_NODES }>()?;
    let pinned = port::pinned(PORT)?;
    let linked = linked && config.proxied && config.nodes > 1;
    let mut nodes = Vec::new();
    for (id, ports) in (1..=config.nodes).zip(ports.chunks(PORTS)) {
        let (client, mut proxies) =
            Proxies::before(config.proxied, pinned.filter(|_| id == 1), ports[0])?;
        let proxy = proxies.clients.as_ref().map(|proxy| proxy.address());
        let (brokers, controllers) = if linked {
            let (brokers, controllers) = ports[1..].split_at(MOST_NODES);
            let mut from =
                |name: &str, ports: &[u16]| peers(&mut proxies, id, name, config.nodes, ports);
            (from("NODE", brokers)?, from("CONTROLLER", controllers)?)
        } else {
            let behind = proxy.map(|_| PeerListener::straight("PLAINTEXT", ports[2]));
            (behind.into_iter().collect(), vec![PeerListener::straight("CONTROLLER", ports[1])])
        };
        let voters = String::new();
        nodes.push((proxies, KafkaNode { id, client, proxy, brokers, controllers, voters }));
    }
    let voters: Vec<String> = nodes.iter().map(|(_, node)| voters_of(node, &nodes)).collect();
    nodes.iter_mut().zip(voters).for_each(|((_, node), voters)| node.voters = voters);
    let advertised: Vec<String> = nodes.iter().map(|(_, node)| node.advertised()).collect();
    let plan = |(proxies, node): (Proxies, KafkaNode)| {
        let plan = Plan {
            name: format!("node {}", node.id),
            role: NodeRole::Data,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, node.client)),
            source: None,
            alive: probe::kafka_tells_itself(node.advertised()),
            whole: probe::kafka_tells(advertised.clone()),
            proxies,
        };
        (plan, node)
    };
    Ok(nodes.into_iter().map(plan).collect())
}

/// Where node `id` lets the others in: a listener for each of the nodes, which that one alone goes
/// to, through a proxy of its own. So what one node sends to another can be told from what a third
/// does, and a node can be cut off whole: both those who come to it and those it goes to. That is
/// by Kafka's own settings: each node looks for the others under the listener that it is told.
fn peers(
    proxies: &mut Proxies,
    id: u16,
    name: &str,
    nodes: u16,
    ports: &[u16],
) -> Result<Vec<PeerListener>, EnvironmentError> {
    let one = |(from, &port): (u16, &u16)| {
        let straight = PeerListener::straight(&format!("{name}{from}"), port);
        if from == id {
            return Ok(straight);
        }
        let proxy = proxies.add_for_peers(Some(usize::from(from) - 1), port)?;
        Ok(PeerListener { told: proxy.port(), ..straight })
    };
    let mut all = (1..=nodes).zip(ports).map(one).collect::<Result<Vec<_>, EnvironmentError>>()?;
    all[..usize::from(id)].rotate_right(1);
    Ok(all)
}

/// The controllers, each by the way that this node goes.
fn voters_of(node: &KafkaNode, nodes: &[(Proxies, KafkaNode)]) -> String {
    let own = node.controllers.first().map_or("", |own| own.name.as_str());
    let told = |(_, other): &(Proxies, KafkaNode)| {
        let way = other.controllers.iter().find(|way| way.name == own)?;
        Some(format!("{}@127.0.0.1:{}", other.id, way.told))
    };
    nodes.iter().filter_map(told).collect::<Vec<_>>().join(",")
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
        let ours = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", self.id.to_string()),
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
        let ours = ours.into_iter().chain(quicker).chain(self.listeners(bind));
        let ours = ours.map(|(key, value)| (key.to_owned(), value));
        ours.chain(config.broker.clone()).collect()
    }

    /// Where it listens, whom it sends where, and how it finds the others.
    fn listeners(&self, bind: Ipv4Addr) -> Vec<(&'static str, String)> {
        let clients = if self.brokers.is_empty() { "PLAINTEXT" } else { "CLIENT" };
        let peers = || self.brokers.iter().chain(&self.controllers);
        let joined = |parts: &mut dyn Iterator<Item = String>| parts.collect::<Vec<_>>().join(",");
        let at = |way: &PeerListener| format!("{}://127.0.0.1:{}", way.name, way.port);
        let told = |way: &PeerListener| format!("{}://127.0.0.1:{}", way.name, way.told);
        let own = std::iter::once(format!("{clients}://{bind}:{}", self.client));
        let to_own = std::iter::once(format!("{clients}://{}", self.advertised()));
        // A controller that is reached where it listens needs no word of it.
        let behind = |way: &&PeerListener| {
            self.controllers.len() > 1 || self.brokers.iter().any(|other| other.name == way.name)
        };
        let mut names: Vec<&str> = peers().map(|way| way.name.as_str()).chain([clients]).collect();
        names.sort_unstable();
        let names_of = |ways: &[PeerListener]| joined(&mut ways.iter().map(|way| way.name.clone()));
        let mut all = vec![
            ("listeners", joined(&mut own.chain(peers().map(at)))),
            ("advertised.listeners", joined(&mut to_own.chain(peers().filter(behind).map(told)))),
            ("controller.listener.names", names_of(&self.controllers)),
            (
                "listener.security.protocol.map",
                joined(&mut names.iter().map(|name| format!("{name}:PLAINTEXT"))),
            ),
        ];
        if let Some(way) = self.brokers.first() {
            all.push(("inter.broker.listener.name", way.name.clone()));
        }
        all
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
        let behind = proxy.map(|_| PeerListener::straight("PLAINTEXT", 1002));
        KafkaNode {
            id,
            client: 1000,
            proxy,
            brokers: behind.into_iter().collect(),
            controllers: vec![PeerListener::straight("CONTROLLER", 1001)],
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
        let (plan, laid_out) = lay_out(&config, true).unwrap().remove(0);
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
        let voters = lay_out(&config, true).unwrap().remove(1).1.voters;
        assert!(voters.starts_with("1@127.0.0.1:") && voters.contains(",3@"), "{voters}");
    }

    #[test]
    fn each_node_goes_to_each_other_by_a_way_of_its_own() {
        let config =
            SystemConfig { nodes: 3, proxied: true, ..SystemConfig::defaults(System::Kafka) };
        let nodes = lay_out(&config, true).unwrap();
        let settings = |at: usize| nodes[at].1.settings("/d", Ipv4Addr::LOCALHOST, &config);
        let told = |at: usize, name: &str| -> String {
            let all = settings(at)["advertised.listeners"].clone();
            let found = all.split(',').find_map(|way| way.strip_prefix(&format!("{name}://")));
            found.unwrap().to_owned()
        };
        let of = |at: usize, from: Option<usize>| -> Vec<String> {
            let ways = nodes[at].0.proxies.peers.iter().filter(|way| way.from == from);
            ways.map(|way| way.proxy.address().to_string()).collect()
        };
        for (at, (plan, _)) in nodes.iter().enumerate() {
            let (own, settings) = (at + 1, settings(at));
            assert_eq!(settings["inter.broker.listener.name"], format!("NODE{own}"));
            let first = settings["controller.listener.names"].split(',').next().map(str::to_owned);
            assert_eq!(first, Some(format!("CONTROLLER{own}")));
            assert_eq!(plan.proxies.peers.len(), 4, "two from each of the others");
            for other in (0..3).filter(|other| *other != at) {
                let ways = of(other, Some(at));
                assert_eq!(ways[0], told(other, &format!("NODE{own}")));
                assert_eq!(ways[1], told(other, &format!("CONTROLLER{own}")));
                let voter = format!("{}@{}", other + 1, ways[1]);
                assert!(settings["controller.quorum.voters"].contains(&voter), "{settings:#?}");
            }
            let straight = format!("NODE{own}://{}", told(at, &format!("NODE{own}")));
            assert!(settings["listeners"].contains(&straight), "{settings:#?}");
        }
        assert!(lay_out(&config, false).unwrap()[0].0.proxies.peers.is_empty());
    }
}
