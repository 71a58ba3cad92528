//! Redis servers, whatever runs them: one alone, or a primary, two replicas of it, and three
//! Sentinels that promote one of these when the primary is gone; or a Cluster ([`redis_cluster`]).
//!
//! What differs from stock settings: no snapshots and no append-only file unless the scenario asks
//! for them, or for a server as it comes (`stock`). The Sentinels run at stock settings unless the
//! scenario's `sentinel` says otherwise: a full copy begins five seconds after a replica asked for
//! it. A majority of the Sentinels decides.
//!
//! With fault proxies, two stand before each data node of a set: clients come through one, replicas
//! and Sentinels through the other, whose address the node announces. So a primary can be cut off
//! from all others and not from its clients. A replica cannot: the way by which it follows its
//! primary leads to that one's proxy.

use super::node::{Plan, Proxies};
use super::{MOST_NODES, port, redis_cluster};
use crate::driver::Routes;
use crate::environment::{EnvironmentError, NodeRole, probe};
use crate::scenario::SystemConfig;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// Pins the port that clients connect to.
pub const PORT: &str = "BROKERBENCH_REDIS_PORT";
const START: Duration = Duration::from_secs(30);
/// Until replicas follow, which begins five seconds late, and Sentinels know all of them.
const START_SET: Duration = Duration::from_secs(90);
/// Two of three, as Redis's documentation has it.
const QUORUM: &str = "2";

/// How long the nodes may take to answer.
pub fn limit(config: &SystemConfig) -> Duration {
    if config.nodes == 1 { START } else { START_SET }
}

/// Where one server or Sentinel listens, and whom it follows or watches.
pub struct RedisNode {
    /// Among those of its kind, from 1.
    pub number: usize,
    pub port: u16,
    pub role: NodeRole,
    /// The port at which the first primary is reached; `None` for that one itself.
    pub(super) primary: Option<u16>,
    /// What it tells the others in place of its own address.
    pub(super) announced: Option<SocketAddr>,
    /// Its place in a Redis Cluster.
    pub bus: Option<Bus>,
}

/// How a node of a Cluster and the others reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Where it listens for the others.
    pub port: u16,
    /// Where they are told that it listens, for clients and on the bus.
    pub announced: (u16, u16),
    /// Where its own connections come from, if they are to be told from those of others.
    pub source: Option<IpAddr>,
}

