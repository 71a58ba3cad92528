//! A cell's Redis: what [`Driver`] asks, handed to whoever does it.

use super::capability::audit::AuditReader;
use super::capability::cluster::RedisCluster;
use super::capability::{board, cache, large, requests, stall, work};
use super::control::{self, ServerInfo};
use super::endpoint::Endpoint;
use super::load::command::PublishCommand;
use super::load::connection::Connection;
use super::load::copies::CopiesWait;
use super::load::crowd::RedisCrowd;
use super::load::publisher::RedisPublisher;
use super::load::resilient::patiently;
use super::load::switches::Switches;
use super::load::{ConsumerPlace, Lanes};
use super::primary::Primary;
use super::primitive::{self, Primitive};
use super::slots;
use super::survival;
use super::toll;
use super::{CLOSE, PROBE, RETRY};
use crate::driver::capability::{
    Board, CacheClient, ClusterView, HeldForConsumer, Replay, ReplayFrom, Requests,
    WatchedSubscriber,
};
use crate::driver::packing::Unpacking;
use crate::driver::work::{WorkQueue, WorkTerms};
use crate::driver::{
    Audit, Crowd, Driver, DriverError, Incoming, LargeClient, LargeMessages, Outgoing, Publisher,
    Subscriber, Target, packing,
};
use crate::model::System;
use crate::result::words::name;
use crate::result::{Description, Survives};
use crate::scenario::{Cell, Reply};
use redis::Cmd;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

pub fn open(cell: &Cell, target: Target) -> Result<Box<dyn Driver>, DriverError> {
    let system = cell.config.system;
    let refuse =
        |cause: &str| DriverError::Refused { system, action: "open".into(), cause: cause.into() };
    let address =
        target.addresses.first().ok_or_else(|| refuse("no address of a Redis server is given"))?;
    let endpoint = Endpoint::parse(system, address)?.through(&target.access);
    let primitive =
        primitive::of(&cell.config).ok_or_else(|| refuse("it is no system on Redis"))?;
    if let Some(why) = primitive.refuses(cell) {
        return Err(refuse(why));
    }
    let shards = cell.config.cluster.map(|cluster| cluster.shards);
    let keys = match cell.config.existing() {
        Some(stream) => vec![stream.to_owned()],
        None => slots::keys(&target.name, cell.config.keys.max(1), shards),
    };
    let mut primary = Primary::new(endpoint, target.routes.clone())?;
    if shards.is_some() {
        primary = primary.in_cluster(&target.addresses)?.of(&keys[0]);
    }
    let switches = match cell.load.deadline {
        Some(_) => Switches::listen(&primary.sentinels, target.routes.primary()),
        None => Switches::default(),
    };
    Ok(Box::new(RedisDriver {
        cell: cell.clone(),
        primitive,
        target,
        switches,
        primary,
        keys,
        server: OnceLock::new(),
        last: OnceLock::new(),
    }))
}

pub struct RedisDriver {
    pub(super) cell: Cell,
    pub(super) primitive: &'static dyn Primitive,
    pub(super) target: Target,
    /// Who takes the writes; of a Redis Cluster, those of the first stream.
    pub(super) primary: Primary,
    /// For clients that outlive their connections.
    pub(super) switches: Switches,
    /// Names of the channels, streams or lists.
    pub(super) keys: Vec<String>,
    /// Read once, by the first who asks while the server answers: a later fault must not change
    /// what was measured.
    pub(super) server: OnceLock<ServerInfo>,
    /// The last entry of a stream that was there already.
    pub(super) last: OnceLock<String>,
}

impl RedisDriver {
    /// The publishing command of each stream, up to its last argument, the payload.
    pub(super) fn publishing(&self) -> Vec<Cmd> {
        self.keys.iter().map(|key| self.primitive.publish(key, &self.cell)).collect()
    }

