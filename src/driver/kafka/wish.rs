//! Topics that a cluster would not make, told with its own sentence, the key and a remedy; and
//! those that it would compact.

use super::admin::{DEFAULT_COPIES, Entries};
use super::clients::refused;
use super::driver::KafkaDriver;
use super::settings::ClientSettings;
use crate::driver::DriverError;
use crate::scenario::Topic;
use crate::wire::kafka::topics::{TopicAnswer, TopicWish};
use kafka_protocol::error::ResponseError;

/// Why a cluster does not make a topic.
pub struct Refusal {
    error: ResponseError,
    words: String,
}

impl Refusal {
    /// Whether it is about more copies than the one that nobody asked for: then as many as the
    /// cluster makes by itself are tried.
    fn may_be_of_copies(&self) -> bool {
        use ResponseError::{InvalidReplicationFactor, PolicyViolation};
        matches!(self.error, InvalidReplicationFactor | PolicyViolation)
    }

    /// The sentence, and which key of the scenario to change.
    pub fn told(&self, topic: &Topic) -> String {
        let named = |key: &&String| self.words.contains(key.as_str());
        let key = match self.error {
            ResponseError::InvalidReplicationFactor => "`topic.replicas`".to_owned(),
            ResponseError::InvalidPartitions => "`topic.partitions`".to_owned(),
            ResponseError::InvalidConfig => match topic.config.keys().find(named) {
                Some(key) => format!("`topic.config.{key}`"),
                None => "`topic.config`".to_owned(),
            },
            ResponseError::PolicyViolation => {
                "`topic`, as its `create.topic.policy.class.name` wants it".to_owned()
            }
            _ => return format!("{:?}: {}", self.error, self.words),
        };
        format!("{:?}: {}; correct {key}", self.error, self.words)
    }
}

/// What the topic would be set to. `None` where the cluster does not tell, as old ones and those
/// that are busy do not: whoever makes it sees.
pub fn wished(
    settings: &ClientSettings,
    name: &str,
    topic: &Topic,
    copies: i16,
) -> Option<Result<Entries, Refusal>> {
    let wish = TopicWish { name, partitions: topic.partitions, copies, config: &topic.config };
    let addresses = settings.addresses();
    let mut answers = addresses.split(',').map(|address| wish.ask(address, &settings.access));
    match answers.find_map(Result::ok)? {
        TopicAnswer::Granted(config) => Some(Ok(config)),
        TopicAnswer::Refused(
            error @ (ResponseError::InvalidReplicationFactor
            | ResponseError::InvalidPartitions
            | ResponseError::InvalidConfig
            | ResponseError::PolicyViolation
            | ResponseError::TopicAuthorizationFailed
            | ResponseError::ClusterAuthorizationFailed),
            words,
        ) => Some(Err(Refusal { error, words })),
        TopicAnswer::Refused(..) => None,
    }
}

impl KafkaDriver {
    /// Refused where the cluster would not make the topics of this cell, or would compact them.
    pub(super) fn would_be_made(&self) -> Result<(), DriverError> {
        let (topic, settings) = (&self.cell.config.topic, &self.clients.settings);
        let ask = |copies: i16| wished(settings, &self.target.name, topic, copies);
        let copies = i16::try_from(topic.replicas).unwrap_or(i16::MAX);
        let answer = match ask(copies) {
            Some(Err(refusal)) if refusal.may_be_of_copies() && copies == 1 => ask(DEFAULT_COPIES),
            answer => answer,
        };
        let config = match answer {
            None => return Ok(()),
            Some(Err(refusal)) => return Err(refused("make a topic", refusal.told(topic))),
            Some(Ok(config)) => config,
        };
        let instead = ", or `topic: {config: {cleanup.policy: delete}}`";
        self.takes_keyless("make a topic", config.get("cleanup.policy"), instead)
    }

    /// A topic that is compacted takes no message without a key.
    pub(super) fn takes_keyless(
        &self,
        action: &str,
        policy: Option<&String>,
        instead: &str,
    ) -> Result<(), DriverError> {
        let keyless = self.cell.load.producers > 0 && self.cell.message.key.is_none();
        match policy.filter(|policy| keyless && policy.contains("compact")) {
            None => Ok(()),
            Some(policy) => Err(refused(
                action,
                format!(
                    "the brokers compact it (`cleanup.policy`: {policy}), so it takes messages \
                     with keys only: add `message: {{key: {{count: 10000}}}}`{instead}"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_sentence_is_told_with_the_key_to_correct() {
        let config = [("retention.ms", "banana"), ("nope", "1")];
        let config: BTreeMap<_, _> =
            config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let topic = Topic { name: None, partitions: 1, replicas: 3, config };
        let told = |error, words: &str| Refusal { error, words: words.to_owned() }.told(&topic);
        for (error, words, key) in [
            (
                ResponseError::InvalidConfig,
                "Invalid value banana for configuration retention.ms",
                "`topic.config.retention.ms`",
            ),
            (
                ResponseError::InvalidConfig,
                "Unknown topic config name: nope",
                "`topic.config.nope`",
            ),
            (ResponseError::InvalidConfig, "no", "`topic.config`"),
            (ResponseError::InvalidReplicationFactor, "1 broker", "`topic.replicas`"),
        ] {
            let told = told(error, words);
            assert!(told.contains(words) && told.ends_with(&format!("correct {key}")), "{told}");
        }
    }
}
