//! Reading again on Redis: Streams keep, Lists keep until taken, Pub/Sub keeps nothing.

use super::audit::AuditReader;
use crate::driver::capability::{Replay, ReplayFrom};
use crate::driver::redis::control::ControlConnection;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::{Driver, DriverError, Subscriber};
use crate::model::System;

const NOTHING_KEPT: &str = "Pub/Sub hands a message to those who are subscribed at that moment and keeps nothing";

impl Replay for RedisDriver {
    fn join_late(&self, subscription: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        match self.system() {
            System::RedisPubsub => return Err(self.cannot("begin before its subscription", NOTHING_KEPT)),
            System::RedisStreams => self.each_group("CREATE", subscription)?,
            // A list has one queue of takers: whoever comes late takes what is left.
            _ => {}
        }
        self.subscriber(subscription, 0)
    }

    fn rewind(&self, subscription: u16) -> Result<(), DriverError> {
        match self.system() {
            System::RedisPubsub => Err(self.cannot("go back", NOTHING_KEPT)),
            System::RedisStreams => self.each_group("SETID", subscription),
            // A list has no position: every read begins at what is left.
            _ => Ok(()),
        }
    }

    fn read_from(&self, from: ReplayFrom, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError> {
        let reader = || AuditReader::connect(&self.endpoint, self.target.clock, deadline_ns, self.cell.message.size);
        match (self.system(), from) {
            (System::RedisPubsub, _) => Err(self.cannot("read what was published", NOTHING_KEPT)),
            (System::RedisStreams, from) => {
                let first = match from {
                    ReplayFrom::Beginning => "-".to_owned(),
                    // An entry's id begins with the server's time.
                    ReplayFrom::Time(ms) => ms.to_string(),
                };
                let mut reader = reader()?;
                self.keys.iter().try_for_each(|key| reader.stream(key, &first, sink))
            }
            (_, ReplayFrom::Time(_)) => Err(self.cannot("read from a moment on", "elements of a list carry no time")),
            (_, ReplayFrom::Beginning) => {
                let mut reader = reader()?;
                self.every_key().iter().try_for_each(|key| reader.list(key, sink))
            }
        }
    }
}

impl RedisDriver {
    fn each_group(&self, action: &str, subscription: u16) -> Result<(), DriverError> {
        let mut control = ControlConnection::connect(&self.endpoint)?;
        let group = format!("g{subscription}");
        self.keys.iter().try_for_each(|key| control.group_from_the_oldest(action, key, &group))
    }
}
