//! What each primitive's consumer needs of a new connection before it can go on.

use super::super::connection::Connection;
use super::super::lists::{PopSubscriber, ReliableSubscriber};
use super::super::pubsub::{self, PubSubSubscriber};
use super::super::reconnect::Reconnect;
use super::super::streams::{self, StreamSubscriber};
use super::{ResilientSubscriber, Resume, patiently};
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::limits::SET_UP;
use crate::driver::timeouts::request_timeout;
use crate::driver::{Driver, DriverError, Subscriber};
use crate::model::System;
use crate::units::Span;

impl RedisDriver {
    /// As [`crate::driver::Driver::subscriber`], over as many connections as it takes.
    pub fn resilient_subscriber(
        &self,
        subscription: u16,
        consumer: u16,
        deadline: Span,
    ) -> Result<Box<dyn Subscriber>, DriverError> {
        let (primary, keys, clock) = (self.primary.clone(), self.keys.clone(), self.target.clock);
        let batch = self.cell.config.consume.batch.max(1);
        Ok(match self.system() {
            System::RedisPubsub => {
                let dial = move || {
                    let mut connection = primary.connect()?;
                    pubsub::subscribe(&mut connection, &keys)?;
                    Ok(connection)
                };
                let inner = PubSubSubscriber::new(patiently(SET_UP, &dial)?, clock);
                self.outliving(inner, dial, deadline)
            }
            System::RedisStreams => {
                let dial = {
                    let (keys, group) = (keys.clone(), streams::group(subscription));
                    move |from: &str| {
                        let mut connection = primary.connect()?;
                        streams::make_groups(&mut connection, &keys, &group, from)?;
                        Ok(connection)
                    }
                };
                let connection = patiently(SET_UP, || dial("$"))?;
                let inner = StreamSubscriber::new(connection, clock, keys, subscription, consumer, batch).on_time();
                let inner = inner.taking_over();
                // A group that is gone was lost by the server, with or without entries. A new one at the stream's end
                // would skip what came since; from the oldest entry on, nothing is skipped and some may come twice.
                self.outliving(inner, move || dial("0"), deadline)
            }
            _ => {
                let dial = move || primary.connect();
                let connection = patiently(SET_UP, &dial)?;
                if self.reliable() {
                    let (key, processing) = (keys[0].clone(), self.processing_list(&keys[0], consumer));
                    let inner =
                        ReliableSubscriber::new(connection, clock, key, processing, batch).on_time().taking_over();
                    self.outliving(inner, dial, deadline)
                } else {
                    let inner = PopSubscriber::new(connection, clock, keys, batch).on_time();
                    self.outliving(inner, dial, deadline)
                }
            }
        })
    }

    fn outliving<S: Resume + 'static>(
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
