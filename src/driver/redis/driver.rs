//! A cell's Redis: what [`Driver`] asks, handed to whoever does it.

use super::capability::audit::AuditReader;
use super::capability::cluster::RedisCluster;
use super::capability::{board, cache, large, requests, stall, work};
use super::control::{self, ServerInfo};
use super::endpoint::Endpoint;
use super::load::ConsumerPlace;
use super::load::connection::Connection;
use super::load::copies::CopiesWait;
use super::load::publisher::{RedisPublisher, silence};
use super::load::reconnect::Reconnect;
use super::load::resilient::{ResilientPublisher, ResilientSubscriber, RetryRules, patiently};
use super::load::switches::Switches;
use super::primary::Primary;
use super::primitive::{self, Primitive};
use super::redis_rs::RedisRsPublisher;
use super::survival;
use super::{CLOSE, PROBE, RETRY, SET_UP};
use crate::driver::capability::{
    Board, CacheClient, ClusterView, HeldForConsumer, Replay, ReplayFrom, Requests,
    WatchedSubscriber,
};
use crate::driver::packing::Unpacking;
use crate::driver::timeouts::request_timeout;
use crate::driver::work::{WorkQueue, WorkTerms};
use crate::driver::{
    Audit, Driver, DriverError, Incoming, LargeClient, LargeMessages, Outgoing, Publisher,
    Subscriber, Target, packing,
};
use crate::model::System;
use crate::result::{Description, Survives};
use crate::scenario::{Cell, ClientLibrary, Pacer, Reply};
use crate::units::Span;
use redis::Cmd;
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
    let keys =
        (0..cell.config.keys.max(1)).map(|index| format!("{}-{index}", target.name)).collect();
    let primary = Primary::new(endpoint, target.routes.clone())?;
    Ok(Box::new(RedisDriver {
        cell: cell.clone(),
        primitive,
        target,
        switches: match cell.load.deadline {
            Some(_) => Switches::listen(&primary.sentinels),
            None => Switches::default(),
        },
        primary,
        keys,
        server: OnceLock::new(),
    }))
}

pub struct RedisDriver {
    pub(super) cell: Cell,
    pub(super) primitive: &'static dyn Primitive,
    pub(super) target: Target,
    pub(super) primary: Primary,
    /// For clients that outlive their connections.
    switches: Switches,
    /// Names of the channels, streams or lists.
    pub(super) keys: Vec<String>,
    /// Read once, by the first who asks while the server answers: a later fault must not change
    /// what was measured.
    pub(super) server: OnceLock<ServerInfo>,
}

impl RedisDriver {
    /// The publishing command of each stream, up to its last argument, the payload.
    fn publishing(&self) -> Vec<Cmd> {
        self.keys.iter().map(|key| self.primitive.publish(key, self.cell.config.maxlen)).collect()
    }

    /// The same, encoded.
    pub(super) fn commands(&self) -> Vec<Vec<u8>> {
        const EMPTY: &[u8] = b"$0\r\n\r\n";
        // The number of arguments counts the payload: encoded is one that is empty, and cut off
        // again.
        let encode = |mut command: Cmd| {
            let mut bytes = command.arg("").get_packed_command();
            bytes.truncate(bytes.len() - EMPTY.len());
            bytes
        };
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
        RedisCluster { first: self.primary.clone(), wanted: self.cell.config.nodes.into() }
    }

    pub(super) fn server(&self, control: &mut Connection) -> Result<&ServerInfo, DriverError> {
        if self.server.get().is_none() {
            let _ = self.server.set(control.server()?);
        }
        self.server.get().ok_or_else(|| self.primary.endpoint.refused("INFO", "no answer was kept"))
    }

    /// A producer that ends with its connections, through the library that the cell names.
    fn plain_publisher(&self, connections: u16) -> Result<Box<dyn Publisher>, DriverError> {
        let (endpoint, clock) = (self.primary.find()?, self.target.clock);
        if self.cell.config.library() == ClientLibrary::RedisRs {
            let commands = self.publishing();
            return Ok(Box::new(RedisRsPublisher::connect(
                &endpoint,
                clock,
                connections,
                commands,
            )?));
        }
        let reply = self.cell.config.reply;
        let open = |_| {
            let mut connection = Connection::open(&endpoint)?;
            if reply == Reply::Off {
                silence(&mut connection)?;
            }
            Ok(connection)
        };
        let opened = (0..connections.max(1)).map(open).collect::<Result<_, _>>()?;
        Ok(Box::new(RedisPublisher::over(
            opened,
            clock,
            self.cell.load.batch,
            self.commands(),
            reply,
            CopiesWait::under(&self.cell.config, &self.cell.load).as_ref(),
        )?))
    }

    pub(super) fn place(&self, subscription: u16, consumer: u16) -> ConsumerPlace {
        ConsumerPlace {
            clock: self.target.clock,
            keys: self.keys.clone(),
            group: format!("g{subscription}"),
            consumer: format!("c{consumer}"),
            processing: self.processing_list(&self.keys[0], consumer),
            batch: self.cell.config.consume.batch.max(1),
            outlives: self.cell.load.deadline.is_some(),
        }
    }

