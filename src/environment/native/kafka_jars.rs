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
        let what = format!("libs/kafka_<Scala>-<version>.jar in KAFKA_HOME={}", home.display());
        let remedy = "point KAFKA_HOME to an unpacked Apache Kafka, or unset it, and `--fetch` \
            fetches one";
        EnvironmentError::missing(what, remedy)
    })?;
    Ok(Jars { folder, version, from: "KAFKA_HOME" })
}

/// What else is built beside the broker's own jar.
const BESIDE: [&str; 4] = ["-javadoc", "-scaladoc", "-sources", "-test"];

/// From the name of the broker's own jar, `kafka_2.13-4.4.0.jar` or, of a build of one's own,
/// `kafka_2.13-4.5.0-SNAPSHOT.jar`.
fn version_in(folder: &Path) -> Option<String> {
    let jars = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let built = name.to_str()?.strip_prefix("kafka_")?.strip_suffix(".jar")?;
        let (scala, version) = built.split_once('-')?;
        let numbered = scala.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let broker = version.starts_with(|c: char| c.is_ascii_digit())
            && !BESIDE.iter().any(|other| version.ends_with(other));
        (numbered && broker).then(|| version.to_owned())
    });
    jars.max()
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
        assert!(error.contains("libs/kafka_") && error.contains("KAFKA_HOME"), "{error}");
        fs::create_dir(home.path().join("libs")).unwrap();
        fs::write(home.path().join("libs/kafka_2.13-4.4.0-javadoc.jar"), "").unwrap();
        assert!(in_home(home.path()).is_err(), "that is not the broker");
        fs::write(home.path().join("libs/kafka_2.13-3.9.1.jar"), "").unwrap();
        let jars = in_home(home.path()).unwrap();
        assert_eq!(jars.version, "3.9.1");
        assert!(jars.found().warning.is_some_and(|warning| warning.contains("3.9.1")));
    }

    #[test]
    fn a_build_of_ones_own_is_known_by_its_name() {
        for (jar, version) in [
            ("kafka_2.13-4.5.0-SNAPSHOT.jar", Some("4.5.0-SNAPSHOT")),
            ("kafka_2.13-4.4.0-rc0.jar", Some("4.4.0-rc0")),
            ("kafka_2.13-3.9.1.redhat-00003.jar", Some("3.9.1.redhat-00003")),
            ("kafka_2.12-3.9.1.jar", Some("3.9.1")),
            ("kafka_2.13-4.5.0-SNAPSHOT-sources.jar", None),
            ("kafka_2.13-4.5.0-SNAPSHOT-test.jar", None),
            ("kafka-clients-4.5.0-SNAPSHOT.jar", None),
            ("kafka_2.13-.jar", None),
        ] {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir(home.path().join("libs")).unwrap();
            fs::write(home.path().join("libs").join(jar), "").unwrap();
            let found = in_home(home.path()).ok();
            assert_eq!(found.as_ref().map(|jars| jars.version.as_str()), version, "{jar}");
            let told = found.map(|jars| jars.origin());
            assert!(told.is_none_or(|told| told.contains(version.unwrap_or_default())));
        }
    }
}
