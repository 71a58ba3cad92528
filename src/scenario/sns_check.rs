//! What SNS and SQS take of a scenario, known before anything is made in an account: attributes of
//! the topic and parameters of the clients, by AWS's own names, and messages that fit. Limits by
//! AWS's documentation, in November 2026; `docs/sns.md` has them.

use super::cell::Message;
use super::check::{Check, check, refuse};
use super::system::SystemConfig;
use crate::model::{Codec, Software};
use crate::units::Bytes;
use crate::yaml::suggest;

const FIFO: &str = "FifoTopic";
const SCOPE: &str = "FifoThroughputScope";
const ARCHIVE: &str = "ArchivePolicy";
const LARGEST: &str = "MaximumMessageSize";
const ATTRIBUTES: [&str; 4] = [FIFO, SCOPE, ARCHIVE, LARGEST];
const SIZES: (u64, u64) = (1024, 1 << 20);
/// Where the topic sets no `MaximumMessageSize`.
const STOCK_SIZE: u64 = 256 << 10;
/// Days.
const KEPT: (u64, u64) = (1, 365);
/// Parameters of ReceiveMessage, each with its range in seconds.
const PARAMETERS: [(&str, (u64, u64)); 2] =
    [("WaitTimeSeconds", (0, 20)), ("VisibilityTimeout", (0, 43_200))];
/// Messages that ReceiveMessage hands out.
pub(super) const MOST_RECEIVED: u32 = 10;

/// Whether messages have an order, and are told from their own repetitions.
pub(super) fn is_fifo(config: &SystemConfig) -> bool {
    config.topic.config.get(FIFO).is_some_and(|set| set == "true")
}

/// How many bytes a message of `length` is sent as: SNS and SQS carry text, so it goes as base64.
pub const fn text_len(length: u64) -> u64 {
    length.div_ceil(3) * 4
}

pub(super) fn sns(label: &str, config: &SystemConfig, message: &Message) -> Check {
    if config.system.software() != Software::Sns {
        return Ok(());
    }
    let key = |tail: &str| format!("systems.{label}.{tail}");
    for (name, value) in &config.topic.config {
        attribute(&key(&format!("topic.config.{name}")), name, value, is_fifo(config))?;
    }
    for (name, value) in &config.client {
        let key = key(&format!("client.{name}"));
        let known = PARAMETERS.into_iter().find(|(known, _)| known == name);
        let Some((_, range)) = known else {
            let what = "not a parameter of ReceiveMessage that can be set here";
            return refuse(&key, what, &suggest(name, PARAMETERS.map(|(known, _)| known)));
        };
        number(&key, value, range, "seconds, without a unit")?;
    }
    let what = format_args!("a ReceiveMessage hands out {MOST_RECEIVED} messages at most");
    let fits = config.consume.batch <= MOST_RECEIVED;
    check(fits, &key("consume.batch"), what, &format!("write {MOST_RECEIVED} or less"))?;
    let what = "a standard topic has no message groups, over which `keys` would spread the load";
    let remedy = "add `topic: {config: {FifoTopic: true}}`, or remove the key";
    check(config.keys == 1 || is_fifo(config), &key("keys"), what, remedy)?;
    size(label, config, message)
}

fn attribute(key: &str, name: &str, value: &str, fifo: bool) -> Check {
    let of_fifo = || {
        let remedy = "add `FifoTopic: true`, or remove it";
        check(fifo, key, "a standard topic has no such attribute", remedy)
    };
    match name {
        FIFO => check(
            ["true", "false"].contains(&value),
            key,
            "a topic is FIFO or it is not",
            "write `true`, or remove it",
        ),
        SCOPE => of_fifo().and_then(|()| {
            let known = ["Topic", "MessageGroup"];
            check(known.contains(&value), key, "no such scope", &suggest(value, known))
        }),
        ARCHIVE => of_fifo().and_then(|()| {
            let policy: Option<serde_json::Value> = serde_json::from_str(value).ok();
            let days = policy.as_ref().and_then(|policy| policy.get("MessageRetentionPeriod"));
            let days = days.and_then(|days| days.as_str()).and_then(|days| days.parse().ok());
            let right = days.is_some_and(|days: u64| (KEPT.0..=KEPT.1).contains(&days));
            let what = format_args!("it says for how many days, {} to {}", KEPT.0, KEPT.1);
            check(right, key, what, "write '{\"MessageRetentionPeriod\": \"1\"}'")
        }),
        LARGEST => number(key, value, SIZES, "bytes, without a unit"),
        _ => {
            let what = "not an attribute of a topic that can be set here";
            refuse(key, what, &suggest(name, ATTRIBUTES))
        }
    }
}

fn number(key: &str, value: &str, (least, most): (u64, u64), unit: &str) -> Check {
    let right = value.parse().is_ok_and(|number: u64| (least..=most).contains(&number));
    let what = format_args!("it is a number from {least} to {most}");
    check(right, key, what, &format!("write {unit}"))
}

