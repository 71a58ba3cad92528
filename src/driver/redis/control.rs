//! The control path, over the redis crate: versions, settings, deletion; and what follows from the settings.
//!
//! Settings are read back from the server and shown by an allow-list, so that no secret can slip into a result.

use super::endpoint::{Endpoint, SET_UP};
use super::resilient::patience;
use super::resp::words;
use crate::driver::DriverError;
use crate::result::{Description, Survives};
use crate::scenario::{Cell, ListMode, Reply, System};
use redis::{Connection, RedisError, cmd};
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

/// Version of the redis crate in `Cargo.lock`; it does not tell it itself.
const CRATE: &str = "1.8.1";

/// The oldest major version that knows BLMPOP and the `entries-added` of XINFO STREAM.
const OLDEST: u32 = 7;

/// A server as it describes itself.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// `Redis` or `Valkey`.
    pub name: String,
    pub version: String,
    /// The Redis version whose commands it knows; what Valkey calls `redis_version`.
    pub compatible: String,
    /// Decisive settings, read back; those of the scenario where the server does not tell.
    pub settings: BTreeMap<String, String>,
}

impl Server {
    fn parse(info: &str, settings: BTreeMap<String, String>) -> Self {
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let compatible = field("redis_version").unwrap_or_else(|| "unknown".into());
        match field("server_name").as_deref() {
            Some("valkey") => {
                let version = field("valkey_version").unwrap_or_else(|| compatible.clone());
                Self { name: "Valkey".into(), version, compatible, settings }
            }
            Some(other) if other != "redis" => {
                Self { name: other.to_owned(), version: compatible.clone(), compatible, settings }
            }
            _ => Self { name: "Redis".into(), version: compatible.clone(), compatible, settings },
        }
    }

    /// Refuses a server that lacks the commands of this driver.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), DriverError> {
        let major = self.compatible.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < OLDEST) {
            let found = format!("{} {} at {}", self.name, self.version, endpoint.address());
            let cause = format!("{found} is too old: {OLDEST}.0 or newer is needed (BLMPOP, XINFO STREAM)");
            return Err(endpoint.refused("prepare", cause));
        }
        Ok(())
    }
}

pub struct Control {
    endpoint: Endpoint,
    connection: Connection,
}

impl Control {
    pub fn connect(endpoint: &Endpoint) -> Result<Self, DriverError> {
        let failed = |error: RedisError| explain(endpoint, "connecting", &error);
        let client = redis::Client::open(endpoint.info()).map_err(failed)?;
        let connection = client.get_connection_with_timeout(SET_UP).map_err(failed)?;
        connection.set_read_timeout(Some(SET_UP)).map_err(failed)?;
        connection.set_write_timeout(Some(SET_UP)).map_err(failed)?;
        Ok(Self { endpoint: endpoint.clone(), connection })
    }

    /// Version and settings; `wanted` stands in for the settings where CONFIG is refused, as managed services do.
    pub fn server(&mut self, wanted: &BTreeMap<String, String>) -> Result<Server, DriverError> {
        let info = cmd("INFO").arg("server").query::<String>(&mut self.connection);
        let info = info.map_err(|error| explain(&self.endpoint, "INFO", &error))?;
        let all = cmd("CONFIG").arg("GET").arg("*").query::<BTreeMap<String, String>>(&mut self.connection);
        let shown = |settings: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let decisive = settings.iter().filter(|(name, _)| DECISIVE.contains(&name.as_str()));
            decisive.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let settings = match all {
            Ok(all) => shown(&all),
            Err(error) if error.is_io_error() => return Err(explain(&self.endpoint, "CONFIG GET", &error)),
            Err(_) => shown(wanted),
        };
        Ok(Server::parse(&info, settings))
    }

    /// One section of INFO.
    pub fn info(&mut self, section: &str) -> Result<String, DriverError> {
        let info = cmd("INFO").arg(section).query::<String>(&mut self.connection);
        info.map_err(|error| explain(&self.endpoint, "INFO", &error))
    }

    /// How many elements `command` (XLEN, LLEN) finds under `key`.
    pub fn length(&mut self, command: &str, key: &str) -> Result<u64, DriverError> {
        let length = cmd(command).arg(key).query::<u64>(&mut self.connection);
        length.map_err(|error| explain(&self.endpoint, command, &error))
    }

