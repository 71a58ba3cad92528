//! What a scenario may say beyond its types: values that can be run and figures that can be measured.
//!
//! Every refusal names the key and a remedy; where the key stands is found by the caller. Nothing is changed here.

use super::cell::{Cell, Message, PayloadKind};
use super::experiment::Experiment;
use super::figure::never_measured;
use super::file::File;
use super::load::{Load, Model};
use super::resolve::Scenario;
use super::rule::Subject;
use super::source::is_name;
use super::system::{ClientLibrary, ListMode, Reply, SystemConfig};
use crate::model::{Codec, Guarantee, MessageStore, Software, System};
use crate::units::{Bytes, Rate, Span};
use crate::yaml::{Problem, suggest};

/// The whole envelope, and the one without the planned time: no smaller message can be accounted for.
const ENVELOPE: u64 = 44;
const COMPACT_ENVELOPE: u64 = 12;
const LARGEST_MESSAGE: Bytes = Bytes(16 << 20);
const SMALLEST_HEAP: Bytes = Bytes(256 << 20);
const LARGEST_IN_FLIGHT: Bytes = Bytes(4 << 30);
const FASTEST: Rate = Rate::per_second(20_000_000);
const LONGEST: Span = Span::from_secs(24 * 3600);
/// Each producer and each consumer is a thread.
const MOST_THREADS: u64 = 256;
const MOST_BLOCKS: u32 = 100;

type Check = Result<(), Problem>;

fn refuse(key: &str, what: impl std::fmt::Display, remedy: &str) -> Check {
    Err(Problem::new(key.split('.'), what, remedy))
}

pub(super) fn name(name: &str) -> Check {
    if is_name(name) {
        return Ok(());
    }
    let what = "a name may hold lower-case letters, digits and dashes, and starts with no dash (at most 40)";
    refuse("name", what, "rename it, for example `order-events`")
}

pub(super) fn words(file: &File) -> Check {
    if file.question.trim().is_empty() {
        return refuse("question", "it is empty", "say what a reader will know after the run");
    }
    match &file.cross_class {
        Some(reason) if reason.trim().is_empty() => {
            refuse("cross-class", "it is empty", "give the reason, or remove it")
        }
        _ => Ok(()),
    }
}

pub(super) fn blocks(blocks: u32) -> Check {
    match blocks {
        1..=MOST_BLOCKS => Ok(()),
        _ => refuse("blocks", format_args!("out of range, it is 1 to {MOST_BLOCKS}"), "quick 1, standard 3, full 5"),
    }
}

pub(super) fn load(load: &Load) -> Check {
    match (load.model, load.rate) {
        (Model::Open, None) if !load.half_capacity => {
            return refuse("load.rate", "the open model needs a rate", "add `rate: 10k/s`, or use `model: closed`");
        }
        (Model::Closed, rate) if rate.is_some() || load.half_capacity => {
            let what = "the closed model goes as fast as `in-flight` allows and takes no rate";
            return refuse("load.rate", what, "remove `rate`, or use `model: open`");
        }
        (Model::Open, Some(rate)) if rate.micro_per_s() == 0 => {
            return refuse("load.rate", "a rate of zero sends nothing", "write a rate above zero, such as `10k/s`");
        }
        (Model::Open, Some(rate)) if rate > FASTEST => {
            let what = format!("no generator on one machine offers more than {FASTEST}");
            return refuse("load.rate", what, "lower it, or use `model: closed` to find the most it can do");
        }
        _ => {}
    }
    let spans = [
        ("load.warm-up", load.warm_up, true),
        ("load.warm-up-limit", load.warm_up_limit, true),
        ("load.duration", load.duration, false),
        ("load.drain", load.drain, false),
        ("load.work", load.work, true),
        ("load.broker-warm-up", load.broker_warm_up, true),
    ];
    for (key, span, may_be_zero) in spans {
        if span.nanos() == 0 && !may_be_zero {
            return refuse(key, "zero leaves no time to measure or to finish", "write a duration such as `10s`");
        }
        if span > LONGEST {
            return refuse(key, format_args!("longer than {LONGEST}"), "shorten it");
        }
    }
    if load.deadline == Some(Span(0)) {
        return refuse(
            "load.deadline",
            "no time to be answered in",
            "write a duration such as `30s`, or remove the key",
        );
    }
    if load.deadline.is_some_and(|deadline| deadline > LONGEST) {
        return refuse("load.deadline", format_args!("longer than {LONGEST}"), "shorten it");
    }
    if load.warm_up_limit < load.warm_up {
        let what = format!("it is below `load.warm-up` ({})", load.warm_up);
        return refuse("load.warm-up-limit", what, "raise it, or shorten the warm-up");
    }
    if load.messages == Some(0) {
        return refuse("load.messages", "no message at all", "write a number above zero, or remove the key");
    }
    let counts = [
        ("load.producers", u32::from(load.producers)),
        ("load.subscriptions", u32::from(load.subscriptions)),
        ("load.consumers", u32::from(load.consumers)),
        ("load.connections", u32::from(load.connections)),
        ("load.in-flight", load.in_flight),
        ("load.batch", load.batch),
    ];
    if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
        return refuse(key, "at least 1 is needed", "write 1 or more");
    }
    if load.in_flight < u32::from(load.connections) {
        let what = format!("fewer than the {} connections: some would never send", load.connections);
        return refuse("load.in-flight", what, "raise `in-flight`, or lower `connections`");
    }
    let consumers = u64::from(load.subscriptions) * u64::from(load.consumers);
    let threads = consumers + u64::from(load.producers);
    if threads > MOST_THREADS {
        let key = if consumers >= u64::from(load.producers) { "load.consumers" } else { "load.producers" };
        let what = format!("producers and consumers together would be {threads} threads, more than {MOST_THREADS}");
        return refuse(key, what, "lower `producers`, `subscriptions` or `consumers`");
    }
    if load.backlog.0 == 0 {
        return refuse("load.backlog", "nothing could ever be sent", "write a size such as `16MiB`");
    }
    Ok(())
}

