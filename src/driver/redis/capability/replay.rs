//! Reading again on Redis: Streams keep, Lists keep until taken, Pub/Sub keeps nothing.

use crate::driver::capability::{Replay, ReplayFrom};
use crate::driver::redis::driver::RedisDriver;
use crate::driver::{Driver, DriverError, Subscriber};

impl Replay for RedisDriver {
    fn join_late(&self, subscription: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        self.primitive.join_late(self, subscription)?;
        self.subscriber(subscription, 0)
    }

    fn rewind(&self, subscription: u16) -> Result<(), DriverError> {
        self.primitive.rewind(self, subscription)
    }

    fn read_from(&self, from: ReplayFrom, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError> {
        self.primitive.read_from(self, from, deadline_ns, sink)
    }
}
