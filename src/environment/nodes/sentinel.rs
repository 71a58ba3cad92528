//! A primary of Redis, two replicas of it, and three Sentinels that promote one of these when the primary is gone.
//!
//! The Sentinels run at stock settings unless the scenario's `sentinel` says otherwise, and so do the data nodes: a full
//! copy begins five seconds after a replica asked for it. A majority of the Sentinels decides.
//!
//! With fault proxies, two stand before each data node: clients come through one, replicas and Sentinels through the
//! other, whose address the node announces. So a primary can be cut off from all others and not from its clients. A
//! replica cannot: the way by which it follows its primary leads to that one's proxy.

use super::node::{Plan, Proxies};
use super::redis::{RedisPlace, protected, quoted};
use super::{MOST_NODES, port};
use crate::driver::Routes;
use crate::environment::probe::{self, Probe};
use crate::environment::{EnvironmentError, NodeRole};
use crate::scenario::SystemConfig;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// Two of three, as Redis's documentation has it.
const QUORUM: &str = "2";

pub struct Set {
    /// The primary before its replicas.
    pub places: Vec<RedisPlace>,
    pub watchers: Vec<Watcher>,
    /// Where the data nodes reach each other, and what Sentinels tell.
    reached: Vec<u16>,
}

/// Lays out the set. Nodes that do not share our network have no proxies between them (`linked` is false).
pub fn lay_out(config: &SystemConfig, pinned: Option<u16>, linked: bool) -> Result<Set, EnvironmentError> {
    let mut free = port::free::<{ 2 * MOST_NODES }>()?;
    let mut ways = Vec::new();
    if config.proxied {
        let pinned = [pinned].into_iter().chain(std::iter::repeat(None));
        for (port, pinned) in free.iter().zip(pinned).take(MOST_NODES) {
            let way = if linked { Proxies::for_both(pinned, *port)? } else { Proxies::for_clients(pinned, *port)? };
            ways.push(way);
        }
    } else {
        free[0] = pinned.unwrap_or(free[0]);
        ways.resize_with(MOST_NODES, Proxies::default);
    }
    let (ports, watchers) = free.split_at(MOST_NODES);
    let reached = |(port, ways): (&u16, &Proxies)| ways.peers.as_ref().map_or(*port, |proxy| proxy.address().port());
    let reached: Vec<u16> = ports.iter().zip(&ways).map(reached).collect();
    let primary = reached[0];
    let place = |(number, (&port, proxies))| RedisPlace { port, proxies, copies: (number > 1).then_some(primary) };
    let places = (1..).zip(ports.iter().zip(ways)).map(place).collect();
    let watchers = watchers.iter().map(|&port| Watcher { port, primary }).collect();
    Ok(Set { places, watchers, reached })
}

impl Set {
    /// Whether a data node stands as it should.
    pub fn whole(&self) -> Probe {
        let copies = self.places.len() - 1;
        Arc::new(move |at| probe::redis_linked(at, copies))
    }

    /// Whether a Sentinel knows all of them.
    pub fn watched(&self) -> Probe {
        let nodes: Vec<String> = self.reached.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        Arc::new(move |at| probe::sentinel(at, Routes::PRIMARY, &nodes, MOST_NODES))
    }
}

/// Where one Sentinel listens, and the port of the first primary.
pub struct Watcher {
    pub port: u16,
    primary: u16,
}

impl Watcher {
    pub fn plan(&self, number: usize, watched: Probe) -> Plan {
        Plan {
            name: format!("sentinel {number}"),
            role: NodeRole::Sentinel,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            alive: Arc::new(probe::redis),
            whole: watched,
            proxies: Proxies::default(),
        }
    }

    /// Its configuration, which it goes on writing itself. In this order: a primary must be known before it is spoken of.
    pub fn print(&self, home: &Path, bind: Ipv4Addr, config: &SystemConfig) -> String {
        let Self { port, primary } = self;
        let (name, dir, protected) = (Routes::PRIMARY, quoted(home), protected(bind));
        let quorum = config.sentinel.get("quorum").map_or(QUORUM, String::as_str);
        let mut text = format!(
            "port {port}\nbind {bind}\nprotected-mode {protected}\ndaemonize no\nlogfile \"\"\ndir {dir}\n\
             sentinel announce-ip 127.0.0.1\nsentinel announce-port {port}\n\
             sentinel monitor {name} 127.0.0.1 {primary} {quorum}\n"
        );
        for (key, value) in config.sentinel.iter().filter(|(key, _)| *key != "quorum") {
            let _ = writeln!(text, "sentinel {key} {name} {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

    #[test]
    fn a_sentinel_is_stock_but_for_what_the_scenario_sets() {
        let mut config = SystemConfig { nodes: 3, ..SystemConfig::defaults(System::RedisStreams) };
        let watcher = Watcher { port: 7, primary: 5 };
        let stock = watcher.print(Path::new("/s"), Ipv4Addr::LOCALHOST, &config);
        assert!(stock.ends_with("sentinel monitor brokerbench 127.0.0.1 5 2\n"), "{stock}");
        assert!(stock.contains("bind 127.0.0.1\n"), "{stock}");
        config.sentinel.insert("quorum".into(), "1".into());
        config.sentinel.insert("down-after-milliseconds".into(), "1000".into());
        let tuned = watcher.print(Path::new("/s"), Ipv4Addr::LOCALHOST, &config);
        let end = "sentinel monitor brokerbench 127.0.0.1 5 1\nsentinel down-after-milliseconds brokerbench 1000\n";
        assert!(tuned.ends_with(end), "{tuned}");
    }
}