    /// The server's output buffer for the client at `address`, bytes; `None` once it is not connected any more.
    pub fn output_buffer(&mut self, address: &str) -> Result<Option<u64>, DriverError> {
        let clients = cmd("CLIENT").arg("LIST").query::<String>(&mut self.connection);
        let clients = clients.map_err(|error| explain(&self.endpoint, "CLIENT LIST", &error))?;
        Ok(output_buffer(&clients, address))
    }

    /// Makes a group at the oldest entry of the stream (`XGROUP CREATE`), or moves one back there (`XGROUP SETID`).
    pub fn group_from_the_oldest(&mut self, action: &str, key: &str, group: &str) -> Result<(), DriverError> {
        let done = cmd("XGROUP").arg(action).arg(key).arg(group).arg("0").query::<()>(&mut self.connection);
        done.map_err(|error| explain(&self.endpoint, "XGROUP", &error))
    }

    /// Deletes keys in the background of the server, so that millions of messages do not stall it.
    pub fn delete(&mut self, keys: &[String]) -> Result<(), DriverError> {
        let deleted = cmd("UNLINK").arg(keys).query::<()>(&mut self.connection);
        deleted.map_err(|error| explain(&self.endpoint, "UNLINK", &error))
    }
}

/// From the lines of CLIENT LIST. `omem` is what lies in reply blocks; `obl`, the fixed buffer before them.
fn output_buffer(clients: &str, address: &str) -> Option<u64> {
    let field = |line: &str, name: &str| {
        line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
    };
    let ours = format!("addr={address}");
    let line = clients.lines().find(|line| line.split(' ').any(|field| field == ours))?;
    Some(field(line, "omem").unwrap_or(0) + field(line, "obl").unwrap_or(0))
}

pub fn explain(endpoint: &Endpoint, action: &str, error: &RedisError) -> DriverError {
    if error.is_timeout() {
        endpoint.timed_out(action, SET_UP)
    } else if error.is_io_error() || error.is_connection_dropped() {
        endpoint.lost(words(error.to_string().as_bytes()))
    } else {
        endpoint.refused(action, words(error.to_string().as_bytes()))
    }
}

/// Survival class by Redis's documentation on persistence. Snapshots (`save`) do not count: what was acknowledged
/// since the last one is gone.
pub fn survives(cell: &Cell, settings: &BTreeMap<String, String>) -> Survives {
    if cell.config.system == System::RedisPubsub {
        let because = "Pub/Sub keeps nothing; the reply to PUBLISH promises nothing; no acknowledgement by consumers";
        return Survives { because: because.into(), ..Survives::default() };
    }
    if cell.config.reply == Reply::Off {
        let because = "CLIENT REPLY OFF: nothing is acknowledged, and a refusal shows to nobody";
        return Survives { because: because.into(), ..Survives::default() };
    }
    let consumer = match (cell.config.system, cell.config.consume.mode) {
        (System::RedisStreams, _) => "consumers XACK after processing",
        (_, ListMode::Pop) => "consumers take elements away before processing (BLMPOP)",
        (_, ListMode::Reliable) => "consumers delete elements from a processing list after processing (LMOVE)",
    };
    let setting = |name: &str, default: &str| settings.get(name).map_or(default.to_owned(), Clone::clone);
    let (appendonly, appendfsync) = (setting("appendonly", "no"), setting("appendfsync", "everysec"));
    let (process_kill, power_loss, persistence) = match (appendonly.as_str(), appendfsync.as_str()) {
        ("yes", "always") => (true, true, "appendonly yes, appendfsync always: synced before the reply".to_owned()),
        ("yes", fsync) => (true, false, format!("appendonly yes, appendfsync {fsync}: in the kernel, synced later")),
        _ => (false, false, "appendonly no: in memory only, snapshots aside".to_owned()),
    };
    // With replicas, a primary that was killed is replaced by one that may not have what only it confirmed.
    let alone = cell.config.nodes == 1;
    let (process_kill, power_loss) = (process_kill && alone, power_loss && alone);
    let copies = if alone { "" } else { ", which its replicas follow later" };
    let because = format!("{persistence}; acknowledged by the primary alone{copies}; {consumer}");
    Survives { process_kill, power_loss, node_loss: false, copies: 1, because }
}

