//! librdkafka's settings for one cell: our defaults first, the scenario's `client` map last. Of a
//! system as it comes (`stock`) only what accounting and reaching the brokers need.
//!
//! What is not set here keeps the library's default; [`ClientSettings::effective`] reads back what
//! is in force. A setting that the library does not know is an error before anything is connected.

use super::client_keys::{ALIASES, CONSUMER, ClientKeys, PRODUCER, check_keys};
use super::load::ffi::Headers;
use crate::access::{Access, ExposeSecret, OAUTHBEARER};
use crate::driver::DriverError;
use crate::driver::timeouts::{Backoff, request_timeout};
use crate::model::System;
use crate::scenario::{Cell, Pacer};
use crate::units::Span;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who a static member of a group is.
const INSTANCE: &str = "group.instance.id";
/// Who a producer with transactions is.
const TRANSACTIONAL: &str = "transactional.id";
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
const ISOLATION: &str = "isolation.level";
/// The least time that the broker gives a transaction: librdkafka's default.
const TRANSACTION: Span = Span::from_secs(60);

/// How often a client tells what it had to send again, and how long it was held back, where it is
/// asked to.
const TELL_EVERY_MS: &str = "1000";
/// Between two attempts to connect to MSK.
const MSK_BACKOFF: Span = Span::from_secs(1);

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
    /// Which partition a key belongs to.
    pub partitioner: String,
    /// Whether messages are sent in transactions.
    pub transactions: bool,
    /// What the ids of producers with transactions begin with, where the user says so.
    prefix: Option<String>,
    /// What goes with every message.
    pub headers: Headers,
    /// Whether clients outlive what is broken: under `load.deadline`.
    pub patient: bool,
    /// Whether a consumer looks again and again instead of sleeping: under `load.pacer: spin`.
    pub spins: bool,
    /// Whether new clients come one by one: to MSK.
    pub slowly: bool,
}

impl ClientSettings {
    pub fn new(cell: &Cell, addresses: &[String], access: &Access) -> Result<Self, DriverError> {
        // The scenario's word is the last.
        let mut client: ClientKeys<'_> = access
            .client()
            .chain(&cell.config.client)
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        check_keys(&client)?;
        let prefix = client.remove(TRANSACTIONAL).map(str::to_owned);
        let common = common(addresses, cell, access);
        let mut producer = producer(&common, cell, &client);
        let mut consumer = consumer(common, cell);
        if !access.is_ours() {
            // Ours have no quota that could hold a client back.
            for config in [&mut producer, &mut consumer] {
                config.set("statistics.interval.ms", TELL_EVERY_MS);
            }
        }
        for (key, value) in &client {
            producer.set(*key, *value);
            consumer.set(*key, *value);
            // One key at a time, so that the error names the culprit.
            let alone = ClientConfig::new().set(*key, *value).create_native_config();
            alone.map_err(|error| refused(key, &unfit(key, error)))?;
        }
        let secured = access.tls().map(|_| "security.protocol").into_iter();
        let logged_in = access.login().is_some() || access.tokens().is_some();
        let secured = secured.chain(logged_in.then_some("sasl.mechanism"));
        let asked = client.into_keys().chain(secured).map(str::to_owned).collect();
        let (access, acks) = (access.clone(), read(&producer, "acks"));
        let partitioner = read(&producer, "partitioner");
        let (count, envelope) = (cell.message.headers, cell.message.lines.is_some());
        let headers = Headers { count, envelope };
        let (patient, spins) = (cell.load.deadline.is_some(), cell.load.pacer == Pacer::Spin);
        Ok(Self {
            acks,
            partitioner,
            transactions: cell.config.transaction.is_some(),
            prefix,
            headers,
            producer,
            consumer,
            asked,
            access,
            patient,
            spins,
            slowly: cell.config.system == System::Msk,
        })
    }