    /// A connection that is ready to consume.
    pub(super) fn joined(
        &self,
        endpoint: &Endpoint,
        place: &ConsumerPlace,
    ) -> Result<Connection, DriverError> {
        let mut connection = Connection::open(endpoint)?;
        self.primitive.join(&mut connection, place, "$")?;
        match self.cell.load.pacer {
            Pacer::Spin => connection.spins = true,
            Pacer::Sleep => connection.nap()?,
        }
        Ok(connection)
    }

    /// A consumer over as many connections as it takes.
    fn outliving(
        &self,
        place: ConsumerPlace,
        patience: Span,
    ) -> Result<Box<dyn Subscriber>, DriverError> {
        let (primary, primitive, clock) = (self.primary.clone(), self.primitive, place.clock);
        let switches = self.switches.for_new_client();
        let dial = {
            let place = place.clone();
            move |from: &str| {
                let mut connection = primary.connect()?;
                primitive.join(&mut connection, &place, from)?;
                Ok(connection)
            }
        };
        let inner = primitive.consumer(patiently(SET_UP, || dial("$"))?, place);
        // A group that is gone was lost by the server, with or without entries. A new one at the
        // stream's end would skip what came since; from the oldest entry on, nothing is skipped and
        // some may come twice.
        let reconnect = Reconnect::new(move || dial("0"));
        Ok(Box::new(ResilientSubscriber::new(inner, reconnect, patience.nanos(), switches, clock)))
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
        let deadline = self
            .cell
            .load
            .deadline
            .map_or(Duration::ZERO, |span| Duration::from_nanos(span.nanos()));
        patiently(deadline.min(limit), || Connection::open(&self.primary.find()?))
    }

    /// One message through every stream, from a producer to a consumer.
    pub(super) fn probe(&self) -> Result<(), DriverError> {
        let clock = self.target.clock;
        let mut subscriber = self.subscriber(0, 0)?;
        let mut publisher = self.plain_publisher(1)?;
        for partition in 0..self.keys.len() as u16 {
            publisher.submit(Outgoing {
                slot: partition.into(),
                connection: 0,
                partition,
                payload: b"brokerbench probe",
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

    fn load_publisher(&self) -> Result<Box<dyn Publisher>, DriverError> {
        let (load, clock, reply) = (&self.cell.load, self.target.clock, self.cell.config.reply);
        let (Some(deadline), Some(patience)) = (load.deadline, request_timeout(load)) else {
            return self.plain_publisher(load.connections);
        };
        let rules = RetryRules {
            again: !self.primitive.at_most_once(),
            answers: reply == Reply::On,
            batch: load.batch.max(1),
            deadline_ns: deadline.nanos(),
            patience_ns: patience.nanos(),
        };
        let (connections, commands) = (load.connections, self.commands());
        Ok(Box::new(ResilientPublisher::connect(
            &self.primary,
            clock,
            connections,
            commands,
            rules,
            CopiesWait::under(&self.cell.config, load).as_ref(),
            self.switches.for_new_client(),
        )?))
    }

    fn load_subscriber(&self, place: ConsumerPlace) -> Result<Box<dyn Subscriber>, DriverError> {
        if let Some(patience) = request_timeout(&self.cell.load) {
            return self.outliving(place, patience);
        }
        let endpoint = self.primary.find()?;
        match self.cell.config.library() {
            ClientLibrary::RedisRs => self.primitive.library_consumer(&endpoint, place),
            ClientLibrary::Direct => {
                Ok(self.primitive.consumer(self.joined(&endpoint, &place)?, place))
            }
        }
    }
}

impl Driver for RedisDriver {
    fn system(&self) -> System {
        self.cell.config.system
    }

    fn prepare(&self) -> Result<(), DriverError> {
        let mut control = self.control(RETRY)?;
        let server = self.server(&mut control)?;
        server.check(&self.primary.endpoint)?;
        if self.cell.config.wait_aof.is_some() {
            server.check_for_waitaof(&self.primary.endpoint)?;
        }
        control.delete(&self.target.name, &self.every_key())?;
        let probed = self.probe();
        // The probe must not be counted, nor its consumer group be joined.
        control.delete(&self.target.name, &self.every_key())?;
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
        let one =
            RedisPublisher::over(vec![connection], clock, 1, commands, Reply::On, wait.as_ref())?;
        packing::packing(&self.cell, Box::new(one))
    }

    fn subscriber(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<Box<dyn Subscriber>, DriverError> {
        let inner = self.load_subscriber(self.place(subscription, consumer))?;
        packing::unpacking(&self.cell, inner)
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
            (self.primitive.large(&self.keys[0]), self.commands().swap_remove(0));
        Ok(Box::new(large::RedisLarge::connect(
            &self.primary.endpoint,
            self.target.clock,
            reading,
            command,
        )?))
    }

    fn survives(&self) -> Survives {
        let ask = || self.server(&mut self.control(Duration::ZERO).ok()?).ok().cloned();
        let server = self.server.get().cloned().or_else(ask).unwrap_or_default();
        survival::survives(&self.cell, self.primitive, &server)
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
        Ok(description)
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        self.control(CLOSE)?.delete(&self.target.name, &self.every_key())
    }

    fn counted(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<WatchedSubscriber<Requests>, DriverError> {
        requests::watched(self.subscriber(subscription, consumer)?, &self.primary.endpoint)
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
        Ok(Box::new(cache::RedisCache::connect(
            &self.primary.endpoint,
            self.target.clock,
            &self.target.name,
        )?))
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
