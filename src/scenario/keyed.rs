//! `message.key`: how many keys there are, and how often each of them comes.
//!
//! Where a message goes is decided by its key: in Kafka by the client's own partitioner. What keys
//! cannot do, and settings that do nothing for want of them, are told before anything runs.

use super::cell::{Cell, Message};
use super::check::{Check, check};
use super::system::SystemConfig;
use crate::model::{Codec, Software};
use crate::payload::KeyShares;
use crate::yaml::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every message has one of these keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keys {
    /// How many there are, up to a million.
    #[schemars(range(min = 1, max = 1000000))]
    pub count: u32,
    /// Exponent of the Zipf distribution over the keys; 0 draws them evenly, 0.99 is a usual skew.
    #[serde(default)]
    pub skew: f64,
    /// In place of `skew`: the share of all messages that have the first key, 0 to 1; the others
    /// are even.
    #[serde(default)]
    pub hot: f64,
}

/// Each producer has a table of them.
const MOST: u32 = 1_000_000;
const PARTITIONER: &str = "partitioner";
const STICKY: &str = "sticky.partitioning.linger.ms";
const LEVEL: &str = "compression.level";

impl Keys {
    pub fn shares(&self) -> KeyShares {
        match self.hot > 0.0 {
            true => KeyShares::hot(self.count, self.hot),
            false => KeyShares::zipf(self.count, self.skew),
        }
    }
}

pub(super) fn keys(message: &Message) -> Check {
    let Some(Keys { count, skew, hot }) = message.key else { return Ok(()) };
    let what = format_args!("out of range, it is 1 to {MOST}");
    let remedy = "write a number such as `10000`";
    check((1..=MOST).contains(&count), "message.key.count", what, remedy)?;
    let what = "out of range, it is 0 to 4";
    let remedy = "write 0 for even, 0.99 for a usual skew";
    check((0.0..=4.0).contains(&skew), "message.key.skew", what, remedy)?;
    let (key, what) = ("message.key.hot", "out of range, a share is 0 to 1, without it");
    check((0.0..1.0).contains(&hot), key, what, "write a share such as `0.2`")?;
    let what = "`skew` says already how often each key comes";
    check(hot == 0.0 || skew == 0.0, key, what, "remove one of both")?;
    let what = "there is no other key";
    check(hot == 0.0 || count > 1, key, what, "raise `count`, or remove `hot`")
}

/// Whether the system of this label sends the messages as their keys, or their want of them, ask.
pub(super) fn fits(label: &str, config: &SystemConfig, message: &Message) -> Check {
    let fail = |path: &[&str], what: &str, remedy: &str| {
        let full = ["systems", label].into_iter().chain(path.iter().copied());
        Err(Problem::new(full, what, remedy))
    };
    if config.system.software() != Software::Kafka {
        return Ok(());
    }
    let random = config.client.get(PARTITIONER).is_some_and(|name| name == "random");
    if random && message.key.is_some() {
        let what = "keys decide nothing with it: the messages of each lie in any partition";
        return fail(&["client", PARTITIONER], what, "write `murmur2_random`, or remove it");
    }
    if message.key.is_some() {
        return Ok(());
    }
    let topic: &[&str] = &["topic", "config", "cleanup.policy"];
    let broker: &[&str] = &["broker", "log.cleanup.policy"];
    let of_topic = config.topic.config.get("cleanup.policy").map(|policy| (policy, topic));
    let of_broker = config.broker.get("log.cleanup.policy").map(|policy| (policy, broker));
    match of_topic.or(of_broker) {
        Some((policy, path)) if policy.contains("compact") => {
            let what = "a compacted topic takes messages with keys only";
            fail(path, what, "add `message: {key: {count: 10000}}`, or remove it")
        }
        _ => Ok(()),
    }
}

