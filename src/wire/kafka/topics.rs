//! Whether a cluster would make a topic, and if not why, in its own words: librdkafka hands on the
//! code of the refusal alone, which names neither key nor value.

use super::answers::{METADATA, View, unreadable};
use super::frame::{Api, Fields, Walked, name};
use super::link::{Link, shown};
use crate::access::Access;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// The first version that tells what the topic would be set to.
pub const CREATE_TOPICS: Api = (ApiKey::CreateTopics, 5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A topic that nobody makes yet.
pub struct TopicWish<'a> {
    pub name: &'a str,
    pub partitions: u16,
    /// -1 for as many as the cluster makes by itself.
    pub copies: i16,
    pub config: &'a BTreeMap<String, String>,
}

/// What a cluster says to it.
#[derive(Debug, PartialEq)]
pub enum TopicAnswer {
    /// What the topic would be set to, as far as that is told.
    Granted(BTreeMap<String, String>),
    Refused(ResponseError, String),
}

impl TopicWish<'_> {
    /// Asks the node at `address`, and where that sends us on the controller. Nothing is made.
    pub fn ask(&self, address: &str, access: &Access) -> Result<TopicAnswer, String> {
        let mut link = Link::open(address, access, ANSWER)?;
        match self.ask_over(&mut link)? {
            TopicAnswer::Refused(ResponseError::NotController, _) => {}
            answer => return Ok(answer),
        }
        let nodes = MetadataRequest::default().with_topics(Some(Vec::new()));
        let view = View::read(Fields(&link.ask(METADATA, &nodes)?)).map_err(unreadable)?;
        let controller = view.address(view.controller).ok_or("it names no controller")?;
        self.ask_over(&mut Link::open(&controller, access, ANSWER)?)
    }

    fn ask_over(&self, link: &mut Link) -> Result<TopicAnswer, String> {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let set = |(key, value): (&String, &String)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(name(self.name))
            .with_num_partitions(self.partitions.into())
            .with_replication_factor(self.copies)
            .with_configs(self.config.iter().map(set).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(ANSWER.as_millis() as i32)
            .with_validate_only(true);
        answered(Fields(&link.ask(CREATE_TOPICS, &request)?)).map_err(unreadable)
    }
}

/// What follows the correlation id in a CreateTopics response about one topic.
pub fn answered(mut answer: Fields<'_>) -> Walked<TopicAnswer> {
    answer.tags()?;
    answer.i32()?; // Throttled for.
    if answer.compact()? == 0 {
        return Err("an empty answer");
    }
    answer.compact_text()?; // Its name.
    let (code, words) = (answer.i16()?, answer.compact_text()?);
    if let Some(error) = ResponseError::try_from_code(code) {
        return Ok(TopicAnswer::Refused(error, shown(&words)));
    }
    answer.take(6)?; // How many partitions and copies it would have.
    let mut config = BTreeMap::new();
    for _ in 0..answer.compact()? {
        let (key, value) = (answer.compact_text()?, answer.compact_text()?);
        answer.take(3)?; // Who may change it, who set it, whether it is secret.
        answer.tags()?;
        config.insert(key, value);
    }
    Ok(TopicAnswer::Granted(config))
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) -> bool {
    answered(Fields(answer)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::CreateTopicsResponse;
    use kafka_protocol::protocol::Decodable;

    /// No tags of the header; throttled for nothing; one topic `t`.
    const HEAD: &[u8] = b"\0\0\0\0\0\x02\x02t";

    /// The crate's own decoder, which shares no code with ours.
    #[test]
    fn answers_are_read_as_the_protocol_writes_them() {
        let refused = [HEAD, &b"\0\x28\x06wrong\xff\xff\xff\xff\xff\xff\0\0\0"[..]].concat();
        let theirs = CreateTopicsResponse::decode(&mut &refused[1..], CREATE_TOPICS.1).unwrap();
        assert_eq!(theirs.topics[0].error_message.as_deref(), Some("wrong"));
        let ours = answered(Fields(&refused)).unwrap();
        assert_eq!(ours, TopicAnswer::Refused(ResponseError::InvalidConfig, "wrong".to_owned()));

        let granted =
            [HEAD, &b"\0\0\0\0\0\0\x02\0\x01\x03\x02k\x02v\0\x01\0\0\x02n\0\0\x01\0\0\0\0"[..]]
                .concat();
        let theirs = CreateTopicsResponse::decode(&mut &granted[1..], CREATE_TOPICS.1).unwrap();
        let set = theirs.topics[0].configs.as_ref().unwrap();
        let set = set.iter().map(|set| {
            let text = |text: &StrBytes| text.as_str().to_owned();
            (text(&set.name), set.value.as_ref().map(text).unwrap_or_default())
        });
        let ours = answered(Fields(&granted)).unwrap();
        assert_eq!(ours, TopicAnswer::Granted(set.collect()));
        for answer in [&refused[..15], &granted[..granted.len() - 4]] {
            assert!((0..answer.len()).all(|cut| answered(Fields(&answer[..cut])).is_err()));
        }
        assert!(answered(Fields(b"\0\0\0\0\0\x01")).is_err(), "no topic at all");
    }
}
