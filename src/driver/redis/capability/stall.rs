//! A Redis consumer that does not read its socket: the driver's own subscriber, left alone.
//!
//! RESP of our own: the `redis` crate reads ahead into a queue without a bound. The subscribers
//! read inside `receive` and nowhere else, so not calling it *is* not reading. Those that pull have
//! sent their next request before they stall, so that an answer is on its way to nobody.

use crate::driver::DriverError;
use crate::driver::capability::{HeldForConsumer, WatchedSubscriber};
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::load::connection::Connection;

/// How long the request under way may block in the server: longer than any stall of an experiment.
const BLOCK_NS: u64 = 600 * 1_000_000_000;

pub fn start(
    driver: &RedisDriver,
    subscription: u16,
) -> Result<WatchedSubscriber<HeldForConsumer>, DriverError> {
    let (place, endpoint) = (driver.place(subscription, 0), &driver.primary.endpoint);
    let connection = driver.joined(endpoint, &place, "$")?;
    let address =
        connection.stream.local_addr().map_err(|cause| endpoint.broken(&cause))?.to_string();
    let until_ns = place.clock.now_ns() + BLOCK_NS;
    let mut subscriber = driver.primitive.consumer(connection, place);
    subscriber.request(until_ns)?;
    let mut control = Connection::open(endpoint)?;
    let (length, keys, message) =
        (driver.primitive.length(), driver.keys.clone(), driver.cell.message.size);
    let held = move || match length {
        Some(command) => {
            let lengths = keys.iter().map(|key| control.length(command, key));
            let bytes = message.0 * lengths.sum::<Result<u64, _>>()?;
            let place = if command == "XLEN" { "the stream itself" } else { "the list itself" };
            Ok(HeldForConsumer { bytes, place })
        }
        None => {
            let bytes = control.output_buffer(&address)?.unwrap_or(0);
            Ok(HeldForConsumer { bytes, place: "the server's output buffer of its connection" })
        }
    };
    Ok(WatchedSubscriber { subscriber, ask: Box::new(held) })
}
