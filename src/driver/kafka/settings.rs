//! librdkafka's settings for one cell: our defaults first, the scenario's `client` map last. Of a
//! system as it comes (`stock`) only what accounting and reaching the brokers need.
//!
//! What is not set here keeps the library's default; [`ClientSettings::effective`] reads back what
//! is in force. A setting that the library does not know is an error before anything is connected.

use super::client_keys::{ALIASES, CONSUMER, ClientKeys, PRODUCER, check_keys};
use crate::access::{Access, ExposeSecret};
use crate::driver::DriverError;
use crate::driver::timeouts::{Backoff, request_timeout};
use crate::model::System;
use crate::scenario::{Cell, Pacer};
use crate::units::Span;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;

/// How often a producer tells what it had to send again, where it is asked to.
const TELL_EVERY_MS: &str = "1000";

/// The settings of every client of one cell.
#[derive(Clone)]
pub struct ClientSettings {
    pub producer: ClientConfig,
    pub consumer: ClientConfig,
    /// The target's and the scenario's own keys, to be read back too.
    asked: Vec<String>,
    /// For connections that are not librdkafka's.
    pub access: Access,
    /// Who confirms: `0` nobody, `1` the leader, `-1` all in-sync replicas.
    pub acks: String,
    /// Whether clients outlive what is broken: under `load.deadline`.
    pub patient: bool,
    /// Whether a consumer looks again and again instead of sleeping: under `load.pacer: spin`.
    pub spins: bool,
}

impl ClientSettings {
    pub fn new(cell: &Cell, addresses: &[String], access: &Access) -> Result<Self, DriverError> {
        // The scenario's word is the last.
        let client: ClientKeys<'_> = access
            .client()
            .chain(&cell.config.client)
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        check_keys(&client)?;
        let common = common(addresses, cell, access);
        let mut producer = producer(&common, cell, &client);
        let mut consumer = consumer(common, cell);
        for (key, value) in &client {
            producer.set(*key, *value);
            consumer.set(*key, *value);
            // One key at a time, so that the error names the culprit.
            let alone = ClientConfig::new().set(*key, *value).create_native_config();
            alone.map_err(|error| refused(key, &unfit(key, error)))?;
        }
        let secured = access.tls().map(|_| "security.protocol").into_iter();
        let secured = secured.chain(access.login().map(|_| "sasl.mechanism"));
        let asked = client.into_keys().chain(secured).map(str::to_owned).collect();
        let (access, acks) = (access.clone(), read(&producer, "acks"));
        let (patient, spins) = (cell.load.deadline.is_some(), cell.load.pacer == Pacer::Spin);
        Ok(Self { acks, producer, consumer, asked, access, patient, spins })
    }

    /// A member of `group`.
    pub fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer.clone();
        config.set("group.id", group);
        config
    }

    /// Reads partitions to their end without a group's help and without leaving a trace.
    pub fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.member(group);
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config
    }

    pub fn admin(&self) -> ClientConfig {
        let mut config = self.producer.clone();
        config.remove("enable.idempotence");
        config
    }

    /// The same, for consumers that tell how many requests they send.
    pub fn telling(&self) -> Self {
        let mut telling = self.clone();
        telling.consumer.set("statistics.interval.ms", super::load::subscriber::COUNTED_EVERY_MS);
        telling
    }

    /// Where the brokers are, for errors.
    pub fn addresses(&self) -> String {
        self.producer.get("bootstrap.servers").unwrap_or_default().to_owned()
    }

    /// Settings in force, read back from the library; secrets masked.
    pub fn effective(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for (side, config, keys) in
            [("producer", &self.producer, PRODUCER), ("consumer", &self.consumer, CONSUMER)]
        {
            let asked = self.asked.iter().map(String::as_str);
            for key in keys.iter().copied().chain(asked) {
                let value = if secret(key) { "***".to_owned() } else { read(config, key) };
                settings.insert(format!("{side}.{key}"), value);
            }
        }
        settings
    }
}

/// What every client has: where the brokers are, how to reach them, how long to wait for them.
fn common(addresses: &[String], cell: &Cell, access: &Access) -> ClientConfig {
    let mut common = ClientConfig::new();
    common
        .set("bootstrap.servers", addresses.join(","))
        .set("client.id", "brokerbench")
        .set_log_level(RDKafkaLogLevel::Warning);
    if !cell.config.stock {
        common
            .set("socket.nagle.disable", "true")
            // A message's time-out is looked at only between two attempts, too: with the library's
            // 10 s, a broker that is gone for a moment keeps messages far beyond it.
            .set("reconnect.backoff.ms", ms(Span(Backoff::FIRST_NS)))
            .set("reconnect.backoff.max.ms", ms(Span(Backoff::LONGEST_NS)));
    }
    if let Some(silence) = request_timeout(&cell.load) {
        common.set("socket.timeout.ms", ms(silence));
    }
    secure(&mut common, access);
    common
}