    /// The same, encoded.
    pub(super) fn commands(&self) -> Vec<PublishCommand> {
        let apart = self.primitive.has_fields() && self.cell.message.lines.is_some();
        let encode = |command: Cmd| PublishCommand::of(command, apart);
        self.publishing().into_iter().map(encode).collect()
    }

    /// The list into which one consumer moves what it is working on.
    pub(super) fn processing_list(&self, key: &str, consumer: u16) -> String {
        format!("{key}-processing-0-{consumer}")
    }

    /// Every key of this cell, processing lists included, whether it exists or not.
    pub(super) fn every_key(&self) -> Vec<String> {
        let consumers = if self.reliable() { self.cell.load.consumers.max(1) } else { 0 };
        let processing = self.keys.iter().flat_map(|key| {
            (0..consumers).map(move |consumer| self.processing_list(key, consumer))
        });
        self.keys.iter().cloned().chain(processing).collect()
    }

    pub(super) fn reliable(&self) -> bool {
        self.primitive.has_processing_lists()
    }

    fn outside(&self) -> RedisCluster {
        let (first, wanted) = (self.primary.clone(), self.cell.config.nodes.into());
        RedisCluster { first, keys: self.keys.clone(), wanted }
    }

    pub(super) fn server(&self, control: &mut Connection) -> Result<&ServerInfo, DriverError> {
        if self.server.get().is_none() {
            let _ = self.server.set(control.server()?);
        }
        self.server.get().ok_or_else(|| self.primary.endpoint.refused("INFO", "no answer was kept"))
    }

    /// Refuses another kind of server than the scenario says: one that runs already is as it is,
    /// and so is an image that a variable names.
    fn check_kind(&self, server: &ServerInfo) -> Result<(), DriverError> {
        let refuse = |cause: String| Err(self.primary.endpoint.refused("prepare", cause));
        let ServerInfo { name: found, version, .. } = server;
        let wanted = self.cell.config.server.map(|wanted| name(&wanted));
        if let Some(wanted) = wanted.filter(|wanted| !wanted.eq_ignore_ascii_case(found)) {
            return refuse(format!(
                "{found} {version} answers, and the scenario says `server: {wanted}`: remove the \
                 key, or name a server of that kind"
            ));
        }
        if server.clustered && !self.primary.is_of_cluster() {
            let cause = "it is a node of a Redis Cluster: write `nodes: {shards: 3}` under the \
                         label, or as many shards as it has";
            return refuse(cause.into());
        }
        Ok(())
    }

    /// A way to read back what is stored, without taking it.
    pub(super) fn reader(&self, deadline_ns: u64) -> Result<AuditReader, DriverError> {
        let left = self.target.clock.until(deadline_ns);
        AuditReader::connect(
            &self.primary,
            self.cell.load.deadline.is_some(),
            left,
            self.cell.message.size,
        )
    }

    /// A way to ask the primary. Where clients outlive their connections, it is tried for as long
    /// as they would.
    pub(super) fn control(&self, limit: Duration) -> Result<Connection, DriverError> {
        self.control_of(&self.primary, limit)
    }

    pub(super) fn control_of(
        &self,
        primary: &Primary,
        limit: Duration,
    ) -> Result<Connection, DriverError> {
        let deadline = self
            .cell
            .load
            .deadline
            .map_or(Duration::ZERO, |span| Duration::from_nanos(span.nanos()));
        patiently(deadline.min(limit), || Connection::open(&primary.find()?))
    }

