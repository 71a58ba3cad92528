//! Real redis-server as a process: `REDIS_SERVER` if set, else the one that was fetched into the
//! cache (`supply`), else the one in `PATH`; Valkey's server is accepted under its own name. Where
//! a scenario says whose server it wants, it is that one (`VALKEY_SERVER` or `valkey-server` for
//! Valkey), and no other.

use super::processes::{NativeBroker, Processes};
use super::supply::Found;
use crate::environment::nodes::files::{make_folder, write_file};
use crate::environment::nodes::redis::{lay_out, limit};
use crate::environment::nodes::{LaunchSpec, age};
use crate::environment::{EnvironmentError, Janitor, Launch, NodeRole, program};
use crate::model::Software;
use crate::result::words::name;
use crate::scenario::{ServerKind, SystemConfig};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The version that is fetched.
pub const FETCHED: &str = "8.2.3";
/// In the cache and in `PATH`.
pub const PROGRAM: &str = "redis-server";
const VALKEY: &str = "valkey-server";

/// Where a server was found, the first that counts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Variable,
    Cache,
    Path,
}

#[derive(Debug)]
pub struct RedisProgram {
    pub program: PathBuf,
    /// `Redis` or `Valkey`.
    pub product: String,
    pub version: String,
    place: Place,
    /// Whose it had to be.
    wanted: Option<ServerKind>,
}

impl RedisProgram {
    /// Such as `Redis 8.2.3`.
    pub fn name(&self) -> String {
        format!("{} {}", self.product, self.version)
    }

    /// Which one it is, and why it was taken.
    pub fn origin(&self) -> String {
        let from = match (self.place, self.wanted) {
            (Place::Variable, wanted) => variable(wanted),
            (Place::Cache, _) => {
                "our cache, from a wheel of PyPI, no TLS (REDIS_SERVER is not set)"
            }
            (Place::Path, Some(ServerKind::Valkey)) => "PATH (VALKEY_SERVER is not set)",
            (Place::Path, _) => "PATH (REDIS_SERVER is not set, and none was fetched)",
        };
        format!("{} from {from}", self.name())
    }

    pub fn warning(&self) -> Option<String> {
        let remedy = match (self.place, self.wanted) {
            (_, Some(ServerKind::Valkey)) => "set VALKEY_SERVER to a newer valkey-server",
            (Place::Variable, _) => "set REDIS_SERVER to a newer redis-server, or unset it",
            _ => "pass `--fetch` to take a current one, or set REDIS_SERVER",
        };
        age::warning(&self.name(), self.wanted, remedy)
    }

    pub fn found(self) -> Found {
        let (name, warning) = (self.name(), self.warning());
        // Nothing that could be fetched is a better Valkey.
        let by_chance = self.place == Place::Path && self.wanted != Some(ServerKind::Valkey);
        Found { name, warning, by_chance, place: self.program }
    }
}

fn variable(wanted: Option<ServerKind>) -> &'static str {
    if wanted == Some(ServerKind::Valkey) { "VALKEY_SERVER" } else { "REDIS_SERVER" }
}

/// What is said where there is no Valkey, which is fetched from nowhere.
pub fn no_valkey() -> EnvironmentError {
    let remedy = "install the package valkey, or set VALKEY_SERVER to the path of a valkey-server";
    EnvironmentError::missing(VALKEY, remedy)
}

/// The one that a run takes; `None` where there is none. `limit` is for its answer to `--version`.
pub fn look(
    wanted: Option<ServerKind>,
    limit: Duration,
) -> Result<Option<RedisProgram>, EnvironmentError> {
    let set = match wanted {
        Some(ServerKind::Valkey) => program::variable("VALKEY_SERVER"),
        _ => program::variable("REDIS_SERVER"),
    };
    let Some((program, place)) = choose(wanted, set.as_deref(), fetched(), &program::find)? else {
        return Ok(None);
    };
    // The broker gets its own working directory.
    let program = std::path::absolute(&program).unwrap_or(program);
    let answer = program::output(&program, &["--version"], limit)?;
    let shown = program.display();
    let remedy = format!("install one, or set {} to the path of one", variable(wanted));
    let (product, version) = version(&answer).ok_or_else(|| {
        let first = answer.lines().next().unwrap_or("nothing");
        let what = format!("{shown} does not say that it is a Redis server (`{first}`)");
        EnvironmentError::refused(what, &remedy)
    })?;
    if let Some(server) = wanted.filter(|server| !product.eq_ignore_ascii_case(&name(server))) {
        let means = format!("which `server: {}` does not mean", name(&server));
        let what = format!("{shown} is {product} {version}, {means}");
        return Err(EnvironmentError::refused(what, remedy));
    }
    Ok(Some(RedisProgram { product, version, program, place, wanted }))
}

