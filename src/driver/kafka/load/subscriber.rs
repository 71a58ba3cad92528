//! Kafka's consumer side: one member of one group, reading by the batch.
//!
//! Records come through the member's own queue ([`ConsumerHandle`]); its main queue carries rebalances and errors only and is
//! polled at most every [`HOUSEKEEPING`]. Acknowledging = the offset of what *earlier* calls handed out is stored,
//! and committed by librdkafka every `auto.commit.interval.ms`: a crash repeats messages, never skips one.

use super::client_log::{ClientLog, Member};
use super::ffi::{ConsumerHandle, Reader};
use crate::clock::Clock;
use crate::driver::kafka::error::{refused, timed_out};
use crate::driver::kafka::settings::ClientSettings;
use crate::driver::{DriverError, Incoming, Subscriber};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::Duration;

/// How often the main queue is looked at and positions are stored while records flow, ns.
const HOUSEKEEPING: u64 = 100_000_000;
/// How long joining the group may take.
const JOIN: Duration = Duration::from_secs(30);
/// How long leaving it may take.
const LEAVE: Duration = Duration::from_secs(5);

/// Members that have joined, by driver: while a later one joins, the earlier ones must answer the rebalance.
#[derive(Default)]
pub struct Members(Mutex<Vec<Weak<ConsumerHandle<Member>>>>);