    /// One message through every stream, from a producer to a consumer.
    pub(super) fn probe(&self) -> Result<(), DriverError> {
        let clock = self.target.clock;
        let mut subscriber = self.subscriber(0, 0)?;
        let mut publisher = self.plain_publisher(1)?;
        for partition in 0..self.keys.len() as u16 {
            publisher.submit(Outgoing {
                slot: partition.into(),
                partition,
                payload: b"brokerbench probe",
                ..Outgoing::default()
            })?;
        }
        publisher.flush()?;
        let deadline = clock.now_ns() + PROBE.as_nanos() as u64;
        let (mut completions, mut received) = (vec![], 0);
        while completions.len() < self.keys.len() && clock.now_ns() < deadline {
            publisher.wait(deadline, &mut completions)?;
        }
        if let Some((why, _)) = publisher.failures().first_key_value() {
            return Err(self.primary.endpoint.refused("publishing a probe message", why));
        }
        while received < self.keys.len() && clock.now_ns() < deadline {
            subscriber.receive(deadline, &mut |_: Incoming<'_>| received += 1)?;
        }
        subscriber.close()?;
        if received < self.keys.len() {
            return Err(self.primary.endpoint.timed_out("consuming a probe message", PROBE));
        }
        Ok(())
    }
}

impl Driver for RedisDriver {
    fn system(&self) -> System {
        self.cell.config.system
    }

    fn look(&self) -> Result<(), DriverError> {
        let mut control = self.control(RETRY)?;
        self.check_kind(self.server(&mut control)?)?;
        self.check_shards()?;
        match self.cell.config.existing() {
            Some(stream) => self.find(&mut control, stream),
            None => Ok(()),
        }
    }

    fn prepare(&self) -> Result<(), DriverError> {
        let mut control = self.control(RETRY)?;
        let server = self.server(&mut control)?;
        server.check(&self.primary.endpoint, &self.cell)?;
        self.check_kind(server)?;
        self.check_shards()?;
        if let Some(stream) = self.cell.config.existing() {
            return self.take_up(&mut control, stream);
        }
        self.delete(&mut control, RETRY)?;
        let probed = self.probe();
        // The probe must not be counted, nor its consumer group be joined.
        self.delete(&mut control, RETRY)?;
        probed
    }

    fn publisher(&self, _: u16) -> Result<Box<dyn Publisher>, DriverError> {
        packing::packing(&self.cell, self.load_publisher()?)
    }

    /// It asks for a reply whatever the load does: that the kernel takes its bytes says nothing of
    /// the server.
    fn probe_publisher(&self, limit: Duration) -> Result<Box<dyn Publisher>, DriverError> {
        let connection = self.primary.connect_within(limit)?;
        let (clock, commands) = (self.target.clock, self.commands());
        let wait = CopiesWait::of(&self.cell.config, limit / 2);
        let (lanes, wait) = (Lanes::together(), wait.as_ref());
        let one =
            RedisPublisher::over(vec![connection], lanes, clock, 1, commands, Reply::On, wait)?;
        packing::packing(&self.cell, Box::new(one))
    }