/// What speaks to Redis, with its version.
pub fn client_version() -> String {
    format!("brokerbench {} RESP (own); redis crate {CRATE} for control", env!("CARGO_PKG_VERSION"))
}

pub fn describe(cell: &Cell, server: &Server) -> Description {
    let (config, load) = (&cell.config, &cell.load);
    let text = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let batch = config.consume.batch;
    let (publish, consume) = match (config.system, config.consume.mode) {
        (System::RedisPubsub, _) => ("PUBLISH".to_owned(), "SUBSCRIBE (pushed)".to_owned()),
        (System::RedisStreams, _) => {
            let trim = config.maxlen.map_or(String::new(), |entries| format!(" MAXLEN ~ {entries}"));
            (format!("XADD{trim} *"), format!("XREADGROUP COUNT {batch} BLOCK, XACK with the next request"))
        }
        (_, ListMode::Pop) => ("LPUSH".to_owned(), format!("BLMPOP RIGHT COUNT {batch}")),
        (_, ListMode::Reliable) => {
            ("LPUSH".to_owned(), format!("LMOVE, {batch} at most in one pipeline, BLMOVE when empty, DEL afterwards"))
        }
    };
    Description {
        broker_version: format!("{} {}", server.name, server.version),
        broker_config: server.settings.clone(),
        topic_config: text(&[
            ("keys", config.keys.to_string()),
            ("maxlen", config.maxlen.map_or("none".into(), |entries| format!("~ {entries}"))),
        ]),
        client_version: client_version(),
        client_config: text(&[
            ("protocol", "RESP2".into()),
            ("tcp-nodelay", "yes".into()),
            ("connections", load.connections.to_string()),
            ("in-flight", load.in_flight.to_string()),
            ("batch", load.batch.to_string()),
            ("publish", publish),
            ("reply", if config.reply == Reply::Off { "off: CLIENT REPLY OFF" } else { "on" }.into()),
            ("consume", consume),
            ("retry", retry(cell)),
        ]),
    }
}

/// What clients try again, and for how long.
fn retry(cell: &Cell) -> String {
    let Some(deadline) = cell.load.deadline else { return "nothing: a lost connection ends the load".into() };
    let silence = patience(deadline) as f64 / 1e9;
    let what = match cell.config.system {
        System::RedisPubsub => "a PUBLISH that was refused or never written, no other",
        _ => "every message without an answer, which may so be stored twice",
    };
    format!(
        "{what}, until {deadline} after its sending; connections made anew at once, then after 10 to 500 ms; a server \
         counts as gone after {silence} s without an answer that it owes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_crate_is_the_locked_one() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"redis\"\nversion = \"{CRATE}\"")));
    }

    #[test]
    fn the_output_buffer_of_one_client_is_found() {
        let clients = "id=3 addr=127.0.0.1:50001 laddr=127.0.0.1:1 obl=10 oll=2 omem=40960 tot-mem=9 cmd=subscribe\n\
                       id=4 addr=127.0.0.1:500 obl=0 oll=0 omem=0 cmd=client|list\n";
        assert_eq!(output_buffer(clients, "127.0.0.1:50001"), Some(40_970));
        assert_eq!(output_buffer(clients, "127.0.0.1:500"), Some(0));
        assert_eq!(output_buffer(clients, "127.0.0.1:5"), None);
    }

    #[test]
    fn servers_are_told_apart() {
        let redis = Server::parse("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n", BTreeMap::new());
        assert_eq!((redis.name.as_str(), redis.version.as_str()), ("Redis", "7.0.15"));
        let valkey =
            Server::parse("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n", BTreeMap::new());
        assert_eq!((valkey.name.as_str(), valkey.version.as_str()), ("Valkey", "9.1.2"));
        let endpoint = Endpoint::parse(System::RedisLists, "127.0.0.1:1").unwrap();
        assert!(redis.check(&endpoint).is_ok() && valkey.check(&endpoint).is_ok());
        let old = Server::parse("redis_version:6.2.14\r\n", BTreeMap::new());
        let refused = old.check(&endpoint).unwrap_err().to_string();
        assert!(refused.contains("6.2.14") && refused.contains("7.0 or newer"), "{refused}");
    }
}
