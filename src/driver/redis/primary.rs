//! Finds the server that takes the writes now and connects to it: the one address of a single node, or whom the
//! Sentinels name.
//!
//! Asked anew for every connection, as the documentation of Sentinel demands of clients and as most of them do. Nobody
//! here listens to `+switch-master`: a client whose connection to a deposed primary still works stays with it until
//! that one closes it. Every step is bounded by [`STEP`]; nothing here is tried twice.

use super::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::{DriverError, Routes};
use crate::wire::redis::{self as resp, Malformed};
use redis::{Cmd, FromRedisValue, Value};
use std::time::{Duration, Instant};

/// How long one step of connecting may take: on the machine or the network of a benchmark it takes milliseconds, and
/// what takes longer is stalled.
const STEP: Duration = Duration::from_secs(1);
/// How long one Sentinel may take to answer; there are others.
const SENTINEL: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub struct Primary {
    /// The server of the beginning. Whichever follows is asked with the same login.
    endpoint: Endpoint,
    sentinels: Vec<Endpoint>,
    routes: Routes,
}

impl Primary {
    pub fn new(endpoint: Endpoint, routes: Routes) -> Result<Self, DriverError> {
        // Sentinels have logins of their own; those that we start have none. Whomever they name is judged like any other.
        let sentinels = routes.sentinels.iter().map(|address| Endpoint::parse(endpoint.system, address));
        Ok(Self { sentinels: sentinels.collect::<Result<_, _>>()?, endpoint, routes })
    }

    /// Who takes the writes, as far as anybody says.
    pub fn find(&self) -> Result<Endpoint, DriverError> {
        if self.sentinels.is_empty() {
            return Ok(self.endpoint.clone());
        }
        let mut failed = None;
        for sentinel in &self.sentinels {
            match self.ask(sentinel) {
                Ok(address) => return self.endpoint.at(&self.routes.client(&address)),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| self.endpoint.refused("asking the Sentinels", "there is none")))
    }

    fn ask(&self, sentinel: &Endpoint) -> Result<String, DriverError> {
        let mut connection = Connection::open_within(sentinel, SENTINEL)?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(Routes::PRIMARY);
        let (host, port): (String, String) = query(&mut connection, SENTINEL, "asking a Sentinel", &question)?;
        Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }

    /// A connection to the server that takes the writes, once it answers: one that loads its data refuses.
    pub fn connect(&self) -> Result<Connection, DriverError> {
        self.connect_within(STEP)
    }

    /// The same, each of its steps within `limit`.
    pub fn connect_within(&self, limit: Duration) -> Result<Connection, DriverError> {
        let step = limit.min(STEP);
        let endpoint = self.find()?;
        let mut connection = Connection::open_within(&endpoint, step)?;
        query::<Value>(&mut connection, step, "PING", &redis::cmd("PING"))?;
        if !self.sentinels.is_empty() {
            // A Sentinel may not know yet that the server it names was deposed.
            let role = query::<Vec<Value>>(&mut connection, step, "ROLE", &redis::cmd("ROLE"))?;
            if role.first() != Some(&Value::BulkString(b"master".to_vec())) {
                return Err(endpoint.lost("the server that the Sentinels name is a replica"));
            }
        }
        Ok(connection)
    }

    /// Where `connect` begins, for errors.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// A command of the crate and its typed reply; an error reply is an error. The reply is whole,
/// bounded and in time before the crate sees it: by itself it would wait for whatever is announced.
pub fn query<T: FromRedisValue>(
    connection: &mut Connection,
    limit: Duration,
    action: &str,
    command: &Cmd,
) -> Result<T, DriverError> {
    connection.output.bytes.extend_from_slice(&command.get_packed_command());
    let reply = connection.reply(Instant::now() + limit, action)?;
    let value = redis::parse_redis_value(&connection.input.filled()[reply.clone()]);
    connection.input.consume(reply.len());
    let typed = value.and_then(|value| Ok(T::from_redis_value(value)?));
    typed.map_err(|error| {
        let cause = resp::words(error.to_string().as_bytes());
        connection.endpoint.malformed(Malformed(cause))
    })
}
