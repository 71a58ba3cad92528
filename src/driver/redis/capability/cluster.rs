//! Redis seen from outside: one server, a primary with replicas that Sentinels watch, or a Cluster.
//!
//! Every question goes over a connection of its own, past the clients' fault proxy. A server that
//! does not answer is an error, never a guess:
//! it neither leads nor copies as far as anybody can tell.

use super::reshard;
use crate::driver::capability::ClusterView;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::primary::Primary;
use crate::driver::redis::slots;
use crate::driver::{DriverError, Routes};
use crate::model::System;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a server may take for each step of an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// For a setting that is changed, or put back whatever comes: a server that waits for its disk
/// answers late.
const CHANGED: Duration = Duration::from_secs(10);
/// A replica tells its primary once a second how far it is; one that has not for so many seconds is
/// not in sync.
const LATEST: u64 = 2;
/// Of the Sentinels, what decides when they act: shown in results.
const DECISIVE: [&str; 4] =
    ["down-after-milliseconds", "failover-timeout", "parallel-syncs", "quorum"];

/// What a Sentinel says of a primary, by name.
type Said = BTreeMap<String, String>;

pub struct RedisCluster {
    pub first: Primary,
    /// Of the streams.
    pub keys: Vec<String>,
    /// Servers that take messages: primaries and their replicas.
    pub wanted: u32,
}

impl RedisCluster {
    /// What the Sentinel that was told last says of the primary: one that missed a failover knows
    /// an older epoch. Nothing where there is none.
    fn sentinels_say(&self) -> Result<Said, DriverError> {
        let question = ["SENTINEL", "MASTER", self.first.routes.primary()];
        let said = self.first.sentinels.iter().map(|asked| control(asked)?.map(&question));
        let epoch = |fields: &Said| {
            fields.get("config-epoch").and_then(|epoch| epoch.parse::<u64>().ok()).unwrap_or(0)
        };
        let newest = said.max_by_key(|said: &Result<Said, _>| said.as_ref().ok().map(epoch));
        newest.unwrap_or_else(|| Ok(Said::new()))
    }

    /// Settings of the Sentinels, read back.
    pub fn settings(&self) -> Result<Said, DriverError> {
        let mut all = self.sentinels_say()?;
        all.retain(|name, _| DECISIVE.contains(&name.as_str()));
        Ok(all.into_iter().map(|(name, value)| (format!("sentinel.{name}"), value)).collect())
    }

    /// Where clients find the primary, of a Redis Cluster that of one stream.
    fn primary(&self, stream: u16) -> Result<String, DriverError> {
        if self.first.is_of_cluster() {
            let asked = self.first.past_proxies()?;
            return Ok(asked.of(self.key(stream)).find()?.address());
        }
        if self.first.sentinels.is_empty() {
            return Ok(self.first.endpoint.address());
        }
        let fields = self.sentinels_say()?;
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        Ok(self.first.routes.client(&format!("{}:{}", field("ip"), field("port"))))
    }

    fn key(&self, stream: u16) -> &str {
        self.keys.get(usize::from(stream)).map_or("", String::as_str)
    }

    /// The primary itself.
    fn endpoint(&self) -> Result<Endpoint, DriverError> {
        self.first.endpoint.at(&self.first.routes.direct(&self.primary(0)?))
    }

    /// Every primary itself.
    fn primaries(&self) -> Result<Vec<Endpoint>, DriverError> {
        if !self.first.is_of_cluster() {
            return Ok(vec![self.endpoint()?]);
        }
        let map = self.first.past_proxies()?.slot_map()?;
        let told = map.primaries().into_iter();
        told.map(|primary| self.first.itself(&primary.address)).collect()
    }
}

impl ClusterView for RedisCluster {
    fn leader(&mut self, stream: u16) -> Result<String, DriverError> {
        self.primary(stream)
    }

    fn controller(&mut self) -> Result<String, DriverError> {
        Err(self.first.endpoint.cannot("name a controller", "Redis has none: its Sentinels vote"))
    }

    fn redundancy(&mut self) -> Result<(u32, u32), DriverError> {
        let mut copies = 0;
        for endpoint in self.primaries()? {
            let info = control(&endpoint)?.text(&["INFO", "replication"])?;
            if !info.lines().any(|line| line.trim() == "role:master") {
                return Err(endpoint.refused("counting its copies", "it is a replica now"));
            }
            copies += 1 + in_sync(&info);
        }
        Ok((copies, self.wanted))
    }