/// The crate carries plain load: whatever asks for more is done by our own client.
pub(super) fn library(label: &str, config: &SystemConfig, load: &Load, experiment: Option<&Experiment>) -> Check {
    let Some(name) = config.client.get(ClientLibrary::KEY) else { return Ok(()) };
    let key = format!("systems.{label}.client.{}", ClientLibrary::KEY);
    let known = ClientLibrary::ALL.map(ClientLibrary::name);
    if !known.contains(&name.as_str()) {
        return refuse(&key, "no client library has this name", &suggest(name, known));
    }
    let because = match config.library() {
        ClientLibrary::Direct => return Ok(()),
        ClientLibrary::RedisRs if experiment.is_some() => "an experiment asks for more than it is used for here",
        ClientLibrary::RedisRs if load.deadline.is_some() => "what it tries again is not accounted for",
        ClientLibrary::RedisRs if config.reply == Reply::Off => "it awaits each reply",
        ClientLibrary::RedisRs => return Ok(()),
    };
    let what = format!("it carries plain load, without faults, `load.deadline` or `reply: off`: {because}");
    refuse(&key, what, "write `direct`, or remove the key")
}

/// A rate that a run must find first is for plain load: experiments make loads of their own.
pub(super) fn half_capacity(load: &Load, experiment: Option<&Experiment>) -> Check {
    match experiment {
        Some(experiment) if load.half_capacity => {
            let what = format!("only plain load finds its rate, not the experiment `{}`", experiment.kind());
            refuse("load.rate", what, "write a rate such as `10k/s`")
        }
        _ => Ok(()),
    }
}

pub(super) fn message(message: &Message, load: &Load) -> Check {
    let size = message.size;
    if size.0 < COMPACT_ENVELOPE {
        let what = format!("smaller than the {COMPACT_ENVELOPE} bytes that identify a message");
        return refuse("message.size", what, &format!("write {ENVELOPE}B or more"));
    }
    if size.0 < ENVELOPE && load.model == Model::Open {
        let what = format!("messages below {ENVELOPE} bytes carry no planned time, and so have no latency");
        return refuse("message.size", what, &format!("write {ENVELOPE}B or more, or use `load.model: closed`"));
    }
    if size > LARGEST_MESSAGE {
        let what = format!("plain load stops at {LARGEST_MESSAGE}; larger messages come with the size ladder");
        return refuse("message.size", what, &format!("write {LARGEST_MESSAGE} or less"));
    }
    let held = u128::from(load.producers) * u128::from(load.in_flight) * u128::from(size.0);
    if held > u128::from(LARGEST_IN_FLIGHT.0) {
        let what = format!("{} messages of {size} in flight need more memory than {LARGEST_IN_FLIGHT}", load.in_flight);
        return refuse("message.size", what, "lower `load.in-flight`, `load.producers` or `message.size`");
    }
    match (message.payload, message.compressibility) {
        (PayloadKind::Mixed, None) => {
            let remedy = "add `compressibility: 2.0` (a zstd ratio)";
            refuse("message.compressibility", "payload `mixed` needs the ratio to reach", remedy)
        }
        (PayloadKind::Mixed, Some(ratio)) if !(1.0..=100.0).contains(&ratio) => {
            refuse("message.compressibility", "out of range, a zstd ratio is 1 to 100", "write a ratio such as `2.0`")
        }
        (PayloadKind::Text | PayloadKind::Random, Some(_)) => {
            let remedy = "add `payload: mixed`, or remove `compressibility`";
            refuse("message.compressibility", "only payload `mixed` is made to a ratio", remedy)
        }
        _ => Ok(()),
    }
}

