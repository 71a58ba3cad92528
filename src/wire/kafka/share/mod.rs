//! Share groups (KIP-932) as one member speaks to them: heartbeats, fetches that carry
//! acknowledgements, and the last acknowledgement; as bytes, on no socket.
//!
//! The broker hands out ranges of records of a partition, locked for a while, each with the count
//! of its deliveries. The member says of every record what became of it.

mod answers;
#[cfg(test)]
mod tests;

use super::frame::{self, Api, CORRELATION, name};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch as Acknowledged,
};
use kafka_protocol::messages::share_fetch_request::{
    AcknowledgementBatch, FetchPartition, FetchTopic, ForgottenTopic,
};
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, GroupId, IncrementalAlterConfigsRequest,
    ShareAcknowledgeRequest, ShareFetchRequest, ShareGroupHeartbeatRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

pub use answers::{Heartbeat, acknowledged, configured, coordinated, fetched, newest};

pub const VERSIONS: Api = (ApiKey::ApiVersions, 0);
/// The last version before the compact encodings, as of [`CONFIGURE`].
pub const COORDINATOR: Api = (ApiKey::FindCoordinator, 2);
pub const CONFIGURE: Api = (ApiKey::IncrementalAlterConfigs, 0);
pub const HEARTBEAT: Api = (ApiKey::ShareGroupHeartbeat, 1);
/// The first version in which a limit of records is one, and not rounded up to whole batches: see
/// [`strict`].
pub const FETCH: Api = (ApiKey::ShareFetch, 2);
pub const ACKNOWLEDGE: Api = (ApiKey::ShareAcknowledge, 1);

/// Of a member that joins, and of a session that begins.
pub const BEGINS: i32 = 0;
/// Of a member that leaves, and of a session that ends.
pub const ENDS: i32 = -1;
/// The type of a resource that is a group.
const GROUP: i8 = 32;

pub type TopicId = [u8; 16];

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum AckType {
    Accept = 1,
    /// To be delivered again, or to be set aside once its deliveries are used up.
    Release = 2,
}

/// Records of one partition, from `first` to `last`, of which the same became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRange {
    pub first: i64,
    pub last: i64,
    pub kind: AckType,
}

/// What is to be said of the records of each partition, lowest offset first.
#[derive(Debug, Default)]
pub struct Acknowledgements(pub BTreeMap<i32, Vec<AckRange>>);

impl Acknowledgements {
    /// Offsets rise from call to call.
    pub fn add(&mut self, partition: i32, range: AckRange) {
        let ranges = self.0.entry(partition).or_default();
        match ranges.last_mut() {
            Some(last) if last.last + 1 == range.first && last.kind == range.kind => {
                last.last = range.last;
            }
            _ => ranges.push(range),
        }
    }
}

/// Whose requests these are.
pub struct ShareIdentity {
    pub group: String,
    pub member: String,
}

impl ShareIdentity {
    fn group(&self) -> GroupId {
        GroupId(StrBytes::from_string(self.group.clone()))
    }

    fn member(&self) -> StrBytes {
        StrBytes::from_string(self.member.clone())
    }

    /// `topic` when joining; afterwards it is known.
    pub fn heartbeat(&self, epoch: i32, topic: Option<&str>) -> ShareGroupHeartbeatRequest {
        ShareGroupHeartbeatRequest::default()
            .with_group_id(self.group())
            .with_member_id(self.member())
            .with_member_epoch(epoch)
            .with_subscribed_topic_names(topic.map(|topic| vec![name(topic)]))
    }

