//! A cell's Redis: what [`Driver`] asks, handed to whoever does it.

use super::capability::cluster::RedisCluster;
use super::capability::{audit, cache, large, requests, stall, work};
use super::control::{self, ControlConnection, ServerInfo};
use super::endpoint::Endpoint;
use super::limits::{CLOSE, PROBE, RETRY};
use super::load::publisher::RedisPublisher;
use super::load::resilient::{ResilientPublisher, patiently};
use super::primary::Primary;
use super::primitive::{self, Primitive};
use super::redis_rs::RedisRsPublisher;
use crate::driver::capability::{CacheClient, ClusterView, CountedSubscriber, Replay, StalledSubscriber};
use crate::driver::work::WorkQueue;
use crate::driver::{
    Audit, Driver, DriverError, Incoming, LargeClient, LargeMessages, Outgoing, Publisher, Subscriber, Target,
};
use crate::model::System;
use crate::result::{Description, Survives};
use crate::scenario::{Cell, ClientLibrary, Reply};
use crate::units::Span;
use crate::wire::redis as resp;
use std::sync::OnceLock;
use std::time::Duration;

pub fn open(cell: &Cell, target: Target) -> Result<Box<dyn Driver>, DriverError> {
    let system = cell.config.system;
    let refuse = |cause: &str| DriverError::Refused { system, action: "open".into(), cause: cause.into() };
    let address = target.addresses.first().ok_or_else(|| refuse("no address of a Redis server is given"))?;
    let endpoint = Endpoint::parse(system, address)?.through(&target.access);
    let primitive = primitive::of(&cell.config).ok_or_else(|| refuse("it is no system on Redis"))?;
    if let Some(why) = primitive.refuses(cell) {
        return Err(refuse(why));
    }
    let keys = (0..cell.config.keys.max(1)).map(|index| format!("{}-{index}", target.name)).collect();
    let primary = Primary::new(endpoint.clone(), target.routes.clone())?;
    Ok(Box::new(RedisDriver {
        cell: cell.clone(),
        primitive,
        target,
        endpoint,
        primary,
        keys,
        server: OnceLock::new(),
    }))
}

pub struct RedisDriver {
    pub(super) cell: Cell,
    pub(super) primitive: &'static dyn Primitive,
    pub(super) target: Target,
    /// Where it all begins; where the primary is now, `primary` tells.
    pub(super) endpoint: Endpoint,
    pub(super) primary: Primary,
    /// Names of the channels, streams or lists.
    pub(super) keys: Vec<String>,
    /// Read once, by the first who asks while the server answers: a later fault must not change what was measured.
    pub(super) server: OnceLock<ServerInfo>,
}

impl RedisDriver {
    /// The publishing command of each stream in words, up to its last argument, the payload.
    fn publishing(&self) -> Vec<Vec<String>> {
        self.keys.iter().map(|key| self.primitive.publish(key, self.cell.config.maxlen)).collect()
    }

