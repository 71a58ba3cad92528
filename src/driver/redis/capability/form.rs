//! Makes a Redis Cluster of servers that were just started, and sees that it stands.
//!
//! To be asked again and again: each time every node is looked at, what is missing next is done
//! (slots, acquaintance, replicas), and what is still missing is said. Nothing is done to a node
//! that has it already, so a step that failed is simply found missing the next time.

use super::cluster::{asked, redis_linked};
use crate::driver::DriverError;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::slots::{self, SLOTS, SlotMap};
use crate::model::System;
use crate::scenario::Shards;
use std::collections::BTreeMap;

/// A server that is to be one of its nodes. Primaries come first, then the replicas of the first,
/// those of the second, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it listens itself.
    pub address: String,
    /// The ports where the others are told that it listens, for clients and on the bus.
    pub announced: (u16, u16),
}

/// A member as it tells of itself.
struct MemberState {
    connection: Connection,
    id: String,
    info: BTreeMap<String, String>,
    /// Lines of CLUSTER NODES.
    nodes: String,
}

/// Whether all of them are one cluster with its slots and replicas; else what is missing.
pub fn redis_cluster_formed(members: &[Member], shards: Shards) -> Result<(), String> {
    let told = members.iter().map(|member| MemberState::by(&member.address));
    let mut told = told.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let missing = form(&mut told, members, shards).map_err(|error| error.to_string())?;
    missing.map_or_else(|| stands(&mut told, members, shards), Err)
}

/// Whether the server at `address` finds its cluster whole: before, it serves nobody.
pub fn redis_cluster_stands(address: &str) -> Result<(), String> {
    // Whichever of its systems is asked for: it only names them.
    let map = Endpoint::parse(System::RedisStreams, address).and_then(|node| SlotMap::ask(&node));
    map.map(drop).map_err(|error| error.to_string())
}

impl MemberState {
    fn by(address: &str) -> Result<Self, DriverError> {
        let mut connection = asked(address)?;
        let id = connection.text(&["CLUSTER", "MYID"])?;
        let info = connection.text(&["CLUSTER", "INFO"])?;
        let pairs = info.lines().filter_map(|line| line.trim().split_once(':'));
        let info = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let nodes = connection.text(&["CLUSTER", "NODES"])?;
        Ok(Self { connection, id, info, nodes })
    }

    fn is(&self, name: &str, value: impl ToString) -> bool {
        self.info.get(name).is_some_and(|told| *told == value.to_string())
    }

    fn knows(&self, id: &str) -> bool {
        self.nodes.lines().any(|line| line.starts_with(id))
    }

    /// Whether it is a primary by its own word.
    fn leads(&self) -> bool {
        let own = self.nodes.lines().find(|line| line.contains("myself"));
        own.is_some_and(|line| line.contains("master"))
    }

    /// While it knows nobody: an epoch of its own, by which no two of them differ on who serves
    /// what, and the slots of a primary.
    fn begin(&mut self, index: u16, shards: u16) -> Result<(), DriverError> {
        if !self.is("cluster_known_nodes", 1) {
            return Ok(());
        }
        if self.is("cluster_my_epoch", 0) {
            let epoch = (index + 1).to_string();
            self.connection.text(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])?;
        }
        if index < shards && self.is("cluster_slots_assigned", 0) {
            let (first, last) = slots::range(index, shards);
            let (first, last) = (first.to_string(), last.to_string());
            self.connection.text(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
        }
        Ok(())
    }
}

/// Does what is missing next, and says what is.
fn form(
    told: &mut [MemberState],
    members: &[Member],
    shards: Shards,
) -> Result<Option<String>, DriverError> {
    for (index, node) in (0..).zip(told.iter_mut()) {
        node.begin(index, shards.shards)?;
    }
    let ids: Vec<String> = told.iter().map(|node| node.id.clone()).collect();
    if let Some((first, _)) = told.split_first_mut() {
        for (id, member) in ids.iter().zip(members) {
            if !first.knows(id) {
                let host = member.address.rsplit_once(':').map_or("", |(host, _)| host);
                let (port, bus) = member.announced;
                let (port, bus) = (port.to_string(), bus.to_string());
                first.connection.text(&["CLUSTER", "MEET", host, &port, &bus])?;
            }
        }
    }
    let all = |node: &&MemberState| {
        node.is("cluster_known_nodes", ids.len()) && ids.iter().all(|id| node.knows(id))
    };
    let acquainted = told.iter().filter(all).count();
    if acquainted < ids.len() {
        return Ok(Some(format!("{acquainted} of {} nodes know all the others", ids.len())));
    }
    let primaries = usize::from(shards.shards);
    let mut lone = 0;
    for (number, replica) in told.iter_mut().skip(primaries).enumerate() {
        if replica.leads()
            && let Some(primary) = ids.get(number / usize::from(shards.replicas.max(1)))
        {
            replica.connection.text(&["CLUSTER", "REPLICATE", primary])?;
            lone += 1;
        }
    }
    Ok((lone > 0).then(|| format!("{lone} replicas have no primary yet")))
}

