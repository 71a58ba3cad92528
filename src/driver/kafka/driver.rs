//! A cell's Kafka: what [`Driver`] asks, handed to whoever does it.

use super::admin::{Admin, Entries, KAFKA};
use super::capability::{
    audit, board, cluster, large, large_socket, reflector, share_work, stall, work,
};
use super::clients::{Clients, cannot, refused, timed_out};
use super::load::ffi::partition_of;
use super::load::publisher::KafkaPublisher;
use super::load::share::ShareSubscriber;
use super::load::subscriber::KafkaSubscriber;
use super::settings::ClientSettings;
use super::survival::survives;
use super::topics::Topics;
use crate::driver::capability::{
    Board, CacheClient, ClusterView, HeldForConsumer, Replay, ReplayFrom, Requests,
    WatchedSubscriber,
};
use crate::driver::work::{WorkQueue, WorkTerms};
use crate::driver::{
    Audit, Driver, DriverError, LargeClient, LargeMessages, Outcome, Outgoing, Publisher,
    Subscriber, Target,
};
use crate::model::System;
use crate::result::{Description, Survives};
use crate::scenario::{Cell, ConsumeMode, Topic};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the first message may take, produced and consumed; a fresh broker takes some seconds.
const PROBE: Duration = Duration::from_secs(30);
/// How long settings are asked for, where clients outlive what is broken.
const PATIENT: Duration = Duration::from_secs(30);
/// What the broker reflects instead of a version.
pub(super) const MOCK: &str = "librdkafka's mock cluster";

pub struct KafkaDriver {
    pub(super) cell: Cell,
    pub(super) target: Target,
    pub(super) clients: Clients,
    /// Settings of broker and topic, read once: a later fault must not change what was measured.
    told: OnceLock<(Entries, Entries)>,
    /// Where each partition of a topic ended that was there already.
    pub(super) ends: OnceLock<Vec<i64>>,
}

/// What speaks to Kafka, with its version.
pub fn client_version() -> String {
    format!("librdkafka {} (rdkafka 0.39)", rdkafka::util::get_rdkafka_version().1)
}

pub fn open(cell: &Cell, target: Target) -> Result<Box<dyn Driver>, DriverError> {
    let clients =
        Clients::new(ClientSettings::new(cell, &target.addresses, &target.access)?, target.clock);
    let (told, ends) = (OnceLock::new(), OnceLock::new());
    Ok(Box::new(KafkaDriver { cell: cell.clone(), target, clients, told, ends }))
}

impl KafkaDriver {
    /// Of this cell: its own, or one that is there already.
    pub(super) fn topic(&self) -> &str {
        self.cell.config.existing().unwrap_or(&self.target.name)
    }

    pub(super) fn group(&self, subscription: u16) -> String {
        format!("{}-s{subscription}", self.target.name)
    }

    /// Settings of broker and topic; of a reflector there are none.
    pub(super) fn told(&self) -> Result<&(Entries, Entries), DriverError> {
        if self.told.get().is_none() && !reflector::is_one(&self.target.addresses) {
            let _ = self.told.set(self.read_settings()?);
        }
        Ok(self.told.get_or_init(Default::default))
    }

