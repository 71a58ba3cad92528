//! Takes containers away: of one compose project, or of runs that are dead. Needs neither compose
//! nor its files.
//!
//! Invariant: only what carries a project's label goes, with the volumes and networks of that
//! project; a project is stale only if this user made it on this host and the lock of its run
//! folder is held by nobody.

use super::folder::is_stale;
use crate::environment::{EnvironmentError, program};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// Whose run a container, volume or network belongs to.
pub const FOLDER: &str = "brokerbench.folder";
pub const HOST: &str = "brokerbench.host";
pub const USER: &str = "brokerbench.user";
const PROJECT: &str = "com.docker.compose.project";

/// Killing and removing takes a container half a second.
const STEP: Duration = Duration::from_secs(20);
/// An order is given this long at least, however late it is.
const LEAST: Duration = Duration::from_secs(1);
/// With the last orders of it, less than a reply of the janitor's may take.
const ALL: Duration = Duration::from_secs(38);
const NAP: Duration = Duration::from_millis(300);

/// How well it is looked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Until a look finds nothing.
    Once,
    /// Until two looks in a row find nothing: something may still be in the making.
    UntilQuiet,
}

/// What a project is made of: how it is listed and how it is removed, containers before what they
/// use.
const KINDS: [(&[&str], &[&str]); 3] = [
    (&["ps", "--all", "--quiet"], &["rm", "--force", "--volumes"]),
    (&["volume", "ls", "--quiet"], &["volume", "rm", "--force"]),
    (&["network", "ls", "--quiet"], &["network", "rm"]),
];

/// Removes every container of a project, whatever state it is in, and its volumes and networks.
/// What fails or takes too long is tried again.
pub fn remove(docker: &Path, project: &str, look: Look) -> Result<(), EnvironmentError> {
    remove_within(ALL, docker, project, look)
}

fn remove_within(
    limit: Duration,
    docker: &Path,
    project: &str,
    look: Look,
) -> Result<(), EnvironmentError> {
    let deadline = Instant::now() + limit;
    let wanted = if look == Look::Once { 1 } else { 2 };
    let mut quiet = 0;
    loop {
        match sweep_kinds(docker, project, deadline) {
            Ok(()) => quiet += 1,
            Err(why) if Instant::now() >= deadline => {
                return Err(EnvironmentError::Refused(format!(
                    "the containers of {project} were not removed: {why}"
                )));
            }
            Err(_) => quiet = 0,
        }
        if quiet == wanted {
            return Ok(());
        }
        std::thread::sleep(NAP);
    }
}

/// Looks for things of every kind and removes what it finds. `Ok` where there was nothing; else
/// what is to be said should it be the last look.
fn sweep_kinds(docker: &Path, project: &str, deadline: Instant) -> Result<(), String> {
    let label = format!("label={PROJECT}={project}");
    let ask = |words: &[&str]| {
        let limit = deadline.saturating_duration_since(Instant::now()).clamp(LEAST, STEP);
        let answer = program::ask(docker, words, limit).map_err(|error| error.to_string())?;
        if answer.success { Ok(answer.out) } else { Err(answer.complaint().to_owned()) }
    };
    let one = |(list, remove): (&[&str], &[&str])| {
        let listed = ask(&[list, &["--filter", &label]].concat())?;
        let names: Vec<&str> = listed.lines().collect();
        if names.is_empty() {
            return Ok(());
        }
        ask(&[remove, &names].concat())?;
        Err(format!("{} was still there", names.join(", ")))
    };
    // All of them, whatever becomes of the first.
    KINDS.into_iter().map(one).fold(Ok(()), Result::and)
}

