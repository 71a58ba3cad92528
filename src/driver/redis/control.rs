//! The control path: versions, settings, deletion.
//!
//! Asked and typed by the `redis` crate, over a [`Connection`] as the load has it: one way to
//! connect, one check of the address, one TLS, and a bound to every answer ([`Connection::query`]).
//! Settings are read back from the server and shown by an allow-list, so that no secret can slip
//! into a result.

use super::endpoint::Endpoint;
use super::primitive::Primitive;
use super::redis_rs;
use crate::access::Access;
use crate::driver::DriverError;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::copies::CopiesWait;
use crate::driver::timeouts::{Backoff, request_timeout};
use crate::model::System;
use crate::result::Description;
use crate::scenario::{Cell, ClientLibrary, ConsumeMode, Reply};
use crate::units::Span;
use redis::{Cmd, FromRedisValue, Value};
use std::collections::BTreeMap;

/// Settings that decide what a message survives, how fast it is written or who is cut off.
const DECISIVE: &[&str] = &[
    "active-defrag",
    "aof-use-rdb-preamble",
    "appendfsync",
    "appendonly",
    "auto-aof-rewrite-min-size",
    "auto-aof-rewrite-percentage",
    "client-output-buffer-limit",
    "client-query-buffer-limit",
    "cluster-enabled",
    "cluster-node-timeout",
    "cluster-require-full-coverage",
    "databases",
    "hz",
    "io-threads",
    "io-threads-do-reads",
    "latency-tracking",
    "list-compress-depth",
    "list-max-listpack-size",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-max-lag",
    "min-replicas-to-write",
    "no-appendfsync-on-rewrite",
    "proto-max-bulk-len",
    "repl-backlog-size",
    "repl-diskless-sync",
    "repl-diskless-sync-delay",
    "save",
    "stream-node-max-bytes",
    "stream-node-max-entries",
    "tcp-backlog",
    "tcp-keepalive",
];

/// The oldest version that knows LMOVE, XAUTOCLAIM and pops of several elements.
const OLDEST: (u32, u32) = (6, 2);
/// The oldest version that knows LMPOP and BLMPOP.
const LMPOP: (u32, u32) = (7, 0);
/// The oldest version that knows WAITAOF.
const WAITAOF: (u32, u32) = (7, 2);

/// Who else speaks Redis's protocol and tells a version of its own, under this field of INFO.
const OTHERS: &[(&str, &str)] = &[
    ("valkey_version", "Valkey"),
    ("dragonfly_version", "Dragonfly"),
    ("garnet_version", "Garnet"),
];

/// A server as it describes itself.
#[derive(Clone, Debug, Default)]
pub struct ServerInfo {
    /// `Redis`, or what else it is by its own name.
    pub name: String,
    pub version: String,
    /// The Redis version whose commands it knows; what all others call `redis_version` too.
    pub compatible: String,
    /// Decisive settings, its build and its allocator, read back; without what it does not tell.
    pub settings: BTreeMap<String, String>,
    /// Whether it is a primary that nobody follows; `None` where it does not tell.
    pub alone: Option<bool>,
    /// Whether it is a node of a Redis Cluster.
    pub clustered: bool,
}

impl ServerInfo {
    /// From INFO, and from CONFIG GET as far as that is permitted.
    pub fn parse(info: &str, mut settings: BTreeMap<String, String>) -> Self {
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        if let Some(on @ ("0" | "1")) = field("aof_enabled") {
            let on = if on == "1" { "yes" } else { "no" };
            settings.entry("appendonly".into()).or_insert_with(|| on.into());
        }
        for (name, told) in [("build-id", "redis_build_id"), ("allocator", "mem_allocator")] {
            settings.extend(field(told).map(|value| (name.to_owned(), value.to_owned())));
        }
        let alone = field("role").zip(field("connected_slaves"));
        let alone = alone.map(|(role, replicas)| role == "master" && replicas == "0");
        let compatible = field("redis_version").unwrap_or("unknown");
        let own = OTHERS.iter().find_map(|(told, name)| Some((*name, field(told)?)));
        let keydb = field("executable").is_some_and(|path| path.contains("keydb"))
            || info.lines().any(|line| line.trim() == "# KeyDB");
        let (name, version) = match (own, field("server_name")) {
            (Some((name, version)), _) => (name, version.trim_start_matches("df-v")),
            (None, Some(other)) if other != "redis" => (other, compatible),
            (None, _) => (if keydb { "KeyDB" } else { "Redis" }, compatible),
        };
        let (name, version, compatible) = (name.into(), version.into(), compatible.into());
        let clustered = field("cluster_enabled") == Some("1");
        Self { name, version, compatible, settings, alone, clustered }
    }

    /// Whether it knows the commands of that version of Redis; one that does not tell is given the
    /// benefit of the doubt.
    fn is(&self, least: (u32, u32)) -> bool {
        let mut parts = self.compatible.split('.').map(|part| part.parse::<u32>().ok());
        let version = parts.next().flatten().zip(parts.next().flatten());
        version.is_none_or(|version| version >= least)
    }

