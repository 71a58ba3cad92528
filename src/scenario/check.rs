//! What a scenario may say beyond its types:
//! values that can be run and figures that can be measured.
//!
//! Every refusal names the key and a remedy; where the key stands is found by the caller. Nothing
//! is changed here.

use super::cell::{Cell, Message, PayloadKind};
use super::experiment::Experiment;
use super::file::File;
use super::load::{Load, Model, Pacer};
use super::resolve::Scenario;
use super::sns_check::is_fifo;
use super::source::{NAME, is_name};
use super::system::{ClientLibrary, ConsumeMode, Reply, SystemConfig};
use super::threads;
use crate::model::{Guarantee, Measure, MessageStore, System, metric};
use crate::stats::compare::LEAST_BLOCKS;
use crate::units::{Bytes, Rate, Span};
use crate::yaml::{Problem, suggest};

const SMALLEST_HEAP: Bytes = Bytes(256 << 20);
pub(super) const FASTEST: Rate = Rate::per_second(20_000_000);
/// A week.
pub(super) const LONGEST: Span = Span::from_secs(7 * 24 * 3600);
/// What librdkafka takes for its `socket.timeout.ms`.
const LEAST_SILENCE: Span = Span::from_millis(10);
const LONGEST_SILENCE: Span = Span::from_secs(300);
const MOST_BLOCKS: u32 = 100;
const MOST_NODES: u16 = 1000;
const LONGEST_TITLE: usize = 40;

pub(super) type Check = Result<(), Problem>;

pub(super) fn refuse(key: &str, what: impl std::fmt::Display, remedy: &str) -> Check {
    Err(Problem::new(key.split('.'), what, remedy))
}

pub(super) fn check(right: bool, key: &str, what: impl std::fmt::Display, remedy: &str) -> Check {
    if right { Ok(()) } else { refuse(key, what, remedy) }
}

fn some_of_each<'a>(counts: impl IntoIterator<Item = (&'a str, u32)>) -> Check {
    counts.into_iter().try_for_each(|(key, count)| {
        check(count > 0, key, "at least 1 is needed", "write 1 or more")
    })
}

/// What needs the file alone.
pub(super) fn words(file: &File) -> Check {
    let (named, name) = (is_name(&file.name), format_args!("a name {NAME}"));
    check(named, "name", name, "rename it, for example `order-events`")?;
    let question = !file.question.trim().is_empty();
    check(question, "question", "it is empty", "say what a reader will know after the run")?;
    let reason = file.cross_class.as_ref().is_none_or(|reason| !reason.trim().is_empty());
    check(reason, "cross-class", "it is empty", "give the reason, or remove it")
}

/// It stands in the head of rows and beside marks of charts.
pub(super) fn title(label: &str, title: &str) -> Result<(), Problem> {
    let length = title.trim().chars().count();
    if (1..=LONGEST_TITLE).contains(&length) && !title.contains(char::is_control) {
        return Ok(());
    }
    let what = format!("a title is one line of 1 to {LONGEST_TITLE} characters");
    Err(Problem::new(["systems", label, "title"], what, "shorten it, or remove it"))
}

pub(super) fn blocks(blocks: u32) -> Check {
    let what = format_args!("out of range, it is 1 to {MOST_BLOCKS}");
    check(
        (1..=MOST_BLOCKS).contains(&blocks),
        "blocks",
        what,
        "1 shows facts, 3 and more decide speeds",
    )
}

/// Fewer than three would make the mood of one broker the finding.
pub(super) fn fresh_brokers(times: Option<u32>, blocks: u32) -> Check {
    let least = blocks.min(LEAST_BLOCKS as u32);
    let enough = times.is_none_or(|times| times >= least);
    let what = format_args!("too few for {blocks} blocks");
    check(enough, "fresh-brokers", what, &format!("write {least} or more"))
}

