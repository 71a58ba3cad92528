//! Kafka's jars by Maven, as `scripts/kafka/pom.xml` names them.

use super::{LIMIT, Offer, put};
use crate::environment::install::{Tool, install};
use crate::environment::native::kafka_jars;
use crate::environment::nodes::age::KAFKA as VERSION;
use crate::environment::nodes::files::{cannot_write, write_file};
use crate::environment::nodes::run_step;
use crate::environment::{EnvironmentError, Janitor, Launch, program};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const POM: &str = include_str!("../../../../scripts/kafka/pom.xml");
const MEGABYTES: u32 = 43;
const OTHERWISE: &str = "set KAFKA_HOME to an unpacked Kafka";

pub fn offer() -> Result<Offer, EnvironmentError> {
    maven()?;
    Ok(Offer {
        name: format!("Kafka {VERSION}"),
        megabytes: MEGABYTES,
        from: "from Maven's repository by mvn".into(),
        into: kafka_jars::cache()?,
        what: "Kafka",
        otherwise: OTHERWISE.into(),
    })
}

fn maven() -> Result<PathBuf, EnvironmentError> {
    program::find("mvn").ok_or_else(|| {
        EnvironmentError::missing(
            "Maven (`mvn`), which fetches Kafka's jars,",
            format!("{}, or {OTHERWISE}", install(Tool::Maven)),
        )
    })
}

/// Maven works in the folder `work`; what it got is copied to the cache.
pub fn fetch(janitor: &Janitor, work: &Path, place: &Path) -> Result<(), EnvironmentError> {
    write_file(&work.join("pom.xml"), POM)?;
    let mut argv = vec![maven()?.display().to_string()];
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
    let log = work.join("maven.log");
    let launch = Launch { argv, env: BTreeMap::new(), cwd: work.to_owned(), log };
    run_step(janitor, launch, "Kafka", "fetching its jars with Maven", LIMIT)?;
    put(place, |partial| {
        copy(&work.join("lib"), partial).map_err(|error| cannot_write(partial, &error))
    })
}

/// All files of a folder into another that is not there yet; on disk when this returns.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for jar in fs::read_dir(from)? {
        let jar = jar?;
        let copy = to.join(jar.file_name());
        fs::copy(jar.path(), &copy)?;
        File::open(copy)?.sync_all()?;
    }
    Ok(())
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
}
