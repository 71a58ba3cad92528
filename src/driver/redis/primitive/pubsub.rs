//! Redis Pub/Sub: a channel hands each message to whoever is subscribed at that moment.

use super::{Connected, LargeCommands, Primitive};
use crate::driver::redis::capability::stall::Holder;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::limits::SET_UP;
use crate::driver::redis::load::pubsub::{self, PubSubSubscriber};
use crate::driver::redis::load::resilient::patiently;
use crate::driver::redis::redis_rs::LibraryPubSub;
use crate::driver::work::Responsibilities;
use crate::driver::{DriverError, Subscriber};
use crate::scenario::{Cell, SystemConfig};
use crate::units::Span;
use crate::wire::redis as resp;

pub struct PubSub;

impl Primitive for PubSub {
    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        (cell.load.consumers > 1)
            .then_some("Pub/Sub cannot share work: every subscriber receives everything; set load.consumers: 1")
    }

    fn publish(&self, key: &str, _: Option<u64>) -> Vec<String> {
        vec!["PUBLISH".into(), key.into()]
    }

    fn describe(&self, _: &SystemConfig) -> (String, String) {
        ("PUBLISH".into(), "SUBSCRIBE (pushed)".into())
    }

    fn acknowledgement(&self) -> Result<&'static str, &'static str> {
        Err("Pub/Sub keeps nothing; the reply to PUBLISH promises nothing; no acknowledgement by consumers")
    }

    fn retried(&self) -> &'static str {
        "a PUBLISH that was refused or never written, no other"
    }

    fn subscriber(&self, driver: &RedisDriver, _: u16, _: u16) -> Connected {
        let endpoint = driver.primary.find()?;
        Ok(Box::new(PubSubSubscriber::connect(&endpoint, driver.target.clock, &driver.keys)?))
    }

    fn library_subscriber(&self, driver: &RedisDriver, _: u16, _: u16) -> Connected {
        let endpoint = driver.primary.find()?;
        Ok(Box::new(LibraryPubSub::connect(&endpoint, driver.target.clock, &driver.keys)?))
    }

    fn resilient_subscriber(&self, driver: &RedisDriver, _: u16, _: u16, deadline: Span) -> Connected {
        let (primary, keys) = (driver.primary.clone(), driver.keys.clone());
        let dial = move || {
            let mut connection = primary.connect()?;
            pubsub::subscribe(&mut connection, &keys)?;
            Ok(connection)
        };
        let inner = PubSubSubscriber::new(patiently(SET_UP, &dial)?, driver.target.clock);
        Ok(driver.outliving(inner, dial, deadline))
    }

    fn stalled(&self, driver: &RedisDriver, _: u16, _: u64) -> Result<(Box<dyn Subscriber>, Holder), DriverError> {
        let subscriber = PubSubSubscriber::connect(&driver.endpoint, driver.target.clock, &driver.keys)?;
        let holder = Holder::Output(subscriber.local_address()?);
        Ok((Box::new(subscriber), holder))
    }

    fn large(&self, key: &str) -> LargeCommands {
        let mut commands = LargeCommands::default();
        resp::command(&mut commands.subscribe, &[b"SUBSCRIBE", key.as_bytes()]);
        commands
    }

    fn keeps_nothing(&self) -> &'static str {
        "Pub/Sub hands a message to those who are subscribed at that moment and keeps nothing"
    }

    fn responsibilities(&self) -> Result<Responsibilities, &'static str> {
        Err("Pub/Sub keeps no message that could be set aside either")
    }
}
