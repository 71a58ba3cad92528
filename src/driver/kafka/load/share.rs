//! Kafka's share groups: one member, by a client of our own, because no client library for Rust has
//! them yet.
//!
//! It has one connection to one node, which coordinates the group and leads every partition. Each
//! fetch carries what became of the records of earlier ones; heartbeats go between fetches. A
//! member whose connection closes loses its locks at once: the broker hands its records to others.

use crate::clock::Clock;
use crate::driver::kafka::clients::{Clients, cannot, disconnected, refused, timed_out};
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::model::System;
use crate::wire::kafka::answers::accepted;
use crate::wire::kafka::frame::{Api, Fields, Walked};
use crate::wire::kafka::link::{CLIENT, Link};
use crate::wire::kafka::share::{
    self, ACKNOWLEDGE, AckRange, AckType, Acknowledgements, BEGINS, CONFIGURE, COORDINATOR, ENDS,
    FETCH, HEARTBEAT, Heartbeat, ShareIdentity, ShareSession, TopicId, VERSIONS,
};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long joining the group may take.
const JOIN: Duration = Duration::from_secs(30);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest wait of one fetch, ns: well below [`ANSWER`] and every interval of heartbeats.
const LONGEST_WAIT: u64 = 1_000_000_000;
/// Between questions that are asked until the answer is another.
const PAUSE: Duration = Duration::from_millis(20);
/// Most bytes of one fetch; one record comes in any case.
const MOST_BYTES: i32 = 8 << 20;
/// A new group begins at the oldest record, and so misses none that comes while it is joined.
pub const FROM_THE_OLDEST: (&str, &str) = ("share.auto.offset.reset", "earliest");

/// Who has joined, so that no two members have the same name.
static JOINED: AtomicU64 = AtomicU64::new(0);

/// A record that is ours until it is answered for.
pub struct SharedRecord<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Counted by the broker, this one included.
    pub deliveries: u32,
    pub payload: &'a [u8],
    pub at_ns: u64,
}

pub struct ShareMember {
    link: Link,
    identity: ShareIdentity,
    address: String,
    topic: String,
    pub clock: Clock,
    /// Most records of one fetch.
    pub most: u32,
    epoch: i32,
    beat_due_ns: u64,
    topic_id: TopicId,
    partitions: BTreeSet<i32>,
    session: i32,
    new: Vec<i32>,
    gone: Vec<i32>,
    /// What the next fetch will say.
    pub answers: Acknowledgements,
    /// What came as the session was opened, and is still to be read.
    first: Option<Vec<u8>>,
    /// What the broker did not take or give, by its reason.
    pub troubles: BTreeMap<String, u64>,
}

impl ShareMember {
    /// Joins `group`, which has these settings from now on, and returns when it has partitions and
    /// a session.
    pub fn join(
        clients: &Clients,
        topic: &str,
        group: &str,
        most: u32,
        settings: &[(&str, &str)],
    ) -> Result<Self, DriverError> {
        let addresses = clients.settings.addresses();
        let address = addresses.split(',').next().unwrap_or_default().to_owned();
        let link = Link::open(&address, &clients.settings.access, ANSWER)
            .map_err(|cause| disconnected(&address, cause))?;
        // A coordinator takes 36 characters; only this process knows the group.
        let member = format!("consumer-{}", JOINED.fetch_add(1, Ordering::Relaxed));
        let mut member = Self {
            link,
            identity: ShareIdentity { group: group.to_owned(), member },
            address,
            topic: topic.to_owned(),
            clock: clients.clock,
            most,
            epoch: BEGINS,
            beat_due_ns: 0,
            topic_id: TopicId::default(),
            partitions: BTreeSet::new(),
            session: BEGINS,
            new: Vec::new(),
            gone: Vec::new(),
            answers: Acknowledgements::default(),
            first: None,
            troubles: BTreeMap::new(),
        };
        member.check_version()?;
        let request = share::configure(group, settings);
        let (error, words) = member.ask(CONFIGURE, &request, share::configured)?;
        accepted(error)
            .map_err(|name| refused("set up a share group", format!("{name}: {words}")))?;
        member.be_assigned()?;
        // Where the group begins is settled by the session's first fetch.
        let first = member.fetch(0)?;
        let (_, _, partitions) = share::fetched(&first).map_err(unreadable)?;
        let some = partitions.iter().any(|partition| !partition.acquired.is_empty());
        member.first = some.then_some(first);
        Ok(member)
    }

