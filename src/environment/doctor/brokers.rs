//! What it takes to have brokers: in containers, as processes of this machine, and where they run
//! already.

use super::{ANSWER, Diagnosis, Level, Part, Question, fallible, question};
use crate::environment::docker::{Engine, Network, find_engine, image_name};
use crate::environment::native::{find_java, find_redis};
use crate::environment::nodes::{kafka, port, redis};
use crate::environment::supply::{Found, Supply, look};
use crate::environment::{EnvironmentError, External};
use crate::model::Software;
use crate::scenario::ServerKind;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const INFO: &str = "see what `docker info` says; until then use `--env native`";
const BY_HAND: &str = "run it by hand to see what holds it up, or point to another one";
const ITSELF: &str = "pass `--fetch` to take Redis itself, or set REDIS_SERVER";
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
    for (name, software, server) in [
        ("image of Kafka", Software::Kafka, None),
        ("image of Redis", Software::Redis, None),
        ("image of Valkey", Software::Redis, Some(ServerKind::Valkey)),
    ] {
        let found = Arc::clone(&found);
        let ask = move || {
            // Without an engine there is nobody to ask, and it is the engine that is to be got.
            let engine = found.get_or_init(find_engine).as_ref().ok()?;
            let asked = image(engine, software, server);
            let asked = asked.unwrap_or_else(|error| Diagnosis::failed(&error, INFO));
            Some(if server.is_some() { asked.for_some() } else { asked })
        };
        questions.push(Question { part: Part::Docker, name, alone: false, ask: Box::new(ask) });
    }
    questions
}

fn image(engine: &Engine, software: Software, server: Option<ServerKind>) -> Asked {
    let name = match image_name(software, server) {
        Ok(name) => name,
        Err(error) => return Ok(Diagnosis::failed(&error, "unset the variable")),
    };
    if let Some(image) = engine.image(&name)? {
        return Ok(Diagnosis::ok(format!("{name} ({})", image.digest)));
    }
    if engine.can_pull(&name) {
        return Ok(Diagnosis::ok(format!("{name}, not yet here; the first run pulls it")));
    }
    let variable = match (software, server) {
        (Software::Kafka, _) => "KAFKA_IMAGE",
        (_, Some(ServerKind::Valkey)) => "VALKEY_IMAGE",
        _ => "REDIS_IMAGE",
    };
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
        fallible(Part::Native, "kafka", BY_HAND, || supplied(Software::Kafka)),
        fallible(Part::Native, "redis-server", format!("{BY_HAND} (REDIS_SERVER)"), || {
            supplied(Software::Redis)
        }),
        question(Part::Native, "valkey-server", || {
            let asked = valkey().unwrap_or_else(|error| Diagnosis::failed(&error, BY_HAND));
            asked.for_some()
        }),
        fallible(Part::Native, "ports", BY_HAND, ports),
    ]
}

/// What of a broker's software is here, and what would be fetched.
fn supplied(software: Software) -> Asked {
    Ok(match look(software, None, ANSWER)? {
        Supply::Here(found) => here(found),
        Supply::Absent(offer) => {
            let remedy = offer.declined().parts().1.unwrap_or_default();
            Diagnosis::new(Level::Warn, "not here yet", remedy)
        }
    })
}

fn valkey() -> Asked {
    let server = find_redis(Some(ServerKind::Valkey), ANSWER)?;
    let none = || Diagnosis::ok("none; needed where a scenario says `server: valkey`, only there");
    Ok(server.map_or_else(none, |server| here(server.found())))
}

fn here(Found { name, place, warning, .. }: Found) -> Diagnosis {
    let Some(warning) = warning else {
        return Diagnosis::ok(format!("{name} ({})", place.display()));
    };
    // What to do stands in the remedy, not in what was found.
    let (found, remedy) = warning.split_once("; ").unwrap_or((&warning, ITSELF));
    Diagnosis::new(Level::Warn, found, remedy)
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
    external
        .blocks()
        .map(|name| {
            let external = external.clone();
            fallible(Part::External, name, LOOK, move || {
                let began = Instant::now();
                let answered = external.ask(name)?;
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
