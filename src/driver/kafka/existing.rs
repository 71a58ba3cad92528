//! A topic that is there already and belongs to somebody: looked at, written to or read, and left
//! as it is. Of this run are its groups alone, which are deleted afterwards.

use super::clients::{offsets, refused};
use super::driver::KafkaDriver;
use super::load::ffi::ConsumerHandle;
use crate::driver::DriverError;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::time::Duration;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

impl KafkaDriver {
    /// How many partitions the topic has, with who was told so; refused where it is not as this
    /// cell needs it.
    pub(super) fn find(&self, topic: &str) -> Result<(usize, Arc<ConsumerHandle>), DriverError> {
        let clients = &self.clients;
        let handle = clients.reader(&format!("{}-ends", self.target.name))?;
        let consumer = handle.consumer();
        let failed = |error: KafkaError| clients.lost(error);
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER).map_err(failed)?;
        let found = metadata.topics().first().filter(|found| found.error().is_none());
        let found = found.map_or(0, |topic| topic.partitions().len());
        let wanted = usize::from(self.cell.config.topic.partitions);
        if found < wanted {
            let why = match found {
                0 => "it is not there, or not shown: make it, or correct `topic.name`".to_owned(),
                _ => format!(
                    "it has {found} partitions, fewer than `topic.partitions` ({wanted}): lower \
                     that"
                ),
            };
            return Err(refused(use_of(topic), why));
        }
        // Who may not read its settings sees what the topic takes.
        let policy = self.told().ok().and_then(|(_, topic)| topic.get("cleanup.policy"));
        self.takes_keyless(&use_of(topic), policy, "")?;
        Ok((found, handle))
    }

    /// Finds the topic, and where it ends: what this run publishes comes after that, and its
    /// consumers begin there. Where it publishes nothing, they begin at the oldest record, as a
    /// group without commits does.
    pub(super) fn take_up(&self) -> Result<(), DriverError> {
        let (clients, topic) = (&self.clients, self.topic());
        let failed = |error: KafkaError| clients.lost(error);
        let (found, handle) = self.find(topic)?;
        if self.cell.load.producers == 0 {
            return Ok(());
        }
        let mut ends = Vec::new();
        for partition in 0..found as i32 {
            let (_, end) =
                handle.consumer().fetch_watermarks(topic, partition, ANSWER).map_err(failed)?;
            ends.push(end);
        }
        for subscription in 0..self.cell.load.subscriptions {
            let member = clients.consumer(&clients.settings.member(&self.group(subscription)))?;
            let begin = offsets(topic, (0..).zip(ends.iter().copied()));
            member.consumer().commit(&begin, CommitMode::Sync).map_err(failed)?;
        }
        let _ = self.ends.set(ends);
        Ok(())
    }
}

fn use_of(topic: &str) -> String {
    format!("use the topic `{topic}`")
}
