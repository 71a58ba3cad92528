//! Whether brokers that run already can be used: asked as a run asks them, with their TLS and their login, once. No load,
//! nothing created.
//!
//! Kafka sends its clients on to the addresses that it advertises. One that cannot be reached from here is the usual
//! reason why an address answers and no message ever arrives.

use super::{Diagnosis, Part, Question, question};
use crate::environment::External;
use crate::model::Software;
use std::time::Instant;

const LOOK: &str = "start it, or correct the address; `nc -z HOST PORT` tells whether the port is open";

pub fn questions(external: External) -> Vec<Question> {
    [("kafka", Software::Kafka), ("redis", Software::Redis)]
        .into_iter()
        .filter(|(_, software)| external.has(*software))
        .map(|(name, software)| {
            let external = external.clone();
            question(Part::External, name, move || ask(&external, software))
        })
        .collect()
}

fn ask(external: &External, software: Software) -> Diagnosis {
    let began = Instant::now();
    let answered = match external.ask(software) {
        Ok(answered) => answered,
        Err(error) => return Diagnosis::failed(&error, LOOK),
    };
    let took = began.elapsed().as_secs_f64() * 1e3;
    let nodes = match answered.nodes {
        0 => String::new(),
        nodes => format!("; {nodes} of its nodes reached"),
    };
    Diagnosis::ok(format!("{} answers ({took:.1} ms){nodes}", answered.addresses.join(", ")))
}
