//! A Redis consumer that does not read its socket: the driver's own subscriber, left alone.
//!
//! RESP of our own: the `redis` crate reads ahead into a queue without a bound. The subscribers read inside `receive` and nowhere else, so not calling it *is* not reading. Those that pull have sent
//! their next request before they stall, so that an answer is on its way to nobody.

use crate::driver::capability::{HeldForConsumer, StalledSubscriber};
use crate::driver::redis::control::ControlConnection;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::load::lists::{PopSubscriber, ReliableSubscriber};
use crate::driver::redis::load::pubsub::PubSubSubscriber;
use crate::driver::redis::load::streams::StreamSubscriber;
use crate::driver::{Driver, DriverError, Subscriber};
use crate::model::System;

/// How long the request under way may block in the server: longer than any stall of an experiment.
const BLOCK_NS: u64 = 600 * 1_000_000_000;

/// What the server holds for the consumer.
enum Holder {
    /// Its connection's output buffer, by the connection's address.
    Output(String),
    /// The streams or lists themselves: elements under these keys, of this many bytes each.
    Keys { command: &'static str, keys: Vec<String>, bytes: u64 },
}

struct RedisStalled {
    subscriber: Box<dyn Subscriber>,
    control: ControlConnection,
    holder: Holder,
}

pub fn start(driver: &RedisDriver, subscription: u16) -> Result<Box<dyn StalledSubscriber>, DriverError> {
    let (endpoint, clock, keys) = (&driver.endpoint, driver.target.clock, driver.keys.clone());
    let (batch, until_ns) = (driver.cell.config.consume.batch.max(1), clock.now_ns() + BLOCK_NS);
    let of_keys = |command| Holder::Keys { command, keys: keys.clone(), bytes: driver.cell.message.size.0 };
    let (subscriber, holder): (Box<dyn Subscriber>, Holder) = match driver.system() {
        System::RedisPubsub => {
            let subscriber = PubSubSubscriber::connect(endpoint, clock, &keys)?;
            let holder = Holder::Output(subscriber.local_address()?);
            (Box::new(subscriber), holder)
        }
        System::RedisStreams => {
            let mut subscriber = StreamSubscriber::connect(endpoint, clock, keys.clone(), subscription, 0, batch)?;
            subscriber.request(until_ns)?;
            (Box::new(subscriber), of_keys("XLEN"))
        }
        _ if driver.reliable() => {
            let (key, processing) = (keys[0].clone(), driver.processing_list(&keys[0], 0));
            let subscriber = ReliableSubscriber::connect(endpoint, clock, key, processing, batch)?;
            (Box::new(subscriber), of_keys("LLEN"))
        }
        _ => {
            let mut subscriber = PopSubscriber::connect(endpoint, clock, keys.clone(), batch)?;
            subscriber.request(until_ns)?;
            (Box::new(subscriber), of_keys("LLEN"))
        }
    };
    Ok(Box::new(RedisStalled { subscriber, control: ControlConnection::connect(endpoint)?, holder }))
}

impl StalledSubscriber for RedisStalled {
    fn held(&mut self) -> Result<HeldForConsumer, DriverError> {
        match &self.holder {
            Holder::Output(address) => {
                let bytes = self.control.output_buffer(address)?.unwrap_or(0);
                Ok(HeldForConsumer { bytes, place: "the server's output buffer of its connection" })
            }
            Holder::Keys { command, keys, bytes } => {
                let mut messages = 0;
                for key in keys {
                    messages += self.control.length(command, key)?;
                }
                let place = if *command == "XLEN" { "the stream itself" } else { "the list itself" };
                Ok(HeldForConsumer { bytes: messages * bytes, place })
            }
        }
    }

    fn resume(self: Box<Self>) -> Box<dyn Subscriber> {
        self.subscriber
    }
}