    /// Whether it knows LMPOP and BLMPOP; older ones pop one list after the other.
    pub fn pops_many(&self) -> bool {
        self.is(LMPOP)
    }

    /// Refuses a server that lacks the commands of this driver, or of this cell.
    pub fn check(&self, endpoint: &Endpoint, cell: &Cell) -> Result<(), DriverError> {
        let found = format!("{} {} at {}", self.name, self.version, endpoint.address());
        let refuse = |what: &str, cause: String| Err(endpoint.refused(what, cause));
        let (config, own) = (&cell.config, cell.config.library() == ClientLibrary::Direct);
        let lists = config.system.base() == System::RedisLists;
        let pops = lists && config.consume.mode == ConsumeMode::Pop;
        if !self.is(OLDEST) {
            let cause = format!("{found} is too old: 6.2 or newer is needed (LMOVE, XAUTOCLAIM)");
            return refuse("prepare", cause);
        }
        if pops && !self.pops_many() && !(own && cell.experiment.is_none()) {
            let cause = format!(
                "{found} has no BLMPOP, which came with Redis 7.0: only plain load through \
                 `client: {{library: direct}}` does without; write `consume: {{mode: reliable}}`, \
                 or use a newer server"
            );
            return refuse("popping", cause);
        }
        if config.wait_aof.is_some() && !self.is(WAITAOF) {
            let cause = format!(
                "{found} has no WAITAOF, which came with Redis 7.2: write `wait` for copies in \
                 memory, or use a newer server"
            );
            return refuse("`wait-aof`", cause);
        }
        Ok(())
    }
}

/// What is asked off the data path.
impl Connection {
    pub fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> Result<T, DriverError> {
        let name = words.first().copied().unwrap_or_default();
        self.query(name, Cmd::new().arg(words))
    }

    /// A text, or whatever else says that it was done.
    pub fn text(&mut self, words: &[&str]) -> Result<String, DriverError> {
        Ok(text(self.ask(words)?))
    }

