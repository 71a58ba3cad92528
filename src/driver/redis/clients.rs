//! How a cell's producers and consumers connect, and how a Redis Cluster spreads them: to whom each
//! leads, and which stream lies where. Anywhere else all of it goes to one server.

use super::SET_UP;
use super::driver::RedisDriver;
use super::endpoint::Endpoint;
use super::load::connection::Connection;
use super::load::copies::CopiesWait;
use super::load::merged::MergedSubscriber;
use super::load::publisher::{RedisPublisher, silence};
use super::load::reconnect::Reconnect;
use super::load::resilient::{ResilientPublisher, ResilientSubscriber, RetryRules, patiently};
use super::load::{ConsumerPlace, Lanes, RedisConsumer};
use super::primary::Primary;
use super::redis_rs::RedisRsPublisher;
use super::slots;
use crate::driver::timeouts::request_timeout;
use crate::driver::{DriverError, Publisher, Subscriber};
use crate::result::Description;
use crate::scenario::{ClientLibrary, Pacer, Reply};
use crate::units::Span;
use std::time::Duration;

impl RedisDriver {
    /// A producer that ends with its connections, through the library that the cell names.
    pub(super) fn plain_publisher(
        &self,
        connections: u16,
    ) -> Result<Box<dyn Publisher>, DriverError> {
        let clock = self.target.clock;
        if self.cell.config.library() == ClientLibrary::RedisRs {
            let (endpoint, commands) = (self.primary.find()?, self.publishing());
            return Ok(Box::new(RedisRsPublisher::connect(
                &endpoint,
                clock,
                connections,
                commands,
            )?));
        }
        let servers = self.publishes_to();
        let endpoints =
            servers.iter().map(Primary::find).collect::<Result<Vec<Endpoint>, DriverError>>()?;
        let reply = self.cell.config.reply;
        let open = |endpoint: &Endpoint| {
            let mut connection = Connection::open(endpoint)?;
            if reply == Reply::Off {
                silence(&mut connection)?;
            }
            Ok(connection)
        };
        let opened = (0..connections.max(1)).flat_map(|_| &endpoints).map(open);
        Ok(Box::new(RedisPublisher::over(
            opened.collect::<Result<_, DriverError>>()?,
            Lanes::to(endpoints.len()),
            clock,
            self.cell.load.batch,
            self.commands(),
            reply,
            CopiesWait::under(&self.cell.config, &self.cell.load).as_ref(),
        )?))
    }

    pub(super) fn load_publisher(&self) -> Result<Box<dyn Publisher>, DriverError> {
        let (load, clock, reply) = (&self.cell.load, self.target.clock, self.cell.config.reply);
        let Some(deadline) = load.deadline else { return self.plain_publisher(load.connections) };
        let rules = RetryRules {
            again: !self.primitive.at_most_once(),
            answers: reply == Reply::On,
            batch: load.batch.max(1),
            deadline_ns: deadline.nanos(),
            patience_ns: request_timeout(deadline).nanos(),
        };
        let (connections, commands) = (load.connections, self.commands());
        Ok(Box::new(ResilientPublisher::connect(
            &self.publishes_to(),
            clock,
            connections,
            commands,
            rules,
            CopiesWait::under(&self.cell.config, load).as_ref(),
        )?))
    }

