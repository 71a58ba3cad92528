//! The containers of one broker: a compose project of its own, which the janitor knows of before it
//! begins.

use super::compose::{FILE, PUBLISHED, Service, container, run_file};
use super::container::Container;
use super::{Engine, Network};
use crate::environment::janitor::containers::{Look, remove};
use crate::environment::nodes::files::{cannot_write, make_folder, write_file};
use crate::environment::nodes::{Node, NodeHost, Plan, run_step};
use crate::environment::{EnvironmentError, Janitor, Launch, NodeRole};
use crate::fault::disk::Preload;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Creating and starting a handful of containers from images that are here.
const UP: Duration = Duration::from_secs(120);
/// Where a container finds the library that faults disks.
const INSIDE: &str = "/brokerbench-preload";

pub struct Project {
    engine: Arc<Engine>,
    janitor: Arc<Janitor>,
    home: PathBuf,
    name: String,
    terms: ContainerTerms,
    /// All that were begun so far.
    services: Vec<Service>,
    disposed: bool,
}

/// What the containers of a broker have in common.
pub struct ContainerTerms {
    pub profile: &'static str,
    /// Images and ports, as the compose files ask for them.
    pub variables: BTreeMap<String, String>,
    /// Where a data node keeps its data, if its disk is to be faulted; else why it cannot be.
    pub preload: Result<&'static str, String>,
}

impl Project {
    /// With an empty folder for what is written about it.
    pub fn fresh(
        engine: &Arc<Engine>,
        janitor: &Arc<Janitor>,
        home: &Path,
        terms: ContainerTerms,
    ) -> Result<Self, EnvironmentError> {
        janitor.remove(home)?;
        make_folder(home)?;
        write_file(&home.join("docker-compose.yml"), FILE)?;
        write_file(&home.join("docker-compose.published.yml"), PUBLISHED)?;
        let name = name(janitor.folder(), home);
        janitor.hold(&engine.docker, &name)?;
        Ok(Self {
            engine: Arc::clone(engine),
            janitor: Arc::clone(janitor),
            home: home.to_owned(),
            name,
            terms,
            services: Vec::new(),
            disposed: false,
        })
    }

    /// The library, made ready for a data node.
    fn preload(
        &self,
        role: NodeRole,
        service: &mut Service,
    ) -> Result<Result<Preload, String>, EnvironmentError> {
        let inside = match &self.terms.preload {
            Ok(inside) if role == NodeRole::Data => inside,
            Ok(_) => return Ok(Err(String::new())),
            Err(why) => return Ok(Err(why.clone())),
        };
        let home = self.home.join(&service.name);
        let (folder, data) = (home.join("preload"), home.join("data"));
        make_folder(&data)?;
        let preload = Preload::prepare(&folder, &data)?;
        service.environment.extend(preload.environment_inside(INSIDE, inside)?);
        let mount = |ours: &Path, theirs: &str| (ours.display().to_string(), theirs.to_owned());
        service.mounts.extend([mount(&folder, INSIDE), mount(&data, inside)]);
        Ok(Ok(preload))
    }

    fn up(&self, services: &[String]) -> Result<(), EnvironmentError> {
        let published = self.engine.network == Network::Published;
        let file = run_file(&self.name, self.janitor.folder(), &self.services, published);
        write_file(&self.home.join("run.yml"), &file)?;
        let launch = Launch {
            argv: up(&self.engine, &self.name, self.terms.profile, published, services),
            env: self.terms.variables.clone(),
            cwd: self.home.clone(),
            log: self.home.join("compose.log"),
        };
        run_step(&self.janitor, launch, self.terms.profile, "starting its containers", UP)
    }
}

/// Lower case and digits, as compose wants it; as much alone in the world as the run folder.
fn name(run: &Path, home: &Path) -> String {
    let part =
        |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    format!("{}-{}", part(run), part(home))
}

fn up(
    engine: &Engine,
    project: &str,
    profile: &str,
    published: bool,
    services: &[String],
) -> Vec<String> {
    let mut argv = engine.compose.command.clone();
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|&word| word.to_owned()));
    add(&["--project-name", project, "--file", "docker-compose.yml"]);
    if published {
        add(&["--file", "docker-compose.published.yml"]);
    }
    add(&["--file", "run.yml", "--profile", profile, "up", "--detach"]);
    argv.extend(services.iter().cloned());
    argv
}

impl NodeHost for Project {
    type Start = Service;

    fn start(&mut self, stage: Vec<(Plan, Service)>) -> Result<Vec<Node>, EnvironmentError> {
        let mut begun = Vec::new();
        for (plan, mut service) in stage {
            let preload = self.preload(plan.role, &mut service)?;
            self.services.push(service.clone());
            begun.push((plan, service.name, preload));
        }
        let names: Vec<String> = begun.iter().map(|(_, name, _)| name.clone()).collect();
        self.up(&names)?;
        let node = |(plan, name, preload): (Plan, String, _)| {
            let runner = Container::started(&self.engine, container(&self.name, &name))?;
            Ok(Node::new(plan, Box::new(runner), preload))
        };
        begun.into_iter().map(node).collect()
    }

    fn dispose(&mut self) -> Result<(), EnvironmentError> {
        if self.disposed {
            return Ok(());
        }
        // Without a janitor, what it would have done: it is gone, and its folder with it.
        match self.janitor.release(&self.name) {
            Ok(()) => self.janitor.remove(&self.home)?,
            Err(_) => remove(&self.engine.docker, &self.name, Look::UntilQuiet)?,
        }
        self.disposed = true;
        Ok(())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.dispose();
    }
}

/// A folder with one file in it, for a container whose user is another than ours and who goes on
/// writing the file.
pub fn shared_file(folder: &Path, name: &str, text: &str) -> Result<(), EnvironmentError> {
    make_folder(folder)?;
    let file = folder.join(name);
    write_file(&file, text)?;
    for (path, mode) in [(folder, 0o777), (file.as_path(), 0o666)] {
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|error| cannot_write(path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::engine::Compose;
    use super::*;

    #[test]
    fn compose_is_told_the_files_that_suit_the_network() {
        let compose = Compose {
            command: vec!["/bin/docker".into(), "compose".into()],
            name: "docker compose 2.0".into(),
        };
        let (version, network) = ("1".into(), Network::Host);
        let engine = Engine { docker: "/bin/docker".into(), compose, version, here: true, network };
        let words = |published| up(&engine, "p", "redis", published, &["redis".to_owned()]);
        assert_eq!(words(true)[..4], ["/bin/docker", "compose", "--project-name", "p"]);
        assert_eq!(words(true).last().map(String::as_str), Some("redis"));
        let published = |words: Vec<String>| words.iter().any(|word| word.contains("published"));
        assert!(published(words(true)) && !published(words(false)));
    }

    #[test]
    fn a_project_is_named_as_compose_wants_it() {
        let name = name(
            Path::new("/tmp/brokerbench-12-aBc9"),
            Path::new("/tmp/brokerbench-12-aBc9/kafka-1"),
        );
        assert_eq!(name, "brokerbench-12-abc9-kafka-1");
    }
}
