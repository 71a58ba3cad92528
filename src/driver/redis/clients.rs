//! How a cell's producers and consumers connect, and how a Redis Cluster spreads them: to whom each
//! leads, and which stream lies where. Anywhere else all of it goes to one server.

use super::SET_UP;
use super::control::ServerInfo;
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
use super::primitive::ConsumerReach;
use super::redis_rs::RedisRsPublisher;
use super::slots;
use crate::driver::timeouts::request_timeout;
use crate::driver::{DriverError, Publisher, Subscriber};
use crate::result::Description;
use crate::scenario::{ClientLibrary, Pacer, Reply};
use crate::units::Span;
use itertools::Itertools;
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
        let primaries = self.publishes_to();
        let found = primaries.iter().map(Primary::find).collect::<Result<_, DriverError>>()?;
        let (endpoints, ways) = distinct(found);
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
            Lanes::along(ways),
            clock,
            self.cell.load.batch,
            self.commands(),
            reply,
            CopiesWait::under(&self.cell.config, &self.cell.load).as_ref(),
        )?))
    }

    pub(super) fn load_publisher(&self) -> Result<Box<dyn Publisher>, DriverError> {
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
            &self.publishes_to(),
            clock,
            connections,
            commands,
            rules,
            CopiesWait::under(&self.cell.config, load).as_ref(),
            self.switches.for_new_client(),
        )?))
    }

    pub(super) fn load_subscriber(
        &self,
        place: ConsumerPlace,
        consumer: u16,
        from: &str,
    ) -> Result<Box<dyn Subscriber>, DriverError> {
        if self.cell.config.library() == ClientLibrary::RedisRs {
            return self.primitive.library_consumer(&self.primary.find()?, place);
        }
        let patience = request_timeout(&self.cell.load);
        let lanes: Result<Vec<Box<dyn RedisConsumer>>, DriverError> = match patience {
            Some(patience) => {
                let lanes = self.consumes_from(place, consumer).into_iter();
                lanes.map(|(primary, place)| self.outliving(primary, place, patience)).collect()
            }
            None => {
                let lanes = self.plain_lanes(place, consumer)?.into_iter();
                let open = |(endpoint, place): (Endpoint, ConsumerPlace)| {
                    Ok(self.primitive.consumer(self.joined(&endpoint, &place, from)?, place))
                };
                lanes.map(open).collect()
            }
        };
        Ok(self.merged(lanes?))
    }

    /// One consumer of all of these, of which there is at least one.
    pub(super) fn merged(&self, mut lanes: Vec<Box<dyn RedisConsumer>>) -> Box<dyn Subscriber> {
        match lanes.len() {
            1 => lanes.swap_remove(0),
            _ => Box::new(MergedSubscriber::of(lanes, self.target.clock)),
        }
    }

    pub(super) fn place(&self, subscription: u16, consumer: u16) -> ConsumerPlace {
        ConsumerPlace {
            clock: self.target.clock,
            keys: self.keys.clone(),
            group: self.group(subscription),
            consumer: format!("c{consumer}"),
            processing: self.processing_list(&self.keys[0], consumer),
            batch: self.cell.config.consume.batch.max(1),
            outlives: self.cell.load.deadline.is_some(),
            pops_many: self.server.get().is_none_or(ServerInfo::pops_many),
        }
    }

    /// A connection that is ready to consume; a group that is new begins at the entry `from`.
    pub(super) fn joined(
        &self,
        endpoint: &Endpoint,
        place: &ConsumerPlace,
        from: &str,
    ) -> Result<Connection, DriverError> {
        let mut connection = Connection::open(endpoint)?;
        self.primitive.join(&mut connection, place, from)?;
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
        patience: Span,
    ) -> Result<Box<dyn RedisConsumer>, DriverError> {
        let (primitive, clock) = (self.primitive, place.clock);
        let switches = self.switches.for_new_client();
        let dial = {
            let place = place.clone();
            move |from: &str| {
                let mut connection = primary.connect()?;
                primitive.join(&mut connection, &place, from)?;
                Ok(connection)
            }
        };
        let inner = primitive.consumer(patiently(SET_UP, || dial(self.first()))?, place);
        // A group that is gone was lost by the server, with or without entries. A new one at the
        // stream's end would skip what came since; from the oldest entry on, nothing is skipped and
        // some may come twice.
        let oldest = self.oldest().to_owned();
        let reconnect = Reconnect::new(move || dial(&oldest));
        Ok(Box::new(ResilientSubscriber::new(inner, reconnect, patience.nanos(), switches, clock)))
    }

    /// To whom a producer leads: one server, or that of each stream.
    pub(super) fn publishes_to(&self) -> Vec<Primary> {
        match self.primary.is_of_cluster() {
            true => self.keys.iter().map(|key| self.primary.of(key)).collect(),
            false => vec![self.primary.clone()],
        }
    }

    /// From whom a consumer takes, and what: everything from one server, or each stream from its
    /// own. What any node of a Redis Cluster hands out comes from one.
    fn consumes_from(&self, whole: ConsumerPlace, consumer: u16) -> Vec<(Primary, ConsumerPlace)> {
        if !self.primary.is_of_cluster() || self.primitive.reach() == ConsumerReach::Cluster {
            return vec![(self.primary.clone(), whole)];
        }
        let of_one = |key: &String| {
            let processing = self.processing_list(key, consumer);
            let place = ConsumerPlace { keys: vec![key.clone()], processing, ..whole.clone() };
            (self.primary.of(key), place)
        };
        self.keys.iter().map(of_one).collect()
    }

    /// The connections of a consumer that ends with them: what one connection can take from a
    /// server comes over one.
    pub(super) fn plain_lanes(
        &self,
        whole: ConsumerPlace,
        consumer: u16,
    ) -> Result<Vec<(Endpoint, ConsumerPlace)>, DriverError> {
        let shared = self.primitive.reach() == ConsumerReach::Server;
        let mut lanes: Vec<(Endpoint, ConsumerPlace)> = Vec::new();
        for (primary, place) in self.consumes_from(whole, consumer) {
            let endpoint = primary.find()?;
            let same = |(known, _): &(Endpoint, ConsumerPlace)| {
                shared && known.address() == endpoint.address()
            };
            match lanes.iter().position(same) {
                Some(at) => lanes[at].1.keys.extend(place.keys),
                None => lanes.push((endpoint, place)),
            }
        }
        Ok(lanes)
    }

    /// The servers from which a consumer takes, each once.
    pub(super) fn servers_of(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<Vec<Endpoint>, DriverError> {
        let whole = self.place(subscription, consumer);
        let lanes = self.plain_lanes(whole, consumer)?.into_iter();
        Ok(lanes.map(|(endpoint, _)| endpoint).unique_by(Endpoint::address).collect())
    }

    /// Refuses a Redis Cluster with more or fewer shards than the scenario says, or with slots that
    /// nobody serves: one that runs already is as it is, and results would tell of another.
    pub(super) fn check_shards(&self) -> Result<(), DriverError> {
        let Some(cluster) = self.cell.config.cluster else { return Ok(()) };
        let refuse = |cause: String| Err(self.primary.endpoint.refused("prepare", cause));
        let map = self.primary.slot_map()?;
        let (found, wanted) = (map.primaries().len(), cluster.shards);
        match map.served() {
            slots::SLOTS if found == usize::from(wanted) => Ok(()),
            slots::SLOTS => refuse(format!(
                "the Cluster has {found} shards, and the scenario says {wanted}: write \
                 `nodes: {{shards: {found}}}`"
            )),
            served => refuse(format!(
                "nobody serves {} of the Cluster's slots: give them to a node \
                 (`redis-cli --cluster fix HOST:PORT`)",
                slots::SLOTS - served
            )),
        }
    }

    /// Which key each stream has, and where it lies now, where that is chosen.
    pub(super) fn describe_spread(&self, to: &mut Description) -> Result<(), DriverError> {
        if !self.primary.is_of_cluster() {
            return Ok(());
        }
        let publisher = match self.cell.load.deadline {
            None => "one to each server that has a stream, for each connection",
            Some(_) => "one to the server of each stream, for each connection",
        };
        let consumer = match (self.primitive.reach(), self.cell.load.deadline) {
            (ConsumerReach::Cluster, _) => "one to any node, for all streams",
            (ConsumerReach::Server, None) => "one to each server that has a stream",
            _ => "one to the server of each stream",
        };
        to.client_config.insert("publisher-sockets".into(), publisher.into());
        to.client_config.insert("consumer-sockets".into(), consumer.into());
        let told = &mut to.topic_config;
        let map = self.primary.past_proxies()?.slot_map()?;
        let primaries = map.primaries();
        told.insert("shards".to_owned(), primaries.len().to_string());
        let width = self.keys.len().to_string().len();
        for (index, key) in self.keys.iter().enumerate() {
            let slot = slots::slot(key);
            let primary = map.primary_of(slot);
            let shard = primaries.iter().position(|other| Some(*other) == primary);
            let shard = shard.map_or("none".to_owned(), |shard| (shard + 1).to_string());
            let address = primary.map_or("nobody", |primary| primary.address.as_str());
            let words = format!("{key}: slot {slot}, shard {shard} ({address})");
            told.insert(format!("stream {:0width$}", index + 1), words);
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
        // A cluster that has just promoted a replica is soon whole again.
        keys.chunks(1).try_for_each(|key| {
            patiently(limit, || {
                self.control_of(&self.primary.of(&key[0]), limit)?.delete(name, key)
            })
        })
    }
}

/// The servers among these, each once, and which of them each is.
fn distinct(found: Vec<Endpoint>) -> (Vec<Endpoint>, Vec<u16>) {
    let (mut servers, mut ways) = (Vec::<Endpoint>::new(), Vec::new());
    for endpoint in found {
        let known = servers.iter().position(|server| server.address() == endpoint.address());
        ways.push(known.unwrap_or(servers.len()) as u16);
        if known.is_none() {
            servers.push(endpoint);
        }
    }
    (servers, ways)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

    #[test]
    fn streams_on_one_server_go_one_way() {
        let at =
            |port: u16| Endpoint::parse(System::RedisLists, &format!("127.0.0.1:{port}")).unwrap();
        let (servers, ways) = distinct(vec![at(1), at(2), at(1), at(3), at(2)]);
        let addresses: Vec<String> = servers.iter().map(Endpoint::address).collect();
        assert_eq!(addresses, ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
        assert_eq!(ways, [0, 1, 0, 2, 1]);
    }
}
