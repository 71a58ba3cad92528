//! Redis servers, whatever runs them: where each listens, whom it follows, and its settings.
//!
//! What differs from stock settings: no snapshots and no append-only file unless the scenario asks for them.

use super::node::{Plan, Proxies};
use super::port;
use crate::environment::probe::{self, Probe};
use crate::environment::{EnvironmentError, NodeRole};
use crate::scenario::SystemConfig;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Pins the port that clients connect to.
pub const PORT: &str = "BROKERBENCH_REDIS_PORT";
const START: Duration = Duration::from_secs(30);
/// Until replicas follow, which begins five seconds late, and Sentinels know all of them.
const START_SET: Duration = Duration::from_secs(90);

/// How long the nodes may take to answer.
pub fn limit(config: &SystemConfig) -> Duration {
    if config.nodes == 1 { START } else { START_SET }
}

/// Where one server listens, and whom it follows.
pub struct RedisPlace {
    pub port: u16,
    pub proxies: Proxies,
    /// The port at which it reaches its primary.
    pub copies: Option<u16>,
}

/// The place of a server that is alone.
pub fn lone(config: &SystemConfig, pinned: Option<u16>) -> Result<RedisPlace, EnvironmentError> {
    let [free] = port::free()?;
    let (port, proxies) = if config.proxied {
        (free, Proxies::for_clients(pinned, free)?)
    } else {
        (pinned.unwrap_or(free), Proxies::default())
    };
    Ok(RedisPlace { port, proxies, copies: None })
}

impl RedisPlace {
    /// How it is reached. `whole` as in [`Plan`].
    pub fn plan(self, number: usize, whole: Probe) -> Plan {
        Plan {
            name: format!("node {number}"),
            role: NodeRole::Data,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            alive: Arc::new(probe::redis),
            whole,
            proxies: self.proxies,
        }
    }

    /// Its settings, with clients let in at the address `bind` and its data in the folder `data`.
    pub fn settings(&self, data: &Path, bind: Ipv4Addr, config: &SystemConfig) -> BTreeMap<String, String> {
        let ours = [
            ("port", self.port.to_string()),
            ("bind", bind.to_string()),
            ("protected-mode", protected(bind).to_owned()),
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

/// Without a password, one that is protected talks to loopback alone.
pub fn protected(bind: Ipv4Addr) -> &'static str {
    if bind.is_loopback() { "yes" } else { "no" }
}

/// A path as `redis.conf` takes it.
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// As `redis.conf`, where a value may be several words, quoted as the user sees fit.
pub fn print(settings: &BTreeMap<String, String>) -> String {
    let value = |value: &str| if value.trim().is_empty() { "\"\"".to_owned() } else { value.to_owned() };
    settings.iter().map(|(key, text)| format!("{key} {}\n", value(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

    #[test]
    fn the_scenario_has_the_last_word_and_nothing_is_kept_unasked() {
        let mut config = SystemConfig::defaults(System::RedisLists);
        config.broker.insert("appendonly".into(), "yes".into());
        config.broker.insert("client-output-buffer-limit".into(), "pubsub 0 0 0".into());
        let place = RedisPlace { port: 1000, proxies: Proxies::default(), copies: None };
        let text = print(&place.settings(Path::new("/a \"b"), Ipv4Addr::LOCALHOST, &config));
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