    /// Names and values.
    pub fn map(&mut self, words: &[&str]) -> Result<BTreeMap<String, String>, DriverError> {
        let pairs: Vec<(Value, Value)> = self.ask(words)?;
        Ok(pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    /// Version and settings. Managed services refuse CONFIG: then INFO is all that is told.
    pub fn server(&mut self) -> Result<ServerInfo, DriverError> {
        let info = self.text(&["INFO"])?;
        let mut settings = match self.map(&["CONFIG", "GET", "*"]) {
            Err(DriverError::Refused { .. }) => BTreeMap::new(),
            told => told?,
        };
        settings.retain(|name, _| DECISIVE.contains(&name.as_str()));
        if settings.get("cluster-enabled").is_none_or(|on| on != "yes") {
            settings.retain(|name, _| !name.starts_with("cluster-"));
        }
        Ok(ServerInfo::parse(&info, settings))
    }

    /// How many elements `command` (XLEN, LLEN) finds under `key`.
    pub fn length(&mut self, command: &str, key: &str) -> Result<u64, DriverError> {
        self.ask(&[command, key])
    }

    /// The server's output buffer for the client at `address`, bytes; `None` once it is not
    /// connected any more.
    pub fn output_buffer(&mut self, address: &str) -> Result<Option<u64>, DriverError> {
        Ok(output_buffer(&self.text(&["CLIENT", "LIST"])?, address))
    }

    /// Deletes keys in the background of the server, so that millions of messages do not stall it.
    /// Only keys that begin with `name`, which is the cell's own and no other's: what belongs to
    /// somebody else is refused.
    pub fn delete(&mut self, name: &str, keys: &[String]) -> Result<(), DriverError> {
        if let Some(foreign) = keys.iter().find(|key| name.is_empty() || !key.starts_with(name)) {
            return Err(self
                .endpoint
                .refused(format!("deleting {foreign}"), "it does not belong to this run"));
        }
        let words: Vec<&str> =
            std::iter::once("UNLINK").chain(keys.iter().map(String::as_str)).collect();
        self.ask::<u64>(&words).map(drop)
    }
}

/// Whether a server answers, and lets us in.
pub fn ping(address: &str, access: &Access) -> Result<(), String> {
    // Whichever of its systems is asked for: it only names them.
    let endpoint = Endpoint::parse(System::RedisStreams, address)
        .map_err(|error| error.to_string())?
        .through(access);
    let answered = Connection::open(&endpoint).and_then(|mut control| control.text(&["PING"]));
    let over_tls = access.tls().is_some();
    match answered {
        Ok(_) => Ok(()),
        Err(DriverError::Refused { cause, .. }) => {
            match cause.split(' ').next().unwrap_or_default() {
                // It knows us; what we may do shows later.
                "NOPERM" => Ok(()),
                "NOAUTH" => Err(format!(
                    "it demands a login ({cause}); give `user` and `password`, as `${{env:NAME}}`"
                )),
                "WRONGPASS" => {
                    let reasons = access.tokens().map(|login| login.tokens.reasons());
                    let remedy = reasons.unwrap_or("correct the user or the password".into());
                    Err(format!("the login was refused ({cause}); {remedy}"))
                }
                _ if cause.contains("AUTH") => {
                    Err(format!("the login was refused ({cause}); leave user and password out"))
                }
                _ => Err(cause),
            }
        }
        Err(DriverError::Protocol { cause, .. }) if !over_tls && cause.contains("0x15") => {
            Err(TLS_THERE.into())
        }
        // What it cannot read as TLS it ends without a word.
        Err(DriverError::Disconnected { cause, .. })
            if !over_tls
                && ["closed", "reset", "Broken pipe"].iter().any(|end| cause.contains(end)) =>
        {
            Err(format!("it closed the connection: perhaps {TLS_THERE}"))
        }
        Err(DriverError::Disconnected { cause, .. }) => Err(cause),
        Err(DriverError::Protocol { .. }) => Err("what answers there is no Redis server".into()),
        Err(DriverError::TimedOut { seconds, .. }) => {
            Err(format!("it takes connections and gives no answer within {seconds} s"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Where the server keeps its data, and its process id; `None` where it does not tell.
pub fn data_folder(address: &str, access: &Access) -> Option<(String, u32)> {
    let endpoint = Endpoint::parse(System::RedisStreams, address).ok()?.through(access);
    let mut control = Connection::open(&endpoint).ok()?;
    let folder = control.map(&["CONFIG", "GET", "dir"]).ok()?.remove("dir")?;
    let info = control.text(&["INFO", "server"]).ok()?;
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:"))?;
    Some((folder, pid.trim().parse().ok()?))
}

const TLS_THERE: &str = "it speaks TLS there; write rediss://, or name its plain port";

/// Whatever bytes a server keeps in a setting: shown, not judged.
fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::Nil => String::new(),
        other => String::from_redis_value(other).unwrap_or_default(),
    }
}

/// From the lines of CLIENT LIST. `omem` is what lies in reply blocks; `obl`, the fixed buffer
/// before them.
fn output_buffer(clients: &str, address: &str) -> Option<u64> {
    let field = |line: &str, name: &str| {
        line.split(' ')
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
    };
    let ours = format!("addr={address}");
    let line = clients.lines().find(|line| line.split(' ').any(|field| field == ours))?;
    Some(field(line, "omem").unwrap_or(0) + field(line, "obl").unwrap_or(0))
}

/// What speaks to Redis, with its version.
pub fn client_version() -> String {
    format!("brokerbench {} RESP (own)", env!("CARGO_PKG_VERSION"))
}

pub fn describe(
    cell: &Cell,
    primitive: &dyn Primitive,
    access: &Access,
    server: &ServerInfo,
) -> Description {
    let (config, load) = (&cell.config, &cell.load);
    let tls = if access.tls().is_some() { "yes, verified" } else { "no" };
    let pairs = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let (publish, consume) = primitive.describe(config);
    let batched = match config.library() {
        ClientLibrary::Direct => load.batch.to_string(),
        ClientLibrary::RedisRs => "as redis-rs has it: what has gathered goes in one write".into(),
    };
    Description {
        broker_version: format!("{} {}", server.name, server.version),
        broker_config: server.settings.clone(),
        topic_config: pairs(&[
            ("keys", config.keys.to_string()),
            ("maxlen", config.maxlen.map_or("none".into(), |entries| format!("~ {entries}"))),
        ]),
        client_version: match config.library() {
            ClientLibrary::Direct => client_version(),
            ClientLibrary::RedisRs => format!("redis-rs {} on tokio", redis_rs::VERSION),
        },
        client_config: pairs(&[
            ("protocol", "RESP2".into()),
            ("tls", tls.into()),
            ("tcp-nodelay", "yes".into()),
            ("connections", load.connections.to_string()),
            ("in-flight", load.in_flight.to_string()),
            ("batch", batched),
            ("publish", publish),
            (
                "reply",
                if config.reply == Reply::Off { "off: CLIENT REPLY OFF" } else { "on" }.into(),
            ),
            (
                "copies",
                CopiesWait::under(config, load)
                    .map_or("not waited for".into(), |copies| copies.describe()),
            ),
            ("consume", consume),
            ("retry", retry(cell, primitive)),
        ]),
    }
}

/// What clients try again, and for how long.
fn retry(cell: &Cell, primitive: &dyn Primitive) -> String {
    let load = &cell.load;
    let (Some(deadline), Some(silence)) = (load.deadline, request_timeout(load)) else {
        return "nothing: a lost connection is made again, and what it owed is in doubt".into();
    };
    let (first, longest) = (Span(Backoff::FIRST_NS), Span(Backoff::LONGEST_NS));
    let what = if primitive.at_most_once() {
        "a PUBLISH that was refused or never written, no other"
    } else {
        "every message without an answer, which may so be stored twice"
    };
    format!(
        "{what}, until {deadline} after its sending; connections made anew at once, then after \
         {first} to {longest}; a server counts as gone after {silence} without an answer that it \
         owes"
    )
}

#[cfg(test)]
mod tests;