    fn reshard(&mut self, stream: u16) -> Result<String, DriverError> {
        if !self.first.is_of_cluster() {
            return Err(self.first.endpoint.cannot("move a slot", "it is no Redis Cluster"));
        }
        reshard::to_the_next(&self.first.past_proxies()?, slots::slot(self.key(stream)))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<String, DriverError> {
        let endpoint = self.endpoint()?;
        let mut control = Connection::open_within(&endpoint, CHANGED)?;
        let mut before = control.map(&["CONFIG", "GET", name])?;
        let before = before
            .remove(name)
            .ok_or_else(|| endpoint.refused("CONFIG GET", format!("no setting {name}")))?;
        control.text(&["CONFIG", "SET", name, value])?;
        Ok(before)
    }
}

/// Replicas that have all but the last moments, from
/// `slave0:ip=…,port=…,state=online,offset=…,lag=0`.
fn in_sync(info: &str) -> u32 {
    let follows = |line: &&str| {
        let field = |name: &str| {
            line.split([',', ':']).find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let late = field("lag").and_then(|lag| lag.trim().parse::<u64>().ok());
        field("state") == Some("online") && late.is_some_and(|seconds| seconds <= LATEST)
    };
    info.lines().filter(|line| line.starts_with("slave")).filter(follows).count() as u32
}

/// Whether the server at `address` is a primary whose copies (so many) all follow,
/// or a copy that follows.
pub fn redis_linked(address: &str, copies: usize) -> Result<(), String> {
    let info = asked(address)
        .and_then(|mut asked| asked.text(&["INFO", "replication"]))
        .map_err(|error| error.to_string())?;
    let says = |wanted: &str| info.lines().any(|line| line == wanted);
    if says("role:master") {
        let online = info
            .lines()
            .filter(|line| line.starts_with("slave") && line.contains("state=online"))
            .count();
        return if online == copies {
            Ok(())
        } else {
            Err(format!("{online} of {copies} replicas follow it"))
        };
    }
    if says("master_link_status:up") {
        Ok(())
    } else {
        Err("it does not yet follow its primary".into())
    }
}

/// Whether the Sentinel at `address` knows the primary, all its replicas and so many Sentinels, the
/// data nodes by the addresses `nodes` and no others, and finds nothing wrong with any.
pub fn sentinel_content(address: &str, nodes: &[String], sentinels: usize) -> Result<(), String> {
    type Fields = BTreeMap<String, String>;
    let ask = || {
        let mut asked = asked(address)?;
        let primary: Fields = asked.map(&["SENTINEL", "MASTER", Routes::PRIMARY])?;
        let replicas: Vec<Fields> = asked.ask(&["SENTINEL", "REPLICAS", Routes::PRIMARY])?;
        Ok::<_, DriverError>((primary, replicas))
    };
    let (primary, replicas) = ask().map_err(|error| error.to_string())?;
    let field = |node: &Fields, name: &str| node.get(name).cloned().unwrap_or_default();
    for node in replicas.iter().chain([&primary]) {
        let told = format!("{}:{}", field(node, "ip"), field(node, "port"));
        if !nodes.contains(&told) {
            // Clients would go past the fault proxy, or to a stranger.
            return Err(format!(
                "it sends clients to {told}, which is none of {}",
                nodes.join(", ")
            ));
        }
    }
    let follows = |node: &Fields| {
        field(node, "flags") == "slave" && field(node, "master-link-status") == "ok"
    };
    let well = field(&primary, "flags") == "master" && replicas.iter().all(follows);
    let (found, others) = (replicas.len(), field(&primary, "num-other-sentinels"));
    if well && found + 1 == nodes.len() && others == (sentinels - 1).to_string() {
        return Ok(());
    }
    Err(format!(
        "it knows {found} replicas and {others} other Sentinels, and not all of them to be well"
    ))
}

/// PING on one connection, as often as it is called.
pub fn redis_pings(address: &str) -> Result<impl FnMut() -> Result<(), String>, String> {
    let mut asked = asked(address).map_err(|error| error.to_string())?;
    Ok(move || asked.text(&["PING"]).map(drop).map_err(|error| error.to_string()))
}

pub fn asked(address: &str) -> Result<Connection, DriverError> {
    // Whichever of its systems is asked for: it only names them.
    control(&Endpoint::parse(System::RedisStreams, address)?)
}

fn control(endpoint: &Endpoint) -> Result<Connection, DriverError> {
    Connection::open_within(endpoint, PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn only_replicas_that_follow_count() {
        let info = "role:master\r\nconnected_slaves:4\r\n\
                    slave0:ip=127.0.0.1,port=1,state=online,offset=9,lag=0\r\n\
                    slave1:ip=127.0.0.1,port=2,state=online,offset=9,lag=30\r\n\
                    slave2:ip=127.0.0.1,port=3,state=wait_bgsave,offset=0,lag=0\r\n\
                    slave3:ip=127.0.0.1,port=4,state=online,offset=9,lag=2,type=replica\r\n\
                    master_failover_state:no-failover\r\n";
        assert_eq!(in_sync(info), 2);
        assert_eq!(in_sync("role:master\r\nconnected_slaves:0\r\n"), 0);
    }

    fn cluster(first: &str, routes: Routes, wanted: u32) -> RedisCluster {
        let endpoint = Endpoint::parse(System::RedisLists, first).unwrap();
        let first = Primary::new(endpoint, routes).unwrap();
        RedisCluster { first, keys: vec!["k".into()], wanted }
    }

    /// A server that answers each request with the next of these.
    fn answering(replies: &'static [&'static [u8]]) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for reply in replies {
                let _ = stream.read(&mut [0; 256]);
                let _ = stream.write_all(reply);
            }
            let _ = stream.read(&mut [0; 256]);
        });
        address
    }

    #[test]
    fn copies_that_do_not_follow_are_counted() {
        const PRIMARY: &[u8] = b"$90\r\nrole:master\r\nslave0:ip=a,port=1,state=online,lag=0\r\n\
            slave1:ip=b,port=2,state=wait_bgsave\r\n\r\n";
        let few = redis_linked(&answering(&[PRIMARY]), 2).unwrap_err();
        assert!(few.contains("1 of 2"), "{few}");
        redis_linked(&answering(&[PRIMARY]), 1).unwrap();
        redis_linked(&answering(&[b"$35\r\nrole:slave\r\nmaster_link_status:up\r\n\r\n"]), 2)
            .unwrap();
        assert!(
            redis_linked(&answering(&[b"$37\r\nrole:slave\r\nmaster_link_status:down\r\n\r\n"]), 2)
                .is_err()
        );
    }

    #[test]
    fn a_sentinel_is_content_once_it_knows_all_by_the_addresses_that_are_told() {
        const PRIMARY: &[u8] =
            b"*8\r\n$2\r\nip\r\n$1\r\na\r\n$4\r\nport\r\n$1\r\n7\r\n$5\r\nflags\r\n\
            $6\r\nmaster\r\n$19\r\nnum-other-sentinels\r\n$1\r\n2\r\n";
        const REPLICA: &[u8] =
            b"*1\r\n*8\r\n$2\r\nip\r\n$1\r\na\r\n$4\r\nport\r\n$1\r\n8\r\n$5\r\nflags\r\n\
            $5\r\nslave\r\n$18\r\nmaster-link-status\r\n$2\r\nok\r\n";
        let ask = |nodes: &[&str], sentinels| {
            let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
            sentinel_content(&answering(&[PRIMARY, REPLICA]), &nodes, sentinels)
        };
        ask(&["a:7", "a:8"], 3).unwrap();
        assert!(ask(&["a:7", "a:8"], 2).unwrap_err().contains("2 other Sentinels"));
        assert!(ask(&["a:7", "a:8", "a:9"], 3).unwrap_err().contains("1 replicas"));
        assert!(ask(&["a:7"], 3).unwrap_err().contains("sends clients to a:8"));
        let refused =
            sentinel_content(&answering(&[b"-ERR No such master\r\n"]), &[], 1).unwrap_err();
        assert!(refused.contains("No such master"), "{refused}");
    }

    #[test]
    fn the_leader_of_one_server_is_that_server() {
        let mut cluster = cluster("127.0.0.1:7001", Routes::default(), 1);
        assert_eq!(cluster.leader(0).unwrap(), "127.0.0.1:7001");
        assert!(matches!(cluster.controller(), Err(DriverError::Cannot { .. })));
    }

    #[test]
    fn who_is_not_there_does_not_lead() {
        let routes = Routes { sentinels: vec!["127.0.0.1:1".into()], ..Routes::default() };
        let mut cluster = cluster("127.0.0.1:2", routes, 3);
        assert!(matches!(cluster.leader(0), Err(DriverError::Disconnected { .. })));
        assert!(cluster.redundancy().is_err());
    }
}
