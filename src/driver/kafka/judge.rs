//! Whether librdkafka takes what a scenario sets on its clients: asked of the library itself before
//! anything is started. Clients are made for that without any broker, so nobody is contacted.

use super::client_keys::{ALIASES, CONSUMER, PRODUCER};
use super::clients::Clients;
use super::load::client_log::KafkaContext;
use super::settings::ClientSettings;
use crate::access::Access;
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::scenario::Cell;
use crate::yaml::{Problem, suggest};
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use rdkafka::producer::BaseProducer;

const REMEDY: &str = "correct it as librdkafka's CONFIGURATION.md says, or remove it";

/// Refused with the key of the scenario and the library's words.
pub fn judge(cell: &Cell) -> Result<(), Problem> {
    if cell.config.client.is_empty() {
        return Ok(());
    }
    let settings = ClientSettings::new(cell, &[], &Access::default());
    let settings = settings.map_err(|error| of_setting(cell, &error))?;
    let clients = Clients::new(settings, Clock::start());
    let settings = &clients.settings;
    let producer = match settings.transactions {
        true => settings.transactional("judged"),
        false => settings.producer.clone(),
    };
    // Settings that do not go together are found by whoever is made of them alone.
    made::<BaseProducer<KafkaContext>>(producer, &clients)
        .and_then(|()| made::<BaseConsumer<KafkaContext>>(settings.consumer.clone(), &clients))
        .map_err(|error| together(cell, &error.to_string()))
}

fn made<C: FromClientConfigAndContext<KafkaContext>>(
    mut config: ClientConfig,
    clients: &Clients,
) -> KafkaResult<()> {
    config.remove("bootstrap.servers");
    config.create_with_context::<_, C>(clients.context()).map(drop)
}

/// One setting alone.
fn of_setting(cell: &Cell, error: &DriverError) -> Problem {
    let DriverError::Setting { key, cause, .. } = error else {
        return together(cell, &error.reason());
    };
    let mut words = cause.trim().to_owned();
    for (name, alias) in ALIASES {
        // The library knows some settings by the other one of their two names.
        let other = if key == name { alias } else { name };
        if key == name || key == alias {
            words = words.replace(&format!("\"{other}\""), &format!("\"{key}\""));
        }
    }
    let aliases = ALIASES.iter().flat_map(|(name, alias)| [*name, *alias]);
    let known = PRODUCER.iter().chain(CONSUMER).copied().chain(aliases);
    let near = suggest(key, known.filter(|known| known != key));
    let unknown = words.contains("No such configuration property");
    let remedy = if unknown && near.starts_with("did you mean") { &near } else { REMEDY };
    Problem::new(["systems", &cell.label, "client", key], words, remedy)
}

/// What is wrong with several of them, at the one that the library's words name first.
fn together(cell: &Cell, words: &str) -> Problem {
    let named = |key: &String| Some((words.find(key.as_str())?, key.clone()));
    let key = cell.config.client.keys().filter_map(named).min().map(|(_, key)| key);
    let path = ["systems", &cell.label, "client"].into_iter().chain(key.as_deref());
    Problem::new(path, words.trim(), REMEDY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Judge, Overrides, from_text_judged};
    use std::time::{Duration, Instant};

    fn told(client: &str, rest: &str, sweeps: &[&str]) -> Result<(), String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\n\
             systems: {{kafka: {{client: {{{client}}}{rest}}}}}\nload: {{model: closed}}\n"
        );
        let sweeps = sweeps.iter().map(|sweep| (*sweep).to_owned()).collect();
        let overrides = Overrides { sweeps, ..Overrides::default() };
        let judge: Judge<'_> = &judge;
        from_text_judged("t.yaml", &text, &overrides, judge)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_library_refuses_is_told_with_its_key_and_value() {
        for (client, key, value) in [
            ("compression.level: 99", "compression.level", "99"),
            ("compression.level: abc", "compression.level", "abc"),
            ("group.protocol: banana", "group.protocol", "banana"),
            ("isolation.level: banana", "isolation.level", "banana"),
            ("transaction.timeout.ms: 5", "transaction.timeout.ms", "5"),
            ("acks: banana", "acks", "banana"),
            ("linger.mss: 5", "linger.mss", "5"),
            ("group.protocol: consumer, session.timeout.ms: 9000", "session.timeout.ms", "9000"),
        ] {
            let words = told(client, "", &[]).unwrap_err();
            let named = format!("`systems.kafka.client.{key}` = `{value}`");
            assert!(words.contains(&named), "{client}: {words}");
            assert!(words.starts_with("t.yaml:4:"), "{words}");
            assert!(!words.contains("request.required.acks"), "{words}");
        }
        assert!(told("linger.mss: 5", "", &[]).unwrap_err().contains("did you mean `linger.ms`?"));
        let transactions = ", transaction: {messages: 10}";
        let words = told("acks: 1", transactions, &[]).unwrap_err();
        assert!(words.contains("systems.kafka.client.acks"), "{words}");
    }

    #[test]
    fn swept_values_are_judged_one_by_one() {
        for (sweep, value) in [("nope=1,2", "1"), ("acks=all,banana", "banana")] {
            let words = told("", "", &[&format!("systems.kafka.client.{sweep}")]).unwrap_err();
            assert!(words.contains("--sweep") && words.contains(&format!("`{value}`")), "{words}");
        }
    }

    #[test]
    fn what_the_library_takes_passes_and_costs_no_time() {
        let begun = Instant::now();
        for client in [
            "linger.ms: 0, acks: 1",
            "group.protocol: consumer",
            "compression.level: 12, fetch.max.bytes: 1000000",
            "group.instance.id: me, session.timeout.ms: 9000",
        ] {
            told(client, "", &[]).unwrap();
        }
        told("transactional.id: mine", ", transaction: {messages: 10}", &[]).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
