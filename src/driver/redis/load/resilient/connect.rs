//! What each primitive's consumer needs of a new connection before it can go on.

use super::super::connection::Connection;
use super::super::reconnect::Reconnect;
use super::{ResilientSubscriber, Resume};
use crate::driver::redis::driver::RedisDriver;
use crate::driver::timeouts::request_timeout;
use crate::driver::{DriverError, Subscriber};
use crate::units::Span;

impl RedisDriver {
    /// A subscriber over as many connections as it takes.
    pub fn outliving<S: Resume + 'static>(
        &self,
        inner: S,
        dial: impl Fn() -> Result<Connection, DriverError> + Send + Sync + 'static,
        deadline: Span,
    ) -> Box<dyn Subscriber> {
        Box::new(ResilientSubscriber::new(
            inner,
            Reconnect::new(dial),
            request_timeout(deadline).nanos(),
            self.target.clock,
        ))
    }
}