    /// A client of `group`, none of its static members.
    pub fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer.clone();
        config.set("group.id", group);
        config.remove(INSTANCE);
        config
    }

    /// Number `consumer` of `group`: that is part of the identity of a static member, since two of
    /// one identity would shut each other out, and one that comes back is to be known again.
    pub fn numbered_member(&self, group: &str, consumer: u16) -> ClientConfig {
        let mut config = self.member(group);
        if let Some(instance) = self.consumer.get(INSTANCE) {
            config.set(INSTANCE, format!("{instance}-{consumer}"));
        }
        config
    }

    /// Reads partitions to their end without a group's help and without leaving a trace.
    pub fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.member(group);
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config
    }

    /// A producer with transactions; `id` tells it from every other.
    pub fn transactional(&self, id: &str) -> ClientConfig {
        let mut config = self.producer.clone();
        let prefix = self.prefix.as_ref().map(|prefix| format!("{prefix}-")).unwrap_or_default();
        config.set(TRANSACTIONAL, format!("{prefix}{id}"));
        config
    }

    /// How long a transaction may last before the broker ends it.
    pub fn patience(&self) -> Duration {
        let ms = read(&self.producer, TRANSACTION_TIMEOUT).parse::<u64>();
        ms.map_or(Duration::from_nanos(TRANSACTION.nanos()), Duration::from_millis)
    }

    /// As [`ClientSettings::reader`], of what is not committed too.
    pub fn reader_of_all(&self, group: &str) -> ClientConfig {
        let mut config = self.reader(group);
        config.set(ISOLATION, "read_uncommitted");
        config
    }

    pub fn admin(&self) -> ClientConfig {
        let mut config = self.producer.clone();
        config.remove("enable.idempotence");
        config.remove("statistics.interval.ms");
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
    // A broker of MSK refuses who comes again and again.
    let (first, longest) = match cell.config.system {
        System::Msk => (MSK_BACKOFF, MSK_BACKOFF),
        _ => (Span(Backoff::FIRST_NS), Span(Backoff::LONGEST_NS)),
    };
    if !cell.config.stock {
        common
            .set("socket.nagle.disable", "true")
            // A message's time-out is looked at only between two attempts, too: with the library's
            // 10 s, a broker that is gone for a moment keeps messages far beyond it.
            .set("reconnect.backoff.ms", ms(first))
            .set("reconnect.backoff.max.ms", ms(longest));
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
    if cell.config.transaction.is_some() {
        // No message may outlive its transaction.
        let limit = load.deadline.map_or(TRANSACTION, |deadline| deadline.max(TRANSACTION));
        producer.set("enable.idempotence", "true").set(TRANSACTION_TIMEOUT, ms(limit));
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
            .set(ISOLATION, "read_uncommitted")
            .set("fetch.min.bytes", "1")
            // A full local queue would stall fetching for a second by default.
            .set("fetch.queue.backoff.ms", "5")
            .set("receive.message.max.bytes", received.to_string());
    }
    if cell.config.transaction.is_some() {
        common.set(ISOLATION, "read_committed");
    }
    common
}

/// TLS and login, as our own connections have them. librdkafka verifies certificates and host names
/// by default, and nothing here or in a scenario can switch that off.
fn secure(config: &mut ClientConfig, access: &Access) {
    let logs_in = access.login().is_some() || access.tokens().is_some();
    let protocol = match (access.tls(), logs_in) {
        (None, false) => return,
        (Some(_), false) => "ssl",
        (None, true) => "sasl_plaintext",
        (Some(_), true) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(tls) = access.tls() {
        config.set("ssl.ca.pem", tls.ca());
        if let Some((certificate, key)) = tls.identity() {
            config.set("ssl.certificate.pem", certificate).set("ssl.key.pem", key.expose_secret());
        }
    }
    if access.tokens().is_some() {
        // The tokens themselves are handed over as they come: `Clients`, `KafkaContext`.
        config.set("sasl.mechanism", OAUTHBEARER);
    } else if let Some(login) = access.login() {
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
mod tests;