    fn subscriber(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<Box<dyn Subscriber>, DriverError> {
        let place = self.place(subscription, consumer);
        let inner = self.load_subscriber(place, consumer, self.first())?;
        packing::unpacking(&self.cell, inner)
    }

    /// A group that is gone was lost by the server: a new one skips nothing that came since.
    fn rejoin(&self, subscription: u16, consumer: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        let place = ConsumerPlace { outlives: true, ..self.place(subscription, consumer) };
        packing::unpacking(&self.cell, self.load_subscriber(place, consumer, self.oldest())?)
    }

    fn crowd(&self, subscriptions: Range<u16>, again: bool) -> Result<Box<dyn Crowd>, DriverError> {
        let from = if again { self.oldest() } else { self.first() };
        let endpoint = self.primary.find()?;
        let join = |subscription| -> Result<_, DriverError> {
            let place =
                ConsumerPlace { crowded: true, outlives: again, ..self.place(subscription, 0) };
            let mut connection = Connection::open(&endpoint)?;
            self.primitive.join(&mut connection, &place, from)?;
            Ok(self.primitive.consumer(connection, place))
        };
        let consumers = subscriptions.map(join).collect::<Result<Vec<_>, _>>()?;
        let (unpacking, clock) = (Unpacking::of(&self.cell)?, self.target.clock);
        Ok(Box::new(RedisCrowd::new(endpoint, consumers, unpacking, clock)?))
    }

    fn audit(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        let mut unpacking = Unpacking::of(&self.cell)?;
        let mut sink = |packed: &[u8]| sink(unpacking.unpack(packed));
        self.primitive.audit(self, &mut self.reader(deadline_ns)?, &mut sink)
    }

    fn large(&self, client: LargeClient) -> Result<Box<dyn LargeMessages>, DriverError> {
        if client == LargeClient::Second {
            return Err(self
                .primary
                .endpoint
                .cannot("be asked by a second client", "the first one has no limits of its own"));
        }
        let (reading, command) =
            (self.primitive.large(&self.keys[0]), self.commands().swap_remove(0).into_head());
        let (server, clock) = (self.primary.find()?, self.target.clock);
        Ok(Box::new(large::RedisLarge::connect(&server, clock, reading, command)?))
    }

    fn survives(&self) -> Survives {
        let ask = || self.server(&mut self.control(Duration::ZERO).ok()?).ok().cloned();
        let server = self.server.get().cloned().or_else(ask).unwrap_or_default();
        let address = self.primary.endpoint.address();
        survival::documented(&self.cell, self.primitive, &address)
            .unwrap_or_else(|| survival::survives(&self.cell, self.primitive, &server))
    }

    fn acknowledges(&self) -> bool {
        self.primitive.acknowledgement().is_ok() && self.cell.config.reply == Reply::On
    }

    fn describe(&self) -> Result<Description, DriverError> {
        let mut control = self.control(RETRY)?;
        let mut description = control::describe(
            &self.cell,
            self.primitive,
            &self.target.access,
            self.server(&mut control)?,
        );
        description.broker_config.extend(self.outside().settings()?);
        self.describe_spread(&mut description)?;
        Ok(description)
    }

    fn toll(&self) -> BTreeMap<String, u64> {
        toll::of(&self.primary)
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        let mut control = self.control(CLOSE)?;
        if let Some(stream) = self.cell.config.existing() {
            return self.leave(&mut control, stream);
        }
        self.delete(&mut control, CLOSE)
    }

    fn counted(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<WatchedSubscriber<Requests>, DriverError> {
        let servers = self.servers_of(subscription, consumer)?;
        requests::watched(self.subscriber(subscription, consumer)?, &servers)
    }

    fn stalled(
        &self,
        subscription: u16,
    ) -> Result<WatchedSubscriber<HeldForConsumer>, DriverError> {
        stall::start(self, subscription)
    }

    fn replay(&self) -> Result<&dyn Replay, DriverError> {
        Ok(self)
    }

    fn work(&self, terms: WorkTerms) -> Result<Box<dyn WorkQueue + '_>, DriverError> {
        Ok(Box::new(work::RedisWork::new(self, terms)?))
    }

    fn cluster(&self) -> Result<Box<dyn ClusterView>, DriverError> {
        Ok(Box::new(self.outside()))
    }

    fn board(&self, name: &str) -> Result<Box<dyn Board>, DriverError> {
        Ok(Box::new(board::RedisBoard::open(self, name)?))
    }

    fn cache(&self) -> Result<Box<dyn CacheClient>, DriverError> {
        let (clock, name) = (self.target.clock, &self.target.name);
        Ok(Box::new(cache::RedisCache::connect(&self.primary, clock, name)?))
    }
}

/// Streams keep, Lists keep until taken, Pub/Sub keeps nothing.
impl Replay for RedisDriver {
    fn join_late(&self, subscription: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        self.primitive.rewind(self, subscription, false)?;
        self.subscriber(subscription, 0)
    }

    fn rewind(&self, subscription: u16) -> Result<(), DriverError> {
        self.primitive.rewind(self, subscription, true)
    }

    fn read_from(
        &self,
        from: ReplayFrom,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError> {
        self.primitive.read(self, &mut self.reader(deadline_ns)?, from, sink)
    }
}
