//! Which keys each system understands, and which raw settings of brokers
//! and clients a scenario may carry.
//!
//! A scenario file may come from a stranger: it names no address, no folder, no secret, no command
//! and no code to load. Raw settings beyond that are passed on as they are;
//! their owner judges them.
use super::file::Settings;
use crate::model::{Service, Software, System};
use crate::yaml::{Problem, YamlNode, suggest};
use std::collections::BTreeMap;

/// Whether `system` understands the key at `path` (below its label). The error says what it is for.
pub(super) fn understands(system: System, path: &[&str]) -> Result<(), &'static str> {
    system.service().map_or(Ok(()), |service| leaves_open(service, path))?;
    let kafka = system.software() == Software::Kafka;
    let redis = system.software() == Software::Redis;
    match path {
        ["topic", ..] if redis => {
            Err("`topic` belongs to Kafka; for Redis, `keys` spreads the load")
        }
        ["topics"] if !kafka => {
            Err("`topics` belongs to Kafka; for Redis, `keys` says over how many channels, \
                 streams or lists the load is spread")
        }
        ["transaction", ..] if !kafka => Err(
            "`transaction` belongs to Kafka. MULTI and EXEC of Redis are another thing: commands \
             that run in one piece, which nobody can abort after they ran and no reader waits for",
        ),
        ["client", "library"] if kafka => {
            Err("Kafka's client is librdkafka; `library` chooses that of Redis")
        }
        ["client", key] if redis && *key != "library" => {
            Err("`client` holds settings of librdkafka, Kafka's client; for Redis, `library` alone")
        }
        ["sentinel", ..] if kafka => Err(
            "`sentinel` belongs to Redis; Kafka's nodes watch each other by settings of `broker`",
        ),
        ["heap"] if !kafka => Err("`heap` is that of Kafka's JVM"),
        ["nodes", _] if kafka => {
            Err("shards belong to a Redis Cluster; for Kafka, `topic.partitions` spreads the load")
        }
        ["server"] if kafka => Err("`server` chooses between Redis and Valkey"),
        ["sharded"] if !system.has_key("sharded") => {
            Err("only Redis Pub/Sub has sharded channels; streams and lists have a shard anyway")
        }
        ["keys"] if kafka => {
            Err("`keys` belongs to Redis; for Kafka, `topic.partitions` spreads the load")
        }
        ["reply"] if kafka => {
            Err("`reply` belongs to Redis; for Kafka, `client: {acks: 0}` asks for no answer")
        }
        ["wait" | "wait-aof", ..] if kafka => Err(
            "it belongs to Redis; for Kafka, `client: {acks: all}` waits for the copies in sync, \
             of which `topic.config.min.insync.replicas` says the least",
        ),
        ["wait" | "wait-aof", ..] if !system.has_key("wait") => {
            Err("Pub/Sub keeps nothing that a replica could confirm")
        }
        ["cluster-type"] if system.service() != Some(Service::Msk) => {
            Err("only clusters of Amazon MSK are of several types")
        }
        ["stream"] if kafka => Err("`stream` is one of Redis; of Kafka write `topic: {name: …}`"),
        ["stream"] if !system.has_key("stream") => {
            Err("only Redis Streams has streams that may be there already")
        }
        ["maxlen"] if !system.has_key("maxlen") => Err("only Redis Streams trims by `maxlen`"),
        ["consume", "mode"] if !system.has_key("consume.mode") => {
            Err("only Redis Lists and Kafka have a choice of `consume.mode`")
        }
        ["consume", "batch"] if !system.has_key("consume.batch") => {
            Err("Pub/Sub pushes: there is no request whose size could be limited")
        }
        _ => Ok(()),
    }
}

/// Whether a service leaves it to its users, or to a scenario.
fn leaves_open(service: Service, path: &[&str]) -> Result<(), &'static str> {
    match (service, path) {
        (Service::Msk, ["broker" | "heap", ..]) => {
            Err("brokers of MSK are set by AWS and by the cluster's configuration there; \
             `topic.config` and `client` are yours")
        }
        (Service::Memorydb, ["broker" | "sentinel" | "server", ..]) => {
            Err("nodes of MemoryDB are set by AWS and by the cluster's parameter group there")
        }
        (Service::Memorydb, ["wait" | "wait-aof", ..]) => {
            Err("MemoryDB answers a write once its log has it in several zones: nobody is left")
        }
        (Service::Msk | Service::Sns, ["nodes", ..]) => {
            Err("how large it is was decided when it was made, and it tells by itself")
        }
        (Service::Sns, ["topic", "partitions" | "replicas"]) => {
            Err("SNS has none; `keys` says how many message groups a FIFO topic's load has")
        }
        (Service::Sns, ["topic", "name"]) => Err("here SNS has a topic of each cell's own"),
        (
            Service::Sns,
            [
                "broker" | "sentinel" | "server" | "heap" | "reply" | "wait" | "wait-aof"
                | "topics" | "transaction",
                ..,
            ],
        ) => Err("it belongs to Kafka or to Redis"),
        _ => Ok(()),
    }
}

