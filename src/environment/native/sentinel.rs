//! A primary of Redis, two replicas of it, and three Sentinels that promote one of these when the primary is gone.
//!
//! The Sentinels run at stock settings unless the scenario's `sentinel` says otherwise, and so do the data nodes: a full
//! copy begins five seconds after a replica asked for it. A majority of the Sentinels decides.
//!
//! With fault proxies, two stand before each data node: clients come through one, replicas and Sentinels through the
//! other, whose address the node announces. So a primary can be cut off from all others and not from its clients. A
//! replica cannot: the way by which it follows its primary leads to that one's proxy.

use super::files::{make_folder, write_file};
use super::node::{Plan, Proxies};
use super::redis::{Place, Server, launch, quoted};
use super::{MOST_NODES, port};
use crate::driver::Paths;
use crate::environment::{EnvironmentError, Role, probe};
use crate::scenario::SystemConfig;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Two of three, as Redis's documentation has it.
const QUORUM: &str = "2";

/// Lays out the set: data nodes first, the primary before its replicas.
pub fn plan(
    server: &Server,
    home: &Path,
    pinned: Option<u16>,
    config: &SystemConfig,
) -> Result<Vec<Plan>, EnvironmentError> {
    let mut free = port::free::<{ 2 * MOST_NODES }>()?;
    let mut ways = Vec::new();
    if config.proxied {
        let pinned = [pinned].into_iter().chain(std::iter::repeat(None));
        for (port, pinned) in free.iter().zip(pinned).take(MOST_NODES) {
            ways.push(Proxies::for_both(pinned, *port)?);
        }
    } else {
        free[0] = pinned.unwrap_or(free[0]);
        ways.resize_with(MOST_NODES, Proxies::default);
    }
    let (ports, watchers) = free.split_at(MOST_NODES);
    // Where they reach each other, and what Sentinels tell.
    let reached = |(port, ways): (&u16, &Proxies)| ways.peers.as_ref().map_or(*port, |proxy| proxy.address().port());
    let reached: Vec<u16> = ports.iter().zip(&ways).map(reached).collect();
    let (primary, copies) = (reached[0], ports.len() - 1);
    let mut plans = Vec::new();
    for (number, (&port, proxies)) in (1..).zip(ports.iter().zip(ways)) {
        let home = home.join(format!("node-{number}"));
        let place = Place { home, port, proxies, copies: (number > 1).then_some(primary) };
        plans.push(place.plan(server, number, config, Arc::new(move |at| probe::redis_linked(at, copies)))?);
    }
    let told: Vec<String> = reached.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    for (number, port) in (1..).zip(watchers.iter().copied()) {
        let home = home.join(format!("sentinel-{number}"));
        plans.push(Watcher { home, port, primary }.plan(server, number, &told, config)?);
    }
    Ok(plans)
}

/// Where one Sentinel lies and listens, and the port of the first primary.
struct Watcher {
    home: PathBuf,
    port: u16,
    primary: u16,
}

impl Watcher {
    /// Writes its configuration, which it goes on writing itself. `nodes` are the addresses that it may tell.
    fn plan(
        &self,
        server: &Server,
        number: usize,
        nodes: &[String],
        config: &SystemConfig,
    ) -> Result<Plan, EnvironmentError> {
        make_folder(&self.home)?;
        let file = self.home.join("sentinel.conf");
        write_file(&file, &self.print(config))?;
        let nodes = nodes.to_owned();
        Ok(Plan {
            name: format!("sentinel {number}"),
            role: Role::Sentinel,
            launch: launch(server, &self.home, &file, &["--sentinel"]),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            alive: Arc::new(probe::redis),
            whole: Arc::new(move |at| probe::sentinel(at, Paths::PRIMARY, &nodes, MOST_NODES)),
            proxies: Proxies::default(),
        })
    }

    /// In this order: a primary must be known before it is spoken of.
    fn print(&self, config: &SystemConfig) -> String {
        let Self { home, port, primary } = self;
        let (name, dir) = (Paths::PRIMARY, quoted(home));
        let quorum = config.sentinel.get("quorum").map_or(QUORUM, String::as_str);
        let mut text = format!(
            "port {port}\nbind 127.0.0.1\ndaemonize no\nlogfile \"\"\ndir {dir}\n\
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
    use crate::scenario::System;

    #[test]
    fn a_sentinel_is_stock_but_for_what_the_scenario_sets() {
        let mut config = SystemConfig { nodes: 3, ..SystemConfig::defaults(System::RedisStreams) };
        let watcher = Watcher { home: PathBuf::from("/s"), port: 7, primary: 5 };
        let stock = watcher.print(&config);
        assert!(stock.ends_with("sentinel monitor brokerbench 127.0.0.1 5 2\n"), "{stock}");
        assert!(stock.contains("bind 127.0.0.1\n"), "{stock}");
        config.sentinel.insert("quorum".into(), "1".into());
        config.sentinel.insert("down-after-milliseconds".into(), "1000".into());
        let tuned = watcher.print(&config);
        let end = "sentinel monitor brokerbench 127.0.0.1 5 1\nsentinel down-after-milliseconds brokerbench 1000\n";
        assert!(tuned.ends_with(end), "{tuned}");
    }
}
