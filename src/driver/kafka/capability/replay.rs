//! Reading again on Kafka: the log stays as it is, and a reader is a position in it.

use super::audit;
use crate::driver::capability::{Replay, ReplayFrom};
use crate::driver::kafka::driver::KafkaDriver;
use crate::driver::kafka::error::{lost, refused};
use crate::driver::kafka::load::client_log::Quiet;
use crate::driver::{Driver, DriverError, Subscriber};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

impl Replay for KafkaDriver {
    /// A group without commits begins at the oldest record (`auto.offset.reset: earliest`).
    fn join_late(&self, subscription: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        self.subscriber(subscription, 0)
    }

    /// Commits the oldest offsets for a group that has no members.
    fn rewind(&self, subscription: u16) -> Result<(), DriverError> {
        let failed = |error| lost(&self.settings, self.log.explain(error));
        let consumer: BaseConsumer<Quiet> = self
            .settings
            .member(&self.group(subscription))
            .create_with_context(Quiet(self.log.clone()))
            .map_err(|error| refused("make a consumer", error))?;
        let mut oldest = TopicPartitionList::new();
        for partition in 0..self.cell.config.topic.partitions {
            let (low, _) = consumer.fetch_watermarks(&self.target.name, partition.into(), ANSWER).map_err(failed)?;
            oldest
                .add_partition_offset(&self.target.name, partition.into(), Offset::Offset(low))
                .map_err(|error| refused("rewind", error))?;
        }
        consumer.commit(&oldest, CommitMode::Sync).map_err(failed)
    }

    fn read_from(&self, from: ReplayFrom, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError> {
        audit::read(&self.source(), from, deadline_ns, sink).map(drop)
    }
}