    /// At most `most` records of the partitions of `session`, of which `new` and `gone` are told
    /// once. The broker may wait so long for the first.
    pub fn fetch(
        &self,
        session: &ShareSession<'_>,
        acknowledgements: &Acknowledgements,
        (wait_ms, max_bytes, most): (i32, i32, i32),
    ) -> ShareFetchRequest {
        let mut told: BTreeMap<i32, Vec<AcknowledgementBatch>> =
            session.new.iter().map(|partition| (*partition, Vec::new())).collect();
        for (partition, ranges) in &acknowledgements.0 {
            told.entry(*partition).or_default().extend(ranges.iter().map(|range| {
                AcknowledgementBatch::default()
                    .with_first_offset(range.first)
                    .with_last_offset(range.last)
                    .with_acknowledge_types(vec![range.kind as i8])
            }));
        }
        let partitions = told.into_iter().map(|(index, batches)| {
            FetchPartition::default()
                .with_partition_index(index)
                .with_acknowledgement_batches(batches)
        });
        let id = session.topic.to_vec();
        let topic = FetchTopic::default()
            .with_topic_id(id.clone().try_into().unwrap_or_default())
            .with_partitions(partitions.collect());
        let gone = ForgottenTopic::default()
            .with_topic_id(id.try_into().unwrap_or_default())
            .with_partitions(session.gone.to_vec());
        ShareFetchRequest::default()
            .with_group_id(Some(self.group()))
            .with_member_id(Some(self.member()))
            .with_share_session_epoch(session.epoch)
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(max_bytes)
            .with_max_records(most)
            .with_batch_size(most)
            .with_topics(if topic.partitions.is_empty() { vec![] } else { vec![topic] })
            .with_forgotten_topics_data(if session.gone.is_empty() { vec![] } else { vec![gone] })
    }

    /// The last word of a session: what it does not name is handed to others.
    pub fn last(&self, topic: TopicId, of: &Acknowledgements) -> ShareAcknowledgeRequest {
        let partitions = of.0.iter().map(|(partition, ranges)| {
            let batches = ranges.iter().map(|range| {
                Acknowledged::default()
                    .with_first_offset(range.first)
                    .with_last_offset(range.last)
                    .with_acknowledge_types(vec![range.kind as i8])
            });
            AcknowledgePartition::default()
                .with_partition_index(*partition)
                .with_acknowledgement_batches(batches.collect())
        });
        let topic = AcknowledgeTopic::default()
            .with_topic_id(topic.to_vec().try_into().unwrap_or_default())
            .with_partitions(partitions.collect());
        ShareAcknowledgeRequest::default()
            .with_group_id(Some(self.group()))
            .with_member_id(Some(self.member()))
            .with_share_session_epoch(ENDS)
            .with_topics(if topic.partitions.is_empty() { vec![] } else { vec![topic] })
    }
}

/// A fetch's place in its session.
pub struct ShareSession<'a> {
    pub topic: TopicId,
    pub epoch: i32,
    /// Partitions that the session has from now on, and those that it has no more.
    pub new: &'a [i32],
    pub gone: &'a [i32],
}

/// A ShareFetch of version 2, which the crate does not know: what it writes of version 1, and two
/// more fields, by which no more records come than asked for, and no acknowledgement is a wish to
/// keep a record for longer.
pub fn strict(request: &ShareFetchRequest, client: &'static str) -> Result<Vec<u8>, String> {
    const NUMBERS: usize = 6 * 4;
    let compact = |text: &str| text.len() + if text.len() < 127 { 1 } else { 2 };
    let names = [request.group_id.as_ref().map(|group| &group.0), request.member_id.as_ref()];
    let names: usize = names.into_iter().flatten().map(|name| compact(name)).sum();
    // Length, key, version, number, client, tags; names, numbers.
    let at = 4 + 2 + 2 + 4 + 2 + client.len() + 1 + names + NUMBERS;
    let mut frame = frame::request(client, (FETCH.0, 1), CORRELATION, request)?;
    if at > frame.len() {
        return Err("a fetch without its fields".into());
    }
    frame.splice(at..at, [1, 0]);
    frame[6..8].copy_from_slice(&FETCH.1.to_be_bytes());
    let size = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    Ok(frame)
}

/// Sets a group's own settings, which go before the broker's.
pub fn configure(group: &str, settings: &[(&str, &str)]) -> IncrementalAlterConfigsRequest {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let configs = settings.iter().map(|(key, value)| {
        AlterableConfig::default().with_name(text(key)).with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(text(group))
        .with_configs(configs.collect());
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

pub fn coordinator(group: &str) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default().with_key(StrBytes::from_string(group.to_owned()))
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) -> bool {
    let mut bytes = 0;
    let fetched = fetched(answer).is_ok_and(|(_, _, partitions)| {
        for partition in &partitions {
            let _ = partition.each(&mut |_, _, payload| bytes += payload.len());
        }
        !partitions.is_empty()
    });
    let fields = || frame::Fields(answer);
    let _ = (coordinated(fields()), acknowledged(fields()), newest(fields(), FETCH.0));
    Heartbeat::read(fields()).is_ok() | configured(fields()).is_ok() | fetched
}