/// The labels of whatever is made for the run in this folder.
pub fn labels(folder: &Path) -> [(&'static str, String); 3] {
    [(FOLDER, folder.display().to_string()), (HOST, host()), (USER, user())]
}

/// Removes what runs have left whose janitor was killed before it could.
pub fn sweep(docker: &Path) -> Result<(), EnvironmentError> {
    let own = format!("label={USER}={}", user());
    let format =
        [PROJECT, HOST, FOLDER].map(|label| format!("{{{{.Label \"{label}\"}}}}")).join("\t");
    let mut projects = BTreeSet::new();
    for list in [&["ps", "--all"][..], &["volume", "ls"], &["network", "ls"]] {
        let listed =
            program::ask(docker, &[list, &["--filter", &own, "--format", &format]].concat(), STEP)?;
        projects.extend(
            listed.out.lines().filter_map(|line| stale(line, &host(), is_stale)).map(str::to_owned),
        );
    }
    projects.iter().try_for_each(|project| remove(docker, project, Look::Once))
}

/// The project of a listed line, if it is of this host and its run is dead.
fn stale<'a>(line: &'a str, this_host: &str, is_dead: impl Fn(&Path) -> bool) -> Option<&'a str> {
    let mut parts = line.split('\t');
    let (project, host, folder) = (parts.next()?, parts.next()?, parts.next()?);
    let ours = !project.is_empty() && host == this_host && Path::new(folder).is_absolute();
    (ours && is_dead(Path::new(folder))).then_some(project)
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn user() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_dead_runs_of_this_host_are_stale() {
        let dead = |_: &Path| true;
        assert_eq!(stale("p\there\t/tmp/x", "here", dead), Some("p"));
        assert_eq!(stale("p\there\t/tmp/x", "here", |_| false), None);
        assert_eq!(stale("p\telsewhere\t/tmp/x", "here", dead), None);
        assert_eq!(stale("\there\t/tmp/x", "here", dead), None);
        assert_eq!(stale("p\there\t", "here", dead), None);
        assert_eq!(stale("junk", "here", dead), None);
    }

    /// A `docker` that has one container, one volume and one network until they are removed, and
    /// notes what it is told.
    fn engine(folder: &Path, stubborn: bool) -> std::path::PathBuf {
        let (program, log) = (folder.join("docker"), folder.join("log"));
        let keep = if stubborn { "true" } else { "false" };
        let text = format!(
            "#!/bin/sh\ncd '{0}'\necho \"$@\" >>'{1}'\n\
             case \"$1 $2\" in\n\
             'ps '*) [ -e c ] || echo c1 ;;\n'volume ls') [ -e v ] || echo v1 ;;\n'network ls') [ \
             -e n ] || echo n1 ;;\n\
             'rm '*) {keep} || touch c ;;\n'volume rm') touch v ;;\n'network rm') touch n \
             ;;\nesac\n",
            folder.display(),
            log.display()
        );
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    #[test]
    fn everything_of_the_project_goes_and_it_is_looked_again() {
        let folder = tempfile::tempdir().unwrap();
        remove(&engine(folder.path(), false), "p", Look::UntilQuiet).unwrap();
        let told = fs::read_to_string(folder.path().join("log")).unwrap();
        for line in ["rm --force --volumes c1", "volume rm --force v1", "network rm n1"] {
            assert_eq!(told.lines().filter(|told| *told == line).count(), 1, "{told}");
        }
        assert_eq!(told.lines().filter(|told| told.starts_with("ps ")).count(), 3, "{told}");
        assert!(
            told.lines()
                .all(|told| told.starts_with(['r', 'v', 'n']) || told.contains("project=p")),
            "{told}"
        );
    }

    #[test]
    fn what_does_not_go_is_told_in_the_end() {
        for look in [Look::Once, Look::UntilQuiet] {
            // A busy machine may have time for one try only.
            let tried_again = [NAP, 4 * NAP, 16 * NAP].into_iter().any(|limit| {
                let folder = tempfile::tempdir().unwrap();
                let error = remove_within(limit, &engine(folder.path(), true), "p", look)
                    .unwrap_err()
                    .to_string();
                assert!(error.contains("c1 was still there"), "{error}");
                let told = fs::read_to_string(folder.path().join("log")).unwrap();
                assert!(told.contains("network rm n1"), "{told}");
                told.matches("rm --force --volumes c1").count() > 1
            });
            assert!(tried_again);
        }
    }

    #[test]
    fn an_engine_that_does_not_answer_at_first_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let program = engine(folder.path(), false);
        let away = folder.path().join("away");
        fs::rename(&program, &away).unwrap();
        let back = std::thread::spawn({
            let program = program.clone();
            move || {
                std::thread::sleep(NAP / 2);
                fs::rename(away, program).unwrap();
            }
        });
        remove(&program, "p", Look::Once).unwrap();
        back.join().unwrap();
        assert!(folder.path().join("c").exists());
    }
}
