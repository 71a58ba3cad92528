//! Where Kafka's jars are: in `KAFKA_HOME` if set, else in a cache outside the checkout, if they
//! were fetched (`supply`).

use super::supply::Found;
use crate::environment::nodes::age::{self, KAFKA as VERSION};
use crate::environment::{EnvironmentError, program};
use std::fs;
use std::path::{Path, PathBuf};

/// Of the cache, with all jars in it.
pub const FOLDER: &str = "lib";

#[derive(Debug)]
pub struct Jars {
    folder: PathBuf,
    pub version: String,
    /// Why these were taken.
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
        let remedy = "unset KAFKA_HOME and pass `--fetch`";
        age::warning(&format!("Kafka {}", self.version), None, remedy)
    }

    pub fn found(self) -> Found {
        let (name, warning) = (format!("Kafka {}", self.version), self.warning());
        Found { name, place: self.folder, warning, by_chance: false }
    }
}

/// The jars that are there; `None` where they would have to be fetched first.
pub fn installed() -> Result<Option<Jars>, EnvironmentError> {
    match program::variable("KAFKA_HOME") {
        Some(home) => in_home(Path::new(&home)).map(Some),
        // Where there is no place for a cache, that is what must be said.
        None => cache().map(|_| fetched()),
    }
}

/// Those in the cache.
pub fn fetched() -> Option<Jars> {
    let folder = cache().ok()?.join(FOLDER);
    let from = "our cache, by Maven (KAFKA_HOME is not set)";
    version_in(&folder).map(|version| Jars { folder, version, from })
}

fn in_home(home: &Path) -> Result<Jars, EnvironmentError> {
    let folder = std::path::absolute(home.join("libs")).unwrap_or_else(|_| home.join("libs"));
    let version = version_in(&folder).ok_or_else(|| {
        let what = format!("libs/kafka_2.13-*.jar in KAFKA_HOME={}", home.display());
        let remedy = "point KAFKA_HOME to an unpacked Apache Kafka, or unset it, and `--fetch` \
            fetches one";
        EnvironmentError::missing(what, remedy)
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

pub fn cache() -> Result<PathBuf, EnvironmentError> {
    program::cached(&format!("kafka-{VERSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(jars.found().warning.is_some_and(|warning| warning.contains("3.9.1")));
    }
}
