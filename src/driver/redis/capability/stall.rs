//! A Redis consumer that does not read its socket: the driver's own subscriber, left alone.
//!
//! RESP of our own: the `redis` crate reads ahead into a queue without a bound. The subscribers read inside `receive` and nowhere else, so not calling it *is* not reading. Those that pull have sent
//! their next request before they stall, so that an answer is on its way to nobody.

use crate::driver::capability::{HeldForConsumer, StalledSubscriber};
use crate::driver::redis::control::ControlConnection;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::{DriverError, Subscriber};

/// How long the request under way may block in the server: longer than any stall of an experiment.
const BLOCK_NS: u64 = 600 * 1_000_000_000;

/// What the server holds for the consumer.
pub enum Holder {
    /// Its connection's output buffer, by the connection's address.
    Output(String),
    /// The streams or lists themselves: elements under these keys, of this many bytes each.
    Keys { command: &'static str, keys: Vec<String>, bytes: u64 },
}

impl Holder {
    /// The streams or lists of the cell, whose elements `command` counts.
    pub fn of_keys(driver: &RedisDriver, command: &'static str) -> Self {
        Self::Keys { command, keys: driver.keys.clone(), bytes: driver.cell.message.size.0 }
    }
}

struct RedisStalled {
    subscriber: Box<dyn Subscriber>,
    control: ControlConnection,
    holder: Holder,
}

pub fn start(driver: &RedisDriver, subscription: u16) -> Result<Box<dyn StalledSubscriber>, DriverError> {
    let until_ns = driver.target.clock.now_ns() + BLOCK_NS;
    let (subscriber, holder) = driver.primitive.stalled(driver, subscription, until_ns)?;
    let control = ControlConnection::connect(&driver.endpoint)?;
    Ok(Box::new(RedisStalled { subscriber, control, holder }))
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
