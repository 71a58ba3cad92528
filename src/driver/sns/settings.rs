//! What a cell asks of SNS and SQS, read once: names are those of their API.
//!
//! `topic.config` holds attributes of the topic, `client` parameters of ReceiveMessage; `keys` is
//! how many message groups a FIFO topic's messages are spread over. Nothing here talks to AWS.

use crate::scenario::Cell;
use std::collections::BTreeMap;

/// Most entries of a PublishBatch, a DeleteMessageBatch or a ReceiveMessage.
pub const MOST_ENTRIES: u32 = 10;
/// Bytes of a message, and of a batch together, where the topic sets no `MaximumMessageSize`.
const STOCK_SIZE: usize = 256 << 10;
/// SQS takes no longer wait, and AWS asks for this one: an empty answer costs what a full one does.
const LONGEST_WAIT: i32 = 20;

#[derive(Clone, Debug)]
pub struct SnsSettings {
    pub fifo: bool,
    /// Each message group has a throughput of its own, and is told duplicates apart by itself.
    pub by_group: bool,
    /// Whether what was published can be sent again.
    pub archived: bool,
    /// Attributes of the topic, as the scenario sets them.
    pub topic: BTreeMap<String, String>,
    /// Most bytes of the messages of one request, in the text that they are sent as.
    pub most_bytes: usize,
    /// Most messages of a PublishBatch, and of a ReceiveMessage.
    pub publish: usize,
    pub receive: i32,
    /// `WaitTimeSeconds` of ReceiveMessage, and `VisibilityTimeout` where the scenario sets it.
    pub wait_s: i32,
    pub visibility_s: Option<i32>,
}

impl SnsSettings {
    /// What cannot be read was refused with the scenario, and is as if it were not set.
    pub fn of(cell: &Cell) -> Self {
        let (config, load) = (&cell.config, &cell.load);
        let topic = config.topic.config.clone();
        let is = |key: &str, value: &str| topic.get(key).is_some_and(|set| set == value);
        let number = |key: &str| config.client.get(key).and_then(|set| set.parse().ok());
        let fifo = is("FifoTopic", "true");
        let most_bytes = topic.get("MaximumMessageSize").and_then(|set| set.parse().ok());
        Self {
            fifo,
            by_group: is("FifoThroughputScope", "MessageGroup"),
            archived: fifo && topic.contains_key("ArchivePolicy"),
            most_bytes: most_bytes.unwrap_or(STOCK_SIZE),
            publish: load.batch.clamp(1, MOST_ENTRIES) as usize,
            receive: config.consume.batch.clamp(1, MOST_ENTRIES) as i32,
            wait_s: number("WaitTimeSeconds").unwrap_or(LONGEST_WAIT).clamp(0, LONGEST_WAIT),
            visibility_s: number("VisibilityTimeout"),
            topic,
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::model::System;
    use crate::scenario::Load;

    /// A cell with these attributes of its topic, and these parameters of its clients.
    pub fn cell(topic: &[(&str, &str)], client: &[(&str, &str)]) -> Cell {
        let mut cell = Cell::plain(System::Sns, Load::closed(100));
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
        };
        (cell.config.topic.config, cell.config.client) = (owned(topic), owned(client));
        cell
    }

    #[test]
    fn a_cell_that_sets_nothing_is_a_standard_topic_polled_long() {
        let settings = SnsSettings::of(&cell(&[], &[]));
        assert!(!settings.fifo && !settings.archived);
        assert_eq!((settings.most_bytes, settings.publish, settings.receive), (262_144, 10, 10));
        assert_eq!((settings.wait_s, settings.visibility_s), (20, None));
    }

    #[test]
    fn what_a_cell_sets_is_asked_for() {
        let topic = [
            ("FifoTopic", "true"),
            ("FifoThroughputScope", "MessageGroup"),
            ("ArchivePolicy", "{\"MessageRetentionPeriod\":\"1\"}"),
            ("MaximumMessageSize", "1048576"),
        ];
        let client = [("WaitTimeSeconds", "0"), ("VisibilityTimeout", "5")];
        let mut cell = cell(&topic, &client);
        (cell.load.batch, cell.config.consume.batch) = (1, 3);
        let settings = SnsSettings::of(&cell);
        assert!(settings.fifo && settings.by_group && settings.archived);
        assert_eq!((settings.most_bytes, settings.publish, settings.receive), (1 << 20, 1, 3));
        assert_eq!((settings.wait_s, settings.visibility_s), (0, Some(5)));
        cell.config.topic.config.remove("FifoTopic");
        assert!(!SnsSettings::of(&cell).archived, "only a FIFO topic has an archive");
    }
}