/// Gives each node its port, and its proxies where the scenario needs them: data nodes, the primary
/// first, then Sentinels. Nodes that do not share our network have no proxies between them
/// (`linked` is false).
pub fn lay_out(
    config: &SystemConfig,
    linked: bool,
) -> Result<Vec<(Plan, RedisNode)>, EnvironmentError> {
    if let Some(shards) = config.cluster {
        return redis_cluster::lay_out(config, shards, linked);
    }
    let (ports, _held) = port::free::<{ 2 * MOST_NODES }>()?;
    let pinned = port::pinned(PORT)?;
    let (alone, mut reached, mut nodes) = (config.nodes == 1, Vec::new(), Vec::new());
    for (number, &free) in (1..=usize::from(config.nodes)).zip(&ports) {
        let pinned = pinned.filter(|_| number == 1);
        let (port, mut proxies) = Proxies::before(config.proxied, pinned, free)?;
        let announced = match config.proxied && linked && !alone {
            true => Some(proxies.add_for_peers(None, port)?),
            false => None,
        };
        let primary = reached.first().copied();
        reached.push(announced.map_or(port, |address| address.port()));
        let alive = probe::redis();
        let whole = if alone { alive.clone() } else { probe::redis_linked(MOST_NODES - 1) };
        let role = NodeRole::Data;
        let plan = Plan {
            name: format!("node {number}"),
            role,
            address: local(port),
            source: None,
            alive,
            whole,
            proxies,
        };
        nodes.push((plan, RedisNode { number, port, role, primary, announced, bus: None }));
    }
    if !alone {
        let told: Vec<String> = reached.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        for (number, &port) in (1..).zip(&ports[MOST_NODES..]) {
            let (name, role, proxies) =
                (format!("sentinel {number}"), NodeRole::Sentinel, Proxies::default());
            let whole = probe::sentinel(told.clone(), MOST_NODES);
            let (address, source, alive) = (local(port), None, probe::redis());
            let plan = Plan { name, role, address, source, alive, whole, proxies };
            let primary = reached.first().copied();
            let (announced, bus) = (None, None);
            nodes.push((plan, RedisNode { number, port, role, primary, announced, bus }));
        }
    }
    Ok(nodes)
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl RedisNode {
    /// What its configuration is called, and what the program is told beside that.
    pub fn file(&self) -> (&'static str, &'static [&'static str]) {
        match self.role {
            NodeRole::Data => ("redis.conf", &[]),
            NodeRole::Sentinel => ("sentinel.conf", &["--sentinel"]),
        }
    }

    /// Its configuration, with clients let in at the address `bind` and its data in the folder
    /// `data`.
    pub fn print(&self, data: &Path, bind: Ipv4Addr, config: &SystemConfig) -> String {
        match (self.role, self.primary) {
            (NodeRole::Sentinel, Some(primary)) => self.sentinel(primary, data, bind, config),
            _ => self.server(data, bind, config),
        }
    }

    /// A value may be several words, quoted as the user sees fit.
    fn server(&self, data: &Path, bind: Ipv4Addr, config: &SystemConfig) -> String {
        let ours = [
            ("port", self.port.to_string()),
            ("bind", bind.to_string()),
            ("protected-mode", protected(bind).to_owned()),
            ("daemonize", "no".to_owned()),
            ("dir", quoted(data)),
            // To standard output, where its last words before a configuration is read go too.
            ("logfile", String::new()),
        ];
        let unkept = [("save", String::new()), ("appendonly", "no".to_owned())];
        let unkept = unkept.into_iter().filter(|_| !config.stock);
        let announced = self.announced.iter().flat_map(|address| {
            [
                ("replica-announce-ip", address.ip().to_string()),
                ("replica-announce-port", address.port().to_string()),
            ]
        });
        let clustered = self.bus.iter().flat_map(|bus| {
            [
                ("cluster-enabled", "yes".to_owned()),
                ("cluster-config-file", "nodes.conf".to_owned()),
                ("cluster-port", bus.port.to_string()),
                ("cluster-announce-ip", Ipv4Addr::LOCALHOST.to_string()),
                ("cluster-announce-port", bus.announced.0.to_string()),
                ("cluster-announce-bus-port", bus.announced.1.to_string()),
            ]
        });
        let source = self.bus.and_then(|bus| bus.source);
        let source = source.map(|source| ("bind-source-addr", source.to_string()));
        let copies = self.primary.map(|primary| ("replicaof", format!("127.0.0.1 {primary}")));
        let ours = ours
            .into_iter()
            .chain(unkept)
            .chain(announced)
            .chain(clustered)
            .chain(source)
            .chain(copies)
            .map(|(key, value)| (key.to_owned(), value));
        let mut settings: BTreeMap<String, String> = ours.collect();
        settings.extend(config.broker.clone());
        let value = |value: &str| {
            if value.trim().is_empty() { "\"\"".to_owned() } else { value.to_owned() }
        };
        settings.iter().map(|(key, text)| format!("{key} {}\n", value(text))).collect()
    }

    /// It goes on writing this itself. In this order: a primary must be known before it is spoken
    /// of.
    fn sentinel(&self, primary: u16, home: &Path, bind: Ipv4Addr, config: &SystemConfig) -> String {
        let (port, name, dir, protected) =
            (self.port, Routes::PRIMARY, quoted(home), protected(bind));
        let quorum = config.sentinel.get("quorum").map_or(QUORUM, String::as_str);
        let mut text = format!(
            "port {port}\nbind {bind}\nprotected-mode {protected}\ndaemonize no\n\
             logfile \"\"\ndir {dir}\n\
             sentinel announce-ip 127.0.0.1\nsentinel announce-port {port}\n\
             sentinel monitor {name} 127.0.0.1 {primary} {quorum}\n"
        );
        for (key, value) in config.sentinel.iter().filter(|(key, _)| *key != "quorum") {
            let _ = writeln!(text, "sentinel {key} {name} {value}");
        }
        text
    }
}

/// Without a password, one that is protected talks to loopback alone.
fn protected(bind: Ipv4Addr) -> &'static str {
    if bind.is_loopback() { "yes" } else { "no" }
}

/// A path as `redis.conf` takes it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

    #[test]
    fn the_scenario_has_the_last_word_and_nothing_is_kept_unasked() {
        let mut config = SystemConfig::defaults(System::RedisLists);
        config.broker.insert("appendonly".into(), "yes".into());
        config.broker.insert("client-output-buffer-limit".into(), "pubsub 0 0 0".into());
        let (_, node) = lay_out(&config, true).unwrap().remove(0);
        let text = node.print(Path::new("/a \"b"), Ipv4Addr::LOCALHOST, &config);
        assert!(!text.contains("replicaof"), "{text}");
        for line in [
            "appendonly yes",
            "save \"\"",
            "bind 127.0.0.1",
            "dir \"/a \\\"b\"",
            "client-output-buffer-limit pubsub 0 0 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }

    #[test]
    fn as_it_comes_it_keeps_its_snapshots() {
        let stock = SystemConfig { stock: true, ..SystemConfig::defaults(System::RedisStreams) };
        let (_, node) = lay_out(&stock, true).unwrap().remove(0);
        let text = node.print(Path::new("/d"), Ipv4Addr::LOCALHOST, &stock);
        assert!(!text.contains("save") && !text.contains("appendonly"), "{text}");
    }

    #[test]
    fn a_sentinel_is_stock_but_for_what_the_scenario_sets() {
        let mut config = SystemConfig { nodes: 3, ..SystemConfig::defaults(System::RedisStreams) };
        let (role, primary) = (NodeRole::Sentinel, Some(5));
        let watcher = RedisNode { number: 1, port: 7, role, primary, announced: None, bus: None };
        let stock = watcher.print(Path::new("/s"), Ipv4Addr::LOCALHOST, &config);
        assert!(stock.ends_with("sentinel monitor brokerbench 127.0.0.1 5 2\n"), "{stock}");
        assert!(stock.contains("bind 127.0.0.1\n"), "{stock}");
        config.sentinel.insert("quorum".into(), "1".into());
        config.sentinel.insert("down-after-milliseconds".into(), "1000".into());
        let tuned = watcher.print(Path::new("/s"), Ipv4Addr::LOCALHOST, &config);
        let end = "sentinel monitor brokerbench 127.0.0.1 5 1\nsentinel down-after-milliseconds \
            brokerbench 1000\n";
        assert!(tuned.ends_with(end), "{tuned}");
    }

    #[test]
    fn a_set_reaches_its_primary_through_the_proxy_of_the_others() {
        let config = SystemConfig {
            nodes: 3,
            proxied: true,
            ..SystemConfig::defaults(System::RedisStreams)
        };
        let nodes = lay_out(&config, true).unwrap();
        let peers = nodes[0].0.proxies.peers[0].proxy.address().port();
        let names: Vec<&str> = nodes.iter().map(|(plan, _)| plan.name.as_str()).collect();
        assert_eq!(names, ["node 1", "node 2", "node 3", "sentinel 1", "sentinel 2", "sentinel 3"]);
        let text = |at: usize| nodes[at].1.print(Path::new("/d"), Ipv4Addr::LOCALHOST, &config);
        assert!(
            text(0).contains(&format!("replica-announce-port {peers}\n"))
                && !text(0).contains("replicaof")
        );
        assert!(text(1).contains(&format!("replicaof 127.0.0.1 {peers}\n")));
        assert!(text(3).contains(&format!("127.0.0.1 {peers} 2\n")));
    }
}