fn rate(load: &Load, shards: u16) -> Check {
    let fastest = Rate::from_f64(FASTEST.per_s() * f64::from(shards.max(1)));
    match (load.model, load.rate) {
        (Model::Open, None) if load.half_of.is_none() => refuse(
            "load.rate",
            "the open model needs a rate",
            "add `rate: 10k/s`, or use `model: closed`",
        ),
        (Model::Closed, rate) if rate.is_some() || load.half_of.is_some() => {
            let what = "the closed model goes as fast as `in-flight` allows and takes no rate";
            refuse("load.rate", what, "remove `rate`, or use `model: open`")
        }
        (Model::Open, Some(rate)) if rate.micro_per_s() == 0 => refuse(
            "load.rate",
            "a rate of zero sends nothing",
            "write a rate above zero, such as `10k/s`",
        ),
        (Model::Open, Some(rate)) if rate > fastest => {
            let what = format!("no generator on one machine offers more than {FASTEST}");
            refuse("load.rate", what, "lower it, or use `model: closed` to find the most it can do")
        }
        _ => Ok(()),
    }
}

/// Two tries fit into a deadline, or there is no second one.
fn request_timeout(load: &Load) -> Check {
    let (Some(silence), key) = (load.request_timeout, "load.request-timeout") else {
        return Ok(());
    };
    let Some(deadline) = load.deadline else {
        let what = "without `load.deadline` each client library waits as it comes";
        return check(false, key, what, "add `deadline: 30s`, or remove the key");
    };
    let most = LONGEST_SILENCE.min(Span(deadline.nanos() / 2));
    let what =
        format_args!("not between {LEAST_SILENCE} and {most}, half of `load.deadline` or 5m");
    check((LEAST_SILENCE..=most).contains(&silence), key, what, "write a duration such as `2s`")
}

/// `shards` is how many processes run it together.
pub(super) fn load(load: &Load, shards: u16) -> Check {
    rate(load, shards)?;
    let longest = format_args!("longer than {LONGEST}");
    for (key, span, may_be_zero) in [
        ("load.warm-up", load.warm_up, true),
        ("load.warm-up-limit", load.warm_up_limit, true),
        ("load.duration", load.duration, false),
        ("load.drain", load.drain, false),
        ("load.work", load.work, true),
        ("load.broker-warm-up", load.broker_warm_up, true),
    ] {
        let (some, what) = (span.nanos() > 0, "zero leaves no time to measure or to finish");
        check(some || may_be_zero, key, what, "write a duration such as `10s`")?;
        check(span <= LONGEST, key, longest, "shorten it")?;
    }
    let (some, key) = (load.deadline != Some(Span(0)), "load.deadline");
    check(
        some,
        key,
        "no time to be answered in",
        "write a duration such as `30s`, or remove the key",
    )?;
    check(load.deadline.is_none_or(|deadline| deadline <= LONGEST), key, longest, "shorten it")?;
    request_timeout(load)?;
    let (enough, what) = (
        load.warm_up_limit >= load.warm_up,
        format_args!("it is below `load.warm-up` ({})", load.warm_up),
    );
    check(enough, "load.warm-up-limit", what, "raise it, or shorten the warm-up")?;
    let some = load.messages != Some(0);
    check(
        some,
        "load.messages",
        "no message at all",
        "write a number above zero, or remove the key",
    )?;
    some_of_each([
        ("load.consumers", load.consumers.into()),
        ("load.connections", load.connections.into()),
        ("load.in-flight", load.in_flight),
        ("load.batch", load.batch),
    ])?;
    let what =
        format_args!("fewer than the {} connections: some would never send", load.connections);
    let enough = load.in_flight >= u32::from(load.connections);
    check(enough, "load.in-flight", what, "raise `in-flight`, or lower `connections`")?;
    let remedy = "write a size such as `16MiB`";
    check(load.backlog.0 > 0, "load.backlog", "nothing could ever be sent", remedy)
}