/// Whether every node finds the cluster whole, and every replica follows.
fn stands(told: &mut [MemberState], members: &[Member], shards: Shards) -> Result<(), String> {
    for (node, member) in told.iter_mut().zip(members) {
        let well = node.is("cluster_state", "ok")
            && node.is("cluster_slots_ok", SLOTS)
            && node.is("cluster_size", shards.shards);
        if !well {
            return Err(format!("{} does not yet find its cluster whole", member.address));
        }
        // What clients will be told: who is whose replica comes to each node later than that it is.
        let map = SlotMap::told_by(&mut node.connection).map_err(|error| error.to_string())?;
        let primaries = map.primaries().len();
        let nodes = (0..shards.shards).map(|shard| {
            let (first, _) = slots::range(shard, shards.shards);
            map.nodes_of(first).map_or(0, <[_]>::len)
        });
        if primaries != usize::from(shards.shards)
            || nodes.sum::<usize>() != usize::from(shards.nodes())
        {
            return Err(format!("{} does not yet tell of all replicas", member.address));
        }
    }
    let replicas = usize::from(shards.replicas);
    members.iter().try_for_each(|member| {
        redis_linked(&member.address, replicas).map_err(|why| format!("{}: {why}", member.address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::redis::load::resilient::testing::{Act, Asked, Scripted, reply};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    fn bulk(text: &str) -> Act {
        Act::Reply(format!("${}\r\n{text}\r\n", text.len()).into_bytes())
    }

    /// A server alone that is made a cluster of one: what it was told, in order, each once.
    #[test]
    fn each_step_is_done_once_and_what_is_missing_is_said() {
        let (epoch, slots) = (AtomicBool::new(false), AtomicBool::new(false));
        let server = Scripted::start(move |asked: &Asked| match asked.text().as_str() {
            "CLUSTER MYID" => bulk("aaaa"),
            "CLUSTER NODES" => bulk("aaaa 127.0.0.1:1@2 myself,master - 0 0 1 connected\n"),
            "CLUSTER INFO" => {
                let (epoch, slots) = (epoch.load(Relaxed), slots.load(Relaxed));
                bulk(&format!(
                    "cluster_state:{}\r\ncluster_slots_assigned:{}\r\ncluster_slots_ok:{}\r\n\
                     cluster_known_nodes:1\r\ncluster_size:1\r\ncluster_my_epoch:{}\r\n",
                    if slots { "ok" } else { "fail" },
                    if slots { SLOTS } else { 0 },
                    if slots { SLOTS } else { 0 },
                    u8::from(epoch),
                ))
            }
            "CLUSTER SET-CONFIG-EPOCH 1" => {
                epoch.store(true, Relaxed);
                reply("+OK\r\n")
            }
            "CLUSTER ADDSLOTSRANGE 0 16383" => {
                slots.store(true, Relaxed);
                reply("+OK\r\n")
            }
            "CLUSTER SLOTS" => {
                reply("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$1\r\na\r\n:1\r\n$4\r\naaaa\r\n")
            }
            "INFO replication" => bulk("role:master\r\nconnected_slaves:0\r\n"),
            other => Act::Reply(format!("-ERR {other}\r\n").into_bytes()),
        });
        let members = [Member { address: server.address.clone(), announced: (1, 2) }];
        let shards = Shards { shards: 1, replicas: 0 };
        assert!(redis_cluster_stands(&server.address).is_err());
        let missing = redis_cluster_formed(&members, shards).unwrap_err();
        assert!(missing.contains("does not yet find its cluster whole"), "{missing}");
        redis_cluster_formed(&members, shards).unwrap();
        redis_cluster_formed(&members, shards).unwrap();
        redis_cluster_stands(&server.address).unwrap();
        let done = |word: &str| server.log().iter().filter(|(_, text)| text.contains(word)).count();
        assert_eq!((done("ADDSLOTSRANGE"), done("SET-CONFIG-EPOCH"), done("MEET")), (1, 1, 0));
    }
}
