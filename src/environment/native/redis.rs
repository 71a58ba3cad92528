//! Real redis-server as a process: `REDIS_SERVER` if set, else the one in `PATH`; Valkey's server is accepted under its own
//! name.

use super::processes::{NativeBroker, Processes};
use crate::environment::install::{Tool, install};
use crate::environment::nodes::files::{make_folder, write_file};
use crate::environment::nodes::redis::{PORT, limit, lone, print};
use crate::environment::nodes::{LaunchSpec, age, port, sentinel};
use crate::environment::{EnvironmentError, Janitor, Launch, probe, program};
use crate::model::Software;
use crate::scenario::SystemConfig;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn remedy() -> String {
    format!("{}, or set REDIS_SERVER to the path of a redis-server", install(Tool::Redis))
}

#[derive(Debug)]
pub struct RedisProgram {
    pub program: PathBuf,
    /// `Redis` or `Valkey`.
    pub product: String,
    pub version: String,
}

impl RedisProgram {
    /// Such as `Redis 8.2.3`.
    pub fn name(&self) -> String {
        format!("{} {}", self.product, self.version)
    }

    pub fn warning(&self) -> Option<String> {
        age::warning(&self.name(), "set REDIS_SERVER to a newer redis-server")
    }
}

/// `limit` is for its answer to `--version`.
pub fn find(limit: Duration) -> Result<RedisProgram, EnvironmentError> {
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
    Ok(RedisProgram { product, version, program })
}

/// From `Redis server v=7.0.15 sha=…` or `Valkey server v=9.1.2 sha=…`.
fn version(answer: &str) -> Option<(String, String)> {
    let (product, rest) = answer.lines().find_map(|line| line.split_once(" server v="))?;
    let version = rest.split(' ').next().filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))?;
    Some((product.to_owned(), version.to_owned()))
}

pub fn start(
    janitor: &Arc<Janitor>,
    server: &RedisProgram,
    config: &SystemConfig,
    number: u32,
) -> Result<NativeBroker, EnvironmentError> {
    let spec = LaunchSpec {
        software: Software::Redis,
        what: server.name(),
        home: janitor.folder().join(format!("redis-{number}")),
        limit: limit(config),
    };
    NativeBroker::start(&spec, || {
        let host = Processes::fresh(janitor, &spec.home, config.preloaded)?;
        let (pinned, bind) = (port::pinned(PORT)?, Ipv4Addr::LOCALHOST);
        if config.nodes == 1 {
            let place = lone(config, pinned)?;
            let data = spec.home.join("data");
            make_folder(&data)?;
            let start = launch(server, &spec.home, "redis.conf", &print(&place.settings(&data, bind, config)), &[])?;
            return Ok((host, vec![(place.plan(1, Arc::new(probe::redis)), start)]));
        }
        let set = sentinel::lay_out(config, pinned, true)?;
        let (whole, watched) = (set.whole(), set.watched());
        let mut plans = Vec::new();
        for (number, place) in (1..).zip(set.places) {
            let home = spec.home.join(format!("node-{number}"));
            let data = home.join("data");
            make_folder(&data)?;
            let start = launch(server, &home, "redis.conf", &print(&place.settings(&data, bind, config)), &[])?;
            plans.push((place.plan(number, whole.clone()), start));
        }
        for (number, watcher) in (1..).zip(set.watchers) {
            let home = spec.home.join(format!("sentinel-{number}"));
            make_folder(&home)?;
            let text = watcher.print(&home, bind, config);
            let start = launch(server, &home, "sentinel.conf", &text, &["--sentinel"])?;
            plans.push((watcher.plan(number, watched.clone()), start));
        }
        Ok((host, plans))
    })
}

/// Writes the configuration and tells how the server is started.
fn launch(
    server: &RedisProgram,
    home: &Path,
    name: &str,
    text: &str,
    more: &[&str],
) -> Result<Launch, EnvironmentError> {
    let file = home.join(name);
    write_file(&file, text)?;
    let mut argv = vec![server.program.display().to_string(), file.display().to_string()];
    argv.extend(more.iter().map(|&arg| arg.to_owned()));
    Ok(Launch { argv, env: BTreeMap::new(), cwd: home.to_owned(), log: home.join("broker.log") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_products() {
        let of = |text| version(text).map(|(product, version)| format!("{product} {version}"));
        assert_eq!(of("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc"), Some("Redis 7.0.15".into()));
        assert_eq!(of("Valkey server v=9.1.2 sha=0 malloc=libc"), Some("Valkey 9.1.2".into()));
        assert_eq!(of("bash: no such option"), None);
    }
}