/// The crate carries plain load: whatever asks for more is done by our own client.
pub(super) fn library(
    label: &str,
    config: &SystemConfig,
    load: &Load,
    experiment: Option<&Experiment>,
    message: &Message,
) -> Check {
    let Some(name) = config.client.get(ClientLibrary::KEY) else { return Ok(()) };
    let key = format!("systems.{label}.client.{}", ClientLibrary::KEY);
    let known = ClientLibrary::ALL.map(ClientLibrary::name);
    if !known.contains(&name.as_str()) {
        return refuse(&key, "no client library has this name", &suggest(name, known));
    }
    let because = match config.library() {
        ClientLibrary::Direct => return Ok(()),
        ClientLibrary::RedisRs if experiment.is_some() => {
            "an experiment asks for more than it is used for here"
        }
        ClientLibrary::RedisRs if load.deadline.is_some() => {
            "what it tries again is not accounted for"
        }
        ClientLibrary::RedisRs if config.reply == Reply::Off => "it awaits each reply",
        ClientLibrary::RedisRs if load.pacer == Pacer::Spin => "its own threads sleep",
        ClientLibrary::RedisRs if message.headers > 0 || message.payload == PayloadKind::File => {
            "it sends one value a message"
        }
        ClientLibrary::RedisRs => return Ok(()),
    };
    let what = format!(
        "it carries plain load, without faults, `load.deadline`, `reply: off` or `pacer: spin`: \
         {because}"
    );
    refuse(&key, what, "write `direct`, or remove the key")
}

/// A rate that a run must find first is for plain load: experiments make loads of their own.
pub(super) fn half_of(load: &Load, experiment: Option<&Experiment>) -> Check {
    let Some(experiment) = experiment.filter(|_| load.half_of.is_some()) else { return Ok(()) };
    let what =
        format!("only plain load finds its rate, not the experiment `{}`", experiment.kind());
    refuse("load.rate", what, "write a rate such as `10k/s`")
}

/// What needs the system and its load together.
pub(super) fn cell(label: &str, config: &SystemConfig, load: &Load, shards: u16) -> Check {
    let key = |tail: &str| format!("systems.{label}.{tail}");
    // Shards are counted elsewhere, and know no replicas of a topic.
    let nodes = if config.cluster.is_some() { 1 } else { config.nodes };
    for (tail, count) in [
        ("nodes", nodes.into()),
        ("topic.partitions", config.topic.partitions.into()),
        ("topic.replicas", config.topic.replicas.into()),
        ("topics", config.topics.into()),
        ("keys", config.keys.into()),
        ("consume.batch", config.consume.batch),
    ] {
        some_of_each([(&*key(tail), count)])?;
    }
    threads::within_reason(config, load, shards)?;
    sentinel(label, config)?;
    let what = format_args!("Kafka does not start in less than {SMALLEST_HEAP}");
    check(config.heap >= SMALLEST_HEAP, &key("heap"), what, "write a size such as `1GiB`")?;
    let what = format_args!("more than any cluster that is loaded from one machine ({MOST_NODES})");
    let remedy = "lower it to the number of nodes that there are";
    check(nodes <= MOST_NODES, &key("nodes"), what, remedy)?;
    let (connections, streams) = (u64::from(load.connections), config.streams());
    let fits = connections * streams <= u64::from(u16::MAX);
    let what =
        format_args!("{connections} connections × {streams} streams are more lanes than 65535");
    let remedy = "lower the connections, or the partitions, topics or keys";
    check(fits, "load.connections", what, remedy)
}

/// What a scenario may set on the Sentinels: milliseconds, or a count.
/// The rest is the environment's.
const SENTINEL: [&str; 4] =
    ["down-after-milliseconds", "failover-timeout", "parallel-syncs", "quorum"];
/// As many as there are.
const MOST_QUORUM: u32 = 3;

