//! What it takes to start real brokers as processes of this machine.

use super::{ANSWER, Diagnosis, Level, Part, Question, question};
use crate::environment::native::{
    KAFKA_PORT, REDIS_PORT, find_java, find_redis, free_ports, installed_kafka, maven, pinned_port,
};

const BY_HAND: &str = "run it by hand to see what holds it up, or point to another one";

pub fn questions() -> Vec<Question> {
    vec![
        question(Part::Native, "java", java),
        question(Part::Native, "kafka", kafka),
        question(Part::Native, "redis-server", redis),
        question(Part::Native, "ports", ports),
    ]
}

fn java() -> Diagnosis {
    match find_java(ANSWER) {
        Ok(java) => Diagnosis::ok(format!("{} ({})", java.version, java.program.display())),
        Err(error) => Diagnosis::failed(&error, &format!("{BY_HAND} (JAVA_HOME)")),
    }
}

fn kafka() -> Diagnosis {
    match installed_kafka() {
        Err(error) => Diagnosis::failed(&error, BY_HAND),
        Ok(Some(jars)) => match jars.warning() {
            None => Diagnosis::ok(jars.version),
            Some(warning) => dated(&warning, "unset KAFKA_HOME to have Maven fetch the current one"),
        },
        Ok(None) => match maven() {
            Ok(maven) => Diagnosis::ok(format!("not yet here; {} will fetch it once (43 MB)", maven.display())),
            Err(error) => Diagnosis::failed(&error, BY_HAND),
        },
    }
}

fn redis() -> Diagnosis {
    match find_redis(ANSWER) {
        Err(error) => Diagnosis::failed(&error, &format!("{BY_HAND} (REDIS_SERVER)")),
        Ok(server) => match server.warning() {
            None => Diagnosis::ok(format!("{} ({})", server.name(), server.program.display())),
            Some(warning) => dated(
                &warning,
                "`scripts/lib/fetch-redis8.sh` fetches a current one; set REDIS_SERVER to the path that it prints",
            ),
        },
    }
}

/// What to do stands in the remedy, not in what was found.
fn dated(warning: &str, remedy: &str) -> Diagnosis {
    Diagnosis::new(Level::Warn, warning.split("; ").next().unwrap_or_default(), remedy)
}

fn ports() -> Diagnosis {
    let pinned = [KAFKA_PORT, REDIS_PORT].map(pinned_port);
    match pinned.into_iter().collect::<Result<Vec<_>, _>>() {
        Err(error) => Diagnosis::failed(&error, BY_HAND),
        Ok(pinned) => match free_ports::<3>() {
            Err(error) => Diagnosis::failed(&error, BY_HAND),
            Ok(_) if pinned.iter().all(Option::is_none) => Diagnosis::ok("free ports on 127.0.0.1"),
            Ok(_) => {
                let pinned: Vec<_> = pinned.into_iter().flatten().map(|port| port.to_string()).collect();
                Diagnosis::ok(format!("free ports on 127.0.0.1, and those that are pinned: {}", pinned.join(", ")))
            }
        },
    }
}