/// What needs the system, its load and its messages together.
pub(super) fn cell(label: &str, config: &SystemConfig, load: &Load, message: &Message) -> Check {
    let key = |tail: &str| format!("systems.{label}.{tail}");
    if message.codec != Codec::None && config.system.software() == Software::Redis {
        let what = format!("Redis does not compress, and plain load does not do it for {label}");
        return refuse("message.codec", what, "write `codec: none`, or run Kafka alone with `--system kafka`");
    }
    for (tail, value) in [
        ("nodes", u32::from(config.nodes)),
        ("topic.partitions", u32::from(config.topic.partitions)),
        ("topic.replicas", u32::from(config.topic.replicas)),
        ("keys", u32::from(config.keys)),
        ("consume.batch", config.consume.batch),
    ] {
        if value == 0 {
            return refuse(&key(tail), "at least 1 is needed", "write 1 or more");
        }
    }
    let nodes = config.nodes;
    sentinel(label, config)?;
    if config.heap < SMALLEST_HEAP {
        let what = format!("Kafka does not start in less than {SMALLEST_HEAP}");
        return refuse(&key("heap"), what, "write a size such as `1GiB`");
    }
    if !matches!(nodes, 1 | 3) {
        let what = "brokers run here with 1 node or with 3: a quorum of another size needs more machines";
        return refuse(&key("nodes"), what, "write `nodes: 1` or `nodes: 3`");
    }
    if config.topic.replicas > nodes {
        let what = format!("more copies than nodes ({nodes})");
        return refuse(&key("topic.replicas"), what, "lower it to the number of nodes");
    }
    let lanes = u32::from(load.connections) * u32::from(config.streams());
    if lanes > u32::from(u16::MAX) {
        let what = format!("{} connections × {} streams are more lanes than 65535", load.connections, config.streams());
        return refuse("load.connections", what, "lower the connections, or the partitions or keys");
    }
    Ok(())
}

/// What a scenario may set on the Sentinels: milliseconds, or a count. The rest is the environment's.
const SENTINEL: [&str; 4] = ["down-after-milliseconds", "failover-timeout", "parallel-syncs", "quorum"];
/// As many as there are.
const MOST_QUORUM: u32 = 3;

fn sentinel(label: &str, config: &SystemConfig) -> Check {
    let key = format!("systems.{label}.sentinel");
    if config.nodes == 1 && !config.sentinel.is_empty() {
        let what = "one node has no replica that a Sentinel could promote";
        return refuse(&key, what, "add `nodes: 3`, or remove it");
    }
    for (name, value) in &config.sentinel {
        let key = format!("{key}.{name}");
        if !SENTINEL.contains(&name.as_str()) {
            return refuse(&key, "not a setting of Sentinel that can be set here", &suggest(name, SENTINEL));
        }
        let most = if name == "quorum" { MOST_QUORUM } else { i32::MAX as u32 };
        if !value.parse().is_ok_and(|number: u32| (1..=most).contains(&number)) {
            let what = format!("it is a number from 1 to {most}");
            return refuse(&key, what, "write milliseconds or a count, without a unit");
        }
    }
    Ok(())
}

/// Refuses figures that no cell of this scenario can have.
pub(super) fn figures(scenario: &Scenario, load: &Load) -> Check {
    let reasons: Vec<_> =
        scenario.systems.iter().map(|(_, config)| never_measured(scenario.primary, config, load)).collect();
    if let Some(because) = reasons.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.first().copied()) {
        let what = format!("it can never be measured here: {because}");
        return refuse("primary", what, "choose another figure, such as `goodput` in the closed model");
    }
    for (index, rule) in scenario.thresholds.iter().enumerate() {
        let unscoped = matches!(rule.subject, Subject::Metric { label: None, .. });
        let named = rule.labels();
        for (label, config) in &scenario.systems {
            if (unscoped || named.contains(&label.as_str()))
                && let Some(because) = never_measured(rule.measure(), config, load)
            {
                let what =
                    format!("it can never hold: {} of {label} is not measured, because {because}", rule.measure());
                let remedy = format!("choose another figure, or name the label that it is meant for: `kafka: {rule}`");
                return refuse(
                    &format!("thresholds.{index}"),
                    what,
                    if unscoped { &remedy } else { "remove the rule" },
                );
            }
        }
    }
    match scenario.guarantee {
        Guarantee::None => Ok(()),
        guarantee if scenario.systems.iter().any(|(_, config)| cannot_promise(config, guarantee).is_none()) => Ok(()),
        _ => refuse("guarantee", "none of these systems can promise it", "lower it, or change the systems' settings"),
    }
}