fn sentinel(label: &str, config: &SystemConfig) -> Check {
    let key = format!("systems.{label}.sentinel");
    let what = "one node has no replica that a Sentinel could promote";
    check(
        config.nodes > 1 || config.sentinel.is_empty(),
        &key,
        what,
        "add `nodes: 3`, or remove it",
    )?;
    for (name, value) in &config.sentinel {
        let (key, known) = (format!("{key}.{name}"), SENTINEL.contains(&name.as_str()));
        check(
            known,
            &key,
            "not a setting of Sentinel that can be set here",
            &suggest(name, SENTINEL),
        )?;
        let most = if name == "quorum" { MOST_QUORUM } else { i32::MAX as u32 };
        let right = value.parse().is_ok_and(|number: u32| (1..=most).contains(&number));
        let what = format_args!("it is a number from 1 to {most}");
        check(right, &key, what, "write milliseconds or a count, without a unit")?;
    }
    Ok(())
}

/// Refuses figures that no cell of this scenario can have.
pub(super) fn figures(scenario: &Scenario, load: &Load) -> Check {
    let never =
        |(_, config): &(String, SystemConfig)| never_measured(scenario.primary, config, load);
    let reasons: Option<Vec<_>> = scenario.systems.iter().map(never).collect();
    if let Some(because) = reasons.and_then(|all| all.first().copied()) {
        let what = format!("it can never be measured here: {because}");
        return refuse(
            "primary",
            what,
            "choose another figure, such as `goodput` in the closed model",
        );
    }
    for (index, rule) in scenario.thresholds.iter().enumerate() {
        let (named, measure) = (rule.labels(), rule.measure);
        for (label, config) in &scenario.systems {
            if (named.is_empty() || named.contains(&label.as_str()))
                && let Some(because) = never_measured(measure, config, load)
            {
                let what = format!(
                    "it can never hold: {measure} of {label} is not measured, because {because}"
                );
                let remedy = match named[..] {
                    [] => format!(
                        "choose another figure, or name the label that it is meant for: \
                        `kafka: {rule}`"
                    ),
                    _ => "remove the rule".to_owned(),
                };
                return refuse(&format!("thresholds.{index}"), what, &remedy);
            }
        }
    }
    let promised =
        |(_, config): &(String, SystemConfig)| cannot_promise(config, scenario.guarantee).is_none();
    let right = scenario.guarantee == Guarantee::None || scenario.systems.iter().any(promised);
    let remedy = "lower it, or change the systems' settings";
    check(right, "guarantee", "none of these systems can promise it", remedy)
}

/// Why no run of this system under this load can measure it, whatever happens.
fn never_measured(measure: Measure, config: &SystemConfig, load: &Load) -> Option<&'static str> {
    let metric = measure.metric;
    let planned = [metric::PLANNED, metric::OFFERED_RATE].contains(&metric)
        || metric.latency().is_some_and(|latency| latency.planned());
    let audited = [metric::BROKER_LOST, metric::LOG_DUPLICATE].contains(&metric);
    let received = metric == metric::END_TO_END
        || [metric::DELIVERED, metric::COMPLETE, metric::CONSUMED_RATE].contains(&metric);
    let published = [metric::PUBLISH, metric::SERVICE, metric::SENT, metric::SENT_RATE];
    let acked = audited || [metric::ACKED, metric::ACKED_RATE].contains(&metric);
    match () {
        () if load.subscriptions == 0 && received => {
            Some("nobody consumes (`load.subscriptions: 0`)")
        }
        () if load.producers == 0 && (acked || published.contains(&metric)) => {
            Some("nobody publishes (`load.producers: 0`)")
        }
        () if load.model == Model::Closed && planned => {
            Some("the closed model plans no send times")
        }
        () if load.model == Model::Open && metric == metric::HELD_BY_CONSUMERS => {
            Some("in the open model nobody waits for consumers")
        }
        () if metric == metric::REDIRECTED && config.cluster.is_none() => {
            Some("nothing but a Redis Cluster sends clients elsewhere")
        }
        () if metric == metric::REDIRECTED && load.deadline.is_none() => {
            Some("redirections are followed where `load.deadline` is set")
        }
        () if config.system.store() == MessageStore::Nothing && acked => {
            Some("Pub/Sub acknowledges and keeps nothing")
        }
        () if config.acks() == Some("0") && acked => Some("nothing is acknowledged with `acks: 0`"),
        () if config.reply == Reply::Off && acked => {
            Some("nothing is acknowledged with `reply: off`")
        }
        () if !load.audit && audited => Some("`load.audit` is off"),
        () => None,
    }
}