    fn check_version(&mut self) -> Result<(), DriverError> {
        let request = ApiVersionsRequest::default();
        let newest = self.ask(VERSIONS, &request, |answer| share::newest(answer, FETCH.0))?;
        if newest >= Some(FETCH.1) {
            return Ok(());
        }
        Err(cannot("share a partition", "its version has no share groups; Kafka 4.2 has them"))
    }

    /// Beats until the coordinator is there and has given partitions to this member.
    fn be_assigned(&mut self) -> Result<(), DriverError> {
        let deadline_ns = self.clock.now_ns() + JOIN.as_nanos() as u64;
        // Makes the topic in which groups are kept, on a new broker.
        let request = share::coordinator(&self.identity.group);
        while self.partitions.is_empty() {
            let mut error = self.ask(COORDINATOR, &request, share::coordinated)?;
            let mut words = String::new();
            if error == 0 {
                Heartbeat { error, words, .. } = self.beat()?;
            }
            match ResponseError::try_from_code(error) {
                Some(code) if !code.is_retriable() => {
                    let cause = format!("{code:?}: {words}");
                    return Err(refused("join a share group", cause));
                }
                _ if self.clock.now_ns() > deadline_ns => {
                    let action = format!("joining share group {}", self.identity.group);
                    return Err(timed_out(&action, JOIN));
                }
                _ => std::thread::sleep(PAUSE),
            }
        }
        Ok(())
    }

