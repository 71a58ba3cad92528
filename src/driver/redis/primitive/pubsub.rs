//! Redis Pub/Sub: a channel hands each message to whoever is subscribed at that moment.

use super::{Connected, ConsumerReach, LargeCommands, Primitive};
use crate::driver::DriverError;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::pubsub::{PubSubSubscriber, subscribe};
use crate::driver::redis::load::{ConsumerPlace, RedisConsumer};
use crate::driver::redis::redis_rs::LibraryPubSub;
use crate::driver::work::Responsibilities;
use crate::scenario::{Cell, SystemConfig};
use redis::{Cmd, cmd};

pub struct PubSub {
    /// SPUBLISH and SSUBSCRIBE: a Redis Cluster keeps a channel inside the shard of its slot.
    pub sharded: bool,
}

impl Primitive for PubSub {
    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        (cell.load.consumers > 1).then_some(
            "Pub/Sub cannot share work: every subscriber receives everything; set \
                load.consumers: 1",
        )
    }

    fn publish(&self, key: &str, _: Option<u64>) -> Cmd {
        cmd(if self.sharded { "SPUBLISH" } else { "PUBLISH" }).arg(key).take()
    }

    fn describe(&self, _: &SystemConfig) -> (String, String) {
        match self.sharded {
            true => ("SPUBLISH".into(), "SSUBSCRIBE (pushed)".into()),
            false => ("PUBLISH".into(), "SUBSCRIBE (pushed)".into()),
        }
    }

    fn acknowledgement(&self) -> Result<&'static str, &'static str> {
        Err("Pub/Sub keeps nothing; the reply to PUBLISH promises nothing; \
            no acknowledgement by consumers")
    }

    fn at_most_once(&self) -> bool {
        true
    }

    fn reach(&self) -> ConsumerReach {
        if self.sharded { ConsumerReach::Server } else { ConsumerReach::Cluster }
    }

    fn join(
        &self,
        connection: &mut Connection,
        place: &ConsumerPlace,
        _: &str,
    ) -> Result<(), DriverError> {
        subscribe(connection, &place.keys, self.sharded)
    }

    fn consumer(&self, connection: Connection, place: ConsumerPlace) -> Box<dyn RedisConsumer> {
        Box::new(PubSubSubscriber::new(connection, place.clock))
    }

    fn library_consumer(&self, endpoint: &Endpoint, place: ConsumerPlace) -> Connected {
        Ok(Box::new(LibraryPubSub::connect(endpoint, &place)?))
    }

    fn large(&self, key: &str) -> LargeCommands {
        LargeCommands {
            subscribe: Some(
                cmd(if self.sharded { "SSUBSCRIBE" } else { "SUBSCRIBE" }).arg(key).take(),
            ),
            ..LargeCommands::default()
        }
    }

    fn keeps_nothing(&self) -> &'static str {
        "Pub/Sub hands a message to those who are subscribed at that moment and keeps nothing"
    }

    fn responsibilities(&self) -> Result<Responsibilities, &'static str> {
        Err("Pub/Sub keeps no message that could be set aside either")
    }
}