/// Our defaults for producers.
fn producer(common: &ClientConfig, cell: &Cell, client: &ClientKeys<'_>) -> ClientConfig {
    let (load, size, stock) = (&cell.load, cell.message.size.0, cell.config.stock);
    // Room for everything in flight twice over, so that the in-flight limit is the one that binds.
    let in_flight = u64::from(load.in_flight);
    let kbytes = (2 * in_flight * size / 1024).clamp(1_048_576, i32::MAX as u64);
    let mut producer = common.clone();
    if !stock {
        producer
            .set("batch.num.messages", load.batch.clamp(1, 1_000_000).to_string())
            .set(
                "queue.buffering.max.messages",
                (2 * in_flight).clamp(100_000, 10_000_000).to_string(),
            )
            .set("queue.buffering.max.kbytes", kbytes.to_string())
            .set("message.max.bytes", (size + 65_536).clamp(1_000_000, 1_000_000_000).to_string());
    }
    let patience = load.deadline.map(ms);
    // Each has a second name.
    for (key, value) in [
        ("acks", Some("all")),
        ("compression.type", Some(cell.message.codec.name())),
        // For how long a message is tried; how often is not limited by default.
        ("message.timeout.ms", patience.as_deref()),
        // Kafka's own producer has 5; librdkafka's million sends every message of an impatient
        // (`linger.ms=0`) producer as a request of its own, so that nothing is ever batched while
        // the broker is busy.
        ("max.in.flight.requests.per.connection", (!stock).then_some("5")),
    ] {
        let renamed =
            ALIASES.iter().any(|(name, alias)| *name == key && client.contains_key(alias));
        if let Some(value) = value.filter(|_| !renamed) {
            producer.set(key, value);
        }
    }
    if patience.is_some() {
        producer.set("statistics.interval.ms", TELL_EVERY_MS);
    }
    producer
}

/// Our defaults for consumers.
fn consumer(mut common: ClientConfig, cell: &Cell) -> ClientConfig {
    common
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "true")
        // Offsets are stored by the subscriber once the caller has processed the records, not when
        // handed out.
        .set("enable.auto.offset.store", "false");
    if !cell.config.stock {
        let received = (2 * cell.message.size.0).clamp(100_000_000, i32::MAX as u64);
        common
            .set("isolation.level", "read_uncommitted")
            .set("fetch.min.bytes", "1")
            // A full local queue would stall fetching for a second by default.
            .set("fetch.queue.backoff.ms", "5")
            .set("receive.message.max.bytes", received.to_string());
    }
    common
}

