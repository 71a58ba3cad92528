//! Where Kafka's jars come from: `KAFKA_HOME` if set, else a cache outside the checkout, which
//! Maven fills once.
//!
//! Invariant: the cached folder is complete whenever it exists, since it only ever appears by
//! renaming a complete one.

use crate::environment::install::{Tool, install};
use crate::environment::nodes::age::{self, KAFKA as VERSION};
use crate::environment::nodes::files::{cannot_write, make_folder, write_file};
use crate::environment::nodes::run_step;
use crate::environment::{EnvironmentError, Janitor, Launch, program};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const POM: &str = include_str!("../../../scripts/kafka/pom.xml");
/// 43 MB from a repository that may be far away.
const FETCH: Duration = Duration::from_secs(600);

fn remedy() -> String {
    format!("{}, or set KAFKA_HOME to an unpacked Kafka", install(Tool::Maven))
}

#[derive(Debug)]
pub struct Jars {
    folder: PathBuf,
    pub version: String,
    /// `KAFKA_HOME`, or the cache that Maven fills.
    from: &'static str,
}

impl Jars {
    pub fn class_path(&self) -> String {
        self.folder.join("*").display().to_string()
    }

    pub fn origin(&self) -> String {
        format!("Kafka {} from {}", self.version, self.from)
    }

    /// Says so when this is an older Kafka than the one that this program was made for.
    pub fn warning(&self) -> Option<String> {
        age::warning(
            &format!("Kafka {}", self.version),
            "unset KAFKA_HOME to have Maven fetch the current one",
        )
    }
}

/// The jars that are there already; `None` when they have to be fetched first.
pub fn installed() -> Result<Option<Jars>, EnvironmentError> {
    if let Some(home) = program::variable("KAFKA_HOME") {
        return in_home(Path::new(&home)).map(Some);
    }
    let folder = cache()?.join("lib");
    Ok(version_in(&folder).map(|version| Jars { folder, version, from: "our cache, by Maven" }))
}

/// The jars, fetched if need be.
pub fn obtain(janitor: &Janitor) -> Result<Jars, EnvironmentError> {
    if let Some(jars) = installed()? {
        return Ok(jars);
    }
    let cache = cache()?;
    make_folder(&cache)?;
    let _only_one = lock(&cache.join("fetch.lock"))?;
    // Another run may have fetched them while this one waited.
    if installed()?.is_none() {
        fetch(janitor, &cache)?;
    }
    installed()?.ok_or_else(|| {
        EnvironmentError::missing(
            format!("kafka_2.13-{VERSION}.jar among what Maven fetched"),
            remedy(),
        )
    })
}

fn in_home(home: &Path) -> Result<Jars, EnvironmentError> {
    let folder = std::path::absolute(home.join("libs")).unwrap_or_else(|_| home.join("libs"));
    let version = version_in(&folder).ok_or_else(|| {
        let what = format!("libs/kafka_2.13-*.jar in KAFKA_HOME={}", home.display());
        EnvironmentError::missing(
            what,
            "point KAFKA_HOME to an unpacked Apache Kafka, or unset it to have Maven fetch one",
        )
    })?;
    Ok(Jars { folder, version, from: "KAFKA_HOME" })
}

/// From the name of the broker's own jar, `kafka_2.13-4.4.0.jar`.
fn version_in(folder: &Path) -> Option<String> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let name = entry.file_name();
        let version = name.to_str()?.strip_prefix("kafka_2.13-")?.strip_suffix(".jar")?;
        version.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| version.to_owned())
    })
}

fn cache() -> Result<PathBuf, EnvironmentError> {
    let root = program::cache_dir().ok_or_else(|| {
        EnvironmentError::missing(
            "a folder for Kafka's jars",
            "set BROKERBENCH_CACHE to one, since HOME is not set",
        )
    })?;
    Ok(root.join(format!("kafka-{VERSION}")))
}

/// Waits for the right to fill the cache; gives it back when dropped.
fn lock(path: &Path) -> Result<File, EnvironmentError> {
    let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
    let deadline = Instant::now() + FETCH;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(cannot_write(path, &error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(EnvironmentError::Refused(format!(
                    "another run has been fetching Kafka for {} s (it holds {}): wait for it or \
                    end it",
                    FETCH.as_secs(),
                    path.display()
                )));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// What would fetch them.
pub fn maven() -> Result<PathBuf, EnvironmentError> {
    program::find("mvn").ok_or_else(|| {
        EnvironmentError::missing("Maven (`mvn`), which fetches Kafka's jars,", remedy())
    })
}

/// Maven works in the run folder, which the janitor removes whatever happens; the result is copied
/// beside its place in the cache and renamed.
fn fetch(janitor: &Janitor, cache: &Path) -> Result<(), EnvironmentError> {
    let maven = maven()?;
    let work = janitor.folder().join("fetch");
    make_folder(&work)?;
    write_file(&work.join("pom.xml"), POM)?;
    let mut argv = vec![maven.display().to_string()];
    // -C: what does not have its checksum is not taken.
    argv.extend(
        [
            "-q",
            "-B",
            "-C",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-DoutputDirectory=lib",
        ]
        .map(Into::into),
    );
    let launch =
        Launch { argv, env: BTreeMap::new(), cwd: work.clone(), log: work.join("maven.log") };
    run_step(janitor, launch, "Kafka", "fetching its jars with Maven", FETCH)?;

    let (partial, complete) = (cache.join("lib.partial"), cache.join("lib"));
    let place = || {
        let _ = fs::remove_dir_all(&partial);
        let _ = fs::remove_dir_all(&complete);
        fs::create_dir(&partial)?;
        for jar in fs::read_dir(work.join("lib"))? {
            let jar = jar?;
            let copy = partial.join(jar.file_name());
            fs::copy(jar.path(), &copy)?;
            File::open(copy)?.sync_all()?;
        }
        fs::rename(&partial, &complete)
    };
    place().map_err(|error| cannot_write(&complete, &error))?;
    janitor.remove(&work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_pins_the_version_that_we_name() {
        assert!(POM.contains(&format!(
            "<artifactId>kafka_2.13</artifactId>\n      <version>{VERSION}</version>"
        )));
    }

    #[test]
    fn a_home_without_jars_says_what_is_missing() {
        let home = tempfile::tempdir().unwrap();
        let error = in_home(home.path()).unwrap_err().to_string();
        assert!(error.contains("libs/kafka_2.13") && error.contains("KAFKA_HOME"), "{error}");
        fs::create_dir(home.path().join("libs")).unwrap();
        fs::write(home.path().join("libs/kafka_2.13-4.4.0-javadoc.jar"), "").unwrap();
        assert!(in_home(home.path()).is_err(), "that is not the broker");
        fs::write(home.path().join("libs/kafka_2.13-3.9.1.jar"), "").unwrap();
        let jars = in_home(home.path()).unwrap();
        assert_eq!(jars.version, "3.9.1");
        assert!(jars.warning().is_some_and(|warning| warning.contains("3.9.1")));
    }
}
