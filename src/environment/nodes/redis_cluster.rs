//! A Redis Cluster: servers that know each other by a bus of their own, share 16384 slots and
//! promote replicas by their own vote.
//!
//! With fault proxies, three stand before each node: one for clients, one for replicas, one for the
//! bus; it announces the last two. All the others come that same way; which of them does is told by
//! the address that a node connects from, which is its own. So each node can be cut off from the
//! others, both ways, and not from its clients.

use super::node::{Plan, Proxies};
use super::port;
use super::redis::{Bus, PORT, RedisNode};
use crate::driver::Member;
use crate::environment::{EnvironmentError, NodeRole, probe};
use crate::scenario::{Shards, SystemConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Of a cluster on one machine.
const MOST: usize = 12;

/// Gives each node its ports, and its proxy where the scenario needs one: the primaries of the
/// beginning first, then the replicas of the first, those of the second, …
pub fn lay_out(
    config: &SystemConfig,
    shards: Shards,
    linked: bool,
) -> Result<Vec<(Plan, RedisNode)>, EnvironmentError> {
    let count = usize::from(shards.nodes());
    if !(1..=MOST).contains(&count) {
        return Err(EnvironmentError::refused(
            format!("a Redis Cluster of {count} nodes"),
            format!("write `nodes: {{shards: 3, replicas: 1}}`; {MOST} are the most"),
        ));
    }
    let (ports, _held) = port::free::<{ 2 * MOST }>()?;
    let pinned = port::pinned(PORT)?;
    let (ports, buses) = ports.split_at(MOST);
    let mut laid = Vec::new();
    for ((number, &free), &bus) in (1..=count).zip(ports).zip(buses) {
        let pinned = pinned.filter(|_| number == 1);
        let (port, mut proxies) = Proxies::before(config.proxied, pinned, free)?;
        let bus = match config.proxied && linked {
            true => {
                let data = proxies.add_for_peers(None, port)?.port();
                let announced = (data, proxies.add_for_peers(None, bus)?.port());
                Bus { port: bus, announced, source: Some(source(number)) }
            }
            false => Bus { port: bus, announced: (port, bus), source: None },
        };
        laid.push((number, port, bus, proxies));
    }
    let address = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let member = |&(_, port, bus, _): &(usize, u16, Bus, Proxies)| {
        let (address, announced) = (address(port).to_string(), bus.announced);
        Member { address, announced }
    };
    let members: Vec<Member> = laid.iter().map(member).collect();
    let addresses: Vec<SocketAddr> = laid.iter().map(|(_, port, ..)| address(*port)).collect();
    let node = |(number, port, bus, proxies): (usize, u16, Bus, Proxies)| {
        let role = NodeRole::Data;
        let alive = probe::redis_cluster_node(addresses.clone());
        // The first is asked first, and makes the others know each other.
        let whole = match number {
            1 => probe::redis_cluster(members.clone(), shards),
            _ => alive.clone(),
        };
        let name = format!("node {number}");
        let (address, source) = (address(port), bus.source);
        let plan = Plan { name, role, address, source, alive, whole, proxies };
        let (primary, announced, bus) = (None, None, Some(bus));
        (plan, RedisNode { number, port, role, primary, announced, bus })
    };
    Ok(laid.into_iter().map(node).collect())
}

/// All of 127.0.0.0/8 is this machine.
fn source(number: usize) -> IpAddr {
    IpAddr::from([127, 0, 0, 10 + number as u8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use std::path::Path;

    fn config(proxied: bool) -> SystemConfig {
        let cluster = Some(Shards { shards: 3, replicas: 1 });
        let plain = SystemConfig::defaults(System::RedisStreams);
        SystemConfig { nodes: 6, cluster, proxied, ..plain }
    }

    #[test]
    fn six_servers_of_a_cluster_have_a_bus_each_and_follow_nobody_yet() {
        let mut config = config(false);
        config.broker.insert("cluster-node-timeout".into(), "1000".into());
        let nodes = lay_out(&config, Shards { shards: 3, replicas: 1 }, true).unwrap();
        assert_eq!(nodes.len(), 6);
        let (plan, node) = &nodes[5];
        assert_eq!((plan.name.as_str(), plan.role), ("node 6", NodeRole::Data));
        let text = node.print(Path::new("/d"), Ipv4Addr::LOCALHOST, &config);
        let bus = format!("cluster-port {}", node.bus.unwrap().port);
        let announced = format!("cluster-announce-port {}", node.port);
        for line in [
            "cluster-enabled yes",
            "cluster-announce-ip 127.0.0.1",
            "cluster-config-file nodes.conf",
            "cluster-node-timeout 1000",
            &bus,
            &announced,
            "save \"\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(!text.contains("replicaof") && !text.contains("bind-source-addr"), "{text}");
    }

    #[test]
    fn clients_and_nodes_come_through_proxies_of_their_own_and_each_node_from_its_own_address() {
        let config = config(true);
        let nodes = lay_out(&config, Shards { shards: 3, replicas: 1 }, true).unwrap();
        for (number, (plan, node)) in (1..).zip(&nodes) {
            assert!(plan.proxies.clients.is_some() && plan.proxies.peers.len() == 2);
            assert_eq!(plan.address.port(), node.port, "it listens behind them");
            assert_eq!(plan.source, Some(source(number)));
            let text = node.print(Path::new("/d"), Ipv4Addr::LOCALHOST, &config);
            let port = |index: usize| plan.proxies.peers[index].proxy.address().port();
            for line in [
                format!("cluster-announce-port {}\n", port(0)),
                format!("cluster-announce-bus-port {}\n", port(1)),
                format!("bind-source-addr 127.0.0.{}\n", 10 + number),
            ] {
                assert!(text.contains(&line), "{line}: {text}");
            }
        }
        let published = lay_out(&config, Shards { shards: 1, replicas: 0 }, false).unwrap();
        assert!(published[0].0.proxies.peers.is_empty() && published[0].0.source.is_none());
    }
}
