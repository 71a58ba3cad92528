//! Which keys each system understands, and which raw settings of brokers and clients a scenario may carry.
//!
//! A scenario file may come from a stranger: it names no address, no folder, no secret, no command and no code to load.
//! Raw settings beyond that are passed on as they are; their owner judges them.
use crate::model::{Software, System};
use crate::yaml::{Problem, YamlNode};

/// Whether `system` understands the key at `path` (below its label). The error says what it is for.
pub(super) fn understands(system: System, path: &[&str]) -> Result<(), &'static str> {
    let kafka = system.software() == Software::Kafka;
    match path {
        ["topic", ..] if !kafka => Err("`topic` belongs to Kafka; for Redis, `keys` spreads the load"),
        ["client", "library"] if kafka => Err("Kafka's client is librdkafka; `library` chooses that of Redis"),
        ["client", key] if !kafka && *key != "library" => {
            Err("`client` holds settings of librdkafka, Kafka's client; for Redis, `library` alone")
        }
        ["sentinel", ..] if kafka => {
            Err("`sentinel` belongs to Redis; Kafka's nodes watch each other by settings of `broker`")
        }
        ["heap"] if !kafka => Err("`heap` is that of Kafka's JVM"),
        ["keys"] if kafka => Err("`keys` belongs to Redis; for Kafka, `topic.partitions` spreads the load"),
        ["reply"] if kafka => Err("`reply` belongs to Redis; for Kafka, `client: {acks: 0}` asks for no answer"),
        ["maxlen"] if !system.has_key("maxlen") => Err("only Redis Streams trims by `maxlen`"),
        ["consume", "mode"] if !system.has_key("consume.mode") => {
            Err("only Redis Lists has a choice of `consume.mode`")
        }
        ["consume", "batch"] if !system.has_key("consume.batch") => {
            Err("Pub/Sub pushes: there is no request whose size could be limited")
        }
        _ => Ok(()),
    }
}

// Raw settings that are not for a scenario, by what they are about. `*` stands for any start or end.

/// Who the brokers are, whether they are verified and how to log in, code and commands to run, and what the harness sets itself.
/// (A name found by `client.dns.lookup`, asking backwards, would be the one that a certificate is verified for.)
pub(crate) const NOT_FOR_CLIENT: &[&str] = &[
    "bootstrap.* metadata.broker.list client.dns.lookup",
    "security.* sasl.* ssl.* ssl_* enable.ssl* https.* oauthbearer* enable.sasl*",
    "plugin.*",
    "group.* client.id compression.* statistics.* enable.auto.* auto.offset.* log* debug",
];

/// librdkafka takes a topic's setting with this before its name, too: refused under one name and taken under another, or
/// set under both, of which chance picks one.
const PREFIX: &str = "topic.";
/// Settings that really begin so.
const PREFIXED: &[&str] = &["topic.metadata.", "topic.blacklist"];

/// Identity, addresses, folders, access and classes to load: all of them the environment's. Those at the end are no
/// settings of Kafka at all: an image that takes settings as variables would hand them to what starts the JVM.
const NOT_FOR_KAFKA: &[&str] = &[
    "node.id broker.id* process.roles controller.*",
    "listener* advertised.* inter.broker.*",
    "log.dir* metadata.log.dir*",
    "ssl.* sasl.* security.* authorizer.* password.*",
    "*.class *.classes *.class.name *.reporters *.assignors remote.log.* config.providers*",
    "opts *.opts jmx.* log4j.* tools.log4j.* debug mode home version",
];

/// Likewise for `redis.conf`.
const NOT_FOR_REDIS: &[&str] = &[
    "bind* port tls-* unixsocket* protected-mode",
    "daemonize supervised pidfile logfile syslog* proc-title* set-proc-title server_cpulist server-cpulist",
    "dir dbfilename appendfilename appenddirname include loadmodule*",
    "aclfile user requirepass masterauth masteruser primaryauth primaryuser rename-command enable-*",
    "replicaof slaveof replica-announce* slave-announce* cluster-*",
    "crash-* ignore-warnings",
];

fn not_for_broker(software: Software) -> &'static [&'static str] {
    match software {
        Software::Kafka => NOT_FOR_KAFKA,
        Software::Redis => NOT_FOR_REDIS,
        Software::Fake => &[],
    }
}

/// Whether a scenario must not set this on a broker: asked again by whoever is about to start one.
pub fn is_not_for_broker(software: Software, key: &str) -> bool {
    refuses(not_for_broker(software), key)
}

/// Whether one of these patterns is that of the key, in whatever case it is written.
fn refuses(patterns: &[&str], key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    patterns.iter().flat_map(|line| line.split(' ')).any(|pattern| {
        match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
            (Some(start), _) => lower.starts_with(start),
            (_, Some(end)) => lower.ends_with(end),
            _ => lower == pattern,
        }
    })
}

/// Refuses keys under a label that its system does not understand, and raw settings that are not for a scenario.
pub(super) fn understood(label: &str, system: System, node: &YamlNode) -> Result<(), Problem> {
    for entry in node.entries() {
        let inner = entry.node.entries().iter().map(|inner| vec![entry.key.as_str(), inner.key.as_str()]);
        for path in std::iter::once(vec![entry.key.as_str()]).chain(inner) {
            if let Err(why) = understands(system, &path) {
                let full = ["systems", label].into_iter().chain(path);
                return Err(Problem::new(full, why, "remove the key").at(&entry.key_place));
            }
        }
        let raw = match entry.key.as_str() {
            "client" => Some(NOT_FOR_CLIENT),
            "broker" => Some(not_for_broker(system.software())),
            _ => None,
        };
        if let Some(refused) = raw {
            raw_settings(&["systems", label, &entry.key], &entry.node, refused)?;
        }
        if let Some(config) = entry.node.get(&["config"]).filter(|_| entry.key == "topic") {
            raw_settings(&["systems", label, "topic", "config"], config, &[])?;
        }
    }
    Ok(())
}

pub(crate) fn raw_settings(path: &[&str], map: &YamlNode, refused: &[&str]) -> Result<(), Problem> {
    for entry in map.entries() {
        let full = || path.iter().copied().chain([entry.key.as_str()]);
        let fail = |what: &str, remedy: &str| Err(Problem::new(full(), what, remedy).of_key());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if entry.key.is_empty() || entry.key.len() > 100 || !entry.key.bytes().all(plain) {
            return fail("the name of a setting holds letters, digits, dots, dashes and underscores", "correct it");
        }
        if entry.node.scalar().is_some_and(|value| value.len() > 1000 || value.chars().any(char::is_control)) {
            return fail("a setting's value is one short line of text", "remove line breaks and control characters");
        }
        let lower = entry.key.to_ascii_lowercase();
        let client = path.last() == Some(&"client");
        if client && lower.starts_with(PREFIX) && !PREFIXED.iter().any(|real| lower.starts_with(real)) {
            return fail("a topic's setting stands here under its bare name", "leave the prefix `topic.` out");
        }
        if refuses(refused, &entry.key) {
            return fail(
                "this setting is not for a scenario: the environment or the harness sets it",
                "remove it (`message.codec` sets compression; addresses and secrets are given on the command line)",
            );
        }
    }
    Ok(())
}