    /// One question, whose answer `read` understands.
    fn ask<Q: Encodable + HeaderVersion, T>(
        &mut self,
        api: Api,
        request: &Q,
        read: impl FnOnce(Fields<'_>) -> Walked<T>,
    ) -> Result<T, DriverError> {
        let answer = self.link.ask(api, request);
        let answer = answer.map_err(|cause| disconnected(&self.address, cause))?;
        read(Fields(&answer)).map_err(unreadable)
    }

    fn beat(&mut self) -> Result<Heartbeat, DriverError> {
        let topic = (self.epoch == BEGINS).then_some(self.topic.as_str());
        let request = self.identity.heartbeat(self.epoch, topic);
        let mut beat = self.ask(HEARTBEAT, &request, Heartbeat::read)?;
        if beat.error == 0 {
            self.epoch = beat.epoch;
            let interval_ns = u64::try_from(beat.interval_ms).unwrap_or(0) * 1_000_000;
            self.beat_due_ns = self.clock.now_ns() + interval_ns;
            if let Some(topics) = beat.assignment.take() {
                self.assign(topics.into_iter().next());
            }
        }
        Ok(beat)
    }

    /// Of the one topic that was subscribed to.
    fn assign(&mut self, topic: Option<(TopicId, Vec<i32>)>) {
        let (id, partitions) = topic.unwrap_or((self.topic_id, Vec::new()));
        let now: BTreeSet<i32> = partitions.into_iter().collect();
        self.topic_id = id;
        self.new = now.difference(&self.partitions).copied().collect();
        self.gone = self.partitions.difference(&now).copied().collect();
        self.partitions = now;
    }

    /// Says what became of earlier records, and asks for more.
    fn fetch(&mut self, wait_ns: u64) -> Result<Vec<u8>, DriverError> {
        let wait_ms = wait_ns.min(LONGEST_WAIT).div_ceil(1_000_000) as i32;
        let Self { topic_id, session, new, gone, .. } = self;
        let session = ShareSession { topic: *topic_id, epoch: *session, new, gone };
        let limits = (wait_ms, MOST_BYTES, self.most as i32);
        let request = self.identity.fetch(&session, &self.answers, limits);
        let frame = share::strict(&request, CLIENT).map_err(|cause| refused("fetch", cause))?;
        let answer = self.link.exchange(&frame);
        let answer = answer.map_err(|cause| disconnected(&self.address, cause))?;
        self.session += 1;
        self.answers = Acknowledgements::default();
        (self.new, self.gone) = (Vec::new(), Vec::new());
        Ok(answer)
    }

    /// Hands out the records of one fetch, which waits at most so long for the first of them, and
    /// tells which are ours now: partition, first and last offset.
    pub fn take(
        &mut self,
        left_ns: u64,
        sink: &mut dyn FnMut(SharedRecord<'_>),
    ) -> Result<Vec<(i32, i64, i64)>, DriverError> {
        if self.clock.now_ns() >= self.beat_due_ns {
            let Heartbeat { error, words, .. } = self.beat()?;
            accepted(error)
                .map_err(|name| refused("stay in a share group", format!("{name}: {words}")))?;
        }
        let answer = self.first.take().map_or_else(|| self.fetch(left_ns), Ok)?;
        // All of it is in our hands at this moment, before any of it is decoded.
        let at_ns = self.clock.now_ns();
        let (error, words, partitions) = share::fetched(&answer).map_err(unreadable)?;
        accepted(error).map_err(|name| refused("consume", format!("{name}: {words}")))?;
        let (mut ours, mut troubled) = (Vec::new(), false);
        for shared in &partitions {
            let partition = shared.index;
            if let Err(name) = accepted(shared.acknowledged) {
                *self.troubles.entry(format!("acknowledgement: {name}")).or_default() += 1;
            }
            match ResponseError::try_from_code(shared.error) {
                None => {}
                Some(code) if code.is_retriable() => {
                    *self.troubles.entry(format!("{code:?}")).or_default() += 1;
                    troubled = true;
                }
                Some(code) => return Err(refused("consume", format!("{code:?}"))),
            }
            let mut hand_out = |offset, deliveries, payload: &[u8]| {
                let deliveries = u32::try_from(deliveries).unwrap_or(0);
                sink(SharedRecord { partition, offset, deliveries, payload, at_ns });
            };
            shared.each(&mut hand_out).map_err(unreadable)?;
            ours.extend(shared.acquired.iter().map(|(first, last, _)| (partition, *first, *last)));
        }
        if troubled && ours.is_empty() {
            std::thread::sleep(PAUSE);
        }
        Ok(ours)
    }

    /// Says what is still to be said, gives back the rest, and leaves.
    pub fn leave(mut self) -> Result<(), DriverError> {
        let last = self.identity.last(self.topic_id, &self.answers);
        let errors = self.ask(ACKNOWLEDGE, &last, share::acknowledged)?;
        if let Some(Err(name)) = errors.into_iter().map(accepted).find(Result::is_err) {
            return Err(refused("acknowledge", name));
        }
        self.epoch = ENDS;
        self.beat().map(drop)
    }
}

fn unreadable(cause: &str) -> DriverError {
    DriverError::Protocol { system: System::Kafka, cause: cause.into() }
}

/// A consumer that accepts what it was given when it comes again.
pub struct ShareSubscriber {
    /// Gone once closed.
    member: Option<ShareMember>,
}

impl ShareSubscriber {
    pub fn join(
        clients: &Clients,
        topic: &str,
        group: &str,
        most: u32,
    ) -> Result<Self, DriverError> {
        let member = ShareMember::join(clients, topic, group, most, &[FROM_THE_OLDEST])?;
        Ok(Self { member: Some(member) })
    }
}

impl Subscriber for ShareSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let Some(member) = &mut self.member else {
            return Err(refused("consume", "the consumer is closed"));
        };
        loop {
            let left_ns = until_ns.saturating_sub(member.clock.now_ns());
            let ours = member.take(left_ns, &mut |record| {
                sink(Incoming { payload: record.payload, received_ns: record.at_ns });
            })?;
            let some = !ours.is_empty();
            for (partition, first, last) in ours {
                let range = AckRange { first, last, kind: AckType::Accept };
                member.answers.add(partition, range);
            }
            if some || left_ns <= LONGEST_WAIT {
                return Ok(());
            }
        }
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        self.member.as_ref().map(|member| member.troubles.clone()).unwrap_or_default()
    }

    fn abandon(mut self: Box<Self>) {
        self.member = None;
    }

    fn close(&mut self) -> Result<(), DriverError> {
        self.member.take().map_or(Ok(()), ShareMember::leave)
    }
}
