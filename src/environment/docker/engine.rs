//! The container engine of this machine: whether it answers, which compose command there is, which
//! images are here, and whether its containers share our kernel and our loopback.
//!
//! Questions only: nothing here starts, pulls or removes anything. Each has a deadline.

use crate::environment::install::{Tool, install};
use crate::environment::{EnvironmentError, program};
use crate::model::Software;
use crate::scenario::ServerKind;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The images that are used unless the environment says otherwise; the same stand in
/// `docker-compose.yml`.
const KAFKA: (&str, &str) = ("KAFKA_IMAGE", "apache/kafka:4.4.0");
const REDIS: (&str, &str) = ("REDIS_IMAGE", "redis:8.10.2");
const VALKEY: (&str, &str) = ("VALKEY_IMAGE", "valkey/valkey:9.1.2");
/// `host` or `published`, in place of what suits the engine.
pub const NETWORK: &str = "BROKERBENCH_DOCKER_NETWORK";

/// An engine that is loaded takes a second to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// A registry is asked over the network.
const REGISTRY: Duration = Duration::from_secs(20);

/// How compose is typed here: `docker compose` of version 2 or later, or `docker-compose` of 1.29
/// or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compose {
    pub command: Vec<String>,
    /// With its version, such as `docker-compose 1.29.2`.
    pub name: String,
}

/// How clients reach containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Containers share our loopback: nothing stands between.
    Host,
    /// Ports published on 127.0.0.1, through whatever the engine forwards with.
    Published,
}

/// An engine that answers, with what driving it needs.
#[derive(Clone, Debug)]
pub struct Engine {
    pub docker: PathBuf,
    pub compose: Compose,
    pub version: String,
    /// Whether its containers are processes of this very kernel, whose ids and states are seen in
    /// /proc.
    pub here: bool,
    pub network: Network,
}

/// An image that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// As it was asked for, such as `redis:8.10.2`.
    pub name: String,
    /// By which the registry knows it (`sha256:…`); its own id where it came from none.
    pub digest: String,
}

/// What `docker info` tells; all of it may be missing in what answers in its place.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Info {
    server_version: String,
    kernel_version: String,
    name: String,
    #[serde(rename = "OSType")]
    os_type: String,
    security_options: Vec<String>,
    server_errors: Vec<String>,
}

/// The engine, or what is missing and what to do about it.
pub fn find() -> Result<Engine, EnvironmentError> {
    let docker = program::find("docker").ok_or_else(|| {
        EnvironmentError::missing("docker, which drives containers,", remedy(Tool::Engine))
    })?;
    let info = info(&docker)?;
    let here = is_here(&info);
    let network = network(program::variable(NETWORK).as_deref(), here)?;
    Ok(Engine { compose: compose(&docker)?, version: info.server_version, docker, here, network })
}

fn remedy(tool: Tool) -> String {
    format!("{}, or use `--env native`", install(tool))
}

fn info(docker: &std::path::Path) -> Result<Info, EnvironmentError> {
    let no_engine = |why: &str| {
        EnvironmentError::refused(
            format!("no container engine answers ({why})"),
            "start it (`systemctl start docker`, or `dockerd` as root), see that you may use it \
             (group `docker`, or DOCKER_HOST), or use `--env native`",
        )
    };
    let answer = program::ask(docker, &["info", "--format", "{{json .}}"], ANSWER)?;
    let info: Info =
        serde_json::from_str(&answer.out).map_err(|_| no_engine(answer.complaint()))?;
    match info.server_errors.first() {
        Some(why) => Err(no_engine(why)),
        None if info.server_version.is_empty() => {
            Err(no_engine("it does not tell its version as Docker's does"))
        }
        None => Ok(info),
    }
}

/// A desktop's engine runs in a virtual machine, a rootless one in a network of its own, a remote
/// one elsewhere; and we may be in a container ourselves.
fn is_here(info: &Info) -> bool {
    let uname = rustix::system::uname();
    let ours =
        |told: &str, own: &std::ffi::CStr| !told.is_empty() && own.to_bytes() == told.as_bytes();
    cfg!(target_os = "linux")
        && info.os_type == "linux"
        && ours(&info.kernel_version, uname.release())
        && ours(&info.name, uname.nodename())
        && !info.security_options.iter().any(|option| option.contains("rootless"))
}

fn network(wanted: Option<&str>, here: bool) -> Result<Network, EnvironmentError> {
    match wanted {
        None if here => Ok(Network::Host),
        None | Some("published") => Ok(Network::Published),
        Some("host") if here => Ok(Network::Host),
        Some("host") => Err(EnvironmentError::Refused(format!(
            "{NETWORK}=host: this engine's containers do not share our loopback; unset it, or \
            write `published`"
        ))),
        Some(other) => Err(EnvironmentError::Refused(format!(
            "{NETWORK}=`{other}`: write `host` or `published`"
        ))),
    }
}

fn compose(docker: &std::path::Path) -> Result<Compose, EnvironmentError> {
    let version = |answer: &program::Answer| {
        let text = answer.out.trim().trim_start_matches('v').to_owned();
        (answer.success && !text.is_empty() && !text.contains(char::is_whitespace)).then_some(text)
    };
    // Whatever a plug-in calls its version (`dev`, say), it is one of compose 2 or later.
    let plugin = program::ask(docker, &["compose", "version", "--short"], ANSWER)?;
    if let Some(version) = version(&plugin) {
        let command = vec![docker.display().to_string(), "compose".to_owned()];
        return Ok(Compose { command, name: format!("docker compose {version}") });
    }
    let missing = |what: &str| EnvironmentError::missing(what, remedy(Tool::Compose));
    let program = program::find("docker-compose").ok_or_else(|| missing("docker compose"))?;
    let found = version(&program::ask(&program, &["version", "--short"], ANSWER)?);
    match found {
        Some(version) if knows_profiles(&version) => {
            let command = vec![program.display().to_string()];
            Ok(Compose { command, name: format!("docker-compose {version}") })
        }
        Some(version) => {
            Err(missing(&format!("a docker-compose of 1.29 or later (here is {version})")))
        }
        None => Err(missing("a docker-compose that works")),
    }
}