// Raw settings that are not for a scenario, by what they are about.
// `*` stands for any start or end.

/// Who the brokers are, whether they are verified and how to log in, code and commands to run, and
/// what the harness sets itself. (A name found by `client.dns.lookup`, asking backwards, would be
/// the one that a certificate is verified for.)
pub(crate) const NOT_FOR_CLIENT: &[&str] = &[
    "bootstrap.* metadata.broker.list client.dns.lookup",
    "security.* sasl.* ssl.* ssl_* enable.ssl* https.* oauthbearer* enable.sasl*",
    "plugin.*",
    "group.id group.protocol.type compression.type compression.codec",
    "statistics.* enable.auto.* auto.offset.* log* debug",
];

/// librdkafka takes a topic's setting with this before its name, too: refused under one name and
/// taken under another, or set under both, of which chance picks one.
const PREFIX: &str = "topic.";
/// Settings that really begin so.
const PREFIXED: &[&str] = &["topic.metadata.", "topic.blacklist"];

/// Identity, addresses, folders, access and classes to load: all of them the environment's. Those
/// at the end are no settings of Kafka at all: an image that takes settings as variables would hand
/// them to what starts the JVM.
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
    "daemonize supervised pidfile logfile syslog* proc-title* set-proc-title",
    "server_cpulist server-cpulist",
    "dir dbfilename appendfilename appenddirname include loadmodule*",
    "aclfile user requirepass masterauth masteruser primaryauth primaryuser",
    "rename-command enable-*",
    "replicaof slaveof replica-announce* slave-announce*",
    "cluster-enabled cluster-config-file cluster-port cluster-announce* cluster-preferred-*",
    "crash-* ignore-warnings",
];

fn not_for_broker(software: Software) -> &'static [&'static str] {
    match software {
        Software::Kafka => NOT_FOR_KAFKA,
        Software::Redis => NOT_FOR_REDIS,
        Software::Sns | Software::Fake => &[],
    }
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

/// The settings of the label that another one is the same as.
pub(super) fn same_as<'a>(
    label: &str,
    other: &str,
    node: &YamlNode,
    systems: &'a BTreeMap<String, Settings>,
) -> Result<&'a Settings, Problem> {
    let fail = |key: &str, what: &str, remedy: &str| {
        Err(Problem::new(["systems", label, key], what, remedy))
    };
    if let Some(entry) = node.entries().iter().find(|entry| entry.key != "same-as") {
        let what = "the same system twice has no settings of its own";
        return fail(&entry.key, what, "remove this key, or `same-as`");
    }
    match systems.get(other) {
        Some(_) if other == label => fail("same-as", "it is itself", "name another label"),
        Some(settings) if settings.same_as.is_some() => {
            fail("same-as", "that label is itself the same as another", "name that one")
        }
        Some(settings) => Ok(settings),
        None => {
            let known = systems.keys().map(String::as_str);
            fail("same-as", "no label has this name", &suggest(other, known))
        }
    }
}

/// Refuses keys under a label that its system does not understand, and raw settings that are not
/// for a scenario.
pub(super) fn understood(label: &str, system: System, node: &YamlNode) -> Result<(), Problem> {
    for entry in node.entries() {
        let inner =
            entry.node.entries().iter().map(|inner| vec![entry.key.as_str(), inner.key.as_str()]);
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
        if entry.key == "broker" && system.software() == Software::Kafka {
            known_to_kafka(label, &entry.node)?;
        }
        if let Some(config) = entry.node.get(&["config"]).filter(|_| entry.key == "topic") {
            raw_settings(&["systems", label, "topic", "config"], config, &[])?;
        }
    }
    Ok(())
}

/// Kafka ignores what it does not know without a word, where Redis does not start: what is no name
/// of Kafka's at all would be measured as if it had been set.
fn known_to_kafka(label: &str, broker: &YamlNode) -> Result<(), Problem> {
    match broker.entries().iter().find(|entry| !entry.key.contains('.')) {
        None => Ok(()),
        Some(entry) => {
            let what = "Kafka has no such setting: their names have a dot, as `log.segment.bytes`";
            let path = ["systems", label, "broker", &entry.key];
            Err(Problem::new(path, what, "correct it, or remove it").of_key())
        }
    }
}

