//! Finds the server that takes the writes now and connects to it: the one address of a single node,
//! whom the Sentinels name, or whom the nodes of a Redis Cluster name for the slot of a key.
//!
//! Asked anew for every connection, as the documentation of Sentinel demands of clients. Of several
//! Sentinels the one counts that was told last: the others hear of a fail-over up to two seconds
//! later. Every step is bounded by [`STEP`]; nothing here is tried twice.

use super::SET_UP;
use super::endpoint::Endpoint;
use super::slots::{self, SlotMap};
use crate::access::Access;
use crate::driver::redis::load::connection::Connection;
use crate::driver::{DriverError, Routes};
use crate::model::System;
use redis::{Value, cmd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const ASKING: &str = "asking a Sentinel";

/// How long one step of connecting may take: on the machine or the network of a benchmark it takes
/// milliseconds, and what takes longer is stalled.
const STEP: Duration = Duration::from_secs(1);
/// How long one Sentinel may take to answer; there are others.
pub const SENTINEL: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub struct Primary {
    /// The server of the beginning. Whichever follows is asked with the same login.
    pub endpoint: Endpoint,
    pub sentinels: Vec<Endpoint>,
    pub routes: Routes,
    /// Of a Redis Cluster, those that are known from the beginning; none elsewhere.
    pub nodes: Vec<Endpoint>,
    /// The others, by the addresses that those tell: one that was named may be gone.
    told: Arc<Mutex<BTreeSet<String>>>,
    /// Questions go past the clients' fault proxy.
    direct: bool,
    /// Of the key whose writes are meant; 0 where there is no Cluster.
    pub slot: u16,
}

impl Primary {
    pub fn new(endpoint: Endpoint, routes: Routes) -> Result<Self, DriverError> {
        // Sentinels have logins of their own, or none. Whomever they name is judged like any other.
        let bare = endpoint.access().bare();
        let sentinel = |address: &String| {
            Endpoint::parse(endpoint.system, address).map(|found| found.through(&bare))
        };
        let sentinels = routes.sentinels.iter().map(sentinel);
        let (sentinels, nodes) = (sentinels.collect::<Result<_, _>>()?, Vec::new());
        let (told, direct, slot) = (Arc::default(), false, 0);
        Ok(Self { sentinels, endpoint, routes, nodes, told, direct, slot })
    }

    /// The primaries of a Redis Cluster, of which these nodes are known.
    pub fn in_cluster(self, addresses: &[String]) -> Result<Self, DriverError> {
        let nodes = addresses.iter().map(|address| self.endpoint.at(address));
        Ok(Self { nodes: nodes.collect::<Result<_, _>>()?, ..self })
    }

    pub fn is_of_cluster(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// Whoever takes the writes of this key.
    pub fn of(&self, key: &str) -> Self {
        Self { slot: slots::slot(key), ..self.clone() }
    }

    /// For questions that must be answered while the clients are cut off.
    pub fn past_proxies(&self) -> Result<Self, DriverError> {
        let direct = |node: &Endpoint| node.at(&self.routes.direct(&node.address()));
        let nodes = self.nodes.iter().map(direct).collect::<Result<_, _>>()?;
        Ok(Self { nodes, direct: true, ..self.clone() })
    }

    /// The node that the others tell of by this address.
    pub fn itself(&self, told: &str) -> Result<Endpoint, DriverError> {
        self.endpoint.at(&self.routes.direct(&self.routes.client(told)))
    }

    /// Who serves which slots, by the word of the first node that answers and is not cut off.
    pub fn slot_map(&self) -> Result<SlotMap, DriverError> {
        let mut found = Err(self.endpoint.lost("no node of the Cluster is known"));
        for node in self.nodes.iter().cloned().chain(self.others()) {
            found = SlotMap::ask(&node);
            if let Ok(map) = &found {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                told.extend(map.nodes().map(|node| node.address.clone()));
                break;
            }
        }
        found
    }

    /// Nodes that were told of and not named.
    fn others(&self) -> Vec<Endpoint> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let at = |address: &String| match self.direct {
            true => self.itself(address),
            false => self.endpoint.at(&self.routes.client(address)),
        };
        let others = told.iter().filter_map(|address| at(address).ok());
        let named =
            |other: &Endpoint| self.nodes.iter().any(|node| node.address() == other.address());
        others.filter(|other| !named(other)).collect()
    }

    /// Where clients find it.
    fn serving(&self) -> Result<Endpoint, DriverError> {
        let map = self.slot_map()?;
        let primary = map.primary_of(self.slot).ok_or_else(|| {
            self.endpoint.lost(format!("no node of the Cluster serves slot {}", self.slot))
        })?;
        self.endpoint.at(&self.routes.client(&primary.address))
    }

    /// All who take writes, where clients find them, and which of these serves each slot; there are
    /// no slots where there is no Cluster.
    pub fn spread(&self) -> Result<(Vec<Endpoint>, Vec<u16>), DriverError> {
        if !self.is_of_cluster() {
            return Ok((vec![self.find()?], Vec::new()));
        }
        let map = self.slot_map()?;
        let primaries = map.primaries();
        let found = primaries.iter();
        let found = found.map(|primary| self.endpoint.at(&self.routes.client(&primary.address)));
        let owner = |slot: u16| {
            let owner = map.primary_of(slot);
            primaries.iter().position(|primary| Some(*primary) == owner).unwrap_or(0) as u16
        };
        Ok((found.collect::<Result<_, _>>()?, (0..slots::SLOTS).map(owner).collect()))
    }

    /// Who takes the writes, as far as anybody says.
    pub fn find(&self) -> Result<Endpoint, DriverError> {
        if self.is_of_cluster() {
            return self.serving();
        }
        let (mut newest, mut silent) = (None, None);
        for sentinel in &self.sentinels {
            match self.ask(sentinel) {
                Ok(told) => newest = newest.max(Some(told)),
                Err(error) => silent = Some(error),
            }
        }
        match (newest, silent) {
            (Some((_, address)), _) => self.endpoint.at(&self.routes.client(&address)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(self.endpoint.clone()),
        }
    }

    /// The epoch of what a Sentinel knows, and the primary's address.
    fn ask(&self, sentinel: &Endpoint) -> Result<(u64, String), DriverError> {
        let mut connection = Connection::open_within(sentinel, SENTINEL)?;
        let name = self.routes.primary();
        let question = cmd("SENTINEL").arg("MASTER").arg(name).take();
        let told: BTreeMap<String, String> = connection.query(ASKING, &question)?;
        let epoch = told.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        // Not the address that stands in there: during a fail-over it is the old one still, with
        // the new epoch.
        Ok((epoch, address_of(&mut connection, name)?))
    }

    /// A connection to the server that takes the writes, once it answers:
    /// one that loads its data refuses.
    pub fn connect(&self) -> Result<Connection, DriverError> {
        self.connect_within(STEP)
    }

    /// The same, each of its steps within `limit`.
    pub fn connect_within(&self, limit: Duration) -> Result<Connection, DriverError> {
        let step = limit.min(STEP);
        let endpoint = self.find()?;
        let mut connection = Connection::open_within(&endpoint, step)?;
        connection.query::<Value>("PING", &cmd("PING"))?;
        if !self.sentinels.is_empty() || self.is_of_cluster() {
            // A Sentinel, or a node, may not know yet that the server it names was deposed.
            let role: Vec<Value> = connection.query("ROLE", &cmd("ROLE"))?;
            if role.first() != Some(&Value::BulkString(b"master".to_vec())) {
                let who = if self.is_of_cluster() { "nodes name" } else { "Sentinels name" };
                return Err(endpoint.lost(format!("the server that the {who} is a replica")));
            }
        }
        connection.limit = SET_UP;
        Ok(connection)
    }

    /// To where an ASK sends what a key is missing for: a server that is about to get its slot.
    pub fn connect_asking(&self, told: &str) -> Result<Connection, DriverError> {
        let endpoint = self.endpoint.at(&self.routes.client(told))?;
        let mut connection = Connection::open_within(&endpoint, STEP)?;
        (connection.limit, connection.asking) = (SET_UP, true);
        Ok(connection)
    }
}

/// Where the primary of the set `name` is, by the word of the Sentinel at the other end.
fn address_of(sentinel: &mut Connection, name: &str) -> Result<String, DriverError> {
    let question = cmd("SENTINEL").arg("get-master-addr-by-name").arg(name).take();
    let (host, port): (String, String) = sentinel.query(ASKING, &question)?;
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// Of Sentinels at these addresses, what they call the nodes that they watch, and where their
/// primary is; `None` where the first that answers is no Sentinel. Without a `name` they may watch
/// one set only.
pub fn watched(
    addresses: &[String],
    name: Option<&str>,
    access: &Access,
) -> Result<Option<(String, String)>, String> {
    let ask = |address: &String| {
        // Judged as a server is, though nobody logs in here.
        access.permit(address).map_err(|error| error.to_string())?;
        // Whichever of its systems is asked for: it only names them.
        Endpoint::parse(System::RedisStreams, address)
            .and_then(|endpoint| watched_by(&endpoint.through(&access.bare()), name))
            .map_err(|error| error.reason())
    };
    let mut found = Err("no address is given".to_owned());
    for address in addresses {
        found = ask(address);
        if found.is_ok() {
            break;
        }
    }
    found
}

fn watched_by(
    sentinel: &Endpoint,
    name: Option<&str>,
) -> Result<Option<(String, String)>, DriverError> {
    let mut connection = Connection::open(sentinel)?;
    let info = connection.text(&["INFO", "server"])?;
    if !info.lines().any(|line| line.trim_end() == "redis_mode:sentinel") {
        return Ok(None);
    }
    let sets: Vec<BTreeMap<String, String>> = connection.ask(&["SENTINEL", "MASTERS"])?;
    let names: Vec<&str> =
        sets.iter().filter_map(|set| set.get("name")).map(String::as_str).collect();
    let name = match (name, &names[..]) {
        (Some(name), _) if names.contains(&name) => name,
        (None, [only]) => *only,
        (asked, _) => {
            let (asked, known) = (asked.unwrap_or("one set alone"), names.join("`, `"));
            let remedy = "name one as `primary` in a file for --targets";
            let cause = format!("it watches `{known}`, not {asked}: {remedy}");
            return Err(sentinel.refused("being a Sentinel", cause));
        }
    };
    Ok(Some((name.to_owned(), address_of(&mut connection, name)?)))
}