/// TLS and login, as our own connections have them. librdkafka verifies certificates and host names
/// by default, and nothing here or in a scenario can switch that off.
fn secure(config: &mut ClientConfig, access: &Access) {
    let protocol = match (access.tls(), access.login()) {
        (None, None) => return,
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(tls) = access.tls() {
        config.set("ssl.ca.pem", tls.ca());
        if let Some((certificate, key)) = tls.identity() {
            config.set("ssl.certificate.pem", certificate).set("ssl.key.pem", key.expose_secret());
        }
    }
    if let Some(login) = access.login() {
        config
            .set("sasl.mechanism", login.mechanism.name())
            .set("sasl.username", login.user.as_deref().unwrap_or_default())
            .set("sasl.password", login.password.expose_secret());
    }
}

/// Whether a value must never be shown.
pub fn secret(key: &str) -> bool {
    ["password", "secret", "token", "ssl.key", "keystore", "jaas", "oauthbearer.config", "username"]
        .iter()
        .any(|word| key.contains(word))
}

/// As the library writes spans: whole milliseconds, at least one.
fn ms(span: Span) -> String {
    (span.nanos() / 1_000_000).max(1).to_string()
}

/// What is in force, as the library tells it.
pub fn read(config: &ClientConfig, key: &str) -> String {
    config
        .create_native_config()
        .and_then(|native| native.get(key))
        .unwrap_or_else(|_| "unknown".into())
}

pub fn refused(key: &str, cause: &str) -> DriverError {
    DriverError::Setting { system: System::Kafka, key: key.to_owned(), cause: cause.into() }
}

fn unfit(key: &str, error: KafkaError) -> String {
    match error {
        // The library's words may repeat the value.
        _ if secret(key) => "librdkafka does not accept its value".into(),
        KafkaError::ClientConfig(_, words, ..) => words,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::cell;
    use super::*;

    fn settings(client: &[(&str, &str)]) -> Result<ClientSettings, DriverError> {
        let mut cell = cell();
        cell.config.client = client.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Access::default())
    }

    #[test]
    fn defaults_are_stated_and_overridden_last() {
        let stock = settings(&[]).unwrap();
        let effective = stock.effective();
        assert_eq!(stock.acks, "-1");
        assert_eq!(effective["producer.acks"], "-1");
        assert_eq!(effective["producer.linger.ms"], "5");
        assert_eq!(effective["consumer.fetch.queue.backoff.ms"], "5");
        assert_eq!(effective["consumer.isolation.level"], "read_uncommitted");

        let tuned =
            settings(&[("acks", "1"), ("linger.ms", "0"), ("fetch.queue.backoff.ms", "50")])
                .unwrap();
        let effective = tuned.effective();
        assert_eq!(tuned.acks, "1");
        assert_eq!(effective["producer.linger.ms"], "0");
        assert_eq!(effective["consumer.fetch.queue.backoff.ms"], "50");
        assert_eq!(settings(&[("request.required.acks", "0")]).unwrap().acks, "0");
    }

    #[test]
    fn as_it_comes_the_library_has_its_own_defaults() {
        let mut cell = cell();
        cell.config.stock = true;
        let stock =
            ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Access::default()).unwrap();
        let effective = stock.effective();
        for (key, value) in [
            ("producer.max.in.flight.requests.per.connection", "1000000"),
            ("producer.batch.num.messages", "10000"),
            ("producer.message.max.bytes", "1000000"),
            ("consumer.fetch.queue.backoff.ms", "1000"),
            ("consumer.isolation.level", "read_committed"),
            ("consumer.enable.auto.offset.store", "false"),
        ] {
            assert_eq!(effective[key], value, "{key}");
        }
    }

    #[test]
    fn a_deadline_is_the_time_of_a_message_unless_the_scenario_says_otherwise() {
        let with = |client: &[(&str, &str)]| {
            let mut cell = cell();
            cell.load.deadline = Some(Span::from_secs(30));
            cell.config.client =
                client.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Access::default()).unwrap()
        };
        let stock = settings(&[]).unwrap();
        assert_eq!(
            (stock.patient, stock.effective()["producer.message.timeout.ms"].as_str()),
            (false, "300000")
        );
        let patient = with(&[]);
        assert_eq!(
            (patient.patient, patient.effective()["producer.message.timeout.ms"].as_str()),
            (true, "30000")
        );
        for (settings, silence) in [(&stock, "60000"), (&patient, "10000")] {
            let effective = settings.effective();
            for side in ["producer", "consumer"] {
                assert_eq!(effective[&format!("{side}.socket.timeout.ms")], silence);
                assert_eq!(effective[&format!("{side}.reconnect.backoff.ms")], "10");
                assert_eq!(effective[&format!("{side}.reconnect.backoff.max.ms")], "40");
            }
        }
        let idempotent =
            |settings: &ClientSettings| read(&settings.producer, "enable.idempotence") == "true";
        assert!(!idempotent(&patient) && idempotent(&with(&[("enable.idempotence", "true")])));
        for key in ["message.timeout.ms", "delivery.timeout.ms"] {
            assert_eq!(
                with(&[(key, "7000")]).effective()["producer.message.timeout.ms"],
                "7000",
                "{key}"
            );
        }
    }

    /// What is set under both names is decided by the order of a hash map:
    /// often enough to see each.
    #[test]
    fn a_setting_counts_under_either_name() {
        for (key, alias) in [
            ("acks", "request.required.acks"),
            ("message.timeout.ms", "delivery.timeout.ms"),
            ("max.in.flight.requests.per.connection", "max.in.flight"),
        ] {
            for name in [key, alias].repeat(20) {
                let effective = settings(&[(name, "1")]).unwrap().effective();
                assert_eq!(effective[&format!("producer.{key}")], "1", "{name}");
            }
            let error = settings(&[(key, "1"), (alias, "1")]).err().unwrap().to_string();
            assert!(
                error.contains(&format!("`{alias}`")) && error.contains(&format!("`{key}`")),
                "{error}"
            );
        }
    }

    #[test]
    fn unknown_unfit_and_reserved_keys_are_named() {
        for (key, value, words) in [
            ("linger.mss", "5", "linger.mss"),
            ("acks", "many", "acks"),
            ("group.id", "mine", "brokerbench sets this"),
        ] {
            let error =
                settings(&[(key, value)]).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(words) && error.contains(key), "{key}: {error}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let effective = settings(&[("sasl.password", "hunter2"), ("ssl.key.password", "hunter2")])
            .unwrap()
            .effective();
        assert_eq!(effective["producer.sasl.password"], "***");
        assert!(!format!("{effective:?}").contains("hunter2"));
    }
}
