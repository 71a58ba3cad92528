//! Redis seen from outside: one server, or a primary with replicas that Sentinels watch.
//!
//! Every question goes over a connection of its own, past the clients' fault proxy. A server that does not answer is an
//! error, never a guess: it neither leads nor copies as far as anybody can tell.

use crate::driver::capability::ClusterView;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::primary::Primary;
use crate::driver::{DriverError, Routes};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a server may take for each step of an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// For a setting that is changed, or put back whatever comes: a server that waits for its disk answers late.
const CHANGED: Duration = Duration::from_secs(10);
/// A replica tells its primary once a second how far it is; one that has not for so many seconds is not in sync.
const LATEST: u64 = 2;
/// Of the Sentinels, what decides when they act: shown in results.
const DECISIVE: [&str; 4] = ["down-after-milliseconds", "failover-timeout", "parallel-syncs", "quorum"];

pub struct RedisCluster {
    pub first: Primary,
    /// Servers that take messages: the primary and its replicas.
    pub wanted: u32,
}

impl RedisCluster {
    /// What the Sentinel that was told last says of the primary: one that missed a failover knows an older epoch.
    fn sentinels_say(&self) -> Result<BTreeMap<String, String>, DriverError> {
        let mut best: Option<(u64, BTreeMap<String, String>)> = None;
        let mut failed = None;
        for sentinel in &self.first.sentinels {
            match control(sentinel).and_then(|mut asked| asked.map(&["SENTINEL", "MASTER", Routes::PRIMARY])) {
                Ok(fields) => {
                    let epoch = fields.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
                    if best.as_ref().is_none_or(|(known, _)| epoch > *known) {
                        best = Some((epoch, fields));
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        best.map(|(_, fields)| fields).ok_or_else(|| self.first.unanswered(failed))
    }

    /// Settings of the Sentinels, read back; empty where there is none.
    pub fn settings(&self) -> Result<BTreeMap<String, String>, DriverError> {
        if self.first.sentinels.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut all = self.sentinels_say()?;
        all.retain(|name, _| DECISIVE.contains(&name.as_str()));
        Ok(all.into_iter().map(|(name, value)| (format!("sentinel.{name}"), value)).collect())
    }

    /// Where clients find the primary.
    fn primary(&self) -> Result<String, DriverError> {
        if self.first.sentinels.is_empty() {
            return Ok(self.first.endpoint.address());
        }
        let fields = self.sentinels_say()?;
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        Ok(self.first.routes.client(&format!("{}:{}", field("ip"), field("port"))))
    }

    /// The primary itself.
    fn endpoint(&self) -> Result<Endpoint, DriverError> {
        self.first.endpoint.at(&self.first.routes.direct(&self.primary()?))
    }
}

impl ClusterView for RedisCluster {
    fn leader(&mut self, _: u16) -> Result<String, DriverError> {
        self.primary()
    }

    fn controller(&mut self) -> Result<String, DriverError> {
        Err(DriverError::Cannot {
            system: self.first.endpoint.system,
            action: "name a controller".into(),
            because: "Redis has none: its Sentinels vote".into(),
        })
    }

    fn redundancy(&mut self) -> Result<(u32, u32), DriverError> {
        let endpoint = self.endpoint()?;
        let info = control(&endpoint)?.text(&["INFO", "replication"])?;
        if !info.lines().any(|line| line.trim() == "role:master") {
            return Err(endpoint.refused("counting its copies", "it is a replica now"));
        }
        Ok((1 + in_sync(&info), self.wanted))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<String, DriverError> {
        let endpoint = self.endpoint()?;
        let mut control = Connection::open_within(&endpoint, CHANGED)?;
        let mut before = control.map(&["CONFIG", "GET", name])?;
        let before = before.remove(name).ok_or_else(|| endpoint.refused("CONFIG GET", format!("no setting {name}")))?;
        control.text(&["CONFIG", "SET", name, value])?;
        Ok(before)
    }
}

/// Replicas that have all but the last moments, from `slave0:ip=…,port=…,state=online,offset=…,lag=0`.
fn in_sync(info: &str) -> u32 {
    let follows = |line: &&str| {
        let field = |name: &str| line.split([',', ':']).find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let late = field("lag").and_then(|lag| lag.trim().parse::<u64>().ok());
        field("state") == Some("online") && late.is_some_and(|seconds| seconds <= LATEST)
    };
    info.lines().filter(|line| line.starts_with("slave")).filter(follows).count() as u32
}

fn control(endpoint: &Endpoint) -> Result<Connection, DriverError> {
    Connection::open_within(endpoint, PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

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
        RedisCluster { first: Primary::new(endpoint, routes).unwrap(), wanted }
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