/// The user's word counts first, then what was fetched to be measured, then what happens to be
/// here. Only Redis is ever fetched.
fn choose(
    wanted: Option<ServerKind>,
    set: Option<&str>,
    fetched: Option<PathBuf>,
    in_path: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<Option<(PathBuf, Place)>, EnvironmentError> {
    if let Some(set) = set {
        let file = if set.contains('/') { Some(PathBuf::from(set)) } else { in_path(set) };
        let file = file.filter(|file| program::is_executable(file)).ok_or_else(|| {
            let variable = variable(wanted);
            let remedy = format!("correct {variable}, or unset it to use one that is found here");
            EnvironmentError::missing(format!("an executable file at {variable}={set}"), remedy)
        })?;
        return Ok(Some((file, Place::Variable)));
    }
    let names: &[&str] = match wanted {
        None => &[PROGRAM, VALKEY],
        Some(ServerKind::Redis) => &[PROGRAM],
        Some(ServerKind::Valkey) => &[VALKEY],
    };
    let in_path = || names.iter().find_map(|name| in_path(name));
    Ok(fetched
        .filter(|_| wanted != Some(ServerKind::Valkey))
        .map(|file| (file, Place::Cache))
        .or_else(|| in_path().map(|file| (file, Place::Path))))
}

/// The one in the cache.
pub fn fetched() -> Option<PathBuf> {
    Some(cache().ok()?.join(PROGRAM)).filter(|file| program::is_executable(file))
}

pub fn cache() -> Result<PathBuf, EnvironmentError> {
    program::cached(&format!("redis-{FETCHED}"))
}

/// From `Redis server v=7.0.15 sha=…` or `Valkey server v=9.1.2 sha=…`.
pub fn version(answer: &str) -> Option<(String, String)> {
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
    use std::path::Path;

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

    #[test]
    fn the_users_word_counts_before_what_was_fetched_before_what_happens_to_be_here() {
        let cached = || Some(PathBuf::from("/cache/redis-server"));
        let in_path = |name: &str| {
            ["sh", "valkey-server"].contains(&name).then(|| Path::new("/bin").join(name))
        };
        let chosen = |set, fetched| choose(None, set, fetched, &in_path).unwrap();
        assert_eq!(chosen(Some("/bin/sh"), cached()), Some(("/bin/sh".into(), Place::Variable)));
        assert_eq!(chosen(Some("sh"), cached()), Some(("/bin/sh".into(), Place::Variable)));
        assert_eq!(chosen(None, cached()), Some(("/cache/redis-server".into(), Place::Cache)));
        assert_eq!(chosen(None, None), Some(("/bin/valkey-server".into(), Place::Path)));
        assert_eq!(choose(None, None, None, &|_: &str| None).unwrap(), None);
        let wrong = choose(None, Some("/no/such"), cached(), &in_path).unwrap_err().to_string();
        assert!(wrong.contains("REDIS_SERVER=/no/such") && wrong.contains("unset"), "{wrong}");
    }

    #[test]
    fn a_scenario_that_wants_one_of_the_two_servers_never_gets_the_other() {
        let cached = || Some(PathBuf::from("/cache/redis-server"));
        let in_path = |name: &str| (name == "valkey-server").then(|| Path::new("/bin").join(name));
        let chosen = |wanted, fetched| choose(Some(wanted), None, fetched, &in_path).unwrap();
        let valkey = Some(("/bin/valkey-server".into(), Place::Path));
        assert_eq!(chosen(ServerKind::Valkey, cached()), valkey);
        let redis = Some(("/cache/redis-server".into(), Place::Cache));
        assert_eq!(chosen(ServerKind::Redis, cached()), redis);
        assert_eq!(chosen(ServerKind::Redis, None), None);
        let wrong = choose(Some(ServerKind::Valkey), Some("/no/such"), None, &in_path).unwrap_err();
        assert!(wrong.to_string().contains("VALKEY_SERVER=/no/such"), "{wrong}");
        assert!(no_valkey().to_string().contains("VALKEY_SERVER"));
    }

    #[test]
    fn results_say_which_was_taken_and_why() {
        let of = |place, version: &str| RedisProgram {
            program: "/bin/redis-server".into(),
            product: "Redis".into(),
            version: version.into(),
            place,
            wanted: None,
        };
        let fetched = of(Place::Cache, FETCHED);
        assert_eq!(
            fetched.origin(),
            "Redis 8.2.3 from our cache, from a wheel of PyPI, no TLS (REDIS_SERVER is not set)"
        );
        assert_eq!(fetched.warning(), None);
        let old = of(Place::Path, "7.0.15");
        assert!(old.origin().starts_with("Redis 7.0.15 from PATH ("));
        assert!(old.warning().is_some_and(|warning| warning.contains("`--fetch`")));
        assert!(old.found().by_chance && !of(Place::Variable, "7.0.15").found().by_chance);
        let wanted = Some(ServerKind::Valkey);
        let valkey = RedisProgram { product: "Valkey".into(), wanted, ..of(Place::Path, "9.1.2") };
        assert_eq!(valkey.origin(), "Valkey 9.1.2 from PATH (VALKEY_SERVER is not set)");
        assert_eq!(valkey.warning(), None, "it stands in for nobody");
        assert!(!valkey.found().by_chance, "no other would be fetched in its place");
    }
}