/// Settings of the client that change nothing in this cell, in words.
pub(super) fn idle_settings(cell: &Cell) -> Vec<String> {
    let set = |key: &str| cell.config.client.contains_key(key);
    let keyed = cell.message.key.is_some();
    let codec = cell.message.codec;
    let settings = [
        (PARTITIONER, !keyed, "without `message.key` partitions are filled in turn"),
        (STICKY, true, "partitions are filled in turn, or as `message.key` says"),
        (LEVEL, codec == Codec::None, "`message.codec` is none"),
        (LEVEL, codec == Codec::Snappy, "snappy has no levels"),
    ];
    let idle = settings.into_iter().filter(|(key, idle, _)| *idle && set(key));
    let word = |(key, _, because)| {
        format!("{}: `client.{key}` changes nothing at {}: {because}", cell.label, cell.point)
    };
    idle.map(word).collect()
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};

    fn scenario(kafka: &str, rest: &str) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {{kafka: {{{kafka}}}, redis-streams: \
             {{keys: 4}}}}\nload: {{model: open, rate: 1k/s}}\n{rest}"
        );
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    const KEYED: &str = "message: {size: 1KiB, key: {count: 10000, skew: 0.99}}\n";

    #[test]
    fn keys_are_explained_and_varied() {
        let found = scenario("", KEYED).unwrap();
        let row = |key: &str| {
            let row = found.resolved().iter().find(|row| row.key == key).unwrap();
            (row.value.clone(), row.origin.clone())
        };
        assert_eq!(row("message.key.count"), ("10000".into(), "file".into()));
        assert_eq!(row("message.key.skew"), ("0.99".into(), "file".into()));
        assert_eq!(row("message.key.hot").1, "default");
        let skews = format!("{KEYED}matrix: {{message.key.skew: [0.5, 0.99]}}\n");
        let cells = scenario("", &skews).unwrap().cells();
        assert_eq!(cells[0].point, "message.key.skew=0.5");
        assert_eq!(cells[0].message.key.unwrap().skew, 0.5);
        let none = scenario("", "").unwrap();
        assert!(none.resolved().iter().all(|row| !row.key.starts_with("message.key")));
    }

    #[test]
    fn what_keys_cannot_be_is_refused_at_its_key() {
        for (keys, key, words) in [
            ("count: 0", "message.key.count", "out of range, it is 1 to 1000000"),
            ("count: 2000000", "message.key.count", "out of range"),
            ("skew: 1", "message.key", "count"),
            ("count: 5, skew: -1", "message.key.skew", "0 to 4"),
            ("count: 5, hot: 1", "message.key.hot", "a share is"),
            ("count: 5, hot: 0.2, skew: 1", "message.key.hot", "remove one of both"),
            ("count: 1, hot: 0.2", "message.key.hot", "no other key"),
            ("count: 5, cold: 1", "message.key.cold", "unknown"),
        ] {
            let error = scenario("", &format!("message: {{key: {{{keys}}}}}\n")).unwrap_err();
            assert!(error.contains(key) && error.contains(words), "{keys}: {error}");
        }
        let experiment = format!("{KEYED}experiment: {{kind: retention}}\n");
        let error = scenario("", &experiment).unwrap_err();
        assert!(error.contains("message.key") && error.contains("`retention`"), "{error}");
    }

    #[test]
    fn a_compacted_topic_and_a_random_partitioner_are_told_apart_from_keys() {
        for compacted in
            ["topic: {config: {cleanup.policy: compact}}", "broker: {log.cleanup.policy: compact}"]
        {
            let error = scenario(compacted, "").unwrap_err();
            assert!(error.contains("cleanup.policy") && error.contains("keys only"), "{error}");
            scenario(compacted, KEYED).unwrap();
        }
        let error = scenario("client: {partitioner: random}", KEYED).unwrap_err();
        assert!(error.contains("client.partitioner"), "{error}");
        scenario("client: {partitioner: random}", "").unwrap();
    }

    #[test]
    fn settings_that_do_nothing_are_warned_of() {
        let client = "client: {partitioner: murmur2, compression.level: 3, \
                      sticky.partitioning.linger.ms: 9}";
        let warned = |rest: &str| {
            let warnings = scenario(client, rest).unwrap().warnings();
            let idle = warnings.into_iter().filter(|text| text.contains("changes nothing"));
            idle.collect::<Vec<_>>()
        };
        assert_eq!(warned("").len(), 3);
        let keyed = warned("message: {codec: zstd, key: {count: 5}}\n");
        assert!(keyed.len() == 1 && keyed[0].contains("`client.sticky."), "{keyed:?}");
    }
}
