//! Real redis-server: `REDIS_SERVER` if set, else the one in `PATH`; Valkey's server is accepted under its own name.
//!
//! What differs from its stock settings: no snapshots and no append-only file unless the scenario asks for them.

use super::broker::{Job, NativeBroker};
use super::files::{make_folder, write_file};
use super::node::{Plan, Proxies};
use super::{port, sentinel};
use crate::environment::install::{Tool, install};
use crate::environment::probe::{self, Probe};
use crate::environment::{EnvironmentError, Janitor, Launch, Role, program};
use crate::scenario::{Software, SystemConfig};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Pins the port that clients connect to.
pub const PORT: &str = "BROKERBENCH_REDIS_PORT";

/// Major version that is current today; an older one is named as such in the results.
const CURRENT: u32 = 8;
const START: Duration = Duration::from_secs(30);
/// Until replicas follow, which begins five seconds late, and Sentinels know all of them.
const START_SET: Duration = Duration::from_secs(90);

fn remedy() -> String {
    format!("{}, or set REDIS_SERVER to the path of a redis-server", install(Tool::Redis))
}

#[derive(Debug)]
pub struct Server {
    pub program: PathBuf,
    /// `Redis` or `Valkey`.
    pub product: String,
    pub version: String,
}

impl Server {
    pub fn warning(&self) -> Option<String> {
        let Self { product, version, .. } = self;
        if product != "Redis" {
            return Some(format!("{product} {version} stands in for Redis: figures hold for {product}"));
        }
        let major = version.split('.').next()?.parse::<u32>().ok()?;
        (major < CURRENT).then(|| {
            format!(
                "Redis {version} is older than the current {CURRENT}.x: figures hold for that version; \
                 set REDIS_SERVER to a newer redis-server"
            )
        })
    }
}

/// `limit` is for its answer to `--version`.
pub fn find(limit: Duration) -> Result<Server, EnvironmentError> {
    let program = match program::variable("REDIS_SERVER") {
        Some(set) => {
            let file = if set.contains('/') { Some(PathBuf::from(&set)) } else { program::find(&set) };
            file.filter(|file| program::is_executable(file)).ok_or_else(|| {
                let remedy = "correct REDIS_SERVER, or unset it to use the one in PATH";
                EnvironmentError::missing(format!("an executable file at REDIS_SERVER={set}"), remedy)
            })?
        }
        None => program::find("redis-server")
            .or_else(|| program::find("valkey-server"))
            .ok_or_else(|| EnvironmentError::missing("redis-server", remedy()))?,
    };
    // The broker gets its own working directory.
    let program = std::path::absolute(&program).unwrap_or(program);
    let answer = program::output(&program, &["--version"], limit)?;
    let (product, version) = version(&answer).ok_or_else(|| {
        let first = answer.lines().next().unwrap_or("nothing");
        let shown = program.display();
        EnvironmentError::refused(format!("{shown} does not say that it is a Redis server (`{first}`)"), remedy())
    })?;
    Ok(Server { product, version, program })
}

/// From `Redis server v=7.0.15 sha=…` or `Valkey server v=9.1.2 sha=…`.
fn version(answer: &str) -> Option<(String, String)> {
    let (product, rest) = answer.lines().find_map(|line| line.split_once(" server v="))?;
    let version = rest.split(' ').next().filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))?;
    Some((product.to_owned(), version.to_owned()))
}

pub fn start(
    janitor: &Arc<Janitor>,
    server: &Server,
    config: &SystemConfig,
    number: u32,
) -> Result<NativeBroker, EnvironmentError> {
    let job = Job {
        janitor,
        preloaded: config.preloaded,
        software: Software::Redis,
        what: format!("{} {}", server.product, server.version),
        home: janitor.folder().join(format!("redis-{number}")),
        limit: if config.nodes == 1 { START } else { START_SET },
    };
    NativeBroker::start(&job, |home| {
        let pinned = port::pinned(PORT)?;
        if config.nodes > 1 {
            return sentinel::plan(server, home, pinned, config);
        }
        let [free] = port::free()?;
        let (port, proxies) = if config.proxied {
            (free, Proxies::for_clients(pinned, free)?)
        } else {
            (pinned.unwrap_or(free), Proxies::default())
        };
        let place = Place { home: home.to_owned(), port, proxies, copies: None };
        Ok(vec![place.plan(server, 1, config, Arc::new(probe::redis))?])
    })
}