    /// The same, encoded.
    pub(super) fn commands(&self) -> Vec<Vec<u8>> {
        let encode = |words: Vec<String>| {
            let mut command = vec![];
            resp::array_header(&mut command, words.len() + 1);
            words.iter().for_each(|word| resp::bulk_string(&mut command, word.as_bytes()));
            command
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
        let processing = |key: &String| {
            let key = key.clone();
            (0..consumers).map(move |consumer| self.processing_list(&key, consumer)).collect::<Vec<_>>()
        };
        self.keys.iter().cloned().chain(self.keys.iter().flat_map(processing)).collect()
    }

    pub(super) fn cannot(&self, action: &str, because: &str) -> DriverError {
        DriverError::Cannot { system: self.system(), action: action.into(), because: because.into() }
    }

    pub(super) fn reliable(&self) -> bool {
        self.primitive.has_processing_lists()
    }

    pub(super) fn outside(&self) -> RedisCluster {
        RedisCluster::new(self.system(), &self.target, self.cell.config.nodes)
    }

    pub(super) fn server(&self, control: &mut ControlConnection) -> Result<&ServerInfo, DriverError> {
        if self.server.get().is_none() {
            let _ = self.server.set(control.server(&self.cell.config.broker)?);
        }
        self.server.get().ok_or_else(|| self.endpoint.refused("INFO", "no answer was kept"))
    }

    /// A producer that ends with its connections, through the library that the cell names.
    fn plain_publisher(&self, connections: u16) -> Result<Box<dyn Publisher>, DriverError> {
        let (endpoint, clock) = (self.primary.find()?, self.target.clock);
        if self.cell.config.library() == ClientLibrary::RedisRs {
            let command = |words: Vec<String>| {
                let mut command = redis::Cmd::new();
                command.arg(words);
                command
            };
            let commands = self.publishing().into_iter().map(command).collect();
            return Ok(Box::new(RedisRsPublisher::connect(&endpoint, clock, connections, commands)?));
        }
        let (batch, reply) = (self.cell.load.batch, self.cell.config.reply);
        let commands = self.commands();
        Ok(Box::new(RedisPublisher::connect(&endpoint, clock, connections, batch, commands, reply)?))
    }

    /// The most messages that one request may bring.
    pub(super) fn batch(&self) -> u32 {
        self.cell.config.consume.batch.max(1)
    }

    /// The only list, and that into which one consumer moves what it is working on.
    pub(super) fn first_list(&self, consumer: u16) -> (String, String) {
        let key = self.keys.first().cloned().unwrap_or_default();
        let processing = self.processing_list(&key, consumer);
        (key, processing)
    }

    /// A way to read back what is stored, without taking it.
    pub(super) fn reader(&self, deadline_ns: u64) -> Result<audit::AuditReader, DriverError> {
        audit::AuditReader::connect(&self.endpoint, self.target.clock, deadline_ns, self.cell.message.size)
    }

    /// A way to ask the primary. Where clients outlive their connections, it is tried for as long as they would.
    pub(super) fn control(&self, limit: Duration) -> Result<ControlConnection, DriverError> {
        let deadline = self.cell.load.deadline.map_or(Duration::ZERO, |span| Duration::from_nanos(span.nanos()));
        patiently(deadline.min(limit), || ControlConnection::connect(&self.primary.find()?))
    }

    /// One message through every stream, from a producer to a consumer.
    pub(super) fn probe(&self) -> Result<(), DriverError> {
        let clock = self.target.clock;
        let mut subscriber = self.subscriber(0, 0)?;
        let mut publisher = self.plain_publisher(1)?;
        for stream in 0..self.keys.len() as u16 {
            publisher.submit(Outgoing { slot: stream.into(), connection: 0, stream, payload: b"brokerbench probe" })?;
        }
        publisher.flush()?;
        let deadline = clock.now_ns() + PROBE.as_nanos() as u64;
        let (mut completions, mut received) = (vec![], 0);
        while completions.len() < self.keys.len() && clock.now_ns() < deadline {
            publisher.wait(deadline, &mut completions)?;
        }
        if let Some((why, _)) = publisher.failures().first_key_value() {
            return Err(self.endpoint.refused("publishing a probe message", why));
        }
        while received < self.keys.len() && clock.now_ns() < deadline {
            subscriber.receive(deadline, &mut |_: Incoming<'_>| received += 1)?;
        }
        subscriber.close()?;
        if received < self.keys.len() {
            return Err(self.endpoint.timed_out("consuming a probe message", PROBE));
        }
        Ok(())
    }
}

impl Driver for RedisDriver {
    fn system(&self) -> System {
        self.cell.config.system
    }

    fn prepare(&self) -> Result<(), DriverError> {
        let mut control = self.control(RETRY)?;
        self.server(&mut control)?.check(&self.endpoint)?;
        control.delete(&self.target.name, &self.every_key())?;
        let probed = self.probe();
        // The probe must not be counted, nor its consumer group be joined.
        control.delete(&self.target.name, &self.every_key())?;
        probed
    }

    fn publisher(&self, _: u16) -> Result<Box<dyn Publisher>, DriverError> {
        let (load, clock, reply) = (&self.cell.load, self.target.clock, self.cell.config.reply);
        let Some(deadline) = load.deadline else { return self.plain_publisher(load.connections) };
        let (batch, commands) = (load.batch, self.commands());
        let (primary, connections) = (&self.primary, load.connections);
        Ok(Box::new(ResilientPublisher::connect(primary, clock, connections, batch, commands, reply, deadline)?))
    }

    /// It asks for a reply whatever the load does: that the kernel takes its bytes says nothing of the server.
    fn probe_publisher(&self, limit: Duration) -> Result<Box<dyn Publisher>, DriverError> {
        let connection = self.primary.connect_within(limit)?;
        let (endpoint, clock) = (connection.endpoint.clone(), self.target.clock);
        Ok(Box::new(RedisPublisher::over(&endpoint, vec![connection], clock, 1, self.commands(), Reply::On)?))
    }

    fn subscriber(&self, subscription: u16, consumer: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        if let Some(deadline) = self.cell.load.deadline {
            return self.primitive.resilient_subscriber(self, subscription, consumer, deadline);
        }
        match self.cell.config.library() {
            ClientLibrary::RedisRs => self.primitive.library_subscriber(self, subscription, consumer),
            ClientLibrary::Direct => self.primitive.subscriber(self, subscription, consumer),
        }
    }

    fn audit(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        let (clock, size) = (self.target.clock, self.cell.message.size);
        let mut audit = match self.cell.load.deadline {
            None => audit::AuditReader::connect(&self.primary.find()?, clock, deadline_ns, size)?,
            Some(_) => audit::AuditReader::connect_patiently(&self.primary, clock, deadline_ns, size)?,
        };
        self.primitive.audit(self, &mut audit, sink)
    }

    fn large(&self, client: LargeClient) -> Result<Box<dyn LargeMessages>, DriverError> {
        if client == LargeClient::Second {
            return Err(DriverError::Cannot {
                system: self.system(),
                action: "be asked by a second client".into(),
                because: "the first one has no limits of its own".into(),
            });
        }
        let command = self.commands().swap_remove(0);
        Ok(Box::new(large::RedisLarge::connect(
            &self.endpoint,
            self.target.clock,
            self.primitive.large(&self.keys[0]),
            command,
        )?))
    }

    fn survives(&self) -> Survives {
        let read = || self.control(Duration::ZERO).ok().and_then(|mut control| self.server(&mut control).ok());
        let settings = self.server.get().or_else(read).map_or(&self.cell.config.broker, |server| &server.settings);
        control::survives(&self.cell, self.primitive, settings)
    }

    fn acknowledges(&self) -> bool {
        self.primitive.acknowledgement().is_ok() && self.cell.config.reply == Reply::On
    }

    fn describe(&self) -> Result<Description, DriverError> {
        let mut control = self.control(RETRY)?;
        let mut description =
            control::describe(&self.cell, self.primitive, &self.target.access, self.server(&mut control)?);
        description.broker_config.extend(self.outside().settings()?);
        Ok(description)
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        self.control(CLOSE)?.delete(&self.target.name, &self.every_key())
    }

    fn counted(&self, subscription: u16, consumer: u16) -> Result<Box<dyn CountedSubscriber>, DriverError> {
        Ok(Box::new(requests::RedisCounted::new(self.subscriber(subscription, consumer)?, &self.endpoint)?))
    }

    fn stalled(&self, subscription: u16) -> Result<Box<dyn StalledSubscriber>, DriverError> {
        stall::start(self, subscription)
    }

    fn replay(&self) -> Result<&dyn Replay, DriverError> {
        Ok(self)
    }

    fn work(&self, pause: Span) -> Result<Box<dyn WorkQueue + '_>, DriverError> {
        Ok(Box::new(work::RedisWork::new(self, pause)?))
    }

    fn cluster(&self) -> Result<Box<dyn ClusterView>, DriverError> {
        Ok(Box::new(self.outside()))
    }

    fn cache(&self) -> Result<Box<dyn CacheClient>, DriverError> {
        Ok(Box::new(cache::RedisCache::connect(&self.endpoint, self.target.clock, &self.target.name)?))
    }
}
