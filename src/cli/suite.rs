//! `results/<profile>/suite.json`: which scenarios of a comparison have finished, so that a stopped
//! one can go on.
//!
//! A finished run is kept only as long as it is what would be measured now: same scenario as
//! resolved, same profile, same binary, same kind of environment. One that was interrupted is
//! never finished. A run that the harness or a broker spoilt is: measuring again
//! until it pleases would be choosing.

use super::exit::Failure;
use super::say;
use crate::result::{
    Build, Manifest, ResultError, RunFolder, SCHEMA, ScenarioInfo, Status, Summary, files,
};
use crate::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    schema: u32,
    profile: String,
    /// Version and build.
    #[serde(alias = "brokerbench_version")]
    program: String,
    /// Scenario to the name of its run folder.
    finished: BTreeMap<String, String>,
}

pub struct Suite {
    path: PathBuf,
    runs: PathBuf,
    content: Content,
    /// Runs of other binaries count as well.
    mixed: bool,
}

impl Suite {
    /// The suite of a profile: continued, or begun anew.
    pub fn open(results: &Path, profile: &str, resume: bool, mixed: bool) -> Result<Self, Failure> {
        let path = results.join(profile).join("suite.json");
        let program = this_program();
        let fresh = Content {
            schema: SCHEMA,
            profile: profile.to_owned(),
            program: program.clone(),
            finished: BTreeMap::new(),
        };
        let content = match resume && path.is_file() {
            true => files::read_json::<Content>(&path)?,
            false => fresh,
        };
        if resume && !mixed && content.program != program {
            say(&format!(
                "resume: the suite was begun by brokerbench {}, this is {program}: everything is \
                measured again (`--mixed-builds` keeps and marks it)",
                content.program
            ));
        }
        Ok(Self { path, runs: results.join("runs"), content, mixed })
    }

    /// The finished run of a scenario, if it is what would be measured now.
    pub fn finished(
        &self,
        scenario: &Scenario,
        environment: &str,
    ) -> Option<(PathBuf, Manifest, Summary)> {
        let name = self.content.finished.get(&scenario.name)?;
        let folder = RunFolder::open(&self.runs.join(name)).ok()?;
        let manifest = folder.read_manifest().ok()?;
        let same = (self.mixed || Build::same(manifest.build.as_ref(), Some(Build::this())))
            && matches!(manifest.status, Status::Complete | Status::Invalid)
            && manifest.profile.as_deref() == Some(&self.content.profile)
            && manifest.environment == environment
            && same_scenario(&manifest.scenario, &scenario.info());
        let summary = if same { folder.read_summary().ok()? } else { return None };
        Some((folder.path().to_owned(), manifest, summary))
    }

    /// Notes a run that ended. An interrupted one is forgotten.
    pub fn note(&mut self, manifest: &Manifest) -> Result<(), ResultError> {
        let name = manifest.scenario.name.clone();
        match manifest.status {
            Status::Complete | Status::Invalid => {
                self.content.finished.insert(name, manifest.run.clone())
            }
            Status::Interrupted | Status::Failed => self.content.finished.remove(&name),
        };
        self.content.program = this_program();
        files::write_json(&self.path, &self.content)
    }
}

fn this_program() -> String {
    format!("{}, {}", env!("CARGO_PKG_VERSION"), Build::this())
}

/// Equal in everything that is measured by; the file may lie elsewhere.
fn same_scenario(a: &ScenarioInfo, b: &ScenarioInfo) -> bool {
    ScenarioInfo { source: String::new(), ..a.clone() }
        == ScenarioInfo { source: String::new(), ..b.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{summarize, testing};
    use crate::scenario::{self, Overrides};

    fn quick(sets: &[&str]) -> Scenario {
        let sets = sets.iter().map(|text| (*text).to_owned()).collect();
        scenario::load(
            "throughput",
            &Overrides { profile: Some("quick".into()), sets, ..Overrides::default() },
        )
        .unwrap()
    }

    /// A run of `scenario` on disk.
    fn stored(results: &Path, scenario: &Scenario, status: Status) -> Manifest {
        let folder = testing::throughput_run(results, 1);
        let mut manifest = folder.read_manifest().unwrap();
        manifest.scenario = scenario.info();
        manifest.profile = scenario.profile.clone();
        manifest.status = status;
        manifest.build = Some(Build::this().clone());
        folder.write_manifest(&manifest).unwrap();
        folder.write_summary(&summarize(&folder).unwrap()).unwrap();
        manifest
    }

    #[test]
    fn a_stopped_suite_keeps_what_has_finished_and_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let scenario = quick(&[]);
        let manifest = stored(dir.path(), &scenario, Status::Complete);
        let mut suite = Suite::open(dir.path(), "quick", false, false).unwrap();
        assert!(suite.finished(&scenario, "native").is_none());
        suite.note(&manifest).unwrap();

        let suite = Suite::open(dir.path(), "quick", true, false).unwrap();
        let (path, kept, _) = suite.finished(&scenario, "native").unwrap();
        assert!(path.ends_with(&manifest.run) && kept.run == manifest.run);
        assert!(suite.finished(&scenario, "external").is_none(), "other brokers");
        assert!(
            suite.finished(&quick(&["load.duration=7s"]), "native").is_none(),
            "another scenario"
        );
        std::fs::remove_dir_all(path).unwrap();
        assert!(suite.finished(&scenario, "native").is_none(), "its folder is gone");
        assert!(
            Suite::open(dir.path(), "quick", false, false)
                .unwrap()
                .finished(&scenario, "native")
                .is_none()
        );
    }

    #[test]
    fn another_binary_and_an_interrupted_run_are_measured_again() {
        let dir = tempfile::tempdir().unwrap();
        let scenario = quick(&[]);
        let mut suite = Suite::open(dir.path(), "quick", false, false).unwrap();
        suite.note(&stored(dir.path(), &scenario, Status::Invalid)).unwrap();
        assert!(suite.finished(&scenario, "native").is_some(), "spoilt, but finished");
        suite.note(&stored(dir.path(), &scenario, Status::Interrupted)).unwrap();
        assert!(suite.finished(&scenario, "native").is_none());
        let manifest = stored(dir.path(), &scenario, Status::Complete);
        suite.note(&manifest).unwrap();
        let folder = RunFolder::open(&dir.path().join("runs").join(&manifest.run)).unwrap();
        let build = Some(Build { binary: Some("another".into()), ..Build::this().clone() });
        folder.write_manifest(&Manifest { build, ..manifest.clone() }).unwrap();
        assert!(suite.finished(&scenario, "native").is_none());
        folder.write_manifest(&Manifest { build: None, ..manifest }).unwrap();
        assert!(suite.finished(&scenario, "native").is_none(), "of nobody knows which");
        suite.mixed = true;
        assert!(suite.finished(&scenario, "native").is_some(), "asked for");
    }

    #[test]
    fn a_damaged_suite_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("quick/suite.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "{").unwrap();
        let failure = Suite::open(dir.path(), "quick", true, false).err().unwrap();
        assert!(failure.message.contains("suite.json"), "{}", failure.message);
        assert!(Suite::open(dir.path(), "quick", false, false).is_ok(), "begun anew");
    }
}