    /// Where clients outlive what is broken, they are asked for as long as a message is.
    fn read_settings(&self) -> Result<(Entries, Entries), DriverError> {
        let limit = self
            .cell
            .load
            .deadline
            .map_or(Duration::ZERO, |span| Duration::from_nanos(span.nanos()));
        let deadline = Instant::now() + limit.min(PATIENT);
        loop {
            match self.admin()?.describe(self.topic()) {
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(100))
                }
                ended => return ended,
            }
        }
    }

    pub(super) fn admin(&self) -> Result<Admin, DriverError> {
        let partitions = self.cell.config.partitions();
        Admin::connect(&self.clients, &self.target.name, partitions)
    }

    /// The topics of this cell, or the one that is there already.
    fn topics(&self) -> Topics {
        match self.cell.config.existing() {
            Some(topic) => Topics::one(topic),
            None => Topics::of(&self.target.name, &self.cell.config),
        }
    }

    /// The first topic of this cell, to be read without a group.
    pub(super) fn source(&self) -> audit::AuditSource<'_> {
        let (clients, name, topic) = (&self.clients, &*self.target.name, self.topic());
        let partitions = self.cell.config.topic.partitions;
        let since = self.ends.get().map_or(&[][..], Vec::as_slice);
        audit::AuditSource { clients, name, topic, partitions, since }
    }

    /// Joins the group of `subscription` with these clients.
    fn join(
        &self,
        clients: &Clients,
        subscription: u16,
        consumer: u16,
    ) -> Result<KafkaSubscriber, DriverError> {
        let (group, batch) = (self.group(subscription), self.cell.config.consume.batch);
        KafkaSubscriber::join(clients, &self.topics(), (&group, consumer), batch)
    }

    /// Whether consumers are members of a share group. A reflector knows none: there the cost of
    /// the usual client is what is seen.
    fn shares(&self) -> bool {
        self.cell.config.consume.mode == ConsumeMode::ShareGroup
            && !reflector::is_one(&self.target.addresses)
    }

    /// Refuses what the members of share groups are not made for here.
    fn usual(&self, action: &str) -> Result<(), DriverError> {
        if self.shares() {
            return Err(cannot(action, "consumers are members of a share group"));
        }
        Ok(())
    }

    /// One message produced to `topic` and read back from it.
    fn probe(&self, topic: &str) -> Result<(), DriverError> {
        const PROOF: &[u8] = b"brokerbench: one message, there and back";
        let Clients { log, clock, .. } = &self.clients;
        let deadline_ns = clock.now_ns() + PROBE.as_nanos() as u64;
        let mut publisher = KafkaPublisher::connect(&self.clients, &Topics::one(topic), 1)?;
        // A compacted topic takes none without.
        let key: &[u8] = if self.cell.message.key.is_some() { PROOF } else { &[] };
        publisher.submit(Outgoing { slot: 0, key, payload: PROOF, ..Outgoing::default() })?;
        let mut completions = Vec::new();
        publisher.wait(deadline_ns, &mut completions)?;
        match completions.first().map(|completion| completion.outcome) {
            Some(Outcome::Acked) => {}
            Some(_) => {
                return Err(refused("the first message", format!("{:?}", publisher.failures())));
            }
            None => return Err(timed_out(&log.explain("the first message"), PROBE)),
        }
        let mut seen = false;
        // Without acknowledgement the message may still be on its way: look again.
        while !seen {
            let mut sink = |payload: &[u8]| seen |= payload == PROOF;
            let source = audit::AuditSource { topic, partitions: 1, ..self.source() };
            audit::read(&source, ReplayFrom::Beginning, deadline_ns, &mut sink)?;
            if clock.now_ns() > deadline_ns {
                return Err(timed_out(&log.explain("reading back the first message"), PROBE));
            }
        }
        Ok(())
    }
}

impl Driver for KafkaDriver {
    fn system(&self) -> System {
        self.cell.config.system
    }

    fn look(&self) -> Result<(), DriverError> {
        match self.cell.config.existing() {
            Some(topic) => self.find(topic).map(drop),
            None => self.would_be_made(),
        }
    }

    fn prepare(&self) -> Result<(), DriverError> {
        if self.cell.config.existing().is_some() {
            return self.take_up();
        }
        let (name, topic) = (self.target.name.as_str(), &self.cell.config.topic);
        // The probe has a topic of its own, so that the cell's counts stay clean.
        let probe = format!("{name}-probe");
        let single = Topic { partitions: 1, ..topic.clone() };
        let (admin, topics) = (self.admin()?, self.topics());
        let own = topics.names().iter().map(|name| (name.as_str(), topic));
        for (name, topic) in std::iter::once((probe.as_str(), &single)).chain(own) {
            match reflector::make_topic(&self.target.addresses, name, topic.partitions) {
                Some(made) => made?,
                None => admin.make_topic(name, topic)?,
            }
        }
        self.probe(&probe)?;
        if !reflector::is_one(&self.target.addresses)
            && let Err(why) = admin.delete_topics(&[&probe])
        {
            // There are clusters on which none may be deleted: a nuisance, told at the end.
            self.clients.log.add(&why.to_string());
        }
        Ok(())
    }

    fn partition_of(&self, key: &[u8], partitions: u16) -> u16 {
        let topics = self.cell.config.topics.max(1);
        let (topic, each) = (crc32c::crc32c(key) % u32::from(topics), partitions / topics);
        // Each key has a topic of its own; where in it, the client says.
        topic as u16 * each + partition_of(&self.clients.settings.partitioner, key, each)
    }

    fn publisher(&self, producer: u16) -> Result<Box<dyn Publisher>, DriverError> {
        let (clients, topics) = (&self.clients, &self.topics());
        let connections = self.cell.load.connections;
        Ok(Box::new(match self.cell.config.transaction {
            Some(plan) => {
                KafkaPublisher::transactional(clients, topics, (producer, connections), plan)?
            }
            None => KafkaPublisher::connect(clients, topics, connections)?,
        }))
    }

    /// Outside of every transaction.
    fn probe_publisher(&self, limit: Duration) -> Result<Box<dyn Publisher>, DriverError> {
        Ok(Box::new(KafkaPublisher::probe_publisher(limit, &self.clients, &self.topics())?))
    }

