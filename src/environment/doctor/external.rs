//! Whether brokers that run already can be reached: one harmless question to each, no load, nothing created.
//!
//! Kafka sends its clients on to the addresses that it advertises. One that cannot be reached from here is the usual
//! reason why an address answers and no message ever arrives.

use super::{Finding, Level, Part, Question, question};
use crate::environment::{Environment, External, probe};
use crate::scenario::{System, SystemConfig};
use std::time::Instant;

const LOOK: &str = "start it, or correct the address; `nc -z HOST PORT` tells whether the port is open";

pub fn questions(external: External) -> Vec<Question> {
    let (kafka, redis) = (external.clone(), external.clone());
    let mut questions = Vec::new();
    if external.has_kafka() {
        questions.push(question(Part::External, "kafka", move || reach(kafka, System::Kafka)));
    }
    if external.has_redis() {
        questions.push(question(Part::External, "redis", move || reach(redis, System::RedisStreams)));
    }
    questions
}

fn reach(mut external: External, system: System) -> Finding {
    let began = Instant::now();
    let broker = match external.start(&SystemConfig::defaults(system)) {
        Ok(broker) => broker,
        Err(error) => return Finding::failed(&error, LOOK),
    };
    let answered = format!("{} answers ({:.1} ms)", broker.addresses().join(", "), began.elapsed().as_secs_f64() * 1e3);
    match system {
        System::Kafka => advertised(&external, &broker.addresses(), answered),
        _ => Finding::ok(answered),
    }
}

/// Where it sends clients to, each address tried.
fn advertised(external: &External, addresses: &[String], answered: String) -> Finding {
    let resolved = addresses.iter().find_map(|address| external.permit(address).ok());
    // Behind TLS or a login it does not tell us; the driver will find out.
    let told = resolved.into_iter().flatten().find_map(|address| probe::kafka_told(address).ok());
    let Some(told) = told else { return Finding::ok(answered) };
    for node in &told {
        let reached = external.permit(node).map_err(|error| error.parts().0).and_then(|resolved| {
            let tried: Vec<_> = resolved.into_iter().map(probe::kafka).collect();
            match tried.into_iter().reduce(Result::or) {
                Some(Err(error)) => Err(error.to_string()),
                _ => Ok(()),
            }
        });
        if let Err(why) = reached {
            return Finding::new(
                Level::Fail,
                format!("{answered}, but sends clients to {node}, which this machine cannot reach ({why})"),
                "set its `advertised.listeners` to an address that this machine reaches, or make that name known here",
            );
        }
    }
    Finding::ok(format!("{answered}; {} of its nodes reached", told.len()))
}
