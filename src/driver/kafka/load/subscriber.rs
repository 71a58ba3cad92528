//! Kafka's consumer side: one member of one group, reading by the batch.
//!
//! Records come through the member's own queue ([`ConsumerHandle`]); its main queue carries
//! rebalances and errors only and is polled at most every [`HOUSEKEEPING`]. Acknowledging = the
//! offset of what *earlier* calls handed out is stored, and committed by librdkafka every
//! `auto.commit.interval.ms`: a crash repeats messages, never skips one.

use super::client_log::KafkaContext;
use super::ffi::{ConsumerHandle, Reader, Record};
use crate::clock::Clock;
use crate::driver::capability::{Requests, WatchedSubscriber};
use crate::driver::kafka::clients::{Clients, offsets, refused, serve, timed_out};
use crate::driver::kafka::settings::ClientSettings;
use crate::driver::{DriverError, Incoming, Subscriber};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};

/// How often the main queue is looked at and positions are stored while records flow, ns.
pub const HOUSEKEEPING: u64 = 100_000_000;
/// How long joining the group may take.
const JOIN: Duration = Duration::from_secs(30);
/// How long leaving it may take.
const LEAVE: Duration = Duration::from_secs(5);
/// For `statistics.interval.ms` of a consumer whose requests are counted.
pub const COUNTED_EVERY_MS: &str = "100";
/// How long the next telling may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Looks in a row at the main queue that find no telling: other events are rare.
const VAIN_LOOKS: u32 = 4;

/// One member of a group, and how far it has read.
pub struct GroupMember {
    reader: Reader,
    /// Next offset of each partition, as far as records were handed out; -1 where none.
    positions: Vec<i64>,
    topic: String,
    /// When the main queue is due again.
    pub due_ns: u64,
    pub clock: Clock,
}

impl GroupMember {
    /// Joins `group` and returns when the group has given the new member its share of the topic,
    /// which may be nothing when there are more members than partitions.
    pub fn join(
        clients: &Clients,
        topic: &str,
        group: &str,
        batch: u32,
        limit: Duration,
    ) -> Result<Self, DriverError> {
        let Clients { settings, log, members, clock, .. } = clients;
        let handle = clients.consumer(&settings.member(group))?;
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
        let reader = Reader::new(handle, batch.max(1) as usize);
        Ok(Self {
            reader,
            positions: Vec::new(),
            topic: topic.to_owned(),
            due_ns: 0,
            clock: *clock,
        })
    }

    pub fn context(&self) -> &KafkaContext {
        self.reader.handle().consumer().context()
    }

    /// Stores positions and serves the main queue.
    pub fn keep_house(&mut self, safe: impl Fn(usize, i64) -> i64) -> Result<(), DriverError> {
        self.store(safe);
        serve(self.reader.handle().consumer())?;
        if self.context().revoked.swap(false, Ordering::Relaxed) {
            self.positions.fill(-1);
        }
        self.due_ns = self.clock.now_ns() + HOUSEKEEPING;
        Ok(())
    }

    /// Stores for each partition what `safe` makes of its position: librdkafka commits it in its
    /// own time, at the latest when leaving.
    pub fn store(&self, safe: impl Fn(usize, i64) -> i64) {
        let offsets = offsets(&self.topic, self.safe(safe));
        if let Err(error) = self.reader.handle().consumer().store_offsets(&offsets) {
            // A partition just taken away: its new owner reads on from the last commit.
            self.context().log.add(&error.to_string());
        }
    }

    /// Commits for each partition what `safe` makes of its position, without waiting for the
    /// answer. What nobody confirmed comes again after a crash.
    pub fn commit(&self, safe: impl Fn(usize, i64) -> i64) {
        let offsets = offsets(&self.topic, self.safe(safe));
        let committed = self.reader.handle().consumer().commit(&offsets, CommitMode::Async);
        if let Err(error) = committed {
            self.context().log.add(&error.to_string());
        }
    }

    /// What `safe` makes of the position of each partition.
    fn safe(&self, safe: impl Fn(usize, i64) -> i64) -> impl Iterator<Item = (i32, i64)> {
        let known = self.positions.iter().enumerate().filter(|(_, next)| **next >= 0);
        known.map(move |(partition, next)| (partition as i32, safe(partition, *next)))
    }

    /// Takes at most `most` records; waits for the first until `left_ns` are over, rounded up to
    /// the library's milliseconds.
    pub fn take(&mut self, left_ns: u64, most: usize) -> usize {
        self.reader.take(left_ns.div_ceil(1_000_000) as i32, most)
    }