/// Where one server lies and listens, and whom it follows.
pub struct Place {
    pub home: PathBuf,
    pub port: u16,
    pub proxies: Proxies,
    /// The port at which it reaches its primary.
    pub copies: Option<u16>,
}

impl Place {
    /// Writes its configuration. `whole` as in [`Plan`].
    pub fn plan(
        self,
        server: &Server,
        number: usize,
        config: &SystemConfig,
        whole: Probe,
    ) -> Result<Plan, EnvironmentError> {
        let data = self.home.join("data");
        make_folder(&data)?;
        let file = self.home.join("redis.conf");
        write_file(&file, &print(&self.settings(&data, config)))?;
        Ok(Plan {
            name: format!("node {number}"),
            role: Role::Data,
            launch: launch(server, &self.home, &file, &[]),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            alive: Arc::new(probe::redis),
            whole,
            proxies: self.proxies,
        })
    }

    fn settings(&self, data: &Path, config: &SystemConfig) -> BTreeMap<String, String> {
        let ours = [
            ("port", self.port.to_string()),
            ("bind", "127.0.0.1".to_owned()),
            ("protected-mode", "yes".to_owned()),
            ("daemonize", "no".to_owned()),
            ("dir", quoted(data)),
            // To standard output, where its last words before a configuration is read go too.
            ("logfile", String::new()),
            ("save", String::new()),
            ("appendonly", "no".to_owned()),
        ];
        let mut settings: BTreeMap<String, String> =
            ours.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        if let Some(peers) = &self.proxies.peers {
            settings.insert("replica-announce-ip".into(), peers.address().ip().to_string());
            settings.insert("replica-announce-port".into(), peers.address().port().to_string());
        }
        settings.extend(self.copies.map(|primary| ("replicaof".to_owned(), format!("127.0.0.1 {primary}"))));
        settings.extend(config.broker.clone());
        settings
    }
}

pub fn launch(server: &Server, home: &Path, file: &Path, more: &[&str]) -> Launch {
    let mut argv = vec![server.program.display().to_string(), file.display().to_string()];
    argv.extend(more.iter().map(|&arg| arg.to_owned()));
    Launch { argv, env: BTreeMap::new(), cwd: home.to_owned(), log: home.join("broker.log") }
}

/// A path as `redis.conf` takes it.
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// As `redis.conf`, where a value may be several words, quoted as the user sees fit.
fn print(settings: &BTreeMap<String, String>) -> String {
    let value = |value: &str| if value.trim().is_empty() { "\"\"".to_owned() } else { value.to_owned() };
    settings.iter().map(|(key, text)| format!("{key} {}\n", value(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::System;

    #[test]
    fn versions_of_both_products() {
        let of = |text| version(text).map(|(product, version)| format!("{product} {version}"));
        assert_eq!(of("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc"), Some("Redis 7.0.15".into()));
        assert_eq!(of("Valkey server v=9.1.2 sha=0 malloc=libc"), Some("Valkey 9.1.2".into()));
        assert_eq!(of("bash: no such option"), None);
    }

    #[test]
    fn age_and_stand_ins_are_named() {
        let server = |product: &str, version: &str| Server {
            program: PathBuf::new(),
            product: product.into(),
            version: version.into(),
        };
        assert!(server("Redis", "7.0.15").warning().is_some_and(|warning| warning.contains("7.0.15")));
        assert_eq!(server("Redis", "8.2.3").warning(), None);
        assert_eq!(server("Redis", "10.0.0").warning(), None);
        assert!(server("Valkey", "9.1.2").warning().is_some());
    }

    #[test]
    fn the_scenario_has_the_last_word_and_nothing_is_kept_unasked() {
        let mut config = SystemConfig::defaults(System::RedisLists);
        config.broker.insert("appendonly".into(), "yes".into());
        config.broker.insert("client-output-buffer-limit".into(), "pubsub 0 0 0".into());
        let place = Place { home: PathBuf::new(), port: 1000, proxies: Proxies::default(), copies: None };
        let text = print(&place.settings(Path::new("/a \"b"), &config));
        assert!(!text.contains("replicaof"), "{text}");
        for line in [
            "appendonly yes",
            "save \"\"",
            "bind 127.0.0.1",
            "dir \"/a \\\"b\"",
            "client-output-buffer-limit pubsub 0 0 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
