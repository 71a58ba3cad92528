//! Finds the server that takes the writes now and connects to it: the one address of a single node,
//! or whom the Sentinels name.
//!
//! Asked anew for every connection, as the documentation of Sentinel demands of clients and as most
//! of them do. Nobody here listens to `+switch-master`: a client whose connection to a deposed
//! primary still works stays with it until that one closes it. Every step is bounded by [`STEP`];
//! nothing here is tried twice.

use super::SET_UP;
use super::endpoint::Endpoint;
use crate::access::Access;
use crate::driver::redis::load::connection::Connection;
use crate::driver::{DriverError, Routes};
use crate::model::System;
use redis::{Value, cmd};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one step of connecting may take: on the machine or the network of a benchmark it takes
/// milliseconds, and what takes longer is stalled.
const STEP: Duration = Duration::from_secs(1);
/// How long one Sentinel may take to answer; there are others.
const SENTINEL: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub struct Primary {
    /// The server of the beginning. Whichever follows is asked with the same login.
    pub endpoint: Endpoint,
    pub sentinels: Vec<Endpoint>,
    pub routes: Routes,
}

impl Primary {
    pub fn new(endpoint: Endpoint, routes: Routes) -> Result<Self, DriverError> {
        // Sentinels have logins of their own, or none. Whomever they name is judged like any other.
        let bare = endpoint.access().bare();
        let sentinel = |address: &String| {
            Endpoint::parse(endpoint.system, address).map(|found| found.through(&bare))
        };
        let sentinels = routes.sentinels.iter().map(sentinel);
        Ok(Self { sentinels: sentinels.collect::<Result<_, _>>()?, endpoint, routes })
    }

    /// Who takes the writes, as far as anybody says.
    pub fn find(&self) -> Result<Endpoint, DriverError> {
        let mut primary = Ok(self.endpoint.clone());
        for sentinel in &self.sentinels {
            primary = ask(sentinel, self.routes.primary(), SENTINEL)
                .and_then(|address| self.endpoint.at(&self.routes.client(&address)));
            if primary.is_ok() {
                break;
            }
        }
        primary
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
        if !self.sentinels.is_empty() {
            // A Sentinel may not know yet that the server it names was deposed.
            let role: Vec<Value> = connection.query("ROLE", &cmd("ROLE"))?;
            if role.first() != Some(&Value::BulkString(b"master".to_vec())) {
                return Err(endpoint.lost("the server that the Sentinels name is a replica"));
            }
        }
        connection.limit = SET_UP;
        Ok(connection)
    }
}

/// Where the primary of the set `name` is.
fn ask(sentinel: &Endpoint, name: &str, limit: Duration) -> Result<String, DriverError> {
    let mut connection = Connection::open_within(sentinel, limit)?;
    let question = cmd("SENTINEL").arg("get-master-addr-by-name").arg(name).take();
    let (host, port): (String, String) = connection.query("asking a Sentinel", &question)?;
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
    let mut found = Err("no address is given".to_owned());
    for address in addresses {
        let ask = || {
            // Judged as a server is, though nobody logs in here.
            access.permit(address).map_err(|error| error.to_string())?;
            // Whichever of its systems is asked for: it only names them.
            Endpoint::parse(System::RedisStreams, address)
                .and_then(|endpoint| watched_by(&endpoint.through(&access.bare()), name))
                .map_err(|error| error.reason())
        };
        found = ask();
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
    Ok(Some((name.to_owned(), ask(sentinel, name, SET_UP)?)))
}