/// A packed message may be smaller than it was made: then AWS itself judges it.
fn size(label: &str, config: &SystemConfig, message: &Message) -> Check {
    let set = config.topic.config.get(LARGEST).and_then(|set| set.parse().ok());
    let most = set.unwrap_or(STOCK_SIZE);
    let sent = text_len(message.size.0);
    let what = format_args!(
        "{label} takes {most} bytes, and carries text: in base64 this message has {sent}"
    );
    let fitting = |most: u64| Bytes(most / 4 * 3);
    let lower = format!("write {} or less", fitting(most));
    let remedy = match set {
        Some(_) => lower,
        None => format!(
            "{lower}, or raise `systems.{label}.topic.config.{LARGEST}`, to {} for {}",
            SIZES.1,
            fitting(SIZES.1)
        ),
    };
    check(message.codec != Codec::None || sent <= most, "message.size", what, &remedy)
}

#[cfg(test)]
mod tests {
    use crate::model::Guarantee;
    use crate::scenario::{Overrides, Scenario, cannot_promise, from_text};

    fn read(sns: &str, size: &str) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {{sns: {{{sns}}}}}\n\
             load: {{model: open, rate: 1k/s}}\nmessage: {{size: {size}}}\n"
        );
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    const FIFO: &str = "topic: {config: {FifoTopic: true";

    #[test]
    fn names_of_aws_pass_with_values_that_it_takes() {
        let stock = read("", "192KiB").unwrap().systems[0].1.clone();
        assert_eq!(stock.consume.batch, 10);
        for sns in [
            format!("{FIFO}, FifoThroughputScope: MessageGroup}}}}, keys: 16"),
            format!("{FIFO}, ArchivePolicy: '{{\"MessageRetentionPeriod\": \"7\"}}'}}}}"),
            "client: {WaitTimeSeconds: 0, VisibilityTimeout: 5}, consume: {batch: 1}".into(),
        ] {
            let explained = read(&sns, "1KiB").unwrap().explain();
            let shown = !explained.contains("partitions") && !explained.contains("heap");
            assert!(shown, "{sns}: {explained}");
        }
        read("topic: {config: {MaximumMessageSize: 1048576}}", "768KiB").unwrap();
    }

    #[test]
    fn what_aws_would_refuse_is_refused_with_what_to_write() {
        for (sns, key, remedy) in [
            ("topic: {config: {FifoTopics: true}}".to_owned(), "FifoTopics", "`FifoTopic`"),
            ("topic: {config: {FifoTopic: 1}}".into(), "FifoTopic", "`true`"),
            (format!("{FIFO}, FifoThroughputScope: Group}}}}"), "Scope", "MessageGroup"),
            ("topic: {config: {FifoThroughputScope: Topic}}".into(), "Scope", "FifoTopic: true"),
            (format!("{FIFO}, ArchivePolicy: 7}}}}"), "ArchivePolicy", "MessageRetentionPeriod"),
            ("topic: {config: {MaximumMessageSize: 1MiB}}".into(), "MaximumMessageSize", "bytes"),
            ("topic: {config: {MaximumMessageSize: 1048577}}".into(), "1048577", "bytes"),
            ("topic: {replicas: 3}".into(), "replicas", "remove"),
            ("client: {WaitTimeSeconds: 21}".into(), "WaitTimeSeconds", "from 0 to 20"),
            ("client: {WaitTimeSecond: 2}".into(), "WaitTimeSecond", "`WaitTimeSeconds`"),
            ("client: {library: direct}".into(), "library", "VisibilityTimeout"),
            ("consume: {batch: 11}".into(), "consume.batch", "10 or less"),
            ("keys: 2".into(), "keys", "FifoTopic: true"),
            ("wait: 1".into(), "wait", "remove"),
        ] {
            let error = read(&sns, "1KiB").unwrap_err();
            assert!(error.contains(key) && error.contains(remedy), "{sns}: {error}");
        }
    }

    #[test]
    fn a_message_must_fit_in_base64() {
        let error = read("", "196609B").unwrap_err();
        assert!(error.contains("message.size") && error.contains("262148"), "{error}");
        assert!(error.contains("192KiB") && error.contains("768KiB"), "{error}");
        let raised = "topic: {config: {MaximumMessageSize: 1048576}}";
        assert!(read(raised, "786433B").unwrap_err().contains("768KiB or less"));
    }

    #[test]
    fn only_a_fifo_topic_tells_a_message_from_its_repetition() {
        let promise = |sns: &str| {
            let config = read(sns, "1KiB").unwrap().systems[0].1.clone();
            cannot_promise(&config, Guarantee::ExactlyOnceInLog)
        };
        assert_eq!(promise(&format!("{FIFO}}}}}")), None);
        assert!(promise("").unwrap().contains("FifoTopic: true"));
    }
}
