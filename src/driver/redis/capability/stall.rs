//! A Redis consumer that does not read its socket: the driver's own subscriber, left alone.
//!
//! RESP of our own: the `redis` crate reads ahead into a queue without a bound. The subscribers
//! read inside `receive` and nowhere else, so not calling it *is* not reading. Those that pull have
//! sent their next request before they stall, so that an answer is on its way to nobody.

use crate::driver::DriverError;
use crate::driver::capability::{HeldForConsumer, WatchedSubscriber};
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::{ConsumerPlace, RedisConsumer};

/// How long the request under way may block in the server: longer than any stall of an experiment.
const BLOCK_NS: u64 = 600 * 1_000_000_000;

pub fn start(
    driver: &RedisDriver,
    subscription: u16,
) -> Result<WatchedSubscriber<HeldForConsumer>, DriverError> {
    let lanes = driver.plain_lanes(driver.place(subscription, 0), 0)?.into_iter();
    let lanes = lanes.map(|(endpoint, place)| stalled(driver, &endpoint, place));
    let lanes = lanes.collect::<Result<Vec<_>, DriverError>>()?;
    let (consumers, mut held): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
    let (length, message) = (driver.primitive.length(), driver.cell.message.size);
    let place = match length {
        Some("XLEN") => "the stream itself",
        Some(_) => "the list itself",
        None => "the server's output buffer of its connection",
    };
    let ask = move || {
        let bytes = held.iter_mut().map(|held| held.bytes(length, message.0));
        Ok(HeldForConsumer { bytes: bytes.sum::<Result<u64, DriverError>>()?, place })
    };
    Ok(WatchedSubscriber { subscriber: driver.merged(consumers), ask: Box::new(ask) })
}

/// A connection that has asked and is not read, and a way to ask what its server holds for it.
fn stalled(
    driver: &RedisDriver,
    endpoint: &Endpoint,
    place: ConsumerPlace,
) -> Result<(Box<dyn RedisConsumer>, StalledLane), DriverError> {
    let connection = driver.joined(endpoint, &place, "$")?;
    let address =
        connection.stream.local_addr().map_err(|cause| endpoint.broken(&cause))?.to_string();
    let (until_ns, keys) = (place.clock.now_ns() + BLOCK_NS, place.keys.clone());
    let mut consumer = driver.primitive.consumer(connection, place);
    consumer.request(until_ns)?;
    Ok((consumer, StalledLane { control: Connection::open(endpoint)?, address, keys }))
}

struct StalledLane {
    control: Connection,
    /// Of the connection that is not read.
    address: String,
    keys: Vec<String>,
}

impl StalledLane {
    /// What the server keeps under the keys, which `length` counts, or else for the connection.
    fn bytes(&mut self, length: Option<&str>, message: u64) -> Result<u64, DriverError> {
        let Some(command) = length else {
            return Ok(self.control.output_buffer(&self.address)?.unwrap_or(0));
        };
        let lengths = self.keys.iter().map(|key| self.control.length(command, key));
        Ok(message * lengths.sum::<Result<u64, DriverError>>()?)
    }
}