    /// Hands out what was taken. An error in the place of a record ends it,
    /// unless it is `forgiven`.
    pub fn each(
        &mut self,
        mut visit: impl FnMut(Record<'_>),
        mut forgiven: impl FnMut(RDKafkaErrorCode) -> bool,
    ) -> Result<(), DriverError> {
        let Self { reader, positions, .. } = self;
        let mut error = None;
        reader.each(|record| match record.error {
            None => {
                let partition = record.partition as usize;
                if partition >= positions.len() {
                    positions.resize(partition + 1, -1);
                }
                positions[partition] = record.offset + 1;
                visit(record);
            }
            Some(code) if forgiven(code) => {}
            Some(code) => error = Some(code),
        });
        error.map_or(Ok(()), |code| Err(refused("consume", self.context().log.explain(code))))
    }

    /// Vanishes as a killed process does.
    pub fn abandon(self) {
        let handle = Arc::clone(self.reader.handle());
        // The reader's own handle goes first, with the records it holds.
        drop(self);
        if let Some(handle) = Arc::into_inner(handle) {
            handle.abandon();
        }
    }

    /// Leaves the group, which commits and says goodbye to the coordinator, who may be gone: on a
    /// thread, with a deadline.
    pub fn leave(self) -> Result<(), DriverError> {
        let (done, end) = mpsc::channel();
        let leave = move || {
            drop(self);
            let _ = done.send(());
        };
        let thread = std::thread::Builder::new().name("kafka-leave".into()).spawn(leave);
        thread.map_err(|error| refused("leave the group", error))?;
        end.recv_timeout(LEAVE).map_err(|_| timed_out("leaving the group", LEAVE))
    }
}

pub struct KafkaSubscriber {
    /// Gone once closed.
    member: Option<GroupMember>,
    /// Whether an error in the place of a record is the library's to mend, and counted.
    patient: bool,
    /// Whether it looks again and again instead of sleeping until something has come.
    spins: bool,
    retries: BTreeMap<String, u64>,
}

impl KafkaSubscriber {
    /// See [`GroupMember::join`].
    pub fn join(
        clients: &Clients,
        topic: &str,
        group: &str,
        batch: u32,
    ) -> Result<Self, DriverError> {
        let member = Some(GroupMember::join(clients, topic, group, batch, JOIN)?);
        let ClientSettings { patient, spins, .. } = clients.settings;
        Ok(Self { member, patient, spins, retries: BTreeMap::new() })
    }
}

/// What was handed out is processed when the caller comes again.
fn processed(_: usize, next: i64) -> i64 {
    next
}

impl Subscriber for KafkaSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let Self { member: Some(member), patient, spins, retries } = self else {
            return Err(refused("consume", "the consumer is closed"));
        };
        loop {
            let now_ns = member.clock.now_ns();
            if now_ns >= member.due_ns {
                member.keep_house(processed)?;
            }
            let left_ns = until_ns.saturating_sub(now_ns);
            // Never past the next housekeeping.
            let wait_ns = if *spins { 0 } else { left_ns.min(HOUSEKEEPING) };
            if member.take(wait_ns, usize::MAX) > 0 {
                break;
            }
            if left_ns <= wait_ns {
                return Ok(());
            }
        }
        // All of a batch is in our hands at this moment, before any of it is decoded.
        let received_ns = member.clock.now_ns();
        let hand_out = |record: Record<'_>| sink(Incoming { payload: record.payload, received_ns });
        member.each(hand_out, |code| {
            // The library fetches on by itself, from the new leader or after a look for one.
            let mends = *patient && code != RDKafkaErrorCode::Fatal;
            if mends {
                *retries.entry(format!("{code:?}")).or_default() += 1;
            }
            mends
        })
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        self.retries.clone()
    }

    fn abandon(mut self: Box<Self>) {
        if let Some(member) = self.member.take() {
            member.abandon();
        }
    }

    fn close(&mut self) -> Result<(), DriverError> {
        let Some(member) = self.member.take() else { return Ok(()) };
        member.store(processed);
        member.leave()
    }
}

impl Drop for KafkaSubscriber {
    fn drop(&mut self) {
        // Too late for an error: the group notices an absent member by itself.
        let _ = self.close();
    }
}

impl KafkaSubscriber {
    /// Its requests as librdkafka counts them when it hands them to its sockets. It tells its
    /// counters every [`COUNTED_EVERY_MS`]: whoever asks waits for the next telling, so that
    /// nothing sent before is missing.
    pub fn watched(self) -> WatchedSubscriber<Requests> {
        let handle = self
            .member
            .as_ref()
            .map(|member| Arc::downgrade(member.reader.handle()))
            .unwrap_or_default();
        WatchedSubscriber { subscriber: Box::new(self), ask: Box::new(move || requests(&handle)) }
    }
}

fn requests(handle: &Weak<ConsumerHandle>) -> Result<Requests, DriverError> {
    let deadline = Instant::now() + PATIENCE;
    // One look at the main queue serves one event, and older tellings may wait in it: look until
    // none came.
    let mut vain = 0;
    while let Some(handle) = handle.upgrade().filter(|_| Instant::now() < deadline) {
        let told = &handle.consumer().context().requests;
        let before = told.last().0;
        serve(handle.consumer())?;
        let (times, requests) = told.last();
        if times == before {
            vain += 1;
        } else if vain >= VAIN_LOOKS {
            return Ok(requests);
        } else {
            vain = 0;
        }
        if vain >= VAIN_LOOKS {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Err(timed_out("the client's statistics", PATIENCE))
}