/// What is wrong with a raw setting of a broker, and what to do about it: asked again by whoever is
/// about to start one.
pub fn wrong_for_broker(
    software: Software,
    key: &str,
    value: &str,
) -> Option<(&'static str, &'static str)> {
    wrong(not_for_broker(software), key, Some(value))
}

fn wrong(refused: &[&str], key: &str, value: Option<&str>) -> Option<(&'static str, &'static str)> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if key.is_empty() || key.len() > 100 || !key.bytes().all(plain) {
        return Some((
            "the name of a setting holds letters, digits, dots, dashes and underscores",
            "correct it",
        ));
    }
    if value.is_some_and(|value| value.len() > 1000 || value.chars().any(char::is_control)) {
        return Some((
            "a setting's value is one short line of text",
            "remove line breaks and control characters",
        ));
    }
    refuses(refused, key).then_some((
        "this setting is not for a scenario: the environment or the harness sets it",
        "remove it (`message.codec` sets compression; addresses and secrets are given on the \
        command line)",
    ))
}

/// As whom Kafka lets a client write to the topics of its own books.
const INTERNAL_CLIENT: (&str, &str) = ("client.id", "__admin_client");

pub(crate) fn raw_settings(path: &[&str], map: &YamlNode, refused: &[&str]) -> Result<(), Problem> {
    for entry in map.entries() {
        let lower = entry.key.to_ascii_lowercase();
        let client = path.last() == Some(&"client");
        let prefixed = client
            && lower.starts_with(PREFIX)
            && !PREFIXED.iter().any(|real| lower.starts_with(real));
        let bare = || {
            ("a topic's setting stands here under its bare name", "leave the prefix `topic.` out")
        };
        let value = entry.node.scalar();
        let (key, name) = INTERNAL_CLIENT;
        let internal = client && lower == key && value.as_deref() == Some(name);
        let reserved = || ("this name is that of a part of Kafka itself", "choose another");
        let wrong = wrong(refused, &entry.key, value.as_deref())
            .or_else(|| prefixed.then(bare))
            .or_else(|| internal.then(reserved));
        if let Some((what, remedy)) = wrong {
            let full = path.iter().copied().chain([entry.key.as_str()]);
            return Err(Problem::new(full, what, remedy).of_key());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, from_text};

    fn with(system: &str, setting: &str) -> Result<(), String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nprimary: goodput\n\
             systems:\n  {system}: {{broker: {{{setting}}}}}\n\
             load: {{model: closed, messages: 100}}\nmessage: {{size: 100B}}\n"
        );
        from_text("t", &text, &Overrides::default()).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_passes_for_a_part_of_kafka() {
        for (id, right) in [("__admin_client", false), ("admin", true)] {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nload: {{model: closed}}\n\
                 systems: {{kafka: {{client: {{client.id: {id}}}}}}}\n"
            );
            let found = from_text("t", &text, &Overrides::default());
            let told = found.map(drop).map_err(|error| error.to_string());
            let refused = told
                .as_ref()
                .is_err_and(|text| text.contains("client.id") && text.contains("choose another"));
            assert_eq!((told.is_ok(), refused), (right, !right), "{told:?}");
        }
    }

    #[test]
    fn ordinary_settings_of_a_broker_pass() {
        with("kafka", "log.flush.interval.messages: 1").unwrap();
        with("redis-streams", "client-output-buffer-limit: pubsub 0 0 0").unwrap();
        with("redis-streams", "save: ''").unwrap();
    }

    #[test]
    fn nothing_smuggles_in_a_second_setting_or_leaves_loopback() {
        for (system, key, value) in [
            ("kafka", "num.io.threads", r#""8\nlisteners=PLAINTEXT://0.0.0.0:9092""#),
            ("kafka", "a=b", "c"),
            ("kafka", "appendfsync", "always"),
            ("kafka", "''", "c"),
            ("kafka", "listeners", "PLAINTEXT://0.0.0.0:9092"),
            ("kafka", "Listeners", "PLAINTEXT://0.0.0.0:9092"),
            ("kafka", "opts", "'-agentlib:jdwp=transport=dt_socket,server=y,address=*:5005'"),
            ("kafka", "metric.reporters", "x.Y"),
            ("redis-lists", "bind", "0.0.0.0"),
            ("redis-lists", "rename-command", "GET X"),
            ("redis-lists", "dir", "/"),
            ("redis-lists", "'save \"\"'", "x"),
        ] {
            assert!(with(system, &format!("{key}: {value}")).is_err(), "{key}: {value}");
        }
    }
}
