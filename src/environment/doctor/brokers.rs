//! What it takes to have brokers: in containers, as processes of this machine, and where they run
//! already.

use super::{ANSWER, Diagnosis, Level, Part, Question, fallible};
use crate::environment::docker::{Engine, Network, find_engine, image_name};
use crate::environment::native::{find_java, find_redis, installed_kafka, maven};
use crate::environment::nodes::{kafka, port, redis};
use crate::environment::{EnvironmentError, External};
use crate::model::Software;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const INFO: &str = "see what `docker info` says; until then use `--env native`";
const BY_HAND: &str = "run it by hand to see what holds it up, or point to another one";
const LOOK: &str =
    "start it, or correct the address; `nc -z HOST PORT` tells whether the port is open";

type Asked = Result<Diagnosis, EnvironmentError>;

/// An engine that answers, compose, and the images.
pub fn in_containers() -> Vec<Question> {
    // Found once for all questions; those that come second wait for the first.
    let found = Arc::new(OnceLock::<Result<Engine, EnvironmentError>>::new());
    let engine = Arc::clone(&found);
    let mut questions = vec![fallible(Part::Docker, "engine", INFO, move || {
        let engine = engine.get_or_init(find_engine).as_ref().map_err(Clone::clone)?;
        let path = match engine.network {
            Network::Host => "containers on this machine's own network",
            Network::Published => "ports published on 127.0.0.1",
        };
        Ok(Diagnosis::ok(format!("{}, {}, {path}", engine.version, engine.compose.name)))
    })];
    for (name, software) in
        [("image of Kafka", Software::Kafka), ("image of Redis", Software::Redis)]
    {
        let found = Arc::clone(&found);
        let ask = move || {
            // Without an engine there is nobody to ask, and it is the engine that is to be got.
            let engine = found.get_or_init(find_engine).as_ref().ok()?;
            Some(image(engine, software).unwrap_or_else(|error| Diagnosis::failed(&error, INFO)))
        };
        questions.push(Question { part: Part::Docker, name, alone: false, ask: Box::new(ask) });
    }
    questions
}

fn image(engine: &Engine, software: Software) -> Asked {
    let name = match image_name(software) {
        Ok(name) => name,
        Err(error) => return Ok(Diagnosis::failed(&error, "unset the variable")),
    };
    if let Some(image) = engine.image(&name)? {
        return Ok(Diagnosis::ok(format!("{name} ({})", image.digest)));
    }
    if engine.can_pull(&name) {
        return Ok(Diagnosis::ok(format!("{name}, not yet here; the first run pulls it")));
    }
    let variable = if software == Software::Kafka { "KAFKA_IMAGE" } else { "REDIS_IMAGE" };
    Ok(Diagnosis::new(
        Level::Fail,
        format!("{name} is not here, and no registry offers it"),
        format!(
            "`docker pull {name}` says why; {variable} names a mirror's, and \
             `scripts/local-images` builds one without a registry"
        ),
    ))
}

/// Programs, jars and ports.
pub fn as_processes() -> Vec<Question> {
    vec![
        fallible(Part::Native, "java", format!("{BY_HAND} (JAVA_HOME)"), || {
            let java = find_java(ANSWER)?;
            Ok(Diagnosis::ok(format!("{} ({})", java.version, java.program.display())))
        }),
        fallible(Part::Native, "kafka", BY_HAND, jars),
        fallible(Part::Native, "redis-server", format!("{BY_HAND} (REDIS_SERVER)"), || {
            let server = find_redis(ANSWER)?;
            let found = format!("{} ({})", server.name(), server.program.display());
            let remedy = "`scripts/lib/fetch-redis8.sh` fetches a current one; set REDIS_SERVER to \
                the path that it prints";
            Ok(dated(found, server.warning(), remedy))
        }),
        fallible(Part::Native, "ports", BY_HAND, ports),
    ]
}

fn jars() -> Asked {
    let Some(jars) = installed_kafka()? else {
        let maven = maven()?;
        return Ok(Diagnosis::ok(format!(
            "not yet here; {} will fetch it once (43 MB)",
            maven.display()
        )));
    };
    let warning = jars.warning();
    Ok(dated(jars.version, warning, "unset KAFKA_HOME to have Maven fetch the current one"))
}

/// What to do stands in the remedy, not in what was found.
fn dated(found: String, warning: Option<String>, remedy: &str) -> Diagnosis {
    match warning {
        None => Diagnosis::ok(found),
        Some(warning) => {
            Diagnosis::new(Level::Warn, warning.split("; ").next().unwrap_or_default(), remedy)
        }
    }
}

fn ports() -> Asked {
    let pinned = [port::pinned(kafka::PORT)?, port::pinned(redis::PORT)?];
    port::free::<3>()?;
    let pinned: Vec<String> = pinned.into_iter().flatten().map(|port| port.to_string()).collect();
    let free = "free ports on 127.0.0.1";
    Ok(Diagnosis::ok(match pinned.is_empty() {
        true => free.to_owned(),
        false => format!("{free}, and those that are pinned: {}", pinned.join(", ")),
    }))
}

/// Brokers that run already are asked as a run asks them, with their TLS and their login, once: no
/// load, nothing created.
///
/// Kafka sends its clients on to the addresses that it advertises. One that cannot be reached from
/// here is the usual reason why an address answers and no message ever arrives.
pub fn elsewhere(external: External) -> Vec<Question> {
    [("kafka", Software::Kafka), ("redis", Software::Redis)]
        .into_iter()
        .filter(|(_, software)| external.has(*software))
        .map(|(name, software)| {
            let external = external.clone();
            fallible(Part::External, name, LOOK, move || {
                let began = Instant::now();
                let answered = external.ask(software)?;
                let took = began.elapsed().as_secs_f64() * 1e3;
                let nodes = match answered.nodes {
                    0 => String::new(),
                    nodes => format!("; {nodes} of its nodes reached"),
                };
                let addresses = answered.addresses.join(", ");
                Ok(Diagnosis::ok(format!("{addresses} answers ({took:.1} ms){nodes}")))
            })
        })
        .collect()
}