/// Why a system with these settings cannot promise `guarantee`; `None` when it can.
pub fn cannot_promise(config: &SystemConfig, guarantee: Guarantee) -> Option<&'static str> {
    let kafka_unacked = config.system == System::Kafka && config.acks() == Some("0");
    let store = config.system.store();
    let pop = store == MessageStore::Queue && config.consume.mode == ListMode::Pop;
    let idempotent = config.client.get("enable.idempotence").is_some_and(|on| on == "true");
    match guarantee {
        Guarantee::None => None,
        Guarantee::AtMostOnce => match store {
            MessageStore::Nothing => None,
            _ if pop || config.system == System::Fake => None,
            _ => Some("consumers acknowledge after processing, so a message may come twice"),
        },
        Guarantee::AtLeastOnce => match store {
            MessageStore::Nothing => Some("Pub/Sub keeps nothing for a subscriber that is away"),
            _ if kafka_unacked => Some("nothing is acknowledged with `acks: 0`"),
            _ if config.reply == Reply::Off => Some("nothing is acknowledged with `reply: off`"),
            _ if pop => Some("with `consume.mode: pop` a message is gone once taken"),
            _ => None,
        },
        Guarantee::ExactlyOnceInLog => match config.system {
            System::Fake => None,
            System::Kafka if idempotent && !kafka_unacked => None,
            System::Kafka => Some("it needs `client: {enable.idempotence: true}`"),
            _ => Some("a repeated write after a time-out is not recognised"),
        },
    }
}

impl Cell {
    /// Why this system cannot run this cell; `None` when it can. Experiments answer for themselves.
    pub fn cannot(&self) -> Option<&'static str> {
        if self.experiment.is_some() { None } else { cannot(&self.config, &self.load) }
    }
}

/// Only what no setting of ours would change stands here. Workarounds in which the application does the work (a
/// producer that writes one list per reader) are not the system's doing and are not measured as if they were.
fn cannot(config: &SystemConfig, load: &Load) -> Option<&'static str> {
    let synced = config.broker.get("appendonly").is_some_and(|value| value == "yes");
    match config.system.store() {
        MessageStore::Queue if load.subscriptions > 1 => {
            Some("a list element goes to one consumer; the producer would have to write one list per reader")
        }
        MessageStore::Nothing if load.consumers > 1 => {
            Some("every subscriber receives everything; consumers that share would each do all of the work")
        }
        MessageStore::Nothing if synced => {
            Some("Pub/Sub keeps nothing that an append-only file could hold; no reply of it outlives the broker")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, from_text};

    fn reasons(load: &str, systems: &str) -> Vec<(String, bool)> {
        let text = format!("schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\nload: {{model: closed, {load}}}\n");
        let cells = from_text("t.yaml", &text, &Overrides::default()).unwrap().cells();
        cells.iter().map(|cell| (cell.label.clone(), cell.cannot().is_some())).collect()
    }

    fn unable(load: &str, systems: &str) -> Vec<String> {
        reasons(load, systems).into_iter().filter_map(|(label, cannot)| cannot.then_some(label)).collect()
    }

    const ALL: &str = "[kafka, redis-pubsub, redis-streams, redis-lists]";

    #[test]
    fn a_list_has_no_second_reader_and_pubsub_shares_nothing() {
        assert_eq!(unable("subscriptions: 1", ALL), Vec::<String>::new());
        assert_eq!(unable("subscriptions: 2", ALL), ["redis-lists"]);
        assert_eq!(unable("consumers: 2", ALL), ["redis-pubsub"]);
    }

    #[test]
    fn pubsub_has_nothing_to_sync() {
        let synced = "{redis-pubsub: {broker: {appendonly: 'yes'}}, redis-lists: {broker: {appendonly: 'yes'}}}";
        assert_eq!(unable("subscriptions: 1", synced), ["redis-pubsub"]);
    }
}
