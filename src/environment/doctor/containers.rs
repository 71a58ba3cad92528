//! What it takes to run brokers in containers: an engine that answers, compose, and the images.

use super::{Diagnosis, Level, Part, Question, question};
use crate::environment::EnvironmentError;
use crate::environment::docker::{Engine, Network, find_engine, image_name};
use crate::model::Software;
use std::sync::{Arc, OnceLock};

const BY_HAND: &str = "see what `docker info` says; until then use `--env native`";

/// Found once for all questions; those that come second wait for the first.
type Found = Arc<OnceLock<Result<Engine, EnvironmentError>>>;

pub fn questions() -> Vec<Question> {
    let found = Found::default();
    let [first, second, third] = [&found, &found, &found].map(Arc::clone);
    let image = |name, software, found: Found| Question {
        part: Part::Docker,
        name,
        // Without an engine there is nobody to ask, and it is the engine that is to be got.
        ask: Box::new(move || Some(image(found.get_or_init(find_engine).as_ref().ok()?, software))),
    };
    vec![
        question(Part::Docker, "engine", move || engine(first.get_or_init(find_engine))),
        image("image of Kafka", Software::Kafka, second),
        image("image of Redis", Software::Redis, third),
    ]
}

fn engine(found: &Result<Engine, EnvironmentError>) -> Diagnosis {
    match found {
        Err(error) => Diagnosis::failed(error, BY_HAND),
        Ok(engine) => Diagnosis::ok(format!("{}, {}, {}", engine.version, engine.compose.name(), path(engine.network))),
    }
}

fn path(network: Network) -> &'static str {
    match network {
        Network::Host => "containers on this machine's own network",
        Network::Published => "ports published on 127.0.0.1",
    }
}

fn image(engine: &Engine, software: Software) -> Diagnosis {
    let name = match image_name(software) {
        Ok(name) => name,
        Err(error) => return Diagnosis::failed(&error, "unset the variable"),
    };
    match engine.image(&name) {
        Err(error) => Diagnosis::failed(&error, BY_HAND),
        Ok(Some(image)) => Diagnosis::ok(format!("{name} ({})", image.digest)),
        Ok(None) if engine.can_pull(&name) => Diagnosis::ok(format!("{name}, not yet here; the first run pulls it")),
        Ok(None) => Diagnosis::new(
            Level::Fail,
            format!("{name} is not here, and no registry offers it"),
            format!(
                "`docker pull {name}` says why; {} names a mirror's, and `scripts/local-images` builds one without a registry",
                variable(software)
            ),
        ),
    }
}

fn variable(software: Software) -> &'static str {
    if software == Software::Kafka { "KAFKA_IMAGE" } else { "REDIS_IMAGE" }
}
