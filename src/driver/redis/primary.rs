//! Finds the server that takes the writes now and connects to it: the one address of a single node,
//! or whom the Sentinels name.
//!
//! Asked anew for every connection, as the documentation of Sentinel demands of clients. Of several
//! Sentinels the one counts that was told last: the others hear of a fail-over up to two seconds
//! later. Every step is bounded by [`STEP`]; nothing here is tried twice.

use super::SET_UP;
use super::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::{DriverError, Routes};
use redis::{Value, cmd};
use std::collections::BTreeMap;
use std::time::Duration;

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
}

impl Primary {
    pub fn new(endpoint: Endpoint, routes: Routes) -> Result<Self, DriverError> {
        // Sentinels have logins of their own; those that we start have none. Whomever they name is
        // judged like any other.
        let sentinels =
            routes.sentinels.iter().map(|address| Endpoint::parse(endpoint.system, address));
        Ok(Self { sentinels: sentinels.collect::<Result<_, _>>()?, endpoint, routes })
    }

    /// Who takes the writes, as far as anybody says.
    pub fn find(&self) -> Result<Endpoint, DriverError> {
        let (mut newest, mut silent) = (None, None);
        for sentinel in &self.sentinels {
            match Self::ask(sentinel) {
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
    fn ask(sentinel: &Endpoint) -> Result<(u64, String), DriverError> {
        let mut connection = Connection::open_within(sentinel, SENTINEL)?;
        let question = |what: &str| cmd("SENTINEL").arg(what).arg(Routes::PRIMARY).take();
        let told: BTreeMap<String, String> =
            connection.query("asking a Sentinel", &question("MASTER"))?;
        let epoch = told.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        // Not the address that stands in there: during a fail-over it is the old one still, with
        // the new epoch.
        let (host, port): (String, String) =
            connection.query("asking a Sentinel", &question("get-master-addr-by-name"))?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok((epoch, format!("{host}:{port}")))
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
