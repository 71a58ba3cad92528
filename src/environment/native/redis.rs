//! Real redis-server as a process: `REDIS_SERVER` if set, else the one in `PATH`; Valkey's server
//! is accepted under its own name.

use super::processes::{NativeBroker, Processes};
use crate::environment::install::{Tool, install};
use crate::environment::nodes::files::{make_folder, write_file};
use crate::environment::nodes::redis::{lay_out, limit};
use crate::environment::nodes::{LaunchSpec, age};
use crate::environment::{EnvironmentError, Janitor, Launch, NodeRole, program};
use crate::model::Software;
use crate::scenario::SystemConfig;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
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
    /// The variable that names it, or `PATH`.
    from: &'static str,
}

impl RedisProgram {
    /// Such as `Redis 8.2.3`.
    pub fn name(&self) -> String {
        format!("{} {}", self.product, self.version)
    }

    pub fn origin(&self) -> String {
        format!("{} from {}", self.name(), self.from)
    }

    pub fn warning(&self) -> Option<String> {
        age::warning(&self.name(), "set REDIS_SERVER to a newer redis-server")
    }
}

/// `limit` is for its answer to `--version`.
pub fn find(limit: Duration) -> Result<RedisProgram, EnvironmentError> {
    let (program, from) = match program::variable("REDIS_SERVER") {
        Some(set) => {
            let file =
                if set.contains('/') { Some(PathBuf::from(&set)) } else { program::find(&set) };
            let file = file.filter(|file| program::is_executable(file)).ok_or_else(|| {
                let remedy = "correct REDIS_SERVER, or unset it to use the one in PATH";
                EnvironmentError::missing(
                    format!("an executable file at REDIS_SERVER={set}"),
                    remedy,
                )
            })?;
            (file, "REDIS_SERVER")
        }
        None => {
            let found = program::find("redis-server").or_else(|| program::find("valkey-server"));
            let missing = || EnvironmentError::missing("redis-server", remedy());
            (found.ok_or_else(missing)?, "PATH")
        }
    };
    // The broker gets its own working directory.
    let program = std::path::absolute(&program).unwrap_or(program);
    let answer = program::output(&program, &["--version"], limit)?;
    let (product, version) = version(&answer).ok_or_else(|| {
        let first = answer.lines().next().unwrap_or("nothing");
        let shown = program.display();
        EnvironmentError::refused(
            format!("{shown} does not say that it is a Redis server (`{first}`)"),
            remedy(),
        )
    })?;
    Ok(RedisProgram { product, version, program, from })
}

/// From `Redis server v=7.0.15 sha=…` or `Valkey server v=9.1.2 sha=…`.
fn version(answer: &str) -> Option<(String, String)> {
    let (product, rest) = answer.lines().find_map(|line| line.split_once(" server v="))?;
    let version = rest
        .split(' ')
        .next()
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))?;
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
        let mut plans = Vec::new();
        for (plan, node) in lay_out(config, true)? {
            let home = if config.nodes == 1 {
                spec.home.clone()
            } else {
                spec.home.join(plan.name.replace(' ', "-"))
            };
            let data = if node.role == NodeRole::Data { home.join("data") } else { home.clone() };
            make_folder(&data)?;
            let (name, more) = node.file();
            let file = home.join(name);
            write_file(&file, &node.print(&data, Ipv4Addr::LOCALHOST, config))?;
            let mut argv = vec![server.program.display().to_string(), file.display().to_string()];
            argv.extend(more.iter().map(|&word| word.to_owned()));
            let log = home.join("broker.log");
            plans.push((plan, Launch { argv, env: BTreeMap::new(), cwd: home, log }));
        }
        Ok((host, plans))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_products() {
        let of = |text| version(text).map(|(product, version)| format!("{product} {version}"));
        assert_eq!(
            of("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc"),
            Some("Redis 7.0.15".into())
        );
        assert_eq!(of("Valkey server v=9.1.2 sha=0 malloc=libc"), Some("Valkey 9.1.2".into()));
        assert_eq!(of("bash: no such option"), None);
    }
}