    pub(super) fn load_subscriber(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<Box<dyn Subscriber>, DriverError> {
        if self.cell.config.library() == ClientLibrary::RedisRs {
            let place = self.place(subscription, consumer);
            return self.primitive.library_consumer(&self.primary.find()?, place);
        }
        let lane = |(primary, place): (Primary, ConsumerPlace)| {
            if let Some(deadline) = self.cell.load.deadline {
                return self.outliving(primary, place, deadline);
            }
            Ok(self.primitive.consumer(self.joined(&primary.find()?, &place)?, place))
        };
        let lanes = self.consumes_from(subscription, consumer).into_iter().map(lane);
        let mut lanes = lanes.collect::<Result<Vec<Box<dyn RedisConsumer>>, DriverError>>()?;
        match lanes.len() {
            1 => Ok(lanes.swap_remove(0)),
            _ => Ok(Box::new(MergedSubscriber::of(lanes, self.target.clock))),
        }
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
        primary: Primary,
        place: ConsumerPlace,
        deadline: Span,
    ) -> Result<Box<dyn RedisConsumer>, DriverError> {
        let (primitive, clock) = (self.primitive, place.clock);
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
        Ok(Box::new(ResilientSubscriber::new(
            inner,
            reconnect,
            request_timeout(deadline).nanos(),
            clock,
        )))
    }

    /// To whom each connection of a producer leads: one server, or that of each stream.
    pub(super) fn publishes_to(&self) -> Vec<Primary> {
        match self.primary.is_of_cluster() {
            true => self.keys.iter().map(|key| self.primary.of(key)).collect(),
            false => vec![self.primary.clone()],
        }
    }

    /// From whom a consumer takes, and what: everything from one server, or each stream from its
    /// own. What any node of a Redis Cluster hands out comes from one.
    pub(super) fn consumes_from(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Vec<(Primary, ConsumerPlace)> {
        let whole = self.place(subscription, consumer);
        if !self.primary.is_of_cluster() || self.primitive.is_anywhere() {
            return vec![(self.primary.clone(), whole)];
        }
        let of_one = |key: &String| {
            let processing = self.processing_list(key, consumer);
            let place = ConsumerPlace { keys: vec![key.clone()], processing, ..whole.clone() };
            (self.primary.of(key), place)
        };
        self.keys.iter().map(of_one).collect()
    }

    /// Refuses a Redis Cluster with more or fewer shards than the scenario says: one that runs already
    /// is as it is, and results would tell of another.
    pub(super) fn check_shards(&self) -> Result<(), DriverError> {
        let Some(cluster) = self.cell.config.cluster else { return Ok(()) };
        let found = self.primary.slot_map()?.primaries().len();
        if found == usize::from(cluster.shards) {
            return Ok(());
        }
        let wanted = cluster.shards;
        let cause = format!(
            "the Cluster has {found} shards, and the scenario says {wanted}: write \
             `nodes: {{shards: {found}}}`"
        );
        Err(self.primary.endpoint.refused("prepare", cause))
    }

    /// Which key each stream has, and where it lies now, where that is chosen.
    pub(super) fn describe_spread(&self, to: &mut Description) -> Result<(), DriverError> {
        if !self.primary.is_of_cluster() {
            return Ok(());
        }
        let sockets = "one to the primary of each stream's slot, for each connection";
        to.client_config.insert("sockets".into(), sockets.into());
        let told = &mut to.topic_config;
        let map = self.primary.past_proxies()?.slot_map()?;
        let primaries = map.primaries();
        told.insert("shards".to_owned(), primaries.len().to_string());
        for (index, key) in self.keys.iter().enumerate() {
            let slot = slots::slot(key);
            let primary = map.primary_of(slot);
            let shard = primaries.iter().position(|other| Some(*other) == primary);
            let shard = shard.map_or("none".to_owned(), |shard| (shard + 1).to_string());
            let address = primary.map_or("nobody", |primary| primary.address.as_str());
            let words = format!("{key}: slot {slot}, shard {shard} ({address})");
            told.insert(format!("stream {}", index + 1), words);
        }
        Ok(())
    }

    /// Deletes all keys of this cell, each at whoever has it: `control` leads to one of these, and
    /// is enough where there is no other.
    pub(super) fn delete(
        &self,
        control: &mut Connection,
        limit: Duration,
    ) -> Result<(), DriverError> {
        let (name, keys) = (&self.target.name, self.every_key());
        if !self.primary.is_of_cluster() {
            return control.delete(name, &keys);
        }
        keys.chunks(1).try_for_each(|key| {
            self.control_of(&self.primary.of(&key[0]), limit)?.delete(name, key)
        })
    }
}