/// Why a system with these settings cannot promise `guarantee`; `None` when it can.
pub fn cannot_promise(config: &SystemConfig, guarantee: Guarantee) -> Option<&'static str> {
    let kafka_unacked = config.acks() == Some("0");
    let store = config.system.store();
    let pop = store == MessageStore::Queue && config.consume.mode == ConsumeMode::Pop;
    let idempotent = config.transaction.is_some()
        || config.client.get("enable.idempotence").is_some_and(|on| on == "true");
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
        Guarantee::ExactlyOnceInLog => match config.system.base() {
            System::Fake => None,
            System::Kafka if idempotent && !kafka_unacked => None,
            System::Kafka => Some("it needs `client: {enable.idempotence: true}`"),
            System::Sns if is_fifo(config) => None,
            System::Sns => Some("it needs `topic: {config: {FifoTopic: true}}`"),
            _ => Some("a repeated write after a time-out is not recognised"),
        },
        Guarantee::ExactlyOnce => match config.system.base() {
            System::Fake => None,
            System::Kafka if config.transaction.is_some() => None,
            System::Kafka => Some("it needs `transaction: {messages: 100}`"),
            _ => Some("it has no transactions that readers wait for"),
        },
    }
}

impl Cell {
    /// Why this system cannot run this cell; `None` when it can. Experiments answer for themselves.
    pub fn cannot(&self) -> Option<&'static str> {
        let store = self.config.system.store();
        let beside = match store {
            MessageStore::Nothing | MessageStore::Queue | MessageStore::QueueEach => true,
            MessageStore::Log | MessageStore::PendingLog => false,
        };
        match () {
            () if self.experiment.is_some() => None,
            () if self.message.headers > 0 && beside => Some(
                "a message has no headers there; an application would put them into its payload",
            ),
            () => cannot(&self.config, &self.load),
        }
    }
}

/// Only what no setting of ours would change stands here. Workarounds in which the application does
/// the work (a producer that writes one list per reader) are not the system's doing and are not
/// measured as if they were.
fn cannot(config: &SystemConfig, load: &Load) -> Option<&'static str> {
    let synced = config.broker.get("appendonly").is_some_and(|value| value == "yes");
    match config.system.store() {
        MessageStore::Queue if load.subscriptions > 1 => Some(
            "a list element goes to one consumer; \
            the producer would have to write one list per reader",
        ),
        MessageStore::Nothing if load.consumers > 1 => Some(
            "every subscriber receives everything; \
            consumers that share would each do all of the work",
        ),
        MessageStore::Nothing if synced => Some(
            "Pub/Sub keeps nothing that an append-only file could hold; \
            no reply of it outlives the broker",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, from_text};

    fn reasons(load: &str, systems: &str) -> Vec<(String, bool)> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\nload: \
            {{model: closed, {load}}}\n"
        );
        let cells = from_text("t.yaml", &text, &Overrides::default()).unwrap().cells();
        cells.iter().map(|cell| (cell.label.clone(), cell.cannot().is_some())).collect()
    }

    fn unable(load: &str, systems: &str) -> Vec<String> {
        reasons(load, systems)
            .into_iter()
            .filter_map(|(label, cannot)| cannot.then_some(label))
            .collect()
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
        let synced = "{redis-pubsub: {broker: {appendonly: 'yes'}}, \
                       redis-lists: {broker: {appendonly: 'yes'}}}";
        assert_eq!(unable("subscriptions: 1", synced), ["redis-pubsub"]);
    }
}