fn knows_profiles(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (1, 29)
}

/// The image that runs a system, as the user may have set it.
pub fn image_name(
    software: Software,
    server: Option<ServerKind>,
) -> Result<String, EnvironmentError> {
    let (variable, default) = match (software, server) {
        (Software::Kafka, _) => KAFKA,
        (_, Some(ServerKind::Valkey)) => VALKEY,
        _ => REDIS,
    };
    let name = program::variable(variable).unwrap_or_else(|| default.to_owned());
    // It becomes an argument of docker: no option, and nothing that is no image.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(EnvironmentError::Refused(format!(
            "{variable}=`{}` is not an image's name",
            name.escape_debug()
        )))
    }
}

impl Engine {
    /// The image, if it is here.
    pub fn image(&self, name: &str) -> Result<Option<Image>, EnvironmentError> {
        let format = "{{json .RepoDigests}} {{.Id}}";
        let answer =
            program::ask(&self.docker, &["image", "inspect", "--format", format, name], ANSWER)?;
        Ok(if answer.success {
            digest(&answer.out).map(|digest| Image { name: name.to_owned(), digest })
        } else {
            None
        })
    }

    /// Whether a registry offers the image. False too where none answers in time.
    pub fn can_pull(&self, name: &str) -> bool {
        program::ask(&self.docker, &["manifest", "inspect", name], REGISTRY)
            .is_ok_and(|answer| answer.success)
    }
}

/// From `["redis@sha256:…"] sha256:…`.
fn digest(answer: &str) -> Option<String> {
    let (digests, id) = answer.trim().rsplit_once(' ')?;
    let digests: Option<Vec<String>> = serde_json::from_str(digests).ok()?;
    let of_registry = digests
        .unwrap_or_default()
        .into_iter()
        .find_map(|name| Some(name.split_once('@')?.1.to_owned()));
    Some(of_registry.unwrap_or_else(|| id.to_owned()))
}

/// What `auto` takes, and why: containers where an engine answers and the images are here or can be
/// pulled, else processes. For the user's eyes and for the results.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Else native.
    pub docker: bool,
    pub because: String,
}

/// Asks the engine, with a deadline for each question. Starts and pulls nothing.
pub fn choose() -> Choice {
    match find().and_then(images) {
        Ok(because) => Choice { docker: true, because },
        Err(error) => {
            let what = error.parts().0;
            let because = format!("no containers: {}", what.lines().next().unwrap_or_default());
            Choice { docker: false, because }
        }
    }
}

fn images(engine: Engine) -> Result<String, EnvironmentError> {
    let mut absent = Vec::new();
    for software in [Software::Kafka, Software::Redis] {
        let name = image_name(software, None)?;
        if engine.image(&name)?.is_some() {
            continue;
        }
        // Asking a registry may take long where there is no network: the first that is not to be
        // had decides.
        if !engine.can_pull(&name) {
            return Err(EnvironmentError::missing(
                format!("image {name}"),
                "`brokerbench doctor` says more",
            ));
        }
        absent.push(name);
    }
    let answers = format!("engine {} answers", engine.version);
    Ok(match absent.is_empty() {
        true => format!("{answers}, and the images are here"),
        false => format!("{answers}, and {} can be pulled", absent.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_without_profiles_is_too_old() {
        assert!(knows_profiles("1.29.2") && knows_profiles("2.0.1") && knows_profiles("5.1"));
        assert!(!knows_profiles("1.28.9") && !knows_profiles("junk"));
    }

    #[test]
    fn the_registrys_digest_is_taken_before_the_images_own_id() {
        let pulled = digest("[\"redis@sha256:aa\"] sha256:bb\n");
        assert_eq!(
            (pulled.as_deref(), digest("[] sha256:bb").as_deref()),
            (Some("sha256:aa"), Some("sha256:bb"))
        );
        assert_eq!(digest("null sha256:bb").as_deref(), Some("sha256:bb"));
        assert_eq!(digest(""), None);
    }

    #[test]
    fn only_an_engine_of_this_kernel_and_host_shares_our_loopback() {
        let uname = rustix::system::uname();
        let info = |name: &str, options: &[&str]| Info {
            server_version: "1".into(),
            kernel_version: uname.release().to_string_lossy().into(),
            name: name.into(),
            os_type: "linux".into(),
            security_options: options.iter().map(|option| (*option).to_owned()).collect(),
            server_errors: Vec::new(),
        };
        let host = uname.nodename().to_string_lossy();
        assert_eq!(is_here(&info(&host, &["name=seccomp"])), cfg!(target_os = "linux"));
        assert!(
            !is_here(&info("docker-desktop", &[])) && !is_here(&info(&host, &["name=rootless"]))
        );
        assert_eq!(network(None, true).unwrap(), Network::Host);
        assert_eq!(network(None, false).unwrap(), Network::Published);
        assert_eq!(network(Some("published"), true).unwrap(), Network::Published);
        assert!(network(Some("host"), false).is_err() && network(Some("junk"), true).is_err());
    }

    #[test]
    fn the_images_are_those_of_the_compose_file() {
        let file = include_str!("../../../docker-compose.yml");
        for (variable, default) in [KAFKA, REDIS] {
            assert!(file.contains(&format!("image: ${{{variable}:-{default}}}")), "{variable}");
        }
    }
}