    fn subscriber(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<Box<dyn Subscriber>, DriverError> {
        if !self.shares() {
            return Ok(Box::new(self.join(&self.clients, subscription, consumer)?));
        }
        let (group, batch) = (self.group(subscription), self.cell.config.consume.batch);
        let topic = &self.target.name;
        Ok(Box::new(ShareSubscriber::join(&self.clients, topic, &group, batch)?))
    }

    fn audit(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        let told = self.told().ok().and_then(|(_, topic)| topic.get("cleanup.policy"));
        if told.is_some_and(|policy| policy.contains("compact")) {
            let because = "a compacted topic keeps the newest message of each key alone";
            return Err(cannot("read back every message", because));
        }
        let (mut any_trimmed, mut all_unreadable) = (false, Vec::new());
        for topic in self.topics().names() {
            let source = audit::AuditSource { topic, ..self.source() };
            let found = audit::read(&source, ReplayFrom::Beginning, deadline_ns, sink)?;
            if let Audit::Retains { trimmed, unreadable } = found {
                any_trimmed |= trimmed;
                all_unreadable.extend(unreadable);
            }
        }
        Ok(Audit::Retains { trimmed: any_trimmed, unreadable: all_unreadable })
    }

    fn large(&self, client: LargeClient) -> Result<Box<dyn LargeMessages>, DriverError> {
        let topic = &self.target.name;
        Ok(match client {
            LargeClient::Usual => {
                Box::new(large::KafkaLarge::connect(&self.clients, self.cell.message.codec, topic)?)
            }
            LargeClient::Second if self.cell.config.nodes > 1 => {
                return Err(cannot("be asked by the second client", "it speaks to one node"));
            }
            LargeClient::Second => {
                Box::new(large_socket::SocketLarge::connect(&self.clients, topic)?)
            }
        })
    }

    fn survives(&self) -> Survives {
        let nothing = Entries::new();
        let told = self.told().map_or(&nothing, |(_, topic)| topic);
        survives(told, &self.clients.settings, self.shares())
    }

    fn acknowledges(&self) -> bool {
        self.clients.settings.acks != "0"
    }

    fn describe(&self) -> Result<Description, DriverError> {
        let mut description = Description {
            broker_version: MOCK.into(),
            client_version: if self.shares() {
                format!("{}; consumers: brokerbench's own, of share groups", client_version())
            } else {
                client_version()
            },
            client_config: self.clients.settings.effective(),
            ..Description::default()
        };
        if !reflector::is_one(&self.target.addresses) {
            (description.broker_config, description.topic_config) = self.told()?.clone();
            // The protocol tells features, not releases; who started the broker knows better.
            let name = if self.target.access.is_ours() { KAFKA } else { self.admin()?.product() };
            description.broker_version = format!("{name} (version not told by the broker)");
        }
        Ok(description)
    }

    fn toll(&self) -> BTreeMap<String, u64> {
        let Clients { publishing, consuming, .. } = &self.clients;
        [
            ("ms for which a quota held producers back".to_owned(), publishing.ms()),
            ("ms for which a quota held consumers back".to_owned(), consuming.ms()),
        ]
        .into()
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        if reflector::is_one(&self.target.addresses) {
            return Ok(());
        }
        let admin = self.admin()?;
        let groups: Vec<_> = (0..self.cell.load.subscriptions)
            .map(|subscription| self.group(subscription))
            .collect();
        admin.delete_groups(&groups.iter().map(String::as_str).collect::<Vec<_>>());
        if self.cell.config.existing().is_some() {
            return Ok(());
        }
        let (topics, probe) = (self.topics(), format!("{}-probe", self.target.name));
        let names = topics.names().iter().chain([&probe]);
        admin.delete_topics(&names.map(String::as_str).collect::<Vec<_>>())
    }

    fn counted(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<WatchedSubscriber<Requests>, DriverError> {
        self.usual("count requests")?;
        let clients = Clients { settings: self.clients.settings.telling(), ..self.clients.clone() };
        Ok(self.join(&clients, subscription, consumer)?.watched())
    }

    fn stalled(&self, _: u16) -> Result<WatchedSubscriber<HeldForConsumer>, DriverError> {
        self.usual("stall a consumer")?;
        stall::start(self)
    }

    fn replay(&self) -> Result<&dyn Replay, DriverError> {
        self.usual("read again")?;
        Ok(self)
    }

    fn work(&self, terms: WorkTerms) -> Result<Box<dyn WorkQueue + '_>, DriverError> {
        if self.shares() {
            return Ok(Box::new(share_work::ShareWork::new(self, terms)?));
        }
        Ok(Box::new(work::KafkaWork::new(self, terms)?))
    }

    fn cluster(&self) -> Result<Box<dyn ClusterView>, DriverError> {
        let partitions = self.cell.config.topic.partitions;
        Ok(Box::new(cluster::KafkaCluster { target: self.target.clone(), partitions }))
    }

    fn board(&self, name: &str) -> Result<Box<dyn Board>, DriverError> {
        Ok(Box::new(board::KafkaBoard::open(self, name)?))
    }

    fn cache(&self) -> Result<Box<dyn CacheClient>, DriverError> {
        Err(cannot(
            "look a value up by its key",
            "a topic is read in order; it takes a store beside it",
        ))
    }
}
