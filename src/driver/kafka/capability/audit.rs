//! Reads back what a topic holds: every partition from its beginning, or from a moment on, to the
//! end it had when the read started.
//!
//! Takes no part in any group and commits nothing: the topic is the same afterwards, and to read
//! again is only another position in it.

use crate::driver::capability::{Replay, ReplayFrom};
use crate::driver::kafka::clients::{Clients, assign, offsets, refused, timed_out};
use crate::driver::kafka::driver::KafkaDriver;
use crate::driver::kafka::load::client_log::KafkaContext;
use crate::driver::kafka::load::ffi::{ConsumerHandle, Reader};
use crate::driver::{Audit, Driver, DriverError, Subscriber};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::Arc;
use std::time::Duration;

const BATCH: usize = 1000;
/// Longest sleep of one read, ms, so that the deadline is looked at.
const NAP: i32 = 100;

/// How long partitions may be without a leader before they are given up, where that is waited for
/// at all.
const LEADERLESS: Duration = Duration::from_secs(30);
/// Pause before a question is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one answer may take to who goes back.
const ANSWER: Duration = Duration::from_secs(10);

/// What is read, and with which clients.
pub struct AuditSource<'a> {
    pub clients: &'a Clients,
    /// Of whoever reads.
    pub name: &'a str,
    pub topic: &'a str,
    pub partitions: u16,
    /// Where each partition ended before; what lies there is not ours. Empty of our own topics.
    pub since: &'a [i64],
}

/// Reads to the end. Under `load.deadline`, partitions that nobody leads are waited for and then
/// left out, and whatever may pass is asked again until the deadline.
pub fn read(
    source: &AuditSource<'_>,
    from: ReplayFrom,
    deadline_ns: u64,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<Audit, DriverError> {
    let AuditSource { clients, name, topic, partitions, since } = *source;
    let (clock, patient) = (clients.clock, clients.settings.patient);
    let started_ns = clock.now_ns();
    let late = || timed_out("the audit", Duration::from_nanos(clock.now_ns() - started_ns));
    let handle = clients.reader(&format!("{name}-audit"))?;
    let consumer = handle.consumer();
    let lost_to_all = if patient { leaderless(consumer, source, deadline_ns)? } else { Vec::new() };

    let mut trimmed = false;
    // The end of each partition that is still to be read; `None` when it has been.
    let mut ends = vec![None; usize::from(partitions)];
    let mut begin = Vec::new();
    for partition in (0..partitions).filter(|partition| !lost_to_all.contains(partition)) {
        let left = clock.until(deadline_ns);
        let patience = left.min(Duration::from_secs(30));
        let failed = |error| if left.is_zero() { late() } else { clients.lost(error) };
        let (low, high) = loop {
            match consumer.fetch_watermarks(topic, partition.into(), patience) {
                Err(_) if patient && !clock.until(deadline_ns).is_zero() => {
                    std::thread::sleep(PAUSE)
                }
                found => break found.map_err(failed)?,
            }
        };
        let since = since.get(usize::from(partition)).copied().unwrap_or(0);
        trimmed |= low > since;
        let first = match from {
            ReplayFrom::Beginning => Some(low.max(since)),
            ReplayFrom::Time(ms) => {
                offset_at(consumer, topic, partition, ms, patience).map_err(failed)?
            }
        };
        if let Some(first) = first.filter(|first| *first < high) {
            ends[usize::from(partition)] = Some(high);
            begin.push((partition.into(), first));
        }
    }
    assign(&handle, topic, &begin).map_err(|error| refused("audit", error))?;

    read_to(&mut ends, &handle, source, deadline_ns, late, sink)?;
    let words = |partition| format!("partition {partition} has no leader");
    Ok(Audit::Retains { trimmed, unreadable: lost_to_all.into_iter().map(words).collect() })
}

/// Hands out every record up to the end of its partition.
fn read_to(
    ends: &mut [Option<i64>],
    handle: &Arc<ConsumerHandle>,
    source: &AuditSource<'_>,
    deadline_ns: u64,
    late: impl Fn() -> DriverError,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), DriverError> {
    let Clients { settings, log, clock, .. } = source.clients;
    let mut reader = Reader::new(Arc::clone(handle), BATCH);
    let mut left = ends.iter().flatten().count();
    while left > 0 {
        if clock.now_ns() >= deadline_ns {
            return Err(late());
        }
        if reader.take(NAP, BATCH) == 0 {
            while handle.consumer().poll(Duration::ZERO).is_some() {}
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
                // What was written after the audit began is not part of it, and the last offsets
                // before that may hold no record, as after compaction.
                None | Some(RDKafkaErrorCode::PartitionEOF) => {
                    left -= usize::from(end.take().is_some())
                }
                Some(code) if settings.patient && code != RDKafkaErrorCode::Fatal => {
                    log.add(&format!("audit: {code}"))
                }
                Some(code) => error = Some(code),
            }
        });
        if let Some(code) = error {
            return Err(refused("audit", log.explain(code)));
        }
    }
    Ok(())
}

