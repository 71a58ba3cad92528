//! Reads back what a topic holds: every partition from its beginning, or from a moment on, to the end it had when the
//! read started.
//!
//! Takes no part in any group and commits nothing: the topic is the same afterwards.

use super::ffi::{Inlet, Reader};
use super::journal::{Journal, Quiet};
use super::settings::Settings;
use super::{lost, refused, timed_out};
use crate::clock::Clock;
use crate::driver::replay::From;
use crate::driver::{Audit, DriverError};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;

const BATCH: usize = 1000;
/// Longest sleep of one read, ms, so that the deadline is looked at.
const NAP: i32 = 100;

/// What is read, and with which clients.
pub struct Source<'a> {
    pub settings: &'a Settings,
    pub topic: &'a str,
    pub partitions: u16,
    pub journal: &'a Journal,
    pub clock: Clock,
}

pub fn read(
    source: &Source<'_>,
    from: From,
    deadline_ns: u64,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<Audit, DriverError> {
    let Source { settings, topic, partitions, journal, clock } = *source;
    let started_ns = clock.now_ns();
    let late = || timed_out("the audit", Duration::from_nanos(clock.now_ns() - started_ns));
    let consumer: BaseConsumer<Quiet> = settings
        .reader(&format!("{topic}-audit"))
        .create_with_context(Quiet(journal.clone()))
        .map_err(|error| refused("make a consumer", error))?;
    let inlet = Arc::new(Inlet::new(Arc::new(consumer)).ok_or_else(|| refused("make a consumer", "no queue"))?);
    let consumer = inlet.consumer();

    let mut trimmed = false;
    // The end of each partition that is still to be read; `None` when it has been.
    let mut ends = vec![None; usize::from(partitions)];
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        let left = clock.until(deadline_ns);
        let patience = left.min(Duration::from_secs(30));
        let failed = |error| if left.is_zero() { late() } else { lost(settings, journal.explain(error)) };
        let (low, high) = consumer.fetch_watermarks(topic, partition.into(), patience).map_err(failed)?;
        trimmed |= low > 0;
        let first = match from {
            From::Beginning => Some(low),
            From::Time(ms) => offset_at(consumer, topic, partition, ms, patience).map_err(failed)?,
        };
        if let Some(first) = first.filter(|first| *first < high) {
            ends[usize::from(partition)] = Some(high);
            inlet.pour(topic, partition.into());
            assignment
                .add_partition_offset(topic, partition.into(), Offset::Offset(first))
                .map_err(|error| refused("audit", error))?;
        }
    }
    consumer.assign(&assignment).map_err(|error| refused("audit", error))?;

    let mut left = assignment.count();
    let mut reader = Reader::new(Arc::clone(&inlet), BATCH);
    while left > 0 {
        if clock.now_ns() >= deadline_ns {
            return Err(late());
        }
        if reader.take(NAP) == 0 {
            while consumer.poll(Duration::ZERO).is_some() {}
        }
        let mut error = None;
        reader.each(|record| {
            let Some(end) = ends.get_mut(record.partition as usize) else { return };
            match record.error {
                None if end.is_some_and(|end| record.offset < end) => {
                    sink(record.payload);
                    if *end == Some(record.offset + 1) {
                        *end = None;
                        left -= 1;
                    }
                }
                // What was written after the audit began is not part of it, and the last offsets before that may
                // hold no record, as after compaction.
                None | Some(RDKafkaErrorCode::PartitionEOF) => left -= usize::from(end.take().is_some()),
                Some(code) => error = Some(code),
            }
        });
        if let Some(code) = error {
            return Err(refused("audit", journal.explain(code)));
        }
    }
    Ok(Audit::Retains { trimmed })
}

/// The first record stored at or after `ms`; `None` when there is none.
fn offset_at(
    consumer: &BaseConsumer<Quiet>,
    topic: &str,
    partition: u16,
    ms: u64,
    patience: Duration,
) -> Result<Option<i64>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition.into(), Offset::Offset(i64::try_from(ms).unwrap_or(i64::MAX)))?;
    let found = consumer.offsets_for_times(asked, patience)?;
    Ok(found.elements().first().and_then(|element| match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }))
}