impl Members {
    fn add(&self, member: &Arc<ConsumerHandle<Member>>) {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    /// Serves the rebalances of every member. Any thread may: records do not come this way.
    fn serve(&self) -> Result<(), DriverError> {
        let members = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        members.iter().filter_map(Weak::upgrade).try_for_each(|member| serve(member.consumer()))
    }
}

/// Serves what is on a main queue. Trouble with connections is the library's to mend and only noted.
pub fn serve(consumer: &BaseConsumer<Member>) -> Result<(), DriverError> {
    while let Some(event) = consumer.poll(Duration::ZERO) {
        match event {
            Ok(_) => return Err(refused("consume", "a record came outside of the member's own queue")),
            Err(KafkaError::MessageConsumptionFatal(code)) => {
                return Err(refused("consume", consumer.context().log.explain(code)));
            }
            Err(error) => consumer.context().log.add(&error.to_string()),
        }
    }
    Ok(())
}

/// Joins `group` and returns when the group has given the new member its share of the topic, which may be nothing when
/// there are more members than partitions.
pub fn member(
    settings: &ClientSettings,
    topic: &str,
    group: &str,
    limit: Duration,
    members: &Members,
    log: &ClientLog,
    clock: Clock,
) -> Result<Arc<ConsumerHandle<Member>>, DriverError> {
    let context = Member { log: log.clone(), ..Member::default() };
    let consumer: BaseConsumer<Member> =
        settings.member(group).create_with_context(context).map_err(|error| refused("make a consumer", error))?;
    let handle = ConsumerHandle::new(Arc::new(consumer)).ok_or_else(|| refused("make a consumer", "no queue"))?;
    let handle = Arc::new(handle);
    let consumer = handle.consumer();
    consumer.context().handle.get_or_init(|| Arc::downgrade(&handle));
    consumer.subscribe(&[topic]).map_err(|error| refused("subscribe", error))?;
    members.add(&handle);

    let deadline_ns = clock.now_ns() + limit.as_nanos() as u64;
    while !consumer.context().assigned.load(Ordering::Acquire) {
        if clock.now_ns() > deadline_ns {
            return Err(timed_out(&log.explain(format!("joining group {group}")), limit));
        }
        members.serve()?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(handle)
}

pub struct KafkaSubscriber {
    /// Gone once closed.
    reader: Option<Reader<Member>>,
    /// Next offset of each partition, as far as earlier calls handed records out; -1 where none.
    positions: Vec<i64>,
    /// Whether `positions` holds something that is not stored yet.
    moved: bool,
    /// When the main queue is due again.
    due_ns: u64,
    /// Whether an error in the place of a record is the library's to mend, and counted.
    patient: bool,
    retries: BTreeMap<String, u64>,
    topic: String,
    clock: Clock,
}

impl KafkaSubscriber {
    /// See [`member`].
    pub fn join(
        settings: &ClientSettings,
        topic: &str,
        group: &str,
        batch: u32,
        members: &Members,
        log: &ClientLog,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        let handle = member(settings, topic, group, JOIN, members, log, clock)?;
        let reader = Some(Reader::new(handle, batch.max(1) as usize));
        let (positions, topic, retries) = (Vec::new(), topic.to_owned(), BTreeMap::new());
        let patient = settings.patient;
        Ok(Self { reader, positions, moved: false, due_ns: 0, patient, retries, topic, clock })
    }

    /// `None` once closed.
    pub fn member(&self) -> Option<&Member> {
        self.reader.as_ref().map(|reader| reader.handle().consumer().context().as_ref())
    }

    /// Serves the main queue and stores what has been processed.
    pub fn keep_house(&mut self) -> Result<(), DriverError> {
        self.store();
        if let Some(reader) = &self.reader {
            let consumer = reader.handle().consumer();
            serve(consumer)?;
            if consumer.context().revoked.swap(false, Ordering::Relaxed) {
                self.positions.fill(-1);
            }
        }
        self.due_ns = self.clock.now_ns() + HOUSEKEEPING;
        Ok(())
    }

    /// Marks what was handed out as processed; librdkafka commits it in its own time, at the latest when leaving.
    fn store(&mut self) {
        let Some(reader) = self.reader.as_ref().filter(|_| std::mem::take(&mut self.moved)) else { return };
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in self.positions.iter().enumerate().filter(|(_, next)| **next >= 0) {
            // Fails only for offsets that cannot be represented, which a broker does not give out.
            let _ = offsets.add_partition_offset(&self.topic, partition as i32, Offset::Offset(*next));
        }
        let consumer = reader.handle().consumer();
        if let Err(error) = consumer.store_offsets(&offsets) {
            // A partition just taken away: its new owner reads on from the last commit.
            consumer.context().log.add(&error.to_string());
        }
    }
}

impl Subscriber for KafkaSubscriber {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= self.due_ns {
                self.keep_house()?;
            }
            let Some(reader) = &mut self.reader else { return Err(refused("consume", "the consumer is closed")) };
            let left_ns = until_ns.saturating_sub(now_ns);
            // Up to the next whole millisecond, which is the library's unit; never past the next housekeeping.
            let wait_ms = left_ns.min(HOUSEKEEPING).div_ceil(1_000_000) as i32;
            if reader.take(wait_ms) > 0 {
                break;
            }
            if left_ns <= HOUSEKEEPING {
                return Ok(());
            }
        }
        // All of a batch is in our hands at this moment, before any of it is decoded.
        let received_ns = self.clock.now_ns();
        let Self { reader: Some(reader), positions, patient, retries, .. } = self else { return Ok(()) };
        let mut error = None;
        reader.each(|record| match record.error {
            None => {
                let partition = record.partition as usize;
                if partition >= positions.len() {
                    positions.resize(partition + 1, -1);
                }
                positions[partition] = record.offset + 1;
                sink(Incoming { payload: record.payload, received_ns });
            }
            // The library fetches on by itself, from the new leader or after a look for one.
            Some(code) if *patient && code != RDKafkaErrorCode::Fatal => {
                *retries.entry(format!("{code:?}")).or_default() += 1;
            }
            Some(code) => error = Some(code),
        });
        self.moved = true;
        match error {
            None => Ok(()),
            Some(code) => Err(refused("consume", reader.handle().consumer().context().log.explain(code))),
        }
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        self.retries.clone()
    }

    fn abandon(mut self: Box<Self>) {
        let Some(reader) = self.reader.take() else { return };
        let handle = Arc::clone(reader.handle());
        // The reader's own handle goes first, with the records it holds.
        drop(reader);
        if let Some(handle) = Arc::into_inner(handle) {
            ConsumerHandle::abandon(handle);
        }
    }

    fn close(&mut self) -> Result<(), DriverError> {
        self.store();
        let Some(reader) = self.reader.take() else { return Ok(()) };
        // Leaving commits and says goodbye to the coordinator, who may be gone: it gets a thread and a deadline.
        let (done, end) = mpsc::channel();
        let leave = move || {
            drop(reader);
            let _ = done.send(());
        };
        std::thread::Builder::new()
            .name("kafka-leave".into())
            .spawn(leave)
            .map_err(|error| refused("leave the group", error))?;
        end.recv_timeout(LEAVE).map_err(|_| timed_out("leaving the group", LEAVE))
    }
}

impl Drop for KafkaSubscriber {
    fn drop(&mut self) {
        // Too late for an error: the group notices an absent member by itself.
        let _ = self.close();
    }
}