/// The partitions that nobody leads, once all are led or the patience with them is at its end.
fn leaderless(
    consumer: &BaseConsumer<KafkaContext>,
    source: &AuditSource<'_>,
    deadline_ns: u64,
) -> Result<Vec<u16>, DriverError> {
    let AuditSource { clients, topic, partitions, .. } = *source;
    let clock = clients.clock;
    let until_ns = deadline_ns.min(clock.now_ns() + LEADERLESS.as_nanos() as u64);
    loop {
        let patience = clock.until(until_ns).clamp(PAUSE, Duration::from_secs(5));
        let found = consumer.fetch_metadata(Some(topic), patience);
        let led = |partition: &u16| {
            let topics = found.as_ref().map(|metadata| metadata.topics()).unwrap_or_default();
            let mut all = topics.iter().flat_map(|topic| topic.partitions());
            all.any(|known| known.id() == i32::from(*partition) && known.leader() >= 0)
        };
        let missing: Vec<u16> = (0..partitions).filter(|partition| !led(partition)).collect();
        if missing.is_empty()
            || (clock.until(until_ns).is_zero() && missing.len() < usize::from(partitions))
        {
            return Ok(missing);
        }
        if clock.until(until_ns).is_zero() {
            let cause = found
                .err()
                .map_or("no partition has a leader".to_owned(), |error| error.to_string());
            return Err(clients.lost(cause));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The first record stored at or after `ms`; `None` when there is none.
fn offset_at(
    consumer: &BaseConsumer<KafkaContext>,
    topic: &str,
    partition: u16,
    ms: u64,
    patience: Duration,
) -> Result<Option<i64>, KafkaError> {
    let asked = offsets(topic, [(partition.into(), i64::try_from(ms).unwrap_or(i64::MAX))]);
    let found = consumer.offsets_for_times(asked, patience)?;
    // The end of the partition, where there is none, is a negative number.
    Ok(found
        .elements()
        .first()
        .and_then(|element| element.offset().to_raw())
        .filter(|offset| *offset >= 0))
}

impl Replay for KafkaDriver {
    /// A group without commits begins at the oldest record (`auto.offset.reset: earliest`).
    fn join_late(&self, subscription: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        self.subscriber(subscription, 0)
    }

    /// Commits the oldest offsets for a group that has no members.
    fn rewind(&self, subscription: u16) -> Result<(), DriverError> {
        let (clients, topic) = (&self.clients, &self.target.name);
        let handle = clients.consumer(&clients.settings.member(&self.group(subscription)))?;
        let oldest = |partition: u16| {
            let marks = handle.consumer().fetch_watermarks(topic, partition.into(), ANSWER);
            marks.map(|(low, _)| (partition.into(), low)).map_err(|error| clients.lost(error))
        };
        let oldest =
            (0..self.cell.config.topic.partitions).map(oldest).collect::<Result<Vec<_>, _>>()?;
        let committed = handle.consumer().commit(&offsets(topic, oldest), CommitMode::Sync);
        committed.map_err(|error| clients.lost(error))
    }

    fn read_from(
        &self,
        from: ReplayFrom,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError> {
        read(&self.source(), from, deadline_ns, sink).map(drop)
    }
}
