//! A Redis consumer that does not read its socket: the driver's own subscriber, left alone.
//!
//! RESP of our own: the `redis` crate reads ahead into a queue without a bound. The subscribers read inside `receive` and nowhere else, so not calling it *is* not reading. Those that pull have sent
//! their next request before they stall, so that an answer is on its way to nobody.

use crate::driver::DriverError;
use crate::driver::capability::{HeldForConsumer, WatchedSubscriber};
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::load::connection::Connection;

/// How long the request under way may block in the server: longer than any stall of an experiment.
const BLOCK_NS: u64 = 600 * 1_000_000_000;

/// What the server holds for the consumer.
enum Holder {
    /// Its connection's output buffer, by the connection's address.
    Output(String),
    /// The streams or lists themselves: elements under these keys, of this many bytes each.
    Keys { command: &'static str, keys: Vec<String>, bytes: u64 },
}

pub fn start(driver: &RedisDriver, subscription: u16) -> Result<WatchedSubscriber<HeldForConsumer>, DriverError> {
    let (place, endpoint) = (driver.place(subscription, 0), &driver.primary.endpoint);
    let connection = driver.joined(endpoint, &place)?;
    let holder = match driver.primitive.length() {
        Some(command) => Holder::Keys { command, keys: driver.keys.clone(), bytes: driver.cell.message.size.0 },
        None => {
            let address = connection.stream.local_addr();
            Holder::Output(address.map_err(|cause| endpoint.broken(&cause))?.to_string())
        }
    };
    let until_ns = place.clock.now_ns() + BLOCK_NS;
    let mut subscriber = driver.primitive.consumer(connection, place);
    subscriber.request(until_ns)?;
    let mut control = Connection::open(endpoint)?;
    let held = move || match &holder {
        Holder::Output(address) => {
            let bytes = control.output_buffer(address)?.unwrap_or(0);
            Ok(HeldForConsumer { bytes, place: "the server's output buffer of its connection" })
        }
        Holder::Keys { command, keys, bytes } => {
            let mut messages = 0;
            for key in keys {
                messages += control.length(command, key)?;
            }
            let place = if *command == "XLEN" { "the stream itself" } else { "the list itself" };
            Ok(HeldForConsumer { bytes: messages * bytes, place })
        }
    };
    Ok(WatchedSubscriber { subscriber, ask: Box::new(held) })
}
